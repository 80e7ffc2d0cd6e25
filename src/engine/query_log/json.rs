//! A logged statement as a line of JSON. Keys that are missing are empty, keys that are unknown are left out: what other
//! versions wrote can be read.

use serde_json::{Value, json};

use crate::system::{
    AlertRecord, LoadRecord, LoadedFile, QueryRecord, RefusedColumn, RefusedField, RefusedRow, ReplacedText,
    ScanRecord, StepRecord, UnloadRecord, VacuumRecord,
};

pub fn write(record: &QueryRecord) -> String {
    let steps = record.steps.iter().map(|s| {
        json!({
            "node": s.node, "parent": s.parent, "plan": s.plan, "info": s.info, "label": s.label, "rows": s.rows,
            "bytes": s.bytes, "elapsed_us": s.elapsed_us,
            "longest_us": s.longest_us, "partitions": s.partitions, "disk": s.disk, "memory": s.memory,
            "range_restricted": s.range_restricted, "rows_pre_filter": s.rows_pre_filter,
        })
    });
    let scans = record.scans.iter().map(|s| {
        json!({
            "slice": s.slice, "step": s.step, "rows": s.rows, "bytes": s.bytes, "table": s.table, "name": s.name,
            "range_restricted": s.range_restricted, "rows_pre_filter": s.rows_pre_filter,
            "rows_pre_user_filter": s.rows_pre_user_filter,
        })
    });
    let alerts = record.alerts.iter().map(|a| json!({ "step": a.step, "event": a.event, "solution": a.solution }));
    let vacuums = record.vacuums.iter().map(|v| {
        json!({
            "table": v.table, "name": v.name, "status": v.status, "rows": v.rows, "sorted_rows": v.sorted_rows,
            "blocks": v.blocks, "max_merge_partitions": v.max_merge_partitions, "time_us": v.time_us,
            "reclaimable_rows": v.reclaimable_rows, "reclaimable_bytes": v.reclaimable_bytes,
            "recluster": v.recluster, "sort_partitions": v.sort_partitions, "merge_increments": v.merge_increments,
            "rows_rewritten": v.rows_rewritten, "longest_step_us": v.longest_step_us,
        })
    });
    let unloads = record.unloads.iter().map(|u| {
        json!({
            "slice": u.slice, "path": u.path, "start_us": u.start_us, "end_us": u.end_us, "lines": u.lines,
            "bytes": u.bytes, "format": u.format,
        })
    });
    let value = json!({
        "user": record.user, "query": record.query, "label": record.label, "xid": record.xid,
        "process": record.process, "database": record.database, "text": record.text, "start_us": record.start_us,
        "end_us": record.end_us, "aborted": record.aborted, "steps": steps.collect::<Vec<_>>(),
        "scans": scans.collect::<Vec<_>>(), "alerts": alerts.collect::<Vec<_>>(),
        "vacuums": vacuums.collect::<Vec<_>>(), "load": record.load.as_ref().map(load),
        "unloads": unloads.collect::<Vec<_>>(),
    });
    value.to_string()
}

fn load(load: &LoadRecord) -> Value {
    let files = load.files.iter().map(
        |f| json!({ "name": f.name, "lines": f.lines, "errors": f.errors, "format": f.format, "time_us": f.time_us }),
    );
    let column = |c: &RefusedColumn| json!({ "name": c.name, "type": c.type_name, "length": c.length });
    let field = |f: &RefusedField| json!({ "value": f.value, "column": column(&f.column) });
    let errors = load.errors.iter().map(|e| {
        json!({
            "file": e.file, "line": e.line, "offset": e.offset, "column": column(&e.column), "position": e.position,
            "raw_line": e.raw_line, "raw_value": e.raw_value, "code": e.code, "reason": e.reason,
            "fields": e.fields.iter().map(field).collect::<Vec<_>>(),
        })
    });
    let replaced = load
        .replaced
        .iter()
        .map(|r| json!({ "file": r.file, "line": r.line, "column": r.column, "raw_line": r.raw_line }));
    json!({
        "table": load.table, "files": files.collect::<Vec<_>>(), "errors": errors.collect::<Vec<_>>(),
        "replaced": replaced.collect::<Vec<_>>(),
    })
}

fn read_load(value: &Value) -> Option<LoadRecord> {
    value.as_object()?;
    let each = |key: &str| value.get(key).and_then(Value::as_array).cloned().unwrap_or_default();
    let files = each("files").into_iter().map(|f| LoadedFile {
        name: text(&f, "name"),
        lines: big(&f, "lines"),
        errors: big(&f, "errors"),
        format: text(&f, "format"),
        time_us: big(&f, "time_us"),
    });
    let errors = each("errors").into_iter().map(|e| RefusedRow {
        file: text(&e, "file"),
        line: big(&e, "line"),
        offset: big(&e, "offset"),
        column: read_column(&e["column"]),
        position: int(&e, "position"),
        raw_line: text(&e, "raw_line"),
        raw_value: text(&e, "raw_value"),
        code: int(&e, "code"),
        reason: text(&e, "reason"),
        fields: e["fields"].as_array().map_or(Vec::new(), |fields| fields.iter().map(read_field).collect()),
    });
    let replaced = each("replaced").into_iter().map(|r| ReplacedText {
        file: text(&r, "file"),
        line: big(&r, "line"),
        column: text(&r, "column"),
        raw_line: text(&r, "raw_line"),
    });
    Some(LoadRecord {
        table: int(value, "table"),
        files: files.collect(),
        errors: errors.collect(),
        replaced: replaced.collect(),
    })
}

fn read_column(value: &Value) -> RefusedColumn {
    RefusedColumn { name: text(value, "name"), type_name: text(value, "type"), length: text(value, "length") }
}

fn read_field(value: &Value) -> RefusedField {
    RefusedField { value: value["value"].as_str().map(str::to_string), column: read_column(&value["column"]) }
}

/// `None` of what is no such line.
pub fn read(line: &[u8]) -> Option<QueryRecord> {
    let value: Value = serde_json::from_slice(line).ok()?;
    let each = |key: &str| value.get(key).and_then(Value::as_array).cloned().unwrap_or_default();
    let steps = each("steps").into_iter().map(|s| StepRecord {
        node: int(&s, "node"),
        parent: int(&s, "parent"),
        plan: text(&s, "plan"),
        info: text(&s, "info"),
        label: text(&s, "label"),
        rows: big(&s, "rows"),
        bytes: big(&s, "bytes"),
        elapsed_us: big(&s, "elapsed_us"),
        longest_us: big(&s, "longest_us"),
        partitions: int(&s, "partitions"),
        disk: truth(&s, "disk"),
        memory: big(&s, "memory"),
        range_restricted: truth(&s, "range_restricted"),
        rows_pre_filter: big(&s, "rows_pre_filter"),
    });
    let scans = each("scans").into_iter().map(|s| ScanRecord {
        slice: int(&s, "slice"),
        step: int(&s, "step"),
        rows: big(&s, "rows"),
        bytes: big(&s, "bytes"),
        table: int(&s, "table"),
        name: text(&s, "name"),
        range_restricted: truth(&s, "range_restricted"),
        rows_pre_filter: big(&s, "rows_pre_filter"),
        rows_pre_user_filter: big(&s, "rows_pre_user_filter"),
    });
    let alerts = each("alerts").into_iter().map(|a| AlertRecord {
        step: int(&a, "step"),
        event: text(&a, "event"),
        solution: text(&a, "solution"),
    });
    let vacuums = each("vacuums").into_iter().map(|v| VacuumRecord {
        table: int(&v, "table"),
        name: text(&v, "name"),
        status: text(&v, "status"),
        rows: big(&v, "rows"),
        sorted_rows: big(&v, "sorted_rows"),
        blocks: big(&v, "blocks"),
        max_merge_partitions: int(&v, "max_merge_partitions"),
        time_us: big(&v, "time_us"),
        reclaimable_rows: big(&v, "reclaimable_rows"),
        reclaimable_bytes: big(&v, "reclaimable_bytes"),
        recluster: truth(&v, "recluster"),
        sort_partitions: int(&v, "sort_partitions"),
        merge_increments: int(&v, "merge_increments"),
        rows_rewritten: big(&v, "rows_rewritten"),
        longest_step_us: big(&v, "longest_step_us"),
    });
    let unloads = each("unloads").into_iter().map(|u| UnloadRecord {
        slice: int(&u, "slice"),
        path: text(&u, "path"),
        start_us: big(&u, "start_us"),
        end_us: big(&u, "end_us"),
        lines: big(&u, "lines"),
        bytes: big(&u, "bytes"),
        format: text(&u, "format"),
    });
    Some(QueryRecord {
        user: int(&value, "user"),
        query: value.get("query")?.as_i64()?,
        label: text(&value, "label"),
        xid: big(&value, "xid"),
        process: int(&value, "process"),
        database: text(&value, "database"),
        text: text(&value, "text"),
        start_us: value.get("start_us")?.as_i64()?,
        end_us: value.get("end_us")?.as_i64()?,
        aborted: truth(&value, "aborted"),
        steps: steps.collect(),
        scans: scans.collect(),
        alerts: alerts.collect(),
        vacuums: vacuums.collect(),
        load: value.get("load").and_then(read_load),
        unloads: unloads.collect(),
    })
}

fn big(value: &Value, key: &str) -> i64 {
    value.get(key).and_then(Value::as_i64).unwrap_or_default()
}

fn int(value: &Value, key: &str) -> i32 {
    i32::try_from(big(value, key)).unwrap_or_default()
}

fn text(value: &Value, key: &str) -> String {
    value.get(key).and_then(Value::as_str).unwrap_or_default().to_string()
}

fn truth(value: &Value, key: &str) -> bool {
    value.get(key).and_then(Value::as_bool).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_read_back() {
        let record = QueryRecord {
            user: 100,
            query: 7,
            text: "select '\u{e9}'\n\"x\"".to_string(),
            start_us: 5,
            end_us: 9,
            aborted: true,
            steps: vec![StepRecord { node: 1, plan: "XN Result".into(), rows: 3, disk: true, ..Default::default() }],
            scans: vec![ScanRecord { slice: 2, name: "t".into(), rows_pre_filter: 8, ..Default::default() }],
            alerts: vec![AlertRecord { step: 1, event: "e".into(), solution: "s".into() }],
            vacuums: vec![VacuumRecord {
                table: 3,
                recluster: true,
                merge_increments: 7,
                rows_rewritten: 8,
                longest_step_us: 9,
                ..Default::default()
            }],
            unloads: vec![UnloadRecord { slice: 2, path: "file:///f".into(), lines: 5, ..Default::default() }],
            ..Default::default()
        };
        let line = write(&record);
        assert!(!line.contains('\n'));
        assert_eq!(read(line.as_bytes()), Some(record));
        for damaged in ["", "{", "[]", "{\"query\": \"x\"}", "null"] {
            assert_eq!(read(damaged.as_bytes()), None, "{damaged}");
        }
    }
}
