//! Settings of a session that `SET` changes.

use datafusion::common::config::ConfigExtension;
use datafusion::common::extensions_options;

extensions_options! {
    /// Blueshift's settings, `SET blueshift.<name> = <value>`.
    pub struct BlueshiftOptions {
        /// Whether zone maps and filters prune. Off only to compare: results are the same.
        pub pruning: bool, default = true
        /// Whether what a query says of one side of a join's key is said of the other, too. Results are the same.
        pub derived_predicates: bool, default = true
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
        /// Whether joins whose sides are in place and in the order of the key merge them, where a filter of the keys would leave
        /// most rows. Results are the same.
        pub merge_joins: bool, default = true
        /// Whether aggregations are of integers of 64 bits, where tables' bounds allow. Results are the same.
        pub integer_aggregates: bool, default = true
        /// Whether parts of a plan that are the same and aggregate rows are computed once. Results are the same.
        pub common_subplans: bool, default = true
        /// Which share of the probe side's rows may be expected to find a partner, for such a filter to be made.
        pub key_filters_worthwhile: f64, default = 0.8
        /// Of how many keys at most.
        pub key_filters_keys: usize, default = 1 << 24
        /// What it costs to put a row into a hash table. All of these are in units of probing one with a row; they come from
        /// profiles of joins in one process, where movement crosses no network.
        pub cost_build: f64, default = 2.0
        /// What it costs to give a row of a join.
        pub cost_output: f64, default = 0.5
        /// What it costs to move a row.
        pub cost_moved_row: f64, default = 0.6
        /// What it costs to move a byte.
        pub cost_moved_byte: f64, default = 0.01
        /// What it costs to compare two rows that no key brings together.
        pub cost_compare: f64, default = 0.05
        /// What share of the cost of broadcasting the side that DataFusion builds the other may have, to be built instead.
        pub sides_worthwhile: f64, default = 0.8
        /// What it costs to start an exchange, in rows that are handled for as much: with fewer rows, its tasks cost more
        /// than they do.
        pub exchange_cost: f64, default = 20_000.0
        /// Of how many times the mean the fullest slice or partition is skewed, so that EXPLAIN says so.
        pub hint_skew: f64, default = 2.0
        /// From how many rows a slice or partition on, on average.
        pub hint_rows: u64, default = 1_000
        /// Which share of the rows read a filter leaves, at most, for an alert in stl_alert_event_log.
        pub alert_selective: f64, default = 0.05
        /// From which share of deleted rows on there is one.
        pub alert_deleted: f64, default = 0.2
        /// How many rows a scan has to read for either.
        pub alert_rows: u64, default = 10_000
        /// From how many rows on that are broadcast or distributed there is one.
        pub alert_moved: u64, default = 1_000_000
        /// Whether plans believe constraints that are RELY or VERIFIED. Results are the same, but where one that is RELY does not
        /// hold.
        pub constraints: bool, default = true
        /// Whether exchanges count which rows leave the partition that read them, which takes time. EXPLAIN ANALYZE does
        /// so by itself.
        pub count_movement: bool, default = false
        /// Rows that a step of VACUUM reads, about: each is a commit, and what it holds in memory is some bytes a row.
        pub vacuum_rows: u64, default = 8_000_000
        /// Whether transactions conflict with those that changed the same rows (`snapshot`), or also with those that changed
        /// what they have read (`serializable`).
        pub isolation: String, default = "snapshot".to_string()
        /// Which share of a table's rows, in percent, must have changed for ANALYZE to look at it again; 0 for always.
        /// `SET analyze_threshold_percent` is the same, as in Redshift.
        pub analyze_threshold_percent: f64, default = 10.0
        /// Whether it is an error that the FROM of an UPDATE finds a row several times; otherwise one of the values is taken.
        /// `SET error_on_nondeterministic_update` is the same, as in Redshift.
        pub error_on_nondeterministic_update: bool, default = false
    }
}

impl ConfigExtension for BlueshiftOptions {
    const PREFIX: &'static str = "blueshift";
}
