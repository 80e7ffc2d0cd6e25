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
        /// Whether joins choose which rows move by where they are and how many. Results are the same.
        pub movement: bool, default = true
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
