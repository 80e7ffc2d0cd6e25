//! Times of statements that are run by turns.

use std::time::Instant;

use blueshift::engine::Session;

/// Runs a statement and reads all of its rows.
pub async fn run(session: &Session, sql: &str) {
    session.sql(sql).await.expect(sql).collect().await.expect(sql);
}

/// Median seconds of statements, each of which its own session runs, one after the other, `runs` times.
pub async fn medians<const N: usize>(runs: usize, statements: [(&Session, &str); N]) -> [f64; N] {
    let mut seconds = [const { Vec::new() }; N];
    // Once before it counts.
    for run_number in 0..=runs {
        for ((session, sql), seconds) in statements.iter().zip(&mut seconds) {
            let start = Instant::now();
            run(session, sql).await;
            if run_number > 0 {
                seconds.push(start.elapsed().as_secs_f64());
            }
        }
    }
    seconds.map(|mut seconds| {
        seconds.sort_by(f64::total_cmp);
        seconds[seconds.len() / 2]
    })
}
