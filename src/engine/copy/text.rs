//! Text files of a COPY: cut in order, parsed at the same time.
//!
//! One task a file fetches it and cuts it into blocks of whole lines, which is fast; parsing, which is slow, goes on in as many
//! streams as there are threads, whichever file a block is of. So it does not matter how many files there are, or how large
//! they are, or that a compressed one cannot be split.

use std::fs::File;
use std::io::{self, Read};
use std::sync::Arc;

use arrow::array::{BooleanArray, RecordBatch};
use arrow::compute::filter_record_batch;
use arrow::datatypes::{Field, Schema};
use datafusion::common::DataFusionError;
use datafusion::execution::SendableRecordBatchStream;
use datafusion::physical_plan::stream::RecordBatchStreamAdapter;
use futures::StreamExt;
use object_store::path::Path;
use object_store::{GetResultPayload, ObjectMeta, ObjectStore, ObjectStoreExt};
use tokio::runtime::Handle;
use tokio::sync::{Mutex, mpsc};

use super::avro::Records;
use super::blocks::{Block, Cutter};
use super::json::{self, Shape};
use super::lines::{Fields, Form, Line, LineReader};
use super::progress::{Counted, Progress};
use super::refused::{Code, FieldText, LoadError, Refused, Replaced, raw};
use super::replaced::replaced;
use super::turns::{Turn, Turns};
use super::values::{Refusal, Rules, Values};
use super::{avro, damaged, input};
use crate::catalog::ColumnDef;
use crate::common::{Error, Result, SqlType};
use crate::engine::files::CopyFiles;
use crate::sql::ast::Compression;

/// Blocks that wait to be parsed.
const AHEAD: usize = 2;

/// How the files of a COPY are read.
pub struct TextFiles {
    pub form: Form,
    pub compression: Compression,
    pub rules: Rules,
    /// The table's, in the files' order.
    pub columns: Vec<ColumnDef>,
    /// Which field of a line each of them is; values of JSON have none.
    pub fields: Vec<usize>,
    /// The fields of a line.
    pub width: usize,
    pub refused: Arc<Refused>,
    /// Counts what is read, where somebody asks.
    pub progress: Option<Arc<Progress>>,
}

/// Streams of the rows of all files, to be read at the same time. They end with an error where too many rows are refused.
pub fn streams(text: Arc<TextFiles>, files: &CopyFiles, threads: usize) -> Vec<SendableRecordBatchStream> {
    let threads = threads.max(1);
    let (sender, blocks) = mpsc::channel::<Result<Piece>>(AHEAD);
    let (store, base) = (Arc::clone(&files.store), files.base.clone());
    let (reads, list) = (Arc::clone(&text), files.files.clone());
    tokio::spawn(async move {
        let read = |file: ObjectMeta| {
            let name: Arc<str> = shown_name(&base, &file).into();
            let (text, sender) = (Arc::clone(&reads), sender.clone());
            let (store, local) = (Arc::clone(&store), base.scheme() == "file");
            let cut = move || {
                let fetched = open(&store, local, file.location);
                let send = |piece| sender.blocking_send(Ok(piece)).is_ok();
                let sent = match &text.progress {
                    Some(progress) => {
                        progress.begin_file(&name);
                        let counted = Counted { input: fetched, progress: Arc::clone(progress) };
                        text.pieces(counted, &name, send).inspect(|()| progress.end_files(1))
                    }
                    None => text.pieces(fetched, &name, send),
                };
                if let Err(e) = sent {
                    // Nobody asks where the load has ended.
                    let _ = sender.blocking_send(Err(e));
                }
            };
            tokio::task::spawn_blocking(cut)
        };
        futures::stream::iter(list).map(read).buffer_unordered(threads).for_each(|_| async {}).await;
    });
    let schema = text.schema();
    let (blocks, turns) = (Arc::new(Mutex::new(blocks)), Turns::default());
    let parse = |_| {
        let (text, blocks, turns) = (Arc::clone(&text), Arc::clone(&blocks), turns.clone());
        let batches = futures::stream::unfold(false, move |ended| {
            let (text, blocks, turns) = (Arc::clone(&text), Arc::clone(&blocks), turns.clone());
            async move {
                if ended {
                    return None;
                }
                let (piece, turn) = {
                    let mut blocks = blocks.lock().await;
                    (blocks.recv().await?, turns.begin())
                };
                let parsed = match piece {
                    Ok(piece) => parsed(text, piece, turn).await,
                    Err(e) => Err(e),
                };
                let failed = parsed.is_err();
                Some((parsed.map_err(|e| DataFusionError::External(Box::new(e))), failed))
            }
        });
        Box::pin(RecordBatchStreamAdapter::new(Arc::clone(&schema), batches)) as SendableRecordBatchStream
    };
    (0..threads).map(parse).collect()
}

/// The rows of a piece. Where they are too many that are refused, the error is of the first of them in the file, which may be in
/// a piece before that others parse.
async fn parsed(text: Arc<TextFiles>, piece: Piece, turn: Turn) -> Result<RecordBatch> {
    let (parses, before) = (Arc::clone(&text), turn.before());
    let task = tokio::task::spawn_blocking(move || {
        let parsed = parses.parse_piece(&piece);
        // Here, as whoever waits for the turn must not wait until these rows are asked for.
        drop(turn);
        parsed
    });
    match task.await {
        Ok(Err(_)) if text.refused.is_full() => {
            before.await;
            Err(text.refused.error())
        }
        Ok(parsed) => parsed,
        Err(e) => Err(Error::internal(format!("parsing a block: {e}"))),
    }
}

/// A part of a file that is read by itself.
enum Piece {
    Text(Block),
    Records(Records),
}

/// The content of a file, to be read where blocking is allowed. A local one is read when more is asked for, and as much:
/// the store would hand it out in small pieces, each of a task of its own.
fn open(store: &Arc<dyn ObjectStore>, local: bool, location: Path) -> Box<dyn Read + Send> {
    if local
        && let Ok(found) = Handle::current().block_on(store.get(&location))
        && let GetResultPayload::File(file, _) = found.payload
    {
        return Box::new(LocalFile(file));
    }
    // What cannot be had is told by the first read.
    Box::new(input::fetch(Arc::clone(store), location))
}

struct LocalFile(File);

impl Read for LocalFile {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        self.0.read(buffer).map_err(|e| match e.kind() {
            io::ErrorKind::Interrupted => e,
            // As the store tells it: the file is out of reach, not damaged.
            _ => io::Error::other(object_store::Error::Generic { store: "LocalFileSystem", source: Box::new(e) }),
        })
    }
}

/// A file as messages name it: a path, or a URL.
pub fn shown_name(base: &url::Url, file: &ObjectMeta) -> String {
    let name = format!("{base}{}", file.location);
    name.strip_prefix("file://").unwrap_or(&name).to_string()
}

impl TextFiles {
    fn schema(&self) -> Arc<Schema> {
        let field = |c: &ColumnDef| Field::new(&c.name, c.sql_type.arrow_type(), true);
        Arc::new(Schema::new(self.columns.iter().map(field).collect::<Vec<_>>()))
    }

    /// Gives the file's parts to `to`, until that wants no more.
    fn pieces(
        &self,
        input: impl Read + Send + 'static,
        name: &Arc<str>,
        mut to: impl FnMut(Piece) -> bool,
    ) -> Result<()> {
        if !matches!(self.form, Form::Avro(_)) {
            return self.cut(input, name, |block| to(Piece::Text(block)));
        }
        let input = input::plain(input, self.compression).map_err(|e| damaged(name, &e.to_string()))?;
        avro::cut(input, name, |records| to(Piece::Records(records))).map_err(|broken| self.refused.broken(broken))
    }

    fn parse_piece(&self, piece: &Piece) -> Result<RecordBatch> {
        match (piece, &self.form) {
            (Piece::Text(block), _) => self.parse(block),
            (Piece::Records(records), Form::Avro(shape)) => self.parse_records(records, shape),
            (Piece::Records(_), _) => Err(Error::internal("records are read as text")),
        }
    }

    /// Gives the file's blocks to `to`, until that wants no more.
    pub(super) fn cut(
        &self,
        input: impl Read + Send + 'static,
        name: &Arc<str>,
        mut to: impl FnMut(Block) -> bool,
    ) -> Result<()> {
        let input = input::text(input, self.compression, self.rules.text.encoding)
            .map_err(|e| damaged(name, &e.to_string()))?;
        let skip = self.rules.text.ignore_header;
        let mut cutter = Cutter::new(input, Arc::clone(name), self.form.lines(), skip);
        while let Some(block) = cutter.next().map_err(|broken| self.refused.broken(broken))? {
            if !to(block) {
                break;
            }
        }
        Ok(())
    }

    /// The rows of a block; those that are refused are left out.
    pub(super) fn parse(&self, block: &Block) -> Result<RecordBatch> {
        match &self.form {
            Form::Json(shape) => self.parse_values(block, shape),
            _ => self.parse_lines(block),
        }
    }

    fn parse_values(&self, block: &Block, shape: &Shape) -> Result<RecordBatch> {
        let mut values: Vec<Values> = self.columns.iter().map(Values::new).collect();
        let (mut kept, mut count) = (Vec::new(), 0);
        let mended = self.mended(block);
        let read = mended.as_ref().unwrap_or(block);
        // Replaced bytes are where those of the file are.
        let original = |part: &[u8]| {
            let at = part.as_ptr() as usize - read.text.as_ptr() as usize;
            &block.text[at..at + part.len()]
        };
        for (line, value) in json::values(read) {
            count += 1;
            let shown = Line { text: original(line.text), ..line };
            let found = match value.and_then(|value| shape.find(value)) {
                Ok(found) => found,
                Err(refusal) => {
                    self.refused.add(self.error(&block.file, shown, None, refusal))?;
                    continue;
                }
            };
            let mut refused = None;
            for (at, (values, found)) in values.iter_mut().zip(&found).enumerate() {
                if refused.is_some() {
                    values.push_null();
                    continue;
                }
                let sql_type = values.column().sql_type;
                let pushed = match found {
                    None => values.push(None, &self.rules),
                    Some(value)
                        if mended.is_some()
                            && !matches!(sql_type, SqlType::Varchar(_))
                            && !is_text(original(value)) =>
                    {
                        values.push(Some(original(value)), &self.rules)
                    }
                    // Such a column takes values as they are written.
                    Some(value) if sql_type == SqlType::Super && *value != b"null" => {
                        values.push(Some(value), &self.rules)
                    }
                    Some(value) => match json::scalar(value) {
                        Ok(text) => values.push(text.as_deref(), &self.rules),
                        Err(refusal) => {
                            values.push_null();
                            Err(refusal)
                        }
                    },
                };
                refused = pushed.err().map(|refusal| (at, refusal));
            }
            kept.push(refused.is_none());
            match refused {
                None => self.note_replaced(&block.file, shown, |at| found[at].map(original)),
                Some((at, refusal)) => {
                    let raw_value = found[at].map_or(String::new(), |value| raw(original(value)));
                    let position = found[at].map_or(0, |value| value.as_ptr() as usize - line.text.as_ptr() as usize);
                    let field = |(at, value): (usize, &Option<&[u8]>)| FieldText {
                        value: value.map(|value| raw(original(value))),
                        column: Some(self.column(at)),
                    };
                    let fields = found.iter().enumerate().map(field).collect();
                    let error = self.error(&block.file, shown, Some(at), refusal);
                    self.refused.add(LoadError { raw_value, position, fields, ..error })?;
                }
            }
        }
        self.refused.read(&block.file, count, kept.iter().filter(|kept| **kept).count() as u64);
        self.batch(values, kept)
    }

    /// The block with the bytes replaced that belong to no character, where ACCEPTINVCHARS is said and there are some.
    fn mended(&self, block: &Block) -> Option<Block> {
        let by = self.rules.text.replace_invalid?;
        (!is_text(&block.text)).then(|| Block { text: replaced(&block.text, by).into_bytes(), ..block.clone() })
    }

    fn parse_lines(&self, block: &Block) -> Result<RecordBatch> {
        let mut values: Vec<Values> = self.columns.iter().map(Values::new).collect();
        let mut kept = Vec::new();
        let mut fields = Fields::default();
        let mut lines = LineReader::new(block, &self.form, self.rules.null_as.as_deref());
        while let Some((line, read)) = lines.next(&mut fields) {
            if line.text.is_empty() && self.rules.text.ignore_blank_lines {
                continue;
            }
            if let Err(refusal) = read.and_then(|()| self.check_number(&mut fields, line)) {
                self.refuse(block, line, None, refusal, &fields)?;
                continue;
            }
            let mut refused = None;
            for (at, values) in values.iter_mut().enumerate() {
                if refused.is_some() {
                    values.push_null();
                    continue;
                }
                let field = match self.fields[at] < fields.len() {
                    true => fields.get(self.fields[at]),
                    // FILLRECORD (Redshift manual, "Data load operations").
                    false => matches!(values.column().sql_type, SqlType::Varchar(_)).then_some(&b""[..]),
                };
                refused = values.push(field, &self.rules).err().map(|refusal| (at, refusal));
            }
            kept.push(refused.is_none());
            match refused {
                None => {
                    let of = |at: usize| Some(self.fields[at]).filter(|field| *field < fields.len());
                    self.note_replaced(&block.file, line, |at| fields.get(of(at)?));
                }
                Some((at, refusal)) => self.refuse(block, line, Some(at), refusal, &fields)?,
            }
        }
        let rows = kept.iter().filter(|kept| **kept).count() as u64;
        self.refused.read(&block.file, lines.number() - block.line, rows);
        self.batch(values, kept)
    }

    pub(super) fn batch(&self, mut values: Vec<Values>, kept: Vec<bool>) -> Result<RecordBatch> {
        let batch = RecordBatch::try_new(self.schema(), values.iter_mut().map(Values::finish).collect())?;
        let batch = match kept.iter().all(|kept| *kept) {
            true => batch,
            false => filter_record_batch(&batch, &BooleanArray::from(kept))?,
        };
        if let Some(progress) = &self.progress {
            progress.took(batch.num_rows() as u64);
        }
        Ok(batch)
    }

    fn check_number(&self, fields: &mut Fields<'_>, line: Line<'_>) -> std::result::Result<(), Refusal> {
        let columns = self.width;
        if fields.len() == columns + 1 && matches!(self.form, Form::Delimited { .. }) {
            fields.drop_last_if_empty();
        }
        let found = fields.len();
        let code = match found.cmp(&columns) {
            std::cmp::Ordering::Equal => return Ok(()),
            std::cmp::Ordering::Less if self.rules.text.fill_record => return Ok(()),
            std::cmp::Ordering::Less if line.text.is_empty() => Code::EMPTY_LINE,
            std::cmp::Ordering::Less if found == 1 && !matches!(self.form, Form::Fixed(_)) => Code::NO_DELIMITER,
            std::cmp::Ordering::Less => Code::MISSING_COLUMNS,
            std::cmp::Ordering::Greater => Code::EXTRA_COLUMNS,
        };
        Err(Refusal {
            code,
            reason: format!("{} where {} are loaded", count(found, "field"), count(columns, "column")),
        })
    }

    fn refuse(
        &self,
        block: &Block,
        line: Line<'_>,
        column: Option<usize>,
        refusal: Refusal,
        fields: &Fields<'_>,
    ) -> Result<()> {
        let field = column.map(|at| self.fields[at]);
        let raw_value = field.filter(|at| *at < fields.len()).and_then(|at| fields.get(at));
        self.refused.add(LoadError {
            position: field.map_or(0, |at| fields.start(at, line.text, &self.form)),
            raw_value: raw_value.map_or(String::new(), raw),
            fields: (0..fields.len().min(self.width + 1)).map(|at| self.shown(at, fields)).collect(),
            ..self.error(&block.file, line, column, refusal)
        })
    }

    fn shown(&self, field: usize, fields: &Fields<'_>) -> FieldText {
        let column = self.fields.iter().position(|of| *of == field).map(|at| self.column(at));
        FieldText { value: fields.get(field).map(raw), column }
    }

    pub(super) fn column(&self, at: usize) -> (String, SqlType) {
        (self.columns[at].name.clone(), self.columns[at].sql_type)
    }

    /// Tells of the row's values that ACCEPTINVCHARS has changed.
    pub(super) fn note_replaced<'f>(&self, file: &Arc<str>, line: Line<'_>, field: impl Fn(usize) -> Option<&'f [u8]>) {
        if self.rules.text.replace_invalid.is_none() {
            return;
        }
        for (at, column) in self.columns.iter().enumerate() {
            if field(at).is_some_and(|bytes| !is_text(bytes)) {
                self.refused.replaced(|| Replaced {
                    file: Arc::clone(file),
                    line: line.number,
                    column: column.name.clone(),
                    raw_line: raw(line.text),
                });
            }
        }
    }

    /// Without the value and its place.
    pub(super) fn error(&self, file: &Arc<str>, line: Line<'_>, column: Option<usize>, refusal: Refusal) -> LoadError {
        LoadError {
            file: Arc::clone(file),
            line: line.number,
            offset: line.offset,
            column: column.map(|at| self.column(at)),
            position: 0,
            raw_line: raw(line.text),
            raw_value: String::new(),
            code: refusal.code,
            reason: refusal.reason,
            fields: Vec::new(),
        }
    }
}

fn is_text(bytes: &[u8]) -> bool {
    str::from_utf8(bytes).is_ok()
}

fn count(n: usize, what: &str) -> String {
    format!("{n} {what}{}", if n == 1 { "" } else { "s" })
}
