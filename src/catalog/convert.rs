//! Between the catalog's model and its messages. Nothing that a message says is believed before it is checked.

use std::sync::Arc;

use super::entry::{Action, MaintenanceLease};
use super::loads::Source;
use super::model::*;
use super::proto;
use super::ranks::{RankColumn, RankMap};
use super::view::{Binding, CommentOn, Dependency, DependencyColumn, ViewDef};
use crate::common::{
    Bounds, ColumnId, CommitId, DistStyle, EncodingName, Error, Result, Scalar, SchemaId, SortKey, SortStyle, SqlType,
    TableId, UserId, Version,
};

/// The error for a message that cannot be meant; the offset is that of the body, which the caller adds.
pub(crate) fn damaged(what: &str) -> Error {
    Error::corrupt(0, format!("the catalog's bytes are damaged: {what}"))
}

pub(crate) fn id_bytes(id: u128) -> Vec<u8> {
    id.to_be_bytes().to_vec()
}

pub(crate) fn read_id(bytes: &[u8]) -> Result<u128> {
    let bytes: [u8; 16] = bytes.try_into().map_err(|_| damaged("an id is not of 16 bytes"))?;
    Ok(u128::from_be_bytes(bytes))
}

pub(crate) fn scalar(value: &Scalar) -> proto::Scalar {
    let value = match value {
        Scalar::Bool(v) => proto::ScalarValue::Bool(*v),
        Scalar::Int(v) => match i64::try_from(*v) {
            Ok(v) => proto::ScalarValue::Int(v),
            Err(_) => proto::ScalarValue::Big(v.to_be_bytes().to_vec()),
        },
        Scalar::Float(v) => proto::ScalarValue::Float(v.to_bits()),
        Scalar::Bytes(v) => proto::ScalarValue::Bytes(v.clone()),
    };
    proto::Scalar { value: Some(value) }
}

pub(crate) fn read_scalar(value: proto::Scalar) -> Result<Scalar> {
    Ok(match value.value.ok_or_else(|| damaged("a value of unknown form"))? {
        proto::ScalarValue::Bool(v) => Scalar::Bool(v),
        proto::ScalarValue::Int(v) => Scalar::Int(i128::from(v)),
        proto::ScalarValue::Big(v) => {
            let v: [u8; 16] = v.as_slice().try_into().map_err(|_| damaged("a large integer is not of 16 bytes"))?;
            Scalar::Int(i128::from_be_bytes(v))
        }
        proto::ScalarValue::Float(v) => Scalar::Float(f64::from_bits(v)),
        proto::ScalarValue::Bytes(v) => Scalar::Bytes(v),
    })
}

pub(crate) fn info(info: &WarehouseInfo) -> proto::Info {
    proto::Info {
        uuid: id_bytes(info.uuid),
        slices: info.slices,
        name: info.name.clone(),
        zone_rows: info.zone_rows,
        chunk_rows: info.chunk_rows,
    }
}

pub(crate) fn read_info(info: proto::Info) -> Result<WarehouseInfo> {
    if info.slices == 0 || info.slices > WarehouseInfo::MAX_SLICES {
        return Err(damaged("the number of slices is out of range"));
    }
    if info.zone_rows == 0 || info.chunk_rows == 0 || !info.chunk_rows.is_multiple_of(info.zone_rows) {
        return Err(damaged("the block geometry is impossible"));
    }
    Ok(WarehouseInfo {
        uuid: read_id(&info.uuid)?,
        slices: info.slices,
        name: info.name,
        zone_rows: info.zone_rows,
        chunk_rows: info.chunk_rows,
    })
}

pub(crate) fn schema(schema: &Schema) -> proto::Schema {
    proto::Schema { id: schema.id.0, name: schema.name.clone(), owner: schema.owner.0 }
}

pub(crate) fn read_schema(schema: proto::Schema) -> Schema {
    Schema { id: SchemaId(schema.id), name: schema.name, owner: UserId(schema.owner) }
}

fn sql_type(sql_type: SqlType) -> (u32, u32, u32) {
    match sql_type {
        SqlType::Boolean => (1, 0, 0),
        SqlType::SmallInt => (2, 0, 0),
        SqlType::Integer => (3, 0, 0),
        SqlType::BigInt => (4, 0, 0),
        SqlType::Real => (5, 0, 0),
        SqlType::Double => (6, 0, 0),
        SqlType::Decimal { precision, scale } => (7, u32::from(precision), u32::from(scale)),
        SqlType::Char(bytes) => (8, bytes, 0),
        SqlType::Varchar(bytes) => (9, bytes, 0),
        SqlType::Date => (10, 0, 0),
        SqlType::Timestamp => (11, 0, 0),
        SqlType::Time => (12, 0, 0),
        SqlType::TimestampTz => (13, 0, 0),
        SqlType::Varbyte(bytes) => (14, bytes, 0),
        SqlType::Super => (15, 0, 0),
    }
}

fn read_sql_type(kind: u32, size: u32, scale: u32) -> Result<SqlType> {
    Ok(match kind {
        1 => SqlType::Boolean,
        2 => SqlType::SmallInt,
        3 => SqlType::Integer,
        4 => SqlType::BigInt,
        5 => SqlType::Real,
        6 => SqlType::Double,
        7 => SqlType::decimal(size.into(), scale.into()).map_err(|e| damaged(e.message()))?,
        8 => SqlType::char(size.into()).map_err(|e| damaged(e.message()))?,
        9 => SqlType::varchar(size.into()).map_err(|e| damaged(e.message()))?,
        10 => SqlType::Date,
        11 => SqlType::Timestamp,
        12 => SqlType::Time,
        13 => SqlType::TimestampTz,
        14 => SqlType::varbyte(size.into()).map_err(|e| damaged(e.message()))?,
        15 => SqlType::Super,
        _ => return Err(damaged("an unknown column type")),
    })
}

fn column(column: &ColumnDef) -> proto::Column {
    let (type_kind, type_size, type_scale) = sql_type(column.sql_type);
    proto::Column {
        id: column.id.0,
        name: column.name.clone(),
        type_kind,
        type_size,
        type_scale,
        nullable: column.nullable,
        default_sql: column.default_sql.clone(),
        absent: column.absent.as_ref().map(scalar),
        encoding: column.encoding.as_str().to_string(),
        identity: column.identity.map(|i| proto::Identity { seed: i.seed, step: i.step, by_default: i.by_default }),
    }
}

fn read_column(column: proto::Column) -> Result<ColumnDef> {
    Ok(ColumnDef {
        id: ColumnId(column.id),
        name: column.name,
        sql_type: read_sql_type(column.type_kind, column.type_size, column.type_scale)?,
        nullable: column.nullable,
        default_sql: column.default_sql,
        absent: column.absent.map(read_scalar).transpose()?,
        encoding: column.encoding.parse::<EncodingName>().map_err(|e| damaged(e.message()))?,
        identity: column.identity.map(|i| Identity { seed: i.seed, step: i.step, by_default: i.by_default }),
    })
}

fn constraint(constraint: &ConstraintDef) -> proto::Constraint {
    let (kind, table, referenced) = match &constraint.kind {
        ConstraintKind::PrimaryKey => (1, 0, Vec::new()),
        ConstraintKind::Unique => (2, 0, Vec::new()),
        ConstraintKind::ForeignKey { table, referenced } => (3, table.0, referenced.iter().map(|c| c.0).collect()),
    };
    let (state, verified_at) = match constraint.state {
        ConstraintState::NoRely => (0, 0),
        ConstraintState::Rely => (1, 0),
        ConstraintState::Verified { at } => (2, at.0),
    };
    proto::Constraint {
        kind,
        name: constraint.name.clone(),
        columns: constraint.columns.iter().map(|c| c.0).collect(),
        table,
        referenced,
        state,
        verified_at,
    }
}

fn read_constraint(constraint: proto::Constraint) -> Result<ConstraintDef> {
    let state = match (constraint.state, constraint.verified_at) {
        (0, 0) => ConstraintState::NoRely,
        (1, 0) => ConstraintState::Rely,
        (2, at) => ConstraintState::Verified { at: Version(at) },
        _ => return Err(damaged("a constraint of unknown state")),
    };
    let ids = |ids: Vec<u32>| ids.into_iter().map(ColumnId).collect::<Vec<_>>();
    Ok(ConstraintDef {
        name: constraint.name,
        kind: match constraint.kind {
            1 => ConstraintKind::PrimaryKey,
            2 => ConstraintKind::Unique,
            3 => {
                ConstraintKind::ForeignKey { table: TableId(constraint.table), referenced: ids(constraint.referenced) }
            }
            _ => return Err(damaged("a constraint of unknown kind")),
        },
        columns: ids(constraint.columns),
        state,
    })
}

pub(crate) fn table_def(def: &TableDef) -> proto::TableDef {
    let (dist, dist_column) = match def.dist {
        DistStyle::Auto => (1, 0),
        DistStyle::Even => (2, 0),
        DistStyle::Key(column) => (3, column.0),
        DistStyle::All => (4, 0),
    };
    let (effective, effective_column) = match def.effective_dist {
        EffectiveDist::Even => (2, 0),
        EffectiveDist::Key(column) => (3, column.0),
        EffectiveDist::All => (4, 0),
    };
    proto::TableDef {
        id: def.id.0,
        schema: def.schema.0,
        name: def.name.clone(),
        owner: def.owner.0,
        columns: def.columns.iter().map(column).collect(),
        next_column: def.next_column.0,
        dist,
        dist_column,
        effective,
        effective_column,
        sort_style: match def.sort.as_ref().map(|s| s.style) {
            None => 0,
            Some(SortStyle::Compound) => 1,
            Some(SortStyle::Interleaved) => 2,
        },
        sort_columns: def.sort.iter().flat_map(|s| s.columns.iter().map(|c| c.0)).collect(),
        encode_auto: def.encode_auto,
        definition_version: def.definition_version,
        created_us: def.created_us,
        hash_id: u32::from(def.hash_id),
        constraints: def.constraints.iter().map(constraint).collect(),
        backup_no: !def.backup,
        sort_word: match (&def.sort, def.sort_auto) {
            (Some(_), true) => 1,
            (None, false) => 2,
            _ => 0,
        },
        retain_days: def.retain.map_or(0, |retain| retain.days),
        retain_column: def.retain.map_or(0, |retain| retain.column.0),
    }
}

pub(crate) fn read_table_def(def: proto::TableDef) -> Result<TableDef> {
    let sort_columns: Vec<ColumnId> = def.sort_columns.into_iter().map(ColumnId).collect();
    let sort_auto = match (def.sort_word, sort_columns.is_empty()) {
        (0, none) => none,
        (1, false) => true,
        (2, true) => false,
        _ => return Err(damaged("an impossible word about the sort key")),
    };
    let table = TableDef {
        id: TableId(def.id),
        schema: SchemaId(def.schema),
        name: def.name,
        owner: UserId(def.owner),
        columns: def.columns.into_iter().map(read_column).collect::<Result<_>>()?,
        next_column: ColumnId(def.next_column),
        dist: match def.dist {
            1 => DistStyle::Auto,
            2 => DistStyle::Even,
            3 => DistStyle::Key(ColumnId(def.dist_column)),
            4 => DistStyle::All,
            _ => return Err(damaged("an unknown distribution style")),
        },
        effective_dist: match def.effective {
            2 => EffectiveDist::Even,
            3 => EffectiveDist::Key(ColumnId(def.effective_column)),
            4 => EffectiveDist::All,
            _ => return Err(damaged("an unknown distribution")),
        },
        sort: match (def.sort_style, sort_columns.is_empty()) {
            (0, true) => None,
            (1, false) => Some(SortKey { style: SortStyle::Compound, columns: sort_columns }),
            (2, false) => Some(SortKey { style: SortStyle::Interleaved, columns: sort_columns }),
            _ => return Err(damaged("an impossible sort key")),
        },
        sort_auto,
        encode_auto: def.encode_auto,
        definition_version: def.definition_version,
        created_us: def.created_us,
        hash_id: u8::try_from(def.hash_id).map_err(|_| damaged("an unknown slice hash"))?,
        constraints: def.constraints.into_iter().map(read_constraint).collect::<Result<_>>()?,
        backup: !def.backup_no,
        retain: match (def.retain_days, def.retain_column) {
            (0, _) => None,
            (days, column) => Some(Retention { days, column: ColumnId(column) }),
        },
    };
    table.check_invariants().map_err(|e| damaged(e.message()))?;
    Ok(table)
}

pub(crate) fn view(view: &ViewDef) -> proto::View {
    let column = |c: &DependencyColumn| proto::ViewColumn { id: c.id.0, name: c.name.clone(), read: c.read };
    let dependency = |d: &Dependency| proto::ViewDependency {
        relation: d.relation.0,
        schema: d.schema.clone(),
        name: d.name.clone(),
        columns: d.columns.iter().map(column).collect(),
    };
    proto::View {
        id: view.id.0,
        schema: view.schema.0,
        name: view.name.clone(),
        owner: view.owner.0,
        columns: view.columns.clone(),
        sql: view.sql.clone(),
        late_binding: view.binding == Binding::Late,
        dependencies: view.dependencies().iter().map(dependency).collect(),
        definition_version: view.definition_version,
        created_us: view.created_us,
    }
}

pub(crate) fn read_view(view: proto::View) -> Result<ViewDef> {
    let column = |c: proto::ViewColumn| DependencyColumn { id: ColumnId(c.id), name: c.name, read: c.read };
    let dependency = |d: proto::ViewDependency| Dependency {
        relation: TableId(d.relation),
        schema: d.schema,
        name: d.name,
        columns: d.columns.into_iter().map(column).collect(),
    };
    let dependencies: Vec<Dependency> = view.dependencies.into_iter().map(dependency).collect();
    let view = ViewDef {
        id: TableId(view.id),
        schema: SchemaId(view.schema),
        name: view.name,
        owner: UserId(view.owner),
        columns: view.columns,
        sql: view.sql,
        binding: match (view.late_binding, dependencies.is_empty()) {
            (false, _) => Binding::Bound(dependencies),
            (true, true) => Binding::Late,
            (true, false) => return Err(damaged("a late-binding view with dependencies")),
        },
        definition_version: view.definition_version,
        created_us: view.created_us,
    };
    view.check_invariants().map_err(|e| damaged(e.message()))?;
    Ok(view)
}

pub(crate) fn comment(on: CommentOn, text: Option<String>) -> proto::Comment {
    let (kind, object, column) = match on {
        CommentOn::Database => (1, 0, 0),
        CommentOn::Schema(id) => (2, id.0, 0),
        CommentOn::Relation(id) => (3, id.0, 0),
        CommentOn::Column(id, column) => (4, id.0, column.0),
    };
    proto::Comment { kind, object, column, text }
}

pub(crate) fn read_comment(comment: proto::Comment) -> Result<(CommentOn, Option<String>)> {
    let on = match comment.kind {
        1 => CommentOn::Database,
        2 => CommentOn::Schema(SchemaId(comment.object)),
        3 => CommentOn::Relation(TableId(comment.object)),
        4 => CommentOn::Column(TableId(comment.object), ColumnId(comment.column)),
        _ => return Err(damaged("a comment on something unknown")),
    };
    Ok((on, comment.text))
}

fn extent(extent: &Extent) -> proto::Extent {
    let (offset, len) = (extent.offset, extent.len);
    match extent.object {
        ObjectId::Data { start, txn, sequence } => {
            proto::Extent { start: start.0, txn: id_bytes(txn.0), sequence, log: None, offset, len }
        }
        ObjectId::Log(version) => {
            proto::Extent { start: 0, txn: Vec::new(), sequence: 0, log: Some(version.0), offset, len }
        }
    }
}

fn read_extent(extent: Option<proto::Extent>) -> Result<Extent> {
    let extent = extent.ok_or_else(|| damaged("a reference without a place"))?;
    extent.offset.checked_add(extent.len).ok_or_else(|| damaged("a reference beyond every object"))?;
    let object = match extent.log {
        Some(version) => ObjectId::Log(Version(version)),
        None => ObjectId::Data {
            start: Version(extent.start),
            txn: CommitId(read_id(&extent.txn)?),
            sequence: extent.sequence,
        },
    };
    Ok(Extent { object, offset: extent.offset, len: extent.len })
}

pub(crate) fn delete_vector(vector: &DeleteVectorRef) -> proto::DeleteVector {
    proto::DeleteVector { extent: Some(extent(&vector.extent)), rows: vector.rows }
}

pub(crate) fn read_delete_vector(vector: proto::DeleteVector) -> Result<DeleteVectorRef> {
    Ok(DeleteVectorRef { extent: read_extent(vector.extent)?, rows: vector.rows })
}

pub(crate) fn segment(segment: &SegmentRef) -> proto::Segment {
    let column = |c: &SegmentColumn| proto::SegmentColumn {
        id: c.id.0,
        min: c.bounds.min.as_ref().map(scalar),
        max: c.bounds.max.as_ref().map(scalar),
        exact: c.bounds.exact,
        null_count: c.bounds.null_count,
        rows: c.bounds.rows,
        bytes: c.bytes,
    };
    proto::Segment {
        id: segment.id.0,
        extent: Some(extent(&segment.extent)),
        footer_len: segment.footer_len,
        slice: segment.slice,
        run: segment.run.0,
        rows: segment.rows,
        added: segment.added.0,
        columns: segment.columns.iter().map(column).collect(),
        deleted: segment.deleted.as_ref().map(delete_vector),
        rank_map: segment.rank_map,
        rank_counts: segment.rank_counts.clone(),
        place: if segment.place == SegmentRef::place_of(segment.id) { 0 } else { segment.place },
    }
}

pub(crate) fn moved(moved: &Move) -> proto::Moved {
    proto::Moved {
        table: 0,
        version: moved.version.0,
        from: moved.from.iter().map(|id| id.0).collect(),
        to: moved.to.iter().map(|id| id.0).collect(),
        positions: Some(extent(&moved.positions)),
    }
}

pub(crate) fn read_moved(moved: proto::Moved) -> Result<Move> {
    Ok(Move {
        version: Version(moved.version),
        from: moved.from.into_iter().map(SegmentId).collect(),
        to: moved.to.into_iter().map(SegmentId).collect(),
        positions: read_extent(moved.positions)?,
    })
}

pub(crate) fn read_segment(segment: proto::Segment) -> Result<SegmentRef> {
    let column = |c: proto::SegmentColumn| {
        if c.min.is_some() != c.max.is_some() || c.null_count > c.rows {
            return Err(damaged("impossible bounds"));
        }
        Ok(SegmentColumn {
            id: ColumnId(c.id),
            bounds: Bounds {
                min: c.min.map(read_scalar).transpose()?,
                max: c.max.map(read_scalar).transpose()?,
                exact: c.exact,
                null_count: c.null_count,
                rows: c.rows,
            },
            bytes: c.bytes,
        })
    };
    Ok(SegmentRef {
        id: SegmentId(segment.id),
        extent: read_extent(segment.extent)?,
        footer_len: segment.footer_len,
        slice: segment.slice,
        run: RunId(segment.run),
        rows: segment.rows,
        added: Version(segment.added),
        columns: segment.columns.into_iter().map(column).collect::<Result<_>>()?,
        deleted: segment.deleted.map(read_delete_vector).transpose()?,
        rank_map: segment.rank_map,
        rank_counts: segment.rank_counts,
        place: if segment.place == 0 { SegmentRef::place_of(SegmentId(segment.id)) } else { segment.place },
    })
}

pub(crate) fn rank_map(map: &RankMap) -> proto::RankMap {
    let column = |c: &RankColumn| proto::RankColumn {
        column: c.column.0,
        bounds: c.bounds.iter().map(scalar).collect(),
        nulls: c.nulls,
        sampled: c.sampled.to_vec(),
    };
    proto::RankMap { version: map.version, columns: map.columns.iter().map(column).collect() }
}

/// Whether it fits its table, [`RankMap::check`] tells.
pub(crate) fn read_rank_map(map: proto::RankMap) -> Result<RankMap> {
    let column = |c: proto::RankColumn| {
        Ok(RankColumn {
            column: ColumnId(c.column),
            bounds: c.bounds.into_iter().map(read_scalar).collect::<Result<_>>()?,
            nulls: c.nulls,
            sampled: c.sampled.try_into().map_err(|_| damaged("a rank map's sample"))?,
        })
    };
    Ok(RankMap { version: map.version, columns: map.columns.into_iter().map(column).collect::<Result<_>>()? })
}

fn mark(mark: &Mark) -> proto::Mark {
    proto::Mark { version: mark.version.0, live_rows: mark.live_rows }
}

fn read_mark(mark: proto::Mark) -> Mark {
    Mark { version: Version(mark.version), live_rows: mark.live_rows }
}

pub(crate) fn statistics(statistics: &StatisticsRef) -> proto::Statistics {
    proto::Statistics {
        extent: Some(extent(&statistics.extent)),
        covers: Some(mark(&statistics.covers)),
        analyzed: statistics.analyzed.as_ref().map(mark),
    }
}

pub(crate) fn read_statistics(statistics: proto::Statistics) -> Result<StatisticsRef> {
    Ok(StatisticsRef {
        extent: read_extent(statistics.extent)?,
        covers: read_mark(statistics.covers.unwrap_or_default()),
        analyzed: statistics.analyzed.map(read_mark),
    })
}

pub(crate) fn maintenance(lease: &Option<MaintenanceLease>) -> proto::Maintenance {
    match lease {
        Some(lease) => proto::Maintenance { holder: id_bytes(lease.holder.0), until_us: lease.until_us },
        None => proto::Maintenance::default(),
    }
}

pub(crate) fn read_maintenance(lease: proto::Maintenance) -> Result<Option<MaintenanceLease>> {
    if lease.holder.is_empty() {
        return Ok(None);
    }
    Ok(Some(MaintenanceLease { holder: CommitId(read_id(&lease.holder)?), until_us: lease.until_us }))
}

pub(crate) fn action(action: &Action) -> proto::Action {
    use proto::ActionKind as K;
    let kind = match action {
        Action::Genesis(v) => K::Genesis(info(v)),
        Action::CreateSchema(v) => K::CreateSchema(schema(v)),
        Action::AlterSchema(v) => K::AlterSchema(schema(v)),
        Action::DropSchema(id) => K::DropSchema(id.0),
        Action::CreateTable(def) => K::CreateTable(table_def(def)),
        Action::AlterTable(def) => K::AlterTable(table_def(def)),
        Action::DropTable(id) => K::DropTable(id.0),
        Action::AddSegments { table, data_change, segments } => K::AddSegments(proto::AddSegments {
            table: table.0,
            data_change: *data_change,
            segments: segments.iter().map(|s| segment(s)).collect(),
            statistics: None,
        }),
        Action::Moved { table, from, to, positions } => {
            let whole = Move { version: Version(0), from: from.clone(), to: to.clone(), positions: *positions };
            K::Moved(proto::Moved { table: table.0, ..moved(&whole) })
        }
        Action::SetStatistics { table, statistics: of } => K::AddSegments(proto::AddSegments {
            table: table.0,
            data_change: false,
            segments: Vec::new(),
            statistics: Some(statistics(of)),
        }),
        Action::RemoveSegments { table, data_change, segments } => K::RemoveSegments(proto::RemoveSegments {
            table: table.0,
            data_change: *data_change,
            segments: segments.iter().map(|s| s.0).collect(),
        }),
        Action::SetDeleteVectors { table, data_change, vectors } => K::SetDeleteVectors(proto::SetDeleteVectors {
            table: table.0,
            data_change: *data_change,
            vectors: vectors
                .iter()
                .map(|(id, v)| proto::SegmentDeletes { segment: id.0, vector: v.as_ref().map(delete_vector) })
                .collect(),
        }),
        Action::SetHorizon(version) => K::SetHorizon(version.0),
        Action::SetSlices(slices) => K::SetSlices(*slices),
        Action::SetLoads { table, forget, sources, forgotten_us } => K::SetLoads(proto::SetLoads {
            table: table.0,
            forget: *forget,
            sources: sources.iter().map(source).collect(),
            forgotten_us: *forgotten_us,
        }),
        Action::SetMaintenance(lease) => K::SetMaintenance(maintenance(lease)),
        Action::DefineUser(id, name) => K::DefineUser(proto::User { id: id.0, name: name.clone() }),
        Action::ReserveIdentity { table, given, count } => {
            K::ReserveIdentity(proto::ReserveIdentity { table: table.0, given: *given, count: *count })
        }
        Action::CreateView(def) => K::CreateView(view(def)),
        Action::AlterView(def) => K::AlterView(view(def)),
        Action::DropView(id) => K::DropView(id.0),
        Action::SetComment(on, text) => K::SetComment(comment(*on, text.clone())),
        Action::SetRankMap { table, map } => {
            K::SetRankMap(proto::SetRankMap { table: table.0, map: Some(rank_map(map)) })
        }
    };
    proto::Action { kind: Some(kind) }
}

pub(crate) fn read_action(action: proto::Action) -> Result<Action> {
    use proto::ActionKind as K;
    Ok(match action.kind.ok_or_else(|| damaged("an unknown action"))? {
        K::Genesis(v) => Action::Genesis(read_info(v)?),
        K::CreateSchema(v) => Action::CreateSchema(read_schema(v)),
        K::AlterSchema(v) => Action::AlterSchema(read_schema(v)),
        K::DropSchema(id) => Action::DropSchema(SchemaId(id)),
        K::CreateTable(def) => Action::CreateTable(read_table_def(def)?),
        K::AlterTable(def) => Action::AlterTable(read_table_def(def)?),
        K::DropTable(id) => Action::DropTable(TableId(id)),
        K::AddSegments(proto::AddSegments { table, data_change, segments, statistics: Some(of) }) => {
            if data_change || !segments.is_empty() {
                return Err(damaged("statistics among segments"));
            }
            Action::SetStatistics { table: TableId(table), statistics: read_statistics(of)? }
        }
        K::AddSegments(v) => Action::AddSegments {
            table: TableId(v.table),
            data_change: v.data_change,
            segments: v.segments.into_iter().map(|s| read_segment(s).map(Into::into)).collect::<Result<_>>()?,
        },
        K::RemoveSegments(v) => Action::RemoveSegments {
            table: TableId(v.table),
            data_change: v.data_change,
            segments: v.segments.into_iter().map(SegmentId).collect(),
        },
        K::SetDeleteVectors(v) => Action::SetDeleteVectors {
            table: TableId(v.table),
            data_change: v.data_change,
            vectors: v
                .vectors
                .into_iter()
                .map(|d| Ok((SegmentId(d.segment), d.vector.map(read_delete_vector).transpose()?)))
                .collect::<Result<_>>()?,
        },
        K::SetHorizon(version) => Action::SetHorizon(Version(version)),
        K::SetSlices(slices) => Action::SetSlices(slices),
        K::SetLoads(v) => Action::SetLoads {
            table: TableId(v.table),
            forget: v.forget,
            sources: v.sources.into_iter().map(read_source).collect(),
            forgotten_us: v.forgotten_us,
        },
        K::SetMaintenance(lease) => Action::SetMaintenance(read_maintenance(lease)?),
        K::DefineUser(user) => Action::DefineUser(UserId(user.id), user.name),
        K::ReserveIdentity(v) => Action::ReserveIdentity { table: TableId(v.table), given: v.given, count: v.count },
        K::CreateView(def) => Action::CreateView(read_view(def)?),
        K::AlterView(def) => Action::AlterView(read_view(def)?),
        K::DropView(id) => Action::DropView(TableId(id)),
        K::SetComment(said) => {
            let (on, text) = read_comment(said)?;
            Action::SetComment(on, text)
        }
        K::Moved(v) => {
            let table = TableId(v.table);
            let Move { from, to, positions, .. } = read_moved(v)?;
            Action::Moved { table, from, to, positions }
        }
        K::SetRankMap(v) => {
            let map = read_rank_map(v.map.ok_or_else(|| damaged("a rank map is missing"))?)?;
            Action::SetRankMap { table: TableId(v.table), map: Arc::new(map) }
        }
    })
}

pub(crate) fn source(source: &Source) -> proto::Source {
    proto::Source {
        name: source.name.to_string(),
        identity: source.identity.as_deref().map(str::to_string),
        rows: source.rows,
        loaded_us: source.loaded_us,
    }
}

pub(crate) fn read_source(message: proto::Source) -> Source {
    Source {
        name: message.name.into(),
        identity: message.identity.map(Arc::from),
        rows: message.rows,
        loaded_us: message.loaded_us,
    }
}
