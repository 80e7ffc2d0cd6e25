//! One error type, named by what the caller should do about it.
//!
//! The kinds follow the reasoning that a caller only ever chooses between a few actions (our own choice; SlateDB's
//! and delta-kernel's error designs argue likewise). The SQLSTATE codes are PostgreSQL's, appendix A of its manual.

use std::fmt;

/// `Result` with the crate's [`Error`].
pub type Result<T, E = Error> = std::result::Result<T, E>;

/// What the caller should do.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum ErrorKind {
    /// Another transaction got there first: run the statement or transaction again.
    Conflict,
    /// The store, the network or memory refused for now: try again later, or give more room.
    Unavailable,
    /// The statement, value or argument is wrong: change it.
    Invalid,
    /// Stored bytes are not what was written: restore the named object.
    Corrupt,
    /// Well-formed, but not offered: do it another way.
    Unsupported,
    /// A defect in Blueshift: report it.
    Internal,
}

/// A five-character SQLSTATE code.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct SqlState(pub &'static str);

impl SqlState {
    pub const SERIALIZATION_FAILURE: SqlState = SqlState("40001");
    pub const CONNECTION_FAILURE: SqlState = SqlState("08006");
    pub const INVALID_PARAMETER: SqlState = SqlState("22023");
    pub const DATA_CORRUPTED: SqlState = SqlState("XX001");
    pub const FEATURE_NOT_SUPPORTED: SqlState = SqlState("0A000");
    pub const INTERNAL_ERROR: SqlState = SqlState("XX000");
    pub const SYNTAX_ERROR: SqlState = SqlState("42601");
    pub const UNDEFINED_TABLE: SqlState = SqlState("42P01");
    pub const AMBIGUOUS_COLUMN: SqlState = SqlState("42702");
    pub const GROUPING_ERROR: SqlState = SqlState("42803");
    pub const WINDOWING_ERROR: SqlState = SqlState("42P20");
    pub const INVALID_COLUMN_REFERENCE: SqlState = SqlState("42P10");
    pub const UNDEFINED_PARAMETER: SqlState = SqlState("42P02");
    pub const CANNOT_COERCE: SqlState = SqlState("42846");
    pub const CARDINALITY_VIOLATION: SqlState = SqlState("21000");
    pub const INVALID_REGULAR_EXPRESSION: SqlState = SqlState("2201B");
    pub const DUPLICATE_ALIAS: SqlState = SqlState("42712");
    pub const AMBIGUOUS_ALIAS: SqlState = SqlState("42P09");
    pub const WRONG_OBJECT_TYPE: SqlState = SqlState("42809");
    pub const DUPLICATE_STATEMENT: SqlState = SqlState("42P05");
    pub const DUPLICATE_TABLE: SqlState = SqlState("42P07");
    pub const UNDEFINED_COLUMN: SqlState = SqlState("42703");
    pub const DUPLICATE_COLUMN: SqlState = SqlState("42701");
    pub const UNDEFINED_SCHEMA: SqlState = SqlState("3F000");
    pub const UNDEFINED_DATABASE: SqlState = SqlState("3D000");
    pub const DUPLICATE_DATABASE: SqlState = SqlState("42P04");
    pub const UNDEFINED_OBJECT: SqlState = SqlState("42704");
    pub const READ_ONLY: SqlState = SqlState("25006");
    pub const ACTIVE_TRANSACTION: SqlState = SqlState("25001");
    pub const NO_TRANSACTION: SqlState = SqlState("25P01");
    pub const FAILED_TRANSACTION: SqlState = SqlState("25P02");
    pub const DUPLICATE_SCHEMA: SqlState = SqlState("42P06");
    pub const DEPENDENT_OBJECTS: SqlState = SqlState("2BP01");
    pub const INVALID_TABLE_DEFINITION: SqlState = SqlState("42P16");
    pub const UNDEFINED_TYPE: SqlState = SqlState("42704");
    pub const DATATYPE_MISMATCH: SqlState = SqlState("42804");
    pub const NOT_NULL_VIOLATION: SqlState = SqlState("23502");
    pub const FOREIGN_KEY_VIOLATION: SqlState = SqlState("23503");
    pub const UNIQUE_VIOLATION: SqlState = SqlState("23505");
    pub const NUMERIC_OUT_OF_RANGE: SqlState = SqlState("22003");
    pub const DIVISION_BY_ZERO: SqlState = SqlState("22012");
    pub const CHARACTER_NOT_IN_REPERTOIRE: SqlState = SqlState("22021");
    pub const STRING_TOO_LONG: SqlState = SqlState("22001");
    pub const BAD_COPY_FILE: SqlState = SqlState("22P04");
    pub const INVALID_TEXT: SqlState = SqlState("22P02");
    pub const UNDEFINED_FILE: SqlState = SqlState("58P01");
    pub const DUPLICATE_FILE: SqlState = SqlState("58P02");
    pub const OUT_OF_MEMORY: SqlState = SqlState("53200");
    pub const SNAPSHOT_TOO_OLD: SqlState = SqlState("72000");
    /// Whether a commit took effect is not known.
    pub const OUTCOME_UNKNOWN: SqlState = SqlState("08007");
    pub const QUERY_CANCELED: SqlState = SqlState("57014");
    pub const INVALID_DATETIME_FORMAT: SqlState = SqlState("22007");
    pub const DATETIME_OVERFLOW: SqlState = SqlState("22008");
    pub const UNDEFINED_FUNCTION: SqlState = SqlState("42883");
    pub const PROGRAM_LIMIT: SqlState = SqlState("54000");
    pub const INVALID_FOREIGN_KEY: SqlState = SqlState("42830");
    pub const GENERATED_ALWAYS: SqlState = SqlState("428C9");
}

/// Where in the SQL text, both counted from 1.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Position {
    pub line: u64,
    pub column: u64,
}

/// An error: its kind, SQLSTATE, message, and where known the place, a detail and a hint.
///
/// Boxed, so that a `Result` stays one pointer wide.
pub struct Error(Box<Inner>);

struct Inner {
    kind: ErrorKind,
    state: SqlState,
    message: String,
    detail: Option<String>,
    hint: Option<String>,
    position: Option<Position>,
    object: Option<String>,
    offset: Option<u64>,
    source: Option<Box<dyn std::error::Error + Send + Sync>>,
}

impl Error {
    /// An error of `kind` with that kind's usual SQLSTATE.
    pub fn new(kind: ErrorKind, message: impl Into<String>) -> Self {
        let state = match kind {
            ErrorKind::Conflict => SqlState::SERIALIZATION_FAILURE,
            ErrorKind::Unavailable => SqlState::CONNECTION_FAILURE,
            ErrorKind::Invalid => SqlState::INVALID_PARAMETER,
            ErrorKind::Corrupt => SqlState::DATA_CORRUPTED,
            ErrorKind::Unsupported => SqlState::FEATURE_NOT_SUPPORTED,
            ErrorKind::Internal => SqlState::INTERNAL_ERROR,
        };
        Error(Box::new(Inner {
            kind,
            state,
            message: message.into(),
            detail: None,
            hint: None,
            position: None,
            object: None,
            offset: None,
            source: None,
        }))
    }

    /// Run it again; see [`ErrorKind::Conflict`].
    pub fn conflict(message: impl Into<String>) -> Self {
        Self::new(ErrorKind::Conflict, message)
    }

    /// Try later; see [`ErrorKind::Unavailable`].
    pub fn unavailable(message: impl Into<String>) -> Self {
        Self::new(ErrorKind::Unavailable, message)
    }

    /// Change the input; see [`ErrorKind::Invalid`]. `state` says in which way it is wrong.
    pub fn invalid(state: SqlState, message: impl Into<String>) -> Self {
        Self::new(ErrorKind::Invalid, message).with_state(state)
    }

    /// Stored bytes are damaged; see [`ErrorKind::Corrupt`]. `offset` counts from the start of the bytes that the
    /// function raising it was given; callers that know the object move it with [`Error::in_object`].
    pub fn corrupt(offset: u64, message: impl Into<String>) -> Self {
        let mut error = Self::new(ErrorKind::Corrupt, message);
        error.0.offset = Some(offset);
        error
    }

    /// Not offered; see [`ErrorKind::Unsupported`].
    pub fn unsupported(message: impl Into<String>) -> Self {
        Self::new(ErrorKind::Unsupported, message)
    }

    /// A defect of ours; see [`ErrorKind::Internal`].
    pub fn internal(message: impl Into<String>) -> Self {
        Self::new(ErrorKind::Internal, message)
    }

    pub fn with_state(mut self, state: SqlState) -> Self {
        self.0.state = state;
        self
    }

    pub fn with_detail(mut self, detail: impl Into<String>) -> Self {
        self.0.detail = Some(detail.into());
        self
    }

    pub fn with_hint(mut self, hint: impl Into<String>) -> Self {
        self.0.hint = Some(hint.into());
        self
    }

    pub fn with_position(mut self, line: u64, column: u64) -> Self {
        self.0.position = Some(Position { line, column });
        self
    }

    /// For a place in another text than the statement's.
    pub fn without_position(mut self) -> Self {
        self.0.position = None;
        self
    }

    pub fn with_source(mut self, source: impl Into<Box<dyn std::error::Error + Send + Sync>>) -> Self {
        self.0.source = Some(source.into());
        self
    }

    /// Names the object that holds the damaged bytes, which start at `base` within it. Keeps a name already given.
    pub fn in_object(mut self, object: impl fmt::Display, base: u64) -> Self {
        if self.0.kind == ErrorKind::Corrupt && self.0.object.is_none() {
            self.0.object = Some(object.to_string());
            self.0.offset = Some(self.0.offset.unwrap_or(0).saturating_add(base));
        }
        self
    }

    /// Puts `context` and a colon before the message.
    pub fn context(mut self, context: impl fmt::Display) -> Self {
        self.0.message = format!("{context}: {}", self.0.message);
        self
    }

    /// With message, detail and hint as `map` makes them.
    pub fn map_text(mut self, map: impl Fn(&str) -> String) -> Self {
        self.0.message = map(&self.0.message);
        self.0.detail = self.0.detail.as_deref().map(&map);
        self.0.hint = self.0.hint.as_deref().map(&map);
        self
    }

    pub fn kind(&self) -> ErrorKind {
        self.0.kind
    }

    pub fn state(&self) -> SqlState {
        self.0.state
    }

    /// The message alone, without place, detail or hint.
    pub fn message(&self) -> &str {
        &self.0.message
    }

    pub fn detail(&self) -> Option<&str> {
        self.0.detail.as_deref()
    }

    pub fn hint(&self) -> Option<&str> {
        self.0.hint.as_deref()
    }

    /// Where in the SQL text the error stands, if it stands there.
    pub fn position(&self) -> Option<Position> {
        self.0.position
    }

    /// The damaged object, for [`ErrorKind::Corrupt`].
    pub fn object(&self) -> Option<&str> {
        self.0.object.as_deref()
    }

    /// The damaged byte's offset in [`Error::object`] (or in the bytes given, while no object is named).
    pub fn offset(&self) -> Option<u64> {
        self.0.offset
    }
}

/// Message, then place, detail and hint, each on a line of its own.
impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let e = &self.0;
        f.write_str(&e.message)?;
        match (&e.object, e.offset) {
            (Some(object), Some(offset)) => write!(f, " (object {object}, offset {offset})")?,
            (None, Some(offset)) => write!(f, " (offset {offset})")?,
            _ => {}
        }
        if let Some(p) = e.position {
            write!(f, "\nAT: line {}, column {}", p.line, p.column)?;
        }
        if let Some(detail) = &e.detail {
            write!(f, "\nDETAIL: {detail}")?;
        }
        if let Some(hint) = &e.hint {
            write!(f, "\nHINT: {hint}")?;
        }
        Ok(())
    }
}

impl fmt::Debug for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:?} {}: {self}", self.0.kind, self.0.state.0)?;
        match &self.0.source {
            Some(source) => write!(f, "\ncaused by: {source:?}"),
            None => Ok(()),
        }
    }
}

impl std::error::Error for Error {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        self.0.source.as_ref().map(|s| s.as_ref() as _)
    }
}

impl From<arrow::error::ArrowError> for Error {
    fn from(e: arrow::error::ArrowError) -> Self {
        use arrow::error::ArrowError as A;
        if let A::DivideByZero = e {
            return Error::invalid(SqlState::DIVISION_BY_ZERO, "division by zero")
                .with_hint("NULLIF(divisor, 0) gives NULL instead")
                .with_source(e);
        }
        let kind = match &e {
            A::MemoryError(_) => ErrorKind::Unavailable,
            A::NotYetImplemented(_) => ErrorKind::Unsupported,
            A::CastError(_)
            | A::ParseError(_)
            | A::InvalidArgumentError(_)
            | A::ArithmeticOverflow(_)
            | A::SchemaError(_)
            | A::ComputeError(_)
            | A::CsvError(_)
            | A::JsonError(_)
            | A::AvroError(_)
            | A::ParquetError(_)
            | A::IpcError(_) => ErrorKind::Invalid,
            A::IoError(..) => ErrorKind::Unavailable,
            _ => ErrorKind::Internal,
        };
        let message = match &e {
            // The text says itself what went wrong.
            A::CastError(m) | A::ParseError(m) | A::ComputeError(m) | A::InvalidArgumentError(m) => m.clone(),
            _ => e.to_string(),
        };
        Error::new(kind, message).with_source(e)
    }
}
