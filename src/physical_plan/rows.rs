//! Which row is which: a column that scans make up for statements that change rows.

use std::sync::Arc;

use datafusion::catalog::Session;
use datafusion::common::Result;
use datafusion::common::config::ConfigOptions;
use futures::FutureExt;
use futures::future::BoxFuture;

use super::load::RowSink;
use super::provider::TableSource;
use super::scan::ScanTable;
use crate::catalog::model::{ColumnDef, SegmentId, TableDef};
use crate::common::{ColumnId, EncodingName, SqlType};

/// The id of the column, which no column of a table has: they are given from 1.
pub const ROW: ColumnId = ColumnId(u32::MAX);

/// Its name, which SQL cannot write.
pub const ROW_NAME: &str = "\0row";

/// Bits of a position: a segment has 2^21 rows at most, 16 chunks of 131,072. Those that are left number more segments than
/// there can be.
const POSITION_BITS: u32 = 24;

/// The value of a row: its segment and its position there, both of the version that is read.
pub fn row_identity(segment: SegmentId, position: u32) -> i64 {
    debug_assert!(position < 1 << POSITION_BITS && segment.0 < 1 << (63 - POSITION_BITS));
    ((segment.0 << POSITION_BITS) | u64::from(position)) as i64
}

/// The segment and the position of a row.
pub fn row_place(identity: i64) -> (SegmentId, u32) {
    let identity = identity as u64;
    (SegmentId(identity >> POSITION_BITS), (identity & ((1 << POSITION_BITS) - 1)) as u32)
}

/// The definition with the column, behind all others.
pub fn with_rows(def: &TableDef) -> Arc<TableDef> {
    let mut def = def.clone();
    def.columns.push(ColumnDef {
        id: ROW,
        name: ROW_NAME.to_string(),
        sql_type: SqlType::BigInt,
        nullable: false,
        default_sql: None,
        absent: None,
        encoding: EncodingName::Raw,
        identity: None,
    });
    Arc::new(def)
}

/// A source whose rows have the column.
#[derive(Debug)]
pub struct Identified(pub Arc<dyn TableSource>);

impl Identified {
    fn identified(table: Arc<ScanTable>) -> Arc<ScanTable> {
        Arc::new(ScanTable { def: with_rows(&table.def), ..Arc::unwrap_or_clone(table) })
    }
}

impl TableSource for Identified {
    fn read<'a>(&'a self, session: &'a dyn Session) -> BoxFuture<'a, Result<(Arc<ScanTable>, u32)>> {
        let read = self.0.read(session);
        read.map(|read| read.map(|(table, slices)| (Identified::identified(table), slices))).boxed()
    }

    fn planned(&self, options: &ConfigOptions) -> Option<Arc<ScanTable>> {
        self.0.planned(options).map(Identified::identified)
    }

    fn estimated(&self, options: &ConfigOptions) -> Option<Arc<ScanTable>> {
        self.0.estimated(options).map(Identified::identified)
    }

    fn note_use(&self, ordinal: usize, how: u8) {
        self.0.note_use(ordinal, how);
    }

    fn sink(&self) -> Option<Arc<dyn RowSink>> {
        None
    }
}
