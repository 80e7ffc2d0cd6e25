//! One line at the terminal that tells how far a load or an unload is.

use std::future::Future;
use std::io::{self, Write};
use std::pin::pin;
use std::time::Duration;

use blueshift::common::{Clock, SystemClock};
use blueshift::engine::{Session, TransferKind, TransferState};

/// How often the line is written anew; what ends sooner has none.
const INTERVAL: Duration = Duration::from_millis(500);

/// What `statement` gives; while it loads or unloads, the line tells of it, and is gone afterwards.
pub async fn shown<T>(session: &Session, statement: impl Future<Output = T>) -> T {
    let mut statement = pin!(statement);
    let mut ticks = tokio::time::interval_at(tokio::time::Instant::now() + INTERVAL, INTERVAL);
    let mut written = false;
    loop {
        tokio::select! {
            outcome = &mut statement => {
                if written {
                    rewrite("");
                }
                return outcome;
            }
            _ = ticks.tick() => {
                if let Some(transfer) = session.transfers().first() {
                    rewrite(&line(transfer, SystemClock.now_us()));
                    written = true;
                }
            }
        }
    }
}

fn rewrite(line: &str) {
    let mut terminal = io::stderr();
    // A terminal that is gone is found out by what writes results.
    let _ = write!(terminal, "\r\x1b[K{line}").and_then(|()| terminal.flush());
}

fn line(transfer: &TransferState, now_us: i64) -> String {
    let TransferState { name, bytes, bytes_done, rows, rows_expected, files, files_done, .. } = transfer;
    let done = match (transfer.kind, rows_expected) {
        (TransferKind::Unload, Some(rows)) => {
            format!("{} % of about {} rows, {}", transfer.percent(), number(*rows), size(*bytes_done))
        }
        (TransferKind::Unload, None) => size(*bytes_done),
        (TransferKind::Load, _) => format!("{} % of {}", transfer.percent(), size(*bytes)),
    };
    let rate = transfer.rows_per_second(now_us).map_or(String::new(), |rate| format!(", {} rows/s", number(rate)));
    let files = match transfer.kind {
        TransferKind::Unload => format!(", {files_done} files"),
        TransferKind::Load if *files == 1 => String::new(),
        TransferKind::Load => format!(", {files_done} of {files} files"),
    };
    let rest = match transfer.seconds_left(now_us) {
        _ if transfer.kind == TransferKind::Load && bytes_done >= bytes => ", all read, storing".to_string(),
        Some(seconds) => format!(", {} left", time(seconds)),
        None => String::new(),
    };
    format!("{name}: {done}, {} rows{rate}{files}{rest}", number(*rows))
}

fn size(bytes: i64) -> String {
    match bytes {
        ..1_000_000 => format!("{} kB", bytes / 1000),
        1_000_000..1_000_000_000 => format!("{:.1} MB", bytes as f64 / 1e6),
        _ => format!("{:.1} GB", bytes as f64 / 1e9),
    }
}

fn number(n: i64) -> String {
    match n {
        ..10_000 => n.to_string(),
        10_000..10_000_000 => format!("{} thousand", n / 1000),
        _ => format!("{:.1} million", n as f64 / 1e6),
    }
}

fn time(seconds: i64) -> String {
    match seconds {
        ..120 => format!("{seconds} s"),
        _ => format!("{} min", seconds / 60),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_line_tells_how_far_a_load_is() {
        let load = TransferState {
            name: "lineitem".into(),
            bytes: 7_700_000_000,
            bytes_done: 1_925_000_000,
            rows: 15_000_000,
            files: 4,
            files_done: 1,
            started_us: 0,
            ..TransferState::default()
        };
        assert_eq!(
            line(&load, 30_000_000),
            "lineitem: 25 % of 7.7 GB, 15.0 million rows, 500 thousand rows/s, 1 of 4 files, 90 s left"
        );
        let all = TransferState { bytes: 5000, bytes_done: 5000, rows: 12, files: 1, files_done: 1, ..load };
        assert_eq!(line(&all, 1_000_000), "lineitem: 100 % of 5 kB, 12 rows, 12 rows/s, all read, storing");
        let unload = TransferState {
            kind: TransferKind::Unload,
            name: "s3://b/lineitem".into(),
            bytes_done: 1_500_000_000,
            rows: 15_000_000,
            rows_expected: Some(60_000_000),
            files_done: 2,
            ..TransferState::default()
        };
        assert_eq!(
            line(&unload, 30_000_000),
            "s3://b/lineitem: 25 % of about 60.0 million rows, 1.5 GB, 15.0 million rows, 500 thousand rows/s, 2 files, 90 s left"
        );
    }
}
