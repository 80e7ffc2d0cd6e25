use crate::common::{EncodingName, SortStyle, SqlType};
use crate::sql::ast::{ConstraintKind, DistClause, KeyColumn, SortClause, Statement};
use crate::sql::parse_one;
use crate::sql::unparse::{create_table_ddl, quote_ident};

use super::{create, invalid, refused, unsupported};

fn sort_names(sort: &Option<SortClause>) -> Vec<String> {
    match sort {
        Some(SortClause::Columns { style: SortStyle::Compound, columns }) => columns
            .iter()
            .map(|c| match c {
                KeyColumn::Name(name) => name.value.clone(),
                KeyColumn::Position { ordinal, .. } => ordinal.to_string(),
            })
            .collect(),
        other => panic!("{other:?}"),
    }
}

fn dist_name(dist: &Option<DistClause>) -> &str {
    match dist {
        Some(DistClause::Key(KeyColumn::Name(name))) => &name.value,
        other => panic!("{other:?}"),
    }
}

#[test]
fn create_table_with_everything() {
    let t = create(
        "CREATE TABLE IF NOT EXISTS dev.Public.\"My Table\" (
            id bigint NOT NULL DISTKEY ENCODE az64 PRIMARY KEY,
            name varchar(20) ENCODE zstd DEFAULT 'x' || 'y' NOT NULL,
            price decimal(12, 2) DEFAULT 5 NOT NULL,
            ref int REFERENCES other (x) UNIQUE,
            CONSTRAINT u UNIQUE (id, name),
            FOREIGN KEY (ref) REFERENCES s.other
        ) BACKUP NO COMPOUND SORTKEY (name, id) DISTSTYLE KEY ENCODE AUTO",
    );
    assert!(t.if_not_exists && !t.temporary && t.encode_auto);
    assert_eq!(t.name.to_string(), "dev.public.\"My Table\"");
    assert_eq!(t.name.base().value, "My Table");
    assert_eq!(t.name.schema().unwrap().value, "public");
    assert_eq!(t.name.database().unwrap().value, "dev");
    assert_eq!(dist_name(&t.dist), "id");
    assert_eq!(sort_names(&t.sort), ["name", "id"]);
    assert_eq!(t.backup, Some(false));
    assert_eq!(t.columns.len(), 4);
    assert!(t.columns[0].distkey);
    assert_eq!(t.columns[0].encode, Some(EncodingName::Az64));
    assert_eq!(t.columns[1].default.as_ref().unwrap().to_string(), "'x' || 'y'");
    assert_eq!(t.columns[2].default.as_ref().unwrap().to_string(), "5");
    assert_eq!(t.columns.iter().map(|c| c.not_null).collect::<Vec<_>>(), [Some(true), Some(true), Some(true), None]);
    assert_eq!(t.columns[1].name.position.line, 3);
    assert_eq!(t.columns[1].name.position.column, 13);
    assert_eq!(t.constraints.len(), 5);
    assert!(matches!(&t.constraints[0].kind, ConstraintKind::Unique(c) if c.len() == 2));
    assert!(matches!(&t.constraints[1].kind, ConstraintKind::ForeignKey { referenced, .. } if referenced.is_empty()));
    assert!(matches!(&t.constraints[2].kind, ConstraintKind::PrimaryKey(c) if c[0].value == "id"));
}

#[test]
fn table_attributes_stand_in_any_order() {
    let words = ["DISTSTYLE KEY", "DISTKEY (a)", "SORTKEY (b, a)", "ENCODE AUTO", "BACKUP YES"];
    for i in 0..words.len() {
        let mut words = words;
        words.rotate_left(i);
        let t = create(&format!("create table t (a int, b int) {}", words.join(" ")));
        assert_eq!(dist_name(&t.dist), "a");
        assert_eq!(sort_names(&t.sort), ["b", "a"]);
        assert!(t.encode_auto);
        assert_eq!(t.backup, Some(true));
    }
    for (word, dist) in [("AUTO", DistClause::Auto), ("EVEN", DistClause::Even), ("all", DistClause::All)] {
        assert_eq!(create(&format!("create table t (a int) diststyle {word}")).dist, Some(dist));
    }
    assert_eq!(create("create table t (a int) sortkey auto").sort, Some(SortClause::Auto));
    let t = create("create table t (a int, b int sortkey)");
    assert_eq!(sort_names(&t.sort), ["b"]);
    assert!(t.columns[1].sortkey);
    assert_eq!((t.dist, t.encode_auto, t.backup), (None, false, None));
}

#[test]
fn temporary_tables() {
    for sql in ["create temp table t (a int)", "create local temporary table t (a int)", "create table #t (a int)"] {
        assert!(create(sql).temporary, "{sql}");
    }
}

#[test]
fn like_another_table() {
    let t = create("create table t (like s.p including defaults)");
    let like = t.like.unwrap();
    assert_eq!((like.parent.to_string().as_str(), like.including_defaults), ("s.p", true));
    assert!(!create("create table t (like p excluding defaults)").like.unwrap().including_defaults);
    unsupported("create table t (like p, a int)", "LIKE together with columns", 1, 17);
    invalid("create table t (like p) diststyle even", "DISTSTYLE does not go with LIKE", 1, 25);
}

#[test]
fn create_table_as() {
    let t = create("create table t (A, \"B\") diststyle key distkey (2) sortkey (1) as select 1, 2");
    assert_eq!(t.column_names.iter().map(|n| n.value.as_str()).collect::<Vec<_>>(), ["a", "B"]);
    assert_eq!(dist_name(&t.dist), "B");
    assert_eq!(sort_names(&t.sort), ["a"]);
    assert_eq!(t.as_query.unwrap().to_string(), "SELECT 1, 2");
    let t = create("create temp table t distkey (k) sortkey (2, 1) as (with x as (select 1 as k, 2) select * from x)");
    assert_eq!(dist_name(&t.dist), "k");
    assert_eq!(sort_names(&t.sort), ["2", "1"]);
    assert!(t.columns.is_empty() && t.column_names.is_empty());
    assert!(create("create table t as values (1, 'a'), (2, 'b')").as_query.is_some());
    invalid("create table t (a int) as select 1", "column names only", 1, 24);
    invalid("create table t (a, b int) as select 1", "either all columns", 1, 17);
    invalid("create table t (a, b)", "columns need a type", 1, 17);
    invalid("create table t", "\"(\" or AS", 1, 15);
    invalid("create table t (a) sortkey (2) as select 1", "names column 2", 1, 29);
    invalid("create table t (a) distkey (0) as select 1", "no column 0", 1, 29);
    invalid("create table t sortkey (1, 1) as select 1", "a column twice", 1, 28);
    unsupported("create table t as insert into x values (1)", "INSERT within a query", 1, 19);
}

#[test]
fn types_by_all_their_names() {
    use SqlType::*;
    let decimal = |precision, scale| Decimal { precision, scale };
    for (name, expected) in [
        ("smallint", SmallInt),
        ("INT2", SmallInt),
        ("int", Integer),
        ("int4", Integer),
        ("Integer", Integer),
        ("bigint", BigInt),
        ("int8", BigInt),
        ("decimal", decimal(18, 0)),
        ("numeric(5)", decimal(5, 0)),
        ("numeric(38,37)", decimal(38, 37)),
        ("real", Real),
        ("float4", Real),
        ("double precision", Double),
        ("float", Double),
        ("float8", Double),
        ("float(24)", Real),
        ("float(25)", Double),
        ("bool", Boolean),
        ("boolean", Boolean),
        ("char", Char(1)),
        ("character(7)", Char(7)),
        ("nchar(7)", Char(7)),
        ("char(max)", Char(4096)),
        ("bpchar", Char(256)),
        ("varchar", Varchar(256)),
        ("varchar(max)", Varchar(65535)),
        ("character varying(9)", Varchar(9)),
        ("char varying", Varchar(256)),
        ("nvarchar(9)", Varchar(9)),
        ("text", Varchar(256)),
        ("date", Date),
        ("timestamp", Timestamp),
        ("timestamp without time zone", Timestamp),
        ("timestamp(6)", Timestamp),
        ("timestamptz", TimestampTz),
        ("timestamp with time zone", TimestampTz),
        ("time", Time),
        ("time without time zone", Time),
        ("dec(5, 2)", decimal(5, 2)),
        ("varbyte", Varbyte(64_000)),
        ("varbyte(16777216)", Varbyte(16_777_216)),
        ("varbinary(7)", Varbyte(7)),
        ("binary varying(9)", Varbyte(9)),
        ("super", Super),
    ] {
        assert_eq!(create(&format!("create table t (a {name} not null)")).columns[0].sql_type, expected, "{name}");
    }
    for name in ["TIMETZ", "TIME WITH TIME ZONE", "GEOMETRY", "GEOGRAPHY", "HLLSKETCH", "INTERVAL"] {
        let sql = format!("create table t (a {})", name.to_lowercase());
        unsupported(&sql, &format!("the type {name}"), 1, 19);
        assert!(
            refused(&sql).hint().is_some_and(|hint| hint.starts_with("use ") || hint.starts_with("count ")),
            "{name}"
        );
    }
    for (name, closest) in [("json", "SUPER"), ("bytea", "VARBYTE"), ("uuid", "CHAR(36)"), ("binary", "VARBYTE")] {
        let sql = format!("create table t (a {name})");
        invalid(&sql, "unknown type", 1, 19);
        assert!(refused(&sql).hint().is_some_and(|hint| hint.starts_with(&format!("use {closest};"))), "{name}");
    }
    invalid("create table t (a varbyte(0))", "length 0", 1, 19);
    invalid("create table t (a varbyte(16777217))", "16777217", 1, 19);
    invalid("create table t (a super(5))", "takes no length", 1, 24);
    invalid("create table t (\n a money)", "unknown type \"money\"", 2, 4);
    assert!(refused("create table t (a money)").hint().is_some());
    invalid("create table t (a decimal(39))", "precision 39", 1, 19);
    invalid("create table t (a decimal(5, 6))", "scale 6", 1, 19);
    invalid("create table t (a decimal(5, 6, 7))", "precision and scale", 1, 19);
    invalid("create table t (a char(4097))", "4097", 1, 19);
    invalid("create table t (a varchar(65536))", "65536", 1, 19);
    invalid("create table t (a varchar(0))", "length 0", 1, 19);
    invalid("create table t (a varchar(-1))", "a length or MAX", 1, 27);
    invalid("create table t (a float(54))", "1 to 53", 1, 19);
    invalid("create table t (a int(4))", "takes no length", 1, 22);
}

#[test]
fn definitions_that_contradict_themselves() {
    let hinted = |sql: &str, message: &str, column| {
        invalid(sql, message, 1, column);
        assert!(refused(sql).hint().is_some(), "{sql}");
    };
    hinted("create table t (a int distkey, b int distkey)", "one DISTKEY", 38);
    hinted("create table t (a int distkey) distkey (a)", "one DISTKEY", 32);
    hinted("create table t (a int) distkey (a) distkey (a)", "DISTKEY is given twice", 36);
    hinted("create table t (a int, b int) distkey (a, b)", "DISTKEY takes one column", 43);
    hinted("create table t (a int distkey distkey)", "given twice for column \"a\"", 31);
    hinted("create table t (a int) diststyle key", "needs a DISTKEY", 24);
    hinted("create table t (a int distkey) diststyle even", "DISTSTYLE EVEN", 23);
    hinted("create table t (a int) diststyle all distkey (a)", "DISTSTYLE ALL", 38);
    hinted("create table t (a int) diststyle auto distkey (a)", "DISTSTYLE AUTO", 39);
    hinted("create table t (a int) diststyle even diststyle all", "DISTSTYLE is given twice", 39);
    hinted("create table t (a int) distkey (b)", "DISTKEY names column \"b\"", 33);
    hinted("create table t (a int) sortkey (a, b)", "SORTKEY names column \"b\"", 36);
    hinted("create table t (a int) sortkey (1)", "takes column names", 33);
    hinted("create table t (a int) sortkey (a, a)", "a column twice", 36);
    hinted("create table t (a int sortkey) sortkey (a)", "both at a column and at the table", 23);
    hinted("create table t (a int sortkey, b int sortkey)", "only one column", 38);
    hinted("create table t (a int) sortkey (a) sortkey auto", "SORTKEY is given twice", 36);
    hinted("create table t (a int) encode auto encode auto", "ENCODE AUTO is given twice", 36);
    hinted("create table t (a int) backup no backup no", "BACKUP is given twice", 34);
    hinted("create table t (a int, A text)", "\"a\" is given more than once", 24);
    hinted("create table t (a int encode lz77)", "unknown encoding", 30);
    hinted("create table t (a int encode raw encode raw)", "ENCODE is given twice", 34);
    hinted("create table t (a int default 1 default 2)", "DEFAULT is given twice", 33);
    hinted("create table t (a int null not null)", "both NULL and NOT NULL", 28);
    hinted("create table t (a int null primary key)", "primary key is NULL", 28);
    hinted("create table t (a int primary key, primary key (a))", "one PRIMARY KEY", 23);
    hinted("create table t (a int, unique (b))", "UNIQUE names column \"b\"", 32);
    hinted("create table t (a int, foreign key (a) references p (x, y))", "refers to 2", 24);
    hinted("create table t (unique (a))", "at least one column", 14);
    hinted("create table t (a int) with oids", "a table attribute", 24);
    hinted("create table t (a int with)", "a column attribute", 23);
    hinted("create table select (a int)", "a table name", 14);
    hinted("create table a.b.c.d (a int)", "at most three parts", 14);
    unsupported("create table t (a int) interleaved sortkey (a)", "INTERLEAVED SORTKEY", 1, 24);
    unsupported("create table t (a int identity(1,1))", "IDENTITY", 1, 23);
    unsupported("create table t (a int generated by default as identity(1,1))", "IDENTITY", 1, 23);
    unsupported("create table t (a text collate case_insensitive)", "COLLATE", 1, 24);
    unsupported("create table t (a text default 'x' collate case_insensitive)", "COLLATE", 1, 24);
    unsupported("create table t (a int check (a > 1))", "CHECK", 1, 23);
    unsupported("create table t (a int, check (a > 1))", "CHECK", 1, 24);
    unsupported("create or replace table t (a int)", "CREATE OR REPLACE TABLE", 1, 1);
}

#[test]
fn too_many_columns() {
    let columns = |n: usize| (0..n).map(|i| format!("c{i} int")).collect::<Vec<_>>().join(",");
    let names = |n: usize| (0..n).map(|i| format!("c{i}")).collect::<Vec<_>>().join(",");
    assert_eq!(create(&format!("create table t ({})", columns(1600))).columns.len(), 1600);
    assert!(refused(&format!("create table t ({})", columns(1601))).message().contains("at most 1600"));
    let t = create(&format!("create table t ({}) sortkey ({})", columns(400), names(400)));
    assert_eq!(sort_names(&t.sort).len(), 400);
    let e = refused(&format!("create table t ({}) sortkey ({})", columns(401), names(401)));
    assert!(e.message().contains("at most 400") && e.position().is_some());
}

#[test]
fn long_names_are_cut_everywhere() {
    let name = "é".repeat(100);
    let t = create(&format!("create table {name} (x{name} int)"));
    assert_eq!(t.name.base().value, "é".repeat(63));
    assert_eq!(t.columns[0].name.value.len(), 127);
    let Statement::Query(query) = parse_one(&format!("select 1 from {name}")).unwrap() else { panic!() };
    assert_eq!(query.to_string(), format!("SELECT 1 FROM {}", "é".repeat(63)));
}

#[test]
fn drops_and_schemas() {
    let Statement::DropTable(d) = parse_one("drop table if exists a, s.B cascade;").unwrap() else { panic!() };
    assert!(d.if_exists && d.cascade);
    assert_eq!(d.names.iter().map(ToString::to_string).collect::<Vec<_>>(), ["a", "s.b"]);
    let Statement::DropTable(d) = parse_one("drop table a restrict").unwrap() else { panic!() };
    assert!(!d.if_exists && !d.cascade);
    let Statement::DropSchema(d) = parse_one("drop schema s, u").unwrap() else { panic!() };
    assert_eq!(d.names.len(), 2);
    let Statement::CreateSchema(s) = parse_one("create schema if not exists s authorization me").unwrap() else {
        panic!()
    };
    assert!(s.if_not_exists);
    assert_eq!((s.name.to_string().as_str(), s.authorization.unwrap().value.as_str()), ("s", "me"));
    let Statement::CreateSchema(s) = parse_one("create schema authorization me").unwrap() else { panic!() };
    assert_eq!(s.name.to_string(), "me");
    unsupported("create schema s quota 5 gb", "QUOTA", 1, 17);
    invalid("drop table", "expected a table name", 1, 11);
    invalid("drop thing x", "TABLE, VIEW or SCHEMA", 1, 6);
    invalid("create thing x", "TABLE, VIEW, SCHEMA", 1, 8);
    invalid("drop table a b", "the statement's end", 1, 14);
    let Statement::ShowTable { name } = parse_one("show table s.t").unwrap() else { panic!() };
    assert_eq!(name.to_string(), "s.t");
}

#[test]
fn ddl_reads_back() {
    for sql in [
        "create table t (a int)",
        "create temp table if not exists S.\"T x\" (\"Order\" int default 1 + 2 encode az64 not null, b text null, \
         c numeric(9,3) distkey sortkey primary key, unique (b), constraint \"F\" foreign key (b) references p (q)) \
         backup no encode auto",
        "create table t (a int) diststyle all sortkey auto",
        "create table t (a char(3), b varchar(max), d timestamp, e double precision, f bool) diststyle even",
        "create table t (like p including defaults)",
        "create table t (x, y) distkey (2) sortkey (1, 2) backup yes as select a, b from c where d > 'it''s'",
        "create table t diststyle auto as select 1",
    ] {
        let t = &create(sql);
        let ddl = create_table_ddl(t);
        assert_eq!(create_table_ddl(&create(&ddl)), ddl);
        let mut again = create(&ddl);
        // Column words come back as the table's.
        for (a, b) in again.columns.iter_mut().zip(&t.columns) {
            (a.distkey, a.sortkey) = (b.distkey, b.sortkey);
            assert_eq!((&a.name, a.sql_type, a.not_null, a.encode), (&b.name, b.sql_type, b.not_null, b.encode));
        }
        assert_eq!(
            (again.constraints.len(), again.like, again.backup),
            (t.constraints.len(), t.like.clone(), t.backup)
        );
    }
}

#[test]
fn names_are_quoted_where_needed() {
    for (name, text) in [
        ("a_1$", "a_1$"),
        ("#tmp", "#tmp"),
        ("A", "\"A\""),
        ("1a", "\"1a\""),
        ("order", "\"order\""),
        ("tag", "\"tag\""),
        ("a b", "\"a b\""),
        ("a\"b", "\"a\"\"b\""),
        ("é", "\"é\""),
    ] {
        assert_eq!(quote_ident(name), text);
        assert_eq!(create(&format!("create table {text} ({text} int)")).columns[0].name.value, name);
    }
}
