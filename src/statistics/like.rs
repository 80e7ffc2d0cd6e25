//! LIKE on values that statistics hold, and what its pattern lets guess.

/// The share of texts that a pattern is thought to match at least: who asks expects something.
pub(super) const LEAST: f64 = 0.005;

/// Whether `text` matches; `%`, `_` and the escape `\`, as Arrow's kernels have them.
pub(super) fn matches(pattern: &str, text: &str, case_insensitive: bool) -> bool {
    let fold = |text: &str| -> Vec<char> {
        match case_insensitive {
            true => text.to_lowercase().chars().collect(),
            false => text.chars().collect(),
        }
    };
    let (pattern, text) = (parse(&fold(pattern)), fold(text));
    let (mut p, mut t) = (0, 0);
    // Where the last `%` stands and how far it has reached: it takes one more when what follows does not match.
    let mut retry: Option<(usize, usize)> = None;
    while t < text.len() {
        match pattern.get(p) {
            Some(Part::Any) => {
                retry = Some((p, t));
                p += 1;
            }
            Some(Part::One) => (p, t) = (p + 1, t + 1),
            Some(Part::Char(c)) if *c == text[t] => (p, t) = (p + 1, t + 1),
            _ => match retry {
                Some((at, reached)) => {
                    (p, t) = (at + 1, reached + 1);
                    retry = Some((at, reached + 1));
                }
                None => return false,
            },
        }
    }
    pattern[p..].iter().all(|part| *part == Part::Any)
}

/// The text that every match begins with, and whether the pattern asks for no more than that.
pub(super) fn prefix(pattern: &str) -> (String, bool) {
    let chars: Vec<char> = pattern.chars().collect();
    let parts = parse(&chars);
    let prefix: String = parts.iter().map_while(|p| if let Part::Char(c) = p { Some(*c) } else { None }).collect();
    let rest = &parts[prefix.chars().count()..];
    (prefix, !rest.is_empty() && rest.iter().all(|part| *part == Part::Any))
}

/// A guess of the share of texts that match what follows the prefix: a character a fifth, no less than [`LEAST`]; both as
/// PostgreSQL guesses.
pub(super) fn guess(pattern: &str) -> f64 {
    let chars: Vec<char> = pattern.chars().collect();
    let parts = parse(&chars);
    let rest = parts.iter().skip_while(|part| matches!(part, Part::Char(_)));
    let shares = rest.map(|part| match part {
        Part::Char(_) => 0.2,
        Part::One => 0.9,
        Part::Any => 5.0,
    });
    shares.fold(1.0, |share: f64, part: f64| (share * part).min(1.0)).max(LEAST)
}

#[derive(Debug, PartialEq)]
enum Part {
    Char(char),
    One,
    Any,
}

fn parse(pattern: &[char]) -> Vec<Part> {
    let mut parts = Vec::with_capacity(pattern.len());
    let mut chars = pattern.iter();
    while let Some(c) = chars.next() {
        parts.push(match c {
            '%' => Part::Any,
            '_' => Part::One,
            '\\' => Part::Char(*chars.next().unwrap_or(&'\\')),
            c => Part::Char(*c),
        });
    }
    parts
}
