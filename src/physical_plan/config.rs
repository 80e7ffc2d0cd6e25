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
    }
}

impl ConfigExtension for BlueshiftOptions {
    const PREFIX: &'static str = "blueshift";
}
