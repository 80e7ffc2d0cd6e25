//! UNLOAD: a query's rows as files.

use sqlparser::ast::Query;

use crate::common::error::Position;

use super::{Credentials, Ident};

/// `UNLOAD ('query') TO 'where' options`
#[derive(Debug, Clone, PartialEq)]
pub struct Unload {
    /// Without an outermost LIMIT. Places in it are those of the statement, of a string without escapes.
    pub query: Box<Query>,
    pub to: String,
    pub to_position: Position,
    pub options: UnloadOptions,
}

/// The options of an [`Unload`], with Redshift's defaults where nothing was said.
#[derive(Debug, Clone, PartialEq)]
pub struct UnloadOptions {
    pub format: UnloadFormat,
    /// HEADER: each file begins with a line of the columns' names. Text formats only.
    pub header: bool,
    /// The field that stands for NULL in text formats; without it an empty one.
    pub null_as: Option<String>,
    pub compression: Option<UnloadCompression>,
    /// PARALLEL ON: files by slice. OFF: files one after the other, in the query's order.
    pub parallel: bool,
    /// No file is to be larger. Of Parquet a multiple of 32 MB.
    pub max_file_bytes: u64,
    pub partition_by: Option<PartitionBy>,
    pub manifest: Option<UnloadManifest>,
    /// EXTENSION: what names end with, in place of `.parquet`, `.gz`, `.bz2` or `.zst`.
    pub extension: Option<String>,
    pub existing: Existing,
    pub credentials: Credentials,
    pub region: Option<String>,
}

impl UnloadOptions {
    /// MAXFILESIZE, in bytes (Redshift manual, "UNLOAD"): 5 MB at least; 6.2 GB at most, and by default.
    pub const MIN_FILE_BYTES: u64 = 5 << 20;
    pub const MAX_FILE_BYTES: u64 = (62 << 30) / 10;
    /// ROWGROUPSIZE, in bytes: 32 MB at least and by default, 128 MB at most.
    pub const MIN_ROW_GROUP_BYTES: u64 = 32 << 20;
    pub const MAX_ROW_GROUP_BYTES: u64 = 128 << 20;
    /// The largest Parquet file is a multiple of this.
    pub const PARQUET_FILE_STEP_BYTES: u64 = 32 << 20;
}

/// The form of the files of an [`Unload`]. Delimiters are ASCII.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum UnloadFormat {
    /// Lines of fields, each between quotes with ADDQUOTES, a backslash before what would end it with ESCAPE.
    Delimited {
        delimiter: u8,
        add_quotes: bool,
        escape: bool,
    },
    /// Fields between `"` where they need it.
    Csv {
        delimiter: u8,
    },
    /// A column's characters in each line, in the order of the columns.
    FixedWidth {
        widths: Vec<usize>,
        position: Position,
    },
    /// An object a line.
    Json,
    Parquet {
        row_group_bytes: u64,
    },
}

impl UnloadFormat {
    /// As `stl_unload_log` names it.
    pub fn name(&self) -> &'static str {
        match self {
            UnloadFormat::Delimited { .. } | UnloadFormat::FixedWidth { .. } => "TEXT",
            UnloadFormat::Csv { .. } => "CSV",
            UnloadFormat::Json => "JSON",
            UnloadFormat::Parquet { .. } => "PARQUET",
        }
    }
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum UnloadCompression {
    Gzip,
    Bzip2,
    Zstd,
}

impl UnloadCompression {
    /// What is added to a file's name.
    pub fn extension(self) -> &'static str {
        match self {
            UnloadCompression::Gzip => ".gz",
            UnloadCompression::Bzip2 => ".bz2",
            UnloadCompression::Zstd => ".zst",
        }
    }
}

/// `PARTITION BY (column, …) [INCLUDE]`; no column twice.
#[derive(Debug, Clone, PartialEq)]
pub struct PartitionBy {
    pub columns: Vec<Ident>,
    /// Whether files hold these columns, too.
    pub include: bool,
}

/// `MANIFEST [VERBOSE]`
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum UnloadManifest {
    Brief,
    Verbose,
}

/// What becomes of files that are there already.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Existing {
    /// They are an error.
    Refuse,
    /// ALLOWOVERWRITE: those of the same name are replaced.
    Overwrite,
    /// CLEANPATH: they are deleted first.
    Clean,
}
