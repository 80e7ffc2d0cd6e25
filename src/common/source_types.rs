//! Which types columns of other databases have here.
//!
//! Lengths of text are in bytes here and in characters there, of which UTF-8 takes up to four. What has no counterpart is text or
//! SUPER, of which nothing is lost (our own choice; the seeds' loaders chose alike for unsigned numbers and small dates).

use std::fmt;

use super::sql_type::SqlType;

/// A database that tables come from.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum SourceSystem {
    PostgreSql,
    MySql,
    SqlServer,
}

/// A type of another database and what it is here.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct SourceType {
    pub system: SourceSystem,
    /// In lower case, without its length.
    pub name: &'static str,
    pub counterpart: Counterpart,
    /// What is to be known of it; empty where nothing is.
    pub note: &'static str,
}

/// How a type's counterpart follows from its length or digits.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Counterpart {
    Is(SqlType),
    /// Text of so many characters; the longest where no length is given.
    Characters,
    /// So many bytes; the most where no length is given.
    Bytes,
    /// DECIMAL of its digits; of these where none are given.
    Decimal(u8, u8),
}

impl SourceSystem {
    pub const ALL: [SourceSystem; 3] = [SourceSystem::PostgreSql, SourceSystem::MySql, SourceSystem::SqlServer];

    /// The type of a column here that is declared as `declared` there: `bigint unsigned`, `varchar(40)`, `decimal(10, 2)`, `int[]`.
    /// `None` of what is not known, or has more digits than DECIMAL holds.
    pub fn sql_type(self, declared: &str) -> Option<SqlType> {
        let declared = declared.trim().to_ascii_lowercase();
        if self == SourceSystem::PostgreSql && (declared.ends_with("[]") || declared.starts_with('_')) {
            return Some(SqlType::Super);
        }
        let (name, sizes) = match declared.split_once('(') {
            Some((name, rest)) => {
                let (sizes, after) = rest.split_once(')')?;
                (format!("{} {}", name.trim(), after.trim()).trim().to_string(), Some(sizes.to_string()))
            }
            None => (declared.clone(), None),
        };
        let mut name = name.split_whitespace().collect::<Vec<_>>().join(" ");
        // MySQL's filling up by zeros has no sign.
        if let Some(filled) = name.strip_suffix(" zerofill").filter(|_| self == SourceSystem::MySql) {
            name = format!("{} unsigned", filled.trim_end_matches(" unsigned"));
        }
        let sizes: Vec<&str> = sizes.as_deref().map_or(Vec::new(), |sizes| sizes.split(',').map(str::trim).collect());
        // MySQL's way to say BOOLEAN, and bits that are one.
        if self == SourceSystem::MySql && matches!((name.as_str(), sizes.as_slice()), ("tinyint" | "bit", ["1"])) {
            return Some(SqlType::Boolean);
        }
        let size = |at: usize| sizes.get(at).and_then(|size| size.parse::<u32>().ok());
        let known = |name: &str| self.types().find(|of| of.name == name);
        // Those with as many digits here as without a sign are not listed.
        let known = known(&name).or_else(|| known(name.strip_suffix(" unsigned")?))?;
        match known.counterpart {
            Counterpart::Is(sql_type) => Some(sql_type),
            Counterpart::Characters => {
                let bytes = size(0).map_or(SqlType::MAX_VARCHAR_BYTES, |n| n.saturating_mul(4));
                SqlType::varchar(u64::from(bytes.clamp(1, SqlType::MAX_VARCHAR_BYTES))).ok()
            }
            Counterpart::Bytes => {
                let bytes = size(0).unwrap_or(SqlType::MAX_VARBYTE_BYTES);
                SqlType::varbyte(u64::from(bytes.clamp(1, SqlType::MAX_VARBYTE_BYTES))).ok()
            }
            Counterpart::Decimal(precision, scale) => {
                let precision = size(0).map_or(Some(precision), |n| u8::try_from(n).ok())?;
                // PostgreSQL rounds before the point where its scale is below zero.
                if let Some(before) = sizes.get(1).and_then(|scale| scale.strip_prefix('-')) {
                    let precision = precision.checked_add(before.trim().parse().ok()?)?;
                    return (precision <= 38).then_some(SqlType::Decimal { precision, scale: 0 });
                }
                let scale = match (size(0), size(1)) {
                    (None, _) => scale,
                    (Some(_), None) => 0,
                    (_, Some(scale)) => u8::try_from(scale).ok()?,
                };
                ((1..=38).contains(&precision) && scale <= precision && scale <= 37)
                    .then_some(SqlType::Decimal { precision, scale })
            }
        }
    }

    /// All of its types that are known.
    pub fn types(self) -> impl Iterator<Item = SourceType> {
        let types: &'static [(&'static str, Counterpart, &'static str)] = match self {
            SourceSystem::PostgreSql => &POSTGRESQL,
            SourceSystem::MySql => &MYSQL,
            SourceSystem::SqlServer => &SQL_SERVER,
        };
        types.iter().map(move |(name, counterpart, note)| SourceType {
            system: self,
            name,
            counterpart: *counterpart,
            note,
        })
    }
}

impl fmt::Display for SourceSystem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            SourceSystem::PostgreSql => "PostgreSQL",
            SourceSystem::MySql => "MySQL",
            SourceSystem::SqlServer => "SQL Server",
        })
    }
}

impl fmt::Display for Counterpart {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Counterpart::Is(sql_type) => sql_type.fmt(f),
            Counterpart::Characters => f.write_str("character varying(4n)"),
            Counterpart::Bytes => f.write_str("binary varying(n)"),
            Counterpart::Decimal(..) => f.write_str("numeric(p,s)"),
        }
    }
}

use Counterpart::{Bytes, Characters, Decimal, Is};

const TEXT: SqlType = SqlType::Varchar(SqlType::MAX_VARCHAR_BYTES);
const UNSIGNED: &str = "twice as far as the signed one";
const CUT: &str = "texts of more than 65535 bytes are refused; TRUNCATECOLUMNS cuts them";

const POSTGRESQL: [(&str, Counterpart, &str); 47] = [
    ("smallint", Is(SqlType::SmallInt), ""),
    ("int2", Is(SqlType::SmallInt), ""),
    ("smallserial", Is(SqlType::SmallInt), "IDENTITY counts INTEGER and BIGINT"),
    ("integer", Is(SqlType::Integer), ""),
    ("int", Is(SqlType::Integer), ""),
    ("int4", Is(SqlType::Integer), ""),
    ("serial", Is(SqlType::Integer), "as IDENTITY, where new values are made here"),
    ("bigint", Is(SqlType::BigInt), ""),
    ("int8", Is(SqlType::BigInt), ""),
    ("bigserial", Is(SqlType::BigInt), "as IDENTITY, where new values are made here"),
    ("oid", Is(SqlType::BigInt), ""),
    ("numeric", Decimal(38, 10), "without digits it has any: ten after the point are kept"),
    ("decimal", Decimal(38, 10), "without digits it has any: ten after the point are kept"),
    ("money", Is(SqlType::Decimal { precision: 19, scale: 2 }), "unload it as a number"),
    ("real", Is(SqlType::Real), ""),
    ("float4", Is(SqlType::Real), ""),
    ("double precision", Is(SqlType::Double), ""),
    ("float8", Is(SqlType::Double), ""),
    ("boolean", Is(SqlType::Boolean), ""),
    ("bool", Is(SqlType::Boolean), ""),
    ("character", Characters, "CHAR holds one byte a character here"),
    ("char", Characters, "CHAR holds one byte a character here"),
    ("bpchar", Characters, "CHAR holds one byte a character here"),
    ("character varying", Characters, ""),
    ("varchar", Characters, ""),
    ("name", Is(SqlType::Varchar(256)), ""),
    ("citext", Is(TEXT), "compares by case here"),
    ("text", Is(TEXT), CUT),
    ("xml", Is(TEXT), CUT),
    ("bytea", Bytes, "unload it in hexadecimal digits"),
    ("bit", Characters, "as digits 0 and 1"),
    ("bit varying", Characters, "as digits 0 and 1"),
    ("date", Is(SqlType::Date), ""),
    ("time", Is(SqlType::Time), ""),
    ("time without time zone", Is(SqlType::Time), ""),
    ("time with time zone", Is(SqlType::Varchar(32)), "as text: TIMETZ is not offered"),
    ("timetz", Is(SqlType::Varchar(32)), "as text: TIMETZ is not offered"),
    ("timestamp", Is(SqlType::Timestamp), ""),
    ("timestamp without time zone", Is(SqlType::Timestamp), ""),
    ("timestamp with time zone", Is(SqlType::TimestampTz), ""),
    ("timestamptz", Is(SqlType::TimestampTz), ""),
    ("interval", Is(SqlType::Varchar(64)), "as text: columns of INTERVAL are not offered"),
    ("uuid", Is(SqlType::Char(36)), ""),
    ("json", Is(SqlType::Super), ""),
    ("jsonb", Is(SqlType::Super), ""),
    ("inet", Is(SqlType::Varchar(64)), ""),
    ("cidr", Is(SqlType::Varchar(64)), ""),
];

const MYSQL: [(&str, Counterpart, &str); 44] = [
    ("tinyint", Is(SqlType::SmallInt), "tinyint(1) is BOOLEAN"),
    ("tinyint unsigned", Is(SqlType::SmallInt), UNSIGNED),
    ("smallint", Is(SqlType::SmallInt), ""),
    ("smallint unsigned", Is(SqlType::Integer), UNSIGNED),
    ("mediumint", Is(SqlType::Integer), ""),
    ("mediumint unsigned", Is(SqlType::Integer), UNSIGNED),
    ("int", Is(SqlType::Integer), ""),
    ("integer", Is(SqlType::Integer), ""),
    ("int unsigned", Is(SqlType::BigInt), UNSIGNED),
    ("integer unsigned", Is(SqlType::BigInt), UNSIGNED),
    ("bigint", Is(SqlType::BigInt), ""),
    ("bigint unsigned", Is(SqlType::Decimal { precision: 20, scale: 0 }), UNSIGNED),
    ("serial", Is(SqlType::Decimal { precision: 20, scale: 0 }), "bigint unsigned; as IDENTITY BIGINT is enough"),
    ("decimal", Decimal(10, 0), "up to 38 digits"),
    ("dec", Decimal(10, 0), "up to 38 digits"),
    ("fixed", Decimal(10, 0), "up to 38 digits"),
    ("numeric", Decimal(10, 0), "up to 38 digits"),
    ("float", Is(SqlType::Real), ""),
    ("real", Is(SqlType::Double), ""),
    ("double", Is(SqlType::Double), ""),
    ("double precision", Is(SqlType::Double), ""),
    ("boolean", Is(SqlType::Boolean), ""),
    ("bool", Is(SqlType::Boolean), ""),
    ("bit", Bytes, "bit(1) is BOOLEAN"),
    ("date", Is(SqlType::Date), "0000-00-00 is no date: ACCEPTANYDATE makes it NULL"),
    ("datetime", Is(SqlType::Timestamp), "0000-00-00 is no date: ACCEPTANYDATE makes it NULL"),
    ("timestamp", Is(SqlType::TimestampTz), ""),
    ("time", Is(SqlType::Varchar(32)), "as text: it is a length of time, of up to 838 hours"),
    ("year", Is(SqlType::SmallInt), ""),
    ("char", Characters, "CHAR holds one byte a character here"),
    ("varchar", Characters, ""),
    ("tinytext", Is(SqlType::Varchar(256)), ""),
    ("text", Is(TEXT), ""),
    ("mediumtext", Is(TEXT), CUT),
    ("longtext", Is(TEXT), CUT),
    ("binary", Bytes, "unload it in hexadecimal digits"),
    ("varbinary", Bytes, "unload it in hexadecimal digits"),
    ("tinyblob", Is(SqlType::Varbyte(256)), "unload it in hexadecimal digits"),
    ("blob", Is(SqlType::Varbyte(65_535)), "unload it in hexadecimal digits"),
    ("mediumblob", Bytes, "unload it in hexadecimal digits"),
    ("longblob", Bytes, "unload it in hexadecimal digits"),
    ("enum", Is(SqlType::Varchar(256)), "BYTEDICT encodes it well"),
    ("set", Is(SqlType::Varchar(1024)), ""),
    ("json", Is(SqlType::Super), ""),
];

const SQL_SERVER: [(&str, Counterpart, &str); 33] = [
    ("bit", Is(SqlType::Boolean), ""),
    ("tinyint", Is(SqlType::SmallInt), "0 to 255"),
    ("smallint", Is(SqlType::SmallInt), ""),
    ("int", Is(SqlType::Integer), ""),
    ("bigint", Is(SqlType::BigInt), ""),
    ("decimal", Decimal(18, 0), ""),
    ("numeric", Decimal(18, 0), ""),
    ("money", Is(SqlType::Decimal { precision: 19, scale: 4 }), ""),
    ("smallmoney", Is(SqlType::Decimal { precision: 10, scale: 4 }), ""),
    ("real", Is(SqlType::Real), ""),
    ("float", Is(SqlType::Double), ""),
    ("date", Is(SqlType::Date), ""),
    ("time", Is(SqlType::Time), "microseconds are kept"),
    ("smalldatetime", Is(SqlType::Timestamp), ""),
    ("datetime", Is(SqlType::Timestamp), ""),
    ("datetime2", Is(SqlType::Timestamp), "microseconds are kept"),
    ("datetimeoffset", Is(SqlType::TimestampTz), "the instant is kept, its zone is not"),
    ("char", Characters, "CHAR holds one byte a character here"),
    ("varchar", Characters, "varchar(max) has the greatest length"),
    ("nchar", Characters, ""),
    ("nvarchar", Characters, "nvarchar(max) has the greatest length"),
    ("text", Is(TEXT), CUT),
    ("ntext", Is(TEXT), CUT),
    ("xml", Is(TEXT), CUT),
    ("binary", Bytes, "unload it in hexadecimal digits"),
    ("varbinary", Bytes, "unload it in hexadecimal digits"),
    ("image", Bytes, "unload it in hexadecimal digits"),
    ("rowversion", Is(SqlType::Varbyte(8)), ""),
    ("timestamp", Is(SqlType::Varbyte(8)), "it is a number of the row's version, and no time"),
    ("uniqueidentifier", Is(SqlType::Char(36)), ""),
    ("hierarchyid", Is(SqlType::Varchar(4000)), ""),
    ("sql_variant", Is(SqlType::Varchar(8016)), ""),
    ("sysname", Is(SqlType::Varchar(512)), ""),
];

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn declared_types_have_their_counterparts() {
        use SourceSystem::*;
        for (system, declared, expected) in [
            (PostgreSql, "character varying(40)", "character varying(160)"),
            (PostgreSql, "VARCHAR", "character varying(65535)"),
            (PostgreSql, "numeric(12,2)", "numeric(12,2)"),
            (PostgreSql, "numeric", "numeric(38,10)"),
            (PostgreSql, "timestamp(3) with time zone", "timestamp with time zone"),
            (PostgreSql, "integer[]", "super"),
            (PostgreSql, "jsonb", "super"),
            (PostgreSql, "uuid", "character(36)"),
            (MySql, "bigint(20) unsigned", "numeric(20,0)"),
            (PostgreSql, "numeric(10,-2)", "numeric(12,0)"),
            (MySql, "double unsigned", "double precision"),
            (MySql, "decimal(12,2) unsigned", "numeric(12,2)"),
            (MySql, "int(10) unsigned zerofill", "bigint"),
            (MySql, "int(10) zerofill", "bigint"),
            (MySql, "tinyint(1)", "boolean"),
            (MySql, "tinyint(4)", "smallint"),
            (MySql, "decimal(10)", "numeric(10,0)"),
            (MySql, "enum('a','b')", "character varying(256)"),
            (MySql, "datetime(6)", "timestamp without time zone"),
            (SqlServer, "smalldatetime", "timestamp without time zone"),
            (SqlServer, "nvarchar(max)", "character varying(65535)"),
            (SqlServer, "nvarchar(4000)", "character varying(16000)"),
            (SqlServer, "money", "numeric(19,4)"),
        ] {
            let found = system.sql_type(declared).map(|sql_type| sql_type.to_string());
            assert_eq!(found.as_deref(), Some(expected), "{system} {declared}");
        }
        assert_eq!(MySql.sql_type("decimal(65,30)"), None);
        assert_eq!(PostgreSql.sql_type("numeric(38,-2)"), None);
        assert_eq!(PostgreSql.sql_type("tsvector"), None);
    }

    #[test]
    fn each_type_is_known_once() {
        for system in SourceSystem::ALL {
            let mut names: Vec<&str> = system.types().map(|of| of.name).collect();
            let count = names.len();
            names.sort_unstable();
            names.dedup();
            assert_eq!(names.len(), count, "{system}");
        }
    }
}
