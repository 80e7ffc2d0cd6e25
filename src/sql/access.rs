//! What COPY and UNLOAD share: the options that were given, and who reads or writes the files.

use crate::common::error::Position;
use crate::common::{Error, Result, SqlState};

use super::ast::{Credentials, IamRole};
use super::cursor::{Cursor, invalid, syntax_error};

/// The options that a statement has given, by name and place.
pub(super) struct Said {
    statement: &'static str,
    pub names: Vec<(&'static str, Position)>,
}

impl Said {
    pub fn of(statement: &'static str) -> Self {
        Said { statement, names: Vec::new() }
    }

    pub fn note(&mut self, name: &'static str, position: Position) -> Result<()> {
        if self.has(name) {
            let message = format!("{} option {name} is given twice", self.statement);
            return Err(syntax_error(message, position).with_hint("give it once"));
        }
        self.names.push((name, position));
        Ok(())
    }

    pub fn at(&self, name: &str) -> Option<Position> {
        self.names.iter().find(|(n, _)| *n == name).map(|(_, p)| *p)
    }

    pub fn has(&self, name: &str) -> bool {
        self.at(name).is_some()
    }

    /// Errors for credentials that are given in several ways, or by half.
    pub fn check_credentials(&self) -> Result<()> {
        const WAYS: [&str; 3] = ["IAM_ROLE", "CREDENTIALS", "ACCESS_KEY_ID"];
        let mut ways = self.names.iter().filter(|(name, _)| WAYS.contains(name));
        if let (Some((first, _)), Some((second, position))) = (ways.next(), ways.next()) {
            return Err(syntax_error(format!("{second} does not go with {first}"), *position)
                .with_hint("give credentials in one way"));
        }
        for (name, needs) in [
            ("ACCESS_KEY_ID", "SECRET_ACCESS_KEY"),
            ("SECRET_ACCESS_KEY", "ACCESS_KEY_ID"),
            ("SESSION_TOKEN", "ACCESS_KEY_ID"),
        ] {
            if let (Some(position), None) = (self.at(name), self.at(needs)) {
                return Err(syntax_error(format!("{name} needs {needs}"), position).with_hint("give both"));
            }
        }
        Ok(())
    }
}

/// Whether `word`, which was read, is one of the options that say who reads or writes the files, and in which region.
pub(super) fn option(
    c: &mut Cursor,
    word: &str,
    position: Position,
    said: &mut Said,
    credentials: &mut Credentials,
    region: &mut Option<String>,
) -> Result<bool> {
    match word {
        "WITH" if c.is("CREDENTIALS") => {}
        "IAM_ROLE" => {
            said.note("IAM_ROLE", position)?;
            c.take("AS");
            credentials.iam_role = Some(match c.take("DEFAULT") {
                true => IamRole::Default,
                false => iam_role(string(c, "default or the role's name as a string")?),
            });
        }
        "CREDENTIALS" => {
            said.note("CREDENTIALS", position)?;
            c.take("AS");
            let place = c.position();
            *credentials = pairs(&string(c, "the credentials as a string")?, place)?;
        }
        "ACCESS_KEY_ID" => credentials.access_key_id = Some(text(c, said, "ACCESS_KEY_ID", position)?),
        "SECRET_ACCESS_KEY" => credentials.secret_access_key = Some(text(c, said, "SECRET_ACCESS_KEY", position)?),
        "SESSION_TOKEN" => credentials.session_token = Some(text(c, said, "SESSION_TOKEN", position)?),
        "REGION" => *region = Some(text(c, said, "REGION", position)?),
        _ => return Ok(false),
    }
    Ok(true)
}

/// `[AS] 'text'`
pub(super) fn text(c: &mut Cursor, said: &mut Said, name: &'static str, position: Position) -> Result<String> {
    said.note(name, position)?;
    c.take("AS");
    string(c, &format!("{name} as a string"))
}

/// `[AS] 'c'`: an ASCII character, also as `\t` or in octal as `\ddd`.
pub(super) fn one_char(c: &mut Cursor, name: &str) -> Result<u8> {
    c.take("AS");
    let position = c.position();
    let text = c.string("one character as a string")?;
    let byte = match text.as_bytes() {
        [byte] => Some(*byte),
        b"\\t" => Some(b'\t'),
        [b'\\', digits @ ..] if (1..=3).contains(&digits.len()) && digits.iter().all(|d| (b'0'..=b'7').contains(d)) => {
            u8::from_str_radix(&text[1..], 8).ok()
        }
        _ => None,
    };
    match byte {
        Some(byte) if byte.is_ascii() && !matches!(byte, b'\n' | b'\r' | 0) => Ok(byte),
        _ => Err(wrong(format!("{name} must be one ASCII character, and no newline"), position)
            .with_hint("write for example '|', '\\t' or, in octal, '\\001'")),
    }
}

pub(super) fn wrong(message: impl Into<String>, position: Position) -> Error {
    invalid(SqlState::INVALID_PARAMETER, message, position)
}

/// A string; another token is not repeated in the error, since it may be a secret.
fn string(c: &mut Cursor, what: &str) -> Result<String> {
    c.string(what).map_err(|e| {
        let position = e.position().unwrap_or(c.position());
        syntax_error(format!("expected {what}"), position)
    })
}

fn iam_role(text: String) -> IamRole {
    if text.eq_ignore_ascii_case("default") { IamRole::Default } else { IamRole::Arn(text) }
}

/// `name=value;…`. The text is not repeated in errors: it holds secrets.
fn pairs(text: &str, position: Position) -> Result<Credentials> {
    let error = |message: &str| {
        wrong(message, position)
            .with_hint("write 'aws_iam_role=…', 'aws_access_key_id=…;aws_secret_access_key=…[;token=…]' or 'profile=…'")
    };
    let mut found = Credentials::default();
    for part in text.split(';').map(str::trim).filter(|p| !p.is_empty()) {
        let (name, value) = part.split_once('=').ok_or_else(|| error("CREDENTIALS must be name=value pairs"))?;
        let value = value.trim().to_string();
        match name.trim().to_ascii_lowercase().as_str() {
            "aws_iam_role" => found.iam_role = Some(iam_role(value)),
            "aws_access_key_id" => found.access_key_id = Some(value),
            "aws_secret_access_key" => found.secret_access_key = Some(value),
            "token" => found.session_token = Some(value),
            // Ours: AWS's own tools have profiles, and other providers are none of Redshift's.
            "profile" if !value.is_empty() => found.profile = Some(value),
            name if name.starts_with("google_") || name.starts_with("azure_") => {
                found.settings.push((name.to_string(), value));
            }
            _ => return Err(error("CREDENTIALS has an unknown name")),
        }
    }
    let keys = match (&found.access_key_id, &found.secret_access_key, &found.session_token) {
        (Some(_), Some(_), _) => Some(true),
        (None, None, None) => Some(false),
        _ => None,
    };
    let ways = [Some(found.iam_role.is_some()), keys, Some(found.profile.is_some()), Some(!found.settings.is_empty())];
    match ways.iter().all(Option::is_some) && ways.iter().filter(|way| **way == Some(true)).count() == 1 {
        true => Ok(found),
        false => Err(error("CREDENTIALS needs a role, or a key id and its secret, or a profile: one of them")),
    }
}
