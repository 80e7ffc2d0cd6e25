//! DELETE of what the catalog proves to be all rows of a segment: the segment goes unread.

use std::sync::Arc;

use datafusion::common::ParamValues;
use datafusion::common::tree_node::{Transformed, TreeNode, TreeNodeRecursion};
use datafusion::datasource::source::DataSourceExec;
use datafusion::execution::SendableRecordBatchStream;
use datafusion::physical_plan::coalesce_partitions::CoalescePartitionsExec;
use datafusion::physical_plan::coop::CooperativeExec;
use datafusion::physical_plan::projection::ProjectionExec;
use datafusion::physical_plan::repartition::RepartitionExec;
use datafusion::physical_plan::{ExecutionPlan, execute_stream};
use datafusion::sql::sqlparser::ast::{Query, Statement as SqlStatement};

use super::delete::Target;
use super::error::from_datafusion;
use super::placing::{placed, placed_stream};
use super::running::Running;
use crate::catalog::SegmentRef;
use crate::common::Result;
use crate::physical_plan::scan::SliceScan;

impl Target {
    /// As [`Target::rows`], of a query that asks for nothing but rows' identities: without those of segments that go as a whole,
    /// and these.
    pub async fn rows_or_segments(
        &self,
        running: &Running<'_>,
        query: Box<Query>,
        parameters: Option<ParamValues>,
    ) -> Result<(SendableRecordBatchStream, Vec<Arc<SegmentRef>>)> {
        let statement = SqlStatement::Query(query);
        let mut plan = running.plan(&statement).await?;
        if let Some(parameters) = parameters {
            plan = plan.with_param_values(parameters).map_err(from_datafusion)?;
        }
        let physical = running.physical(&plan).await.map_err(|e| placed(e, &statement))?;
        let (physical, whole) = without_whole(physical).map_err(from_datafusion)?;
        *running.ran.lock() = Some(Arc::clone(&physical));
        let stream = execute_stream(physical, running.state.task_ctx());
        let stream = stream.map_err(|e| placed(from_datafusion(e), &statement))?;
        Ok((placed_stream(running.statement.govern(stream), &statement), whole))
    }
}

/// What is to be read, and what goes unread.
type Split = (Arc<dyn ExecutionPlan>, Vec<Arc<SegmentRef>>);

/// A plan that does nothing but scan one table, without the segments of which all rows pass; any other as it is.
fn without_whole(plan: Arc<dyn ExecutionPlan>) -> datafusion::common::Result<Split> {
    let mut scans = 0;
    let mut plain = true;
    plan.apply(|node| {
        scans += usize::from(scan_of(node).is_some());
        let hands_on = node.downcast_ref::<ProjectionExec>().is_some()
            || node.downcast_ref::<CoalescePartitionsExec>().is_some_and(|c| c.fetch().is_none())
            || node.downcast_ref::<CooperativeExec>().is_some()
            || node.downcast_ref::<RepartitionExec>().is_some();
        plain &= hands_on || scan_of(node).is_some();
        Ok(if plain { TreeNodeRecursion::Continue } else { TreeNodeRecursion::Stop })
    })?;
    if !plain || scans != 1 {
        return Ok((plan, Vec::new()));
    }
    let mut found = Vec::new();
    let plan = plan.transform_up(|node| {
        let Some(scan) = scan_of(&node) else { return Ok(Transformed::no(node)) };
        let Some((rest, whole)) = scan.without_whole()? else { return Ok(Transformed::no(node)) };
        found = whole;
        Ok(Transformed::yes(DataSourceExec::from_data_source(rest) as Arc<dyn ExecutionPlan>))
    })?;
    Ok((plan.data, found))
}

fn scan_of(node: &Arc<dyn ExecutionPlan>) -> Option<&SliceScan> {
    node.downcast_ref::<DataSourceExec>()?.data_source().downcast_ref::<SliceScan>()
}
