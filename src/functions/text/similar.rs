//! `SIMILAR TO`, and LIKE with an escape character and a computed pattern: what `sql::rewrite` makes of these operators.

use std::sync::Arc;

use arrow::array::ArrayRef;
use arrow::datatypes::DataType;
use datafusion::common::Result;
use datafusion::logical_expr::ScalarUDF;
use regex::Regex;

use super::super::kernel::{Args, Function, Param, invalid};
use super::pattern::{brackets, build};

pub(super) fn additions() -> Vec<Arc<ScalarUDF>> {
    vec![
        Function {
            name: "similar_to",
            aliases: &[],
            params: &[Param::Text; 3],
            required: 2,
            returns: DataType::Boolean,
            compute: similar_to,
        }
        .udf(),
        Function {
            name: "like_pattern",
            aliases: &[],
            params: &[Param::Text; 2],
            required: 2,
            returns: DataType::Utf8View,
            compute: like_pattern,
        }
        .udf(),
    ]
}

/// The escape character of an operator: one character, or none.
fn escape_of(operator: &str, written: &str) -> Result<Option<char>> {
    let mut chars = written.chars();
    match (chars.next(), chars.next()) {
        (escape, None) => Ok(escape),
        _ => Err(invalid(operator, format!("the escape \"{written}\" is more than one character"))),
    }
}

/// `similar_to(text, pattern [, escape])`: whether the whole text matches; the escape is a backslash by default.
fn similar_to(args: &Args) -> Result<ArrayRef> {
    let mut last: Option<(String, String, Regex)> = None;
    args.bools(|row| {
        let (Some(text), Some(pattern)) = (args.text(0, row), args.text(1, row)) else { return Ok(None) };
        let escape = args.text(2, row).unwrap_or("\\");
        let made = match last.take() {
            Some(made) if made.0 == pattern && made.1 == escape => made,
            _ => {
                let written = regular(pattern, escape_of("SIMILAR TO", escape)?)?;
                let regex = build("SIMILAR TO", pattern, &written, false, true)?;
                (pattern.to_string(), escape.to_string(), regex)
            }
        };
        let (_, _, regex) = last.insert(made);
        Ok(Some(regex.is_match(text)))
    })
}

/// The regular expression of a pattern of SIMILAR TO: `%` and `_` as in LIKE, with `| * + ? { } ( ) [ ]`.
fn regular(pattern: &str, escape: Option<char>) -> Result<String> {
    let mut written = String::from("^(?:");
    let mut chars = pattern.chars();
    let mut in_brackets = false;
    while let Some(c) = chars.next() {
        match c {
            _ if Some(c) == escape => match chars.next() {
                Some(literal) => written.push_str(&regex::escape(literal.encode_utf8(&mut [0; 4]))),
                None => return Err(invalid("SIMILAR TO", format!("the pattern \"{pattern}\" ends with its escape"))),
            },
            '\\' => written.push_str("\\\\"),
            '[' if in_brackets && chars.as_str().starts_with(':') => {
                // To the end of the class's name.
                written.push(c);
                for c in chars.by_ref() {
                    written.push(c);
                    if c == ']' {
                        break;
                    }
                }
            }
            _ if in_brackets => {
                in_brackets = c != ']';
                written.push(c);
            }
            '[' => {
                in_brackets = true;
                written.push(c);
            }
            '%' => written.push_str(".*"),
            '_' => written.push('.'),
            '(' => written.push_str("(?:"),
            '|' | '*' | '+' | '?' | '{' | '}' | ')' => written.push(c),
            _ => written.push_str(&regex::escape(c.encode_utf8(&mut [0; 4]))),
        }
    }
    written.push_str(")$");
    Ok(brackets(&written))
}

/// `like_pattern(pattern, escape)`: the pattern of LIKE with a backslash as its escape.
fn like_pattern(args: &Args) -> Result<ArrayRef> {
    args.texts(|row| {
        let (Some(pattern), Some(escape)) = (args.text(0, row), args.text(1, row)) else { return Ok(None) };
        let escape = escape_of("LIKE", escape)?;
        let mut written = String::with_capacity(pattern.len());
        let mut chars = pattern.chars();
        while let Some(c) = chars.next() {
            if Some(c) == escape {
                let Some(literal) = chars.next() else {
                    return Err(invalid("LIKE", format!("the pattern \"{pattern}\" ends with its escape")));
                };
                if matches!(literal, '%' | '_' | '\\') {
                    written.push('\\');
                }
                written.push(literal);
            } else {
                if c == '\\' {
                    written.push('\\');
                }
                written.push(c);
            }
        }
        Ok(Some(written))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_pattern_of_similar_to_is_a_regular_expression() {
        for (pattern, text, expected) in [
            ("abc", "abc", true),
            ("a", "abc", false),
            ("%(b|d)%", "abc", true),
            ("(b|c)%", "abc", false),
            ("_b_", "abc", true),
            ("a.c", "abc", false),
            ("a.c", "a.c", true),
            ("a{2}", "aa", true),
            ("[a-c]+", "abc", true),
            ("[a%]+", "%a", true),
            ("[[:digit:]]+", "42", true),
            (r"100\%", "100%", true),
            (r"100\%", "1000", false),
            ("^a$", "a", false),
            ("%", "two\nlines", true),
            ("日_", "日本", true),
        ] {
            let regex = build("f", pattern, &regular(pattern, Some('\\')).unwrap(), false, true).unwrap();
            assert_eq!(regex.is_match(text), expected, "{text} similar to {pattern}");
        }
        assert!(regular("a\\", Some('\\')).is_err());
    }
}
