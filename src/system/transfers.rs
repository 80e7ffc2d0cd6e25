//! stv_load_state and stv_unload_state: rows on their way into tables and out of them.

use super::context::SystemContext;
use super::grid::Grid;

/// A COPY, an append or an UNLOAD that goes on.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct TransferState {
    pub kind: TransferKind,
    pub user: i32,
    pub process: i32,
    pub query: i64,
    /// The table that is filled; of an UNLOAD, where its files go.
    pub name: String,
    pub started_us: i64,
    /// As the files are stored that are read; 0 of what is not known before.
    pub bytes: i64,
    pub bytes_done: i64,
    pub rows: i64,
    /// As far as the plan of an UNLOAD can tell.
    pub rows_expected: Option<i64>,
    /// To read; 0 of what is not known before.
    pub files: i64,
    /// That were read, or written, to their ends.
    pub files_done: i64,
    /// The file that was begun last.
    pub current: String,
}

#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum TransferKind {
    /// Into a table.
    #[default]
    Load,
    Unload,
}

impl TransferState {
    /// What is done of what there is to do; `None` where nobody knows how much that is.
    fn done(&self) -> Option<(i128, i128)> {
        let of = |done: i64, all: i64| (i128::from(done.clamp(0, all)), i128::from(all));
        match self.rows_expected.filter(|rows| *rows > 0) {
            _ if self.bytes > 0 => Some(of(self.bytes_done, self.bytes)),
            expected => Some(of(self.rows, expected?)),
        }
    }

    /// How much of the files is read, or of the expected rows written; 0 where nobody knows.
    pub fn percent(&self) -> i32 {
        self.done().map_or(0, |(done, all)| (done * 100 / all) as i32)
    }

    /// So far; `None` before time has passed.
    pub fn rows_per_second(&self, now_us: i64) -> Option<i64> {
        let elapsed = now_us.checked_sub(self.started_us).filter(|elapsed| *elapsed > 0)?;
        i64::try_from(i128::from(self.rows) * 1_000_000 / i128::from(elapsed)).ok()
    }

    /// If it goes on as until now; `None` before anything is done, and where nobody knows how much there is to do. What follows
    /// reading, sorting what memory did not hold, is not in it.
    pub fn seconds_left(&self, now_us: i64) -> Option<i64> {
        let (done, all) = self.done().filter(|(done, _)| *done > 0)?;
        let elapsed = i128::from(now_us.checked_sub(self.started_us)?);
        i64::try_from(elapsed * (all - done) / done / 1_000_000).ok()
    }
}

type Moving = Grid<(TransferState, i64)>;

fn of_kind(context: Option<&SystemContext>, kind: TransferKind) -> Moving {
    let of = |context: &SystemContext| {
        let some = context.transfers.iter().filter(|transfer| transfer.kind == kind);
        some.map(|transfer| (transfer.clone(), context.now_us)).collect()
    };
    Grid::of(context.map_or(Vec::new(), of))
        .int("userid", |(transfer, _)| transfer.user)
        .int("session", |(transfer, _)| transfer.process)
        .big("query", |(transfer, _)| transfer.query)
        .int("slice", |_| 0)
        .int("pid", |(transfer, _)| transfer.process)
        .time("recordtime", |(_, now_us)| *now_us)
}

/// The loads that this process is at (Redshift manual, "STV_LOAD_STATE"). Redshift's two pairs of bytes are one here, as files
/// are stored; of our own are the last three columns.
pub(super) fn stv_load_state(context: Option<&SystemContext>) -> Moving {
    of_kind(context, TransferKind::Load)
        .big("bytes_to_load", |(load, _)| load.bytes)
        .big("bytes_loaded", |(load, _)| load.bytes_done)
        .big("bytes_to_load_compressed", |(load, _)| load.bytes)
        .big("bytes_loaded_compressed", |(load, _)| load.bytes_done)
        .big("lines", |(load, _)| load.rows)
        .big("num_files", |(load, _)| load.files)
        .big("num_files_complete", |(load, _)| load.files_done)
        .word("current_file", |(load, _)| load.current.clone())
        .int("pct_complete", |(load, _)| load.percent())
        .word("table_name", |(load, _)| load.name.clone())
        .some_big("lines_per_second", |(load, now_us)| load.rows_per_second(*now_us))
        .some_big("seconds_remaining", |(load, now_us)| load.seconds_left(*now_us))
}

/// The UNLOADs that this process is at; of our own.
pub(super) fn stv_unload_state(context: Option<&SystemContext>) -> Moving {
    of_kind(context, TransferKind::Unload)
        .word("path", |(unload, _)| unload.name.clone())
        .big("lines", |(unload, _)| unload.rows)
        .some_big("lines_expected", |(unload, _)| unload.rows_expected)
        .big("bytes_unloaded", |(unload, _)| unload.bytes_done)
        .big("num_files_complete", |(unload, _)| unload.files_done)
        .word("current_file", |(unload, _)| unload.current.clone())
        .int("pct_complete", |(unload, _)| unload.percent())
        .some_big("lines_per_second", |(unload, now_us)| unload.rows_per_second(*now_us))
        .some_big("seconds_remaining", |(unload, now_us)| unload.seconds_left(*now_us))
}
