//! CREATE TABLE AS without words about layout: what the query tells (Redshift manual, "CREATE TABLE AS", "Usage notes").

use datafusion::datasource::source_as_provider;
use datafusion::logical_expr::{Expr as DfExpr, JoinType, LogicalPlan, Projection, Sort as SortPlan, TableScan};

use super::names::DEFAULT_SCHEMA;
use super::session::Running;
use crate::catalog::TableDef;
use crate::common::{ColumnId, DistStyle, SortStyle};
use crate::physical_plan::provider::BlueshiftTable;
use crate::physical_plan::scan::table_schema;
use crate::sql::ast::{CreateTable, DistClause, KeyColumn, SortClause};

/// Fills in the distribution and sort key that `create` leaves open. Returns what to say of it.
///
/// A plain scan hands on the table's; ORDER BY is the sort key; LIMIT, grouping and what has no table's order give
/// EVEN and no sort key; a join keeps the key of its outer side, else of its inner one. AUTO stays AUTO, and is also
/// what rows from no table of the warehouse get.
pub(super) fn fill_layout(running: &Running<'_>, create: &mut CreateTable, plan: &LogicalPlan) -> Option<String> {
    let guess = Guesser { running }.of(plan);
    let position = create.name.position();
    let key = |ordinal: usize| KeyColumn::Position { ordinal: ordinal as u32 + 1, position };
    let name = |ordinal: usize| match create.column_names.get(ordinal) {
        Some(name) => name.value.clone(),
        None => plan.schema().fields().get(ordinal).map_or_else(String::new, |f| f.name().clone()),
    };
    let mut said = Vec::new();
    if create.dist.is_none() {
        create.dist = match guess.dist {
            Dist::Auto => None,
            Dist::Even => {
                said.push("DISTSTYLE EVEN".to_string());
                Some(DistClause::Even)
            }
            Dist::All => {
                said.push("DISTSTYLE ALL".to_string());
                Some(DistClause::All)
            }
            Dist::Key(ordinal) => {
                said.push(format!("DISTKEY ({})", name(ordinal)));
                Some(DistClause::Key(key(ordinal)))
            }
        };
    }
    if create.sort.is_none() {
        create.sort = match guess.sort {
            Sort::Auto => None,
            Sort::None => {
                said.push("no SORTKEY".to_string());
                Some(SortClause::None)
            }
            Sort::Columns(style, columns) => {
                let names: Vec<String> = columns.iter().map(|ordinal| name(*ordinal)).collect();
                said.push(format!("SORTKEY ({})", names.join(", ")));
                Some(SortClause::Columns { style, columns: columns.into_iter().map(key).collect() })
            }
        };
    }
    (!said.is_empty()).then(|| {
        format!(
            "table \"{}\" has {}, as {}; write DISTSTYLE, DISTKEY and SORTKEY to decide it yourself",
            create.name.unquoted(),
            said.join(" and "),
            guess.why
        )
    })
}

/// The ordinals of the columns by which the query's rows come in order, if it has an ORDER BY outermost.
pub(super) fn ordered_by(plan: &LogicalPlan) -> Vec<usize> {
    match plan {
        LogicalPlan::Projection(projection) => {
            let taken = taken(projection);
            let place = |ordinal| taken.iter().position(|taken| *taken == Some(ordinal));
            ordered_by(&projection.input).into_iter().map_while(place).collect()
        }
        LogicalPlan::SubqueryAlias(alias) => ordered_by(&alias.input),
        LogicalPlan::Sort(sort) => sorted_columns(sort),
        _ => Vec::new(),
    }
}

/// The columns that a sort begins with.
fn sorted_columns(sort: &SortPlan) -> Vec<usize> {
    let ordinal = |expr: &DfExpr| match expr {
        DfExpr::Column(column) => sort.input.schema().maybe_index_of_column(column),
        _ => None,
    };
    let mut columns = Vec::new();
    for ordinal in sort.expr.iter().map_while(|s| ordinal(&s.expr)) {
        if !columns.contains(&ordinal) {
            columns.push(ordinal);
        }
    }
    columns
}

/// A layout by ordinals of a plan's columns.
struct Guess {
    dist: Dist,
    sort: Sort,
    why: &'static str,
}

#[derive(Clone, Copy)]
enum Dist {
    Auto,
    Even,
    All,
    Key(usize),
}

enum Sort {
    Auto,
    None,
    Columns(SortStyle, Vec<usize>),
}

impl Guess {
    /// Rows that stand in no order of a table's.
    fn none(why: &'static str) -> Self {
        Guess { dist: Dist::Even, sort: Sort::None, why }
    }

    /// Rows of which nothing is known.
    fn auto() -> Self {
        Guess { dist: Dist::Auto, sort: Sort::Auto, why: "the query tells nothing" }
    }

    /// With each ordinal as `map` says; a key that is gone is EVEN, a sort key ends before the first column that is.
    fn mapped(self, map: impl Fn(usize) -> Option<usize>) -> Self {
        let dist = match self.dist {
            Dist::Key(ordinal) => map(ordinal).map_or(Dist::Even, Dist::Key),
            other => other,
        };
        let sort = match self.sort {
            Sort::Columns(style, columns) => {
                let kept: Vec<usize> = columns.into_iter().map_while(map).collect();
                if kept.is_empty() { Sort::None } else { Sort::Columns(style, kept) }
            }
            other => other,
        };
        Guess { dist, sort, ..self }
    }
}

struct Guesser<'a> {
    running: &'a Running<'a>,
}

impl Guesser<'_> {
    fn of(&self, plan: &LogicalPlan) -> Guess {
        match plan {
            LogicalPlan::TableScan(scan) => self.of_scan(scan),
            LogicalPlan::Projection(projection) => of_projection(self.of(&projection.input), projection),
            LogicalPlan::Filter(filter) => self.of(&filter.input),
            LogicalPlan::SubqueryAlias(alias) => self.of(&alias.input),
            LogicalPlan::Repartition(repartition) => self.of(&repartition.input),
            LogicalPlan::Sort(sort) if sort.fetch.is_none() => {
                let input = self.of(&sort.input);
                let columns = sorted_columns(sort);
                let sort = match columns.is_empty() {
                    true => Sort::None,
                    false => Sort::Columns(SortStyle::Compound, columns),
                };
                Guess { dist: input.dist, sort, why: "its query's ORDER BY tells" }
            }
            LogicalPlan::Sort(_) | LogicalPlan::Limit(_) => Guess::none("its query has a LIMIT"),
            LogicalPlan::Aggregate(_) | LogicalPlan::Distinct(_) => Guess::none("its query groups"),
            LogicalPlan::Join(join) => {
                let (left, right) = (self.of(&join.left), self.of(&join.right));
                let before = join.left.schema().fields().len();
                let (left, right) = match join.join_type {
                    JoinType::Inner | JoinType::Left | JoinType::Right | JoinType::Full => {
                        (left.dist, right.mapped(|ordinal| Some(before + ordinal)).dist)
                    }
                    JoinType::LeftSemi | JoinType::LeftAnti | JoinType::LeftMark => (left.dist, Dist::Even),
                    JoinType::RightSemi | JoinType::RightAnti | JoinType::RightMark => (right.dist, Dist::Even),
                };
                let dist = match (left, right) {
                    (key @ Dist::Key(_), _) | (_, key @ Dist::Key(_)) => key,
                    _ => Dist::Even,
                };
                Guess { dist, sort: Sort::None, why: "its query joins" }
            }
            LogicalPlan::Values(_) | LogicalPlan::EmptyRelation(_) => Guess::auto(),
            _ => Guess::none("its query keeps no table's layout"),
        }
    }

    fn of_scan(&self, scan: &TableScan) -> Guess {
        if let Some(view) = scan.source.get_logical_plan() {
            return self.of(&view);
        }
        let is_ours = source_as_provider(&scan.source)
            .is_ok_and(|p| (p.as_ref() as &dyn std::any::Any).downcast_ref::<BlueshiftTable>().is_some());
        let snapshot = &self.running.pin;
        let schema = scan.table_name.schema().unwrap_or(DEFAULT_SCHEMA);
        let found = snapshot.schema_named(schema).and_then(|s| snapshot.table_named(s.id, scan.table_name.table()));
        match found {
            Some(state) if is_ours && table_schema(&state.def) == *scan.source.schema() => {
                let ordinal = |ordinal: usize| match &scan.projection {
                    Some(projection) => projection.iter().position(|p| *p == ordinal),
                    None => Some(ordinal),
                };
                of_table(&state.def).mapped(ordinal)
            }
            _ => Guess::auto(),
        }
    }
}

/// What was declared: of what AUTO chose nothing is handed on, since the new table's rows may be others.
fn of_table(def: &TableDef) -> Guess {
    let ordinal = |id: ColumnId| def.columns.iter().position(|c| c.id == id);
    let dist = match def.dist {
        DistStyle::Auto => Dist::Auto,
        DistStyle::Even => Dist::Even,
        DistStyle::All => Dist::All,
        DistStyle::Key(id) => ordinal(id).map_or(Dist::Even, Dist::Key),
    };
    let sort = match &def.sort {
        _ if def.sort_auto => Sort::Auto,
        None => Sort::None,
        Some(key) => Sort::Columns(key.style, key.columns.iter().filter_map(|id| ordinal(*id)).collect()),
    };
    Guess { dist, sort, why: "the table that it is taken from" }
}

/// Which column of its input each of a projection's is.
fn taken(projection: &Projection) -> Vec<Option<usize>> {
    let schema = projection.input.schema();
    let column = |expr: &DfExpr| match expr.clone().unalias_nested().data {
        DfExpr::Column(column) => schema.maybe_index_of_column(&column),
        _ => None,
    };
    projection.expr.iter().map(column).collect()
}

fn of_projection(input: Guess, projection: &Projection) -> Guess {
    let taken = taken(projection);
    input.mapped(|ordinal| taken.iter().position(|taken| *taken == Some(ordinal)))
}
