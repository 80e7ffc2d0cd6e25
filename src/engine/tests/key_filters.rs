//! Filters of joins' keys leave out rows that have no partner, and no others.

use std::sync::Arc;

use datafusion::common::NullEquality;
use datafusion::common::tree_node::{Transformed, TransformedResult, TreeNode};
use datafusion::datasource::source::DataSourceExec;
use datafusion::logical_expr::Operator;
use datafusion::physical_expr::expressions::{Column, DynamicFilterPhysicalExpr, binary, lit};
use datafusion::physical_plan::joins::HashJoinExec;
use datafusion::physical_plan::{
    ChildrenPropertiesMode, ExecutionPlan, PhysicalExpr, ReplaceChildrenOptions, collect, displayable,
};
use datafusion::prelude::SessionContext;

use super::util::*;
use crate::engine::Warehouse;
use crate::format::Geometry;
use crate::physical_plan::config::BlueshiftOptions;
use crate::physical_plan::key_filter::BuildKeys;
use crate::physical_plan::scan::SliceScan;

const TABLES: [&str; 3] = ["fact", "dim", "many"];

/// `dim` has few of the keys of `fact`, of which `many` has more than DataFusion lists.
async fn tables() -> Warehouse {
    let warehouse = warehouse(4, 4, Geometry::new(64, 1024).unwrap()).await;
    let session = warehouse.session();
    let columns = "k bigint not null, t varchar(20), r double precision, m decimal(20, 3), n int, \
         sm smallint, da date, ti timestamp, de decimal(9, 2)";
    let row = "v, 't' || v, case v % 7 when 0 then -0.0 when 1 then 0.0 else v * 0.5 end, v * 1.125, nullif(v % 50, 7), \
         nullif(v, 74) - 4000, date '1970-03-01' + nullif(v, 111)::int - 4000, \
         timestamp '1969-12-31 23:00:00' + (v - 4000) * interval '97 seconds', (4000 - v) / 100.0";
    for (name, layout, rows) in [
        (
            "fact",
            "distkey(k) sortkey(n)",
            format!("select {row} from (select v % 9000 as v from generate_series(1, 20000) g(v)) s"),
        ),
        ("dim", "distkey(k)", format!("select {row} from (select v * 37 as v from generate_series(0, 30) g(v)) s")),
        ("many", "distkey(t)", format!("select {row} from (select v * 5 as v from generate_series(0, 1200) g(v)) s")),
    ] {
        session.sql(&format!("create table {name} ({columns}) {layout}")).await.unwrap();
        session.sql(&format!("insert into {name} {rows}")).await.unwrap();
    }
    warehouse
}

fn context(warehouse: &Warehouse, broadcasts: bool, filters: bool) -> SessionContext {
    let context = warehouse.session().context().clone();
    let state = context.state_ref();
    let mut state = state.write();
    let options = state.config_mut().options_mut();
    let most = if broadcasts { 1 << 20 } else { 0 };
    options.optimizer.hash_join_single_partition_threshold = most;
    options.optimizer.hash_join_single_partition_threshold_rows = most;
    let ours = options.extensions.get_mut::<BlueshiftOptions>().unwrap();
    (ours.movement, ours.key_filters) = (!broadcasts, filters);
    drop(state);
    context
}

fn shown(plan: &Arc<dyn ExecutionPlan>) -> String {
    displayable(plan.as_ref()).indent(false).to_string()
}

async fn plan(context: &SessionContext, sql: &str) -> Arc<dyn ExecutionPlan> {
    context.sql(sql).await.unwrap().create_physical_plan().await.unwrap()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn no_row_that_has_a_partner_is_lost() {
    let warehouse = tables().await;
    let plain = plain(2);
    for table in TABLES {
        copy_to(&warehouse.session(), &format!("select * from {table}"), &plain, table).await;
    }
    let mut filtered = 0;
    for of in ["dim", "many"] {
        for on in [
            "d.k = f.k",
            "d.t = f.t",
            "d.r = f.r",
            "d.m = f.m",
            "d.sm = f.sm",
            "d.da = f.da",
            "d.ti = f.ti",
            "d.de = f.de",
            "(d.sm is not distinct from f.sm)",
            "d.n = f.n and d.k = f.k",
            "d.n = f.n and d.t = f.t",
            "(d.n is not distinct from f.n) and d.k = f.k",
            "d.k + 1 = f.k + 1",
        ] {
            for sql in [
                format!("select count(*), sum(f.k), max(d.t) from {of} d join fact f on {on}"),
                format!("select count(*), sum(f.k) from {of} d left join fact f on {on}"),
                format!("select count(*), sum(d.k) from fact f left join {of} d on {on}"),
                format!("select count(*), sum(f.k) from fact f where exists (select 1 from {of} d where {on})"),
                format!("select count(*), sum(f.k) from fact f where not exists (select 1 from {of} d where {on})"),
                format!("select count(*), sum(d.k) from {of} d where not exists (select 1 from fact f where {on})"),
                format!(
                    "select count(*), sum(s) from (select k, t, r, m, n, sm, da, ti, de, sum(n) as s from fact \
                         group by k, t, r, m, n, sm, da, ti, de) f \
                         join {of} d on {on} where d.k < 3000"
                ),
                // A NULL on the right side is no partner and counts.
                format!("select count(*) from {of} d where k not in (select n from fact f where n is null or n < 3)"),
                format!("select count(*) from {of} d where k not in (select n from fact f where f.k > 700)"),
            ] {
                let expected = theirs(&plain, &sql).await;
                for broadcasts in [true, false] {
                    for filters in [true, false] {
                        let context = context(&warehouse, broadcasts, filters);
                        let plan = plan(&context, &sql).await;
                        let has = shown(&plan).contains("BuildKeys");
                        assert!(filters || !has);
                        filtered += usize::from(has);
                        let got = lines(&collect(plan, context.task_ctx()).await.unwrap());
                        assert_eq!(got, expected, "broadcasts {broadcasts}, filters {filters}: {sql}");
                    }
                }
            }
        }
    }
    assert!(filtered > 60, "{filtered} plans have filters");
}

/// What is looked up in the filter is not looked up in the join's table, too, and rows go no further.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn scans_give_what_has_a_partner() {
    let warehouse = tables().await;
    for broadcasts in [true, false] {
        let context = context(&warehouse, broadcasts, true);
        for (on, partners) in [("m.k = f.k", 2_668), ("m.t = f.t", 2_668)] {
            let sql = format!("select f.n, m.n from many m join fact f on {on}");
            let (_, plan) = measured(&context, &sql).await;
            assert!(shown(&plan).contains("BuildKeys"), "{}", shown(&plan));
            let given = counted(&plan, "fact", "rows_decoded[n]");
            assert!((partners..partners + 600).contains(&given), "{sql}: {given} rows decoded\n{}", shown(&plan));
        }
    }
}

/// Zones between a join's keys, and between the values of an IN, are not read, though they are within the range.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn zones_between_keys_are_pruned() {
    let warehouse = warehouse(1, 1, Geometry::new(64, 1024).unwrap()).await;
    let session = warehouse.session();
    all(&session, &["create table fact (k bigint, n int) sortkey(k)", "create table dim (k bigint, t varchar(9))"])
        .await;
    all(&session, &["insert into fact select v, v from generate_series(1, 20000) g(v)"]).await;
    let far = "select case when v < 4 then v else 19990 + v end, 'a' from generate_series(1, 9) g(v)";
    all(&session, &[&format!("insert into dim {far}")]).await;
    for sql in [
        "select sum(fact.n) from dim join fact on dim.k = fact.k where t = 'a'",
        "select sum(n) from fact where k in (1, 2, 3, 19994, 19995, 19996, 19997, 19998, 19999)",
    ] {
        let (rows, plan) = measured(&context(&warehouse, false, true), sql).await;
        assert_eq!(lines(&rows)[0].trim_matches(|c| c == '|' || c == ' '), "119985", "{sql}");
        let pruned = counted(&plan, "fact", "zones_pruned_static") + counted(&plan, "fact", "zones_pruned_dynamic");
        assert_eq!(pruned, 20_000_usize.div_ceil(64) - 2, "{sql}\n{}", shown(&plan));
    }
}

/// A filter of other keys is noticed: the comparison above can fail.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_filter_of_wrong_keys_is_noticed() {
    let warehouse = tables().await;
    let context = context(&warehouse, false, true);
    let sql = "select count(*), sum(f.n) from many m join fact f on m.k = f.k where m.n > 3";
    let honest = plan(&context, sql).await;
    let expected = lines(&collect(Arc::clone(&honest), context.task_ctx()).await.unwrap());
    let lying = Arc::clone(&plan(&context, sql).await)
        .transform_up(|node| match node.downcast_ref::<BuildKeys>() {
            Some(build) => {
                let schema = build.input().schema();
                let (at, field) = schema.column_with_name("k").unwrap();
                let wrong = binary(Arc::new(Column::new(field.name(), at)), Operator::Plus, lit(1i64), &schema)?;
                let nulls = NullEquality::NullEqualsNothing;
                let lie = BuildKeys::new(Arc::clone(build.input()), vec![wrong], nulls, Arc::clone(build.filter()));
                Ok(Transformed::yes(Arc::new(lie) as Arc<dyn ExecutionPlan>))
            }
            None => Ok(Transformed::no(node)),
        })
        .data()
        .unwrap();
    assert_ne!(lines(&collect(lying, context.task_ctx()).await.unwrap()), expected);
}

/// Nor does a filter go to the side all of whose rows are wanted.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_filter_of_a_preserved_side_is_noticed() {
    let warehouse = tables().await;
    let context = context(&warehouse, false, true);
    for (sql, kept) in [
        ("select count(*), sum(f.n) from many m right join fact f on m.k = f.k", "join_type=Right"),
        (
            "select count(*), sum(f.n) from fact f where not exists (select 1 from many m where m.k = f.k)",
            "join_type=RightAnti",
        ),
    ] {
        let honest = plan(&context, sql).await;
        let text = shown(&honest);
        assert!(text.contains(kept) && !text.contains("BuildKeys"), "{text}");
        let expected = lines(&collect(Arc::clone(&honest), context.task_ctx()).await.unwrap());
        let lying = plan(&context, sql)
            .await
            .transform_up(|node| {
                let Some(join) = node.downcast_ref::<HashJoinExec>() else { return Ok(Transformed::no(node)) };
                let (of_left, of_right) = join.on()[0].clone();
                let filter = Arc::new(DynamicFilterPhysicalExpr::new(vec![of_right], lit(true)));
                let build = BuildKeys::new(
                    Arc::clone(join.left()),
                    vec![of_left],
                    NullEquality::NullEqualsNothing,
                    Arc::clone(&filter),
                );
                let probe = Arc::clone(join.right()).transform_up(|below| {
                    let Some(source) = below.downcast_ref::<DataSourceExec>() else {
                        return Ok(Transformed::no(below));
                    };
                    let scan = source.data_source().downcast_ref::<SliceScan>().unwrap();
                    let at = scan.table().def.columns.iter().position(|c| c.name == "k").unwrap();
                    let over_table = vec![Arc::new(Column::new("k", at)) as Arc<dyn PhysicalExpr>];
                    let told = scan.told(Arc::clone(&filter).with_new_children(over_table)?);
                    Ok(Transformed::yes(Arc::new(source.clone().with_data_source(Arc::new(told))) as _))
                })?;
                let options = ReplaceChildrenOptions::new(ChildrenPropertiesMode::Recompute);
                let sides = vec![Arc::new(build) as _, probe.data];
                Arc::clone(&node).replace_children(sides, options).map(Transformed::yes)
            })
            .data()
            .unwrap();
        assert_ne!(lines(&collect(lying, context.task_ctx()).await.unwrap()), expected, "{text}");
    }
}
