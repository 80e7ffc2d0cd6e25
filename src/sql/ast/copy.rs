//! Statements that read what stands outside of the warehouse.

use std::fmt;

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
    /// Lines to leave out at the start of every file.
    pub ignore_header: u64,
    /// IGNOREBLANKLINES: an empty line is no row.
    pub ignore_blank_lines: bool,
    /// The field that means NULL in text formats.
    pub null_as: String,
    /// EMPTYASNULL: an empty text field is NULL.
    pub empty_as_null: bool,
    /// BLANKSASNULL: a text field of nothing but blanks is NULL.
    pub blanks_as_null: bool,
    /// EXPLICIT_IDS, where it stands: files bring the values of the identity column.
    pub explicit_ids: Option<Position>,
    pub credentials: Credentials,
    pub region: Option<String>,
}

/// The form of the files of a [`Copy`](struct@Copy). Delimiter and quote are ASCII.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum CopyFormat {
    Parquet,
    Csv {
        delimiter: u8,
        quote: u8,
    },
    /// Lines of fields without quoting.
    Delimited {
        delimiter: u8,
    },
}

/// Who reads the files of a [`Copy`](struct@Copy). Secrets do not show in `Debug`.
#[derive(Clone, PartialEq, Eq, Default)]
pub struct Credentials {
    pub iam_role: Option<IamRole>,
    pub access_key_id: Option<String>,
    pub secret_access_key: Option<String>,
    pub session_token: Option<String>,
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
            .finish()
    }
}
