//! The anomalies of a history.

use std::collections::{BTreeMap, BTreeSet};

use super::cycles::{Cycle, Edge, Graph};
use super::{Anomaly, Event, Kind, Level, Op, Outcome, Row, Token, Transaction};

/// All anomalies that single rows and transactions prove; where there are none, one that a cycle of several proves.
pub fn check(history: &[Transaction], level: Level) -> Vec<Anomaly> {
    let mut checker = Checker::new(history);
    checker.read_all();
    checker.lasting = (0..history.len()).map(|by| checker.lasts(by)).collect();
    checker.order_versions();
    checker.look_for_effects();
    if checker.found.is_empty()
        && let Some((kind, cycle)) = checker.graph().forbidden(level)
    {
        checker.tell(kind, checker.cycle(&cycle));
    }
    checker.found
}

/// What a transaction found where it had not written itself: the versions of a row, or that there was none.
struct Seen {
    by: usize,
    tokens: Option<Vec<Token>>,
}

struct Checker<'h> {
    history: &'h [Transaction],
    rows: BTreeMap<u32, BTreeSet<u64>>,
    /// What each transaction did to a row, in order; `None` is a delete.
    writes: BTreeMap<Row, BTreeMap<usize, Vec<Option<Token>>>>,
    writer: BTreeMap<Token, usize>,
    born: BTreeMap<Row, usize>,
    /// One of each reader and row.
    seen: BTreeMap<Row, Vec<Seen>>,
    /// The versions of a row in order, as far as somebody has seen them or must have made them.
    versions: BTreeMap<Row, Vec<Token>>,
    /// Which transactions took effect, as far as anybody knows.
    lasting: Vec<bool>,
    found: Vec<Anomaly>,
}

impl<'h> Checker<'h> {
    fn new(history: &'h [Transaction]) -> Self {
        let mut checker = Checker {
            history,
            rows: BTreeMap::new(),
            writes: BTreeMap::new(),
            writer: BTreeMap::new(),
            born: BTreeMap::new(),
            seen: BTreeMap::new(),
            versions: BTreeMap::new(),
            lasting: Vec::new(),
            found: Vec::new(),
        };
        for (by, transaction) in history.iter().enumerate() {
            for Event { op, .. } in &transaction.events {
                let (row, write) = match op {
                    Op::Read { table, rows, .. } => {
                        checker.rows.entry(*table).or_default().extend(rows.iter().map(|(id, _)| *id));
                        continue;
                    }
                    Op::Append { row, token, born } => {
                        checker.writer.insert(*token, by);
                        if *born {
                            checker.born.insert(*row, by);
                        }
                        (*row, Some(*token))
                    }
                    Op::Delete { row } => (*row, None),
                };
                checker.rows.entry(row.table).or_default().insert(row.id);
                checker.writes.entry(row).or_default().entry(by).or_default().push(write);
            }
        }
        checker
    }

    fn tell(&mut self, kind: Kind, detail: String) {
        self.found.push(Anomaly { kind, detail });
    }

    fn name(&self, transaction: usize) -> &'h str {
        &self.history[transaction].name
    }

    fn is_committed(&self, transaction: usize) -> bool {
        self.history[transaction].outcome == Outcome::Committed
    }

    /// Whether it is committed, or may be.
    fn may_last(&self, transaction: usize) -> bool {
        self.history[transaction].outcome != Outcome::Aborted
    }

    /// Whether `later` began when `earlier` was acknowledged.
    fn follows(&self, earlier: usize, later: usize) -> bool {
        self.is_committed(earlier) && self.history[earlier].finish.1 < self.history[later].begun()
    }

    /// What each read found that its transaction had not written itself.
    fn read_all(&mut self) {
        for by in 0..self.history.len() {
            let mut own: BTreeMap<Row, Vec<Option<Token>>> = BTreeMap::new();
            let mut before: BTreeMap<Row, Option<Vec<Token>>> = BTreeMap::new();
            for event in &self.history[by].events {
                match &event.op {
                    Op::Append { row, token, .. } => own.entry(*row).or_default().push(Some(*token)),
                    Op::Delete { row } => own.entry(*row).or_default().push(None),
                    Op::Read { table, ids, rows } => {
                        let mut found: BTreeMap<u64, &Vec<Token>> = BTreeMap::new();
                        for (id, tokens) in rows {
                            if found.insert(*id, tokens).is_some() {
                                self.tell(
                                    Kind::Unwritten,
                                    format!("{} reads row {id} of table {table} twice", self.name(by)),
                                );
                            }
                        }
                        let all: Vec<u64> =
                            self.rows.get(table).into_iter().flat_map(|r| r.range(ids.clone())).copied().collect();
                        for id in all {
                            let row = Row { table: *table, id };
                            let tokens = found.get(&id).map(|tokens| tokens.as_slice());
                            let own = own.get(&row).map_or(&[][..], Vec::as_slice);
                            let Some(others) = self.without_own(by, row, own, tokens) else { continue };
                            match before.get(&row) {
                                None => {
                                    self.read_one(by, event, row, others.as_deref());
                                    before.insert(row, others);
                                }
                                Some(earlier) if *earlier != others => {
                                    let detail =
                                        format!("{} reads {earlier:?}, then {others:?} of {row:?}", self.name(by));
                                    self.tell(Kind::NonRepeatableRead, detail);
                                }
                                Some(_) => {}
                            }
                        }
                    }
                }
            }
            for (row, tokens) in before {
                self.seen.entry(row).or_default().push(Seen { by, tokens });
            }
        }
    }

    /// What a transaction found that others had written; `None` where it hid that itself, or does not find its own.
    fn without_own(
        &mut self,
        by: usize,
        row: Row,
        own: &[Option<Token>],
        found: Option<&[Token]>,
    ) -> Option<Option<Vec<Token>>> {
        let Some(last) = own.last() else { return Some(found.map(<[Token]>::to_vec)) };
        let tokens: Vec<Token> = own.iter().copied().flatten().collect();
        let as_written = match (last, found) {
            (None, found) => found.is_none(),
            (Some(_), None) => false,
            (Some(_), Some(found)) => found.ends_with(&tokens),
        };
        if !as_written {
            let detail = format!("{} wrote {own:?} to {row:?}, and reads {found:?}", self.name(by));
            self.tell(Kind::OwnWriteMissing, detail);
            return None;
        }
        let found = found?;
        let others = found[..found.len() - tokens.len()].to_vec();
        match self.born.get(&row) == Some(&by) {
            true if others.is_empty() => None,
            true => {
                let detail = format!("{} made {row:?} by {tokens:?}, and reads {found:?}", self.name(by));
                self.tell(Kind::Unwritten, detail);
                None
            }
            false => Some(Some(others)),
        }
    }

    /// What one look at a row proves.
    fn read_one(&mut self, by: usize, event: &Event, row: Row, tokens: Option<&[Token]>) {
        let reader = self.name(by);
        let Some(tokens) = tokens else { return self.read_nothing(by, row) };
        let mut writers = BTreeSet::new();
        for (at, token) in tokens.iter().enumerate() {
            let wrote = |writer: &&usize| {
                self.writes.get(&row).and_then(|w| w.get(writer)).is_some_and(|w| w.contains(&Some(*token)))
            };
            let Some(writer) = self.writer.get(token).filter(wrote).copied() else {
                let detail = format!("{reader} reads {token} in {row:?}, which nobody wrote there");
                return self.tell(Kind::Unwritten, detail);
            };
            if tokens[..at].contains(token) || writer == by {
                return self
                    .tell(Kind::Unwritten, format!("{reader} reads {tokens:?} in {row:?}: {token} is out of place"));
            }
            writers.insert(writer);
        }
        for writer in writers {
            let name = self.name(writer);
            if !self.may_last(writer) {
                self.tell(Kind::AbortedRead, format!("{reader} reads {tokens:?} in {row:?}; {name} was aborted"));
            } else if event.ended < self.history[writer].finish.0 {
                self.tell(Kind::DirtyRead, format!("{reader} reads {tokens:?} in {row:?} before {name} commits"));
            } else if let Some(later) =
                self.writes[&row][&writer].iter().flatten().find(|token| !tokens.contains(token))
            {
                let detail = format!("{reader} reads {tokens:?} in {row:?}, where {name} also wrote {later}");
                self.tell(Kind::IntermediateRead, detail);
            }
        }
    }

    /// A row is not there that was acknowledged before, and that nobody who committed by then has deleted.
    fn read_nothing(&mut self, by: usize, row: Row) {
        let Some(born) = self.born.get(&row).copied() else { return };
        if !self.follows(born, by) {
            return;
        }
        let chosen = self.history[by].events.first().map_or(0, |event| event.ended);
        let killers: Vec<usize> = self.killers(row).collect();
        if killers.iter().any(|k| self.may_last(*k) && self.history[*k].finish.0 <= chosen) {
            return;
        }
        let (reader, names) = (self.name(by), killers.iter().map(|k| self.name(*k)).collect::<Vec<_>>());
        if killers.iter().any(|k| self.may_last(*k)) {
            self.tell(Kind::DirtyRead, format!("{reader} misses {row:?} before one of {names:?} commits"));
        } else if !killers.is_empty() {
            self.tell(Kind::AbortedRead, format!("{reader} misses {row:?}, which {names:?} deleted and were aborted"));
        }
    }

    /// Who deletes a row, be it aborted or not.
    fn killers(&self, row: Row) -> impl Iterator<Item = usize> + '_ {
        let all = self.writes.get(&row).into_iter().flatten();
        all.filter(|(_, writes)| writes.last() == Some(&None)).map(|(by, _)| *by)
    }

    /// Puts the versions of each row into order; those that are no beginnings of one another were made by writers who did not
    /// see each other.
    fn order_versions(&mut self) {
        for (row, writes) in &self.writes {
            let mut lists: Vec<(usize, Vec<Token>)> = Vec::new();
            for seen in self.seen.get(row).into_iter().flatten() {
                let Some(tokens) = &seen.tokens else { continue };
                lists.push((seen.by, tokens.clone()));
                if self.is_committed(seen.by)
                    && let Some(own) = writes.get(&seen.by)
                {
                    lists.push((seen.by, tokens.iter().chain(own.iter().flatten()).copied().collect()));
                }
            }
            if let Some(by) = self.born.get(row).filter(|by| self.lasting[**by]) {
                lists.push((*by, writes[by].iter().copied().flatten().collect()));
            }
            let Some((longest_by, longest)) = lists.iter().max_by_key(|(_, tokens)| tokens.len()).cloned() else {
                continue;
            };
            if let Some((by, fork)) = lists.iter().find(|(_, tokens)| !longest.starts_with(tokens)) {
                let (one, two) = (self.name(*by), self.name(longest_by));
                let detail = format!("{row:?} is {fork:?} to {one}, and {longest:?} to {two}");
                self.found.push(Anomaly { kind: Kind::LostUpdate, detail });
            }
            // Of those who deleted it, each saw the last version, or overlooked what came meanwhile.
            let killers: Vec<usize> = self.killers(*row).filter(|k| self.is_committed(*k)).collect();
            if let [one, two, ..] = killers[..] {
                let detail = format!("{row:?} is deleted by {} and by {}", self.name(one), self.name(two));
                self.found.push(Anomaly { kind: Kind::LostUpdate, detail });
            }
            self.versions.insert(*row, longest);
        }
    }

    /// Whether what a transaction did to a row was seen by another, or not although it should have been.
    fn effect(&self, by: usize, row: Row, writes: &[Option<Token>]) -> Option<bool> {
        let (Some(last), born) = (writes.last(), self.born.get(&row) == Some(&by)) else { return None };
        let mut others = self.seen.get(&row).into_iter().flatten().filter(|seen| seen.by != by);
        match last {
            None if born => None,
            None => {
                let after = || self.seen.get(&row).into_iter().flatten().filter(|seen| self.follows(by, seen.by));
                if after().any(|seen| seen.tokens.is_some()) {
                    return Some(false);
                }
                after().next().map(|_| true)
            }
            Some(token) => {
                let has = |seen: &Seen| seen.tokens.as_ref().is_some_and(|tokens| tokens.contains(token));
                if self.seen.get(&row).into_iter().flatten().any(|seen| seen.by != by && has(seen)) {
                    return Some(true);
                }
                // If none of them is committed, whoever read the row has told that.
                let killed = self.killers(row).next().is_some();
                let misses = |seen: &Seen| self.follows(by, seen.by) && (seen.tokens.is_some() || !killed);
                others.any(misses).then_some(false)
            }
        }
    }

    /// What was acknowledged is there, and of all else nothing or the whole.
    fn look_for_effects(&mut self) {
        let mut effects: BTreeMap<usize, (Vec<Row>, Vec<Row>)> = BTreeMap::new();
        for (row, writes) in &self.writes {
            for (by, writes) in writes.iter().filter(|(by, _)| self.may_last(**by)) {
                match self.effect(*by, *row, writes) {
                    Some(true) => effects.entry(*by).or_default().0.push(*row),
                    Some(false) => effects.entry(*by).or_default().1.push(*row),
                    None => {}
                }
            }
        }
        let forked = self.found.iter().any(|anomaly| anomaly.kind == Kind::LostUpdate);
        for (by, (there, missing)) in effects {
            let name = self.name(by);
            match (there.first(), missing.first()) {
                (Some(there), Some(missing)) => {
                    self.tell(Kind::HalfCommit, format!("of {name}, {there:?} is there and {missing:?} is not"));
                }
                (None, Some(missing)) if self.is_committed(by) && !forked => {
                    self.tell(Kind::LostCommit, format!("{name} is committed, and {missing:?} is not there"));
                }
                _ => {}
            }
        }
    }

    fn lasts(&self, by: usize) -> bool {
        let seen = || {
            let tokens =
                self.seen.values().flatten().filter(|s| s.by != by).filter_map(|s| s.tokens.as_ref()).flatten();
            tokens.into_iter().any(|token| self.writer.get(token) == Some(&by))
        };
        match self.history[by].outcome {
            Outcome::Committed => true,
            Outcome::Aborted => false,
            Outcome::Unknown => seen(),
        }
    }

    fn graph(&self) -> Graph {
        let mut graph = Graph::default();
        let lasting = &self.lasting;
        for (row, versions) in &self.versions {
            let writers: Vec<usize> = versions.iter().map(|token| self.writer[token]).collect();
            let killer = self.killers(*row).find(|k| lasting[*k]);
            let chain: Vec<usize> = writers.iter().copied().chain(killer).collect();
            chain.windows(2).for_each(|pair| graph.add(pair[0], Edge::Ww, pair[1]));
            // What nobody has seen comes after what somebody has, in an order that is not known.
            let unseen = |w: &Vec<Option<Token>>| w.iter().flatten().any(|token| !versions.contains(token));
            let unseen = self.writes[row].iter().filter(|(by, writes)| lasting[**by] && unseen(writes));
            let unseen: Vec<usize> = unseen.map(|(by, _)| *by).collect();
            for later in unseen.iter().filter(|_| killer.is_none()) {
                writers.last().iter().for_each(|last| graph.add(**last, Edge::Ww, *later));
            }
            for Seen { by, tokens } in self.seen.get(row).into_iter().flatten().filter(|seen| lasting[seen.by]) {
                match tokens {
                    Some(tokens) => {
                        if let Some(last) = tokens.last() {
                            graph.add(self.writer[last], Edge::Wr, *by);
                        }
                        if let Some(next) = chain.get(tokens.len()) {
                            graph.add(*by, Edge::Rw, *next);
                        }
                        if tokens.len() == versions.len() {
                            unseen.iter().for_each(|later| graph.add(*by, Edge::Rw, *later));
                        }
                    }
                    None => self.absence(&mut graph, *by, *row, killer),
                }
            }
        }
        self.time(&mut graph);
        graph
    }

    /// A row was not there: not yet, or no more. Where both may be, nothing is known.
    fn absence(&self, graph: &mut Graph, by: usize, row: Row, killer: Option<usize>) {
        let Some(born) = self.born.get(&row).copied().filter(|born| self.lasting[*born]) else { return };
        if killer == Some(born) {
            // It is in no version: to miss it proves nothing.
            return;
        }
        let chosen = self.history[by].events.first().map_or(0, |event| event.ended);
        let before = |of: usize| chosen < self.history[of].finish.0;
        match killer {
            None => graph.add(by, Edge::Rw, born),
            Some(killer) if before(born) || before(killer) => graph.add(by, Edge::Rw, born),
            Some(killer) if self.follows(killer, by) => graph.add(killer, Edge::Wr, by),
            Some(_) => {}
        }
    }

    /// Edges from each transaction to those that began when it was acknowledged, but where others stand between.
    fn time(&self, graph: &mut Graph) {
        let acknowledged = (0..self.history.len()).filter(|by| self.is_committed(*by));
        for by in acknowledged {
            let after = || (0..self.history.len()).filter(|other| self.lasting[*other] && self.follows(by, *other));
            let first = after().map(|other| self.history[other].finish.1).min();
            let direct = after().filter(|other| first.is_some_and(|first| self.history[*other].begun() <= first));
            direct.for_each(|other| graph.add(by, Edge::Time, other));
        }
    }

    fn cycle(&self, cycle: &Cycle) -> String {
        let steps = cycle.iter().map(|(by, edge)| format!("{} -{edge:?}->", self.name(*by)));
        let first = cycle.first().map_or("", |(by, _)| self.name(*by));
        format!("{} {first}", steps.collect::<Vec<_>>().join(" "))
    }
}
