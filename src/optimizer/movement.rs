//! Which rows a join moves: none, those of one side, all of both, or a copy of one side to all.
//!
//! DataFusion chooses between the last and the last but one by the size of a side, whatever places rows already. Here what
//! is known of places counts, by the costs that the order of joins is chosen by ([`JoinCosts`]).

use std::sync::Arc;

use arrow::datatypes::{DataType, Schema};
use datafusion::common::Result;
use datafusion::common::config::ConfigOptions;
use datafusion::common::tree_node::TransformedResult;
use datafusion::physical_expr::PhysicalExpr;
use datafusion::physical_optimizer::PhysicalOptimizerRule;
use datafusion::physical_plan::ExecutionPlan;
use datafusion::physical_plan::joins::{HashJoinExec, PartitionMode};

use super::cost::{Input, JoinCosts, Movement as Moved, Placement as Placed, Way};
use super::estimate::physical::PlanEstimator;
use super::join_order::Kind;
use super::replaced;
use crate::physical_plan::collocated_join::CollocatedJoinExec;
use crate::physical_plan::config::BlueshiftOptions;
use crate::physical_plan::placement::{Placement, hash_form, hashed, planned_placement};

/// Whether the settings have Blueshift choose what moves.
pub fn moves(config: &ConfigOptions) -> bool {
    config.extensions.get::<BlueshiftOptions>().is_none_or(|options| options.movement)
}

/// Chooses for each hash join. Stands before the rule that puts exchanges where joins ask for them, and behind the one that
/// chooses sides.
#[derive(Debug)]
pub struct Movement;

impl PhysicalOptimizerRule for Movement {
    fn name(&self) -> &str {
        "blueshift_movement"
    }

    fn optimize(&self, plan: Arc<dyn ExecutionPlan>, config: &ConfigOptions) -> Result<Arc<dyn ExecutionPlan>> {
        let partitions = config.execution.target_partitions;
        if !moves(config) || partitions < 2 || !config.optimizer.repartition_joins {
            return Ok(plan);
        }
        let mut estimator = PlanEstimator::default();
        replaced(plan, |node| match node.downcast_ref::<HashJoinExec>() {
            Some(join) => choose(join, partitions, config, &mut estimator),
            None => Ok(None),
        })
        .data()
    }

    fn schema_check(&self) -> bool {
        true
    }
}

/// What a join equates of the left side and of the right.
type Pair = (Arc<dyn PhysicalExpr>, Arc<dyn PhysicalExpr>);

/// The two sides of a join, as far as its movement depends on them.
struct Sides {
    /// Whether each is placed by its expression of a pair.
    placed: [Option<usize>; 2],
    everywhere: [bool; 2],
    /// Rows and bytes of a row, where both are estimated.
    sizes: Option<[(f64, f64); 2]>,
}

/// What a join becomes, if it does not stay what it is.
fn choose(
    join: &HashJoinExec,
    partitions: usize,
    config: &ConfigOptions,
    estimator: &mut PlanEstimator,
) -> Result<Option<Arc<dyn ExecutionPlan>>> {
    let divides = match join.partition_mode() {
        PartitionMode::Partitioned => true,
        PartitionMode::CollectLeft => false,
        PartitionMode::Auto => return Ok(None),
    };
    // NOT IN has to see all rows of the right side at once.
    if join.null_aware || !join.dynamic_expressions_produced().is_empty() {
        return Ok(None);
    }
    let by = pairs(join);
    let sides = Sides::of(join, &by, partitions, estimator);
    let collocated = sides.placed[0].filter(|pair| sides.placed[1] == Some(*pair));
    let Some(sizes) = sides.sizes else {
        return match collocated {
            Some(pair) if divides => divide(join, pair, &by, Moved::None),
            _ => Ok(None),
        };
    };
    let ours = config.extensions.get::<BlueshiftOptions>().cloned().unwrap_or_default();
    let costs = JoinCosts::of(&ours, partitions);
    let place = |side: usize| match (sides.everywhere[side], sides.placed[side]) {
        (true, _) => Placed::Everywhere,
        (false, Some(pair)) => Placed::By(pair),
        (false, None) => Placed::Anywhere,
    };
    let input = |side: usize| Input { rows: sizes[side].0, width: sizes[side].1, placed: place(side) };
    let keys: Vec<_> = (0..by.len()).map(|pair| (pair, pair)).collect();
    // All ways give the same rows.
    let ways = costs.ways(Kind::Inner, [input(0), input(1)], &keys, 0.0, 0.0);
    let [of_right, of_left, divided @ ..] = &ways[..] else { return Ok(None) };
    let with_exchanges = |way: &Way| way.cost + ours.exchange_cost * exchanges(way.movement);
    let best = divided.iter().zip(0..).min_by(|(a, _), (b, _)| with_exchanges(a).total_cmp(&with_exchanges(b)));
    let Some((best, pair)) = best else { return Ok(None) };
    let may_broadcast = config.optimizer.hash_join_single_partition_threshold > 0
        || config.optimizer.hash_join_single_partition_threshold_rows > 0;
    // Where sides differ little, DataFusion's choice of them stays.
    let swaps = join.join_type().supports_swap() && of_right.cost < ours.sides_worthwhile * of_left.cost;
    let broadcast: &Way = if swaps { of_right } else { of_left };
    if with_exchanges(best) <= broadcast.cost || (divides && !may_broadcast) {
        return divide(join, pair, &by, best.movement);
    }
    match (divides, swaps) {
        (_, true) if may_broadcast => join.swap_inputs(PartitionMode::CollectLeft).map(Some),
        (true, _) => join.builder().with_partition_mode(PartitionMode::CollectLeft).build_exec().map(Some),
        (false, _) => Ok(None),
    }
}

fn exchanges(movement: Moved) -> f64 {
    match movement {
        Moved::None | Moved::AllNone | Moved::Broadcast => 0.0,
        Moved::Left | Moved::Right => 1.0,
        Moved::Both => 2.0,
    }
}

/// The join of rows that meet in the partition that the `pair`th keys name.
fn divide(
    join: &HashJoinExec,
    pair: usize,
    by: &[Option<Pair>],
    moved: Moved,
) -> Result<Option<Arc<dyn ExecutionPlan>>> {
    let native = |join: &HashJoinExec| join.builder().with_partition_mode(PartitionMode::Partitioned).build_exec();
    let divides = *join.partition_mode() == PartitionMode::Partitioned;
    let stays = matches!(moved, Moved::None | Moved::Left | Moved::Right);
    match (&by[pair], stays) {
        // DataFusion sees for itself what is placed by the only key.
        (Some(key), true) if join.on().len() > 1 || (&join.on()[0].0, &join.on()[0].1) != (&key.0, &key.1) => {
            Ok(Some(Arc::new(CollocatedJoinExec::try_new(join, key.clone())?)))
        }
        _ if divides => Ok(None),
        _ => native(join).map(Some),
    }
}

/// For each pair of keys what is hashed of them, if their types hash alike.
fn pairs(join: &HashJoinExec) -> Vec<Option<Pair>> {
    let (left, right) = (join.left().schema(), join.right().schema());
    let of = |(of_left, of_right): &Pair| {
        let pair = (hashed(of_left, &left), hashed(of_right, &right));
        let form = |expr: &Arc<dyn PhysicalExpr>, schema: &Schema| -> Option<DataType> {
            expr.data_type(schema).ok().map(|t| hash_form(&t))
        };
        let forms = (form(&pair.0, &left), form(&pair.1, &right));
        (forms.0.is_some() && forms.0 == forms.1).then_some(pair)
    };
    join.on().iter().map(of).collect()
}

impl Sides {
    fn of(join: &HashJoinExec, by: &[Option<Pair>], partitions: usize, estimator: &mut PlanEstimator) -> Self {
        let inputs = [join.left(), join.right()];
        let places = inputs.map(|input| planned_placement(input, partitions));
        let found = |side: usize| -> Vec<usize> {
            let schema = inputs[side].schema();
            let by_pair = |pair: &usize| match (&by[*pair], &places[side]) {
                (Some((left, right)), Placement::By(key)) if key.partitions >= partitions => {
                    key.is(&[Arc::clone([left, right][side])], &schema)
                }
                _ => false,
            };
            (0..by.len()).filter(by_pair).collect()
        };
        let (of_left, of_right) = (found(0), found(1));
        let both = of_left.iter().find(|pair| of_right.contains(pair)).copied();
        let placed = match both {
            Some(pair) => [Some(pair), Some(pair)],
            None => [of_left.first().copied(), of_right.first().copied()],
        };
        let everywhere = [0, 1].map(|side| places[side] == Placement::Everywhere);
        let mut size = |side: usize| estimator.estimate(inputs[side]).map(|known| (known.rows, known.width()));
        let sizes = size(0).zip(size(1)).map(|(left, right)| [left, right]);
        Sides { placed, everywhere, sizes }
    }
}
