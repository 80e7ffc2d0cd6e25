//! What makes a DataFusion session a Blueshift session.

use std::sync::Arc;

use datafusion::common::config::SqlParserOptions;
use datafusion::execution::{SessionState, SessionStateBuilder};
use datafusion::prelude::SessionConfig;

use super::cast_types::CastTypes;
use super::external::{BlueshiftTableFactory, STORED_AS};
use super::names::{CATALOG, PATH_SCHEMA};
use super::namespace::Namespace;
use super::remarks;
use super::warehouse::Warehouse;
use crate::common::sql_type::UTC;
use crate::distribution::SliceMap;
use crate::functions::{Functions, semistructured, take_microseconds};
use crate::optimizer::cast_statistics::guard_statistics;
use crate::optimizer::estimate::physical::registry;
use crate::optimizer::text_casts::TextCasts;
use crate::optimizer::{add_analyzer_rules, add_optimizer_rules, add_physical_rules, overflow, same_names};
use crate::physical_plan::config::BlueshiftOptions;
use crate::physical_plan::declared::Declared;

/// Adds a warehouse to an application's own session.
pub trait SessionStateBuilderExt {
    /// Adds Blueshift's settings, its functions, its rules and STORED AS BLUESHIFT to those that the builder has, and switches off what of
    /// DataFusion's is unsound over scans that drop rows (`optimizer.enable_aggregate_dynamic_filter_pushdown`). Register
    /// [`Warehouse::catalog`] or single tables on the context built.
    ///
    /// `with_analyzer_rules` and `with_physical_optimizer_rules` replace all rules: call them before. A registry of statistics
    /// that the builder has is replaced by one of Blueshift's estimates
    /// ([`registry`](crate::optimizer::estimate::physical::registry), to which others can be added).
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
    // Of joins DataFusion's own statistics tell little.
    config.options_mut().optimizer.use_statistics_registry = true;
    // Unsound in DataFusion 55.2: see `BoundsTrust`.
    config.options_mut().optimizer.enable_aggregate_dynamic_filter_pushdown = false;
    let factories = builder.table_factories().get_or_insert_default();
    factories.entry(STORED_AS.into()).or_insert_with(|| Arc::new(BlueshiftTableFactory::default()));
    builder.scalar_functions().get_or_insert_default().push(Arc::new(Declared::default().into()));
    let mut builder = Functions::additions().register(builder);
    add_analyzer_rules(&mut builder.analyzer().get_or_insert_default().rules);
    add_optimizer_rules(&mut builder.optimizer().get_or_insert_default().rules);
    let rules = &mut builder.physical_optimizers().get_or_insert_default().rules;
    same_names::guard_filters(rules);
    guard_statistics(rules);
    add_physical_rules(rules);
    builder.with_statistics_registry(registry())
}

/// The settings of Blueshift's own sessions.
pub(super) fn session_config(warehouse: &Warehouse) -> SessionConfig {
    let threads = warehouse.inner.threads;
    // Slices beyond 1,024 cannot be: the catalog checked them.
    let partitions = SliceMap::for_threads(warehouse.info().slices, threads).map_or(threads, SliceMap::partitions);
    let mut config = SessionConfig::new()
        .with_target_partitions(partitions)
        .with_default_catalog_and_schema(CATALOG, PATH_SCHEMA)
        .with_create_default_catalog_and_schema(false)
        .with_information_schema(true);
    let options = config.options_mut();
    // Said, so that SHOW timezone tells it.
    options.execution.time_zone = Some(UTC.to_string());
    options.sql_parser = parser_options();
    // Rows that are placed by one of the columns that group them are grouped where they are.
    options.optimizer.subset_repartition_threshold = 2;
    options.extensions.insert(BlueshiftOptions::default());
    config
}

/// How our SQL is read.
pub(super) fn parser_options() -> SqlParserOptions {
    SqlParserOptions {
        // `1.1` is DECIMAL in Redshift's SQL.
        parse_float_as_decimal: true,
        // For the places that errors name.
        collect_spans: true,
        ..SqlParserOptions::default()
    }
}

/// The state of a session on `warehouse`, without catalogs. `process` is the session's number in its process,
/// and `names` what it sees; none of a context that is not ours.
pub(super) fn planning_state(warehouse: &Warehouse, process: u32, names: Option<&Arc<Namespace>>) -> SessionState {
    let config = session_config(warehouse);
    let builder = with_blueshift(SessionStateBuilder::new().with_default_features().with_config(config));
    let mut builder = Functions::of_session(process).register(Functions::replacements().register(builder));
    take_microseconds(&mut builder);
    overflow::add_to(&mut builder);
    builder.scalar_functions().get_or_insert_default().extend(remarks::functions(warehouse, names));
    // Before DataFusion's planners, which take `c.a` and `c[0]` for parts of structs and arrays.
    builder.expr_planners().get_or_insert_default().insert(0, Arc::new(semistructured::Navigation));
    let builder = builder.with_type_planner(Arc::new(CastTypes)).with_optimizer_rule(Arc::new(TextCasts));
    let mut state = builder.with_runtime_env(Arc::clone(&warehouse.inner.runtime)).build();
    // The operators `->`, `->>` and `?`; a session that is just being built takes what it is given.
    let _ = datafusion_functions_json::register_all(&mut state);
    state
}
