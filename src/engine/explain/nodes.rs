//! Which of Redshift's operators a node of the physical plan is, and which rows move.
//!
//! Redshift's plans have a line for what a slice does to rows; DataFusion's have nodes for what partitions need. So nodes
//! that only rename, regroup or batch rows go up in the step that they serve, the two phases of a grouping are one step,
//! and an exchange below a join or a grouping is told by the label or by what moved. A join's build side is Redshift's inner
//! one. Labels are read from the plan: what is repartitioned or gathered below the join moves, and nothing else.

use std::cell::RefCell;
use std::sync::Arc;

use datafusion::common::JoinType;
use datafusion::datasource::memory::MemorySourceConfig;
use datafusion::datasource::source::DataSourceExec;
use datafusion::physical_plan::aggregates::{AggregateExec, AggregateMode};
use datafusion::physical_plan::coalesce_partitions::CoalescePartitionsExec;
use datafusion::physical_plan::coop::CooperativeExec;
use datafusion::physical_plan::empty::EmptyExec;
use datafusion::physical_plan::filter::FilterExec;
use datafusion::physical_plan::joins::utils::JoinFilter;
use datafusion::physical_plan::joins::{
    CrossJoinExec, HashJoinExec, NestedLoopJoinExec, PartitionMode, SortMergeJoinExec,
};
use datafusion::physical_plan::limit::{GlobalLimitExec, LocalLimitExec};
use datafusion::physical_plan::placeholder_row::PlaceholderRowExec;
use datafusion::physical_plan::projection::ProjectionExec;
use datafusion::physical_plan::repartition::RepartitionExec;
use datafusion::physical_plan::scalar_subquery::ScalarSubqueryExec;
use datafusion::physical_plan::sorts::sort::SortExec;
use datafusion::physical_plan::sorts::sort_preserving_merge::SortPreservingMergeExec;
use datafusion::physical_plan::union::{InterleaveExec, UnionExec};
use datafusion::physical_plan::windows::{BoundedWindowAggExec, WindowAggExec};
use datafusion::physical_plan::{ExecutionPlan, ExecutionPlanProperties, InputOrderMode, Partitioning, PhysicalExpr};

use super::cost::{Cost, EXPRESSION, Estimates, ROW, SORT};
use super::names::{Name, Names, bracketed};
use crate::optimizer::cost::JoinCosts;
use crate::physical_plan::abreast::Abreast;
use crate::physical_plan::aggregate::aggregation_of;
use crate::physical_plan::broadcast::Broadcast;
use crate::physical_plan::collocated_join::CollocatedJoinExec;
use crate::physical_plan::config::BlueshiftOptions;
use crate::physical_plan::exchange::Exchange;
use crate::physical_plan::key_filter::BuildKeys;
use crate::physical_plan::placement::in_every_slice;
use crate::physical_plan::scan::SliceScan;
use crate::physical_plan::spool::Spool;

/// An operator of Redshift's, and the nodes that it stands for.
#[derive(Debug)]
pub struct Step {
    pub operator: String,
    /// DS_…, of a join.
    pub label: Option<&'static str>,
    pub details: Vec<String>,
    pub cost: Cost,
    pub children: Vec<Step>,
    /// A line of its own above it: of a subquery that is computed first.
    pub heading: Option<String>,
    pub scan: Option<Scan>,
    /// A nested loop that pairs all rows.
    pub cartesian: bool,
    /// From the topmost to the lowest.
    pub plans: Vec<Arc<dyn ExecutionPlan>>,
    /// Nodes whose output went to other slices.
    pub moved: Vec<Arc<dyn ExecutionPlan>>,
}

/// The table that a step reads.
#[derive(Debug, Clone)]
pub struct Scan {
    pub table: Arc<str>,
    pub id: u32,
    /// Rows, deleted ones among them.
    pub stored: u64,
    /// Rows of a zone.
    pub zone_rows: u64,
    /// Whether it has more rows than a load tells of, and no statistics.
    pub unknown: bool,
    /// Whether many of its rows changed since there were statistics.
    pub stale: bool,
    /// Whether it has conditions that are known before the query runs.
    pub filtered: bool,
}

impl Step {
    pub fn each<'a>(&'a self, f: &mut dyn FnMut(&'a Step)) {
        f(self);
        self.children.iter().for_each(|child| child.each(f));
    }

    pub fn any(&self, is: &dyn Fn(&Step) -> bool) -> bool {
        is(self) || self.children.iter().any(|child| child.any(is))
    }

    fn new(operator: impl Into<String>, cost: Cost, plan: &Arc<dyn ExecutionPlan>, children: Vec<Step>) -> Self {
        Step { plans: vec![Arc::clone(plan)], ..Step::over(operator.into(), cost, children) }
    }

    /// Of a statement over the queries that it runs, which no node stands for.
    pub fn over(operator: String, cost: Cost, children: Vec<Step>) -> Self {
        Step {
            operator,
            label: None,
            details: Vec::new(),
            cost,
            children,
            heading: None,
            scan: None,
            cartesian: false,
            plans: Vec::new(),
            moved: Vec::new(),
        }
    }

    /// The step with a node above it that it stands for, too.
    fn under(mut self, plan: &Arc<dyn ExecutionPlan>) -> Self {
        self.plans.insert(0, Arc::clone(plan));
        self
    }

    fn with(mut self, what: &str, detail: Option<String>) -> Self {
        self.details.extend(detail.filter(|d| !d.is_empty()).map(|d| format!("{what}: {d}")));
        self
    }
}

/// The steps of a plan.
pub fn steps(plan: &Arc<dyn ExecutionPlan>, options: &BlueshiftOptions) -> Step {
    let partitions = plan.output_partitioning().partition_count();
    let planner = Planner {
        estimates: Estimates::new(JoinCosts::of(options, partitions)),
        stale_percent: options.analyze_threshold_percent,
        told: RefCell::default(),
        spools: RefCell::default(),
    };
    planner.step(plan).0
}

struct Planner {
    estimates: Estimates,
    /// Of how many rows of a table, changed since it was analyzed, its statistics are stale: as for ANALYZE.
    stale_percent: f64,
    /// What moves rows and is told by the label of a join above it.
    told: RefCell<Vec<Arc<dyn ExecutionPlan>>>,
    /// The numbers of spools, in the order in which they are met.
    spools: RefCell<Vec<usize>>,
}

type Stepped = (Step, Names);

impl Planner {
    /// The table of nodes.
    fn step(&self, plan: &Arc<dyn ExecutionPlan>) -> Stepped {
        if self.told.borrow().iter().any(|told| Arc::ptr_eq(told, plan))
            && let [input] = plan.children()[..]
        {
            let (input, names) = self.step(input);
            return (input.under(plan), names);
        }
        if let Some(scan) = plan.downcast_ref::<DataSourceExec>() {
            return self.scan(plan, scan);
        }
        if let Some(projection) = plan.downcast_ref::<ProjectionExec>() {
            let (mut step, names) = self.step(projection.input());
            step.cost.width = self.cost(plan).width;
            let names = projection.expr().iter().map(|e| names.projected(&e.expr, &e.alias)).collect();
            return (step.under(plan), Names(names));
        }
        if let Some(filter) = plan.downcast_ref::<FilterExec>() {
            return self.filter(plan, filter);
        }
        if let Some(join) = plan.downcast_ref::<HashJoinExec>() {
            return self.hash_join(plan, join);
        }
        if let Some(join) = plan.downcast_ref::<CollocatedJoinExec>() {
            return self.hash_join(plan, join.join());
        }
        if let Some(join) = plan.downcast_ref::<SortMergeJoinExec>() {
            return self.merge_join(plan, join);
        }
        if let Some(join) = plan.downcast_ref::<NestedLoopJoinExec>() {
            let projection = join.projection().as_deref();
            return self.nested_loop(plan, [join.left(), join.right()], *join.join_type(), join.filter(), projection);
        }
        if let Some(join) = plan.downcast_ref::<CrossJoinExec>() {
            return self.nested_loop(plan, [join.left(), join.right()], JoinType::Inner, None, None);
        }
        if let Some(aggregate) = aggregation_of(plan.as_ref()) {
            return self.aggregate(plan, aggregate);
        }
        if let Some(sort) = plan.downcast_ref::<SortExec>() {
            let (input, names) = self.step(sort.input());
            let keys = names.sort_keys(sort.expr());
            let n = input.cost.rows.max(2.0);
            let cost = input.cost.after_all(SORT * f64::from(input.cost.first < SORT) + EXPRESSION * n * n.log2());
            let step = Step::new("Sort", cost, plan, vec![input]).with("Sort Key", Some(keys));
            return (self.limited(step, plan, sort.fetch()), names);
        }
        if let Some(merge) = plan.downcast_ref::<SortPreservingMergeExec>() {
            let (input, names) = self.step(merge.input());
            // What is limited after the merge need not be shown as limited before it, too.
            let input = match merge.fetch() {
                Some(_) => unlimited(input),
                None => input,
            };
            let network = self.network(merge.input(), input, "Send to leader", plan);
            let keys = names.sort_keys(merge.expr());
            let step = Step::new("Merge", network.cost, plan, vec![network]).with("Merge Key", Some(keys));
            return (self.limited(step, plan, merge.fetch()), names);
        }
        if let Some(gather) = plan.downcast_ref::<CoalescePartitionsExec>() {
            let (input, names) = self.step(gather.input());
            let step = match plan.fetch() {
                Some(_) => unlimited(input).under(plan),
                None => input.under(plan),
            };
            return (self.limited(step, plan, plan.fetch()), names);
        }
        if let Some(limit) = plan.downcast_ref::<GlobalLimitExec>() {
            let (input, names) = self.step(limit.input());
            let rows = limit.fetch().map(|fetch| fetch + limit.skip());
            let step = self.limit(unlimited(input), plan, rows);
            return (Step { cost: Cost { rows: self.cost(plan).rows, ..step.cost }, ..step }, names);
        }
        if let Some(limit) = plan.downcast_ref::<LocalLimitExec>() {
            let (input, names) = self.step(limit.input());
            return (self.limit(unlimited(input), plan, Some(limit.fetch())), names);
        }
        if let Some(input) = exchanged(plan) {
            let (input, names) = self.step(input);
            return (self.network(plan, input, "Distribute", plan), names);
        }
        if let Some(spread) = plan.downcast_ref::<RepartitionExec>() {
            // Among the threads of one slice's reader.
            let (input, names) = self.step(spread.input());
            return (input.under(plan), names);
        }
        if let Some(broadcast) = plan.downcast_ref::<Broadcast>() {
            let (input, names) = self.step(broadcast.input());
            return (self.network(plan, input, "Broadcast", plan), names);
        }
        if let Some(spool) = plan.downcast_ref::<Spool>() {
            return self.spool(plan, spool);
        }
        if let Some(window) = plan.downcast_ref::<WindowAggExec>() {
            return self.window(plan, window.input(), window.window_expr());
        }
        if let Some(window) = plan.downcast_ref::<BoundedWindowAggExec>() {
            return self.window(plan, window.input(), window.window_expr());
        }
        if let Some(main) = plan.downcast_ref::<ScalarSubqueryExec>() {
            let (mut step, names) = self.step(main.input());
            for link in main.subqueries() {
                let (mut subquery, _) = self.step(&link.plan);
                let at = link.index.as_usize();
                subquery.heading = Some(format!("InitPlan {} (returns ${at})", at + 1));
                step.cost.first += subquery.cost.total;
                step.cost.total += subquery.cost.total;
                step.children.push(subquery);
            }
            return (step, names);
        }
        if plan.is::<UnionExec>() || plan.is::<InterleaveExec>() {
            return self.append(plan);
        }
        if plan.is::<EmptyExec>() || plan.is::<PlaceholderRowExec>() {
            return (Step::new("Result", self.cost(plan).after(ROW), plan, Vec::new()), names_of(plan));
        }
        self.other(plan)
    }

    /// What several read is told where it is computed.
    fn spool(&self, plan: &Arc<dyn ExecutionPlan>, spool: &Spool) -> Stepped {
        let (input, names) = self.step(spool.input());
        let mut met = self.spools.borrow_mut();
        let number = met.iter().position(|number| *number == spool.number()).unwrap_or_else(|| {
            met.push(spool.number());
            met.len() - 1
        });
        let cost = input.cost.after_all(ROW * input.cost.rows);
        let step = match spool.is_first() {
            true => Step::new(format!("Spool {}", number + 1), cost, plan, vec![input]),
            false => Step::new(format!("Scan on Spool {}", number + 1), cost, plan, Vec::new()),
        };
        (step, names)
    }

    fn scan(&self, plan: &Arc<dyn ExecutionPlan>, source: &DataSourceExec) -> Stepped {
        let cost = self.cost(plan);
        if let Some(scan) = source.data_source().downcast_ref::<SliceScan>() {
            let def = &scan.table().def;
            let table: Arc<str> = def.name.as_str().into();
            let called = scan.alias().unwrap_or(&table);
            let name =
                |ordinal: usize| Name { text: def.columns[ordinal].name.clone(), table: Some(Arc::clone(called)) };
            let all = Names((0..def.columns.len()).map(name).collect());
            let condition = all.condition(scan.filters());
            let segments = scan.table().segments.iter();
            let rows: u64 = segments.map(|s| u64::from(s.rows - s.deleted.map_or(0, |d| d.rows))).sum();
            let work = rows as f64 * (ROW + EXPRESSION * scan.filters().len() as f64);
            let zone_rows = scan.table().geometry.zone_rows() as u64;
            let known = Scan {
                table: Arc::clone(&table),
                id: def.id.0,
                stored: scan.table().segments.iter().map(|s| u64::from(s.rows)).sum(),
                zone_rows,
                unknown: rows > zone_rows && scan.table().statistics.is_none(),
                stale: scan.table().statistics.is_some() && {
                    let off = f64::from(scan.table().statistics_off) / 100.0;
                    off > 0.0 && off >= self.stale_percent
                },
                filtered: condition.is_some(),
            };
            let alias = scan.alias().filter(|alias| **alias != table);
            let alias = alias.map(|alias| format!(" {alias}")).unwrap_or_default();
            let version = scan.table().as_of.map(|v| format!(" FOR SYSTEM_TIME AS OF {v}")).unwrap_or_default();
            let step = Step::new(format!("Seq Scan on {table}{version}{alias}"), cost.after(work), plan, Vec::new());
            let step = Step { scan: Some(known), ..step.with("Filter", condition) };
            let names = all.project(Some(scan.projection()));
            return (self.limited(step, plan, plan.fetch()), names);
        }
        let operator = match source.data_source().downcast_ref::<MemorySourceConfig>() {
            Some(_) => "Result",
            None => "Seq Scan on files",
        };
        (Step::new(operator, cost.after(ROW * cost.rows), plan, Vec::new()), names_of(plan))
    }

    fn filter(&self, plan: &Arc<dyn ExecutionPlan>, filter: &FilterExec) -> Stepped {
        let (input, names) = self.step(filter.input());
        let own = self.cost(plan);
        let condition = names.condition([filter.predicate()]);
        let work = EXPRESSION * input.cost.rows;
        let cost = Cost { rows: own.rows.min(input.cost.rows), width: own.width, ..input.cost.after(work) };
        let mut step = Step { cost, ..input.under(plan) }.with("Filter", condition);
        if let Some(scan) = &mut step.scan {
            scan.filtered = true;
        }
        (step, names.project(filter.projection().as_deref()))
    }

    fn hash_join(&self, plan: &Arc<dyn ExecutionPlan>, join: &HashJoinExec) -> Stepped {
        let partitioned = *join.partition_mode() == PartitionMode::Partitioned;
        let (inner, outer, label) = match partitioned {
            true => {
                let (inner, outer) = (Side::divided(join.left()), Side::divided(join.right()));
                let label = divided(&inner, &outer);
                (inner, outer, label)
            }
            false => {
                let inner = Side::gathered(join.left());
                let label = gathered(&inner, join.right());
                (inner, Side::whole(join.right()), label)
            }
        };
        let (inner_step, inner_names) = self.side(&inner);
        let (outer_step, outer_names) = self.side(&outer);
        let on = join.on().iter().map(|(of_inner, of_outer)| {
            let (of_outer, of_inner) = (outer_names.on_side("outer", of_outer), inner_names.on_side("inner", of_inner));
            format!("({of_outer} = {of_inner})")
        });
        let on = all_of(on.collect());
        let filter = join.filter().map(|f| join_filter(f, &inner_names, &outer_names));
        let costs = &self.estimates.joins;
        let copies = join.right().output_partitioning().partition_count() as f64;
        let (i, o, own) = (inner_step.cost, outer_step.cost, self.cost(plan));
        let mut moving = 0.0;
        let mut moved = Vec::new();
        for (side, cost) in [(&inner, i), (&outer, o)] {
            if let Some(by) = side.moved_by.clone().filter(|_| label != "DS_DIST_NONE" && label != "DS_DIST_ALL_NONE") {
                moving += cost.moved(costs) * if label == "DS_BCAST_INNER" { copies } else { 1.0 };
                moved.push(by);
            }
        }
        let builds = if partitioned { 1.0 } else { copies };
        let first = o.first + i.total + moving + ROW * costs.build * i.rows * builds;
        let probing = ROW * (costs.probe * o.rows + costs.output * own.rows * (1.0 + own.width / 256.0));
        let cost = Cost { first, total: first + (o.total - o.first) + probing, ..own };
        let mut hash = Step::new("Hash", Cost { first: i.total, ..i }, join.left(), vec![inner_step]);
        hash.plans.clear();
        let operator = format!("Hash {}", kind(*join.join_type()));
        let mut step = Step::new(operator, cost, plan, vec![outer_step, hash]);
        step.label = Some(label);
        step.moved = moved;
        let step = step.with("Hash Cond", Some(on)).with("Join Filter", filter);
        let names = joined(*join.join_type(), inner_names, outer_names).project(join.projection.as_deref());
        (step, names)
    }

    fn merge_join(&self, plan: &Arc<dyn ExecutionPlan>, join: &SortMergeJoinExec) -> Stepped {
        let (left, right) = (Side::divided(join.left()), Side::divided(join.right()));
        let label = divided(&right, &left);
        let (outer, outer_names) = self.side(&left);
        let (inner, inner_names) = self.side(&right);
        let on = join.on().iter().map(|(of_left, of_right)| {
            format!("({} = {})", outer_names.on_side("outer", of_left), inner_names.on_side("inner", of_right))
        });
        let on = all_of(on.collect());
        let filter = join.filter().as_ref().map(|f| join_filter(f, &outer_names, &inner_names));
        let costs = &self.estimates.joins;
        let own = self.cost(plan);
        let mut moving = 0.0;
        let mut moved = Vec::new();
        for (side, cost) in [(&left, outer.cost), (&right, inner.cost)] {
            if let Some(exchange) = side.moved_by.clone() {
                moving += cost.moved(costs);
                moved.push(exchange);
            }
        }
        let first = outer.cost.first + inner.cost.first + moving;
        let work = ROW * (costs.probe * (outer.cost.rows + inner.cost.rows) + costs.output * own.rows);
        let total = outer.cost.total + inner.cost.total + moving + work;
        // DataFusion's left side is the outer one here.
        let operator = format!("Merge {}", kind(join.join_type().swap()));
        let mut step = Step::new(operator, Cost { first, total, ..own }, plan, vec![outer, inner]);
        step.label = Some(label);
        step.moved = moved;
        let step = step.with("Merge Cond", Some(on)).with("Join Filter", filter);
        (step, joined(join.join_type(), outer_names, inner_names))
    }

    fn nested_loop(
        &self,
        plan: &Arc<dyn ExecutionPlan>,
        sides: [&Arc<dyn ExecutionPlan>; 2],
        join_type: JoinType,
        filter: Option<&JoinFilter>,
        projection: Option<&[usize]>,
    ) -> Stepped {
        let [left, right] = sides;
        let (inner, outer) = (Side::gathered(left), Side::whole(right));
        let label = gathered(&inner, right);
        let (inner_step, inner_names) = self.side(&inner);
        let (outer_step, outer_names) = self.side(&outer);
        let condition = filter.map(|f| join_filter(f, &inner_names, &outer_names));
        let costs = &self.estimates.joins;
        let (i, o, own) = (inner_step.cost, outer_step.cost, self.cost(plan));
        let moves = label == "DS_BCAST_INNER" || label == "DS_DIST_ALL_INNER";
        let copies = right.output_partitioning().partition_count() as f64;
        let moving = if moves { i.moved(costs) * copies } else { 0.0 };
        let first = i.total + o.first + moving;
        let work = ROW * (costs.compare * i.rows * o.rows + costs.output * own.rows);
        let cost = Cost { first, total: first + (o.total - o.first) + work, ..own };
        let single = sides.iter().any(|side| self.estimates.single(side.as_ref()));
        let operator = match join_type {
            JoinType::Inner => "Nested Loop".to_string(),
            other => format!("Nested Loop {}", kind(other)),
        };
        let mut step = Step::new(operator, cost, plan, vec![outer_step, inner_step]);
        step.label = Some(label);
        step.cartesian = filter.is_none() && !single;
        if moves {
            step.moved.extend(inner.moved_by.clone());
        }
        (step.with("Join Filter", condition), joined(join_type, inner_names, outer_names).project(projection))
    }

    /// Both phases of a grouping, and what lies between them, as one.
    fn aggregate(&self, plan: &Arc<dyn ExecutionPlan>, aggregate: &AggregateExec) -> Stepped {
        let mut between = Vec::new();
        let mut moved = Vec::new();
        let mut lower = aggregate;
        if matches!(aggregate.mode(), AggregateMode::Final | AggregateMode::FinalPartitioned) {
            let mut below = aggregate.input();
            loop {
                if let Some(partial) = aggregation_of(below.as_ref()) {
                    if *partial.mode() == AggregateMode::Partial {
                        between.push(Arc::clone(below));
                        lower = partial;
                    }
                    break;
                }
                let exchanges = exchanged(below).is_some();
                let gathers = below.is::<CoalescePartitionsExec>() || below.is::<SortPreservingMergeExec>();
                let waits = below.is::<CooperativeExec>() || below.is::<SortExec>() || below.is::<RepartitionExec>();
                if exchanges || gathers {
                    moved.push(Arc::clone(below));
                } else if !waits {
                    break;
                }
                between.push(Arc::clone(below));
                let Some(input) = below.children().into_iter().next() else { break };
                below = input;
            }
            // No phase was found below: it is a node alone.
            if std::ptr::eq(lower, aggregate) {
                between.clear();
                moved.clear();
            }
        }
        // An exchange below a grouping of one phase moves all that it groups.
        let (input, names) = match *lower.mode() {
            AggregateMode::SinglePartitioned | AggregateMode::Single => {
                let divided = Side::divided(lower.input());
                let side = if divided.moved_by.is_some() { divided } else { Side::gathered(lower.input()) };
                moved.extend(side.moved_by.clone());
                self.side(&side)
            }
            _ => self.step(lower.input()),
        };
        let groups = lower.group_expr();
        let functions = lower.aggr_expr();
        let operator = match () {
            _ if groups.expr().is_empty() => "Aggregate",
            _ if functions.is_empty() => "Unique",
            _ if *aggregate.input_order_mode() == InputOrderMode::Linear => "HashAggregate",
            _ => "GroupAggregate",
        };
        let mut of_output: Vec<Name> = Vec::new();
        // A grouping set has no value of those that it leaves out; the names stay.
        of_output.extend(groups.expr().iter().map(|(expr, alias)| names.projected(expr, alias)));
        if groups.has_grouping_set() {
            of_output.push(Name::computed("grouping"));
        }
        for function in functions {
            let distinct = if function.is_distinct() { "DISTINCT " } else { "" };
            let arguments = names.list(&function.expressions());
            let word = function.fun().name();
            let counts_rows = word == "count" && !function.is_distinct() && is_constant(&function.expressions());
            of_output.push(Name::computed(match counts_rows {
                true => "count(*)".to_string(),
                false => format!("{word}({distinct}{arguments})"),
            }));
        }
        let own = self.cost(plan);
        let moving: f64 = if moved.is_empty() { 0.0 } else { own.moved(&self.estimates.joins) };
        let work = input.cost.rows * (ROW + EXPRESSION * functions.len() as f64) + moving;
        let base = input.cost;
        let cost = match operator {
            "GroupAggregate" => Cost { first: base.first, total: base.total + work, ..own },
            _ => Cost { first: base.total + work, total: base.total + work + EXPRESSION * own.rows, ..own },
        };
        let mut step = Step::new(operator, cost, plan, vec![input]);
        step.plans.extend(between);
        step.moved = moved;
        (step, Names(of_output))
    }

    fn window(
        &self,
        plan: &Arc<dyn ExecutionPlan>,
        input: &Arc<dyn ExecutionPlan>,
        functions: &[Arc<dyn datafusion::physical_expr::window::WindowExpr>],
    ) -> Stepped {
        let (input, names) = self.step(input);
        let own = self.cost(plan);
        let work = input.cost.rows * (ROW + EXPRESSION * functions.len() as f64);
        let cost = Cost { rows: own.rows, width: own.width, ..input.cost.after(work) };
        let (mut partition, mut order) = (None, None);
        if let Some(first) = functions.first() {
            partition = Some(names.list(first.partition_by()));
            order = Some(names.sort_keys(first.order_by()));
        }
        let step = Step::new("Window", cost, plan, vec![input]).with("Partition", partition).with("Order", order);
        let of_functions = functions.iter().map(|f| Name::computed(f.name())).collect();
        (step, names.then(Names(of_functions)))
    }

    fn append(&self, plan: &Arc<dyn ExecutionPlan>) -> Stepped {
        let mut names = None;
        let mut branches = Vec::new();
        for (at, child) in plan.children().into_iter().enumerate() {
            let (step, of_child) = self.step(child);
            names.get_or_insert(of_child);
            let mut branch = Step::new(format!("Subquery Scan \"*SELECT* {}\"", at + 1), step.cost, child, vec![step]);
            branch.plans.clear();
            branches.push(branch);
        }
        let own = self.cost(plan);
        let first = branches.iter().map(|b| b.cost.first).fold(f64::INFINITY, f64::min);
        let total: f64 = branches.iter().map(|b| b.cost.total).sum();
        let cost = Cost { first: if first.is_finite() { first } else { 0.0 }, total, ..own };
        let names = names.unwrap_or_default().0.into_iter().map(|name| Name { table: None, ..name }).collect();
        (Step::new("Append", cost, plan, branches), Names(names))
    }

    /// A node of no operator of Redshift's: under its own name; one that only passes rows on goes up in its input.
    fn other(&self, plan: &Arc<dyn ExecutionPlan>) -> Stepped {
        let children: Vec<Stepped> = plan.children().into_iter().map(|child| self.step(child)).collect();
        let passes = unseen(plan) || ["CoalesceBatchesExec", "BufferExec"].contains(&plan.name());
        match <[Stepped; 1]>::try_from(children) {
            Ok([(step, names)]) if passes => (step.under(plan), names),
            Ok([(step, names)]) => {
                let same = plan.schema().fields().len() == names.0.len();
                let names = if same { names } else { names_of(plan) };
                (self.under_own_name(plan, vec![step]), names)
            }
            Err(several) => {
                let steps = several.into_iter().map(|(step, _)| step).collect();
                (self.under_own_name(plan, steps), names_of(plan))
            }
        }
    }

    fn under_own_name(&self, plan: &Arc<dyn ExecutionPlan>, children: Vec<Step>) -> Step {
        let own = self.cost(plan);
        let first: f64 = children.iter().map(|c| c.cost.first).sum();
        let total: f64 = children.iter().map(|c| c.cost.total).sum();
        Step::new(words(plan.name()), Cost { first, total: total + ROW * own.rows, ..own }, plan, children)
    }

    fn side(&self, side: &Side) -> Stepped {
        self.told.borrow_mut().extend(side.moved_by.clone());
        let (mut step, names) = self.step(&side.below);
        let (rows, width) = self.estimates.of(&side.top);
        (step.cost.rows, step.cost.width) = (rows, width);
        (step, names)
    }

    fn network(&self, at: &Arc<dyn ExecutionPlan>, input: Step, how: &str, counts: &Arc<dyn ExecutionPlan>) -> Step {
        let cost = input.cost.after(input.cost.moved(&self.estimates.joins));
        let mut step = Step::new("Network", cost, at, vec![input]);
        step.details.push(how.to_string());
        // The rows that arrive are counted by who takes them.
        step.plans.clear();
        step.moved.push(Arc::clone(counts));
        step
    }

    fn limited(&self, step: Step, plan: &Arc<dyn ExecutionPlan>, rows: Option<usize>) -> Step {
        if rows.is_some() { self.limit(step, plan, rows) } else { step }
    }

    fn limit(&self, input: Step, plan: &Arc<dyn ExecutionPlan>, rows: Option<usize>) -> Step {
        let cost = rows.map_or(input.cost, |rows| input.cost.limited(rows as f64));
        Step::new("Limit", cost, plan, vec![input])
    }

    fn cost(&self, plan: &Arc<dyn ExecutionPlan>) -> Cost {
        let (rows, width) = self.estimates.of(plan);
        Cost { rows, width, ..Cost::default() }
    }
}

/// A join's input: what moves its rows to the join, and what is below that.
struct Side {
    top: Arc<dyn ExecutionPlan>,
    below: Arc<dyn ExecutionPlan>,
    moved_by: Option<Arc<dyn ExecutionPlan>>,
}

impl Side {
    /// Of which nothing moves to the join.
    fn whole(top: &Arc<dyn ExecutionPlan>) -> Self {
        Side { top: Arc::clone(top), below: Arc::clone(top), moved_by: None }
    }

    /// Whose rows an exchange brings to the partitions that they meet in.
    fn divided(top: &Arc<dyn ExecutionPlan>) -> Self {
        Side::of(top, |node| exchanged(node).is_some())
    }

    /// Whose rows all partitions of the other side meet.
    fn gathered(top: &Arc<dyn ExecutionPlan>) -> Self {
        Side::of(top, |node| {
            node.is::<Broadcast>() || node.is::<CoalescePartitionsExec>() || node.is::<SortPreservingMergeExec>()
        })
    }

    fn of(top: &Arc<dyn ExecutionPlan>, moves: impl Fn(&Arc<dyn ExecutionPlan>) -> bool) -> Self {
        let mut side = Side::whole(top);
        let mut node = top;
        // What moves rows may stand below nodes that keep partitions; what is above it is part of the step below.
        loop {
            let found = moves(node);
            if !found && !keeps_partitions(node) {
                return side;
            }
            let Some(input) = node.children().into_iter().next() else { return side };
            // Nothing stood above but what goes without a line: the step begins below it.
            if Arc::ptr_eq(node, &side.below) && (found || unseen(node)) {
                side.below = Arc::clone(input);
            }
            if found {
                side.moved_by = Some(Arc::clone(node));
                return side;
            }
            node = input;
        }
    }
}

/// The input of an exchange by hash.
fn exchanged(plan: &Arc<dyn ExecutionPlan>) -> Option<&Arc<dyn ExecutionPlan>> {
    if let Some(exchange) = plan.downcast_ref::<Exchange>() {
        return Some(exchange.input());
    }
    let repartition = plan.downcast_ref::<RepartitionExec>()?;
    matches!(repartition.partitioning(), Partitioning::Hash(..)).then(|| repartition.input())
}

/// What passes rows on as they are, and stands in no text.
fn unseen(plan: &Arc<dyn ExecutionPlan>) -> bool {
    plan.is::<CooperativeExec>() || plan.is::<Abreast>() || plan.is::<BuildKeys>()
}

/// Whether a node's rows stay in the partition of its input's.
fn keeps_partitions(plan: &Arc<dyn ExecutionPlan>) -> bool {
    plan.is::<ProjectionExec>()
        || plan.is::<FilterExec>()
        || unseen(plan)
        || plan.downcast_ref::<SortExec>().is_some_and(SortExec::preserve_partitioning)
}

/// What moves where rows meet within partitions.
fn divided(inner: &Side, outer: &Side) -> &'static str {
    match (inner.moved_by.is_some(), outer.moved_by.is_some()) {
        (false, false) => "DS_DIST_NONE",
        (true, false) => "DS_DIST_INNER",
        (false, true) => "DS_DIST_OUTER",
        (true, true) => "DS_DIST_BOTH",
    }
}

/// What moves where all partitions of the outer side probe one table of the inner side's rows.
fn gathered(inner: &Side, outer: &Arc<dyn ExecutionPlan>) -> &'static str {
    match outer.output_partitioning().partition_count() {
        _ if in_every_slice(&inner.top) => "DS_DIST_ALL_NONE",
        1 if inner.moved_by.is_some() => "DS_DIST_ALL_INNER",
        1 => "DS_DIST_NONE",
        _ => "DS_BCAST_INNER",
    }
}

/// A join as Redshift names it, seen from the outer side: DataFusion's left side, which is built, is the inner one.
fn kind(join_type: JoinType) -> &'static str {
    match join_type {
        JoinType::Inner => "Join",
        JoinType::Left => "Right Join",
        JoinType::Right => "Left Join",
        JoinType::Full => "Full Join",
        JoinType::RightSemi => "IN Join",
        JoinType::RightAnti => "NOT IN Join",
        JoinType::LeftSemi => "Right IN Join",
        JoinType::LeftAnti => "Right NOT IN Join",
        JoinType::LeftMark => "Right Mark Join",
        JoinType::RightMark => "Mark Join",
    }
}

fn joined(join_type: JoinType, left: Names, right: Names) -> Names {
    let mark = || Names(vec![Name::computed("mark")]);
    match join_type {
        JoinType::Inner | JoinType::Left | JoinType::Right | JoinType::Full => left.then(right),
        JoinType::LeftSemi | JoinType::LeftAnti => left,
        JoinType::RightSemi | JoinType::RightAnti => right,
        JoinType::LeftMark => left.then(mark()),
        JoinType::RightMark => right.then(mark()),
    }
}

fn join_filter(filter: &JoinFilter, left: &Names, right: &Names) -> String {
    use datafusion::common::JoinSide;
    let name = |side: &JoinSide, index: usize| match side {
        JoinSide::Left => left.0.get(index).cloned(),
        JoinSide::Right => right.0.get(index).cloned(),
        JoinSide::None => None,
    };
    let columns = filter.column_indices().iter();
    let names = columns.map(|c| name(&c.side, c.index).unwrap_or_else(|| Name::computed("mark")));
    let names = Names(names.collect());
    bracketed(names.expr(filter.expression()))
}

fn all_of(conditions: Vec<String>) -> String {
    match conditions.as_slice() {
        [one] => one.clone(),
        several => format!("({})", several.join(" AND ")),
    }
}

/// A limit's input without the limits that only save work below it.
fn unlimited(step: Step) -> Step {
    if step.operator != "Limit" {
        return step;
    }
    let Step { mut children, .. } = step;
    // A limit has one input.
    children.remove(0)
}

fn is_constant(exprs: &[Arc<dyn PhysicalExpr>]) -> bool {
    use datafusion::physical_expr::expressions::Literal;
    exprs.iter().all(|e| e.downcast_ref::<Literal>().is_some_and(|l| !l.value().is_null()))
}

fn names_of(plan: &Arc<dyn ExecutionPlan>) -> Names {
    Names(plan.schema().fields().iter().map(|field| Name::computed(field.name().as_str())).collect())
}

/// `WorkTableExec` as `Work Table`.
fn words(name: &str) -> String {
    let mut words = String::new();
    for c in name.strip_suffix("Exec").unwrap_or(name).chars() {
        if c.is_uppercase() && !words.is_empty() {
            words.push(' ');
        }
        words.push(c);
    }
    words
}
