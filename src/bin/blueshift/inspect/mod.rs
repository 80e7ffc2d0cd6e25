//! `blueshift inspect`: how a table lies on disk, in words and as a drawing.

mod report;
mod svg;

use std::collections::BTreeMap;
use std::path::PathBuf;

use arrow::array::{Array, AsArray, RecordBatch};
use arrow::compute::cast;
use arrow::datatypes::DataType;
use blueshift::common::SqlState;
use blueshift::engine::{Session, Warehouse};

use crate::args::EngineArgs;
use crate::failure::{Failure, note};

/// Show how tables are stored
///
/// Without a table: all tables of the warehouse. With one: its slices, columns with their encodings and sizes, runs, and
/// how far the zones of a slice overlap in the sort key, which is how many of them a lookup reads.
#[derive(Debug, clap::Args)]
pub struct Args {
    /// Where the warehouse is kept
    #[arg(short, long, value_name = "WAREHOUSE")]
    warehouse: String,
    /// The table, as SQL names it
    table: Option<String>,
    /// Draw the slices and zones of the table, or of all tables, into a file, too
    #[arg(long, value_name = "FILE")]
    svg: Option<PathBuf>,
    #[command(flatten)]
    pub engine: EngineArgs,
}

pub async fn run(args: Args) -> Result<(), Failure> {
    let warehouse = args.engine.warehouse().create(false).open(&args.warehouse).await?;
    let outcome = inspect(&args, &warehouse).await;
    let closed = warehouse.close().await;
    outcome?;
    Ok(closed?)
}

async fn inspect(args: &Args, warehouse: &Warehouse) -> Result<(), Failure> {
    let session = warehouse.session();
    let tables = match &args.table {
        None => {
            report::warehouse(&session).await?;
            let mut tables = Vec::new();
            if args.svg.is_some() {
                for name in names(&session).await? {
                    tables.extend(Table::read(&session, &name).await?);
                }
            }
            tables
        }
        Some(name) => match Table::read(&session, name).await? {
            Some(table) => {
                report::table(&table)?;
                vec![table]
            }
            None => {
                note(&format!("Table {name} has no rows yet: nothing is stored of it but its definition."));
                Vec::new()
            }
        },
    };
    if let Some(file) = &args.svg {
        if tables.is_empty() {
            note("Nothing is drawn: there are no rows.");
            return Ok(());
        }
        let drawing = svg::draw(&tables);
        let unwritable = |e| Failure::Message(format!("cannot write {}: {e}", file.display()));
        std::fs::write(file, drawing).map_err(unwritable)?;
        note(&format!("Drawn in {}.", file.display()));
    }
    Ok(())
}

/// A table as it is stored.
struct Table {
    name: String,
    diststyle: String,
    /// The sort key's columns; the first is what zones are compared by.
    sort_key: Vec<String>,
    /// Whether rows are in the order of all its columns at once.
    interleaved: bool,
    slices: u32,
    columns: Vec<Column>,
    /// In the order of slice, run, and position.
    zones: Vec<Zone>,
    /// What zones are compared by: the sort key's first column, else the table's.
    compared: String,
    /// Bounds of `compared`, in its order, without repetition.
    scale: Vec<(i64, String)>,
    /// The same table by each further column of an interleaved sort key.
    further: Vec<Table>,
}

/// One column in one encoding.
struct Column {
    name: String,
    sql_type: String,
    encoding: String,
    bytes: i64,
    rows: i64,
    nulls: i64,
    min: Option<String>,
    max: Option<String>,
}

/// A zone of a slice, and where the compared column's values in it lie on the table's scale.
struct Zone {
    slice: u32,
    run: i64,
    sorted: bool,
    rows: i64,
    deleted: i64,
    bytes: i64,
    /// Places on the scale, both inclusive; none where all values are NULL.
    range: Option<(usize, usize)>,
}

impl Table {
    /// `None` of a table without rows.
    async fn read(session: &Session, name: &str) -> Result<Option<Self>, Failure> {
        let described = match rows(session, &format!("DESCRIBE {name}")).await {
            Ok(described) => described,
            Err(Failure::Engine { error, .. }) if error.state() == SqlState::UNDEFINED_TABLE => {
                return Err(Failure::Message(format!("{}\n{}", error.message(), stored(session).await?)));
            }
            Err(other) => return Err(other),
        };
        let mut types = BTreeMap::new();
        let mut key: Vec<(i64, String)> = Vec::new();
        let mut interleaved = false;
        for row in &described {
            types.insert(row[0].text(), row[1].text());
            // Positions in an interleaved key alternate in sign.
            interleaved |= row[4].number() < 0;
            let position = row[4].number().abs();
            if position > 0 {
                key.push((position, row[0].text()));
            }
        }
        key.sort();
        let sort_key: Vec<String> = key.into_iter().map(|(_, name)| name).collect();
        let first = described.first().map(|row| row[0].text()).unwrap_or_default();
        let compared = sort_key.first().cloned().unwrap_or(first);
        let Some((id, diststyle, sortkey1)) = identify(session, name).await? else {
            // What is no table of the warehouse has no encodings.
            if described.iter().any(|row| row[2].0.is_some()) {
                return Ok(None);
            }
            let hint = stored(session).await?;
            return Err(Failure::Message(format!("\"{name}\" is no table of the warehouse\n{hint}")));
        };
        interleaved |= sortkey1 == "INTERLEAVED";
        let columns = columns(session, id, &types).await?;
        let slices = session.warehouse().info().slices;
        let mut further = Vec::new();
        for column in sort_key.iter().skip(1).filter(|_| interleaved) {
            let (zones, scale) = zones(session, id, column).await?;
            further.push(Table {
                name: name.to_string(),
                diststyle: diststyle.clone(),
                sort_key: sort_key.clone(),
                interleaved,
                slices,
                columns: Vec::new(),
                zones,
                compared: column.clone(),
                scale,
                further: Vec::new(),
            });
        }
        let (zones, scale) = zones(session, id, &compared).await?;
        Ok(Some(Table {
            name: name.to_string(),
            diststyle,
            sort_key,
            interleaved,
            slices,
            columns,
            zones,
            compared,
            scale,
            further,
        }))
    }

    /// The sort key in words.
    fn key(&self) -> String {
        match (self.sort_key.is_empty(), self.interleaved) {
            (true, _) => "none".to_string(),
            (false, true) => format!("INTERLEAVED ({})", self.sort_key.join(", ")),
            (false, false) => self.sort_key.join(", "),
        }
    }

    fn rows(&self) -> i64 {
        self.zones.iter().map(|z| z.rows).sum()
    }

    fn deleted(&self) -> i64 {
        self.zones.iter().map(|z| z.deleted).sum()
    }

    fn bytes(&self) -> i64 {
        self.columns.iter().map(|c| c.bytes).sum()
    }

    fn of_slice(&self, slice: u32) -> impl Iterator<Item = &Zone> {
        self.zones.iter().filter(move |z| z.slice == slice)
    }

    /// How many zones of the slice hold each place of the scale in their bounds.
    fn depths(&self, slice: u32) -> Vec<usize> {
        let mut changes = vec![0i64; self.scale.len() + 1];
        for (from, to) in self.of_slice(slice).filter_map(|z| z.range) {
            changes[from] += 1;
            changes[to + 1] -= 1;
        }
        let mut depth = 0;
        changes[..self.scale.len()]
            .iter()
            .map(|change| {
                depth += change;
                depth.max(0) as usize
            })
            .collect()
    }
}

/// The tables with rows.
async fn names(session: &Session) -> Result<Vec<String>, Failure> {
    let sql =
        "SELECT quote_ident(schema) || '.' || quote_ident(\"table\") FROM svv_table_info ORDER BY schema, \"table\"";
    Ok(rows(session, sql).await?.iter().map(|row| row[0].text()).collect())
}

/// What there is to inspect.
async fn stored(session: &Session) -> Result<String, Failure> {
    Ok(match names(session).await?.as_slice() {
        [] => "HINT: the warehouse has no table with rows".to_string(),
        names => format!("HINT: tables with rows are {}", names.join(", ")),
    })
}

/// The id, the distribution and the first sort key of a table, if it has rows.
async fn identify(session: &Session, name: &str) -> Result<Option<(i64, String, String)>, Failure> {
    let found = session.describe(name).await?;
    let [schema, table] = [&found.schema, &found.name].map(|name| name.replace('\'', "''"));
    let sql = format!(
        "SELECT table_id, diststyle, sortkey1 FROM svv_table_info WHERE schema = '{schema}' AND \"table\" = '{table}'"
    );
    let found = rows(session, &sql).await?;
    Ok(found.first().map(|row| (row[0].number(), row[1].text(), row[2].text())))
}

async fn columns(session: &Session, id: i64, types: &BTreeMap<String, String>) -> Result<Vec<Column>, Failure> {
    let sql = format!(
        "SELECT \"column\", encoding, sum(bytes + dictionary_bytes), sum(num_values), sum(nulls), \
         first_value(min_decoded ORDER BY minvalue, min_decoded), last_value(max_decoded ORDER BY maxvalue, max_decoded) \
         FROM stv_zonelist WHERE tbl = {id} GROUP BY col, \"column\", encoding ORDER BY col, encoding"
    );
    let found = rows(session, &sql).await?;
    Ok(found
        .into_iter()
        .map(|row| Column {
            sql_type: types.get(&row[0].text()).cloned().unwrap_or_default(),
            name: row[0].text(),
            encoding: row[1].text(),
            bytes: row[2].number(),
            rows: row[3].number(),
            nulls: row[4].number(),
            min: row[5].0.clone(),
            max: row[6].0.clone(),
        })
        .collect())
}

/// The zones, and the scale that their ranges are places of.
async fn zones(session: &Session, id: i64, compared: &str) -> Result<(Vec<Zone>, Vec<(i64, String)>), Failure> {
    let literal = compared.replace('\'', "''");
    let sql = format!(
        "SELECT k.slice, k.run, k.unsorted, k.num_values, k.deleted, a.bytes, \
         k.minvalue, k.min_decoded, k.maxvalue, k.max_decoded \
         FROM stv_zonelist k JOIN (SELECT segment, zone, sum(bytes + dictionary_bytes) AS bytes FROM stv_zonelist \
         WHERE tbl = {id} GROUP BY segment, zone) a ON a.segment = k.segment AND a.zone = k.zone \
         WHERE k.tbl = {id} AND k.\"column\" = '{literal}' ORDER BY k.slice, k.unsorted, k.run, k.segment, k.zone"
    );
    let found = rows(session, &sql).await?;
    let bound = |row: &[Value], at: usize| row[at].0.is_some().then(|| (row[at].number(), row[at + 1].text()));
    let mut scale: Vec<(i64, String)> = found.iter().flat_map(|row| [bound(row, 6), bound(row, 8)]).flatten().collect();
    scale.sort();
    scale.dedup();
    let place = |bound: Option<(i64, String)>| bound.and_then(|b| scale.binary_search(&b).ok());
    let zones = found.iter().map(|row| Zone {
        slice: row[0].number() as u32,
        run: row[1].number(),
        sorted: row[2].number() == 0,
        rows: row[3].number(),
        deleted: row[4].number(),
        bytes: row[5].number(),
        range: place(bound(row, 6)).zip(place(bound(row, 8))).filter(|(from, to)| from <= to),
    });
    Ok((zones.collect(), scale))
}

/// A value as text; none is NULL.
struct Value(Option<String>);

impl Value {
    fn text(&self) -> String {
        self.0.clone().unwrap_or_default()
    }

    fn number(&self) -> i64 {
        self.0.as_deref().and_then(|text| text.parse().ok()).unwrap_or(0)
    }
}

/// A query's rows, every value as text.
async fn rows(session: &Session, sql: &str) -> Result<Vec<Vec<Value>>, Failure> {
    let batches = session.sql(sql).await?.collect().await?;
    let mut rows = Vec::new();
    for batch in &batches {
        let columns = texts(batch)?;
        let row = |at: usize| {
            let value = |column: &arrow::array::ArrayRef| {
                let column = column.as_string::<i32>();
                Value(column.is_valid(at).then(|| column.value(at).to_string()))
            };
            columns.iter().map(value).collect()
        };
        rows.extend((0..batch.num_rows()).map(row));
    }
    Ok(rows)
}

fn texts(batch: &RecordBatch) -> Result<Vec<arrow::array::ArrayRef>, Failure> {
    let text = |column: &arrow::array::ArrayRef| {
        cast(column, &DataType::Utf8).map_err(|e| Failure::from(blueshift::Error::from(e)))
    };
    batch.columns().iter().map(text).collect()
}
