//! Scans know what the query calls their table, for EXPLAIN.

use std::sync::Arc;

use datafusion::catalog::default_table_source::{DefaultTableSource, source_as_provider};
use datafusion::common::Result;
use datafusion::common::config::ConfigOptions;
use datafusion::common::tree_node::{Transformed, TransformedResult};
use datafusion::logical_expr::{LogicalPlan, SubqueryAlias, TableScan};
use datafusion::optimizer::AnalyzerRule;

use crate::physical_plan::provider::BlueshiftTable;

/// Tells tables their aliases. The plan is the same otherwise.
#[derive(Debug)]
pub struct Aliases;

impl AnalyzerRule for Aliases {
    fn name(&self) -> &str {
        "blueshift_aliases"
    }

    fn analyze(&self, plan: LogicalPlan, _: &ConfigOptions) -> Result<LogicalPlan> {
        plan.transform_up_with_subqueries(|plan| {
            Ok(match named(&plan) {
                Some(scan) => {
                    let LogicalPlan::SubqueryAlias(alias) = plan else { return Ok(Transformed::no(plan)) };
                    let input = Arc::new(LogicalPlan::TableScan(scan));
                    Transformed::yes(LogicalPlan::SubqueryAlias(SubqueryAlias::try_new(input, alias.alias)?))
                }
                None => Transformed::no(plan),
            })
        })
        .data()
    }
}

/// The scan below an alias that is not the table's own name.
fn named(plan: &LogicalPlan) -> Option<TableScan> {
    let LogicalPlan::SubqueryAlias(alias) = plan else { return None };
    let LogicalPlan::TableScan(scan) = alias.input.as_ref() else { return None };
    if alias.alias.table() == scan.table_name.table() {
        return None;
    }
    let provider = source_as_provider(&scan.source).ok()?;
    let table = provider.downcast_ref::<BlueshiftTable>()?.called(alias.alias.table());
    Some(TableScan { source: Arc::new(DefaultTableSource::new(Arc::new(table))), ..scan.clone() })
}
