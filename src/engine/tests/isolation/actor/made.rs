//! Tables that transactions make, fill and drop. The registry has a row of each, so that whoever sees the row finds the
//! table.

use std::ops::RangeInclusive;

use super::{Actor, COLUMNS, Found, MADE, RANGE, RANGES, REGISTRY, table};
use crate::testing::history::{Op, Row};

impl Actor {
    /// Makes a table, filled by hand or from another, and says so in the registry.
    pub(super) async fn make(&mut self, number: u32, ids: RangeInclusive<u64>) {
        let token = self.token();
        let made = MADE + token as u32;
        let name = table(made);
        let rows: Vec<u64> = match self.rng.one_in(2) {
            true => {
                let begun = (self.now)();
                let created = self.attempt(&format!("create table {name} {COLUMNS} distkey(id)")).await;
                self.did(begun, [Self::no_rows(REGISTRY)], &created);
                (0..2).map(|at| Self::new_id(at, token, at)).collect()
            }
            false => {
                let Some(rows) = self.read_range(number, ids.clone()).await else { return };
                rows.into_iter().map(|(id, _)| id).collect()
            }
        };
        let born: Vec<Op> =
            rows.iter().map(|id| Op::Append { row: Row { table: made, id: *id }, token, born: true }).collect();
        let values = |id: &u64| format!("({id}, {}, 1, '{token}')", token % 7);
        if self.said.last().is_some_and(|said| said.starts_with("create table")) {
            let values: Vec<String> = rows.iter().map(values).collect();
            let sql = format!("insert into {name} (id, k, n, hist) values {}", values.join(", "));
            self.write(&sql, born).await;
        } else {
            let sql = format!(
                "create table {name} as select id, cast({} as int) k, cast(1 as int) n, '{token}' hist from {} \
                 where id between {} and {}",
                token % 7,
                table(number),
                ids.start(),
                ids.end()
            );
            let begun = (self.now)();
            let done = self.attempt(&sql).await;
            self.did(begun, born, &done);
        }
        if self.open.is_some() {
            let row = Row { table: REGISTRY, id: token };
            let sql = format!("insert into registry (id, k, n, hist) values ({token}, {}, 1, '{token}')", token % 7);
            self.write(&sql, vec![Op::Append { row, token, born: true }]).await;
        }
    }

    /// A table that is made, as the transaction sees it.
    async fn a_made(&mut self) -> Option<(u64, Vec<Found>)> {
        let registered = self.read_range(REGISTRY, 0..=RANGES * RANGE).await?;
        if registered.is_empty() {
            return None;
        }
        let (id, _) = registered[self.rng.below(registered.len())];
        let rows = self.read_range(MADE + id as u32, 0..=RANGES * RANGE).await?;
        Some((id, rows))
    }

    pub(super) async fn read_made(&mut self) {
        self.a_made().await;
    }

    pub(super) async fn drop_made(&mut self) {
        let Some((id, rows)) = self.a_made().await else { return };
        let row = Row { table: REGISTRY, id };
        self.write(&format!("delete from registry where id = {id}"), vec![Op::Delete { row }]).await;
        if self.open.is_some() {
            let made = MADE + id as u32;
            let begun = (self.now)();
            let done = self.attempt(&format!("drop table {}", table(made))).await;
            let deletes = rows.into_iter().map(|(id, _)| Op::Delete { row: Row { table: made, id } });
            self.did(begun, deletes.collect::<Vec<_>>(), &done);
        }
    }
}
