//! ALTER TABLE … APPEND FROM: a table's segments become another's.

use std::collections::{BTreeMap, BTreeSet};

use object_store::ObjectStoreExt;

use super::check_alone;
use super::columns::default_now;
use crate::catalog::{
    Blob, ColumnDef, EffectiveDist, NewSegment, PinnedSnapshot, RankChoice, RunChoice, RunId, SegmentRef, TableDef,
    TableState, Transaction, paths,
};
use crate::common::{ColumnId, Error, ErrorKind, Result, Scalar, SqlState, SqlType};
use crate::engine::identity::Identities;
use crate::engine::names::{Place, at};
use crate::engine::output::Output;
use crate::engine::running::Running;
use crate::engine::verify;
use crate::format::segment::ColumnSpec;
use crate::sql::ast::{Extra, ObjectName};
use crate::storage::reencode::{Absent, Taken, reencode};

/// Moves all rows of `source` to `target`, in one commit: as they are stored where their columns have the numbers of the target's,
/// else copied encoded.
pub async fn append(
    running: &Running<'_>,
    target: &ObjectName,
    source: &ObjectName,
    extra: Option<Extra>,
) -> Result<Output> {
    check_alone(running, "ALTER TABLE … APPEND FROM")?;
    let moved = running.retry_while(|e| e.kind() == ErrorKind::Conflict, || once(running, target, source, extra));
    let (rows, mut notices) = moved.await?;
    notices.push(format!("{rows} rows were moved from \"{}\" to \"{}\"", source.unquoted(), target.unquoted()));
    Ok(Output::done("ALTER TABLE APPEND", Some(rows)).with_notices(notices))
}

async fn once(
    running: &Running<'_>,
    target: &ObjectName,
    source: &ObjectName,
    extra: Option<Extra>,
) -> Result<(u64, Vec<String>)> {
    let place = running.place(target).await?;
    place.check_writable(target)?;
    let source_place = running.place(source).await?;
    check_places(&place, &source_place, target, source)?;
    let pin = place.warehouse.pin_newest().await?;
    let (to, from) = (place.table(&pin, target)?, source_place.table(&pin, source)?);
    if to.def.id == from.def.id {
        let error = Error::invalid(SqlState::INVALID_TABLE_DEFINITION, "a table cannot be appended to itself");
        return Err(at(error, source.base()));
    }
    running.statement.note_all(&place.warehouse, &pin, &from.def);
    let columns = paired(running, &to.def, &from.def, extra).await.map_err(|e| at(e, source.base()))?;
    let catalog = &place.warehouse.inner.catalog;
    let mut transaction = catalog.begin_at(running.statement.user, &pin);
    let outcome = append_to(running, &place, &pin, &mut transaction, to, from, &columns).await;
    let names = transaction.names();
    let outcome = match outcome {
        Ok(()) => catalog.commit(running.statement.with_reads(&place.warehouse, transaction)?).await,
        Err(e) => Err(e),
    };
    match outcome {
        Ok(committed) => Ok((from.live_rows(), committed.demoted.iter().map(verify::demoted).collect())),
        Err(e) => {
            if e.state() != SqlState::OUTCOME_UNKNOWN {
                for object in names.given() {
                    // What cannot be deleted is collected later.
                    let _ = catalog.store().objects().delete(&paths::object(&object)).await;
                }
            }
            Err(e)
        }
    }
}

fn check_places(place: &Place, source_place: &Place, target: &ObjectName, source: &ObjectName) -> Result<()> {
    let wrong = |message: String, hint: &str, name: &ObjectName| {
        Err(at(Error::invalid(SqlState::INVALID_TABLE_DEFINITION, message).with_hint(hint), name.base()))
    };
    for (of, name) in [(place, target), (source_place, source)] {
        if of.temporary {
            return wrong(
                format!("table \"{}\" is temporary", name.unquoted()),
                "APPEND moves the rows of permanent tables; use INSERT INTO … SELECT",
                name,
            );
        }
    }
    source_place.check_writable(source)?;
    if !place.warehouse.is(&source_place.warehouse) {
        return wrong(
            format!("table \"{}\" is of another database", source.unquoted()),
            "use INSERT INTO … SELECT",
            source,
        );
    }
    Ok(())
}

/// A column of the target, and where its values come from.
struct Paired {
    to: ColumnDef,
    /// The source's; without one all rows have `fill`, or a value each of the column's IDENTITY.
    from: Option<ColumnDef>,
    fill: Option<Scalar>,
}

impl Paired {
    fn is_numbered(&self) -> bool {
        self.from.is_none() && self.to.identity.is_some()
    }
}

/// The target's columns with those of the source.
///
/// Invalid where the tables do not agree (Redshift manual, "ALTER TABLE APPEND"): columns of one name are of one type, there are no
/// others but what `extra` allows, and both have one distribution and sort key.
async fn paired(running: &Running<'_>, to: &TableDef, from: &TableDef, extra: Option<Extra>) -> Result<Vec<Paired>> {
    let wrong =
        |message: String, hint: &str| Err(Error::invalid(SqlState::INVALID_TABLE_DEFINITION, message).with_hint(hint));
    let surplus = from.columns.iter().find(|column| to.column_named(&column.name).is_none());
    if let (Some(column), true) = (surplus, extra != Some(Extra::Ignore)) {
        return wrong(
            format!("table \"{}\" has no column \"{}\", as table \"{}\" has", to.name, column.name, from.name),
            "IGNOREEXTRA leaves such columns out, or DROP COLUMN before",
        );
    }
    let mut pairs = Vec::with_capacity(to.columns.len());
    for column in &to.columns {
        let partner = from.column_named(&column.name);
        if partner.is_some() && column.identity.is_some_and(|identity| !identity.by_default) {
            return wrong(
                format!("column \"{}\" of table \"{}\" is an IDENTITY, which takes no values", column.name, to.name),
                "rename or drop the source's column, and say FILLTARGET: then it gets new ones",
            );
        }
        let Some(partner) = partner else {
            if extra != Some(Extra::Fill) {
                return wrong(
                    format!("table \"{}\" has no column \"{}\", as table \"{}\" has", from.name, column.name, to.name),
                    "FILLTARGET fills such columns with their defaults, or ADD COLUMN before",
                );
            }
            let fill = default_now(running, column).await?;
            if fill.is_none() && !column.nullable && column.identity.is_none() {
                return wrong(
                    format!("column \"{}\" of table \"{}\" is NOT NULL and has no DEFAULT", column.name, to.name),
                    "add it to the source before",
                );
            }
            pairs.push(Paired { to: column.clone(), from: None, fill });
            continue;
        };
        let fits = match (column.sql_type, partner.sql_type) {
            (SqlType::Varchar(to), SqlType::Varchar(from)) => from <= to,
            (to, from) => to == from,
        };
        if !fits {
            return wrong(
                format!(
                    "column \"{}\" is of type {} in table \"{}\", and {} in table \"{}\"",
                    column.name, column.sql_type, to.name, partner.sql_type, from.name
                ),
                "use INSERT INTO … SELECT with a cast",
            );
        }
        if !column.nullable && partner.nullable {
            return wrong(
                format!(
                    "column \"{}\" is NOT NULL in table \"{}\" but not in table \"{}\"",
                    column.name, to.name, from.name
                ),
                "use INSERT INTO … SELECT, which checks the rows",
            );
        }
        pairs.push(Paired { to: column.clone(), from: Some(partner.clone()), fill: None });
    }
    let shown = |def: &TableDef, ids: &[ColumnId]| -> Vec<String> {
        ids.iter().filter_map(|id| def.column(*id)).map(|column| column.name.clone()).collect()
    };
    let dist = |def: &TableDef| match def.effective_dist {
        EffectiveDist::Key(id) => (true, shown(def, &[id])),
        other => (other == EffectiveDist::All, Vec::new()),
    };
    let sort = |def: &TableDef| def.sort.as_ref().map(|key| (key.style, shown(def, &key.columns)));
    let what = match () {
        _ if dist(to) != dist(from) => "distribution",
        _ if sort(to) != sort(from) => "sort key",
        _ => return Ok(pairs),
    };
    wrong(
        format!("tables \"{}\" and \"{}\" do not have one {what}", to.name, from.name),
        "ALTER one of them before, or use INSERT INTO … SELECT",
    )
}

async fn append_to(
    running: &Running<'_>,
    place: &Place,
    pin: &PinnedSnapshot,
    transaction: &mut Transaction,
    to: &TableState,
    from: &TableState,
    columns: &[Paired],
) -> Result<()> {
    let numbers = Numbers::of(&to.def, columns);
    let (as_they_are, copied): (Vec<_>, Vec<_>) =
        from.segments.iter().cloned().partition(|segment| numbers.holds_of(segment));
    let rows: u64 = copied.iter().map(|segment| u64::from(segment.rows)).sum();
    let given = match Identities::of(&place.warehouse, to) {
        Some(identities) if rows > 0 && columns.iter().any(Paired::is_numbered) => identities.stretch(rows).await?,
        _ => 0,
    };
    let taken: Vec<Taken> = columns.iter().map(|column| column.taken(given)).collect();
    let resources = place.warehouse.resources(pin);
    let check = |_| running.check_cancelled();
    let made = reencode(&copied, &taken, false, &resources, &transaction.names(), &check).await?;
    // Runs stay runs: their segments are in order.
    let mut runs: BTreeMap<RunId, Vec<(u64, NewSegment)>> = BTreeMap::new();
    for (segment, made) in copied.iter().zip(made) {
        let deleted = segment.deleted.map(|d| (Blob::Stored(d.extent), d.rows));
        let made = NewSegment { run: RunChoice::New, ranked: RankChoice::Unranked, deleted, ..made };
        let made = NewSegment { rank_counts: Vec::new(), ..made };
        runs.entry(segment.run).or_default().push((segment.place, made));
    }
    for segment in &as_they_are {
        runs.entry(segment.run).or_default().push((segment.place, as_it_is(segment, columns)));
    }
    let removed = from.segments.iter().map(|s| (s.id, s.deleted)).collect();
    transaction.remove(&from.def, removed);
    let mut def = TableDef::clone(&to.def);
    if from.def.next_column > def.next_column {
        // What is stored of the source's other columns is under none of the target's numbers, now and later.
        def.next_column = from.def.next_column;
        def.definition_version += 1;
        transaction.alter_table(def.clone());
    }
    for (_, mut segments) in runs {
        segments.sort_by_key(|(place, segment)| (segment.slice, *place));
        transaction.append(&def, segments.into_iter().map(|(_, segment)| segment).collect());
    }
    Ok(())
}

/// The segment as one of the target's.
fn as_it_is(segment: &SegmentRef, columns: &[Paired]) -> NewSegment {
    let wanted: BTreeSet<ColumnId> = columns.iter().map(|column| column.to.id).collect();
    NewSegment {
        blob: Blob::Stored(segment.extent),
        footer_len: segment.footer_len,
        slice: segment.slice,
        run: RunChoice::New,
        rows: segment.rows,
        columns: segment.columns.iter().filter(|column| wanted.contains(&column.id)).cloned().collect(),
        deleted: segment.deleted.map(|d| (Blob::Stored(d.extent), d.rows)),
        ranked: RankChoice::Unranked,
        rank_counts: Vec::new(),
        added: None,
    }
}

impl Paired {
    /// `given` values of the IDENTITY were given before.
    fn taken(&self, given: u64) -> Taken {
        let spec = ColumnSpec { id: self.to.id, sql_type: self.to.sql_type, encoding: self.to.encoding };
        match &self.from {
            Some(from) => Taken { spec, from: from.id, absent: Absent::Same(from.absent.clone()), anew: false },
            // No table has a column of that number.
            None => {
                let absent = match self.to.identity {
                    Some(identity) => Absent::Numbered { identity, given },
                    None => Absent::Same(self.fill.clone()),
                };
                Taken { spec, from: ColumnId(u32::MAX), absent, anew: false }
            }
        }
    }
}

/// Whether the numbers of the source's columns mean in the target what they mean there.
struct Numbers<'a> {
    columns: &'a [Paired],
    /// Numbers of columns that the target has.
    taken: BTreeSet<ColumnId>,
}

impl<'a> Numbers<'a> {
    fn of(to: &TableDef, columns: &'a [Paired]) -> Self {
        Numbers { columns, taken: to.columns.iter().map(|c| c.id).collect() }
    }

    /// Whether the segment can stand in the target as it is.
    fn holds_of(&self, segment: &SegmentRef) -> bool {
        let stored: BTreeSet<ColumnId> = segment.columns.iter().map(|column| column.id).collect();
        let pairs = self.columns.iter().all(|column| match &column.from {
            Some(from) if stored.contains(&from.id) => from.id == column.to.id,
            // The rows have the value that the target has for rows which lack the column.
            Some(from) => !stored.contains(&column.to.id) && from.absent == column.to.absent,
            None if column.is_numbered() => false,
            None => !stored.contains(&column.to.id) && column.fill == column.to.absent,
        });
        let known: BTreeSet<ColumnId> = self.columns.iter().map(|column| column.to.id).collect();
        let strangers = stored.difference(&known).all(|id| !self.taken.contains(id));
        pairs && strangers
    }
}
