//! JSON read in place, by RFC 8259: nothing is built, and nesting takes no stack.

use std::borrow::Cow;

/// What is wrong, and at which byte.
type Wrong = String;

/// Whether the text is one JSON value.
pub(super) fn check(json: &str) -> Result<(), Wrong> {
    let mut scan = Scan { json, at: 0 };
    scan.value()?;
    scan.blanks();
    match scan.peek() {
        None => Ok(()),
        Some(_) => Err(scan.wrong("something follows the value")),
    }
}

/// Whether valid JSON is an array.
pub(super) fn is_array(json: &str) -> bool {
    json.trim_start_matches(BLANKS).starts_with('[')
}

/// The elements of an array, each as it is written. Errors where the text is no JSON array.
pub(super) fn elements(json: &str) -> Result<Vec<&str>, Wrong> {
    check(json)?;
    if !is_array(json) {
        return Err("it is not an array".to_string());
    }
    let mut elements = Vec::new();
    let mut scan = Scan { json, at: 0 };
    scan.blanks();
    scan.at += 1;
    loop {
        scan.blanks();
        match scan.peek() {
            None | Some(b']') => return Ok(elements),
            Some(b',') => scan.at += 1,
            Some(_) => {
                let from = scan.at;
                scan.value()?;
                elements.push(&json[from..scan.at]);
            }
        }
    }
}

/// The value of a key in a valid object, the last where it occurs more than once; `None` where the value is no object or
/// has no such key.
pub(super) fn member<'a>(object: &'a str, key: &str) -> Option<&'a str> {
    let mut scan = Scan { json: object, at: 0 };
    scan.blanks();
    if scan.peek() != Some(b'{') {
        return None;
    }
    scan.at += 1;
    let mut found = None;
    loop {
        scan.blanks();
        match scan.peek() {
            None | Some(b'}') => return found,
            Some(b',') => scan.at += 1,
            Some(_) => {
                let name = scan.string().ok()?;
                scan.blanks();
                scan.at += 1;
                scan.blanks();
                let from = scan.at;
                scan.value().ok()?;
                if unescape(name) == key {
                    found = Some(&object[from..scan.at]);
                }
            }
        }
    }
}

/// A valid value as text: a string without quotes and escapes, an object or array without blanks between its tokens,
/// anything else as it is written; `None` of null.
pub(super) fn text(value: &str) -> Option<String> {
    let value = value.trim_matches(BLANKS);
    match value.as_bytes().first() {
        Some(b'"') => Some(unescape(&value[1..value.len() - 1]).into_owned()),
        Some(b'n') => None,
        Some(b'{' | b'[') => Some(compact(value)),
        _ => Some(value.to_string()),
    }
}

const BLANKS: [char; 4] = [' ', '\t', '\n', '\r'];

fn compact(value: &str) -> String {
    let mut out = String::with_capacity(value.len());
    let mut in_string = false;
    let mut chars = value.chars();
    while let Some(c) = chars.next() {
        match c {
            '\\' if in_string => {
                out.push(c);
                out.extend(chars.next());
                continue;
            }
            '"' => in_string = !in_string,
            _ if !in_string && BLANKS.contains(&c) => continue,
            _ => {}
        }
        out.push(c);
    }
    out
}

/// The characters of a valid string. Half of a surrogate pair alone is the replacement character.
fn unescape(string: &str) -> Cow<'_, str> {
    if !string.contains('\\') {
        return string.into();
    }
    let mut units: Vec<u16> = Vec::new();
    let mut out = String::with_capacity(string.len());
    let mut chars = string.chars();
    while let Some(c) = chars.next() {
        let escaped = if c == '\\' { chars.next() } else { None };
        if escaped == Some('u') {
            let digits = chars.as_str().get(..4).unwrap_or_default();
            units.push(u16::from_str_radix(digits, 16).unwrap_or(0xfffd));
            chars = chars.as_str().get(4..).unwrap_or_default().chars();
            continue;
        }
        out.extend(char::decode_utf16(units.drain(..)).map(|c| c.unwrap_or(char::REPLACEMENT_CHARACTER)));
        out.push(match escaped {
            None => c,
            Some('n') => '\n',
            Some('t') => '\t',
            Some('r') => '\r',
            Some('b') => '\u{8}',
            Some('f') => '\u{c}',
            Some(other) => other,
        });
    }
    out.extend(char::decode_utf16(units).map(|c| c.unwrap_or(char::REPLACEMENT_CHARACTER)));
    out.into()
}

struct Scan<'a> {
    json: &'a str,
    at: usize,
}

impl<'a> Scan<'a> {
    fn peek(&self) -> Option<u8> {
        self.json.as_bytes().get(self.at).copied()
    }

    fn blanks(&mut self) {
        while matches!(self.peek(), Some(b' ' | b'\t' | b'\n' | b'\r')) {
            self.at += 1;
        }
    }

    fn wrong(&self, what: &str) -> Wrong {
        format!("{what} at byte {}", self.at + 1)
    }

    /// Goes past a value, however deep.
    fn value(&mut self) -> Result<(), Wrong> {
        // The brackets that are open.
        let mut open: Vec<u8> = Vec::new();
        loop {
            self.blanks();
            match self.peek() {
                Some(bracket @ (b'{' | b'[')) => {
                    self.at += 1;
                    self.blanks();
                    let close = if bracket == b'{' { b'}' } else { b']' };
                    if self.peek() != Some(close) {
                        open.push(close);
                        if close == b'}' {
                            self.key()?;
                        }
                        continue;
                    }
                    self.at += 1;
                }
                Some(b'"') => {
                    self.string()?;
                }
                Some(b'-' | b'0'..=b'9') => self.number()?,
                Some(_) => self.word()?,
                None => return Err(self.wrong("a value is missing")),
            }
            // What a value is followed by.
            loop {
                let Some(close) = open.last().copied() else { return Ok(()) };
                self.blanks();
                match self.peek() {
                    Some(b',') => {
                        self.at += 1;
                        if close == b'}' {
                            self.key()?;
                        }
                        break;
                    }
                    Some(c) if c == close => {
                        self.at += 1;
                        open.pop();
                    }
                    _ => return Err(self.wrong(if close == b'}' { "} is missing" } else { "] is missing" })),
                }
            }
        }
    }

    /// A key and its colon.
    fn key(&mut self) -> Result<(), Wrong> {
        self.blanks();
        if self.peek() != Some(b'"') {
            return Err(self.wrong("a key in double quotes is missing"));
        }
        self.string()?;
        self.blanks();
        if self.peek() != Some(b':') {
            return Err(self.wrong(": is missing"));
        }
        self.at += 1;
        Ok(())
    }

    /// What stands between the quotes.
    fn string(&mut self) -> Result<&'a str, Wrong> {
        let from = self.at + 1;
        self.at = from;
        loop {
            match self.peek() {
                None => return Err(self.wrong("a string is not closed")),
                Some(b'"') => {
                    self.at += 1;
                    return Ok(&self.json[from..self.at - 1]);
                }
                Some(b'\\') => {
                    let bytes = self.json.as_bytes();
                    self.at += match bytes.get(self.at + 1) {
                        Some(b'"' | b'\\' | b'/' | b'b' | b'f' | b'n' | b'r' | b't') => 2,
                        Some(b'u')
                            if bytes
                                .get(self.at + 2..self.at + 6)
                                .is_some_and(|digits| digits.iter().all(u8::is_ascii_hexdigit)) =>
                        {
                            6
                        }
                        _ => return Err(self.wrong("an escape is not known")),
                    };
                }
                Some(0..0x20) => return Err(self.wrong("a control character stands in a string")),
                Some(_) => self.at += 1,
            }
        }
    }

    fn digits(&mut self) -> Result<(), Wrong> {
        if !self.peek().is_some_and(|b| b.is_ascii_digit()) {
            return Err(self.wrong("a digit is missing"));
        }
        while self.peek().is_some_and(|b| b.is_ascii_digit()) {
            self.at += 1;
        }
        Ok(())
    }

    fn number(&mut self) -> Result<(), Wrong> {
        if self.peek() == Some(b'-') {
            self.at += 1;
        }
        match self.peek() {
            Some(b'0') => self.at += 1,
            _ => self.digits()?,
        }
        if self.peek() == Some(b'.') {
            self.at += 1;
            self.digits()?;
        }
        if let Some(b'e' | b'E') = self.peek() {
            self.at += 1;
            if let Some(b'+' | b'-') = self.peek() {
                self.at += 1;
            }
            self.digits()?;
        }
        Ok(())
    }

    fn word(&mut self) -> Result<(), Wrong> {
        let rest = &self.json.as_bytes()[self.at..];
        for word in ["true", "false", "null"] {
            if rest.starts_with(word.as_bytes()) {
                self.at += word.len();
                return Ok(());
            }
        }
        Err(self.wrong("a value is missing"))
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn what_is_json_and_what_is_not() {
        for json in [
            "1",
            "-0.5e+3",
            "\"a\"",
            "null",
            " [ ] ",
            "{}",
            "[1, [2, {\"a\": []}]]",
            r#"{"a":{"b":"\u00e9\n"}}"#,
            "[true,false]",
        ] {
            assert_eq!(check(json), Ok(()), "{json}");
        }
        for json in [
            "",
            " ",
            "a",
            "01",
            "1.",
            "[1,]",
            "[,1]",
            "{a:1}",
            "{\"a\"}",
            "{\"a\":1,}",
            "[1",
            "\"a",
            "\"\\x\"",
            "1 2",
            "\"\\u12g4\"",
            "nul",
            "{\"a\":}",
            "[}",
            "+1",
            "\"a\nb\"",
        ] {
            assert!(check(json).is_err(), "{json}");
        }
    }

    #[test]
    fn nesting_takes_no_stack() {
        let deep = format!("{}{}", "[".repeat(1_000_000), "]".repeat(1_000_000));
        assert_eq!(check(&deep), Ok(()));
        assert_eq!(elements(&deep).unwrap().len(), 1);
    }

    #[test]
    fn values_become_text() {
        for (value, expected) in [
            (r#""a\"b""#, Some("a\"b")),
            (r#""\ud83d\ude00""#, Some("😀")),
            (r#""\ud83d""#, Some("\u{fffd}")),
            (r#""\u0041\n""#, Some("A\n")),
            ("null", None),
            ("1.50", Some("1.50")),
            ("true", Some("true")),
            (r#"{ "a b" : [ 1, "x y\"" ] }"#, Some(r#"{"a b":[1,"x y\""]}"#)),
        ] {
            assert_eq!(text(value).as_deref(), expected);
        }
    }

    proptest! {
        #[test]
        fn agrees_with_serde(json in r#"[\[\]{}":,0-9.eE+\-a-n\\u ]{0,12}"#) {
            let theirs = serde_json::from_str::<serde_json::Value>(&json);
            // Serde also makes the values: numbers that no double holds and halves of pairs are errors to it.
            let made = theirs.as_ref().err().map(ToString::to_string).unwrap_or_default();
            prop_assume!(!made.contains("out of range") && !made.contains("surrogate"));
            prop_assert_eq!(check(&json).is_ok(), theirs.is_ok(), "{}", json);
        }

        #[test]
        fn reads_what_serde_writes(texts in proptest::collection::vec(any::<String>(), 0..5)) {
            let json = serde_json::to_string(&texts).unwrap();
            let read: Vec<_> = elements(&json).unwrap().into_iter().filter_map(text).collect();
            prop_assert_eq!(read, texts);
        }
    }
}
