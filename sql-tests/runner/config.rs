//! The configurations that files run in.

use std::fmt;

use blueshift::common::EncodingName;
use blueshift::engine::slt::SltLayout as Dist;
use blueshift::format::Geometry;

/// One way to run a file. None changes an answer.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Config {
    pub slices: u32,
    /// Zones of 4 rows in chunks of 16, so that small tables have many.
    pub tiny: bool,
    pub pruning: bool,
    pub dist: Dist,
    /// Of every column that can have it and for which the file names none.
    pub encoding: Option<EncodingName>,
}

const SLICES: [u32; 3] = [1, 3, 4];
const SWITCH: [bool; 2] = [true, false];
const DIST: [Dist; 3] = [Dist::Written, Dist::Even, Dist::All];

const fn config(slices: u32, tiny: bool, pruning: bool, dist: Dist) -> Config {
    Config { slices, tiny, pruning, dist, encoding: None }
}

/// What begins the names of files that run in each encoding by default: those that read back what they stored, of every
/// type, with every kind of filter.
const ENCODED: [&str; 7] = ["copy/", "dist/", "encoding/forced", "plan/", "pruning/", "tpch/", "types/"];

/// Every pair of two choices, in as few rows as slices times distributions allow.
pub const DEFAULT: [Config; 9] = [
    config(1, true, true, Dist::Written),
    config(1, false, false, Dist::Even),
    config(1, true, false, Dist::All),
    config(3, true, false, Dist::Written),
    config(3, true, true, Dist::Even),
    config(3, false, true, Dist::All),
    config(4, false, true, Dist::Written),
    config(4, true, true, Dist::Even),
    config(4, true, false, Dist::All),
];

/// All combinations.
pub fn product() -> Vec<Config> {
    let mut all = Vec::new();
    for slices in SLICES {
        for tiny in SWITCH {
            for pruning in SWITCH {
                all.extend(DIST.map(|dist| config(slices, tiny, pruning, dist)));
            }
        }
    }
    all
}

/// Every encoding but AUTO, which tables have by themselves, each in one of [`DEFAULT`]'s configurations in turn.
pub fn encoded() -> Vec<Config> {
    let names = EncodingName::ALL.into_iter().filter(|name| *name != EncodingName::Auto);
    names.zip(DEFAULT.into_iter().cycle()).map(|(name, config)| Config { encoding: Some(name), ..config }).collect()
}

/// Every encoding in every one of [`DEFAULT`]'s configurations.
fn encoded_everywhere() -> Vec<Config> {
    let names = EncodingName::ALL.into_iter().filter(|name| *name != EncodingName::Auto);
    names.flat_map(|name| DEFAULT.map(|config| Config { encoding: Some(name), ..config })).collect()
}

/// The configurations of a file that is free to run in any: `long` is the variable that README names.
pub fn chosen(file: &str, long: Option<&str>) -> Vec<Config> {
    if long.is_some_and(|v| !matches!(v, "" | "0")) {
        [product(), encoded_everywhere()].concat()
    } else if ENCODED.iter().any(|begin| file.starts_with(begin)) {
        [DEFAULT.to_vec(), encoded()].concat()
    } else {
        DEFAULT.to_vec()
    }
}

/// Fails unless [`DEFAULT`] covers all pairs, and every one of it is needed for that.
pub fn check_coverage() -> Result<(), String> {
    covers_all_pairs(&DEFAULT)?;
    for i in 0..DEFAULT.len() {
        let fewer = [&DEFAULT[..i], &DEFAULT[i + 1..]].concat();
        if covers_all_pairs(&fewer).is_ok() {
            return Err(format!("all pairs are covered without [{}]", DEFAULT[i]));
        }
    }
    let all = product();
    let long = chosen("any.slt", Some("1"));
    let encodings = EncodingName::ALL.len() - 1;
    let combinations = SLICES.len() * SWITCH.len() * SWITCH.len() * DIST.len();
    if all.len() != combinations
        || long.len() != combinations + encodings * DEFAULT.len()
        || !all.iter().chain(&encoded()).all(|c| long.contains(c))
    {
        return Err("the long form is not all combinations, and every encoding in each of the nine".into());
    }
    if [None, Some(""), Some("0")].iter().any(|short| chosen("any.slt", *short) != DEFAULT) {
        return Err("the short form is not the nine".into());
    }
    let short = chosen(ENCODED[0], None);
    let of = |name: EncodingName| short.iter().filter(|c| c.encoding == Some(name)).count();
    if EncodingName::ALL.into_iter().any(|name| of(name) != usize::from(name != EncodingName::Auto)) {
        return Err("the short form of a file of encodings is not the nine and each encoding once".into());
    }
    Ok(())
}

/// Fails unless every pair of choices that any combination holds stands in one of `configs`, too.
fn covers_all_pairs(configs: &[Config]) -> Result<(), String> {
    let choices = |c: &Config| [c.slices, u32::from(c.tiny), u32::from(c.pruning), c.dist as u32];
    for wanted in product() {
        let wanted = choices(&wanted);
        for a in 0..wanted.len() {
            for b in a + 1..wanted.len() {
                let covers = |c: &Config| choices(c)[a] == wanted[a] && choices(c)[b] == wanted[b];
                if !configs.iter().any(covers) {
                    return Err(format!("no configuration has choice {a} = {} with {b} = {}", wanted[a], wanted[b]));
                }
            }
        }
    }
    Ok(())
}

impl Config {
    pub fn geometry(self) -> Geometry {
        if self.tiny { Geometry::TINY } else { Geometry::DEFAULT }
    }
}

impl fmt::Display for Config {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let geometry = if self.tiny { "tiny" } else { "normal" };
        let pruning = if self.pruning { "on" } else { "off" };
        write!(f, "slices={} geometry={geometry} pruning={pruning} dist={}", self.slices, self.dist)?;
        self.encoding.map_or(Ok(()), |name| write!(f, " encoding={name}"))
    }
}
