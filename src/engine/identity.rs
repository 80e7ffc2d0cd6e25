//! IDENTITY: values for rows that bring none, from ranges that are reserved by commits of their own.

use std::sync::Arc;

use arrow::array::{Array, ArrayRef, AsArray, BooleanArray, PrimitiveArray, RecordBatch};
use arrow::compute::is_null;
use arrow::datatypes::{ArrowPrimitiveType, DataType, Int32Type, Int64Type};
use tokio::sync::Mutex;

use super::coerce::{Misfit, Refused, null_refused};
use super::warehouse::Warehouse;
use crate::catalog::{Identity, TableDef, TableState, Transaction};
use crate::common::{Error, Result, SqlState};

/// Which rows of a load get a value of the identity column.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Generate {
    /// None: every row brings its own, or the table has no such column.
    Nothing,
    All,
    /// Those that bring NULL.
    Nulls,
    /// Those where this column of the source, which is boolean, is TRUE.
    Where(usize),
}

/// The identity values of one load.
///
/// Guarantees:
/// 1. a value is given once, whatever other sessions and processes do and whoever fails: it belongs to a range that a
///    commit reserved before any row had it, but where the same transaction makes the table;
/// 2. rows that are taken one batch after another get ascending numbers of values;
/// 3. a range is as large as the batch that needs it, later ones as large as all before: a load of one batch leaves no
///    gap, a large one makes few commits.
#[derive(Debug)]
pub struct Identities {
    warehouse: Warehouse,
    def: Arc<TableDef>,
    ordinal: usize,
    identity: Identity,
    /// Whether the transaction itself makes the table: nobody else takes values of it, and nothing is committed.
    own: bool,
    reserved: Mutex<Reserved>,
}

#[derive(Debug, Default)]
struct Reserved {
    next: u64,
    end: u64,
    total: u64,
}

impl Identities {
    /// `None` for a table without identity column.
    pub fn of(warehouse: &Warehouse, table: &TableState) -> Option<Self> {
        let (ordinal, identity) = table.def.identity()?;
        let own = table.def.is_provisional();
        let given = if own { table.identity_given } else { 0 };
        let reserved = Mutex::new(Reserved { next: given, end: given, total: 0 });
        Some(Identities { warehouse: warehouse.clone(), def: Arc::clone(&table.def), ordinal, identity, own, reserved })
    }

    /// The number of the first of `count` values that follow each other.
    ///
    /// Errors: as for [`Identities::fill`].
    pub async fn stretch(&self, count: u64) -> Result<u64> {
        let mut reserved = Reserved::default();
        self.reserve(&mut reserved, count).await?;
        Ok(reserved.next)
    }

    /// Lets the transaction reserve what was taken of a table of its own.
    pub async fn reserve_own(&self, transaction: &mut Transaction) {
        let taken = self.reserved.lock().await.total;
        if self.own && taken > 0 {
            transaction.reserve_identity(&self.def, self.identity, taken, taken);
        }
    }

    /// Puts values into the table's columns `columns`, made of `batch`, which may have NULL there until now.
    ///
    /// Errors: Invalid when the column's type has no more values, or a row brings a value of its own where it may not;
    /// NULL where it gets none; as a commit's, for the range.
    pub async fn fill(&self, columns: &mut [ArrayRef], batch: &RecordBatch, generate: Generate) -> Result<(), Refused> {
        let Some(column) = columns.get_mut(self.ordinal) else { return Ok(()) };
        let wanted: BooleanArray = match generate {
            Generate::Nothing => return Ok(()),
            Generate::All => vec![true; column.len()].into(),
            Generate::Nulls => is_null(column).map_err(Error::from)?,
            Generate::Where(flags) => batch.column(flags).as_boolean().clone(),
        };
        let count = wanted.true_count() as u64;
        if !self.identity.by_default && count < wanted.len() as u64 {
            return Err(explicit(&self.def).into());
        }
        if let Some(row) = (0..wanted.len()).find(|row| !wanted.value(*row) && column.is_null(*row)) {
            let error = null_refused(&self.def.columns[self.ordinal], &self.def.name);
            return Err(Refused::Value(Misfit { error, column: self.ordinal, row: Some(row as u64), value: None }));
        }
        if count == 0 {
            return Ok(());
        }
        let mut numbers = self.take(count).await?.into_iter();
        let mut values = Vec::with_capacity(wanted.len());
        for row in 0..wanted.len() {
            values.push(match wanted.value(row) {
                true => numbers.next().map(|number| self.identity.value(number)),
                false => None,
            });
        }
        *column = match column.data_type() {
            DataType::Int32 => Arc::new(merged::<Int32Type>(column.as_primitive(), &values, |v| v as i32)),
            DataType::Int64 => Arc::new(merged::<Int64Type>(column.as_primitive(), &values, |v| v as i64)),
            other => return Err(Error::internal(format!("an identity column of type {other}")).into()),
        };
        Ok(())
    }

    /// The numbers of `count` values.
    async fn take(&self, count: u64) -> Result<Vec<u64>> {
        let mut reserved = self.reserved.lock().await;
        let mut numbers = Vec::with_capacity(count as usize);
        while (numbers.len() as u64) < count {
            let left = count - numbers.len() as u64;
            if reserved.next == reserved.end {
                self.reserve(&mut reserved, left).await?;
            }
            let to = reserved.end.min(reserved.next + left);
            numbers.extend(reserved.next..to);
            reserved.next = to;
        }
        Ok(numbers)
    }

    async fn reserve(&self, reserved: &mut Reserved, needed: u64) -> Result<()> {
        if self.own {
            reserved.end += needed;
            reserved.total += needed;
            return Ok(());
        }
        let catalog = &self.warehouse.inner.catalog;
        let mut transaction = catalog.begin(self.warehouse.owner());
        transaction.reserve_identity(&self.def, self.identity, needed, needed.max(reserved.total));
        let committed = catalog.commit(transaction).await?;
        let Some((given, count)) = committed.identities.first().copied() else {
            return Err(Error::internal("a range of identities was not told"));
        };
        (reserved.next, reserved.end) = (given, given + count);
        reserved.total += count;
        Ok(())
    }
}

/// The error of a row that brings a value for an IDENTITY column.
pub fn explicit(def: &TableDef) -> Error {
    let name = def.identity().map_or("", |(ordinal, _)| def.columns[ordinal].name.as_str());
    Error::invalid(
        SqlState::GENERATED_ALWAYS,
        format!("column \"{name}\" of table \"{}\" is an IDENTITY: it takes no values", def.name),
    )
    .with_hint("leave the column out or write DEFAULT; COPY takes values with EXPLICIT_IDS")
}

/// `values` where there are such, which fit the type since their range was reserved for it; else what `given` holds.
fn merged<T: ArrowPrimitiveType>(
    given: &PrimitiveArray<T>,
    values: &[Option<i128>],
    convert: impl Fn(i128) -> T::Native,
) -> PrimitiveArray<T> {
    let own = |row: usize| given.is_valid(row).then(|| given.value(row));
    values.iter().enumerate().map(|(row, value)| value.map(&convert).or_else(|| own(row))).collect()
}
