//! stv_blocklist: one row per block.

use std::collections::HashMap;
use std::sync::Arc;

use arrow::array::{ArrayRef, Int32Array, Int64Array, StringArray};
use arrow::datatypes::{DataType, Field, Schema};
use datafusion::common::ScalarValue;

use super::SystemContext;
use crate::catalog::TableState;
use crate::common::{Bounds, Result, Scalar, SqlType};
use crate::format::stable::EncodingId;
use crate::storage::segment::SegmentStore;

/// Days and microseconds from 1970-01-01 to 2000-01-01, from which Redshift counts dates and timestamps.
const EPOCH_DAYS: i64 = 10_957;
const EPOCH_MICROSECONDS: i64 = EPOCH_DAYS * 86_400_000_000;

/// A block of one column of one segment.
pub(super) struct Block {
    pub slice: u32,
    /// The column's ordinal in the table.
    pub column: usize,
    /// Counts the blocks of the column on the slice.
    pub number: u32,
    pub bounds: Bounds,
    pub segment: u64,
    pub encoding: &'static str,
    pub sorted: bool,
}

/// How many blocks a table has.
pub async fn count(state: &TableState, store: &SegmentStore) -> Result<usize> {
    Ok(blocks_of(state, store).await?.len())
}

/// The blocks of a table in the order of slice, segment, column. Pages count for the block that they begin in, and so
/// do their rows and zone map entries: a block that holds a dictionary alone has no rows.
pub(super) async fn blocks_of(state: &TableState, store: &SegmentStore) -> Result<Vec<Block>> {
    let sorted = state.sorted_run();
    let mut numbers: HashMap<(u32, usize), u32> = HashMap::new();
    let mut blocks = Vec::new();
    for segment in state.segments.iter() {
        let open = store.open(segment).await?;
        for (column, def) in state.def.columns.iter().enumerate() {
            let Some(ordinal) = open.ordinal(def.id) else { continue };
            let directory = open.directory(ordinal)?;
            let zones = open.zone_map(ordinal)?;
            let per_chunk = open.footer.geometry().zones_per_chunk();
            let mut found: Vec<(Bounds, Option<EncodingId>)> =
                directory.blocks.iter().map(|_| (Bounds::empty(), None)).collect();
            for (zone, stats) in zones.iter().enumerate() {
                let chunk = &directory.chunks[zone / per_chunk];
                let at = chunk.pages[zone % per_chunk].range.offset;
                let index = directory.blocks.partition_point(|block| block.offset <= at).saturating_sub(1);
                let Some((bounds, encoding)) = found.get_mut(index) else { continue };
                *bounds = bounds.merge(&stats.bounds);
                encoding.get_or_insert(chunk.encoding);
            }
            for (bounds, encoding) in found {
                let number = numbers.entry((segment.slice, column)).or_default();
                blocks.push(Block {
                    slice: segment.slice,
                    column,
                    number: *number,
                    bounds,
                    segment: segment.id.0,
                    encoding: encoding_word(encoding.unwrap_or(directory.chunks[0].encoding)),
                    sorted: Some(segment.run) == sorted,
                });
                *number += 1;
            }
        }
    }
    Ok(blocks)
}

/// A stored encoding as `stv_blocklist`, and for AUTO `pg_table_def`, names it: where LZO is declared LZ4 is stored.
pub(super) fn encoding_word(encoding: EncodingId) -> &'static str {
    match encoding {
        EncodingId::Raw => "none",
        EncodingId::Az64 => "az64",
        EncodingId::ByteDict => "bytedict",
        EncodingId::RunLength => "runlength",
        EncodingId::Zstd => "zstd",
        EncodingId::Fsst => "fsst",
        EncodingId::Delta => "delta",
        EncodingId::Delta32k => "delta32k",
        EncodingId::Mostly8 => "mostly8",
        EncodingId::Mostly16 => "mostly16",
        EncodingId::Mostly32 => "mostly32",
        EncodingId::Text255 => "text255",
        EncodingId::Text32k => "text32k",
        EncodingId::Lz4 => "lz4",
        EncodingId::FsstDict => "fsstdict",
        EncodingId::Alp => "alp",
    }
}

/// A block with what its table says of it.
struct Shown {
    table: i32,
    temporary: i32,
    sql_type: SqlType,
    block: Block,
}

pub(super) fn schema() -> Schema {
    let int = |name: &str| Field::new(name, DataType::Int32, false);
    Schema::new(vec![
        int("slice"),
        int("col"),
        int("tbl"),
        int("blocknum"),
        int("num_values"),
        int("extended_limits"),
        Field::new("minvalue", DataType::Int64, true),
        Field::new("maxvalue", DataType::Int64, true),
        int("sb_pos"),
        int("pinned"),
        int("on_disk"),
        int("modified"),
        int("hdr_modified"),
        int("unsorted"),
        int("tombstone"),
        int("preferred_diskno"),
        int("temporary"),
        int("newblock"),
        Field::new("min_decoded", DataType::Utf8, true),
        Field::new("max_decoded", DataType::Utf8, true),
        Field::new("segment", DataType::Int64, false),
        Field::new("encoding", DataType::Utf8, false),
    ])
}

/// `minvalue` and `maxvalue` are NULL where all rows are NULL or nothing is known. `unsorted` is 1 outside the sorted
/// region, also without a sort key. `on_disk` is 1, `temporary` of the session's temporary tables; the other columns without
/// meaning here are 0. Of our own are the
/// bounds as text (`min_decoded`, `max_decoded`; text may be cut to 64 bytes), the table's segment, and the encoding
/// that is stored. The hidden columns of Redshift (INSERT_XID, DELETE_XID, ROW_ID) are not stored and not shown.
pub(super) async fn columns(context: &SystemContext) -> Result<Vec<ArrayRef>> {
    let mut rows: Vec<Shown> = Vec::new();
    for (home, state) in context.tables() {
        let blocks = blocks_of(state, &home.segments).await?;
        let table = home.oid(state.def.id);
        let temporary = i32::from(home.temporary);
        rows.extend(blocks.into_iter().map(|block| Shown {
            table,
            temporary,
            sql_type: state.def.columns[block.column].sql_type,
            block,
        }));
    }
    let int =
        |value: &dyn Fn(&Shown) -> i32| -> ArrayRef { Arc::new(Int32Array::from_iter_values(rows.iter().map(value))) };
    let constant = |value: i32| int(&|_| value);
    let bound = |value: &dyn Fn(&Bounds) -> Option<Scalar>| -> ArrayRef {
        Arc::new(rows.iter().map(|s| value(&s.block.bounds).map(|v| as_bigint(&v, s.sql_type))).collect::<Int64Array>())
    };
    let decoded = |value: &dyn Fn(&Bounds) -> Option<Scalar>| -> ArrayRef {
        Arc::new(rows.iter().map(|s| value(&s.block.bounds).map(|v| as_text(&v, s.sql_type))).collect::<StringArray>())
    };
    Ok(vec![
        int(&|s| s.block.slice as i32),
        int(&|s| s.block.column as i32),
        int(&|s| s.table),
        int(&|s| s.block.number as i32),
        int(&|s| s.block.bounds.rows as i32),
        constant(0),
        bound(&|b| b.min.clone()),
        bound(&|b| b.max.clone()),
        constant(0),
        constant(0),
        constant(1),
        constant(0),
        constant(0),
        int(&|s| i32::from(!s.block.sorted)),
        constant(0),
        constant(0),
        int(&|s| s.temporary),
        constant(0),
        decoded(&|b| b.min.clone()),
        decoded(&|b| b.max.clone()),
        Arc::new(Int64Array::from_iter_values(rows.iter().map(|s| s.block.segment as i64))),
        Arc::new(StringArray::from_iter_values(rows.iter().map(|s| s.block.encoding))),
    ])
}

/// A bound as Redshift keeps it, in 8 bytes: dates and timestamps count from 2000-01-01, decimals are unscaled, text and
/// bytes are their first 8 bytes (the first is the most significant, so that the numbers order as the texts), BOOLEAN 0 or 1.
/// What does not fit is the nearest that does. Floating-point numbers are rounded down.
pub(super) fn as_bigint(value: &Scalar, sql_type: SqlType) -> i64 {
    match (value, sql_type) {
        (Scalar::Bool(v), _) => i64::from(*v),
        (Scalar::Int(v), _) => {
            let v = i64::try_from(*v).unwrap_or(if *v < 0 { i64::MIN } else { i64::MAX });
            match sql_type {
                SqlType::Date => v.saturating_sub(EPOCH_DAYS),
                SqlType::Timestamp | SqlType::TimestampTz => v.saturating_sub(EPOCH_MICROSECONDS),
                _ => v,
            }
        }
        (Scalar::Float(v), _) => v.floor() as i64,
        (Scalar::Bytes(v), _) => {
            let mut prefix = [0; 8];
            let n = v.len().min(8);
            prefix[..n].copy_from_slice(&v[..n]);
            i64::from_be_bytes(prefix)
        }
    }
}

/// A bound as the column's values are written.
pub(super) fn as_text(value: &Scalar, sql_type: SqlType) -> String {
    match (value, sql_type) {
        (Scalar::Int(v), SqlType::Date) => ScalarValue::Date32(i32::try_from(*v).ok()).to_string(),
        (Scalar::Int(v), SqlType::Timestamp) => {
            let micros = ScalarValue::TimestampMicrosecond(i64::try_from(*v).ok(), None);
            let text = micros.cast_to(&DataType::Utf8).unwrap_or(micros).to_string();
            text.replace('T', " ")
        }
        (Scalar::Int(v), SqlType::TimestampTz) => format!("{}+00", as_text(&Scalar::Int(*v), SqlType::Timestamp)),
        (Scalar::Int(v), SqlType::Time) => {
            let time = ScalarValue::Time64Microsecond(i64::try_from(*v).ok());
            time.cast_to(&DataType::Utf8).unwrap_or(time).to_string()
        }
        (Scalar::Int(v), SqlType::Decimal { scale, .. }) if scale > 0 => {
            let unit = 10u128.pow(u32::from(scale));
            let sign = if *v < 0 { "-" } else { "" };
            let v = v.unsigned_abs();
            format!("{sign}{}.{:0width$}", v / unit, v % unit, width = usize::from(scale))
        }
        (Scalar::Int(v), _) => v.to_string(),
        (Scalar::Bool(v), _) => v.to_string(),
        (Scalar::Float(v), SqlType::Real) => (*v as f32).to_string(),
        (Scalar::Float(v), _) => v.to_string(),
        (Scalar::Bytes(v), SqlType::Varbyte(_)) => v.iter().map(|byte| format!("{byte:02x}")).collect(),
        (Scalar::Bytes(v), _) => String::from_utf8_lossy(v).into_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bounds_are_shown_as_redshift_keeps_them() {
        let text = |s: &str| as_bigint(&Scalar::Bytes(s.as_bytes().to_vec()), SqlType::Varchar(20));
        assert!(text("http://www.a") == text("http://w") && text("a") < text("b") && text("a") < text("aa"));
        assert_eq!(as_bigint(&Scalar::Int(10_957), SqlType::Date), 0);
        assert_eq!(as_bigint(&Scalar::Int(i128::MAX), SqlType::Decimal { precision: 38, scale: 0 }), i64::MAX);
        assert_eq!(as_bigint(&Scalar::Float(-1.5), SqlType::Double), -2);
    }

    #[test]
    fn bounds_are_written_as_values() {
        let decimal = SqlType::Decimal { precision: 6, scale: 2 };
        assert_eq!(as_text(&Scalar::Int(-5), decimal), "-0.05");
        assert_eq!(as_text(&Scalar::Int(12_345), decimal), "123.45");
        assert_eq!(as_text(&Scalar::Int(0), SqlType::Date), "1970-01-01");
        assert_eq!(as_text(&Scalar::Int(1_000_000), SqlType::Timestamp), "1970-01-01 00:00:01");
    }
}
