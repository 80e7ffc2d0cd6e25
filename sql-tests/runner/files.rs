//! The files to run, and what they must be like to mean anything.

use std::path::{Path, PathBuf};

use blueshift::engine::slt::SltLayout as Dist;

use super::config::Config;

/// What stands before the layout that a file needs.
const LAYOUT: &str = "# layout-dependent:";

/// The files below `folder`, in the order of their names.
pub fn below(folder: &Path) -> Vec<PathBuf> {
    let mut found = Vec::new();
    for entry in std::fs::read_dir(folder).expect("a folder") {
        let path = entry.expect("an entry").path();
        if path.is_dir() {
            found.extend(below(&path));
        } else if path.extension().is_some_and(|e| e == "slt") {
            found.push(path);
        }
    }
    found.sort();
    found
}

/// The configuration that a file's header names: `# layout-dependent: slices=2 geometry=tiny`. `geometry` is `tiny`
/// unless it says `normal`.
pub fn layout_of(text: &str) -> Option<Result<Config, String>> {
    let mut header = text.lines().take_while(|line| line.starts_with('#'));
    header.find_map(|line| line.strip_prefix(LAYOUT)).map(parse_layout)
}

fn parse_layout(words: &str) -> Result<Config, String> {
    let mut layout = Config { slices: 1, tiny: true, pruning: true, dist: Dist::Written, encoding: None };
    for word in words.split_whitespace() {
        match word.split_once('=') {
            Some(("slices", n)) => {
                layout.slices = n.parse().map_err(|_| format!("\"{n}\" is no number of slices"))?;
            }
            Some(("geometry", "tiny")) => layout.tiny = true,
            Some(("geometry", "normal")) => layout.tiny = false,
            _ => return Err(format!("unknown layout \"{word}\"")),
        }
    }
    Ok(layout)
}

/// Fails where a file holds something that makes its records pass whatever comes out.
pub fn check(text: &str) -> Result<(), String> {
    let lines: Vec<&str> = text.lines().collect();
    let mut records = 0;
    for (i, line) in lines.iter().enumerate() {
        let wrong = |why: &str| Err(format!("line {}: {why}: {line}", i + 1));
        let words: Vec<&str> = line.split_whitespace().collect();
        let record = || lines[i + 1..].iter().take_while(|l| !l.is_empty());
        match words[..] {
            ["skipif" | "onlyif" | "halt" | "control" | "hash-threshold" | "include", ..] => {
                return wrong("every record runs, and is compared in full");
            }
            ["statement" | "query", "error"] if !record().any(|l| *l == "----") => {
                return wrong("an error is expected, and not which");
            }
            ["query", "error", ..] | ["statement", ..] => records += 1,
            ["query", ..] if !record().any(|l| *l == "----") => return wrong("a query without its rows"),
            ["query", ..] => records += 1,
            ["#", "layout-dependent:", ..] if layout_of(text).is_none() => return wrong("not in the file's header"),
            ["#", first, ..] if first.starts_with("layout") && first != "layout-dependent:" => {
                return wrong("it is written \"# layout-dependent:\"");
            }
            _ => {}
        }
    }
    if records == 0 { Err("no record".into()) } else { Ok(()) }
}

/// Fails unless [`check`] and [`layout_of`] find what they are there for.
pub fn check_the_checks() -> Result<(), String> {
    let good = "# layout-dependent: slices=2 geometry=normal\nquery I\nselect 1\n----\n1\n\nstatement error no\nx\n";
    check(good)?;
    let wanted = Config { slices: 2, tiny: false, pruning: true, dist: Dist::Written, encoding: None };
    if layout_of(good) != Some(Ok(wanted)) {
        return Err("a layout is not read".into());
    }
    for bad in ["slices=two", "geometry=small", "slice=1", "tiny"] {
        if !matches!(layout_of(&format!("{LAYOUT} {bad}\n{good}")), Some(Err(_))) {
            return Err(format!("the layout {bad} is accepted"));
        }
    }
    for bad in [
        "# nothing\n",
        "skipif blueshift\nquery I\nselect 1\n----\n1\n",
        "onlyif other\nstatement ok\nselect 1\n",
        "statement error\nselct 1\n\nquery I\nselect 1\n----\n1\n",
        "query I\nselect 1\n\nquery I\nselect 1\n----\n1\n",
        "statement ok\nselect 1\n\n# layout-dependent: slices=2\n",
        "# layout-dependant: slices=2\nstatement ok\nselect 1\n",
        "statement ok\nselect 1\n\nhalt\n",
    ] {
        if check(bad).is_ok() {
            return Err(format!("accepted:\n{bad}"));
        }
    }
    Ok(())
}
