//! Redshift's functions that DataFusion lacks, or that mean something else there.
//!
//! A function that DataFusion has with the same meaning is not here. One file a family of functions; each is an ordinary
//! DataFusion function, so that an application can register it alone.

use std::sync::Arc;

use datafusion::execution::SessionStateBuilder;
use datafusion::logical_expr::{AggregateUDF, ScalarUDF, WindowUDF};

mod dates;
mod session_names;
mod strings;

pub use session_names::SessionNames;

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
        dates::additions(&mut all);
        strings::additions(&mut all);
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
    pub fn register(self, mut builder: SessionStateBuilder) -> SessionStateBuilder {
        builder.scalar_functions().get_or_insert_default().extend(self.scalar);
        builder.aggregate_functions().get_or_insert_default().extend(self.aggregate);
        builder.window_functions().get_or_insert_default().extend(self.window);
        builder
    }
}
