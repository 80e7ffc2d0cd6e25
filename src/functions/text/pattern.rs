//! Redshift's regular expressions as the `regex` crate reads them.

use datafusion::common::{DataFusionError, Result};
use regex::{Regex, RegexBuilder};

use super::super::kernel::invalid;
use crate::common::Error;

/// Larger programs are refused: a pattern is data, and repetition within repetition grows without bound.
const MAX_PROGRAM_BYTES: usize = 4 << 20;

/// How a pattern is read: the letters of the `parameters` argument.
#[derive(Debug, Default, Clone, Copy, PartialEq, Eq)]
pub(super) struct Flags {
    /// `i`, which `c` undoes.
    ignore_case: bool,
    /// `e`: the first group is what matches.
    pub group: bool,
    /// `p`: Perl's dialect, in which `.` is no newline.
    perl: bool,
}

impl Flags {
    /// Errors: Invalid for another letter, which is named.
    pub fn read(function: &str, letters: &str) -> Result<Self> {
        let mut flags = Flags::default();
        for letter in letters.chars() {
            match letter {
                'c' => flags.ignore_case = false,
                'i' => flags.ignore_case = true,
                'e' => flags.group = true,
                'p' => flags.perl = true,
                other => {
                    let message = format!("parameter '{other}' is not known; there are c, i, e and p");
                    return Err(invalid(function, message));
                }
            }
        }
        Ok(flags)
    }
}

/// Compiles a pattern. Errors: Unsupported for look-around and back references, Invalid for what is no pattern.
pub(super) fn compile(function: &str, pattern: &str, flags: Flags) -> Result<Regex> {
    if let Some(what) = beyond_regular(pattern) {
        let error = Error::unsupported(format!("{function}: {what} in the pattern \"{pattern}\" is not supported"))
            .with_hint("patterns are regular expressions in the strict sense: their time is linear in the text");
        return Err(DataFusionError::External(Box::new(error)));
    }
    build(function, pattern, &brackets(pattern), flags.ignore_case, !flags.perl)
}

/// Compiles what is written for the crate already; `pattern` is what the user wrote.
pub(super) fn build(
    function: &str,
    pattern: &str,
    written: &str,
    ignore_case: bool,
    dot_is_newline: bool,
) -> Result<Regex> {
    let built = RegexBuilder::new(written)
        .case_insensitive(ignore_case)
        .dot_matches_new_line(dot_is_newline)
        .size_limit(MAX_PROGRAM_BYTES)
        .build();
    built.map_err(|e| {
        let why = match &e {
            regex::Error::CompiledTooBig(_) => "it is too large".to_string(),
            // The last line says what is wrong, those before show where.
            other => other.to_string().lines().last().unwrap_or_default().replace("error: ", ""),
        };
        invalid(function, format!("the pattern \"{pattern}\" cannot be used: {why}"))
    })
}

/// What the pattern has that no finite automaton can do.
fn beyond_regular(pattern: &str) -> Option<&'static str> {
    let mut rest = pattern;
    let mut in_brackets = false;
    while let Some(c) = rest.chars().next() {
        let next = rest[c.len_utf8()..].chars().next();
        match c {
            '\\' => {
                if !in_brackets && next.is_some_and(|n| ('1'..='9').contains(&n)) {
                    return Some("a back reference");
                }
                rest = &rest[1..];
                rest = &rest[next.map_or(0, char::len_utf8)..];
                continue;
            }
            '[' if !in_brackets => in_brackets = true,
            ']' if in_brackets => in_brackets = false,
            '(' if !in_brackets => {
                if ["(?=", "(?!"].iter().any(|open| rest.starts_with(open)) {
                    return Some("look-ahead");
                }
                if ["(?<=", "(?<!"].iter().any(|open| rest.starts_with(open)) {
                    return Some("look-behind");
                }
                if rest.starts_with("(?>") {
                    return Some("an atomic group");
                }
            }
            _ => {}
        }
        rest = &rest[c.len_utf8()..];
    }
    None
}

/// Within brackets the crate gives a meaning to `[`, `&&`, `--` and `~~` that POSIX does not.
pub(super) fn brackets(pattern: &str) -> String {
    let mut written = String::with_capacity(pattern.len());
    let mut chars = pattern.chars().peekable();
    let mut in_brackets = false;
    while let Some(c) = chars.next() {
        match c {
            '\\' => {
                written.push(c);
                written.extend(chars.next());
            }
            '[' if !in_brackets => {
                in_brackets = true;
                written.push(c);
                // A bracket that closes is an ordinary character in the first place.
                if chars.peek() == Some(&'^') {
                    written.extend(chars.next());
                }
                if chars.peek() == Some(&']') {
                    chars.next();
                    written.push_str("\\]");
                }
            }
            '[' if chars.peek() == Some(&':') => {
                written.push(c);
                // To the end of the class's name.
                for c in chars.by_ref() {
                    written.push(c);
                    if c == ']' {
                        break;
                    }
                }
            }
            '[' => written.push_str("\\["),
            ']' => {
                in_brackets = false;
                written.push(c);
            }
            '&' | '~' | '-' if in_brackets && chars.peek() == Some(&c) => {
                written.push('\\');
                written.push(c);
            }
            _ => written.push(c),
        }
    }
    written
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn brackets_mean_what_posix_says() {
        for (pattern, text, expected) in [
            ("^[[:alpha:]]+$", "abc", true),
            ("^[[:alpha:]_]+$", "a_c", true),
            ("^[]a]+$", "]a]", true),
            ("^[^]a]+$", "bc", true),
            ("^[a[]+$", "[a", true),
            ("^[&&a]+$", "&a", true),
            ("^[~~]+$", "~", true),
            ("a.b", "a\nb", true),
            (r"^\[x$", "[x", true),
            (r"^\w+$", "é", true),
        ] {
            let regex = compile("f", pattern, Flags::default()).unwrap();
            assert_eq!(regex.is_match(text), expected, "{pattern}");
        }
    }

    #[test]
    fn what_no_automaton_does_is_refused_by_name() {
        for (pattern, what) in [
            ("a(?=b)", "look-ahead"),
            ("a(?!b)", "look-ahead"),
            ("(?<=a)b", "look-behind"),
            ("(?<!a)b", "look-behind"),
            ("(?>a)b", "an atomic group"),
            (r"(a)\1", "a back reference"),
        ] {
            let message = compile("f", pattern, Flags::default()).unwrap_err().to_string();
            assert!(message.contains(what), "{message}");
        }
        for pattern in [r"\(?=b", "[(?=]", "(?:a)", "(?i)a", "(?<name>a)"] {
            compile("f", pattern, Flags::default()).unwrap_or_else(|e| panic!("{pattern}: {e}"));
        }
    }

    #[test]
    fn a_pattern_that_is_none_says_why() {
        let message = compile("regexp_count", "a(b", Flags::default()).unwrap_err().to_string();
        assert!(message.contains("regexp_count: the pattern \"a(b\" cannot be used: unclosed group"), "{message}");
        let message = compile("f", "((a{1000}){1000}){1000}", Flags::default()).unwrap_err().to_string();
        assert!(message.contains("too large"), "{message}");
        assert!(Flags::read("f", "x").unwrap_err().to_string().contains("'x'"));
    }
}
