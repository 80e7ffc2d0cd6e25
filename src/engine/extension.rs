//! What makes a DataFusion session a Blueshift session.

use std::sync::Arc;

use datafusion::execution::SessionStateBuilder;
use datafusion::prelude::SessionConfig;

use super::names::{CATALOG, DEFAULT_SCHEMA};
use super::warehouse::Warehouse;
use crate::common::sql_type::UTC;
use crate::distribution::SliceMap;
use crate::functions::Functions;
use crate::optimizer::add_analyzer_rules;
use crate::physical_plan::config::BlueshiftOptions;
use crate::physical_plan::declared::Declared;

/// Adds a warehouse to an application's own session.
pub trait SessionStateBuilderExt {
    /// Adds Blueshift's settings, its functions and its rules to those that the builder has, and switches off what of
    /// DataFusion's is unsound over scans that drop rows (`optimizer.enable_aggregate_dynamic_filter_pushdown`). Register
    /// [`Warehouse::catalog`] or single tables on the context built.
    ///
    /// `with_analyzer_rules` replaces all rules: call it before.
    fn with_blueshift(self) -> Self;
}

impl SessionStateBuilderExt for SessionStateBuilder {
    fn with_blueshift(self) -> Self {
        with_blueshift(self)
    }
}

pub(super) fn with_blueshift(mut builder: SessionStateBuilder) -> SessionStateBuilder {
    let config = builder.config().get_or_insert_default();
    if config.options().extensions.get::<BlueshiftOptions>().is_none() {
        config.options_mut().extensions.insert(BlueshiftOptions::default());
    }
    // Unsound in DataFusion 55.2: see `BoundsTrust`.
    config.options_mut().optimizer.enable_aggregate_dynamic_filter_pushdown = false;
    builder.scalar_functions().get_or_insert_default().push(Arc::new(Declared::default().into()));
    let mut builder = Functions::additions().register(builder);
    add_analyzer_rules(&mut builder.analyzer().get_or_insert_default().rules);
    builder
}

/// The settings of Blueshift's own sessions.
pub(super) fn session_config(warehouse: &Warehouse) -> SessionConfig {
    let threads = warehouse.inner.threads;
    // Slices beyond 1,024 cannot be: the catalog checked them.
    let partitions = SliceMap::for_target(warehouse.info().slices, threads).map_or(threads, SliceMap::partitions);
    let mut config = SessionConfig::new()
        .with_target_partitions(partitions)
        .with_default_catalog_and_schema(CATALOG, DEFAULT_SCHEMA)
        .with_create_default_catalog_and_schema(false)
        .with_information_schema(true);
    let options = config.options_mut();
    // Said, so that SHOW timezone tells it.
    options.execution.time_zone = Some(UTC.to_string());
    // `1.1` is DECIMAL in Redshift's SQL.
    options.sql_parser.parse_float_as_decimal = true;
    // For the places that errors name.
    options.sql_parser.collect_spans = true;
    options.extensions.insert(BlueshiftOptions::default());
    config
}
