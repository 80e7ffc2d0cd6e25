//! Bars of what takes long.

use std::time::Duration;

use indicatif::{ProgressBar, ProgressStyle};

/// A bar on standard error, if that is a terminal.
pub fn progress(what: &str, rows: u64) -> ProgressBar {
    let bar = ProgressBar::new(rows).with_message(what.to_string());
    let style = ProgressStyle::with_template("{msg:10} {wide_bar} {human_pos} of {human_len} rows, {elapsed}");
    bar.set_style(style.unwrap_or_else(|_| ProgressStyle::default_bar()));
    bar.enable_steady_tick(Duration::from_millis(200));
    bar
}
