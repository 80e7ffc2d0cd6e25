//! Statements that read what stands outside of the warehouse.

use std::fmt;
use std::ops::RangeInclusive;

use sqlparser::ast::Expr;

use crate::common::error::Position;

use super::{Ident, ObjectName};

/// `BACKUP TO 'location' [VERIFY]`
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Backup {
    pub location: String,
    /// Whether what is there already is read, and copied anew where it is damaged.
    pub verify: bool,
}

/// `RESTORE FROM 'location' [AS OF version]`
#[derive(Debug, Clone, PartialEq)]
pub struct Restore {
    pub location: String,
    /// The version or the time; of the newest backup without it.
    pub at: Option<Expr>,
}

/// `COPY table [(columns)] FROM 'where' options`
#[derive(Debug, Clone, PartialEq)]
pub struct Copy {
    pub table: ObjectName,
    /// Empty where none are named; none twice.
    pub columns: Vec<Ident>,
    pub from: String,
    pub from_position: Position,
    pub options: CopyOptions,
}

/// The options of a [`Copy`](struct@Copy), with Redshift's defaults where nothing was said.
#[derive(Debug, Clone, PartialEq)]
pub struct CopyOptions {
    pub format: CopyFormat,
    /// Nothing was said of the format: it is Redshift's default, or what files' names tell where they are to tell more.
    pub format_unsaid: bool,
    /// IGNOREHEADER was said.
    pub header_said: bool,
    /// BY NAME: files' columns are those of the table that are called like them.
    pub by_name: bool,
    /// ADD COLUMNS: the table gets the columns that files have and it has not. Only with `by_name`.
    pub add_columns: bool,
    pub compression: Compression,
    /// MANIFEST: FROM names a list of files.
    pub manifest: bool,
    pub values: ValueRules,
    /// EXPLICIT_IDS, where it stands: files bring the values of the identity column.
    pub explicit_ids: Option<Position>,
    pub errors: ErrorLimit,
    /// NOLOAD: files are read, and nothing is loaded.
    pub no_load: bool,
    pub compupdate: CompUpdate,
    /// Within [`CopyOptions::COMPROWS`].
    pub comprows: Option<u64>,
    /// STATUPDATE; `None` analyzes tables that were empty.
    pub statupdate: Option<bool>,
    /// MERGE ON: rows take the place of those with their keys.
    pub merge: Option<MergeOn>,
    /// SKIP LOADED: files that the table has rows of are left out.
    pub skip_loaded: bool,
    pub credentials: Credentials,
    pub region: Option<String>,
}

/// `MERGE ON (key, …) [WITHIN distance ON column]`; our own words.
#[derive(Debug, Clone, PartialEq)]
pub struct MergeOn {
    /// At least one; none twice.
    pub keys: Vec<Ident>,
    pub position: Position,
    pub within: Option<Within>,
}

/// How far from the rows of the files, by a column's values, rows with their keys are looked for.
#[derive(Debug, Clone, PartialEq)]
pub struct Within {
    pub distance: Expr,
    pub column: Ident,
}

impl CopyOptions {
    /// How many rows COMPROWS may say (Redshift manual, "COPY", data load operations).
    pub const COMPROWS: RangeInclusive<u64> = 1_000..=2_147_483_647;
}

/// The form of the files of a [`Copy`](struct@Copy). Delimiter and quote are ASCII.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum CopyFormat {
    Parquet,
    Csv {
        delimiter: u8,
        quote: u8,
    },
    /// Lines of fields without quoting, unless by ESCAPE or REMOVEQUOTES.
    Delimited {
        delimiter: u8,
        escape: bool,
        remove_quotes: bool,
    },
    /// Lines of fields of so many characters; at least one.
    FixedWidth(Vec<FixedField>),
    Json(Mapping),
    /// Not [`Mapping::Whole`].
    Avro(Mapping),
}

impl CopyFormat {
    /// Which parts of a row are which columns, where rows tell that and not their order.
    pub fn mapping(&self) -> Option<&Mapping> {
        match self {
            CopyFormat::Json(mapping) | CopyFormat::Avro(mapping) => Some(mapping),
            _ => None,
        }
    }

    /// As the statement names it.
    pub fn name(&self) -> &'static str {
        match self {
            CopyFormat::Parquet => "PARQUET",
            CopyFormat::Csv { .. } => "CSV",
            CopyFormat::Delimited { .. } => "delimited text",
            CopyFormat::FixedWidth(_) => "FIXEDWIDTH",
            CopyFormat::Json(_) => "JSON",
            CopyFormat::Avro(_) => "AVRO",
        }
    }
}

/// A field of FIXEDWIDTH, `label:width`; the label names no column.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct FixedField {
    pub label: String,
    /// Characters; not 0.
    pub width: usize,
}

/// Which parts of a JSON value, or of a record of Avro, are which columns.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Mapping {
    /// Keys of the top level that are called like columns.
    Auto { ignore_case: bool },
    /// As a file of JSONPaths says.
    Paths { at: String, position: Position },
    /// 'noshred': the whole value is the one column.
    Whole,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Compression {
    None,
    Gzip,
    Bzip2,
    Zstd,
}

/// How the fields of text become values.
#[derive(Debug, Clone, PartialEq)]
pub struct ValueRules {
    /// Lines to leave out at the start of every file.
    pub ignore_header: u64,
    /// IGNOREBLANKLINES: an empty line is no row.
    pub ignore_blank_lines: bool,
    /// The field that means NULL.
    pub null_as: String,
    /// EMPTYASNULL: an empty text field is NULL.
    pub empty_as_null: bool,
    /// BLANKSASNULL: a text field of nothing but blanks is NULL.
    pub blanks_as_null: bool,
    /// TRIMBLANKS: blanks at the end of a VARCHAR are left out.
    pub trim_blanks: bool,
    /// FILLRECORD: a line may have too few fields.
    pub fill_record: bool,
    /// TRUNCATECOLUMNS: text that is too long is cut.
    pub truncate: bool,
    /// ROUNDEC: decimals are rounded to their scale, not cut.
    pub round: bool,
    /// ACCEPTANYDATE: what is no date or time is NULL.
    pub accept_any_date: bool,
    /// Decimals with more digits than their scale are refused, not cut: nobody has chosen the scale.
    pub exact: bool,
    /// ACCEPTINVCHARS: stands for each byte that is no UTF-8.
    pub replace_invalid: Option<u8>,
    pub dates: DateFormat,
    pub times: TimeFormat,
    pub encoding: TextEncoding,
}

impl Default for ValueRules {
    fn default() -> Self {
        ValueRules {
            ignore_header: 0,
            ignore_blank_lines: false,
            null_as: "\\N".to_string(),
            empty_as_null: false,
            blanks_as_null: false,
            trim_blanks: false,
            fill_record: false,
            truncate: false,
            round: false,
            accept_any_date: false,
            exact: false,
            replace_invalid: None,
            dates: DateFormat::Iso,
            times: TimeFormat::Iso,
            encoding: TextEncoding::Utf8,
        }
    }
}

/// DATEFORMAT
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum DateFormat {
    /// `YYYY-MM-DD`
    Iso,
    Auto,
    Pattern(String),
}

/// TIMEFORMAT
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum TimeFormat {
    /// `YYYY-MM-DD HH:MI:SS`, with a zone for TIMESTAMPTZ.
    Iso,
    Auto,
    EpochSeconds,
    EpochMilliseconds,
    Pattern(String),
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum TextEncoding {
    Utf8,
    /// As the byte-order mark says, which must be there.
    Utf16,
    Utf16Le,
    Utf16Be,
}

/// How many errors end a load.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ErrorLimit {
    /// MAXERROR: so many; at least 1.
    At(u64),
    /// IGNOREALLERRORS: none.
    Never,
}

/// COMPUPDATE: how a load into an empty table chooses encodings.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum CompUpdate {
    /// Nothing was said: where columns are AUTO.
    Unsaid,
    Preset,
    On,
    Off,
}

/// Who reads the files of a [`Copy`](struct@Copy). Secrets do not show in `Debug`.
#[derive(Clone, PartialEq, Eq, Default)]
pub struct Credentials {
    pub iam_role: Option<IamRole>,
    pub access_key_id: Option<String>,
    pub secret_access_key: Option<String>,
    pub session_token: Option<String>,
    /// A profile of AWS's files of credentials.
    pub profile: Option<String>,
    /// Of other providers, by the names that their environment variables have, in lower case.
    pub settings: Vec<(String, String)>,
}

/// `IAM_ROLE {default | 'arn'}`
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum IamRole {
    Default,
    Arn(String),
}

impl fmt::Debug for Credentials {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let hidden = |secret: &Option<String>| secret.as_ref().map(|_| "…");
        f.debug_struct("Credentials")
            .field("iam_role", &self.iam_role)
            .field("access_key_id", &self.access_key_id)
            .field("secret_access_key", &hidden(&self.secret_access_key))
            .field("session_token", &hidden(&self.session_token))
            .field("profile", &self.profile)
            .field("settings", &self.settings.iter().map(|(name, _)| name).collect::<Vec<_>>())
            .finish()
    }
}
