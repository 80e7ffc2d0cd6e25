//! Planner rules, one a file.

pub mod casts;
pub mod dates;
pub mod literals;
pub mod supers;
pub mod zones;

use std::sync::Arc;

use datafusion::optimizer::AnalyzerRule;

/// Puts Blueshift's analyzer rules, as far as they are missing, among others: they see types as they were written, so
/// that they stand before those are coerced.
pub fn add_analyzer_rules(rules: &mut Vec<Arc<dyn AnalyzerRule + Send + Sync>>) {
    let ours: [Arc<dyn AnalyzerRule + Send + Sync>; 5] = [
        Arc::new(literals::Literals),
        Arc::new(dates::Dates),
        Arc::new(casts::DeclaredCasts::default()),
        Arc::new(zones::ZonedTimes),
        Arc::new(supers::Supers),
    ];
    for rule in ours {
        if rules.iter().all(|other| other.name() != rule.name()) {
            let at = rules.iter().position(|other| other.name() == "type_coercion").unwrap_or(rules.len());
            rules.insert(at, rule);
        }
    }
}
