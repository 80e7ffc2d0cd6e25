//! Redshift's functions that DataFusion lacks, or that mean something else there.
//!
//! A function that DataFusion has with the same meaning is not here. One file a family of functions; each is an ordinary
//! DataFusion function, so that an application can register it alone.

use std::sync::Arc;

use datafusion::execution::SessionStateBuilder;
use datafusion::logical_expr::planner::ExprPlanner;
use datafusion::logical_expr::{AggregateUDF, ScalarUDF, WindowUDF};

mod dates;
pub mod json;
pub mod refused;
mod strings;
pub mod zones;

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
        dates::additions(&mut all);
        strings::additions(&mut all);
        json::additions(&mut all);
        zones::additions(&mut all);
        all
    }

    /// Functions that DataFusion knows by the same name and that Redshift defines otherwise, for Blueshift's own sessions.
    pub fn replacements() -> Functions {
        let mut all = Functions::default();
        dates::replacements(&mut all);
        strings::replacements(&mut all);
        all
    }

    /// Adds them to what a session has; of one name the last counts.
    ///
    /// A function that is replaced goes with its aliases. DataFusion would keep it under them, and when a session's state
    /// is built from another's, register it by its name again.
    pub fn register(self, mut builder: SessionStateBuilder) -> SessionStateBuilder {
        let known = builder.scalar_functions().get_or_insert_default();
        known.retain(|other| self.scalar.iter().all(|function| function.name() != other.name()));
        known.extend(self.scalar);
        builder.aggregate_functions().get_or_insert_default().extend(self.aggregate);
        builder.window_functions().get_or_insert_default().extend(self.window);
        builder.expr_planners().get_or_insert_default().extend(self.planners);
        builder
    }
}
