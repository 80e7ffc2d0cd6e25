//! Each anomaly, planted in a history made by hand, is called by its name; right histories pass.

use super::*;

const ALL: RangeInclusive<u64> = 0..=99;

/// A history of transactions that are given by their events; time goes on with each call.
#[derive(Default)]
struct Hand {
    history: Vec<Transaction>,
    now: u64,
}

impl Hand {
    fn tick(&mut self) -> u64 {
        self.now += 1;
        self.now
    }

    fn begin(&mut self, name: &str) -> usize {
        let name = name.to_string();
        self.history.push(Transaction { name, events: Vec::new(), finish: (0, 0), outcome: Outcome::Unknown });
        self.history.len() - 1
    }

    fn event(&mut self, of: usize, op: Op) {
        let event = Event { op, begun: self.tick(), ended: self.tick() };
        self.history[of].events.push(event);
    }

    fn read(&mut self, of: usize, table: u32, rows: &[(u64, &[Token])]) {
        let rows = rows.iter().map(|(id, tokens)| (*id, tokens.to_vec())).collect();
        self.event(of, Op::Read { table, ids: ALL, rows });
    }

    fn insert(&mut self, of: usize, table: u32, id: u64, token: Token) {
        self.event(of, Op::Append { row: Row { table, id }, token, born: true });
    }

    fn update(&mut self, of: usize, table: u32, id: u64, token: Token) {
        self.event(of, Op::Append { row: Row { table, id }, token, born: false });
    }

    fn delete(&mut self, of: usize, table: u32, id: u64) {
        self.event(of, Op::Delete { row: Row { table, id } });
    }

    fn end(&mut self, of: usize, outcome: Outcome) {
        self.history[of].finish = (self.tick(), self.tick());
        self.history[of].outcome = outcome;
    }

    fn commit(&mut self, of: usize) {
        self.end(of, Outcome::Committed);
    }

    /// Rows 1 and 2 of table 0 with the tokens 1 and 2, row 1 of table 1 with the token 3.
    fn filled() -> Hand {
        let mut hand = Hand::default();
        let first = hand.begin("first");
        hand.insert(first, 0, 1, 1);
        hand.insert(first, 0, 2, 2);
        hand.insert(first, 1, 1, 3);
        hand.commit(first);
        hand
    }

    /// A transaction of one read behind all others.
    fn last(&mut self, table: u32, rows: &[(u64, &[Token])]) {
        let last = self.begin("last");
        self.read(last, table, rows);
        self.commit(last);
    }

    fn kinds(&self, level: Level) -> Vec<Kind> {
        let text = write(&self.history);
        assert_eq!(parse(&text).as_ref(), Some(&self.history), "{text}");
        kinds(&check(&self.history, level))
    }

    /// Both levels forbid it.
    fn is(&self, kind: Kind) {
        for level in [Level::Snapshot, Level::Serializable] {
            assert_eq!(self.kinds(level), [kind], "{:?}", check(&self.history, level));
        }
    }

    fn is_right(&self) {
        for level in [Level::Snapshot, Level::Serializable] {
            assert_eq!(self.kinds(level), [], "{:?}", check(&self.history, level));
        }
    }
}

#[test]
fn one_after_the_other_is_right() {
    let mut hand = Hand::filled();
    for (name, id, token) in [("a", 1, 11), ("b", 2, 12), ("c", 1, 13)] {
        let of = hand.begin(name);
        hand.update(of, 0, id, token);
        hand.commit(of);
    }
    let of = hand.begin("d");
    hand.read(of, 0, &[(1, &[1, 11, 13]), (2, &[2, 12])]);
    hand.update(of, 0, 1, 14);
    hand.read(of, 0, &[(1, &[1, 11, 13, 14]), (2, &[2, 12])]);
    hand.delete(of, 0, 2);
    hand.insert(of, 0, 3, 15);
    hand.read(of, 0, &[(1, &[1, 11, 13, 14]), (3, &[15])]);
    hand.delete(of, 0, 3);
    hand.read(of, 0, &[(1, &[1, 11, 13, 14])]);
    hand.commit(of);
    hand.last(0, &[(1, &[1, 11, 13, 14])]);
    hand.is_right();
}

/// A row that comes and goes within a transaction is in no version, and missing it depends on nobody.
#[test]
fn a_row_that_its_maker_deletes_is_never_there() {
    let mut hand = Hand::filled();
    let (a, b) = (hand.begin("a"), hand.begin("b"));
    hand.read(a, 0, &[(1, &[1]), (2, &[2])]);
    hand.read(b, 0, &[(1, &[1]), (2, &[2])]);
    hand.insert(a, 0, 7, 11);
    hand.delete(a, 0, 7);
    hand.insert(b, 0, 8, 12);
    hand.commit(a);
    hand.commit(b);
    hand.last(0, &[(1, &[1]), (2, &[2]), (8, &[12])]);
    hand.is_right();
}

#[test]
fn transactions_beside_each_other_read_what_was_before_both() {
    let mut hand = Hand::filled();
    let (a, b, c) = (hand.begin("a"), hand.begin("b"), hand.begin("c"));
    hand.read(a, 0, &[(1, &[1]), (2, &[2])]);
    hand.update(b, 0, 1, 11);
    hand.insert(b, 1, 5, 12);
    hand.read(c, 0, &[(1, &[1]), (2, &[2])]);
    hand.commit(b);
    hand.read(a, 0, &[(1, &[1]), (2, &[2])]);
    hand.read(a, 1, &[(1, &[3])]);
    hand.commit(a);
    hand.update(c, 0, 1, 13);
    hand.end(c, Outcome::Aborted);
    let d = hand.begin("d");
    hand.insert(d, 1, 6, 14);
    hand.end(d, Outcome::Unknown);
    hand.last(0, &[(1, &[1, 11]), (2, &[2])]);
    hand.last(1, &[(1, &[3]), (5, &[12])]);
    hand.is_right();
    // Nor is it wrong if what nobody was told takes effect late; then it stays.
    hand.last(1, &[(1, &[3]), (5, &[12]), (6, &[14])]);
    hand.is_right();
    hand.last(1, &[(1, &[3]), (5, &[12])]);
    hand.is(Kind::StaleRead);
}

#[test]
fn write_skew_is_legal_only_under_snapshot_isolation() {
    let mut hand = Hand::filled();
    let (a, b) = (hand.begin("a"), hand.begin("b"));
    hand.read(a, 0, &[(1, &[1]), (2, &[2])]);
    hand.read(b, 0, &[(1, &[1]), (2, &[2])]);
    hand.update(a, 0, 1, 11);
    hand.update(b, 0, 2, 12);
    hand.commit(a);
    hand.commit(b);
    hand.last(0, &[(1, &[1, 11]), (2, &[2, 12])]);
    assert_eq!(hand.kinds(Level::Snapshot), []);
    assert_eq!(hand.kinds(Level::Serializable), [Kind::WriteSkew]);
}

#[test]
fn a_phantom_is_write_skew() {
    let mut hand = Hand::filled();
    let (a, b) = (hand.begin("a"), hand.begin("b"));
    hand.read(a, 0, &[(1, &[1]), (2, &[2])]);
    hand.read(b, 1, &[(1, &[3])]);
    hand.insert(a, 1, 7, 11);
    hand.insert(b, 0, 7, 12);
    hand.commit(b);
    hand.commit(a);
    hand.last(0, &[(1, &[1]), (2, &[2]), (7, &[12])]);
    assert_eq!(hand.kinds(Level::Snapshot), []);
    assert_eq!(hand.kinds(Level::Serializable), [Kind::WriteSkew]);
}

#[test]
fn a_read_only_transaction_can_see_what_no_order_explains() {
    // Fekete, O'Neil and O'Neil, SIGMOD Record 2004.
    let mut hand = Hand::filled();
    let (a, b, reader) = (hand.begin("a"), hand.begin("b"), hand.begin("reader"));
    hand.read(a, 0, &[(1, &[1]), (2, &[2])]);
    hand.update(b, 0, 2, 12);
    hand.commit(b);
    hand.read(reader, 0, &[(1, &[1]), (2, &[2, 12])]);
    hand.commit(reader);
    hand.update(a, 0, 1, 11);
    hand.commit(a);
    hand.last(0, &[(1, &[1, 11]), (2, &[2, 12])]);
    assert_eq!(hand.kinds(Level::Snapshot), []);
    assert_eq!(hand.kinds(Level::Serializable), [Kind::WriteSkew]);
}

#[test]
fn what_nobody_wrote_is_found() {
    let mut hand = Hand::filled();
    hand.last(0, &[(1, &[1, 99]), (2, &[2])]);
    hand.is(Kind::Unwritten);
    let mut hand = Hand::filled();
    hand.last(0, &[(1, &[1]), (2, &[2]), (2, &[2])]);
    hand.is(Kind::Unwritten);
    // An update that was done twice, and a token of another row.
    for tokens in [&[1, 11, 11][..], &[1, 2, 11]] {
        let mut hand = Hand::filled();
        let a = hand.begin("a");
        hand.update(a, 0, 1, 11);
        hand.commit(a);
        hand.last(0, &[(1, tokens), (2, &[2])]);
        assert!(hand.kinds(Level::Snapshot).contains(&Kind::Unwritten), "{tokens:?}");
    }
}

#[test]
fn dirty_aborted_and_intermediate_reads_are_found() {
    let mut hand = Hand::filled();
    let (a, b) = (hand.begin("a"), hand.begin("b"));
    hand.update(a, 0, 1, 11);
    hand.read(b, 0, &[(1, &[1, 11]), (2, &[2])]);
    hand.commit(b);
    hand.commit(a);
    hand.is(Kind::DirtyRead);
    hand.end(a, Outcome::Aborted);
    hand.is(Kind::AbortedRead);

    // The same of a deleted row.
    let mut hand = Hand::filled();
    let (a, b) = (hand.begin("a"), hand.begin("b"));
    hand.delete(a, 0, 1);
    hand.read(b, 0, &[(2, &[2])]);
    hand.commit(b);
    hand.commit(a);
    hand.is(Kind::DirtyRead);
    hand.end(a, Outcome::Aborted);
    hand.is(Kind::AbortedRead);

    let mut hand = Hand::filled();
    let a = hand.begin("a");
    hand.update(a, 0, 1, 11);
    hand.update(a, 0, 1, 12);
    hand.commit(a);
    hand.last(0, &[(1, &[1, 11]), (2, &[2])]);
    assert!(hand.kinds(Level::Snapshot).contains(&Kind::IntermediateRead));
}

#[test]
fn a_transaction_reads_one_version_and_its_own() {
    let mut hand = Hand::filled();
    let (a, b) = (hand.begin("a"), hand.begin("b"));
    hand.read(a, 0, &[(1, &[1]), (2, &[2])]);
    hand.update(b, 0, 1, 11);
    hand.commit(b);
    hand.read(a, 0, &[(1, &[1, 11]), (2, &[2])]);
    hand.commit(a);
    hand.is(Kind::NonRepeatableRead);

    // A new row of another's, as well.
    let mut hand = Hand::filled();
    let (a, b) = (hand.begin("a"), hand.begin("b"));
    hand.read(a, 0, &[(1, &[1]), (2, &[2])]);
    hand.insert(b, 0, 3, 11);
    hand.commit(b);
    hand.read(a, 0, &[(1, &[1]), (2, &[2]), (3, &[11])]);
    hand.commit(a);
    hand.is(Kind::NonRepeatableRead);

    for own in 0..3 {
        let mut hand = Hand::filled();
        let a = hand.begin("a");
        match own {
            0 => hand.update(a, 0, 1, 11),
            1 => hand.delete(a, 0, 2),
            _ => hand.insert(a, 0, 3, 11),
        }
        hand.read(a, 0, &[(1, &[1]), (2, &[2])]);
        hand.commit(a);
        hand.is(Kind::OwnWriteMissing);
    }
}

#[test]
fn a_lost_update_is_found_wherever_it_shows() {
    // One overwrote the other.
    let mut hand = Hand::filled();
    let (a, b) = (hand.begin("a"), hand.begin("b"));
    for (of, token) in [(a, 11), (b, 12)] {
        hand.read(of, 0, &[(1, &[1]), (2, &[2])]);
        hand.update(of, 0, 1, token);
    }
    hand.commit(a);
    hand.commit(b);
    let mut both = Hand { history: hand.history.clone(), now: hand.now };
    hand.last(0, &[(1, &[1, 12]), (2, &[2])]);
    hand.is(Kind::LostUpdate);
    // Both are there, but the later had not seen the earlier.
    both.last(0, &[(1, &[1, 11, 12]), (2, &[2])]);
    both.is(Kind::LostUpdate);
    // A row deleted over an update, and twice.
    for twice in [false, true] {
        let mut hand = Hand::filled();
        let (a, b) = (hand.begin("a"), hand.begin("b"));
        hand.read(a, 0, &[(1, &[1]), (2, &[2])]);
        hand.read(b, 0, &[(1, &[1]), (2, &[2])]);
        match twice {
            true => hand.delete(a, 0, 1),
            false => hand.update(a, 0, 1, 11),
        }
        hand.delete(b, 0, 1);
        hand.commit(a);
        hand.commit(b);
        hand.last(0, &[(2, &[2])]);
        hand.is(Kind::LostUpdate);
    }
}

#[test]
fn half_a_transaction_is_found() {
    let mut hand = Hand::filled();
    let (a, b) = (hand.begin("a"), hand.begin("b"));
    hand.read(b, 1, &[(1, &[3])]);
    hand.update(a, 0, 1, 11);
    hand.update(a, 1, 1, 12);
    hand.commit(a);
    hand.read(b, 0, &[(1, &[1, 11]), (2, &[2])]);
    hand.commit(b);
    hand.is(Kind::FracturedRead);

    for outcome in [Outcome::Committed, Outcome::Unknown] {
        let mut hand = Hand::filled();
        let a = hand.begin("a");
        hand.update(a, 0, 1, 11);
        hand.insert(a, 1, 5, 12);
        hand.end(a, outcome);
        hand.last(0, &[(1, &[1, 11]), (2, &[2])]);
        hand.last(1, &[(1, &[3])]);
        let expected = if outcome == Outcome::Committed { Kind::HalfCommit } else { Kind::StaleRead };
        hand.is(expected);
    }
}

#[test]
fn a_lost_commit_is_found() {
    for what in 0..3 {
        let mut hand = Hand::filled();
        let a = hand.begin("a");
        match what {
            0 => hand.update(a, 0, 1, 11),
            1 => hand.delete(a, 0, 2),
            _ => hand.insert(a, 0, 3, 11),
        }
        hand.commit(a);
        hand.last(0, &[(1, &[1]), (2, &[2])]);
        hand.is(Kind::LostCommit);
    }
}

#[test]
fn a_stale_read_is_found() {
    let mut hand = Hand::filled();
    let a = hand.begin("a");
    hand.update(a, 0, 1, 11);
    hand.commit(a);
    hand.last(0, &[(1, &[1]), (2, &[2])]);
    hand.last(0, &[(1, &[1, 11]), (2, &[2])]);
    hand.is(Kind::StaleRead);
}

#[test]
fn a_long_fork_is_found() {
    let mut hand = Hand::filled();
    let (a, b, c, d) = (hand.begin("a"), hand.begin("b"), hand.begin("c"), hand.begin("d"));
    hand.update(a, 0, 1, 11);
    hand.update(b, 0, 2, 12);
    // All four overlap, so that time says nothing.
    for reader in [c, d] {
        hand.read(reader, 1, &[(1, &[3])]);
    }
    hand.commit(a);
    hand.commit(b);
    hand.read(c, 0, &[(1, &[1, 11]), (2, &[2])]);
    hand.read(d, 0, &[(1, &[1]), (2, &[2, 12])]);
    hand.commit(c);
    hand.commit(d);
    hand.last(0, &[(1, &[1, 11]), (2, &[2, 12])]);
    hand.is(Kind::LongFork);
}

#[test]
fn cycles_of_writes_and_of_reads_are_found() {
    let mut hand = Hand::filled();
    let (a, b) = (hand.begin("a"), hand.begin("b"));
    for id in [1, 2] {
        hand.update(a, 0, id, 10 + id);
        hand.update(b, 0, id, 20 + id);
    }
    hand.commit(a);
    hand.commit(b);
    hand.last(0, &[(1, &[1, 11, 21]), (2, &[2, 22, 12])]);
    hand.is(Kind::WriteCycle);

    let mut hand = Hand::filled();
    let (a, b) = (hand.begin("a"), hand.begin("b"));
    hand.insert(a, 0, 8, 11);
    hand.insert(b, 1, 8, 12);
    // Both commits have begun when the two read.
    hand.history[a].finish = (hand.now, hand.now + 50);
    hand.history[b].finish = (hand.now, hand.now + 50);
    hand.read(a, 1, &[(1, &[3]), (8, &[12])]);
    hand.read(b, 0, &[(1, &[1]), (2, &[2]), (8, &[11])]);
    hand.history.iter_mut().for_each(|t| t.outcome = Outcome::Committed);
    hand.is(Kind::InformationCycle);
}

#[test]
fn other_cycles_are_found() {
    // The last of three overwrites what the first read, whom it knows by way of the second.
    let mut hand = Hand::filled();
    let (a, b, c) = (hand.begin("a"), hand.begin("b"), hand.begin("c"));
    hand.read(a, 0, &[(1, &[1]), (2, &[2])]);
    hand.update(c, 0, 1, 11);
    hand.insert(c, 1, 4, 13);
    hand.commit(c);
    hand.read(b, 1, &[(1, &[3]), (4, &[13])]);
    hand.insert(b, 1, 5, 12);
    hand.commit(b);
    hand.read(a, 1, &[(1, &[3]), (5, &[12])]);
    hand.commit(a);
    let found = hand.kinds(Level::Snapshot);
    assert!(matches!(found[..], [Kind::LongFork | Kind::OtherCycle | Kind::FracturedRead]), "{found:?}");
    let mut hand = Hand::filled();
    let (a, b, c) = (hand.begin("a"), hand.begin("b"), hand.begin("c"));
    hand.read(a, 0, &[(1, &[1]), (2, &[2])]);
    hand.update(c, 0, 1, 11);
    hand.commit(c);
    hand.update(b, 0, 1, 12);
    hand.insert(b, 1, 5, 12);
    hand.commit(b);
    hand.read(a, 1, &[(1, &[3]), (5, &[12])]);
    hand.commit(a);
    hand.last(0, &[(1, &[1, 11, 12]), (2, &[2])]);
    hand.is(Kind::OtherCycle);
}
