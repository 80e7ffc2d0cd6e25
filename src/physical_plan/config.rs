//! Settings of a session that `SET` changes.

use datafusion::common::config::ConfigExtension;
use datafusion::common::extensions_options;

extensions_options! {
    /// Blueshift's settings, `SET blueshift.<name> = <value>`.
    pub struct BlueshiftOptions {
        /// Whether zone maps and filters prune. Off only to compare: results are the same.
        pub pruning: bool, default = true
        /// Whether joins change places where statistics say that this costs less. Results are the same.
        pub join_order: bool, default = true
        /// Up to how many relations all orders of joins are looked at; of more, a good one is looked for.
        pub join_order_exhaustive: usize, default = 10
        /// What share of the cost of the query's own order another may have, to be taken.
        pub join_order_worthwhile: f64, default = 0.95
        /// Whether joins choose which rows move by where they are and how many. Results are the same.
        pub movement: bool, default = true
        /// Whether scans look rows up in a filter of the keys of the joins above them. Results are the same.
        pub key_filters: bool, default = true
        /// What it costs to start an exchange, in rows that are handled for as much: with fewer rows, its tasks cost more
        /// than they do.
        pub exchange_cost: f64, default = 20_000.0
        /// Whether plans believe constraints that are RELY or VERIFIED. Results are the same, but where one that is RELY does not
        /// hold.
        pub constraints: bool, default = true
        /// Whether exchanges count which rows leave the partition that read them, which takes time. EXPLAIN ANALYZE does
        /// so by itself.
        pub count_movement: bool, default = false
        /// Which share of a table's rows, in percent, must have changed for ANALYZE to look at it again; 0 for always.
        /// `SET analyze_threshold_percent` is the same, as in Redshift.
        pub analyze_threshold_percent: f64, default = 10.0
    }
}

impl ConfigExtension for BlueshiftOptions {
    const PREFIX: &'static str = "blueshift";
}
