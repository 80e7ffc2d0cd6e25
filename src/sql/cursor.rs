//! A place in the tokens of a text, and the small readings that all statements share.

use sqlparser::ast::VisitMut;
use sqlparser::keywords::Keyword;
use sqlparser::parser::{Parser, ParserError};
use sqlparser::tokenizer::{Location, Token, TokenWithSpan, Tokenizer, TokenizerError, Word};

use crate::common::error::Position;
use crate::common::{Error, Result, SqlState};

use super::ast::{Ident, ObjectName};
use super::dialect::BlueshiftDialect;
use super::rewrite::{rewrite, rewrite_tokens};
use super::{depth, unparse};

static DIALECT: BlueshiftDialect = BlueshiftDialect { table_versions: false };
static VERSIONED: BlueshiftDialect = BlueshiftDialect { table_versions: true };

/// Where a text begins.
pub(super) const START: Position = Position { line: 1, column: 1 };

/// The tokens of `sql` with positions in a text whose part from `origin` on it is. The tokens before an error are
/// kept.
pub(super) fn tokenize(sql: &str, origin: Position) -> (Vec<TokenWithSpan>, Result<(), TokenizerError>) {
    let moved = |at: Location| match at.line {
        0 => at,
        1 => Location::new(origin.line, at.column + origin.column - 1),
        _ => Location::new(at.line + origin.line - 1, at.column),
    };
    let mut tokens = Vec::new();
    let result = Tokenizer::new(&DIALECT, sql).tokenize_with_location_into_buf_with_mapper(&mut tokens, |mut token| {
        token.span.start = moved(token.span.start);
        token.span.end = moved(token.span.end);
        if let Token::Word(word) = &mut token.token {
            cut_name(&mut word.value);
        }
        token
    });
    (tokens, result.map_err(|e| TokenizerError { location: moved(e.location), ..e }))
}

/// What the tokenizer stopped at, and what to do about it; `broken` is where that begins.
fn unreadable(e: TokenizerError, broken: Position) -> Error {
    let hint = match e.message.as_str() {
        "Unexpected EOF while in a multi-line comment" => {
            return syntax_error("Unterminated comment", broken).with_hint("close it with */");
        }
        message if message.starts_with("Unterminated dollar-quoted") => {
            return syntax_error("Unterminated dollar-quoted string", broken)
                .with_hint("close it with the same $ or $word$ that opens it");
        }
        "Unterminated string literal" => Some("close it with '; within it, a ' is written twice"),
        "Expected close delimiter '\"' before EOF." => Some("close the name with \"; within it, a \" is written twice"),
        _ => None,
    };
    let error = syntax_error(e.message, at(e.location));
    match hint {
        Some(hint) => error.with_hint(hint),
        None => error,
    }
}

fn cut_name(name: &mut String) {
    if name.len() > Ident::MAX_BYTES {
        let at = (0..=Ident::MAX_BYTES).rev().find(|i| name.is_char_boundary(*i)).unwrap_or(0);
        name.truncate(at);
    }
}

const MAX_DECIMAL_DIGITS: i64 = 38;
const FAR_EXPONENT: i64 = 1 << 40;

/// The tokens of a text that makes sense and is not too deep, and how deep its brackets go.
pub(super) fn checked_tokens(sql: &str, origin: Position) -> Result<(Vec<TokenWithSpan>, usize)> {
    let (tokens, result) = tokenize(sql, origin);
    result.map_err(|e| unreadable(e, tokens.last().map_or(origin, |t| at(t.span.end))))?;
    let brackets = depth::check(&tokens)?;
    let mut tokens = float_numbers(tokens);
    rewrite_tokens(&mut tokens)?;
    Ok((tokens, brackets))
}

/// Writes each number with an exponent as what it is: DECIMAL, or DOUBLE where no DECIMAL holds it (`1e300`).
fn float_numbers(tokens: Vec<TokenWithSpan>) -> Vec<TokenWithSpan> {
    let mut written = Vec::with_capacity(tokens.len());
    for t in tokens {
        match without_exponent(&t.token) {
            Some(tokens) => written.extend(tokens.into_iter().map(|token| TokenWithSpan { token, span: t.span })),
            None => written.push(t),
        }
    }
    written
}

/// `None` of what has no exponent.
fn without_exponent(token: &Token) -> Option<Vec<Token>> {
    let Token::Number(number, _) = token else { return None };
    let (mantissa, exponent) = number.split_once(['e', 'E'])?;
    let (whole, fraction) = mantissa.split_once('.').unwrap_or((mantissa, ""));
    let digits = format!("{whole}{fraction}");
    let digits = digits.trim_start_matches('0');
    // So far off that no digits bring it back: what is beyond every type stays so, and the cast says so.
    let far = if exponent.starts_with('-') { -FAR_EXPONENT } else { FAR_EXPONENT };
    let scale = fraction.len() as i64 - exponent.parse().unwrap_or(far).clamp(-FAR_EXPONENT, FAR_EXPONENT);
    let (count, zeros) = (digits.len() as i64, (-scale).max(0));
    if scale.max(count + zeros) > MAX_DECIMAL_DIGITS {
        let double = [Token::SingleQuotedString(number.clone()), Token::DoubleColon, Token::make_keyword("FLOAT8")];
        return Some(double.into());
    }
    // The point keeps it from being an integer.
    (zeros > 0).then(|| vec![Token::Number(format!("{digits}{:0<1$}.", "", zeros as usize), false)])
}

/// Reads tokens one after the other.
pub(super) struct Cursor<'a> {
    parser: Parser<'static>,
    sql: &'a str,
    origin: Position,
    end: Position,
    /// Names that [`Cursor::ident`] gave cut.
    cut: Vec<Ident>,
}

impl<'a> Cursor<'a> {
    pub fn new(sql: &'a str, origin: Position) -> Result<Self> {
        Ok(Self::over(checked_tokens(sql, origin)?.0, sql, origin))
    }

    /// Over the tokens of `sql`, from [`checked_tokens`].
    pub fn over(tokens: Vec<TokenWithSpan>, sql: &'a str, origin: Position) -> Self {
        let last = tokens.iter().rfind(|t| !matches!(t.token, Token::Whitespace(_)));
        let end = last.map_or(origin, |t| at(t.span.end));
        let versioned = tokens.iter().any(|t| matches!(&t.token, Token::Word(w) if w.keyword == Keyword::SYSTEM_TIME));
        let dialect = if versioned { &VERSIONED } else { &DIALECT };
        let parser = Parser::new(dialect).with_tokens_with_locations(tokens);
        Cursor { parser, sql, origin, end, cut: Vec::new() }
    }

    /// Reads with `sqlparser`.
    pub fn with<T>(&mut self, read: impl FnOnce(&mut Parser<'static>) -> Result<T, ParserError>) -> Result<T>
    where
        T: VisitMut,
    {
        let mut parsed = read(&mut self.parser).map_err(|e| self.convert(e))?;
        rewrite(&mut parsed)?;
        Ok(parsed)
    }

    /// Where the next token stands; the end of the last one where there is none.
    pub fn position(&self) -> Position {
        let token = self.parser.peek_token_ref();
        if token.token == Token::EOF { self.end } else { at(token.span.start) }
    }

    pub fn token(&self, n: usize) -> &Token {
        &self.parser.peek_nth_token_ref(n).token
    }

    pub fn skip(&mut self) {
        self.parser.next_token();
    }

    /// The `n`th token ahead, if it is a word without quotes.
    pub fn word(&self, n: usize) -> Option<&Word> {
        match self.token(n) {
            Token::Word(word) if word.quote_style.is_none() => Some(word),
            _ => None,
        }
    }

    /// The next word in upper case, if it is one.
    pub fn upper_word(&self, n: usize) -> Option<String> {
        self.word(n).map(|w| w.value.to_ascii_uppercase())
    }

    /// Whether `words` (one or more, separated by blanks) come next, beginning with the `n`th token ahead.
    pub fn is_at(&self, n: usize, words: &str) -> bool {
        words
            .split(' ')
            .enumerate()
            .all(|(i, word)| self.word(n + i).is_some_and(|w| w.value.eq_ignore_ascii_case(word)))
    }

    pub fn is(&self, words: &str) -> bool {
        self.is_at(0, words)
    }

    /// Goes past `words` if they come next.
    pub fn take(&mut self, words: &str) -> bool {
        let found = self.is(words);
        if found {
            words.split(' ').for_each(|_| self.skip());
        }
        found
    }

    pub fn expect(&mut self, words: &str) -> Result<()> {
        if self.take(words) { Ok(()) } else { Err(self.expected(words)) }
    }

    pub fn take_token(&mut self, token: &Token) -> bool {
        self.parser.consume_token(token)
    }

    pub fn expect_token(&mut self, token: &Token) -> Result<()> {
        if self.take_token(token) { Ok(()) } else { Err(self.expected(&format!("\"{token}\""))) }
    }

    /// This place, for [`Cursor::back_to`].
    pub fn mark(&mut self) -> usize {
        // Past blanks and comments, where `prev_token` stops.
        self.parser.next_token();
        self.parser.prev_token();
        self.parser.index()
    }

    /// Goes back to a place that was marked.
    pub fn back_to(&mut self, mark: usize) {
        while self.parser.index() > mark {
            self.parser.prev_token();
        }
    }

    /// Whether the statement ends here.
    pub fn at_end(&self) -> bool {
        matches!(self.token(0), Token::EOF | Token::SemiColon)
    }

    /// A name; `what` it is for, in an error.
    pub fn ident(&mut self, what: &str) -> Result<Ident> {
        let position = self.position();
        let Token::Word(word) = self.token(0) else { return Err(self.expected(what)) };
        let quoted = word.quote_style.is_some();
        if !quoted && unparse::never_a_name(&word.value) {
            return Err(self
                .expected(what)
                .with_hint(format!("\"{}\" is a reserved word; put it in double quotes to use it as a name", word)));
        }
        let value = if quoted { word.value.clone() } else { word.value.to_ascii_lowercase() };
        if value.is_empty() {
            return Err(syntax_error("a name must not be empty", position));
        }
        let span = self.parser.peek_token_ref().span;
        let written = span.end.column.saturating_sub(span.start.column);
        self.skip();
        let ident = Ident { value, quoted, position };
        // A name that was cut takes more characters in the text than it has. One without doubled quotes, that is: each
        // of these takes two.
        let quotes = ident.value.matches('"').count() + if quoted { 2 } else { 0 };
        let characters = (ident.value.chars().count() + quotes) as u64;
        if span.start.line == span.end.line && written > characters && ident.value.len() + 4 > Ident::MAX_BYTES {
            self.cut.push(ident.clone());
        }
        Ok(ident)
    }

    /// Names that were cut since this was asked before.
    pub fn take_cut(&mut self) -> Vec<Ident> {
        std::mem::take(&mut self.cut)
    }

    pub fn object_name(&mut self, what: &str) -> Result<ObjectName> {
        let mut parts = vec![self.ident(what)?];
        while self.take_token(&Token::Period) {
            parts.push(self.ident("a name after \".\"")?);
        }
        if parts.len() > 3 {
            return Err(syntax_error("a name has at most three parts", parts[0].position)
                .with_hint("write database.schema.name"));
        }
        Ok(ObjectName { parts })
    }

    /// `item, …`
    pub fn list<T>(&mut self, mut item: impl FnMut(&mut Self) -> Result<T>) -> Result<Vec<T>> {
        let mut items = vec![item(self)?];
        while self.take_token(&Token::Comma) {
            items.push(item(self)?);
        }
        Ok(items)
    }

    /// `(item, …)`
    pub fn parens<T>(&mut self, item: impl FnMut(&mut Self) -> Result<T>) -> Result<Vec<T>> {
        self.expect_token(&Token::LParen)?;
        let items = self.list(item)?;
        self.expect_token(&Token::RParen)?;
        Ok(items)
    }

    /// `(name, …)`, none twice.
    pub fn column_names(&mut self) -> Result<Vec<Ident>> {
        let names = self.parens(|c| c.ident("a column name"))?;
        super::validate::distinct(&names)?;
        Ok(names)
    }

    /// A string literal.
    pub fn string(&mut self, what: &str) -> Result<String> {
        match self.token(0) {
            Token::SingleQuotedString(_) | Token::EscapedStringLiteral(_) => self.with(|p| p.parse_literal_string()),
            Token::DollarQuotedString(text) => {
                let text = text.value.clone();
                self.skip();
                Ok(text)
            }
            _ => Err(self.expected(what)),
        }
    }

    /// An unsigned number.
    pub fn number(&mut self, what: &str) -> Result<u64> {
        let number = match self.token(0) {
            Token::Number(digits, _) => digits.parse().ok(),
            _ => None,
        };
        let number = number.ok_or_else(|| self.expected(what))?;
        self.skip();
        Ok(number)
    }

    /// The error that something else stands here.
    pub fn expected(&self, what: &str) -> Error {
        let found = match self.token(0) {
            Token::EOF | Token::SemiColon => "the statement's end".to_string(),
            token => format!("\"{token}\""),
        };
        syntax_error(format!("expected {what}, found {found}"), self.position())
    }

    /// Goes to the statement's end; what stood between, word for word.
    pub fn rest_of_statement(&mut self, from: Position) -> String {
        let mut to = from;
        while !self.at_end() {
            to = at(self.parser.next_token().span.end);
        }
        self.sql[self.offset(from)..self.offset(to)].to_string()
    }

    fn offset(&self, position: Position) -> usize {
        let (line, column) = if position.line == self.origin.line {
            (0, position.column - self.origin.column)
        } else {
            (position.line - self.origin.line, position.column - 1)
        };
        let start: usize = self.sql.split_inclusive('\n').take(line as usize).map(str::len).sum();
        let text = &self.sql[start..];
        start + text.char_indices().nth(column as usize).map_or(text.len(), |(i, _)| i)
    }

    fn convert(&self, error: ParserError) -> Error {
        let message = match error {
            ParserError::RecursionLimitExceeded => return depth::too_complex(self.position()),
            ParserError::TokenizerError(message) | ParserError::ParserError(message) => message,
        };
        let (message, position) = match split_location(&message) {
            Some((message, position)) => (message, position),
            None if message.ends_with("found: EOF") => (message.as_str(), self.end),
            None => (message.as_str(), self.position()),
        };
        let message = match message.strip_prefix("Expected: ") {
            Some(rest) => format!("expected {}", rest.replacen(", found: ", ", found ", 1)),
            None => message.to_string(),
        };
        syntax_error(message.replace("found EOF", "found the statement's end"), position)
    }
}

/// Takes `sqlparser`'s " at Line: 1, Column: 2" off the end of a message.
fn split_location(message: &str) -> Option<(&str, Position)> {
    let (text, place) = message.rsplit_once(" at Line: ")?;
    let (line, column) = place.split_once(", Column: ")?;
    Some((text, Position { line: line.parse().ok()?, column: column.parse().ok()? }))
}

pub(super) fn at(location: Location) -> Position {
    Position { line: location.line, column: location.column }
}

/// An error at `position`.
pub(super) fn invalid(state: SqlState, message: impl Into<String>, position: Position) -> Error {
    Error::invalid(state, message).with_position(position.line, position.column)
}

pub(super) fn syntax_error(message: impl Into<String>, position: Position) -> Error {
    invalid(SqlState::SYNTAX_ERROR, message, position)
}

/// "`what` is not supported yet", at `position`.
pub(super) fn unsupported(what: impl std::fmt::Display, position: Position) -> Error {
    Error::unsupported(format!("{what} is not supported yet")).with_position(position.line, position.column)
}
