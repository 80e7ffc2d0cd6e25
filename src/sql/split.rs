//! Cutting a script into statements.

use sqlparser::tokenizer::{Location, Token, TokenWithSpan};

use crate::common::Result;
use crate::common::error::Position;

use super::ast::Statement;
use super::cursor::{START, at, tokenize};
use super::parser;

/// One statement of a script: from its first to its last token, without the semicolon.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct StatementText<'a> {
    pub text: &'a str,
    /// Where `text` begins in the script.
    pub position: Position,
}

impl StatementText<'_> {
    /// Parses it; positions are those of the script.
    pub fn parse(&self) -> Result<Statement> {
        parser::one(parser::parse_from(self.text, self.position)?, self.position)
    }
}

/// The statements of a script, which semicolons separate. Semicolons within strings, quoted names, dollar quotes and
/// comments do not; empty statements are left out. Where the text stops making sense (an open string, say), the rest
/// is one statement, whose parsing gives the error.
pub fn split(sql: &str) -> Vec<StatementText<'_>> {
    let (tokens, result) = tokenize(sql, START);
    let mut walk = Walk { sql, offset: 0, at: Location::new(1, 1) };
    let mut statements = Vec::new();
    let mut open: Option<(usize, Location, Location)> = None;
    let mut close = |open: &mut Option<(usize, Location, Location)>, walk: &mut Walk, to_end: bool| {
        if let Some((start, from, to)) = open.take() {
            let end = if to_end { sql.len() } else { walk.to(to) };
            statements.push(StatementText { text: sql[start..end].trim_end(), position: at(from) });
        }
    };
    for TokenWithSpan { token, span } in &tokens {
        match token {
            Token::Whitespace(_) => {}
            Token::SemiColon => close(&mut open, &mut walk, false),
            _ => match &mut open {
                Some((_, _, end)) => *end = span.end,
                None => open = Some((walk.to(span.start), span.start, span.end)),
            },
        }
    }
    if result.is_err() && open.is_none() {
        // The broken token is the statement's first one.
        let start = tokens.last().map_or(Location::new(1, 1), |t| t.span.end);
        open = Some((walk.to(start), start, start));
    }
    close(&mut open, &mut walk, result.is_err());
    statements
}

/// Whether a shell can run what was typed: it ends with a semicolon, or has nothing in it. False within a string,
/// a quoted name or a comment.
pub fn is_complete(sql: &str) -> bool {
    let (tokens, result) = tokenize(sql, START);
    if let Err(e) = result {
        // What more input cannot repair is run, so that its error is seen.
        return !["Unterminated", "Unexpected EOF", "before EOF", "dollar-quoted"]
            .iter()
            .any(|m| e.message.contains(m));
    }
    let last = tokens.iter().rev().find(|t| !matches!(t.token, Token::Whitespace(_)));
    last.is_none_or(|t| t.token == Token::SemiColon)
}

/// Finds byte offsets of places given in ascending order.
struct Walk<'a> {
    sql: &'a str,
    offset: usize,
    at: Location,
}

impl Walk<'_> {
    fn to(&mut self, place: Location) -> usize {
        for c in self.sql[self.offset..].chars() {
            if self.at >= place {
                break;
            }
            self.offset += c.len_utf8();
            self.at = match c {
                '\n' => Location::new(self.at.line + 1, 1),
                _ => Location::new(self.at.line, self.at.column + 1),
            };
        }
        self.offset
    }
}
