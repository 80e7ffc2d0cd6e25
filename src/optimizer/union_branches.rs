//! Branches of a UNION whose table provably holds no row that passes the filter above are left out.
//!
//! A view over a table a day reads the days that its filter asks for: the bounds that the catalog keeps of each segment
//! decide, before anything else looks at the branches, so that hundreds of them cost hardly more than one. Nothing is
//! opened. Only proof prunes: a filter that cannot be followed down to a table, or read there, proves nothing.
//!
//! The filter is read as it will be: the rules that follow this one are applied to a copy of it.

use std::mem::discriminant;
use std::sync::Arc;

use arrow::datatypes::{Field, SchemaRef};
use datafusion::catalog::default_table_source::source_as_provider;
use datafusion::common::config::ConfigOptions;
use datafusion::common::tree_node::{Transformed, TransformedResult, TreeNode, TreeNodeRecursion};
use datafusion::common::{Column, DFSchema, Result};
use datafusion::execution::context::ExecutionProps;
use datafusion::logical_expr::simplify::SimplifyContext;
use datafusion::logical_expr::utils::{conjunction, split_conjunction};
use datafusion::logical_expr::{
    Distinct, EmptyRelation, Expr, Filter, LogicalPlan, Projection, SubqueryAlias, TableScan, Union,
};
use datafusion::optimizer::AnalyzerRule;
use datafusion::optimizer::analyzer::type_coercion::TypeCoercion;
use datafusion::optimizer::simplify_expressions::ExprSimplifier;
use datafusion::physical_expr::create_physical_expr;
use datafusion::physical_plan::PhysicalExpr;

use crate::common::SqlType;
use crate::physical_plan::config::BlueshiftOptions;
use crate::physical_plan::provider::{BlueshiftTable, Disproof};

/// See the module.
#[derive(Debug, Default)]
pub struct UnionBranches;

impl AnalyzerRule for UnionBranches {
    fn name(&self) -> &str {
        "blueshift_union_branches"
    }

    fn analyze(&self, plan: LogicalPlan, options: &ConfigOptions) -> Result<LogicalPlan> {
        if options.extensions.get::<BlueshiftOptions>().is_none_or(|o| !o.pruning) {
            return Ok(plan);
        }
        let mut pruner = Pruner { options, read: Vec::new() };
        plan.transform_down_with_subqueries(|plan| match &plan {
            LogicalPlan::Filter(filter) => {
                let conjuncts = pruner.usable(&filter.predicate);
                match pruner.below(&filter.input, &conjuncts)? {
                    Some(input) => {
                        let filter = Filter::try_new(filter.predicate.clone(), Arc::new(input))?;
                        Ok(Transformed::yes(LogicalPlan::Filter(filter)))
                    }
                    None => Ok(Transformed::no(plan)),
                }
            }
            // Of a plan that was optimized when it was prepared, the scans have the filters.
            LogicalPlan::Union(union) => match pruner.union(union, &[])? {
                Some(fewer) => Ok(Transformed::yes(fewer)),
                None => Ok(Transformed::no(plan)),
            },
            _ => Ok(Transformed::no(plan)),
        })
        .data()
    }
}

struct Pruner<'a> {
    options: &'a ConfigOptions,
    /// Filters that were read already: tables of a union are mostly alike.
    read: Vec<(SchemaRef, Vec<Expr>, Option<Arc<Disproof>>)>,
}

impl Pruner<'_> {
    /// The conjuncts that say the same of a row wherever they stand.
    fn usable(&self, predicate: &Expr) -> Vec<Expr> {
        let usable = |expr: &&Expr| {
            let mut fixed = !expr.is_volatile();
            let walked = expr.apply(|e| {
                fixed &= !matches!(
                    e,
                    Expr::ScalarSubquery(_)
                        | Expr::InSubquery(_)
                        | Expr::Exists(_)
                        | Expr::SetComparison(_)
                        | Expr::OuterReferenceColumn(..)
                        | Expr::Placeholder(_)
                );
                Ok(if fixed { TreeNodeRecursion::Continue } else { TreeNodeRecursion::Stop })
            });
            fixed && walked.is_ok()
        };
        split_conjunction(predicate).into_iter().filter(usable).cloned().collect()
    }

    /// The plan without branches that hold no row for which all of `conjuncts`, over its columns, are true; `None` when
    /// it stays as it is.
    fn below(&mut self, plan: &LogicalPlan, conjuncts: &[Expr]) -> Result<Option<LogicalPlan>> {
        Ok(match plan {
            LogicalPlan::SubqueryAlias(alias) => {
                let conjuncts = renamed(conjuncts, alias.schema.as_ref(), alias.input.schema());
                match self.below(&alias.input, &conjuncts)? {
                    Some(input) => {
                        let alias = SubqueryAlias::try_new(Arc::new(input), alias.alias.clone())?;
                        Some(LogicalPlan::SubqueryAlias(alias))
                    }
                    None => None,
                }
            }
            LogicalPlan::Projection(projection) => {
                let conjuncts = through_projection(conjuncts, projection);
                match self.below(&projection.input, &conjuncts)? {
                    Some(input) => {
                        let (exprs, schema) = (projection.expr.clone(), Arc::clone(&projection.schema));
                        let projection = Projection::try_new_with_schema(exprs, Arc::new(input), schema)?;
                        Some(LogicalPlan::Projection(projection))
                    }
                    None => None,
                }
            }
            LogicalPlan::Filter(filter) => {
                let mut conjuncts = conjuncts.to_vec();
                conjuncts.extend(self.usable(&filter.predicate));
                match self.below(&filter.input, &conjuncts)? {
                    Some(input) => {
                        Some(LogicalPlan::Filter(Filter::try_new(filter.predicate.clone(), Arc::new(input))?))
                    }
                    None => None,
                }
            }
            LogicalPlan::Distinct(Distinct::All(input)) => {
                self.below(input, conjuncts)?.map(|input| LogicalPlan::Distinct(Distinct::All(Arc::new(input))))
            }
            LogicalPlan::Union(union) => self.union(union, conjuncts)?,
            _ => None,
        })
    }

    fn union(&mut self, union: &Union, conjuncts: &[Expr]) -> Result<Option<LogicalPlan>> {
        let mut branches = Vec::new();
        flatten(union, union.schema.as_ref(), &mut branches);
        let conjuncts = shared(conjuncts, &union.schema, &branches);
        let mut kept = Vec::with_capacity(branches.len());
        let mut alike = Vec::new();
        for branch in &branches {
            let empty = match self.plain_is_empty(branch, &union.schema, &conjuncts, &mut alike)? {
                Some(empty) => empty,
                None => self.is_empty(branch, &renamed(&conjuncts, union.schema.as_ref(), branch.schema()))?,
            };
            if !empty {
                kept.push(Arc::clone(branch));
            }
        }
        if kept.len() == branches.len() {
            return Ok(None);
        }
        if !branches.iter().all(|branch| same_types(branch.schema(), union.schema.as_ref())) {
            // The branches' types decide together on the union's.
            let inputs = union.inputs.iter().map(|input| {
                let conjuncts = renamed(&conjuncts, union.schema.as_ref(), input.schema());
                Ok(if self.is_empty(input, &conjuncts)? {
                    Arc::new(nothing(input.schema()))
                } else {
                    Arc::clone(input)
                })
            });
            let inputs = inputs.collect::<Result<Vec<_>>>()?;
            return Ok(Some(LogicalPlan::Union(Union { inputs, schema: Arc::clone(&union.schema) })));
        }
        Ok(Some(match kept.len() {
            0 => nothing(&union.schema),
            1 => {
                let only = kept.remove(0);
                let fields = only.schema().columns().into_iter().zip(union.schema.iter());
                let exprs = fields.map(|(column, (qualifier, field))| {
                    Expr::Column(column).alias_qualified(qualifier.cloned(), field.name())
                });
                let exprs = exprs.collect();
                let projection = Projection::try_new_with_schema(exprs, only, Arc::clone(&union.schema))?;
                LogicalPlan::Projection(projection)
            }
            _ => LogicalPlan::Union(Union { inputs: kept, schema: Arc::clone(&union.schema) }),
        }))
    }

    /// The same as [`Self::is_empty`] of a branch that only chooses columns of a table, by their positions: tables of a union
    /// that are `alike` share what was made of `conjuncts`. `None` of any other branch.
    fn plain_is_empty(
        &self,
        branch: &LogicalPlan,
        schema: &DFSchema,
        conjuncts: &[Expr],
        alike: &mut Vec<Alike>,
    ) -> Result<Option<bool>> {
        let Some((scan, ordinals)) = columns_of_table(branch) else { return Ok(None) };
        let Ok(provider) = source_as_provider(&scan.source) else { return Ok(None) };
        let Some(table) = provider.downcast_ref::<BlueshiftTable>() else { return Ok(None) };
        if table.watches_reads(self.options) {
            // A branch that is left out is read, too: that it has no such row has to stay true.
            return Ok(Some(false));
        }
        let Some(rows) = table.planned(self.options) else { return Ok(Some(false)) };
        if rows.segments.is_empty() {
            return Ok(Some(true));
        }
        let of = provider.schema();
        let known = alike.iter().find(|known| known.schema == of && known.ordinals == ordinals);
        let disproof = match known {
            Some(known) => known.disproof.clone(),
            None => {
                let bare = replaced(conjuncts, |column| {
                    let ordinal = *ordinals.get(schema.maybe_index_of_column(column)?)?;
                    Some(Expr::Column(Column::new_unqualified(of.field(ordinal?).name())))
                });
                let filters = if bare.is_empty() { None } else { self.compile(&of, &bare).ok() };
                let disproof = filters.map(|filters| table.disproof(filters)).transpose()?.map(Arc::new);
                alike.push(Alike { schema: of, ordinals, disproof: disproof.clone() });
                disproof
            }
        };
        Ok(Some(disproof.is_some_and(|disproof| disproof.holds(&rows))))
    }

    /// Whether it is proven that no row of the plan makes all of `conjuncts` true.
    fn is_empty(&mut self, plan: &LogicalPlan, conjuncts: &[Expr]) -> Result<bool> {
        match plan {
            LogicalPlan::EmptyRelation(empty) => Ok(!empty.produce_one_row),
            LogicalPlan::SubqueryAlias(alias) => {
                let conjuncts = renamed(conjuncts, alias.schema.as_ref(), alias.input.schema());
                self.is_empty(&alias.input, &conjuncts)
            }
            LogicalPlan::Projection(projection) => {
                let conjuncts = through_projection(conjuncts, projection);
                self.is_empty(&projection.input, &conjuncts)
            }
            LogicalPlan::Filter(filter) => {
                let mut conjuncts = conjuncts.to_vec();
                conjuncts.extend(self.usable(&filter.predicate));
                self.is_empty(&filter.input, &conjuncts)
            }
            LogicalPlan::Distinct(Distinct::All(input)) => self.is_empty(input, conjuncts),
            LogicalPlan::Union(union) => {
                let conjuncts = shared(conjuncts, &union.schema, &union.inputs);
                for input in &union.inputs {
                    let conjuncts = renamed(&conjuncts, union.schema.as_ref(), input.schema());
                    if !self.is_empty(input, &conjuncts)? {
                        return Ok(false);
                    }
                }
                Ok(true)
            }
            LogicalPlan::TableScan(scan) => self.scan_is_empty(scan, conjuncts),
            _ => Ok(false),
        }
    }

    fn scan_is_empty(&mut self, scan: &TableScan, conjuncts: &[Expr]) -> Result<bool> {
        // A source that is not a provider's, and a provider that is not ours, proves nothing.
        let Ok(provider) = source_as_provider(&scan.source) else { return Ok(false) };
        let Some(table) = provider.downcast_ref::<BlueshiftTable>() else { return Ok(false) };
        if table.watches_reads(self.options) {
            return Ok(false);
        }
        let Some(rows) = table.planned(self.options) else { return Ok(false) };
        if rows.segments.is_empty() {
            return Ok(true);
        }
        let schema = provider.schema();
        let bare = |expr: &Expr| bare_columns(expr, &scan.projected_schema);
        let mut conjuncts: Vec<Expr> = conjuncts.iter().filter_map(bare).collect();
        if !scan.filters.is_empty() {
            // They may be about columns that are not projected.
            let all = DFSchema::try_from_qualified_schema(scan.table_name.clone(), &schema)?;
            let own = scan.filters.iter().flat_map(|filter| self.usable(filter));
            conjuncts.extend(own.filter_map(|expr| bare_columns(&expr, &all)));
        }
        if conjuncts.is_empty() {
            return Ok(false);
        }
        let known = self.read.iter().find(|(of, exprs, _)| *of == schema && *exprs == conjuncts);
        let disproof = match known {
            Some((_, _, disproof)) => disproof.clone(),
            None => {
                // What cannot be read is an error elsewhere, if it is one.
                let disproof = self.compile(&schema, &conjuncts).ok().map(|filters| table.disproof(filters));
                let disproof = disproof.transpose()?.map(Arc::new);
                self.read.push((schema, conjuncts, disproof.clone()));
                disproof
            }
        };
        Ok(disproof.is_some_and(|disproof| disproof.holds(&rows)))
    }

    /// The conjuncts as the scan would evaluate them.
    fn compile(&self, schema: &SchemaRef, conjuncts: &[Expr]) -> Result<Vec<Arc<dyn PhysicalExpr>>> {
        let schema = Arc::new(DFSchema::try_from(Arc::clone(schema))?);
        let empty = EmptyRelation { produce_one_row: false, schema: Arc::clone(&schema) };
        let Some(predicate) = conjunction(conjuncts.to_vec()) else { return Ok(Vec::new()) };
        let filter = Filter::try_new(predicate, Arc::new(LogicalPlan::EmptyRelation(empty)))?;
        let mut plan = LogicalPlan::Filter(filter);
        for rule in super::meanings() {
            plan = rule.analyze(plan, self.options)?;
        }
        plan = TypeCoercion::new().analyze(plan, self.options)?;
        let LogicalPlan::Filter(filter) = plan else { return Ok(Vec::new()) };
        // Functions see the session's settings.
        let options = Arc::new(self.options.clone());
        let props = ExecutionProps { config_options: Some(Arc::clone(&options)), ..ExecutionProps::new() };
        let context = SimplifyContext::builder().with_schema(Arc::clone(&schema)).with_config_options(options).build();
        let simplified = ExprSimplifier::new(context).simplify(filter.predicate)?;
        let conjuncts = split_conjunction(&simplified);
        conjuncts.into_iter().map(|expr| create_physical_expr(expr, &schema, &props, &Default::default())).collect()
    }
}

/// What a filter is to tables of the same columns of which a union takes the same.
struct Alike {
    schema: SchemaRef,
    ordinals: Vec<Option<usize>>,
    disproof: Option<Arc<Disproof>>,
}

/// The scan below a plan that only chooses columns, and which of the table's each of its columns is; `None` of any other
/// plan, and of a scan that filters.
fn columns_of_table(plan: &LogicalPlan) -> Option<(&TableScan, Vec<Option<usize>>)> {
    match plan {
        LogicalPlan::TableScan(scan) if scan.filters.is_empty() => {
            let all = 0..scan.projected_schema.fields().len();
            let ordinal = |i: usize| scan.projection.as_ref().map_or(Some(i), |projection| projection.get(i).copied());
            Some((scan, all.map(ordinal).collect()))
        }
        LogicalPlan::SubqueryAlias(alias) => columns_of_table(&alias.input),
        LogicalPlan::Projection(projection) => {
            let (scan, below) = columns_of_table(&projection.input)?;
            let schema = projection.input.schema();
            let ordinal = |mut expr: &Expr| {
                while let Expr::Alias(alias) = expr {
                    expr = &alias.expr;
                }
                let Expr::Column(column) = expr else { return None };
                *below.get(schema.maybe_index_of_column(column)?)?
            };
            Some((scan, projection.expr.iter().map(ordinal).collect()))
        }
        _ => None,
    }
}

/// All branches, those of unions within the union, too, where these have its types.
fn flatten(union: &Union, wanted: &DFSchema, branches: &mut Vec<Arc<LogicalPlan>>) {
    for input in &union.inputs {
        match input.as_ref() {
            LogicalPlan::Union(inner) if same_types(&inner.schema, wanted) => flatten(inner, wanted, branches),
            _ => branches.push(Arc::clone(input)),
        }
    }
}

fn same_types(one: &DFSchema, other: &DFSchema) -> bool {
    let types = |schema: &DFSchema| schema.fields().iter().map(|f| f.data_type().clone()).collect::<Vec<_>>();
    types(one) == types(other)
}

/// The conjuncts over columns that are alike in all branches. Others are compared as what the branches' types become
/// together, which need not be how a branch alone compares them: 10 is less than '9' as text.
fn shared(conjuncts: &[Expr], schema: &DFSchema, branches: &[Arc<LogicalPlan>]) -> Vec<Expr> {
    let kind = |field: &Field| {
        let marked = SqlType::from_field(field).filter(|of| matches!(of, SqlType::Char(_) | SqlType::Super));
        (field.data_type().clone(), marked.as_ref().map(discriminant))
    };
    let alike = |column: &&Column| {
        schema.maybe_index_of_column(column).is_some_and(|i| {
            let mut kinds = branches.iter().map(|branch| branch.schema().fields().get(i).map(|field| kind(field)));
            let first = kinds.next();
            kinds.all(|kind| kind.is_some() && Some(&kind) == first.as_ref())
        })
    };
    conjuncts.iter().filter(|conjunct| conjunct.column_refs().iter().all(alike)).cloned().collect()
}

fn nothing(schema: &Arc<DFSchema>) -> LogicalPlan {
    LogicalPlan::EmptyRelation(EmptyRelation { produce_one_row: false, schema: Arc::clone(schema) })
}

/// The conjuncts over `to`, whose columns are those of `from` by position; left out where a type differs.
fn renamed(conjuncts: &[Expr], from: &DFSchema, to: &DFSchema) -> Vec<Expr> {
    replaced(conjuncts, |column| {
        let i = from.maybe_index_of_column(column)?;
        let (qualifier, field) = to.iter().nth(i)?;
        let same = from.field(i).data_type() == field.data_type();
        same.then(|| Expr::Column(Column::from((qualifier, field))))
    })
}

/// The conjuncts below a projection, as far as they are about columns that it hands on.
fn through_projection(conjuncts: &[Expr], projection: &Projection) -> Vec<Expr> {
    replaced(conjuncts, |column| {
        let i = projection.schema.maybe_index_of_column(column)?;
        match projection.expr.get(i)?.clone().unalias() {
            handed_on @ Expr::Column(_) => Some(handed_on),
            _ => None,
        }
    })
}

/// A conjunct over a table's columns by their names alone.
fn bare_columns(expr: &Expr, schema: &DFSchema) -> Option<Expr> {
    replaced(std::slice::from_ref(expr), |column| {
        let i = schema.maybe_index_of_column(column)?;
        Some(Expr::Column(Column::new_unqualified(schema.field(i).name())))
    })
    .pop()
}

/// The conjuncts with columns replaced; without those of which a column is not.
fn replaced(conjuncts: &[Expr], with: impl Fn(&Column) -> Option<Expr>) -> Vec<Expr> {
    let replace = |expr: &Expr| {
        let mut whole = true;
        let new = expr.clone().transform(|e| match &e {
            Expr::Column(column) => match with(column) {
                Some(new) => Ok(Transformed::yes(new)),
                None => {
                    whole = false;
                    Ok(Transformed::no(e))
                }
            },
            _ => Ok(Transformed::no(e)),
        });
        new.ok().map(|new| new.data).filter(|_| whole)
    };
    conjuncts.iter().filter_map(replace).collect()
}
