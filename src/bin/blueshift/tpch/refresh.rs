//! TPC-H's refresh functions: RF1 inserts orders with their line items, RF2 deletes as many old ones with theirs.
//!
//! Basis: TPC Benchmark H specification 3.0.1, clauses 2.5 to 2.7 (refresh functions) and 4.2.3 (keys of orders). The orders that
//! a pair of functions inserts are those that the generator would make behind the last; as the specification has it, their
//! keys lie between those in use: of 32 keys, 8 are the first load's, and the next 8 the refresh functions'.

use std::collections::HashSet;
use std::fmt;
use std::sync::Arc;
use std::time::Instant;

use arrow::array::{ArrayRef, AsArray, BooleanArray, Int64Array, RecordBatch};
use arrow::compute::{filter_record_batch, sum};
use arrow::datatypes::{DataType, Decimal128Type, Field, Int64Type, Schema, SchemaRef};
use blueshift::common::Error;
use blueshift::engine::Session;
use datafusion::error::DataFusionError;
use datafusion::execution::{SendableRecordBatchStream, TaskContext};
use datafusion::physical_plan::stream::RecordBatchStreamAdapter;
use datafusion::physical_plan::streaming::PartitionStream;
use futures::{StreamExt, stream};
use tpchgen::generators::OrderGenerator;

use super::generate::{self, Part};
use crate::failure::Failure;

/// The share of the orders that a function changes is one of so many (clause 2.5.2).
const SHARE: u64 = 1_000;
/// Orders that a function changes at least, so that there are some at small scales.
const LEAST_ORDERS: u64 = 10;
/// Of how many keys in a row some are in use, and of how many of them a load or refresh uses each.
const STRETCH: i64 = 32;
const USED: i64 = 8;

/// What pairs of refresh functions do to the tables of a scale.
#[derive(Debug, Clone)]
pub struct Refreshes {
    /// One for each pair, in the order in which they run.
    pub pairs: Vec<Pair>,
}

/// What RF1 inserts and RF2 deletes.
#[derive(Debug, Clone)]
pub struct Pair {
    pub inserted: Rows,
    pub deleted: Rows,
}

/// Orders with their line items.
#[derive(Debug, Clone)]
pub struct Rows {
    pub orders: Vec<RecordBatch>,
    pub lineitem: Vec<RecordBatch>,
}

/// What tells versions of the tables from each other.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct State {
    pub orders: i64,
    pub lineitems: i64,
    /// The sum of o_totalprice, in hundredths.
    pub price: i64,
}

impl Refreshes {
    /// Makes the rows of so many pairs.
    pub fn new(scale: f64, pairs: u32) -> Result<Self, Failure> {
        let orders = generate::rows("orders", scale);
        // As many parts as there are pairs until all orders have been replaced.
        let parts = (orders / (orders / SHARE).max(LEAST_ORDERS)) as i32;
        let pair = |number: i32| -> Result<Pair, Failure> {
            let made = |part: i32| -> Result<Rows, Failure> {
                let read = |table| generate::part_rows(table, scale, part, parts);
                Ok(Rows { orders: read("orders")?, lineitem: read("lineitem")? })
            };
            let deleted = made(number)?;
            // Behind the last of the parts.
            let mut inserted = made(parts + number)?;
            let first = inserted.order_keys().next().map_or(0, index_of);
            let key = |old: i64| spread_key(index_of(old) - first, number, parts);
            inserted.orders = with_keys(&inserted.orders, key)?;
            inserted.lineitem = with_keys(&inserted.lineitem, key)?;
            Ok(Pair { inserted, deleted })
        };
        Ok(Refreshes { pairs: (1..=pairs as i32).map(pair).collect::<Result<_, _>>()? })
    }

    /// The states of the tables, from `first` on: before and after each function.
    pub fn states(&self, first: State) -> Vec<State> {
        let mut states = vec![first];
        let mut now = first;
        for pair in &self.pairs {
            for (rows, sign) in [(&pair.inserted, 1), (&pair.deleted, -1)] {
                let change = rows.state();
                now.orders += sign * change.orders;
                now.lineitems += sign * change.lineitems;
                now.price += sign * change.price;
                states.push(now);
            }
        }
        states
    }

    /// The rows that `table`, which is orders or lineitem, has in the end: those made first without those deleted, and those
    /// inserted.
    pub fn refreshed(&self, table: &'static str, parts: Vec<Part>) -> Vec<Arc<dyn PartitionStream>> {
        let deleted: Arc<HashSet<i64>> =
            Arc::new(self.pairs.iter().flat_map(|pair| pair.deleted.order_keys().collect::<Vec<_>>()).collect());
        let inserted: Vec<RecordBatch> = self.pairs.iter().flat_map(|pair| pair.inserted.of(table)).cloned().collect();
        let schema = Arc::clone(parts[0].schema());
        let mut streams: Vec<Arc<dyn PartitionStream>> = Vec::new();
        for part in parts {
            streams.push(Arc::new(Left { part, deleted: Arc::clone(&deleted) }));
        }
        streams.push(Arc::new(Inserted { schema, rows: inserted }));
        streams
    }
}

impl Rows {
    fn of(&self, table: &str) -> &[RecordBatch] {
        if table == "orders" { &self.orders } else { &self.lineitem }
    }

    fn order_keys(&self) -> impl Iterator<Item = i64> + '_ {
        self.orders.iter().flat_map(|batch| keys(batch).values().iter().copied())
    }

    pub fn state(&self) -> State {
        let count = |batches: &[RecordBatch]| batches.iter().map(RecordBatch::num_rows).sum::<usize>() as i64;
        let price = self.orders.iter().filter_map(|batch| {
            let prices = batch.column_by_name("o_totalprice")?.as_primitive::<Decimal128Type>();
            sum(prices)
        });
        State { orders: count(&self.orders), lineitems: count(&self.lineitem), price: price.sum::<i128>() as i64 }
    }
}

impl Pair {
    /// RF1, in one transaction; its seconds.
    pub async fn insert(&self, session: &Session) -> Result<f64, Failure> {
        let started = Instant::now();
        session.sql("BEGIN").await?;
        session.load("orders", streams(&self.inserted.orders)).await?;
        session.load("lineitem", streams(&self.inserted.lineitem)).await?;
        session.sql("COMMIT").await?;
        Ok(started.elapsed().as_secs_f64())
    }

    /// RF2, in one transaction; its seconds.
    pub async fn delete(&self, session: &Session) -> Result<f64, Failure> {
        let started = Instant::now();
        let schema = Arc::new(Schema::new(vec![Field::new("orderkey", DataType::Int64, false)]));
        let keys: ArrayRef = Arc::new(self.deleted.order_keys().collect::<Int64Array>());
        let batch = RecordBatch::try_new(schema, vec![keys]).map_err(Error::from)?;
        session.sql("BEGIN").await?;
        session.sql("CREATE TEMP TABLE old_orders (orderkey BIGINT NOT NULL)").await?;
        session.load("old_orders", streams(&[batch])).await?;
        for (table, key) in [("lineitem", "l_orderkey"), ("orders", "o_orderkey")] {
            session.sql(&format!("DELETE FROM {table} USING old_orders WHERE {key} = orderkey")).await?;
        }
        session.sql("DROP TABLE old_orders").await?;
        session.sql("COMMIT").await?;
        Ok(started.elapsed().as_secs_f64())
    }
}

/// Which order of the first load has the key, from 1 on.
fn index_of(key: i64) -> i64 {
    key / STRETCH * USED + key % STRETCH
}

/// A key that is not in use, for the order `at` of a pair: pairs' keys are spread over those of all orders.
fn spread_key(at: i64, pair: i32, parts: i32) -> i64 {
    let (pair, parts) = (i64::from(pair - 1), i64::from(parts));
    let index = 1 + pair % parts + at * parts;
    OrderGenerator::make_order_key(index) + USED * (1 + pair / parts)
}

/// The batches, whose first column is an order's key, with other keys.
fn with_keys(batches: &[RecordBatch], key: impl Fn(i64) -> i64) -> Result<Vec<RecordBatch>, Failure> {
    let changed = batches.iter().map(|batch| {
        let mut columns = batch.columns().to_vec();
        columns[0] = Arc::new(keys(batch).iter().map(|old| old.map(&key)).collect::<Int64Array>());
        RecordBatch::try_new(batch.schema(), columns).map_err(|e| Failure::from(Error::from(e)))
    });
    changed.collect()
}

fn keys(batch: &RecordBatch) -> &Int64Array {
    batch.column(0).as_primitive::<Int64Type>()
}

/// As one stream, if there is something.
fn streams(batches: &[RecordBatch]) -> Vec<SendableRecordBatchStream> {
    let stream = |schema: SchemaRef| stream_of(schema, batches.to_vec());
    batches.first().map(|batch| stream(batch.schema())).into_iter().collect()
}

fn stream_of(schema: SchemaRef, batches: Vec<RecordBatch>) -> SendableRecordBatchStream {
    Box::pin(RecordBatchStreamAdapter::new(schema, stream::iter(batches.into_iter().map(Ok))))
}

/// What deletions leave of a part of a table.
#[derive(Debug)]
struct Left {
    part: Part,
    deleted: Arc<HashSet<i64>>,
}

impl PartitionStream for Left {
    fn schema(&self) -> &SchemaRef {
        self.part.schema()
    }

    fn execute(&self, _: Arc<TaskContext>) -> SendableRecordBatchStream {
        let deleted = Arc::clone(&self.deleted);
        let left = self.part.stream().map(move |batch| {
            let batch = batch?;
            let stay: BooleanArray = keys(&batch).iter().map(|key| key.map(|key| !deleted.contains(&key))).collect();
            filter_record_batch(&batch, &stay).map_err(DataFusionError::from)
        });
        Box::pin(RecordBatchStreamAdapter::new(Arc::clone(self.part.schema()), left))
    }
}

/// Rows that are there.
struct Inserted {
    schema: SchemaRef,
    rows: Vec<RecordBatch>,
}

impl fmt::Debug for Inserted {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Inserted").field("batches", &self.rows.len()).finish_non_exhaustive()
    }
}

impl PartitionStream for Inserted {
    fn schema(&self) -> &SchemaRef {
        &self.schema
    }

    fn execute(&self, _: Arc<TaskContext>) -> SendableRecordBatchStream {
        stream_of(Arc::clone(&self.schema), self.rows.clone())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn refreshes_use_no_key_twice_and_delete_what_is_there() {
        let refreshes = Refreshes::new(0.001, 7).unwrap();
        let all: HashSet<i64> = Rows { orders: generate::part_rows("orders", 0.001, 1, 1).unwrap(), lineitem: vec![] }
            .order_keys()
            .collect();
        let mut inserted = HashSet::new();
        let mut deleted = HashSet::new();
        for pair in &refreshes.pairs {
            for key in pair.inserted.order_keys() {
                // The second of the four stretches of eight, between keys in use.
                assert!(key % STRETCH / USED == 1 && key < *all.iter().max().unwrap() + STRETCH, "{key}");
                assert!(!all.contains(&key) && inserted.insert(key), "{key}");
            }
            let orders: HashSet<i64> = pair.inserted.order_keys().collect();
            let items: HashSet<i64> =
                pair.inserted.lineitem.iter().flat_map(|batch| keys(batch).values().to_vec()).collect();
            assert_eq!(orders, items, "each order has line items, and they an order");
            for key in pair.deleted.order_keys() {
                assert!(all.contains(&key) && deleted.insert(key), "{key}");
            }
        }
        assert_eq!((inserted.len(), deleted.len()), (70, 70));
    }

    #[test]
    fn indexes_of_keys() {
        for index in [1, 7, 8, 9, 31, 32, 1_000_000] {
            assert_eq!(index_of(OrderGenerator::make_order_key(index)), index);
        }
    }
}
