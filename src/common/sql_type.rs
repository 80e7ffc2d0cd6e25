//! SQL types, the Arrow types that queries see, and the stored forms that segments hold.
//!
//! This is the type table that `src/docs/FORMAT.md` prints; a test holds the two together.

use std::fmt;

use arrow::datatypes::{DataType, Field, TimeUnit};

use super::error::{Error, Result, SqlState};

/// A column's declared type.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum SqlType {
    Boolean,
    SmallInt,
    Integer,
    BigInt,
    Real,
    Double,
    /// Invariant: 1 ≤ precision ≤ 38, 0 ≤ scale ≤ min(precision, 37).
    Decimal {
        precision: u8,
        scale: u8,
    },
    /// Length in bytes, 1 to 4,096; stored without trailing blanks.
    Char(u32),
    /// Length in bytes, 1 to 65,535.
    Varchar(u32),
    Date,
    /// Microseconds of the day, from 0 to below 86,400,000,000.
    Time,
    /// Microseconds, without time zone.
    Timestamp,
    /// Microseconds of UTC; a session shows and reads them in its own time zone.
    TimestampTz,
    /// Length in bytes, 1 to 16,777,216; any bytes.
    Varbyte(u32),
    /// JSON text of at most [`SqlType::MAX_SUPER_BYTES`].
    Super,
}

/// The key of an Arrow field's metadata under which a column of text or bytes tells its declared type, which Arrow's
/// types do not.
pub const TYPE_METADATA: &str = "blueshift.type";

/// The zone of every stored instant.
pub const UTC: &str = "UTC";

/// The physical form of a value in a segment.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Stored {
    Bool,
    I16,
    I32,
    I64,
    I128,
    F32,
    F64,
    /// Any number of bytes of UTF-8.
    Bytes,
    /// Any number of any bytes.
    Binary,
}

impl SqlType {
    pub const MAX_CHAR_BYTES: u32 = 4096;
    pub const MAX_VARCHAR_BYTES: u32 = 65535;
    /// Redshift's limit ("VARBYTE type").
    pub const MAX_VARBYTE_BYTES: u32 = 16_777_216;

    /// Digits of a second that times have.
    pub const SECOND_DIGITS: u64 = 6;

    /// What to do about times with more or fewer of them.
    pub const KEEP_MICROSECONDS: &str =
        "leave it out: times are kept to the microsecond; DATE_TRUNC makes them coarser";
    /// VARBYTE without a length.
    pub const DEFAULT_VARBYTE_BYTES: u32 = 64_000;
    /// Redshift's limit of a SUPER value ("SUPER type"); here of its JSON text, there of its own form.
    pub const MAX_SUPER_BYTES: u32 = 16_777_216;
    /// The largest precision whose values fit an `i64`.
    pub const MAX_I64_PRECISION: u8 = 18;

    /// DECIMAL(precision, scale), within Redshift's limits.
    pub fn decimal(precision: u64, scale: u64) -> Result<Self> {
        if precision == 0 || precision > 38 {
            return Err(Error::invalid(
                SqlState::INVALID_TABLE_DEFINITION,
                format!("DECIMAL precision {precision} must be between 1 and 38"),
            ));
        }
        if scale > precision.min(37) {
            return Err(Error::invalid(
                SqlState::INVALID_TABLE_DEFINITION,
                format!("DECIMAL scale {scale} must be between 0 and {}", precision.min(37)),
            ));
        }
        Ok(SqlType::Decimal { precision: precision as u8, scale: scale as u8 })
    }

    /// CHAR(bytes), within Redshift's limits.
    pub fn char(bytes: u64) -> Result<Self> {
        bounded("CHAR", bytes, Self::MAX_CHAR_BYTES).map(SqlType::Char)
    }

    /// VARCHAR(bytes), within Redshift's limits.
    pub fn varchar(bytes: u64) -> Result<Self> {
        bounded("VARCHAR", bytes, Self::MAX_VARCHAR_BYTES).map(SqlType::Varchar)
    }

    /// VARBYTE(bytes), within Redshift's limits.
    pub fn varbyte(bytes: u64) -> Result<Self> {
        bounded("VARBYTE", bytes, Self::MAX_VARBYTE_BYTES).map(SqlType::Varbyte)
    }

    /// The type that queries see.
    pub fn arrow_type(self) -> DataType {
        match self {
            SqlType::Boolean => DataType::Boolean,
            SqlType::SmallInt => DataType::Int16,
            SqlType::Integer => DataType::Int32,
            SqlType::BigInt => DataType::Int64,
            SqlType::Real => DataType::Float32,
            SqlType::Double => DataType::Float64,
            SqlType::Decimal { precision, scale } => DataType::Decimal128(precision, scale as i8),
            SqlType::Char(_) | SqlType::Varchar(_) | SqlType::Super => DataType::Utf8View,
            SqlType::Varbyte(_) => DataType::BinaryView,
            SqlType::Date => DataType::Date32,
            SqlType::Time => DataType::Time64(TimeUnit::Microsecond),
            SqlType::Timestamp => DataType::Timestamp(TimeUnit::Microsecond, None),
            SqlType::TimestampTz => DataType::Timestamp(TimeUnit::Microsecond, Some(UTC.into())),
        }
    }

    /// The form that segments hold. DECIMAL of up to 18 digits is its unscaled `i64`.
    pub fn stored(self) -> Stored {
        match self {
            SqlType::Boolean => Stored::Bool,
            SqlType::SmallInt => Stored::I16,
            SqlType::Integer | SqlType::Date => Stored::I32,
            SqlType::BigInt | SqlType::Time | SqlType::Timestamp | SqlType::TimestampTz => Stored::I64,
            SqlType::Decimal { precision, .. } if precision <= Self::MAX_I64_PRECISION => Stored::I64,
            SqlType::Decimal { .. } => Stored::I128,
            SqlType::Real => Stored::F32,
            SqlType::Double => Stored::F64,
            SqlType::Char(_) | SqlType::Varchar(_) | SqlType::Super => Stored::Bytes,
            SqlType::Varbyte(_) => Stored::Binary,
        }
    }

    /// The field that queries see of a column of this type; text and bytes tell their declared type in
    /// [`TYPE_METADATA`].
    pub fn field(self, name: &str, nullable: bool) -> Field {
        let field = Field::new(name, self.arrow_type(), nullable);
        match self {
            SqlType::Char(_) | SqlType::Varchar(_) | SqlType::Varbyte(_) | SqlType::Super => {
                field.with_metadata([(TYPE_METADATA.to_string(), self.to_string())].into())
            }
            _ => field,
        }
    }

    /// The declared type that best holds values of a field, if there is one: what it tells itself, else
    /// [`Self::from_arrow`].
    pub fn from_field(field: &Field) -> Option<SqlType> {
        let inferred = Self::from_arrow(field.data_type())?;
        let told = || field.metadata().get(TYPE_METADATA).and_then(|told| Self::parse_told(told));
        // Only a type whose values have this form: metadata outlives what a query makes of a column.
        Some(told().filter(|told| told.arrow_type() == inferred.arrow_type()).unwrap_or(inferred))
    }

    /// The type of text, of bytes or with a zone that this names, as [`Display`](fmt::Display) writes it.
    pub fn parse_told(told: &str) -> Option<SqlType> {
        match told {
            "super" => return Some(SqlType::Super),
            "timestamp with time zone" => return Some(SqlType::TimestampTz),
            _ => {}
        }
        let (name, bytes) = told.strip_suffix(')')?.split_once('(')?;
        let bytes = bytes.parse().ok()?;
        match name {
            "character" => Self::char(bytes).ok(),
            "character varying" => Self::varchar(bytes).ok(),
            "binary varying" => Self::varbyte(bytes).ok(),
            _ => None,
        }
    }

    /// The declared type that best holds values of an Arrow type (for files), if there is one.
    pub fn from_arrow(data_type: &DataType) -> Option<SqlType> {
        Some(match data_type {
            DataType::Boolean => SqlType::Boolean,
            DataType::Int8 | DataType::UInt8 | DataType::Int16 => SqlType::SmallInt,
            DataType::UInt16 | DataType::Int32 => SqlType::Integer,
            DataType::UInt32 | DataType::Int64 => SqlType::BigInt,
            DataType::UInt64 => SqlType::Decimal { precision: 20, scale: 0 },
            DataType::Float16 | DataType::Float32 => SqlType::Real,
            DataType::Float64 => SqlType::Double,
            DataType::Decimal32(p, s) | DataType::Decimal64(p, s) | DataType::Decimal128(p, s)
                if *s >= 0 && *s <= 37 && *s as u8 <= *p && *p >= 1 && *p <= 38 =>
            {
                SqlType::Decimal { precision: *p, scale: *s as u8 }
            }
            DataType::Utf8 | DataType::LargeUtf8 | DataType::Utf8View => SqlType::Varchar(Self::MAX_VARCHAR_BYTES),
            DataType::Dictionary(_, value) => return SqlType::from_arrow(value),
            DataType::Date32 | DataType::Date64 => SqlType::Date,
            DataType::Time32(_) | DataType::Time64(_) => SqlType::Time,
            DataType::Timestamp(_, None) => SqlType::Timestamp,
            DataType::Timestamp(_, Some(_)) => SqlType::TimestampTz,
            DataType::Binary | DataType::LargeBinary | DataType::BinaryView | DataType::FixedSizeBinary(_) => {
                SqlType::Varbyte(Self::MAX_VARBYTE_BYTES)
            }
            DataType::Null => SqlType::Varchar(1),
            _ => return None,
        })
    }

    /// The declared length of text or bytes.
    pub fn max_bytes(self) -> Option<u32> {
        match self {
            SqlType::Char(bytes) | SqlType::Varchar(bytes) | SqlType::Varbyte(bytes) => Some(bytes),
            _ => None,
        }
    }

    /// Whether values are text: CHAR or VARCHAR.
    pub fn is_text(self) -> bool {
        matches!(self, SqlType::Char(_) | SqlType::Varchar(_))
    }

    /// Whether a column of this type can be a distribution or sort key (Redshift manual, "CREATE TABLE").
    pub fn can_be_key(self) -> bool {
        !matches!(self, SqlType::Varbyte(_) | SqlType::Super)
    }
}

/// As `pg_table_def` shows it.
impl fmt::Display for SqlType {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            SqlType::Boolean => f.write_str("boolean"),
            SqlType::SmallInt => f.write_str("smallint"),
            SqlType::Integer => f.write_str("integer"),
            SqlType::BigInt => f.write_str("bigint"),
            SqlType::Real => f.write_str("real"),
            SqlType::Double => f.write_str("double precision"),
            SqlType::Decimal { precision, scale } => write!(f, "numeric({precision},{scale})"),
            SqlType::Char(n) => write!(f, "character({n})"),
            SqlType::Varchar(n) => write!(f, "character varying({n})"),
            SqlType::Date => f.write_str("date"),
            SqlType::Time => f.write_str("time without time zone"),
            SqlType::Timestamp => f.write_str("timestamp without time zone"),
            SqlType::TimestampTz => f.write_str("timestamp with time zone"),
            SqlType::Varbyte(n) => write!(f, "binary varying({n})"),
            SqlType::Super => f.write_str("super"),
        }
    }
}

impl Stored {
    /// Whether values are of any length.
    pub fn is_bytes(self) -> bool {
        matches!(self, Stored::Bytes | Stored::Binary)
    }

    /// Whether values are integers, also those that stand for dates, times and decimals.
    pub fn is_integer(self) -> bool {
        matches!(self, Stored::I16 | Stored::I32 | Stored::I64 | Stored::I128)
    }

    /// Bytes of one value, `None` where that varies ([`Stored::is_bytes`]) or is less than one ([`Stored::Bool`]).
    pub fn width(self) -> Option<usize> {
        match self {
            Stored::Bool | Stored::Bytes | Stored::Binary => None,
            Stored::I16 => Some(2),
            Stored::I32 | Stored::F32 => Some(4),
            Stored::I64 | Stored::F64 => Some(8),
            Stored::I128 => Some(16),
        }
    }
}

fn bounded(name: &str, bytes: u64, max: u32) -> Result<u32> {
    if bytes == 0 || bytes > u64::from(max) {
        return Err(Error::invalid(
            SqlState::INVALID_TABLE_DEFINITION,
            format!("{name} length {bytes} must be between 1 and {max} bytes"),
        ));
    }
    Ok(bytes as u32)
}
