//! The graph of dependencies among transactions, and its cycles.

use std::collections::{BTreeMap, BTreeSet, VecDeque};

use super::{Kind, Level};

/// Why one transaction comes before another.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Edge {
    /// The other overwrote what it wrote.
    Ww,
    /// The other read what it wrote.
    Wr,
    /// The other overwrote what it read.
    Rw,
    /// It was acknowledged before the other began.
    Time,
}

/// Transactions by their numbers in the history.
#[derive(Debug, Default)]
pub struct Graph {
    edges: BTreeMap<usize, BTreeSet<(usize, Edge)>>,
}

/// The transactions of a cycle, each with the edge to the next.
pub type Cycle = Vec<(usize, Edge)>;

impl Graph {
    pub fn add(&mut self, from: usize, edge: Edge, to: usize) {
        if from != to {
            self.edges.entry(from).or_default().insert((to, edge));
        }
    }

    /// A shortest cycle that `level` forbids, and its name. What time proves is told only where nothing else is wrong.
    pub fn forbidden(&self, level: Level) -> Option<(Kind, Cycle)> {
        let of = |skew, time| self.shortest(skew, time);
        let serializable = level == Level::Serializable;
        let found = of(false, false).or_else(|| of(false, true));
        let found = found.or_else(|| serializable.then(|| of(true, false).or_else(|| of(true, true))).flatten());
        found.map(|cycle| (name(&cycle), cycle))
    }

    /// `skew`: two anti-dependencies may follow one another.
    fn shortest(&self, skew: bool, time: bool) -> Option<Cycle> {
        let mut shortest: Option<Cycle> = None;
        for from in self.edges.keys() {
            let longest = shortest.as_ref().map_or(usize::MAX, Vec::len);
            if let Some(cycle) = self.through(*from, skew, time, longest) {
                shortest = Some(cycle);
            }
        }
        shortest
    }

    /// The shortest cycle from `from`, if it is shorter than `longest`. Without skew it begins with no anti-dependency, so
    /// that none stands at its end and its beginning; every cycle that matters has such a place to begin.
    fn through(&self, from: usize, skew: bool, time: bool, longest: usize) -> Option<Cycle> {
        // A place is a transaction, and whether an anti-dependency led there.
        let start = (from, !skew);
        let mut came: BTreeMap<(usize, bool), ((usize, bool), Edge)> = BTreeMap::new();
        let mut next = VecDeque::from([(start, 0)]);
        while let Some((place, length)) = next.pop_front() {
            if length + 1 >= longest {
                return None;
            }
            for (to, edge) in self.edges.get(&place.0).into_iter().flatten().copied() {
                if (edge == Edge::Time && !time) || (edge == Edge::Rw && place.1 && !skew) {
                    continue;
                }
                let led = edge == Edge::Rw && !skew;
                if to == from {
                    let mut cycle = vec![(place.0, edge)];
                    let mut at = place;
                    while at != start {
                        let (before, by) = came[&at];
                        cycle.push((before.0, by));
                        at = before;
                    }
                    cycle.reverse();
                    return Some(cycle);
                }
                if !came.contains_key(&(to, led)) && (to, led) != start {
                    came.insert((to, led), (place, edge));
                    next.push_back(((to, led), length + 1));
                }
            }
        }
        None
    }
}

fn name(cycle: &Cycle) -> Kind {
    let count = |edge| cycle.iter().filter(|(_, e)| *e == edge).count();
    let (ww, wr, rw, time) = (count(Edge::Ww), count(Edge::Wr), count(Edge::Rw), count(Edge::Time));
    let next = cycle.iter().cycle().skip(1);
    let adjacent = rw > 1 && cycle.iter().zip(next).any(|(a, b)| a.1 == Edge::Rw && b.1 == Edge::Rw);
    match cycle.len() {
        _ if adjacent => Kind::WriteSkew,
        _ if time > 0 => Kind::StaleRead,
        n if ww == n => Kind::WriteCycle,
        _ if rw == 0 => Kind::InformationCycle,
        2 if wr == 1 => Kind::FracturedRead,
        2 => Kind::LostUpdate,
        _ if rw > 1 && ww == 0 => Kind::LongFork,
        _ => Kind::OtherCycle,
    }
}
