//! A partitioned join's filter of its right side, by the hash of the one key that places rows.

use std::any::Any;
use std::fmt;
use std::hash::{Hash, Hasher};
use std::sync::Arc;

use arrow::array::RecordBatch;
use arrow::datatypes::{DataType, Schema};
use datafusion::common::{Result, internal_err};
use datafusion::logical_expr::{ColumnarValue, Operator};
use datafusion::physical_expr::expressions::{
    BinaryExpr, CaseExpr, Column, DynamicFilterPhysicalExpr, InListExpr, IsNullExpr, Literal, lit,
};
use datafusion::physical_plan::PhysicalExpr;
use datafusion::physical_plan::joins::{HashExpr, HashTableLookupExpr};
use datafusion::physical_plan::repartition::REPARTITION_RANDOM_STATE;

/// What a `HashJoinExec` tells of its partitions, `CASE hash(all keys) % n WHEN i THEN …`, as it is where rows are placed by
/// the hash of `by` alone: `CASE hash(by) % n WHEN i THEN …`.
///
/// The branches are those of the partitions as they were built. A form that is not known passes all rows.
#[derive(Debug)]
pub struct RoutedFilter {
    filter: Arc<DynamicFilterPhysicalExpr>,
    /// The filter and `by`.
    children: [Arc<dyn PhysicalExpr>; 2],
}

impl RoutedFilter {
    /// `None` where `filter` is not the one that a join updates.
    pub fn of(filter: &Arc<dyn PhysicalExpr>, by: Arc<dyn PhysicalExpr>) -> Option<Self> {
        let children = [Arc::clone(filter), by];
        let filter: Arc<dyn Any + Send + Sync> = Arc::clone(filter) as _;
        Arc::downcast::<DynamicFilterPhysicalExpr>(filter).ok().map(|filter| RoutedFilter { filter, children })
    }

    /// The join's own.
    pub fn filter(&self) -> &Arc<DynamicFilterPhysicalExpr> {
        &self.filter
    }

    fn by(&self) -> &Arc<dyn PhysicalExpr> {
        &self.children[1]
    }

    /// The filter as it stands.
    pub fn current(&self) -> Result<Arc<dyn PhysicalExpr>> {
        routed(&self.filter.current()?, self.by())
    }
}

fn routed(filter: &Arc<dyn PhysicalExpr>, by: &Arc<dyn PhysicalExpr>) -> Result<Arc<dyn PhysicalExpr>> {
    Ok(route(filter, by)?.unwrap_or_else(|| lit(true)))
}

/// `None` where there is something unknown in it.
fn route(expr: &Arc<dyn PhysicalExpr>, by: &Arc<dyn PhysicalExpr>) -> Result<Option<Arc<dyn PhysicalExpr>>> {
    if let Some(binary) = expr.downcast_ref::<BinaryExpr>() {
        return Ok(match binary.op() {
            Operator::And | Operator::Or | Operator::Modulo => {
                let (left, right) = (route(binary.left(), by)?, route(binary.right(), by)?);
                left.zip(right).map(|(left, right)| Arc::new(BinaryExpr::new(left, *binary.op(), right)) as _)
            }
            // A key and a bound.
            Operator::GtEq | Operator::LtEq => Some(Arc::clone(expr)),
            _ => None,
        });
    }
    if let Some(case) = expr.downcast_ref::<CaseExpr>() {
        let Some(place) = case.expr() else { return Ok(None) };
        let (Some(place), Some(otherwise)) = (route(place, by)?, case.else_expr()) else { return Ok(None) };
        let branches = case.when_then_expr().to_vec();
        return Ok(Some(Arc::new(CaseExpr::try_new(Some(place), branches, Some(Arc::clone(otherwise)))?)));
    }
    if let Some(hash) = expr.downcast_ref::<HashExpr>() {
        let places = hash.seed() == REPARTITION_RANDOM_STATE.seed();
        let of_key = || HashExpr::new(vec![Arc::clone(by)], REPARTITION_RANDOM_STATE, hash.description().to_string());
        return Ok(places.then(|| Arc::new(of_key()) as _));
    }
    let known = expr.is::<Literal>()
        || expr.is::<Column>()
        || expr.is::<InListExpr>()
        || expr.is::<IsNullExpr>()
        || expr.is::<HashTableLookupExpr>();
    Ok(known.then(|| Arc::clone(expr)))
}

impl PartialEq for RoutedFilter {
    fn eq(&self, other: &Self) -> bool {
        self.filter == other.filter && self.by().as_ref() == other.by().as_ref()
    }
}

impl Eq for RoutedFilter {}

impl Hash for RoutedFilter {
    fn hash<H: Hasher>(&self, state: &mut H) {
        self.filter.hash(state);
        self.by().hash(state);
    }
}

impl fmt::Display for RoutedFilter {
    fn fmt(&self, f: &mut fmt::Formatter) -> fmt::Result {
        write!(f, "{} by {}", self.filter, self.by())
    }
}

impl PhysicalExpr for RoutedFilter {
    fn data_type(&self, _: &Schema) -> Result<DataType> {
        Ok(DataType::Boolean)
    }

    fn nullable(&self, _: &Schema) -> Result<bool> {
        Ok(true)
    }

    fn evaluate(&self, batch: &RecordBatch) -> Result<ColumnarValue> {
        self.current()?.evaluate(batch)
    }

    fn children(&self) -> Vec<&Arc<dyn PhysicalExpr>> {
        self.children.iter().collect()
    }

    /// With a filter that stands still, such as a snapshot of the join's, it is that one, routed.
    fn with_new_children(self: Arc<Self>, children: Vec<Arc<dyn PhysicalExpr>>) -> Result<Arc<dyn PhysicalExpr>> {
        let Ok([filter, by]) = <[Arc<dyn PhysicalExpr>; 2]>::try_from(children) else {
            return internal_err!("a routed filter has a filter and a key");
        };
        match RoutedFilter::of(&filter, Arc::clone(&by)) {
            Some(of) => Ok(Arc::new(of)),
            None => routed(&filter, &by),
        }
    }

    fn snapshot(&self) -> Result<Option<Arc<dyn PhysicalExpr>>> {
        self.current().map(Some)
    }

    fn fmt_sql(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{self}")
    }
}
