//! What a finished plan's scans did, summed up.

use std::sync::Arc;

use datafusion::physical_plan::ExecutionPlan;

/// Counters of all scans of Blueshift tables in one plan.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct ScanProfile {
    /// Zones of the segments that the scans were given, pruned ones included.
    pub zones: u64,
    /// Zones that zone maps excluded before anything of them was read.
    pub zones_pruned: u64,
    pub bytes_read: u64,
}

impl ScanProfile {
    /// Of a plan whose rows have been read.
    pub fn of(plan: &Arc<dyn ExecutionPlan>) -> Self {
        let mut profile = ScanProfile::default();
        profile.add(plan);
        profile
    }

    fn add(&mut self, plan: &Arc<dyn ExecutionPlan>) {
        if let Some(metrics) = plan.metrics() {
            let sum = |name: &str| metrics.sum_by_name(name).map_or(0, |v| v.as_usize() as u64);
            // Only our scans count zones.
            if metrics.sum_by_name("zones").is_some() {
                self.zones += sum("zones");
                self.zones_pruned += sum("zones_pruned_static") + sum("zones_pruned_dynamic");
                self.bytes_read += sum("bytes_read");
            }
        }
        plan.children().into_iter().for_each(|child| self.add(child));
    }
}
