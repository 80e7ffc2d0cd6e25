//! Orders that the graph allows give the rows of the query's own, and the search finds the cheapest of them.

use proptest::prelude::*;

use super::*;
use crate::physical_plan::config::BlueshiftOptions;

/// A value of each relation's one column, by relation; `None` outside where the relation is not there, inside for NULL.
type Row = Vec<Option<Option<i8>>>;

/// A query over relations of one column: its joins, inner ones first.
#[derive(Debug, Clone)]
struct Query {
    tables: Vec<Vec<Option<i8>>>,
    order: Order,
    joins: Vec<Joined>,
}

#[derive(Debug, Clone)]
struct Joined {
    operator: Operator,
    /// Relations whose columns are equal.
    equal: (usize, usize),
    class: Option<usize>,
}

impl Query {
    /// A query of `tables` with the shape and kinds that `choices` lead to.
    fn new(tables: Vec<Vec<Option<i8>>>, choices: Vec<(usize, usize, usize, usize)>) -> Self {
        let mut parts: Vec<(Order, Relations, Vec<Joined>)> =
            (0..tables.len()).map(|i| (Order::Relation(i), Relations::one(i), Vec::new())).collect();
        let mut choices = choices.into_iter();
        while parts.len() > 1 {
            let (part, kind, left, right) = choices.next().unwrap();
            let (one, seen_one, mut below) = parts.remove(part % parts.len());
            let at = right % parts.len();
            let (other, seen_other, below_other) = parts.remove(at);
            below.extend(below_other);
            let kind = [Kind::Inner, Kind::Inner, Kind::LeftOuter, Kind::LeftSemi, Kind::LeftAnti][kind % 5];
            let pick = |of: Relations, i: usize| of.iter().nth(i % of.len()).unwrap();
            let equal = (pick(seen_one, left), pick(seen_other, right));
            let named = Relations::one(equal.0) | Relations::one(equal.1);
            let operators: Vec<Operator> = below.iter().map(|joined| joined.operator.clone()).collect();
            let operator = Operator::new(kind, one.relations(), other.relations(), named, &operators);
            let seen = if kind.keeps_right() { seen_one | seen_other } else { seen_one };
            below.push(Joined { operator, equal, class: None });
            parts.push((Order::Join(Box::new(one), Box::new(other)), seen, below));
        }
        let (order, _, joins) = parts.pop().unwrap();
        Query { tables, order, joins }
    }

    /// With free equalities as classes: those of a chain of relations that are pairwise equal.
    fn classed(mut self) -> (Self, Vec<Relations>) {
        let mut classes: Vec<Relations> = Vec::new();
        for joined in &mut self.joins {
            if !joined.operator.is_free() {
                continue;
            }
            let both = [joined.equal.0, joined.equal.1].map(Relations::one);
            let of = both.map(|one| classes.iter().position(|class| class.overlaps(one)));
            joined.class = Some(match of {
                [Some(one), Some(other)] if one != other => {
                    let merged = std::mem::take(&mut classes[other]);
                    classes[one] = classes[one] | merged;
                    one
                }
                [Some(class), _] | [_, Some(class)] => {
                    classes[class] = classes[class] | both[0] | both[1];
                    class
                }
                [None, None] => {
                    classes.push(both[0] | both[1]);
                    classes.len() - 1
                }
            });
        }
        (self, classes)
    }

    fn graph(&self, classes: Vec<Relations>) -> Graph {
        let input = |table: &Vec<_>| Input { rows: table.len() as f64, width: 8.0, placed: Placement::Anywhere };
        Graph {
            relations: self.tables.iter().map(input).collect(),
            operators: self
                .joins
                .iter()
                .map(|joined| Edge { operator: joined.operator.clone(), keys: vec![], class: joined.class })
                .collect(),
            classes,
        }
    }

    /// The rows of an order, sorted.
    fn rows(&self, graph: &Graph, order: &Order) -> Vec<Row> {
        let (one, other) = match order {
            Order::Relation(i) => {
                let row = |value: &Option<i8>| {
                    let mut row = vec![None; self.tables.len()];
                    row[*i] = Some(*value);
                    row
                };
                return self.tables[*i].iter().map(row).collect();
            }
            Order::Join(one, other) => (one, other),
        };
        let crossing = graph.crossing(one.relations(), other.relations()).unwrap();
        let (left, right) = if crossing.swapped { (other, one) } else { (one, other) };
        let classes = crossing.classes.iter().map(|class| {
            let of = |side: Relations| (side & graph.classes[*class]).iter().next().unwrap();
            (of(left.relations()), of(right.relations()))
        });
        let equal: Vec<(usize, usize)> =
            crossing.operators.iter().map(|i| self.joins[*i].equal).chain(classes).collect();
        let value = |row: &Row, other: &Row, of: usize| row[of].or(other[of]).flatten();
        let (of_left, of_right) = (self.rows(graph, left), self.rows(graph, right));
        let matches = |l: &Row, r: &Row| {
            equal.iter().all(|(a, b)| {
                let (a, b) = (value(l, r, *a), value(l, r, *b));
                a.is_some() && a == b
            })
        };
        let both = |l: &Row, r: &Row| -> Row { l.iter().zip(r).map(|(l, r)| l.or(*r)).collect() };
        let mut rows = Vec::new();
        for l in &of_left {
            let partners: Vec<&Row> = of_right.iter().filter(|r| matches(l, r)).collect();
            match crossing.kind {
                Kind::Inner => rows.extend(partners.iter().map(|r| both(l, r))),
                Kind::LeftOuter if partners.is_empty() => {
                    let nulls = right.relations();
                    let row = l.iter().enumerate().map(|(i, value)| match nulls.contains(Relations::one(i)) {
                        true => Some(None),
                        false => *value,
                    });
                    rows.push(row.collect());
                }
                Kind::LeftOuter => rows.extend(partners.iter().map(|r| both(l, r))),
                Kind::LeftSemi if !partners.is_empty() => rows.push(l.clone()),
                Kind::LeftAnti if partners.is_empty() => rows.push(l.clone()),
                Kind::LeftSemi | Kind::LeftAnti => {}
            }
        }
        rows
    }

    /// What a query sees of its rows: of relations that a semi or anti join drops, nothing.
    fn answer(&self, graph: &Graph, order: &Order) -> Vec<Row> {
        let dropped = self.joins.iter().filter(|joined| !joined.operator.kind.keeps_right());
        let dropped = dropped.fold(Relations::NONE, |all, joined| all | joined.operator.right);
        let mut rows = self.rows(graph, order);
        for row in &mut rows {
            for i in dropped.iter() {
                row[i] = None;
            }
        }
        rows.sort();
        rows
    }
}

/// All orders of a set that a graph allows.
fn orders(graph: &Graph, set: Relations) -> Vec<Order> {
    if set.len() == 1 {
        return set.iter().map(Order::Relation).collect();
    }
    let mut all = Vec::new();
    for (left, right) in set.splits() {
        if left > right || graph.crossing(left, right).is_none() {
            continue;
        }
        for l in orders(graph, left) {
            for r in orders(graph, right) {
                all.push(Order::Join(Box::new(l.clone()), Box::new(r)));
            }
        }
    }
    all
}

fn queries() -> impl Strategy<Value = Query> {
    let value = prop_oneof![1 => Just(None), 4 => (0i8..3).prop_map(Some)];
    (2usize..6).prop_flat_map(move |n| {
        let tables = prop::collection::vec(prop::collection::vec(value.clone(), 0..4), n);
        let choice = (0usize..8, 0usize..5, 0usize..8, 0usize..8);
        (tables, prop::collection::vec(choice, n)).prop_map(|(tables, choices)| Query::new(tables, choices))
    })
}

/// Numbers that depend on the set alone, as real ones do.
struct Invented(u64);

impl Cardinality for Invented {
    fn joined(&self, _: &Crossing, left: (Relations, f64), right: (Relations, f64)) -> f64 {
        let set = left.0 | right.0;
        let mixed =
            set.iter().fold(self.0, |h, i| (h ^ (i as u64 + 1)).wrapping_mul(0x9e37_79b9_7f4a_7c15).rotate_left(31));
        2f64.powi((mixed % 24) as i32)
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(512))]

    #[test]
    fn every_order_gives_the_rows_of_the_query(query in queries()) {
        let (query, classes) = query.classed();
        let graph = query.graph(classes);
        let expected = query.answer(&graph, &query.order);
        let all = orders(&graph, Relations::first(query.tables.len()));
        prop_assert!(!all.is_empty());
        for order in all {
            prop_assert_eq!(&query.answer(&graph, &order), &expected, "{:?}", order);
        }
    }

    #[test]
    fn the_cheapest_order_is_found(query in queries(), seed: u64) {
        let (query, classes) = query.classed();
        let graph = query.graph(classes);
        let (cardinality, costs) = (Invented(seed), JoinCosts::of(&BlueshiftOptions::default(), 4));
        let search = Search { graph: &graph, cardinality: &cardinality, costs: &costs, exhaustive: 10 };
        let (order, cost) = search.best().unwrap();
        let of_all = orders(&graph, Relations::first(query.tables.len()));
        let least = of_all.iter().filter_map(|order| search.cost(order)).fold(f64::MAX, f64::min);
        prop_assert!((cost / least.max(1e-9) - 1.0).abs() < 1e-9, "{} instead of {}", cost, least);
        prop_assert_eq!(search.cost(&order), Some(cost));
        // Where there are too many relations to look at all orders, one that is allowed is found, if not the best.
        if let Some((order, _)) = (Search { exhaustive: 0, ..search }).best() {
            prop_assert_eq!(query.answer(&graph, &order), query.answer(&graph, &query.order));
        }
    }
}
