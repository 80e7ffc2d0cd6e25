//! Joins in the order that costs least, by the statistics of the tables.
//!
//! Inner joins and the left sides of outer, semi and anti joins change places where that gives the same rows. A region of
//! such joins is taken apart into relations and operators (`Graph`), the cheapest order is searched (`Search`), and
//! the joins are written anew in it. What stands between joins and is more than a choice of columns ends a region.

use std::collections::{HashMap, HashSet};
use std::sync::Arc;

use datafusion::catalog::default_table_source::source_as_provider;
use datafusion::common::config::ConfigOptions;
use datafusion::common::tree_node::{Transformed, TreeNode, TreeNodeRecursion};
use datafusion::common::{Column, DFSchema, ExprSchema, JoinConstraint, JoinType, NullEquality, Result};
use datafusion::logical_expr::utils::{conjunction, split_conjunction};
use datafusion::logical_expr::{Expr, Join, LogicalPlan, Projection};
use datafusion::optimizer::{ApplyOrder, OptimizerConfig, OptimizerRule};

use super::cost::{Input, JoinCosts, Key, Placement};
use super::estimate::logical::{Estimator, column_of, selectivity};
use super::estimate::{ColumnEstimate, Estimate, Matched};
use crate::catalog::model::EffectiveDist;
use crate::physical_plan::config::BlueshiftOptions;
use crate::physical_plan::provider::BlueshiftTable;

mod relations;
mod search;

pub use relations::Kind;
use relations::{Operator, Relations};
use search::{Cardinality, Crossing, Edge, Graph, Order, Search};

/// See the module.
#[derive(Debug, Default)]
pub struct JoinOrder;

impl OptimizerRule for JoinOrder {
    fn name(&self) -> &str {
        "blueshift_join_order"
    }

    fn apply_order(&self) -> Option<ApplyOrder> {
        None
    }

    fn rewrite(&self, plan: LogicalPlan, config: &dyn OptimizerConfig) -> Result<Transformed<LogicalPlan>> {
        let options = config.options();
        match options.extensions.get::<BlueshiftOptions>() {
            Some(ours) if ours.join_order => {
                let costs = JoinCosts::of(ours, options.execution.target_partitions);
                Rewriter { costs, options: &options, ours }.below(plan)
            }
            _ => Ok(Transformed::no(plan)),
        }
    }
}

struct Rewriter<'a> {
    costs: JoinCosts,
    options: &'a ConfigOptions,
    ours: &'a BlueshiftOptions,
}

impl Rewriter<'_> {
    fn below(&self, plan: LogicalPlan) -> Result<Transformed<LogicalPlan>> {
        plan.transform_down_with_subqueries(|plan| {
            let Some(mut region) = Region::of(&plan)? else { return Ok(Transformed::no(plan)) };
            let mut changed = false;
            for relation in &mut region.relations {
                let below = self.below(LogicalPlan::clone(relation))?;
                if below.transformed {
                    *relation = Arc::new(below.data);
                    changed = true;
                }
            }
            let order = match self.cheaper(&region) {
                Some(order) => order,
                None if changed => region.written.clone(),
                None => return Ok(Transformed::new(plan, false, TreeNodeRecursion::Jump)),
            };
            match region.plan(&order, plan.schema())? {
                Some(new) => Ok(Transformed::new(new, true, TreeNodeRecursion::Jump)),
                None => Ok(Transformed::new(plan, false, TreeNodeRecursion::Jump)),
            }
        })
    }

    /// A better order than the query's, if there is one and the statistics can tell.
    fn cheaper(&self, region: &Region) -> Option<Order> {
        if region.relations.len() < 3 {
            return None;
        }
        let mut estimator = Estimator::new(self.options);
        let estimates = region.relations.iter().map(|relation| estimator.estimate(relation));
        let estimates = estimates.collect::<Option<Vec<_>>>()?;
        let graph = region.graph(&estimates, self.options);
        let cardinality = Estimated::new(region, &graph, &estimates);
        let exhaustive = self.ours.join_order_exhaustive;
        let search = Search { graph: &graph, cardinality: &cardinality, costs: &self.costs, exhaustive };
        let (best, cost) = search.best()?;
        // Where estimates say about the same, the query's own order is as good.
        let better = cost < search.cost(&region.written)? * self.ours.join_order_worthwhile;
        #[cfg(test)]
        probe::take(region, &graph, if better { &best } else { &region.written }, &self.costs, &cardinality);
        better.then_some(best)
    }
}

/// Joins that may change places.
#[derive(Debug, Clone)]
struct Region {
    relations: Vec<Arc<LogicalPlan>>,
    /// In the order in which the joins are written, inner ones first: those below a join stand before it.
    joins: Vec<Written>,
    written: Order,
    /// Which relation has a column.
    owners: HashMap<Column, usize>,
    /// Columns that inner joins equate wherever they stand, one of a relation.
    classes: Vec<Vec<(usize, Column)>>,
}

/// What is equal of the left side and of the right.
type Pairs = Vec<(Expr, Expr)>;

/// One join of the query, or one conjunct of an inner one.
#[derive(Debug, Clone)]
struct Written {
    operator: Operator,
    on: Pairs,
    filter: Vec<Expr>,
    null_aware: bool,
    class: Option<usize>,
}

impl Region {
    /// The region whose uppermost join is `plan`; `None` of all else.
    fn of(plan: &LogicalPlan) -> Result<Option<Self>> {
        if !matches!(plan, LogicalPlan::Join(join) if may_move(join)) {
            return Ok(None);
        }
        let mut relations = Vec::new();
        collect_relations(plan, &mut relations);
        if relations.len() > Relations::MOST {
            return Ok(None);
        }
        let mut owners = HashMap::new();
        for (i, relation) in relations.iter().enumerate() {
            for column in relation.schema().columns() {
                if owners.insert(column, i).is_some() {
                    return Ok(None);
                }
            }
        }
        let mut region =
            Region { relations, joins: Vec::new(), written: Order::Relation(0), owners, classes: Vec::new() };
        let mut next = 0;
        match region.take(plan, &mut next) {
            Some(order) => region.written = order,
            None => return Ok(None),
        }
        region.find_classes()?;
        Ok(Some(region))
    }

    /// Takes the joins of `plan` apart; `None` where a predicate is not about the relations' columns alone.
    fn take(&mut self, plan: &LogicalPlan, next: &mut usize) -> Option<Order> {
        let Some(join) = within(plan) else {
            *next += 1;
            return Some(Order::Relation(*next - 1));
        };
        let below = self.joins.len();
        let (kind, swapped) = kind_of(join.join_type)?;
        let first = self.take(&join.left, next)?;
        let second = self.take(&join.right, next)?;
        let (left, right) = if swapped { (second, first) } else { (first, second) };
        let sides = (left.relations(), right.relations());
        let below: Vec<Operator> = self.joins[below..].iter().map(|written| written.operator.clone()).collect();
        let on = join.on.iter().cloned().map(|(l, r)| if swapped { (r, l) } else { (l, r) });
        let filter: Vec<Expr> = join.filter.iter().flat_map(split_conjunction).cloned().collect();
        let mut parts: Vec<(Pairs, Vec<Expr>)> = match kind {
            Kind::Inner => {
                let of_on = on.map(|pair| (vec![pair], Vec::new()));
                of_on.chain(filter.into_iter().map(|conjunct| (Vec::new(), vec![conjunct]))).collect()
            }
            _ => vec![(on.collect(), filter)],
        };
        if parts.is_empty() {
            parts.push((Vec::new(), Vec::new()));
        }
        for (on, filter) in parts {
            let exprs = on.iter().flat_map(|(l, r)| [l, r]).chain(&filter);
            let named = exprs.map(|expr| self.named(expr)).try_fold(Relations::NONE, |all, of| Some(all | of?))?;
            let operator = Operator::new(kind, sides.0, sides.1, named, &below);
            self.joins.push(Written { operator, on, filter, null_aware: join.null_aware, class: None });
        }
        Some(Order::Join(Box::new(left), Box::new(right)))
    }

    /// The relations whose columns an expression reads; `None` where it may give something else in another place.
    fn named(&self, expr: &Expr) -> Option<Relations> {
        let mut fixed = !expr.is_volatile();
        let walked = expr.apply(|e| {
            fixed &= !matches!(
                e,
                Expr::ScalarSubquery(_) | Expr::InSubquery(_) | Expr::Exists(_) | Expr::OuterReferenceColumn(..)
            );
            Ok(if fixed { TreeNodeRecursion::Continue } else { TreeNodeRecursion::Stop })
        });
        if !fixed || walked.is_err() {
            return None;
        }
        expr.column_refs().into_iter().map(|column| self.owners.get(column).copied()).collect()
    }

    /// Puts the columns that free inner joins equate into classes.
    fn find_classes(&mut self) -> Result<()> {
        for i in 0..self.joins.len() {
            let written = &self.joins[i];
            let ([(Expr::Column(left), Expr::Column(right))], true) =
                (written.on.as_slice(), written.operator.is_free())
            else {
                continue;
            };
            let both = [left, right].map(|column| (self.owners[column], column.clone()));
            let types = both.each_ref().map(|(of, column)| {
                self.relations[*of].schema().field_from_column(column).map(|field| field.data_type().clone())
            });
            let [left_type, right_type] = types;
            if left_type? != right_type? {
                continue;
            }
            let of = both.each_ref().map(|column| self.classes.iter().position(|class| class.contains(column)));
            let class = match of {
                [Some(one), Some(other)] if one == other => one,
                [Some(one), Some(other)] => {
                    if self.classes[one].iter().any(|(of, _)| self.classes[other].iter().any(|(o, _)| o == of)) {
                        continue;
                    }
                    // The other stays, empty, so that numbers stay.
                    let columns = std::mem::take(&mut self.classes[other]);
                    self.classes[one].extend(columns);
                    for written in &mut self.joins {
                        if written.class == Some(other) {
                            written.class = Some(one);
                        }
                    }
                    one
                }
                [None, None] => {
                    self.classes.push(both.to_vec());
                    self.classes.len() - 1
                }
                [one, other] => {
                    let class = one.or(other).unwrap_or_default();
                    let [left, right] = both;
                    let new = if one.is_some() { right } else { left };
                    if self.classes[class].iter().any(|(of, _)| *of == new.0) {
                        continue;
                    }
                    self.classes[class].push(new);
                    class
                }
            };
            self.joins[i].class = Some(class);
        }
        Ok(())
    }

    fn graph(&self, estimates: &[Arc<Estimate>], options: &ConfigOptions) -> Graph {
        let mut keys = Keys { classes: &self.classes, others: Vec::new() };
        let relations = self.relations.iter().zip(estimates).map(|(relation, estimate)| Input {
            rows: estimate.rows,
            width: estimate.width(),
            placed: match placed(relation, options) {
                Some(Place::All) => Placement::Everywhere,
                Some(Place::Column(column)) => Placement::By(keys.of(&column)),
                None => Placement::Anywhere,
            },
        });
        let relations = relations.collect();
        let operators = self.joins.iter().map(|written| Edge {
            operator: written.operator.clone(),
            keys: written
                .on
                .iter()
                .filter_map(|pair| match pair {
                    (Expr::Column(left), Expr::Column(right)) => Some((keys.of(left), keys.of(right))),
                    _ => None,
                })
                .collect(),
            class: written.class,
        });
        let operators = operators.collect();
        let classes = self.classes.iter().map(|class| class.iter().map(|(of, _)| *of).collect()).collect();
        Graph { relations, operators, classes }
    }

    /// The joins in another order, as a plan of the same columns; `None` where that order is none.
    fn plan(&self, order: &Order, schema: &DFSchema) -> Result<Option<LogicalPlan>> {
        let graph = Graph {
            relations: Vec::new(),
            operators: self
                .joins
                .iter()
                .map(|written| Edge { operator: written.operator.clone(), keys: Vec::new(), class: written.class })
                .collect(),
            classes: self.classes.iter().map(|class| class.iter().map(|(of, _)| *of).collect()).collect(),
        };
        let wanted = schema.columns();
        let Some(plan) = self.joined(order, &graph, &wanted.iter().cloned().collect())? else { return Ok(None) };
        Ok(Some(chosen(plan, wanted)?))
    }

    /// The joins of an order, with at least the columns `needed` above it.
    fn joined(&self, order: &Order, graph: &Graph, needed: &HashSet<Column>) -> Result<Option<LogicalPlan>> {
        let (one, other) = match order {
            Order::Relation(i) => return Ok(Some(LogicalPlan::clone(&self.relations[*i]))),
            Order::Join(one, other) => (one, other),
        };
        let Some(crossing) = graph.crossing(one.relations(), other.relations()) else { return Ok(None) };
        let (left, right) = if crossing.swapped { (other, one) } else { (one, other) };
        let (mut on, mut filter, mut null_aware) = (Vec::new(), Vec::new(), false);
        for class in &crossing.classes {
            let of = |side: Relations| {
                let column = self.classes[*class].iter().find(|(of, _)| side.contains(Relations::one(*of)));
                column.map(|(_, column)| Expr::Column(column.clone()))
            };
            on.extend(of(left.relations()).zip(of(right.relations())));
        }
        for written in crossing.operators.iter().map(|i| &self.joins[*i]) {
            let straight = written.operator.joins(left.relations(), right.relations());
            on.extend(written.on.iter().cloned().map(|(l, r)| if straight { (l, r) } else { (r, l) }));
            filter.extend(written.filter.iter().cloned());
            null_aware |= written.null_aware;
        }
        let mut below = needed.clone();
        for expr in on.iter().flat_map(|(l, r)| [l, r]).chain(&filter) {
            below.extend(expr.column_refs().into_iter().cloned());
        }
        let (Some(left), Some(right)) = (self.joined(left, graph, &below)?, self.joined(right, graph, &below)?) else {
            return Ok(None);
        };
        let narrow = |side: LogicalPlan| -> Result<Arc<LogicalPlan>> {
            let columns = side.schema().columns();
            let kept: Vec<Column> = columns.iter().filter(|column| below.contains(column)).cloned().collect();
            // Something has to be left to count rows by.
            Ok(Arc::new(if kept.is_empty() { side } else { chosen(side, kept)? }))
        };
        let join_type = match crossing.kind {
            Kind::Inner => JoinType::Inner,
            Kind::LeftOuter => JoinType::Left,
            Kind::LeftSemi => JoinType::LeftSemi,
            Kind::LeftAnti => JoinType::LeftAnti,
        };
        let join = Join::try_new(
            narrow(left)?,
            narrow(right)?,
            on,
            conjunction(filter),
            join_type,
            JoinConstraint::On,
            NullEquality::NullEqualsNothing,
            null_aware,
        )?;
        Ok(Some(LogicalPlan::Join(join)))
    }
}

/// Columns by number: those of a class have its own.
struct Keys<'a> {
    classes: &'a [Vec<(usize, Column)>],
    others: Vec<Column>,
}

impl Keys<'_> {
    fn of(&mut self, column: &Column) -> Key {
        if let Some(class) = self.classes.iter().position(|class| class.iter().any(|(_, of)| of == column)) {
            return class;
        }
        let at = self.others.iter().position(|other| other == column).unwrap_or_else(|| {
            self.others.push(column.clone());
            self.others.len() - 1
        });
        self.classes.len() + at
    }
}

/// What the statistics say of a region's joins.
#[derive(Debug)]
struct Estimated {
    /// Per operator the keys of its two sides.
    operators: Vec<Asked>,
    /// Per class the columns of its relations.
    classes: Vec<Vec<(usize, ColumnEstimate)>>,
    /// Per relation its rows without filters.
    unfiltered: Vec<f64>,
}

#[derive(Debug)]
struct Asked {
    operator: Operator,
    keys: Vec<(ColumnEstimate, ColumnEstimate)>,
    filter: f64,
}

impl Estimated {
    fn new(region: &Region, graph: &Graph, estimates: &[Arc<Estimate>]) -> Self {
        let of = |expr: &Expr| {
            let owner = expr.column_refs().into_iter().find_map(|column| region.owners.get(column).copied());
            owner.map_or(ColumnEstimate::unknown(1.0), |i| column_of(expr, &estimates[i], region.relations[i].schema()))
        };
        let all = Estimate {
            rows: 1.0,
            unfiltered: 1.0,
            columns: estimates.iter().flat_map(|estimate| estimate.columns.iter().cloned()).collect(),
        };
        let schema = region.relations.iter().try_fold(DFSchema::empty(), |all, of| all.join(of.schema()));
        let operators = region.joins.iter().map(|written| Asked {
            operator: written.operator.clone(),
            keys: written.on.iter().map(|(l, r)| (of(l), of(r))).collect(),
            filter: match &schema {
                Ok(schema) => written.filter.iter().map(|conjunct| selectivity(conjunct, &all, schema)).product(),
                Err(_) => 1.0,
            },
        });
        let operators = operators.collect();
        let classes = region
            .classes
            .iter()
            .map(|class| class.iter().map(|(i, column)| (*i, of(&Expr::Column(column.clone())))).collect());
        debug_assert_eq!(graph.classes.len(), region.classes.len());
        Estimated {
            operators,
            classes: classes.collect(),
            unfiltered: estimates.iter().map(|estimate| estimate.unfiltered).collect(),
        }
    }
}

impl Cardinality for Estimated {
    fn joined(
        &self,
        crossing: &Crossing,
        (left, left_rows): (Relations, f64),
        (right, right_rows): (Relations, f64),
    ) -> f64 {
        let mut keys = Vec::new();
        for class in &crossing.classes {
            // All columns of a side are equal: they have the values of the one with the fewest.
            let of = |side: Relations| {
                let columns = self.classes[*class].iter().filter(|(of, _)| side.contains(Relations::one(*of)));
                columns.map(|(_, column)| column.clone()).min_by(|a, b| a.distinct.total_cmp(&b.distinct))
            };
            keys.extend(of(left).zip(of(right)));
        }
        let mut filter = 1.0;
        for asked in crossing.operators.iter().map(|i| &self.operators[*i]) {
            let straight = asked.operator.joins(left, right);
            keys.extend(
                asked.keys.iter().map(|(l, r)| if straight { (l.clone(), r.clone()) } else { (r.clone(), l.clone()) }),
            );
            filter *= asked.filter;
        }
        let side = |of: Relations, rows: f64| Estimate {
            rows,
            unfiltered: of.iter().map(|i| self.unfiltered[i]).fold(rows, f64::max),
            columns: Vec::new(),
        };
        let matched = Matched::of(&keys, &side(left, left_rows), &side(right, right_rows), filter);
        match crossing.kind {
            Kind::Inner => matched.rows,
            Kind::LeftOuter => matched.rows.max(left_rows),
            Kind::LeftSemi => left_rows * matched.left,
            Kind::LeftAnti => left_rows * (1.0 - matched.left),
        }
    }
}

/// Where a relation's rows are.
enum Place {
    All,
    Column(Column),
}

/// `None` where they are spread in no way that is known here.
fn placed(plan: &LogicalPlan, options: &ConfigOptions) -> Option<Place> {
    match plan {
        LogicalPlan::TableScan(scan) => {
            let provider = source_as_provider(&scan.source).ok()?;
            let table = provider.downcast_ref::<BlueshiftTable>()?.estimated(options)?;
            match table.def.effective_dist {
                EffectiveDist::All => Some(Place::All),
                EffectiveDist::Even => None,
                EffectiveDist::Key(id) => {
                    let name = &table.def.columns.iter().find(|column| column.id == id)?.name;
                    let column = Column::new(Some(scan.table_name.clone()), name);
                    scan.projected_schema.has_column(&column).then_some(Place::Column(column))
                }
            }
        }
        LogicalPlan::Filter(filter) => placed(&filter.input, options),
        LogicalPlan::SubqueryAlias(alias) => match placed(&alias.input, options)? {
            Place::All => Some(Place::All),
            Place::Column(column) => {
                let at = alias.input.schema().maybe_index_of_column(&column)?;
                Some(Place::Column(Column::from(alias.schema.qualified_field(at))))
            }
        },
        LogicalPlan::Projection(projection) => match placed(&projection.input, options)? {
            Place::All => Some(Place::All),
            Place::Column(column) => {
                let same = |expr: &Expr| matches!(expr.clone().unalias(), Expr::Column(of) if of == column);
                let at = projection.expr.iter().position(same)?;
                Some(Place::Column(Column::from(projection.schema.qualified_field(at))))
            }
        },
        LogicalPlan::Aggregate(aggregate) => match placed(&aggregate.input, options)? {
            Place::All => None,
            Place::Column(column) => {
                let grouped = aggregate.group_expr.iter().any(|expr| *expr == Expr::Column(column.clone()));
                grouped.then_some(Place::Column(column))
            }
        },
        _ => None,
    }
}

/// The kind of a join, and whether its right side is the one that is kept.
fn kind_of(join_type: JoinType) -> Option<(Kind, bool)> {
    Some(match join_type {
        JoinType::Inner => (Kind::Inner, false),
        JoinType::Left => (Kind::LeftOuter, false),
        JoinType::Right => (Kind::LeftOuter, true),
        JoinType::LeftSemi => (Kind::LeftSemi, false),
        JoinType::RightSemi => (Kind::LeftSemi, true),
        JoinType::LeftAnti => (Kind::LeftAnti, false),
        JoinType::RightAnti => (Kind::LeftAnti, true),
        JoinType::Full | JoinType::LeftMark | JoinType::RightMark => return None,
    })
}

fn may_move(join: &Join) -> bool {
    kind_of(join.join_type).is_some() && join.null_equality == NullEquality::NullEqualsNothing
}

/// The join that `plan` is, columns that are left out aside.
fn within(plan: &LogicalPlan) -> Option<&Join> {
    match plan {
        LogicalPlan::Join(join) if may_move(join) => Some(join),
        LogicalPlan::Projection(projection) => {
            let plain = projection.expr.iter().all(|expr| matches!(expr, Expr::Column(_)));
            plain.then(|| within(&projection.input)).flatten()
        }
        _ => None,
    }
}

fn collect_relations(plan: &LogicalPlan, relations: &mut Vec<Arc<LogicalPlan>>) {
    match within(plan) {
        Some(join) => {
            collect_relations(&join.left, relations);
            collect_relations(&join.right, relations);
        }
        None => relations.push(Arc::new(plan.clone())),
    }
}

/// The plan with these of its columns, in this order.
fn chosen(plan: LogicalPlan, columns: Vec<Column>) -> Result<LogicalPlan> {
    if plan.schema().columns() == columns {
        return Ok(plan);
    }
    let columns = columns.into_iter().map(Expr::Column).collect();
    Ok(LogicalPlan::Projection(Projection::try_new(columns, Arc::new(plan))?))
}

/// The choice of an order, taken apart, so that a test can weigh it by the rows that there really are.
#[cfg(test)]
pub mod probe {
    use std::cell::RefCell;

    use super::*;

    thread_local! {
        static TAKEN: RefCell<Vec<Probe>> = const { RefCell::new(Vec::new()) };
    }

    /// The choices that this thread made since the last call.
    pub fn taken() -> Vec<Probe> {
        TAKEN.with(RefCell::take)
    }

    pub(super) fn take(
        region: &Region,
        graph: &Graph,
        chosen: &Order,
        costs: &JoinCosts,
        cardinality: &impl Cardinality,
    ) {
        let mut estimates: HashMap<Relations, f64> = HashMap::new();
        for set in Relations::subsets(region.relations.len()) {
            let rows = match set.len() {
                1 => set.iter().next().map(|i| graph.relations[i].rows),
                _ => set.splits().find_map(|(left, right)| {
                    let (of_left, of_right) = (*estimates.get(&left)?, *estimates.get(&right)?);
                    let crossing = graph.crossing(left, right)?;
                    let sides = [(left, of_left), (right, of_right)];
                    let [left, right] = if crossing.swapped { [sides[1], sides[0]] } else { sides };
                    Some(cardinality.joined(&crossing, left, right).max(1.0))
                }),
            };
            estimates.extend(rows.map(|rows| (set, rows)));
        }
        let (region, graph, chosen, costs) = (region.clone(), graph.clone(), chosen.clone(), costs.clone());
        TAKEN.with(|taken| taken.borrow_mut().push(Probe { region, graph, chosen, costs, estimates }));
    }

    #[derive(Debug)]
    pub struct Probe {
        region: Region,
        graph: Graph,
        chosen: Order,
        costs: JoinCosts,
        /// Rows that each set was thought to give.
        estimates: HashMap<Relations, f64>,
    }

    struct Exact<'a>(&'a HashMap<Relations, f64>);

    impl Cardinality for Exact<'_> {
        fn joined(&self, _: &Crossing, left: (Relations, f64), right: (Relations, f64)) -> f64 {
            self.0[&(left.0 | right.0)]
        }
    }

    impl Probe {
        /// Every set of relations that some order joins first, and a plan of its rows.
        pub fn subsets(&self) -> Result<Vec<(Relations, LogicalPlan)>> {
            let mut orders: HashMap<Relations, Order> = HashMap::new();
            let mut plans = Vec::new();
            for set in Relations::subsets(self.region.relations.len()) {
                let order = match set.len() {
                    1 => set.iter().next().map(Order::Relation),
                    _ => set.splits().find_map(|(left, right)| {
                        let (left_order, right_order) = (orders.get(&left)?, orders.get(&right)?);
                        self.graph.crossing(left, right)?;
                        Some(Order::Join(Box::new(left_order.clone()), Box::new(right_order.clone())))
                    }),
                };
                let Some(order) = order else { continue };
                let all = self.region.owners.keys().cloned().collect();
                if let Some(plan) = self.region.joined(&order, &self.graph, &all)? {
                    plans.push((set, plan));
                }
                orders.insert(set, order);
            }
            Ok(plans)
        }

        /// What the chosen order costs by the rows that each set has, against the order that costs least by them.
        pub fn ratio(&self, rows: &HashMap<Relations, f64>) -> Option<f64> {
            let relations = self.graph.relations.iter().enumerate();
            let relations = relations.map(|(i, of)| Input { rows: rows[&Relations::one(i)], ..*of }).collect();
            let graph =
                Graph { relations, operators: self.graph.operators.clone(), classes: self.graph.classes.clone() };
            let exhaustive = BlueshiftOptions::default().join_order_exhaustive;
            let search = Search { graph: &graph, cardinality: &Exact(rows), costs: &self.costs, exhaustive };
            let (_, least) = search.best()?;
            Some(search.cost(&self.chosen)? / least)
        }

        /// How far each estimate of joins was off.
        pub fn told(&self, rows: &HashMap<Relations, f64>) -> String {
            let mut sets: Vec<_> = self.estimates.iter().collect();
            sets.sort_by_key(|(set, _)| (set.len(), **set));
            let told = sets.into_iter().filter_map(|(set, thought)| {
                let (thought, rows) = (thought.max(1.0), rows.get(set)?.max(1.0));
                Some(format!(
                    "  {set:?}: {rows} rows, thought {thought:.0}, off by {:.1}",
                    (thought / rows).max(rows / thought)
                ))
            });
            format!("{:?}\n{}", self.chosen, told.collect::<Vec<_>>().join("\n"))
        }
    }
}
