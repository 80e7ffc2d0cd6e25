//! Redshift's functions that DataFusion lacks, or that mean something else there.
//!
//! A function that DataFusion has with the same meaning is not here. One file a family of functions; each is an ordinary
//! DataFusion function, so that an application can register it alone.

use std::collections::HashSet;
use std::sync::Arc;

use datafusion::execution::SessionStateBuilder;
use datafusion::logical_expr::planner::ExprPlanner;
use datafusion::logical_expr::{AggregateUDF, ScalarUDF, WindowUDF};

mod aggregates;
mod as_type;
mod dates;
mod json;
mod kernel;
mod numbers;
pub mod semistructured;
mod series;
mod session;
mod session_names;
pub mod settings;
mod text;
pub mod whole_numbers;
mod windows;
pub mod zones;

pub use dates::CALENDAR;
pub use series::take_microseconds;
pub use session_names::SessionNames;

/// The timestamp of a date's midnight. Comparisons of it with constants become comparisons of the date.
pub fn midnight() -> Arc<ScalarUDF> {
    dates::midnight()
}

/// Functions of the three kinds, and operators.
#[derive(Debug, Default, Clone)]
pub struct Functions {
    pub scalar: Vec<Arc<ScalarUDF>>,
    pub aggregate: Vec<Arc<AggregateUDF>>,
    pub window: Vec<Arc<WindowUDF>>,
    /// What operators mean.
    pub planners: Vec<Arc<dyn ExprPlanner>>,
}

impl Functions {
    /// Functions whose names DataFusion does not know: they take nothing away from an application's own session.
    pub fn additions() -> Functions {
        let mut all = Functions::default();
        aggregates::additions(&mut all);
        as_type::additions(&mut all);
        dates::additions(&mut all);
        json::additions(&mut all);
        numbers::additions(&mut all);
        semistructured::additions(&mut all);
        session::additions(&mut all);
        text::additions(&mut all);
        zones::additions(&mut all);
        all
    }

    /// Functions that DataFusion knows by the same name and that Redshift defines otherwise, for Blueshift's own sessions.
    pub fn replacements() -> Functions {
        let mut all = Functions::default();
        aggregates::replacements(&mut all);
        dates::replacements(&mut all);
        semistructured::replacements(&mut all);
        session::replacements(&mut all);
        text::replacements(&mut all);
        windows::replacements(&mut all);
        all
    }

    /// Functions that tell what session they run in. `process` is its number in the warehouse's process.
    pub fn of_session(process: u32) -> Functions {
        let mut all = Functions::default();
        session::of_session(&mut all, process);
        all
    }

    /// Adds them to what a session has; of one name the last counts.
    ///
    /// A function that is replaced goes with all its names. DataFusion would keep it under the others, and when a session's
    /// state is built from another's, register it by its name again.
    pub fn register(self, mut builder: SessionStateBuilder) -> SessionStateBuilder {
        replace(builder.scalar_functions().get_or_insert_default(), self.scalar, |f| (f.name(), f.aliases()));
        replace(builder.aggregate_functions().get_or_insert_default(), self.aggregate, |f| (f.name(), f.aliases()));
        replace(builder.window_functions().get_or_insert_default(), self.window, |f| (f.name(), f.aliases()));
        builder.expr_planners().get_or_insert_default().extend(self.planners);
        builder
    }
}

fn replace<F>(known: &mut Vec<Arc<F>>, by: Vec<Arc<F>>, names: fn(&F) -> (&str, &[String])) {
    let all = |function: &F| {
        let (name, aliases) = names(function);
        std::iter::once(name).chain(aliases.iter().map(String::as_str)).map(str::to_string).collect::<Vec<_>>()
    };
    let taken: HashSet<String> = by.iter().flat_map(|function| all(function)).collect();
    known.retain(|other| all(other).iter().all(|name| !taken.contains(name)));
    known.extend(by);
}

#[cfg(test)]
mod tests {
    use datafusion::execution::SessionStateDefaults;

    use super::*;

    /// The names of each function.
    fn names(functions: &Functions) -> Vec<Vec<String>> {
        let all = |name: &str, aliases: &[String]| {
            let others = aliases.iter().filter(|alias| *alias != name).cloned();
            std::iter::once(name.to_string()).chain(others).collect()
        };
        let scalar = functions.scalar.iter().map(|f| all(f.name(), f.aliases()));
        let aggregate = functions.aggregate.iter().map(|f| all(f.name(), f.aliases()));
        let window = functions.window.iter().map(|f| all(f.name(), f.aliases()));
        scalar.chain(aggregate).chain(window).collect()
    }

    fn of_datafusion() -> Functions {
        Functions {
            scalar: SessionStateDefaults::default_scalar_functions(),
            aggregate: SessionStateDefaults::default_aggregate_functions(),
            window: SessionStateDefaults::default_window_functions(),
            planners: Vec::new(),
        }
    }

    #[test]
    fn additions_take_no_name_from_datafusion() {
        let theirs: HashSet<String> = names(&of_datafusion()).concat().into_iter().collect();
        let mut seen = HashSet::new();
        for name in names(&Functions::additions()).concat() {
            assert!(!theirs.contains(&name), "DataFusion has {name}");
            assert!(seen.insert(name.clone()), "{name} is there twice");
        }
    }

    /// A session state made from another registers each function again, by all its names in the order of a hash map: one
    /// that is left under any name could take another back.
    #[test]
    fn what_is_replaced_is_gone() {
        let builder = SessionStateBuilder::new().with_default_features();
        let state = Functions::replacements().register(builder).build();
        let state = SessionStateBuilder::new_from_existing(state).build();
        let ours = Functions::replacements();
        for name in names(&ours).concat() {
            let scalar = state.scalar_functions().get(&name).is_some_and(|f| ours.scalar.contains(f));
            let aggregate = state.aggregate_functions().get(&name).is_some_and(|f| ours.aggregate.contains(f));
            let window = state.window_functions().get(&name).is_some_and(|f| ours.window.contains(f));
            assert!(scalar || aggregate || window, "{name} is DataFusion's");
        }
        let known: HashSet<String> = names(&of_datafusion()).concat().into_iter().collect();
        for names in names(&ours) {
            assert!(names.iter().any(|name| known.contains(name)), "{names:?} replace nothing");
        }
    }
}
