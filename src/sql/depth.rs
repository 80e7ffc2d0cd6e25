//! Refuses statements whose tree would be so deep that walking or dropping it could overflow the stack.
//!
//! `sqlparser` bounds its own recursion, but builds `1 + 1 + …` and `int[][]…` in loops, as deep as they are long, and
//! reads nested types without a bound.

use sqlparser::tokenizer::{Token, TokenWithSpan};

use crate::common::error::Position;
use crate::common::{Error, SqlState};

use super::cursor::at;

/// Operators in one expression, measured so that a debug build stays within a thread's 2 MiB.
pub(super) const MAX_OPERATORS: usize = 2000;
/// Set operations in one query.
const MAX_SET_OPERATIONS: usize = 500;
/// Open brackets of any kind.
const MAX_BRACKETS: usize = 100;
/// The same word again and again, and types in angle brackets.
const MAX_REPEATED: usize = 40;

const STATEMENT_TOO_COMPLEX: SqlState = SqlState("54001");

pub(super) fn too_complex(position: Position) -> Error {
    Error::invalid(STATEMENT_TOO_COMPLEX, "the statement is nested too deeply")
        .with_position(position.line, position.column)
        .with_hint("nest fewer expressions; write IN or VALUES for many alternatives")
}

#[derive(Default)]
struct Level {
    operators: usize,
    set_operations: usize,
}

pub(super) fn check(tokens: &[TokenWithSpan]) -> Result<(), Error> {
    let mut levels = vec![Level::default()];
    let mut previous: Option<&str> = None;
    let mut repeated = 0;
    let mut nested_types = 0;
    for TokenWithSpan { token, span } in tokens {
        let depth = levels.len();
        let Some(level) = levels.last_mut() else { return Err(too_complex(at(span.start))) };
        let mut word = None;
        match token {
            Token::Whitespace(_) => continue,
            Token::SemiColon => {
                levels = vec![Level::default()];
                (repeated, nested_types) = (0, 0);
            }
            Token::LParen | Token::LBrace => levels.push(Level::default()),
            Token::LBracket => {
                level.operators += 1;
                levels.push(Level::default());
            }
            Token::RParen | Token::RBrace | Token::RBracket if depth > 1 => {
                levels.pop();
            }
            Token::Comma => level.operators = 0,
            Token::Word(w) if w.quote_style.is_none() => {
                let text = w.value.as_str();
                if previous.is_some_and(|p| p.eq_ignore_ascii_case(text)) {
                    repeated += 1;
                } else {
                    repeated = 0;
                }
                word = Some(text);
                let upper = text.to_ascii_uppercase();
                match upper.as_str() {
                    "UNION" | "EXCEPT" | "INTERSECT" | "MINUS" => {
                        level.operators = 0;
                        level.set_operations += 1;
                    }
                    "WHEN" | "THEN" | "ELSE" | "SELECT" | "WHERE" | "HAVING" | "ON" => level.operators = 0,
                    "AND" | "OR" | "XOR" | "NOT" | "IS" | "IN" | "LIKE" | "ILIKE" | "RLIKE" | "REGEXP" | "SIMILAR"
                    | "BETWEEN" | "OVERLAPS" | "COLLATE" | "AT" | "DIV" | "OPERATOR" | "MEMBER" | "NOTNULL"
                    | "ISNULL" => level.operators += 1,
                    // These nest tables, and commas between them do not end that.
                    "PIVOT" | "UNPIVOT" | "MATCH_RECOGNIZE" => level.set_operations += 1,
                    _ => {}
                }
            }
            Token::Lt => {
                let is_type = |w: &str| ["ARRAY", "STRUCT", "MAP", "TUPLE"].iter().any(|t| w.eq_ignore_ascii_case(t));
                nested_types += usize::from(previous.is_some_and(is_type));
                level.operators += 1;
            }
            Token::Word(_) | Token::Number(..) | Token::SingleQuotedString(_) | Token::Period => {}
            _ => level.operators += 1,
        }
        previous = word;
        let too_deep = levels.len() > MAX_BRACKETS
            || repeated > MAX_REPEATED
            || nested_types > MAX_REPEATED
            || levels.last().is_some_and(|l| l.operators > MAX_OPERATORS || l.set_operations > MAX_SET_OPERATIONS);
        if too_deep {
            return Err(too_complex(at(span.start)));
        }
    }
    Ok(())
}
