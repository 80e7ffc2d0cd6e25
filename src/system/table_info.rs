//! svv_table_info: a table's layout and health in one row.

use std::collections::BTreeMap;
use std::sync::Arc;

use arrow::array::{ArrayRef, Decimal128Array, Int32Array, Int64Array, StringArray, TimestampMicrosecondArray};
use arrow::datatypes::{DataType, Field, Schema, TimeUnit};

use super::blocks::{Block, as_bigint, blocks_of};
use super::columns::shown_encoding;
use super::{Home, SystemContext};
use crate::catalog::{EffectiveDist, TableState};
use crate::common::{ColumnId, DistStyle, EncodingName, Result, SortStyle, SqlType};

pub(super) fn schema() -> Schema {
    let text = |name: &str, nullable| Field::new(name, DataType::Utf8, nullable);
    let decimal = |name: &str, p, s, nullable| Field::new(name, DataType::Decimal128(p, s), nullable);
    Schema::new(vec![
        text("database", false),
        text("schema", false),
        Field::new("table_id", DataType::Int32, false),
        text("table", false),
        text("encoded", false),
        text("diststyle", false),
        text("sortkey1", true),
        Field::new("max_varchar", DataType::Int32, false),
        text("sortkey1_enc", true),
        Field::new("sortkey_num", DataType::Int32, false),
        Field::new("size", DataType::Int64, false),
        decimal("pct_used", 10, 4, true),
        Field::new("empty", DataType::Int64, false),
        decimal("unsorted", 5, 2, true),
        decimal("stats_off", 5, 2, true),
        decimal("tbl_rows", 38, 0, false),
        decimal("skew_sortkey1", 19, 2, true),
        decimal("skew_rows", 19, 2, true),
        decimal("estimated_visible_rows", 38, 0, false),
        text("risk_event", true),
        decimal("vacuum_sort_benefit", 12, 2, true),
        Field::new("create_time", DataType::Timestamp(TimeUnit::Microsecond, None), false),
    ])
}

struct Info {
    schema: String,
    id: i32,
    table: String,
    encoded: &'static str,
    diststyle: String,
    sortkey1: Option<String>,
    max_varchar: i32,
    sortkey1_enc: Option<&'static str>,
    sortkey_num: i32,
    size: i64,
    /// Hundredths, as the skews.
    unsorted: Option<i128>,
    rows: i128,
    skew_sortkey1: Option<i128>,
    skew_rows: Option<i128>,
    visible_rows: i128,
    sort_benefit: Option<i128>,
    stats_off: i128,
    created_us: i64,
}

/// Tables that hold rows, dead or alive; also the session's temporary ones, in the schema pg_temp_N.
///
/// - `size` counts blocks, which Redshift's are 1 MB each; here that is the most that one holds.
/// - `sortkey1` is `AUTO(SORTKEY(a))` where AUTO chose it, `AUTO(SORTKEY)` while it has not, NULL where there is none.
/// - `unsorted` is NULL without a sort key.
/// - `skew_sortkey1` compares bytes stored, `skew_rows` rows stored. A slice without rows counts as one row, so that a
///   table with all its rows on one slice shows how many they are. `skew_rows` is NULL for ALL, which is stored once.
/// - `stats_off` counts rows inserted and deleted since ANALYZE, or, where it never ran, since a load that told of all rows;
///   it is 100 while nothing but bounds is known. Bounds, rows and NULLs are kept by every commit.
/// - `vacuum_sort_benefit` is an estimate of our own: by how much fewer zones a lookup of a value of the first sort column
///   would read, were all rows sorted as those of the sorted region are. 0 for a sorted table; NULL without a sort key, and for
///   an interleaved one with unsorted rows, whose zones overlap by design.
/// - `pct_used` is NULL: a store has no capacity of which a table takes a part. `risk_event` is NULL: nothing is ever loaded
///   without a log. `empty` is 0.
pub(super) async fn columns(context: &SystemContext) -> Result<Vec<ArrayRef>> {
    let mut rows = Vec::new();
    for (home, state) in context.tables().filter(|(_, t)| !t.segments.is_empty()) {
        let blocks = blocks_of(state, &home.segments).await?;
        rows.push(info(home, state, &blocks, sort_benefit(home, state).await?));
    }
    let text = |value: &dyn Fn(&Info) -> Option<String>| -> ArrayRef {
        Arc::new(rows.iter().map(value).collect::<StringArray>())
    };
    let int =
        |value: &dyn Fn(&Info) -> i32| -> ArrayRef { Arc::new(Int32Array::from_iter_values(rows.iter().map(value))) };
    let bigint =
        |value: &dyn Fn(&Info) -> i64| -> ArrayRef { Arc::new(Int64Array::from_iter_values(rows.iter().map(value))) };
    let decimal = |p, s, value: &dyn Fn(&Info) -> Option<i128>| -> Result<ArrayRef> {
        Ok(Arc::new(rows.iter().map(value).collect::<Decimal128Array>().with_precision_and_scale(p, s)?))
    };
    let created = TimestampMicrosecondArray::from_iter_values(rows.iter().map(|r| r.created_us));
    Ok(vec![
        text(&|_| Some(context.own.snapshot.info.name.clone())),
        text(&|r| Some(r.schema.clone())),
        int(&|r| r.id),
        text(&|r| Some(r.table.clone())),
        text(&|r| Some(r.encoded.into())),
        text(&|r| Some(r.diststyle.clone())),
        text(&|r| r.sortkey1.clone()),
        int(&|r| r.max_varchar),
        text(&|r| r.sortkey1_enc.map(Into::into)),
        int(&|r| r.sortkey_num),
        bigint(&|r| r.size),
        decimal(10, 4, &|_| None)?,
        bigint(&|_| 0),
        decimal(5, 2, &|r| r.unsorted)?,
        decimal(5, 2, &|r| Some(r.stats_off))?,
        decimal(38, 0, &|r| Some(r.rows))?,
        decimal(19, 2, &|r| r.skew_sortkey1)?,
        decimal(19, 2, &|r| r.skew_rows)?,
        decimal(38, 0, &|r| Some(r.visible_rows))?,
        text(&|_| None),
        decimal(12, 2, &|r| r.sort_benefit)?,
        Arc::new(created),
    ])
}

fn info(home: &Home, state: &TableState, blocks: &[Block], sort_benefit: Option<i128>) -> Info {
    let def = &state.def;
    let leading = def.sort.as_ref().map(|s| s.columns[0]);
    let ordinal = leading.and_then(|id| def.columns.iter().position(|c| c.id == id));
    let sortkey1 = match (&def.sort, ordinal) {
        (Some(sort), _) if sort.style == SortStyle::Interleaved => Some("INTERLEAVED".to_string()),
        (_, Some(ordinal)) if def.sort_auto => Some(format!("AUTO(SORTKEY({}))", def.columns[ordinal].name)),
        (_, Some(ordinal)) => Some(def.columns[ordinal].name.clone()),
        _ => def.sort_auto.then(|| "AUTO(SORTKEY)".to_string()),
    };
    let rows = state.stored_rows();
    let unsorted = def.sort.as_ref().map(|_| {
        let sorted = state.sorted_run();
        let outside: u64 = state.segments.iter().filter(|s| Some(s.run) != sorted).map(|s| u64::from(s.rows)).sum();
        percent(outside, rows)
    });
    let varchars = def.columns.iter().filter_map(|c| match c.sql_type {
        SqlType::Varchar(bytes) => Some(bytes as i32),
        _ => None,
    });
    Info {
        schema: home.snapshot.schemas.get(&def.schema).map_or_else(String::new, |s| s.name.clone()),
        id: home.oid(def.id),
        table: def.name.clone(),
        encoded: match def.encode_auto {
            true => "Y, AUTO(ENCODE)",
            false if def.columns.iter().any(|c| c.encoding != EncodingName::Raw) => "Y",
            false => "N",
        },
        diststyle: diststyle(state),
        sortkey1,
        max_varchar: varchars.max().unwrap_or(0),
        sortkey1_enc: ordinal.map(|ordinal| shown_encoding(&def.columns[ordinal], ordinal, blocks)),
        sortkey_num: def.sort.as_ref().map_or(0, |s| s.columns.len() as i32),
        size: blocks.len() as i64,
        unsorted,
        rows: i128::from(rows),
        skew_sortkey1: skew_of_sort_key(state),
        skew_rows: skew_of_rows(home, state),
        visible_rows: i128::from(state.live_rows()),
        sort_benefit,
        stats_off: i128::from(state.statistics_off()),
        created_us: def.created_us,
    }
}

/// As Redshift writes it: `EVEN`, `KEY(a)`, `ALL`, `AUTO(EVEN)`, `AUTO(KEY(a))`, `AUTO(ALL)`.
pub fn diststyle(state: &TableState) -> String {
    let effective = match state.def.effective_dist {
        EffectiveDist::Even => "EVEN".to_string(),
        EffectiveDist::All => "ALL".to_string(),
        EffectiveDist::Key(id) => format!("KEY({})", state.def.column(id).map_or("", |c| c.name.as_str())),
    };
    if state.def.dist == DistStyle::Auto { format!("AUTO({effective})") } else { effective }
}

/// Bytes of the largest column outside the sort key by those of its first column.
fn skew_of_sort_key(state: &TableState) -> Option<i128> {
    let key = &state.def.sort.as_ref()?.columns;
    let mut bytes: BTreeMap<ColumnId, u64> = BTreeMap::new();
    for column in state.segments.iter().flat_map(|s| &s.columns) {
        *bytes.entry(column.id).or_default() += column.bytes;
    }
    let largest = bytes.iter().filter(|(id, _)| !key.contains(id)).map(|(_, bytes)| *bytes).max()?;
    Some(ratio(largest, *bytes.get(&key[0])?))
}

/// Rows of the fullest slice by those of the emptiest.
fn skew_of_rows(home: &Home, state: &TableState) -> Option<i128> {
    if state.def.effective_dist == EffectiveDist::All {
        return None;
    }
    let mut rows = vec![0u64; home.snapshot.info.slices as usize];
    for segment in state.segments.iter() {
        rows[segment.slice as usize] += u64::from(segment.rows);
    }
    Some(ratio(*rows.iter().max()?, *rows.iter().min()?))
}

/// Hundredths of a percent; see [`columns`].
async fn sort_benefit(home: &Home, state: &TableState) -> Result<Option<i128>> {
    let Some(key) = &state.def.sort else { return Ok(None) };
    let sorted_run = state.sorted_run();
    if state.segments.iter().all(|segment| Some(segment.run) == sorted_run) {
        return Ok(Some(0));
    }
    let leading = key.columns[0];
    let Some(column) = state.def.column(leading).filter(|_| key.style == SortStyle::Compound) else { return Ok(None) };
    let (mut now, mut sorted, mut zones) = (0.0, 0.0, 0.0);
    for slice in 0..home.snapshot.info.slices {
        let (mut all, mut in_order) = (Vec::new(), Vec::new());
        for segment in state.segments.iter().filter(|segment| segment.slice == slice) {
            let open = home.segments.open(segment).await?;
            let Some(ordinal) = open.ordinal(leading) else { continue };
            for zone in open.zone_map(ordinal)?.iter() {
                let (Some(min), Some(max)) = (&zone.bounds.min, &zone.bounds.max) else { continue };
                let range = (as_bigint(min, column.sql_type), as_bigint(max, column.sql_type));
                all.push(range);
                if Some(segment.run) == sorted_run {
                    in_order.push(range);
                }
            }
        }
        let count = all.len() as f64;
        now += count * zones_of_a_lookup(all);
        sorted += count * zones_of_a_lookup(in_order);
        zones += count;
    }
    if zones == 0.0 {
        return Ok(Some(0));
    }
    Ok(Some(((1.0 - sorted / now).max(0.0) * 10_000.0).round() as i128))
}

/// How many zones hold a value, in the mean over the least value of each; 1 where there are none.
fn zones_of_a_lookup(ranges: Vec<(i64, i64)>) -> f64 {
    let (mut least, mut greatest): (Vec<i64>, Vec<i64>) = ranges.into_iter().unzip();
    if least.is_empty() {
        return 1.0;
    }
    least.sort_unstable();
    greatest.sort_unstable();
    let held = |value: i64| least.partition_point(|min| *min <= value) - greatest.partition_point(|max| *max < value);
    least.iter().map(|value| held(*value) as f64).sum::<f64>() / least.len() as f64
}

/// In hundredths, rounded; a divisor of zero counts as one.
fn ratio(a: u64, b: u64) -> i128 {
    let b = i128::from(b.max(1));
    (i128::from(a) * 100 + b / 2) / b
}

/// Hundredths of a percent.
fn percent(part: u64, whole: u64) -> i128 {
    ratio(part * 100, whole)
}

#[cfg(test)]
mod tests {
    use super::zones_of_a_lookup;

    #[test]
    fn overlap_is_counted_at_each_zone() {
        assert_eq!(zones_of_a_lookup(vec![]), 1.0);
        assert_eq!(zones_of_a_lookup(vec![(1, 4), (5, 8), (9, 12)]), 1.0);
        // Two hold each of 1, 5 and 9.
        assert_eq!(zones_of_a_lookup(vec![(1, 4), (5, 8), (1, 12), (9, 12)]), 2.0);
    }
}
