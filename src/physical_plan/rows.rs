//! Which row is which: a column that scans make up for statements that change rows.

use std::sync::Arc;

use datafusion::catalog::Session;
use datafusion::common::Result;
use datafusion::common::config::ConfigOptions;
use futures::FutureExt;
use futures::future::BoxFuture;

use super::load::RowSink;
use super::provider::{Disproof, TableSource};
use super::scan::ScanTable;
use crate::catalog::model::{ColumnDef, SegmentId, TableDef};
use crate::common::{ColumnId, EncodingName, Error, SqlType};

/// The id of the column, which no column of a table has: they are given from 1.
pub const ROW: ColumnId = ColumnId(u32::MAX);

/// Its name, which SQL cannot write.
pub const ROW_NAME: &str = "\0row";

/// Makes the values of a segment's rows: the segment above, a row's position in it below, both of the version that is read.
///
/// Unsupported of a segment behind the 2^32 first of its table: its rows could not be told from those of another.
pub fn row_identities(segment: SegmentId) -> Result<impl Fn(u32) -> i64, Error> {
    let number = u32::try_from(segment.0).map_err(|_| {
        Error::unsupported("the table has had more than 2^32 segments, so that its rows cannot be changed")
    })?;
    Ok(move |position| ((u64::from(number) << 32) | u64::from(position)) as i64)
}

/// The segment and the position of a row.
pub fn row_place(identity: i64) -> (SegmentId, u32) {
    (SegmentId(identity as u64 >> 32), identity as u32)
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

    fn watches_reads(&self, options: &ConfigOptions) -> bool {
        self.0.watches_reads(options)
    }

    fn note_read(&self, options: &ConfigOptions, filter: Disproof) {
        self.0.note_read(options, filter);
    }

    fn sink(&self) -> Option<Arc<dyn RowSink>> {
        None
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_place_has_an_identity_of_its_own() {
        let most = SegmentId(u64::from(u32::MAX));
        for segment in [SegmentId(0), SegmentId(1), SegmentId(1 << 31), most] {
            for position in [0, 1, 8_191, 8_192, 1 << 31, u32::MAX] {
                let identity = row_identities(segment).unwrap()(position);
                assert_eq!(row_place(identity), (segment, position));
            }
        }
        assert!(row_identities(SegmentId(most.0 + 1)).is_err());
    }
}
