//! svv_source_types: which types columns of other databases have here.

use super::grid::Grid;
use crate::common::source_types::{SourceSystem, SourceType};

pub(super) fn svv_source_types() -> Grid<SourceType> {
    Grid::of(SourceSystem::ALL.into_iter().flat_map(SourceSystem::types).collect())
        .word("source", |of| of.system.to_string())
        .word("source_type", |of| of.name.to_string())
        .word("type", |of| of.counterpart.to_string())
        .word("remark", |of| of.note.to_string())
}
