//! Histories as text, for those that several processes record.

use std::fmt::Write;

use super::{Event, Op, Outcome, Row, Transaction};

/// A line for each transaction, and one for each of its events.
pub fn write(history: &[Transaction]) -> String {
    let mut text = String::new();
    for transaction in history {
        let (begun, ended) = transaction.finish;
        let outcome = match transaction.outcome {
            Outcome::Committed => "committed",
            Outcome::Aborted => "aborted",
            Outcome::Unknown => "unknown",
        };
        let _ = writeln!(text, "transaction {} {outcome} {begun} {ended}", transaction.name);
        for Event { op, begun, ended } in &transaction.events {
            let _ = write!(text, "{begun} {ended} ");
            let _ = match op {
                Op::Read { table, ids, rows } => {
                    let rows = rows.iter().map(|(id, tokens)| {
                        let tokens: Vec<String> = tokens.iter().map(u64::to_string).collect();
                        format!(" {id}:{}", tokens.join("."))
                    });
                    let rows: String = rows.collect();
                    writeln!(text, "read {table} {} {}{rows}", ids.start(), ids.end())
                }
                Op::Append { row, token, born } => writeln!(text, "append {} {} {token} {born}", row.table, row.id),
                Op::Delete { row } => writeln!(text, "delete {} {}", row.table, row.id),
            };
        }
    }
    text
}

/// What [`write`] wrote; `None` for anything else.
pub fn parse(text: &str) -> Option<Vec<Transaction>> {
    let mut history: Vec<Transaction> = Vec::new();
    for line in text.lines() {
        let mut words = line.split(' ');
        let first = words.next()?;
        if first == "transaction" {
            let name = words.next()?.to_string();
            let outcome = match words.next()? {
                "committed" => Outcome::Committed,
                "aborted" => Outcome::Aborted,
                "unknown" => Outcome::Unknown,
                _ => return None,
            };
            let finish = (words.next()?.parse().ok()?, words.next()?.parse().ok()?);
            history.push(Transaction { name, events: Vec::new(), finish, outcome });
            continue;
        }
        let (begun, ended) = (first.parse().ok()?, words.next()?.parse().ok()?);
        let what = words.next()?;
        let table = words.next()?.parse().ok()?;
        let id: u64 = words.next()?.parse().ok()?;
        let row = Row { table, id };
        let op = match what {
            "read" => {
                let last = words.next()?.parse().ok()?;
                let rows = words.map(|row| {
                    let (id, tokens) = row.split_once(':')?;
                    let tokens = tokens.split('.').map(|token| token.parse().ok()).collect::<Option<Vec<_>>>()?;
                    Some((id.parse().ok()?, tokens))
                });
                Op::Read { table, ids: id..=last, rows: rows.collect::<Option<Vec<_>>>()? }
            }
            "append" => Op::Append { row, token: words.next()?.parse().ok()?, born: words.next()?.parse().ok()? },
            "delete" => Op::Delete { row },
            _ => return None,
        };
        history.last_mut()?.events.push(Event { op, begun, ended });
    }
    Some(history)
}
