//! A session that runs transactions which a seed chooses, and records what it reads and writes.

mod made;

use std::ops::RangeInclusive;
use std::sync::Arc;

use arrow::array::{AsArray, RecordBatch};
use arrow::datatypes::{DataType, Int32Type, Int64Type};

use crate::common::{ErrorKind, Result, SqlState};
use crate::engine::Session;
use crate::testing::history::{Event, Level, Op, Outcome, Row, Token, Transaction};
use crate::testing::rng::Rng;

/// The tables that all sessions read and write, `t0` and so on. Each has a view `v0` over it.
pub const TABLES: u32 = 2;
/// Of each table that transactions have made, a row with its number.
const REGISTRY: u32 = 10;
/// The table that the transaction with token `n` makes is the history's `MADE + n`.
const MADE: u32 = 1000;
/// Ids of rows stand in so many ranges, each of `RANGE` ids.
const RANGES: u64 = 4;
const RANGE: u64 = 1_000_000_000_000;

/// `k` and `n` follow from `hist`: the last token's remainder by 7, and how many there are.
pub const COLUMNS: &str =
    "(id bigint not null, k int not null, n int not null, hist varchar(4000) not null, seen varchar(65000))";

/// Tells the time that all sessions of a run share.
pub type Now = Arc<dyn Fn() -> u64 + Send + Sync>;

/// The name of a table of the history.
fn table(number: u32) -> String {
    match number {
        REGISTRY => "registry".to_string(),
        made if made >= MADE => format!("x{}", made - MADE),
        common => format!("t{common}"),
    }
}

/// The statements that make the tables, as a seed has them laid out.
pub fn tables(rng: &mut Rng) -> Vec<String> {
    let mut statements = vec![format!("create table registry {COLUMNS}")];
    for number in 0..TABLES {
        let dist = ["distkey(id)", "distkey(k)", "diststyle even", "diststyle all", ""][rng.below(5)];
        let sort = ["", "sortkey(id)", "sortkey(k, id)", "interleaved sortkey(k, id)"][rng.below(4)];
        statements.push(format!("create table t{number} {COLUMNS} {dist} {sort}"));
        statements.push(format!("create view v{number} as select id, k, n, hist from t{number}"));
    }
    statements
}

/// What a run does besides reading and inserting.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Mix {
    Everything,
    /// Nothing: nobody can get in another's way under snapshot isolation.
    InsertsAndReads,
    /// It does not even read.
    Inserts,
    /// Rows are changed, but each actor changes its own.
    OwnRows,
}

/// A transaction block that is open.
struct Open {
    events: Vec<Event>,
    /// Statements until it ends.
    left: usize,
}

pub struct Actor {
    number: u64,
    actors: u64,
    session: Session,
    rng: Rng,
    now: Now,
    level: Level,
    mix: Mix,
    seed: u64,
    next: u64,
    open: Option<Open>,
    /// Transactions yet to be begun.
    left: usize,
    /// Rows that it has read lately.
    known: Vec<Row>,
    pub history: Vec<Transaction>,
    pub conflicts: usize,
    /// Its statements since the last transaction began.
    said: Vec<String>,
}

/// A row as it was read.
type Found = (u64, Vec<Token>);

impl Actor {
    pub async fn new(number: u64, actors: u64, session: Session, seed: u64, level: Level, mix: Mix, now: Now) -> Self {
        let mut actor = Actor {
            number,
            actors,
            session,
            rng: Rng::new(seed * 1000 + number),
            now,
            level,
            mix,
            seed,
            next: 0,
            open: None,
            left: 0,
            known: Vec::new(),
            history: Vec::new(),
            conflicts: 0,
            said: Vec::new(),
        };
        let isolation = if level == Level::Serializable { "serializable" } else { "snapshot" };
        actor.must(&format!("set blueshift.isolation = '{isolation}'")).await;
        for number in 0..TABLES {
            let query = format!("select id, k, n, hist from t{number} where id between $1 and $2");
            actor.must(&format!("prepare p{number} as {query}")).await;
        }
        actor
    }

    pub fn with_transactions(mut self, left: usize) -> Self {
        self.left = left;
        self
    }

    pub fn is_done(&self) -> bool {
        self.left == 0 && self.open.is_none()
    }

    /// Rows to begin with.
    pub async fn fill(&mut self) {
        for number in 0..TABLES {
            for range in 0..RANGES {
                let rows = 1 + self.rng.below(20) as u64;
                self.insert_many(number, range, rows).await;
            }
        }
    }

    /// Reads everything, in one transaction, and shows that orders are kept.
    pub async fn read_all(&mut self) {
        self.begin().await;
        self.open.as_mut().unwrap().left = 0;
        let everything = 0..=RANGES * RANGE;
        let made = self.read(REGISTRY, everything.clone()).await;
        for number in 0..TABLES {
            let rows = self.read(number, everything.clone()).await.unwrap();
            let sorted = self.must(&format!("select id, k from t{number} order by k, id")).await;
            let pairs: Vec<(i32, i64)> = sorted.iter().flat_map(|b| ints(b, 1).into_iter().zip(longs(b, 0))).collect();
            assert!(pairs.is_sorted() && pairs.len() == rows.len(), "seed {}: t{number} {pairs:?}", self.seed);
            let sorted = self.must(&format!("select id from t{number} order by id")).await;
            let ids: Vec<i64> = sorted.iter().flat_map(|b| longs(b, 0)).collect();
            assert!(ids.is_sorted() && ids.len() == rows.len(), "seed {}: t{number} {ids:?}", self.seed);
        }
        for (id, _) in made.unwrap() {
            self.read(MADE + id as u32, everything.clone()).await;
        }
        self.end(false).await;
    }

    /// Begins a transaction, runs a statement of it, or ends it.
    pub async fn step(&mut self) {
        match &mut self.open {
            None => {
                self.left -= 1;
                self.said.clear();
                match self.rng.one_in(3) {
                    true => self.statement(true).await,
                    false => self.begin().await,
                }
            }
            Some(open) if open.left == 0 => {
                let back = self.rng.one_in(8);
                self.end(back).await;
            }
            Some(open) => {
                open.left -= 1;
                self.statement(false).await;
            }
        }
    }

    async fn begin(&mut self) {
        let serializable = self.level == Level::Serializable && self.rng.one_in(2);
        self.must(if serializable { "begin isolation level serializable" } else { "begin" }).await;
        self.open = Some(Open { events: Vec::new(), left: 1 + self.rng.below(6) });
    }

    async fn end(&mut self, back: bool) {
        let begun = (self.now)();
        let ended = self.rows(if back { "rollback" } else { "commit" }).await;
        let outcome = match ended {
            _ if back => Outcome::Aborted,
            Ok(_) => Outcome::Committed,
            Err(_) => Outcome::Aborted,
        };
        self.record(begun, outcome);
    }

    fn record(&mut self, begun: u64, outcome: Outcome) {
        let Some(open) = self.open.take() else { return };
        let name = format!("{}/{}", self.number, self.history.len());
        let finish = (begun, (self.now)());
        self.history.push(Transaction { name, events: open.events, finish, outcome });
    }

    async fn statement(&mut self, alone: bool) {
        let number = self.rng.below(TABLES as usize) as u32;
        let range = self.rng.below(RANGES as usize) as u64;
        let width = self.rng.below(3) as u64;
        let ids = match self.rng.one_in(6) {
            true => 0..=RANGES * RANGE,
            false => range * RANGE..=(range + width) * RANGE + RANGE - 1,
        };
        let choice = match self.mix {
            Mix::Everything => self.rng.below(30),
            Mix::InsertsAndReads => [0, 7, 8, 9, 11, 12, 29][self.rng.below(7)],
            Mix::Inserts => [7, 8, 9, 29][self.rng.below(4)],
            Mix::OwnRows => [0, 7, 9, 13, 13, 14, 14, 18, 29][self.rng.below(9)],
        };
        match (choice, alone) {
            (0..=6, _) => drop(self.read(number, ids).await),
            (7..=8, _) => self.insert_few(number, range).await,
            (9..=10, _) => {
                let rows = 5 + self.rng.below(60) as u64;
                self.insert_many(number, range, rows).await;
            }
            (11..=12, _) => self.note(number, range, ids).await,
            (13..=19, true) => self.change_known().await,
            (13..=17, false) => self.update(number, ids).await,
            (18..=20, false) => self.delete(number, ids).await,
            (21, false) if self.rng.one_in(3) => self.truncate(number).await,
            (22..=23, false) => self.make(number, ids).await,
            (24..=25, false) => self.read_made().await,
            (26, false) => self.drop_made().await,
            (27, false) => {
                let begun = (self.now)();
                let locked = self.attempt(&format!("lock table {}", table(number))).await;
                self.did(begun, [Self::no_rows(number)], &locked);
            }
            (28, false) => self.fail(number).await,
            (29, _) => self.insert_last(number).await,
            _ => drop(self.read(number, ids).await),
        }
    }

    /// The rows of a statement that must succeed.
    async fn must(&mut self, sql: &str) -> Vec<RecordBatch> {
        let rows = self.rows(sql).await;
        rows.unwrap_or_else(|e| panic!("seed {}, actor {}: {sql}\n{e:?}\n{:#?}", self.seed, self.number, self.said))
    }

    /// Runs a statement to its end. A conflict is the only error that there may be.
    async fn rows(&mut self, sql: &str) -> Result<Vec<RecordBatch>> {
        self.said.push(sql.to_string());
        let output = async { self.session.sql(sql).await?.collect().await };
        let output = output.await;
        self.only_conflicts(sql, output)
    }

    fn only_conflicts<T>(&mut self, sql: &str, output: Result<T>) -> Result<T> {
        if let Err(e) = &output {
            let conflict = e.kind() == ErrorKind::Conflict && self.mix == Mix::Everything;
            assert!(conflict, "seed {}, actor {}: {sql}\n{e:?}\n{:#?}", self.seed, self.number, self.said);
            self.conflicts += 1;
        }
        output
    }

    /// How many rows a statement changed; an open block that meets a conflict is over.
    async fn attempt(&mut self, sql: &str) -> Result<u64> {
        self.said.push(sql.to_string());
        let output = self.session.sql(sql).await.map(|output| output.changed.unwrap_or(0));
        let changed = self.only_conflicts(sql, output);
        if changed.is_err() && self.open.is_some() {
            self.must("rollback").await;
        }
        changed
    }

    /// Adds what a statement did to its transaction, which is over with it when it is none of a block or met a conflict.
    fn did<T>(&mut self, begun: u64, ops: impl IntoIterator<Item = Op>, outcome: &Result<T>) {
        let ended = (self.now)();
        let alone = self.open.is_none();
        let open = self.open.get_or_insert(Open { events: Vec::new(), left: 0 });
        open.events.extend(ops.into_iter().map(|op| Event { op, begun, ended }));
        if alone || outcome.is_err() {
            self.record(begun, if outcome.is_ok() { Outcome::Committed } else { Outcome::Aborted });
        }
    }

    /// A token that nobody else writes.
    fn token(&mut self) -> Token {
        self.next += 1;
        (self.number + 1) * 100_000 + self.next
    }

    /// What a statement has read that chose the transaction's version, but looked at no row: there is none of the id 0.
    fn no_rows(table: u32) -> Op {
        Op::Read { table, ids: 0..=0, rows: Vec::new() }
    }

    fn new_id(range: u64, token: Token, at: u64) -> u64 {
        range * RANGE + token * 1000 + at
    }

    /// Reads all rows of a range, in one of several ways; `None` where a conflict was met.
    async fn read(&mut self, number: u32, ids: RangeInclusive<u64>) -> Option<Vec<Found>> {
        let (from, to) = (*ids.start(), *ids.end());
        let known = self.known.iter().rev().find(|row| row.table == number).copied();
        let name = table(number);
        let columns = "select id, k, n, hist from";
        let (ids, sql) = match (self.rng.below(8), known) {
            (0, Some(row)) => (row.id..=row.id, format!("{columns} {name} where id = {}", row.id)),
            (1, _) if number < TABLES => (ids, format!("{columns} v{number} where id between {from} and {to}")),
            (2 | 3, _) if number < TABLES => (ids, format!("execute p{number}({from}, {to})")),
            (4, _) => (ids, format!("{columns} {name} where id >= {from} and not id > {to} order by k, id")),
            (5, _) => (ids, format!("{columns} {name} where {from} <= id and id <= {to} order by id")),
            _ => (ids, format!("{columns} {name} where id between {from} and {to}")),
        };
        let begun = (self.now)();
        let batches = self.rows(&sql).await.expect("a query meets no conflict");
        let rows: Vec<Found> = batches.iter().flat_map(|batch| self.found(&sql, batch)).collect();
        let by_k = |batch: &RecordBatch| ints(batch, 1).into_iter().zip(longs(batch, 0)).collect::<Vec<_>>();
        let ordered = match sql.split_once(" order by ") {
            Some((_, "id")) => rows.iter().map(|(id, _)| id).is_sorted(),
            Some(_) => batches.iter().flat_map(by_k).is_sorted(),
            None => true,
        };
        assert!(ordered, "seed {}: {sql} gives {:?}", self.seed, rows.iter().map(|(id, _)| id).collect::<Vec<_>>());
        self.known.extend(rows.iter().map(|(id, _)| Row { table: number, id: *id }).filter(|_| number < TABLES));
        let read = Op::Read { table: number, ids: ids.clone(), rows: rows.clone() };
        let in_block = self.open.is_some();
        self.did(begun, [read], &Ok(()));
        if in_block && self.rng.one_in(4) {
            let (from, to) = (ids.start(), ids.end());
            let sql = format!("select count(*), sum(n) from {name} where id between {from} and {to}");
            let batches = self.must(&sql).await;
            let batch = batches.iter().find(|batch| batch.num_rows() > 0).expect("one row");
            let sum = batch.column(1).as_primitive::<Int64Type>();
            let count =
                (longs(batch, 0)[0] as usize, if arrow::array::Array::is_null(sum, 0) { 0 } else { sum.value(0) });
            let tokens = rows.iter().map(|(_, tokens)| tokens.len()).sum::<usize>() as i64;
            assert_eq!(count, (rows.len(), tokens), "seed {}: {:#?}", self.seed, self.said);
        }
        Some(rows)
    }

    /// The rows of a batch, which are whole.
    fn found(&self, sql: &str, batch: &RecordBatch) -> Vec<Found> {
        let (ids, ks, ns) = (longs(batch, 0), ints(batch, 1), ints(batch, 2));
        let lists = texts(batch, 3);
        let rows = ids.iter().zip(ks).zip(ns).zip(lists);
        let rows = rows.map(|(((id, k), n), list)| {
            let list = list.expect("hist is not null");
            let tokens: Vec<Token> = list.split('.').map(|token| token.parse().expect("a token")).collect();
            let last = tokens.last().copied().unwrap_or(0);
            assert_eq!((k as u64, n as usize), (last % 7, tokens.len()), "seed {}: {sql}: {id} {list}", self.seed);
            (*id as u64, tokens)
        });
        rows.collect()
    }

    async fn insert_few(&mut self, number: u32, range: u64) {
        let token = self.token();
        let rows: Vec<Row> = (0..1 + self.rng.below(3) as u64)
            .map(|at| Row { table: number, id: Self::new_id((range + at) % RANGES, token, at) })
            .collect();
        let values = rows.iter().map(|row| format!("({}, {}, 1, '{token}')", row.id, token % 7));
        let values: Vec<String> = values.collect();
        let sql = format!("insert into {} (id, k, n, hist) values {}", table(number), values.join(", "));
        self.write(&sql, rows.into_iter().map(|row| Op::Append { row, token, born: true }).collect()).await;
    }

    /// Adds rows whose ids follow those of all rows before, so that a run of the table may go on with them.
    async fn insert_last(&mut self, number: u32) {
        let token = self.token();
        let first = (RANGES - 1) * RANGE + RANGE / 2 + (self.now)() % 100_000_000 * 1000 + self.number * 8;
        let rows = (0..2 + self.rng.below(5) as u64).map(|at| Row { table: number, id: first + at });
        let rows: Vec<Row> = rows.collect();
        let values = rows.iter().map(|row| format!("({}, {}, 1, '{token}')", row.id, token % 7));
        let values: Vec<String> = values.collect();
        let sql = format!("insert into {} (id, k, n, hist) values {}", table(number), values.join(", "));
        self.write(&sql, rows.into_iter().map(|row| Op::Append { row, token, born: true }).collect()).await;
    }

    /// Fails within the block, be it before the block has done anything else; what it did is not to be committed.
    async fn fail(&mut self, number: u32) {
        let name = table(number);
        let wrong = [
            format!("select id / (n - n) from {name} where id >= 0"),
            format!("insert into {name} (id, k, n, hist) values (1, 2, 3, null)"),
            "select * from nowhere".to_string(),
            format!("update {name} set k = 9999999999"),
        ];
        let sql = &wrong[self.rng.below(wrong.len())];
        self.said.push(sql.clone());
        let begun = (self.now)();
        let output = async { self.session.sql(sql).await?.collect().await };
        // Where there are no rows, nothing is wrong with them.
        if output.await.is_ok() {
            return self.did(begun, [], &Ok(()));
        }
        let begun = (self.now)();
        let end = ["commit", "rollback"][self.rng.below(2)];
        let ended = self.session.sql(end).await;
        match end {
            "commit" => assert_eq!(ended.unwrap_err().state(), SqlState::FAILED_TRANSACTION, "seed {}", self.seed),
            _ => drop(ended.unwrap()),
        }
        self.record(begun, Outcome::Aborted);
    }

    async fn insert_many(&mut self, number: u32, range: u64, rows: u64) {
        let token = self.token();
        let first = Self::new_id(range, token, 0);
        let sql = format!(
            "insert into {} (id, k, n, hist) select {first} + v, {}, 1, '{token}' from generate_series(0, {}) s(v)",
            table(number),
            token % 7,
            rows - 1
        );
        let born = |at| Op::Append { row: Row { table: number, id: first + at }, token, born: true };
        self.write(&sql, (0..rows).map(born).collect()).await;
    }

    /// Runs a statement that does one thing to each of some rows.
    async fn write(&mut self, sql: &str, ops: Vec<Op>) {
        let begun = (self.now)();
        let changed = self.attempt(sql).await;
        if let Ok(changed) = &changed {
            assert_eq!(*changed, ops.len() as u64, "seed {}: {:#?}", self.seed, self.said);
        }
        self.did(begun, ops, &changed);
    }

    /// Writes a row with what it has read in the same statement.
    async fn note(&mut self, number: u32, range: u64, ids: RangeInclusive<u64>) {
        let token = self.token();
        let row = Row { table: number, id: Self::new_id(range, token, 0) };
        let source = self.rng.below(TABLES as usize) as u32;
        let sql = format!(
            "insert into {} (id, k, n, hist, seen) select {}, {}, 1, '{token}', \
             listagg(cast(id as varchar) || ':' || hist, ';') from t{source} where id between {} and {}",
            table(number),
            row.id,
            token % 7,
            ids.start(),
            ids.end()
        );
        let begun = (self.now)();
        let changed = self.attempt(&sql).await;
        let mut ops = Vec::new();
        let ended = (self.now)();
        if changed.is_ok() {
            let seen = self.must(&format!("select seen from {} where id = {}", table(number), row.id)).await;
            // Another may have deleted the row already.
            if let Some(seen) = seen.iter().find_map(|batch| texts(batch, 0).into_iter().next()) {
                let found = |text: &str| {
                    let (id, list) = text.split_once(':').expect("an id and tokens");
                    (id.parse().unwrap(), list.split('.').map(|token| token.parse().unwrap()).collect())
                };
                let rows = seen.iter().flat_map(|text| text.split(';')).map(found).collect();
                ops.push(Op::Read { table: source, ids, rows });
            }
        }
        ops.push(Op::Append { row, token, born: true });
        self.did(begun, ops, &changed);
        // Looking at the row was no part of a statement alone.
        if self.open.is_none()
            && let Some(last) = self.history.last_mut()
        {
            last.finish.1 = ended;
            last.events.iter_mut().for_each(|event| event.ended = event.ended.min(ended));
        }
    }

    /// Whether this actor may change a row.
    fn is_own(&self, id: u64) -> bool {
        self.mix != Mix::OwnRows || id % self.actors == self.number
    }

    /// Some of the rows of a range, and the condition that finds them.
    async fn some(&mut self, number: u32, ids: RangeInclusive<u64>) -> Option<(Vec<u64>, String)> {
        let rows = self.read_range(number, ids.clone()).await?;
        let (m, r) = match self.mix {
            Mix::OwnRows => (self.actors, self.number),
            _ if self.rng.one_in(6) => (1, 0),
            _ => {
                let m = 2 + self.rng.below(40) as u64;
                (m, self.rng.below(m as usize) as u64)
            }
        };
        let found = rows.into_iter().map(|(id, _)| id).filter(|id| id % m == r).collect();
        Some((found, format!("id between {} and {} and id % {m} = {r}", ids.start(), ids.end())))
    }

    /// All of a range, read as it is.
    async fn read_range(&mut self, number: u32, ids: RangeInclusive<u64>) -> Option<Vec<Found>> {
        let before = std::mem::take(&mut self.known);
        let rows = self.read(number, ids).await;
        self.known.extend(before.into_iter().rev().take(20));
        rows
    }

    async fn update(&mut self, number: u32, ids: RangeInclusive<u64>) {
        let Some((rows, condition)) = self.some(number, ids).await else { return };
        let token = self.token();
        let sql = format!("update {} set {} where {condition}", table(number), appending(token));
        let append = |id| Op::Append { row: Row { table: number, id }, token, born: false };
        self.write(&sql, rows.into_iter().map(append).collect()).await;
    }

    async fn delete(&mut self, number: u32, ids: RangeInclusive<u64>) {
        let Some((rows, condition)) = self.some(number, ids).await else { return };
        let sql = format!("delete from {} where {condition}", table(number));
        self.write(&sql, rows.into_iter().map(|id| Op::Delete { row: Row { table: number, id } }).collect()).await;
    }

    async fn truncate(&mut self, number: u32) {
        let Some(rows) = self.read_range(number, 0..=RANGES * RANGE).await else { return };
        let begun = (self.now)();
        let sql = ["truncate", "delete from"][self.rng.below(2)];
        let done = self.attempt(&format!("{sql} {}", table(number))).await;
        let deletes = rows.into_iter().map(|(id, _)| Op::Delete { row: Row { table: number, id } });
        self.did(begun, deletes.collect::<Vec<_>>(), &done);
    }

    /// Changes one row, in a statement alone.
    async fn change_known(&mut self) {
        let known: Vec<Row> = self.known.iter().filter(|row| self.is_own(row.id)).copied().collect();
        if known.is_empty() {
            return self.read(0, 0..=RANGE).await.map_or((), drop);
        }
        let row = known[self.rng.below(known.len())];
        let token = self.token();
        let (sql, op) = match self.rng.one_in(3) {
            true => (format!("delete from {} where id = {}", table(row.table), row.id), Op::Delete { row }),
            false => {
                let sql = format!("update {} set {} where id = {}", table(row.table), appending(token), row.id);
                (sql, Op::Append { row, token, born: false })
            }
        };
        let begun = (self.now)();
        let changed = self.attempt(&sql).await;
        let nothing = Op::Read { table: row.table, ids: row.id..=row.id, rows: Vec::new() };
        let op = if matches!(changed, Ok(0)) { nothing } else { op };
        self.did(begun, [op], &changed);
    }
}

/// What an UPDATE sets so that a row has one token more.
fn appending(token: Token) -> String {
    format!("hist = hist || '.{token}', n = n + 1, k = {}", token % 7)
}

fn longs(batch: &RecordBatch, column: usize) -> Vec<i64> {
    batch.column(column).as_primitive::<Int64Type>().values().to_vec()
}

fn ints(batch: &RecordBatch, column: usize) -> Vec<i32> {
    batch.column(column).as_primitive::<Int32Type>().values().to_vec()
}

fn texts(batch: &RecordBatch, column: usize) -> Vec<Option<String>> {
    let texts = arrow::compute::cast(batch.column(column), &DataType::Utf8).unwrap();
    texts.as_string::<i32>().iter().map(|text| text.map(str::to_string)).collect()
}
