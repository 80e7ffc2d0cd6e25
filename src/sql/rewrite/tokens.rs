//! Spellings that `sqlparser` cannot read.

use sqlparser::keywords::Keyword;
use sqlparser::tokenizer::{Token, TokenWithSpan, Word};

use super::refused;
use crate::common::Result;
use crate::sql::cursor::at;
use crate::sql::depth;

/// Powers in one expression.
const MAX_POWERS: usize = 100;

/// `APPROXIMATE COUNT(DISTINCT …)` becomes a function of another name; of `APPROXIMATE PERCENTILE_DISC(…)` the exact
/// answer is one. `a # b` is what `sqlparser` reads as `a XOR b`, and of casts BINARY VARYING is VARBINARY.
///
/// Errors: Unsupported for a function whose arguments cannot be read. Invalid for a chain of `^` that is too long: each is a call within a call.
pub(in crate::sql) fn rewrite(tokens: &mut Vec<TokenWithSpan>) -> Result<()> {
    refused::tokens(tokens)?;
    let mut powers = 0;
    for t in tokens.iter() {
        match &t.token {
            Token::Caret if powers == MAX_POWERS => return Err(depth::too_complex(at(t.span.start))),
            Token::Caret => powers += 1,
            Token::Comma | Token::SemiColon => powers = 0,
            Token::Word(w) if matches!(w.keyword, Keyword::AND | Keyword::OR | Keyword::THEN | Keyword::FROM) => {
                powers = 0
            }
            _ => {}
        }
    }
    for token in tokens.iter_mut().filter(|t| t.token == Token::Sharp) {
        token.token = Token::make_keyword("XOR");
    }
    let words: Vec<usize> = (0..tokens.len()).filter(|i| !matches!(tokens[*i].token, Token::Whitespace(_))).collect();
    let is = |tokens: &[TokenWithSpan], at: Option<&usize>, word: &str| {
        at.and_then(|at| tokens.get(*at)).is_some_and(|t| match &t.token {
            Token::Word(w) => w.quote_style.is_none() && w.value.eq_ignore_ascii_case(word),
            _ => false,
        })
    };
    let mut dropped = Vec::new();
    for (n, at) in words.iter().enumerate() {
        let before = |back: usize| n.checked_sub(back).and_then(|n| words.get(n));
        let of_cast = is(tokens, before(1), "AS")
            || before(1).is_some_and(|at| tokens[*at].token == Token::DoubleColon)
            || (is(tokens, before(2), "CONVERT") && before(1).is_some_and(|at| tokens[*at].token == Token::LParen));
        if of_cast
            && is(tokens, Some(at), "BINARY")
            && let Some(varying) = words.get(n + 1).filter(|at| is(tokens, Some(at), "VARYING"))
        {
            tokens[*at].token = Token::make_keyword("VARBINARY");
            dropped.push(*varying);
            continue;
        }
        let opens = |n: usize| words.get(n).is_some_and(|at| tokens[*at].token == Token::LParen);
        if !is(tokens, Some(at), "APPROXIMATE") || !opens(n + 2) {
            continue;
        }
        let function = words.get(n + 1);
        if is(tokens, function, "COUNT") && is(tokens, words.get(n + 3), "DISTINCT") {
            if let Some(function) = function {
                tokens[*function].token = Token::Word(Word {
                    value: "approximate_count".to_string(),
                    quote_style: None,
                    keyword: Keyword::NoKeyword,
                });
            }
            dropped.push(*at);
        } else if is(tokens, function, "PERCENTILE_DISC") {
            dropped.push(*at);
        }
    }
    let mut dropped = dropped.into_iter().peekable();
    let mut at = 0;
    tokens.retain(|_| {
        let drop = dropped.next_if_eq(&at).is_some();
        at += 1;
        !drop
    });
    Ok(())
}
