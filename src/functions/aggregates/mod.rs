//! Aggregates and window functions that DataFusion lacks or defines otherwise.

use std::sync::Arc;

use super::Functions;

mod average;
mod percentile;
mod ratio;

pub(super) fn additions(all: &mut Functions) {
    all.aggregate.push(Arc::new(percentile::discrete()));
    all.window.push(Arc::new(ratio::ratio_to_report()));
}

pub(super) fn replacements(all: &mut Functions) {
    all.aggregate.push(Arc::new(percentile::continuous()));
    all.aggregate.push(Arc::new(percentile::median()));
    all.aggregate.push(Arc::new(average::average()));
}
