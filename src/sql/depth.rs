//! Refuses statements whose tree would be so deep that walking or dropping it could overflow the stack.
//!
//! `sqlparser` bounds its own recursion, but builds `1 + 1 + …` and `int[][]…` in loops, as deep as they are long, and
//! reads nested types without a bound. Broken text can also take it exponentially long.

use sqlparser::tokenizer::{Token, TokenWithSpan};

use crate::common::error::Position;
use crate::common::{Error, SqlState};

use super::cursor::at;

/// Levels of one expression: AND and OR, and the longest run of other operators between them. A tree this deep can be
/// dropped and shown on a thread's 2 MiB in a debug build. Cloning or comparing one there cannot: statements are moved.
pub(super) const MAX_OPERATORS: usize = 2000;
/// Set operations in one query.
const MAX_SET_OPERATIONS: usize = 500;
/// Open brackets of any kind.
const MAX_BRACKETS: usize = 100;
/// The same word again and again: `interval interval …` is read by a recursion that is not bounded. Only END, which
/// closes, repeats in SQL that means something.
const MAX_REPEATED: usize = 8;
/// Types in angle brackets.
const MAX_NESTED_TYPES: usize = 20;

/// Constructs open at once whose first word might as well be a name: `sqlparser` reads what follows once for either,
/// so that broken text takes twice as long with every level.
const MAX_AMBIGUOUS: usize = 16;

/// Those words, where a bracket or an operator follows.
const AMBIGUOUS: [&str; 19] = [
    "ARRAY",
    "CASE",
    "CAST",
    "CEIL",
    "CONVERT",
    "CURRENT_DATE",
    "CURRENT_TIME",
    "CURRENT_TIMESTAMP",
    "FLOOR",
    "INTERVAL",
    "LOCALTIME",
    "LOCALTIMESTAMP",
    "NOT",
    "OVERLAY",
    "SAFE_CAST",
    "SUBSTR",
    "SUBSTRING",
    "TRY_CAST",
    "TRY_CONVERT",
];

/// How many times two a construct costs.
fn ambiguity(word: &str) -> usize {
    match word {
        // Read in three ways.
        _ if word.eq_ignore_ascii_case("POSITION") => 2,
        _ if AMBIGUOUS.iter().any(|w| word.eq_ignore_ascii_case(w)) => 1,
        _ => 0,
    }
}

const STATEMENT_TOO_COMPLEX: SqlState = SqlState("54001");

pub(super) fn too_complex(position: Position) -> Error {
    Error::invalid(STATEMENT_TOO_COMPLEX, "the statement is nested too deeply")
        .with_position(position.line, position.column)
        .with_hint("nest fewer expressions; write IN or VALUES for many alternatives")
}

#[derive(Default)]
struct Level {
    /// Since the last list item or clause.
    connectives: usize,
    /// The same, since the last connective.
    operators: usize,
    set_operations: usize,
    /// Here and in the levels around.
    ambiguous: usize,
    ambiguous_around: usize,
}

impl Level {
    fn new_expression(&mut self) {
        (self.connectives, self.operators) = (0, 0);
        self.ambiguous = self.ambiguous_around;
    }

    /// A bracket opens behind `previous`.
    fn inner(&self, previous: Option<&str>) -> Level {
        let ambiguous = self.ambiguous + previous.map_or(0, ambiguity);
        Level { ambiguous, ambiguous_around: ambiguous, ..Level::default() }
    }

    /// An operator follows `previous`.
    fn operator(&mut self, previous: Option<&str>) {
        self.operators += 1;
        self.ambiguous += previous.map_or(0, ambiguity);
    }
}

/// Judges one statement after the other; gives how many brackets are open where most are.
pub(super) fn check(tokens: &[TokenWithSpan]) -> Result<usize, Error> {
    let mut brackets = 0;
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
            Token::LParen | Token::LBrace | Token::LBracket => {
                level.operators += usize::from(*token == Token::LBracket);
                let inner = level.inner(previous);
                levels.push(inner);
            }
            Token::RParen | Token::RBrace | Token::RBracket if depth > 1 => {
                levels.pop();
            }
            Token::Comma => level.new_expression(),
            Token::Word(w) if w.quote_style.is_none() => {
                let text = w.value.as_str();
                if previous.is_some_and(|p| p.eq_ignore_ascii_case(text)) && !text.eq_ignore_ascii_case("end") {
                    repeated += 1;
                } else {
                    repeated = 0;
                }
                word = Some(text);
                let upper = text.to_ascii_uppercase();
                match upper.as_str() {
                    "UNION" | "EXCEPT" | "INTERSECT" | "MINUS" => {
                        level.new_expression();
                        level.set_operations += 1;
                    }
                    "WHEN" | "THEN" | "ELSE" | "SELECT" | "WHERE" | "HAVING" | "ON" => level.new_expression(),
                    "AND" | "OR" | "XOR" => {
                        level.operators = 0;
                        level.connectives += 1;
                    }
                    "NOT" | "IS" | "IN" | "LIKE" | "ILIKE" | "RLIKE" | "REGEXP" | "SIMILAR" | "BETWEEN"
                    | "OVERLAPS" | "COLLATE" | "AT" | "DIV" | "OPERATOR" | "MEMBER" | "NOTNULL" | "ISNULL" => {
                        level.operators += 1
                    }
                    // These nest tables, and commas between them do not end that.
                    "PIVOT" | "UNPIVOT" | "MATCH_RECOGNIZE" => level.set_operations += 1,
                    _ => {}
                }
            }
            Token::Lt => {
                let is_type = |w: &str| ["ARRAY", "STRUCT", "MAP", "TUPLE"].iter().any(|t| w.eq_ignore_ascii_case(t));
                nested_types += usize::from(previous.is_some_and(is_type));
                level.operator(previous);
            }
            Token::Word(_) | Token::Number(..) | Token::SingleQuotedString(_) | Token::Period => {}
            _ => level.operator(previous),
        }
        previous = word;
        brackets = brackets.max(levels.len() - 1);
        let too_deep = brackets > MAX_BRACKETS
            || repeated > MAX_REPEATED
            || nested_types > MAX_NESTED_TYPES
            || levels.last().is_some_and(|l| {
                l.connectives + l.operators > MAX_OPERATORS
                    || l.set_operations > MAX_SET_OPERATIONS
                    || l.ambiguous > MAX_AMBIGUOUS
            });
        if too_deep {
            return Err(too_complex(at(span.start)));
        }
    }
    Ok(brackets)
}
