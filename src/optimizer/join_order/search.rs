//! The cheapest order of joins.
//!
//! Up to [`Search::exhaustive`] relations every order is looked at that joins by predicates alone, bushy ones included:
//! the best plans of each set of relations come from those of its parts (dynamic programming, Selinger et al., SIGMOD
//! 1979). Of a set the cheapest plan counts, and for each key that its rows may be placed by the cheapest that places them
//! so. Beyond, the two sides whose join gives the fewest rows are joined first (Fegaras, "A New Heuristic for
//! Optimizing Large Queries", DEXA 1998).

use std::collections::HashMap;

use super::relations::{Kind, Operator, Relations};
use crate::optimizer::cost::{Input, JoinCosts, Key, Placement};

/// What is joined, and by what.
#[derive(Debug, Default, Clone)]
pub struct Graph {
    pub relations: Vec<Input>,
    pub operators: Vec<Edge>,
    /// Relations with columns that all are equal wherever they are joined, by inner joins that may stand anywhere.
    pub classes: Vec<Relations>,
}

/// An operator and the columns that it equates.
#[derive(Debug, Clone)]
pub struct Edge {
    pub operator: Operator,
    /// Keys of the left and of the right side that are equal.
    pub keys: Vec<(Key, Key)>,
    /// The class that says the same, so that the operator itself is left out.
    pub class: Option<usize>,
}

/// What joins two sets of relations.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Crossing {
    pub kind: Kind,
    /// Whether the sides have to change places.
    pub swapped: bool,
    /// Operators, by number.
    pub operators: Vec<usize>,
    /// Classes, by number.
    pub classes: Vec<usize>,
}

/// How many rows joins give.
pub trait Cardinality {
    /// Rows of `left` joined with `right`, each of as many rows as given.
    fn joined(&self, crossing: &Crossing, left: (Relations, f64), right: (Relations, f64)) -> f64;
}

/// An order of joins.
#[derive(Debug, Clone, PartialEq)]
pub enum Order {
    Relation(usize),
    Join(Box<Order>, Box<Order>),
}

impl Order {
    pub fn relations(&self) -> Relations {
        match self {
            Order::Relation(i) => Relations::one(*i),
            Order::Join(left, right) => left.relations() | right.relations(),
        }
    }
}

/// A search over one graph.
#[derive(Debug)]
pub struct Search<'a, C> {
    pub graph: &'a Graph,
    pub cardinality: &'a C,
    pub costs: &'a JoinCosts,
    /// Up to how many relations all orders are looked at.
    pub exhaustive: usize,
}

/// One way to make a set's rows.
#[derive(Debug, Clone)]
struct Plan {
    cost: f64,
    placed: Placement,
    order: Order,
}

/// The ways worth keeping, and how many rows they give.
#[derive(Debug, Clone)]
struct Plans {
    rows: f64,
    width: f64,
    plans: Vec<Plan>,
}

impl<C: Cardinality> Search<'_, C> {
    /// The cheapest order and its cost; `None` where predicates do not join everything.
    pub fn best(&self) -> Option<(Order, f64)> {
        let plans = match self.graph.relations.len() {
            0 => return None,
            n if n <= self.exhaustive => self.exhaustively()?,
            _ => self.greedily()?,
        };
        plans.plans.into_iter().min_by(|a, b| a.cost.total_cmp(&b.cost)).map(|plan| (plan.order, plan.cost))
    }

    /// What an order costs; `None` of one that the predicates do not allow.
    pub fn cost(&self, order: &Order) -> Option<f64> {
        let plans = self.along(order)?;
        plans.plans.iter().map(|plan| plan.cost).min_by(f64::total_cmp)
    }

    fn along(&self, order: &Order) -> Option<Plans> {
        match order {
            Order::Relation(i) => Some(self.single(*i)),
            Order::Join(left, right) => {
                let (of_left, of_right) = (self.along(left)?, self.along(right)?);
                let (left, right) = (left.relations(), right.relations());
                let crossing = self.graph.crossing(left, right)?;
                let rows = self.rows(&crossing, (left, &of_left), (right, &of_right));
                let mut joined = Plans { rows, width: self.width(&crossing, &of_left, &of_right), plans: Vec::new() };
                self.join(&crossing, &of_left, &of_right, &mut joined);
                Some(joined)
            }
        }
    }

    fn exhaustively(&self) -> Option<Plans> {
        let n = self.graph.relations.len();
        let mut known: HashMap<Relations, Plans> = (0..n).map(|i| (Relations::one(i), self.single(i))).collect();
        for set in Relations::subsets(n).filter(|set| set.len() > 1) {
            let mut found: Option<Plans> = None;
            for (left, right) in set.splits() {
                // Each pair once: which side builds is for the costs to say.
                if left > right {
                    continue;
                }
                let (Some(of_left), Some(of_right)) = (known.get(&left), known.get(&right)) else { continue };
                let Some(crossing) = self.graph.crossing(left, right) else { continue };
                let joined = found.get_or_insert_with(|| Plans {
                    rows: self.rows(&crossing, (left, of_left), (right, of_right)),
                    width: self.width(&crossing, of_left, of_right),
                    plans: Vec::new(),
                });
                self.join(&crossing, of_left, of_right, joined);
            }
            if let Some(found) = found {
                known.insert(set, found);
            }
        }
        known.remove(&Relations::first(n))
    }

    fn greedily(&self) -> Option<Plans> {
        let mut parts: Vec<(Relations, Plans)> =
            (0..self.graph.relations.len()).map(|i| (Relations::one(i), self.single(i))).collect();
        while parts.len() > 1 {
            let mut best: Option<(usize, usize, Plans)> = None;
            for (i, (left, of_left)) in parts.iter().enumerate() {
                for (j, (right, of_right)) in parts.iter().enumerate().skip(i + 1) {
                    let Some(crossing) = self.graph.crossing(*left, *right) else { continue };
                    let rows = self.rows(&crossing, (*left, of_left), (*right, of_right));
                    if best.as_ref().is_none_or(|(_, _, plans)| rows < plans.rows) {
                        let width = self.width(&crossing, of_left, of_right);
                        let mut joined = Plans { rows, width, plans: Vec::new() };
                        self.join(&crossing, of_left, of_right, &mut joined);
                        best = Some((i, j, joined));
                    }
                }
            }
            let (i, j, joined) = best?;
            let (right, _) = parts.remove(j);
            parts[i] = (parts[i].0 | right, joined);
        }
        parts.pop().map(|(_, plans)| plans)
    }

    fn single(&self, i: usize) -> Plans {
        let Input { rows, width, placed } = self.graph.relations[i];
        Plans { rows, width, plans: vec![Plan { cost: 0.0, placed, order: Order::Relation(i) }] }
    }

    fn rows(&self, crossing: &Crossing, left: (Relations, &Plans), right: (Relations, &Plans)) -> f64 {
        let (left, right) = ((left.0, left.1.rows), (right.0, right.1.rows));
        let (left, right) = if crossing.swapped { (right, left) } else { (left, right) };
        self.cardinality.joined(crossing, left, right).max(1.0)
    }

    fn width(&self, crossing: &Crossing, left: &Plans, right: &Plans) -> f64 {
        match (crossing.kind.keeps_right(), crossing.swapped) {
            (true, _) => left.width + right.width,
            (false, false) => left.width,
            (false, true) => right.width,
        }
    }

    /// Adds to `joined` the ways to join that are worth keeping.
    fn join(&self, crossing: &Crossing, left: &Plans, right: &Plans, joined: &mut Plans) {
        let (left, right) = if crossing.swapped { (right, left) } else { (left, right) };
        let keys = self.graph.keys(crossing);
        for of_left in &left.plans {
            for of_right in &right.plans {
                let sides = [
                    Input { rows: left.rows, width: left.width, placed: of_left.placed },
                    Input { rows: right.rows, width: right.width, placed: of_right.placed },
                ];
                for way in self.costs.ways(crossing.kind, sides, &keys, joined.rows, joined.width) {
                    let cost = of_left.cost + of_right.cost + way.cost;
                    let better = |other: &Plan| {
                        other.cost <= cost && (other.placed == way.placed || way.placed == Placement::Anywhere)
                    };
                    if joined.plans.iter().any(better) {
                        continue;
                    }
                    joined.plans.retain(|other| {
                        other.cost < cost || (other.placed != way.placed && other.placed != Placement::Anywhere)
                    });
                    let order = Order::Join(Box::new(of_left.order.clone()), Box::new(of_right.order.clone()));
                    joined.plans.push(Plan { cost, placed: way.placed, order });
                }
            }
        }
    }
}

impl Graph {
    /// What joins two sets that do not overlap; `None` where nothing does, or not as the query means it.
    pub fn crossing(&self, left: Relations, right: Relations) -> Option<Crossing> {
        let whole = left | right;
        let spans = |set: Relations| whole.contains(set) && left.overlaps(set) && right.overlaps(set);
        let classes: Vec<usize> = (0..self.classes.len())
            .filter(|class| left.overlaps(self.classes[*class]) && right.overlaps(self.classes[*class]))
            .collect();
        let mut crossing = Crossing { kind: Kind::Inner, swapped: false, operators: Vec::new(), classes };
        for (i, Edge { operator, class, .. }) in self.operators.iter().enumerate() {
            if class.is_some() || !spans(operator.named) {
                continue;
            }
            let (straight, swapped) = (operator.joins(left, right), operator.joins(right, left));
            if !straight && !swapped {
                return None;
            }
            if operator.kind != Kind::Inner {
                crossing.kind = operator.kind;
                crossing.swapped = !straight;
            }
            crossing.operators.push(i);
        }
        let several = crossing.operators.len() + crossing.classes.len();
        (several > 0 && (crossing.kind == Kind::Inner || several == 1)).then_some(crossing)
    }

    /// The keys that a crossing equates, its left side's first.
    fn keys(&self, crossing: &Crossing) -> Vec<(Key, Key)> {
        let of_operators = crossing.operators.iter().flat_map(|i| self.operators[*i].keys.iter().copied());
        of_operators.chain(crossing.classes.iter().map(|class| (*class, *class))).collect()
    }
}

#[cfg(test)]
mod tests;
