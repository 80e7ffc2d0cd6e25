//! MERGE: one join of the source with the table's row identities tells which rows are dead, which come anew in their place,
//! and which come in beside.

use std::ops::ControlFlow;
use std::sync::Arc;

use arrow::array::{AsArray, BooleanArray, RecordBatch};
use arrow::compute::{filter_record_batch, is_not_null, not};
use arrow::datatypes::{Int64Type, SchemaRef};
use datafusion::common::{ParamValues, Result as DfResult};
use datafusion::execution::SendableRecordBatchStream;
use datafusion::physical_plan::stream::RecordBatchStreamAdapter;
use datafusion::sql::sqlparser::ast::{
    BinaryOperator, Expr, Function, FunctionArg, FunctionArgExpr, FunctionArguments, GroupByExpr, Ident as SqlIdent,
    JoinConstraint, JoinOperator, Query, SelectItem, SetExpr, Statement as SqlStatement, VisitMut, VisitorMut,
    WildcardAdditionalOptions, With,
};
use futures::{StreamExt, stream};
use tokio::sync::mpsc;

use super::coerce::Refused;
use super::delete::{Found, Target, assigned, row_of};
use super::error::from_datafusion;
use super::identity::{Generate, explicit};
use super::names;
use super::output::Output;
use super::running::Running;
use crate::catalog::{Changed, Source};
use crate::common::{ColumnId, Error, Result, SqlState};
use crate::sql;
use crate::sql::ast::{Ident, InsertValue, Matched, Merge, MergeAction, MergeInsert};

/// Batches that wait to be placed.
const WAITING: usize = 2;

/// Does to the rows of a table what the statement says of those that its source finds, and of those that it lacks, all in one
/// commit.
///
/// Errors: Invalid, SQLSTATE 21000, when several rows of the source find one row of the table: which of them it should take
/// is not said. Conflict as for DELETE.
pub(super) async fn merge(running: &Running<'_>, merge: &Merge, parameters: Option<ParamValues>) -> Result<Output> {
    let (count, notices) = changed(running, merge, parameters, None).await?;
    Ok(Output::done(format!("MERGE {count}"), Some(count)).with_notices(notices))
}

/// The same of a source that was loaded from files, which the table is to remember; `once` says that nobody else may have.
pub(super) async fn merge_from(running: &Running<'_>, merge: &Merge, from: (Vec<Source>, bool)) -> Result<Vec<String>> {
    let (_, notices) = changed(running, merge, None, Some(from)).await?;
    Ok(notices)
}

async fn changed(
    running: &Running<'_>,
    merge: &Merge,
    parameters: Option<ParamValues>,
    from: Option<(Vec<Source>, bool)>,
) -> Result<(u64, Vec<String>)> {
    let target = Target::find(running, &merge.table).await?;
    let changes = Changes::of(running, &target, merge).await?;
    let rows = target.rows(running, changes.query.clone(), parameters).await?;
    let found = match merge.action {
        MergeAction::When { .. } => Found::once_each(merge.table.base()),
        // What several rows of the source find makes room for all of them.
        MergeAction::RemoveDuplicates => Found::default(),
    };
    let mut transaction = target.transaction(running)?;
    let load = target.load(running, &transaction)?;
    // A table of rows keeps its layout, an empty one gets one as from INSERT.
    let load = if target.table.segments.is_empty() { load } else { load.in_place(changes.added(&target, merge))? };
    let schema = rows.schema();
    let (updates, updated) = channel(&schema, changes.updates())?;
    let (inserts, inserted) = channel(&schema, changes.inserts())?;
    let split = Split { found: found.clone(), changes: &changes, updates, inserts };
    let (new, (), ()) = tokio::try_join!(
        split.all(rows),
        async {
            let taken = load.take_generating(updated, changes.updating).await;
            taken.map_err(|refused| target.placed(refused, changes.assignments(merge)))
        },
        async {
            let taken = load.take_generating(inserted, changes.inserting).await;
            taken.map_err(|refused| changes.placed(refused, &target, merge))
        }
    )?;
    let (found, dead) = found.take();
    let count = match merge.action {
        MergeAction::When { .. } => dead + new,
        MergeAction::RemoveDuplicates => new,
    };
    let tells = from.as_ref().is_some_and(|(sources, _)| !sources.is_empty());
    if let Some((sources, once)) = from.filter(|_| tells) {
        transaction.loaded(&target.table.def, sources, once);
    }
    let mut notices = Vec::new();
    if dead + new > 0 {
        let changed = changes.removed(&target, merge);
        // Rows that come in since the table had none of their keys: neither may it have them by then.
        let absent = (new > 0).then(|| changes.key(&target, merge));
        notices = target.replace(running, load, found, changed, absent, transaction).await?;
    } else if tells {
        notices = target.commit(running, transaction).await?;
    }
    Ok((count, notices))
}

/// The query that finds what the statement changes.
pub(super) async fn query(running: &Running<'_>, merge: &Merge) -> Result<Box<Query>> {
    let target = Target::find(running, &merge.table).await?;
    Ok(Changes::of(running, &target, merge).await?.query)
}

/// The query of a MERGE and what its columns are.
///
/// First come row identities, NULL where the source's row has no partner; then, as far as the statement has such, all columns
/// of the table as they are to be where there is one, and as they are to be where there is none.
struct Changes {
    query: Box<Query>,
    /// Columns of the table.
    columns: usize,
    updates: bool,
    inserts: bool,
    /// Which rows get values of the identity column.
    updating: Generate,
    inserting: Generate,
    /// Which value of INSERT each column of the table gets.
    given: Vec<Option<usize>>,
}

impl Changes {
    async fn of(running: &Running<'_>, target: &Target, merge: &Merge) -> Result<Self> {
        check_source(running, target, merge).await?;
        let columns = target.table.def.columns.len();
        let mut changes = Changes {
            query: merge.rows.clone(),
            columns,
            updates: false,
            inserts: false,
            updating: Generate::Nothing,
            inserting: Generate::Nothing,
            given: vec![None; columns],
        };
        match &merge.action {
            MergeAction::RemoveDuplicates => changes.replace(running, target, merge).await?,
            MergeAction::When { matched, not_matched } => {
                changes.when(running, target, merge, matched.as_ref(), not_matched.as_ref())?
            }
        }
        Ok(changes)
    }

    fn when(
        &mut self,
        running: &Running<'_>,
        target: &Target,
        merge: &Merge,
        matched: Option<&Matched>,
        not_matched: Option<&MergeInsert>,
    ) -> Result<()> {
        let called = target.called(merge.alias.as_ref());
        let both = matched.is_some() && not_matched.is_some();
        let mut items = vec![row_of(called)];
        if let Some(Matched::Update(assignments)) = matched {
            let (values, updating) = target.values(called, assignments)?;
            for value in values {
                items.push(if both { only_where("IS NOT NULL", called, value)? } else { value });
            }
            (self.updates, self.updating) = (true, updating);
        }
        if let Some(insert) = not_matched {
            for value in self.insert(target, merge, insert)? {
                items.push(if both { only_where("IS NULL", called, value)? } else { value });
            }
            self.inserts = true;
        }
        if let SetExpr::Select(select) = self.query.body.as_mut() {
            match (matched, not_matched) {
                (Some(_), None) => {
                    for join in select.from.iter_mut().flat_map(|from| &mut from.joins) {
                        if let JoinOperator::Left(on) = &join.join_operator {
                            join.join_operator = JoinOperator::Inner(on.clone());
                        }
                    }
                }
                (None, _) => select.selection = Some(Expr::IsNull(Box::new(row_of(called)))),
                (Some(_), Some(_)) => {}
            }
        }
        target.select(running, merge.alias.as_ref(), &mut self.query, items)
    }

    /// What INSERT gives the columns of the table.
    fn insert(&mut self, target: &Target, merge: &Merge, insert: &MergeInsert) -> Result<Vec<Expr>> {
        let def = &target.table.def;
        let ordinals: Vec<usize> = match insert.columns.is_empty() {
            true => (0..def.columns.len()).collect(),
            false => insert.columns.iter().map(|column| target.ordinal(column)).collect::<Result<_>>()?,
        };
        if insert.values.len() > ordinals.len() {
            let (given, table) = (insert.values.len(), merge.table.unquoted());
            let message = format!("INSERT gives {given} values for {} columns of table \"{table}\"", ordinals.len());
            let error = Error::invalid(SqlState::SYNTAX_ERROR, message);
            return Err(error
                .with_hint("name the columns that the values are for")
                .with_position(insert.position.line, insert.position.column));
        }
        for (field, ordinal) in ordinals.into_iter().take(insert.values.len()).enumerate() {
            self.given[ordinal] = Some(field);
        }
        let mut values = Vec::with_capacity(def.columns.len());
        for (column, given) in def.columns.iter().zip(&self.given) {
            let given = given.and_then(|field| insert.values.get(field));
            match (&column.identity, given) {
                (Some(_), None | Some(InsertValue::Default(_))) => self.inserting = Generate::All,
                (Some(identity), Some(value)) if !identity.by_default => {
                    let position = value.position().unwrap_or(insert.position);
                    return Err(explicit(def).with_position(position.line, position.column));
                }
                _ => {}
            }
            let default = InsertValue::Default(insert.position);
            let mut value = assigned(column, given.unwrap_or(&default))?;
            of_source(&mut value, target, merge)?;
            values.push(value);
        }
        Ok(values)
    }

    /// Each row of the source once, with the rows of the table that it finds.
    async fn replace(&mut self, running: &Running<'_>, target: &Target, merge: &Merge) -> Result<()> {
        let def = &target.table.def;
        let mut alone = merge.rows.clone();
        if let SetExpr::Select(select) = alone.body.as_mut() {
            select.projection = vec![SelectItem::Wildcard(WildcardAdditionalOptions::default())];
            select.from.iter_mut().for_each(|from| from.joins.clear());
        }
        let source = running.plan(&SqlStatement::Query(alone)).await?;
        let names: Vec<&str> = source.schema().fields().iter().map(|field| field.name().as_str()).collect();
        let refused = |message: String, hint: String| {
            let error = Error::invalid(SqlState::DATATYPE_MISMATCH, message).with_hint(hint);
            Err(error.with_position(merge.source_position.line, merge.source_position.column))
        };
        if names.len() != def.columns.len() {
            let (table, has) = (merge.table.unquoted(), def.columns.len());
            let message = format!("the source has {} columns, table \"{table}\" has {has}", names.len());
            return refused(
                message,
                "REMOVE DUPLICATES takes rows as they are: WHEN … THEN says which columns go where".into(),
            );
        }
        // In another order they would go into each other's places where types allow.
        let swapped =
            def.columns.iter().zip(&names).find(|(c, name)| c.name != **name && names.contains(&c.name.as_str()));
        if let Some((column, name)) = swapped {
            let message = format!("the source has column \"{name}\" where the table has \"{}\"", column.name);
            return refused(
                message,
                "REMOVE DUPLICATES takes columns by their places: select them in the table's order".into(),
            );
        }
        let quoted = |name: &str| SqlIdent::with_quote('"', name);
        let column = |name: &&str| match &merge.called {
            Some(called) => Expr::CompoundIdentifier(vec![quoted(&called.value), quoted(name)]),
            None => Expr::Identifier(quoted(name)),
        };
        let given: Vec<Expr> = names.iter().map(column).collect();
        if let Some((column, identity)) = def.columns.iter().find_map(|c| Some((c, c.identity?)))
            && !identity.by_default
        {
            return refused(
                explicit(def).message().to_string(),
                format!("let WHEN … THEN leave out column \"{}\"", column.name),
            );
        }
        let called = target.called(merge.alias.as_ref());
        let mut items = vec![gathered(row_of(called))?];
        for (field, (column, value)) in def.columns.iter().zip(&given).enumerate() {
            items.push(assigned(column, &InsertValue::Expr(value.clone()))?);
            self.given[field] = Some(field);
        }
        self.inserts = true;
        if let SetExpr::Select(select) = self.query.body.as_mut() {
            select.group_by = GroupByExpr::Expressions(given, Vec::new());
        }
        target.select(running, merge.alias.as_ref(), &mut self.query, items)
    }

    /// The query's columns that the rows of the table which were found become.
    fn updates(&self) -> Vec<usize> {
        if self.updates { (1..1 + self.columns).collect() } else { Vec::new() }
    }

    /// Those of rows that come in.
    fn inserts(&self) -> Vec<usize> {
        let before = 1 + if self.updates { self.columns } else { 0 };
        if self.inserts { (before..before + self.columns).collect() } else { Vec::new() }
    }

    /// In which columns rows that are found come back with other values.
    fn removed(&self, target: &Target, merge: &Merge) -> Changed {
        if self.updates { target.changed(self.assignments(merge)) } else { Changed::All }
    }

    /// In which columns rows come in with values that those which go for them have not.
    fn added(&self, target: &Target, merge: &Merge) -> Changed {
        if self.inserts { Changed::All } else { self.removed(target, merge) }
    }

    fn assignments<'m>(&self, merge: &'m Merge) -> &'m [(Ident, InsertValue)] {
        match &merge.action {
            MergeAction::When { matched: Some(Matched::Update(assignments)), .. } => assignments,
            _ => &[],
        }
    }

    /// The columns of the table that ON equates with what they are given in rows that come in: rows with other values find none of
    /// these.
    fn key(&self, target: &Target, merge: &Merge) -> Vec<ColumnId> {
        let SetExpr::Select(select) = merge.rows.body.as_ref() else { return Vec::new() };
        let joins = select.from.iter().flat_map(|from| &from.joins);
        let on = joins.filter_map(|join| match &join.join_operator {
            JoinOperator::Left(JoinConstraint::On(on)) => Some(on),
            _ => None,
        });
        let mut key = Vec::new();
        let mut open: Vec<&Expr> = on.collect();
        while let Some(expr) = open.pop() {
            match expr {
                Expr::Nested(inner) => open.push(inner),
                Expr::BinaryOp { left, op: BinaryOperator::And, right } => open.extend([left.as_ref(), right.as_ref()]),
                Expr::BinaryOp { left, op: BinaryOperator::Eq, right } => {
                    for (column, value) in [(left, right), (right, left)] {
                        key.extend(self.given(column, value, target, merge));
                    }
                }
                _ => {}
            }
        }
        key
    }

    /// The column of the table that `column` names, if rows that come in get just `value` there.
    fn given(&self, column: &Expr, value: &Expr, target: &Target, merge: &Merge) -> Option<ColumnId> {
        let Expr::CompoundIdentifier(parts) = column else { return None };
        let [table, name] = parts.as_slice() else { return None };
        if sql::folded(table) != target.called(merge.alias.as_ref()).value {
            return None;
        }
        let columns = &target.table.def.columns;
        let ordinal = columns.iter().position(|c| c.name == sql::folded(name))?;
        let field = (*self.given.get(ordinal)?)?;
        let same = match &merge.action {
            MergeAction::When { not_matched: Some(insert), .. } => {
                matches!(insert.values.get(field), Some(InsertValue::Expr(given)) if given == value)
            }
            MergeAction::When { .. } => false,
            // The source's columns come in as they are, under the table's names.
            MergeAction::RemoveDuplicates => match (value, &merge.called) {
                (Expr::CompoundIdentifier(parts), Some(called)) => {
                    matches!(parts.as_slice(), [of, name] if sql::folded(of) == called.value && sql::folded(name) == columns[ordinal].name)
                }
                _ => false,
            },
        };
        same.then(|| columns[ordinal].id)
    }

    /// The error of a refused value of INSERT, with its place.
    fn placed(&self, refused: Refused, target: &Target, merge: &Merge) -> Error {
        let misfit = match refused {
            Refused::Value(misfit) => misfit,
            Refused::Other(error) => return error,
        };
        let field = self.given.get(misfit.column).copied().flatten();
        let position = match &merge.action {
            MergeAction::When { not_matched: Some(insert), .. } => {
                let value = field.and_then(|field| insert.values.get(field));
                let column = field.and_then(|field| insert.columns.get(field)).map(|column| column.position);
                value.and_then(InsertValue::position).or(column).unwrap_or(insert.position)
            }
            _ => target.name.position(),
        };
        match misfit.error.position() {
            Some(_) => misfit.error,
            None => misfit.error.with_position(position.line, position.column),
        }
    }
}

/// Parts the query's rows.
struct Split<'c> {
    found: Found,
    changes: &'c Changes,
    updates: mpsc::Sender<RecordBatch>,
    inserts: mpsc::Sender<RecordBatch>,
}

impl Split<'_> {
    /// Notes the identities of all rows, and sends the rest where it belongs; returns how many rows came in beside those that
    /// take another's place.
    async fn all(self, mut rows: SendableRecordBatchStream) -> Result<u64> {
        let mut new = 0;
        let (updates, inserts) = (self.changes.updates(), self.changes.inserts());
        while let Some(batch) = rows.next().await {
            let batch = batch.map_err(from_datafusion)?;
            let matched = self.note(&batch)?;
            for (columns, rows, to) in [
                (&updates, matched.clone(), &self.updates),
                (&inserts, matched.map(|matched| not(&matched)).transpose()?, &self.inserts),
            ] {
                if columns.is_empty() {
                    continue;
                }
                let part = batch.project(columns)?;
                let part = match rows {
                    Some(rows) => filter_record_batch(&part, &rows)?,
                    None => part,
                };
                if std::ptr::eq(columns, &inserts) {
                    new += part.num_rows() as u64;
                }
                // Whoever takes no more has an error to tell.
                if part.num_rows() > 0 && to.send(part).await.is_err() {
                    return Ok(new);
                }
            }
        }
        Ok(new)
    }

    /// Notes the rows of the table that a batch names; which of the batch's have a partner, where that tells them apart.
    fn note(&self, batch: &RecordBatch) -> Result<Option<BooleanArray>> {
        let identities = batch.column(0);
        let Some(lists) = identities.as_list_opt::<i32>() else {
            let matched = is_not_null(identities)?;
            let known: Vec<i64> = identities.as_primitive::<Int64Type>().iter().flatten().collect();
            self.found.note(&known)?;
            return Ok(Some(matched));
        };
        let known: Vec<i64> = lists.values().as_primitive::<Int64Type>().iter().flatten().collect();
        self.found.note(&known)?;
        Ok(None)
    }
}

type Channel = (mpsc::Sender<RecordBatch>, Vec<SendableRecordBatchStream>);

/// What feeds a stream of some of the columns of `schema`; no stream where there are none.
fn channel(schema: &SchemaRef, columns: Vec<usize>) -> Result<Channel> {
    let schema = Arc::new(schema.project(&columns)?);
    let (sender, receiver) = mpsc::channel::<RecordBatch>(WAITING);
    if columns.is_empty() {
        return Ok((sender, Vec::new()));
    }
    let batches = stream::unfold(receiver, |mut receiver| async {
        receiver.recv().await.map(|batch| (DfResult::Ok(batch), receiver))
    });
    Ok((sender, vec![Box::pin(RecordBatchStreamAdapter::new(schema, batches))]))
}

/// Invalid where the table is its own source.
async fn check_source(running: &Running<'_>, target: &Target, merge: &Merge) -> Result<()> {
    let Some(name) = &merge.source else { return Ok(()) };
    let own = |with: &With| with.cte_tables.iter().any(|cte| folded(&cte.alias.name) == name.base().value);
    if (name.parts.len() == 1 && merge.rows.with.as_ref().is_some_and(own))
        || running.session.is_foreign(name, &running.pin)
    {
        return Ok(());
    }
    // What cannot be looked up is an error of the planner's.
    let Ok(place) = running.place(name).await else { return Ok(()) };
    let pin = running.pins.pin(&place.warehouse).await?;
    let same = place.warehouse.info().uuid == target.place.warehouse.info().uuid
        && place.table(&pin, name).is_ok_and(|table| table.def.id == target.table.def.id);
    if !same {
        return Ok(());
    }
    let message = format!("table \"{}\" is merged with itself", target.name.unquoted());
    let error = Error::unsupported(message);
    Err(names::at(error.with_hint("use UPDATE … FROM, or a subquery of what the rows are merged with"), name.base()))
}

/// Where nothing was found the table has no row: names of columns are the source's.
fn of_source(value: &mut Expr, target: &Target, merge: &Merge) -> Result<()> {
    let called = target.called(merge.alias.as_ref());
    let mut names = SourceNames { target, called, source: merge.called.as_ref(), depth: 0 };
    match value.visit(&mut names) {
        ControlFlow::Continue(()) => Ok(()),
        ControlFlow::Break(error) => Err(error),
    }
}

struct SourceNames<'a> {
    target: &'a Target,
    /// What the table is called.
    called: &'a Ident,
    source: Option<&'a Ident>,
    /// Of subqueries, where a name may mean a table of theirs.
    depth: usize,
}

impl VisitorMut for SourceNames<'_> {
    type Break = Error;

    fn pre_visit_query(&mut self, _: &mut Query) -> ControlFlow<Error> {
        self.depth += 1;
        ControlFlow::Continue(())
    }

    fn post_visit_query(&mut self, _: &mut Query) -> ControlFlow<Error> {
        self.depth -= 1;
        ControlFlow::Continue(())
    }

    fn pre_visit_expr(&mut self, expr: &mut Expr) -> ControlFlow<Error> {
        if self.depth > 0 {
            return ControlFlow::Continue(());
        }
        match expr {
            Expr::CompoundIdentifier(parts) => {
                let Some(table) = parts.len().checked_sub(2).and_then(|at| parts.get(at)) else {
                    return ControlFlow::Continue(());
                };
                if folded(table) == self.called.value {
                    let message =
                        format!("INSERT takes no column of table \"{}\": no row of it was found", self.called.value);
                    let at = table.span.start;
                    let error = Error::invalid(SqlState::INVALID_COLUMN_REFERENCE, message)
                        .with_hint("take the source's columns");
                    return ControlFlow::Break(if at.line > 0 {
                        error.with_position(at.line, at.column)
                    } else {
                        error
                    });
                }
            }
            Expr::Identifier(name) => {
                let folded = folded(name);
                let ambiguous = self.target.table.def.columns.iter().any(|column| column.name == folded);
                if let (true, Some(source)) = (ambiguous, self.source) {
                    let source = SqlIdent { span: name.span, ..SqlIdent::with_quote('"', &source.value) };
                    let name = SqlIdent { span: name.span, ..SqlIdent::with_quote('"', &folded) };
                    *expr = Expr::CompoundIdentifier(vec![source, name]);
                }
            }
            _ => {}
        }
        ControlFlow::Continue(())
    }
}

fn folded(name: &SqlIdent) -> String {
    if name.quote_style.is_some() { name.value.clone() } else { name.value.to_ascii_lowercase() }
}

/// An expression that concerns only rows with a partner, or without: of others it is not computed, so that it cannot fail.
fn only_where(is: &str, called: &Ident, value: Expr) -> Result<Expr> {
    if matches!(value, Expr::Identifier(_) | Expr::CompoundIdentifier(_) | Expr::Value(_)) {
        return Ok(value);
    }
    let mut case = sql::parse_expr(&format!("CASE WHEN NULL {is} THEN NULL END"))?;
    if let Expr::Case { conditions, .. } = &mut case {
        for when in conditions {
            when.condition = match is {
                "IS NULL" => Expr::IsNull(Box::new(row_of(called))),
                _ => Expr::IsNotNull(Box::new(row_of(called))),
            };
            when.result = value.clone();
        }
    }
    Ok(case)
}

/// All values of an expression, as a list.
fn gathered(value: Expr) -> Result<Expr> {
    let mut call = sql::parse_expr("array_agg(NULL)")?;
    if let Expr::Function(Function { args: FunctionArguments::List(list), .. }) = &mut call {
        list.args = vec![FunctionArg::Unnamed(FunctionArgExpr::Expr(value))];
    }
    Ok(call)
}
