//! Redshift's functions that DataFusion lacks, or that mean something else there.
//!
//! A function that DataFusion has with the same meaning is not here. One file a family of functions; each is an ordinary
//! DataFusion function, so that an application can register it alone.

use std::sync::Arc;

use datafusion::execution::SessionStateBuilder;
use datafusion::logical_expr::{AggregateUDF, ScalarUDF, WindowUDF};

mod aggregates;
mod dates;
mod json;
mod kernel;
mod numbers;
mod session;
mod text;

/// Functions of the three kinds.
#[derive(Debug, Default, Clone)]
pub struct Functions {
    pub scalar: Vec<Arc<ScalarUDF>>,
    pub aggregate: Vec<Arc<AggregateUDF>>,
    pub window: Vec<Arc<WindowUDF>>,
}

impl Functions {
    /// Functions whose names DataFusion does not know: they take nothing away from an application's own session.
    pub fn additions() -> Functions {
        let mut all = Functions::default();
        aggregates::additions(&mut all);
        dates::additions(&mut all);
        json::additions(&mut all);
        numbers::additions(&mut all);
        session::additions(&mut all);
        text::additions(&mut all);
        all
    }

    /// Functions that DataFusion knows by the same name and that Redshift defines otherwise, for Blueshift's own sessions.
    pub fn replacements() -> Functions {
        let mut all = Functions::default();
        aggregates::replacements(&mut all);
        dates::replacements(&mut all);
        session::replacements(&mut all);
        text::replacements(&mut all);
        all
    }

    /// Functions that tell what session they run in. `process` is its number in the warehouse's process.
    pub fn of_session(process: u32) -> Functions {
        let mut all = Functions::default();
        session::of_session(&mut all, process);
        all
    }

    /// Adds them to what a session has; of one name the last counts.
    pub fn register(self, mut builder: SessionStateBuilder) -> SessionStateBuilder {
        builder.scalar_functions().get_or_insert_default().extend(self.scalar);
        builder.aggregate_functions().get_or_insert_default().extend(self.aggregate);
        builder.window_functions().get_or_insert_default().extend(self.window);
        builder
    }
}

#[cfg(test)]
mod tests {
    use std::collections::HashSet;

    use datafusion::execution::SessionStateDefaults;

    use super::*;

    /// The names of each function.
    fn names(functions: &Functions) -> Vec<Vec<String>> {
        let all = |name: &str, aliases: &[String]| std::iter::once(name.to_string()).chain(aliases.to_vec()).collect();
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
    /// that is left under an alias would take its name back.
    #[test]
    fn replacements_have_all_the_names_of_what_they_replace() {
        let ours: HashSet<String> = names(&Functions::replacements()).concat().into_iter().collect();
        let mut replaced = HashSet::new();
        for theirs in names(&of_datafusion()) {
            if theirs.iter().any(|name| ours.contains(name)) {
                assert!(theirs.iter().all(|name| ours.contains(name)), "{theirs:?} is replaced in part");
                replaced.extend(theirs);
            }
        }
        assert_eq!(replaced, ours);
    }
}
