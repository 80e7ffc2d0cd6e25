use crate::sql::ast::{Copy, CopyFormat, IamRole, Statement};
use crate::sql::parse_one;

use super::{invalid, refused, unsupported};

fn copy(sql: &str) -> Copy {
    match parse_one(sql) {
        Ok(Statement::Copy(copy)) => *copy,
        other => panic!("{sql}: {other:?}"),
    }
}

#[test]
fn defaults() {
    let c = copy("copy S.t (a, \"B\") from 's3://bucket/it''s'");
    assert_eq!((c.table.to_string().as_str(), c.from.as_str()), ("s.t", "s3://bucket/it's"));
    assert_eq!(c.columns.iter().map(|c| c.value.as_str()).collect::<Vec<_>>(), ["a", "B"]);
    assert_eq!((c.from_position.line, c.from_position.column), (1, 24));
    assert_eq!(c.options.format, CopyFormat::Delimited { delimiter: b'|' });
    assert_eq!((c.options.ignore_header, c.options.null_as.as_str()), (0, "\\N"));
    assert!(!c.options.empty_as_null && !c.options.blanks_as_null && c.options.region.is_none());
}

#[test]
fn formats_and_text_options() {
    for sql in ["format as parquet", "format parquet", "parquet iam_role default", "iam_role 'x' format parquet"] {
        assert_eq!(copy(&format!("copy t from 'f' {sql}")).options.format, CopyFormat::Parquet, "{sql}");
    }
    let csv = |delimiter, quote| CopyFormat::Csv { delimiter, quote };
    assert_eq!(copy("copy t from 'f' csv").options.format, csv(b',', b'"'));
    assert_eq!(copy("copy t from 'f' csv quote as '%' delimiter ';'").options.format, csv(b';', b'%'));
    assert_eq!(copy("copy t from 'f' delimiter as '\\t' format as csv").options.format, csv(b'\t', b'"'));
    let text = |delimiter| CopyFormat::Delimited { delimiter };
    assert_eq!(copy("copy t from 'f' delimiter '\\001'").options.format, text(1));
    assert_eq!(copy("copy t from 'f' delimiter '\t'").options.format, text(b'\t'));
    let o = copy("copy t from 'f' null as '\\0' ignoreheader as 3 emptyasnull blanksasnull").options;
    assert_eq!((o.null_as.as_str(), o.ignore_header, o.empty_as_null, o.blanks_as_null), ("\0", 3, true, true));
    assert_eq!(copy("copy t from 'f' null 'NULL' ignoreheader 1").options.null_as, "NULL");
    assert!(!o.ignore_blank_lines && copy("copy t from 'f' ignoreblanklines csv").options.ignore_blank_lines);
    invalid("copy t from 'f' parquet ignoreblanklines", "does not go with PARQUET", 1, 25);
    invalid("copy t from 'f' delimiter ',,'", "one ASCII character", 1, 27);
    invalid("copy t from 'f' delimiter '§'", "one ASCII character", 1, 27);
    invalid("copy t from 'f' delimiter '\\777'", "one ASCII character", 1, 27);
    invalid("copy t from 'f' null as '\n'", "newline", 1, 25);
    invalid("copy t from 'f' quote '%'", "QUOTE needs CSV", 1, 17);
    invalid("copy t from 'f' csv quote ','", "the same", 1, 21);
    invalid("copy t from 'f' parquet ignoreheader 1", "does not go with PARQUET", 1, 25);
    invalid("copy t from 'f' csv format parquet", "FORMAT is given twice", 1, 21);
    invalid("copy t from 'f' emptyasnull emptyasnull", "given twice", 1, 29);
    invalid("copy t from 'f' ignoreheader 'x'", "a number of lines", 1, 30);
    invalid("copy t from 'f' format as", "PARQUET or CSV", 1, 26);
    invalid("copy t from 'f' format tar", "PARQUET or CSV", 1, 24);
    invalid("copy t from f", "address as a string", 1, 13);
    invalid("copy t (a, a) from 'f'", "more than once", 1, 12);
    invalid("copy t from 'f'\n  fast", "unknown COPY option \"fast\"", 2, 3);
    assert!(refused("copy t from 'f' fast").hint().unwrap().contains("IGNOREHEADER"));
}

#[test]
fn options_not_offered_are_named() {
    for option in [
        "GZIP",
        "BZIP2",
        "LZOP",
        "ZSTD",
        "MANIFEST",
        "MAXERROR",
        "FIXEDWIDTH",
        "ESCAPE",
        "REMOVEQUOTES",
        "JSON",
        "AVRO",
        "ORC",
        "SHAPEFILE",
        "ENCRYPTED",
        "MASTER_SYMMETRIC_KEY",
        "ACCEPTANYDATE",
        "ACCEPTINVCHARS",
        "DATEFORMAT",
        "TIMEFORMAT",
        "ENCODING",
        "FILLRECORD",
        "ROUNDEC",
        "TRIMBLANKS",
        "TRUNCATECOLUMNS",
        "IGNOREALLERRORS",
        "NOLOAD",
        "COMPUPDATE",
        "COMPROWS",
        "STATUPDATE",
    ] {
        unsupported(&format!("copy t from 'f' csv {option} 'x'"), &format!("COPY option {option}"), 1, 21);
    }
    unsupported("copy t from 'f' format as orc", "COPY format ORC", 1, 27);
    unsupported("copy t from stdin", "COPY FROM STDIN", 1, 13);
}

#[test]
fn credentials() {
    let of = |options: &str| copy(&format!("copy t from 'f' {options}")).options.credentials;
    assert_eq!(of("iam_role default").iam_role, Some(IamRole::Default));
    assert_eq!(of("iam_role 'arn:x'").iam_role, Some(IamRole::Arn("arn:x".into())));
    for options in [
        "access_key_id 'k' secret_access_key 'hush' session_token as 'tok'",
        "credentials as 'aws_access_key_id=k;aws_secret_access_key=hush;token=tok'",
        "with credentials 'aws_access_key_id=k; aws_secret_access_key=hush; token=tok;'",
    ] {
        let c = of(options);
        assert_eq!(c.access_key_id.as_deref(), Some("k"));
        assert_eq!(c.secret_access_key.as_deref(), Some("hush"));
        assert_eq!(c.session_token.as_deref(), Some("tok"));
        let shown = format!("{c:?}");
        assert!(!shown.contains("hush") && !shown.contains("tok\""), "{shown}");
    }
    assert_eq!(of("credentials 'aws_iam_role=arn:x'").iam_role, Some(IamRole::Arn("arn:x".into())));
    assert_eq!(copy("copy t from 'f' region as 'eu-west-1'").options.region.as_deref(), Some("eu-west-1"));
    invalid("copy t from 'f' iam_role default access_key_id 'x'", "does not go with IAM_ROLE", 1, 34);
    invalid("copy t from 'f' access_key_id 'x'", "needs SECRET_ACCESS_KEY", 1, 17);
    invalid("copy t from 'f' session_token 'x'", "needs ACCESS_KEY_ID", 1, 17);
    for wrong in ["hush", "aws_access_key_id=hush", "key=hush"] {
        let e = refused(&format!("copy t from 'f' credentials '{wrong}'"));
        assert!(!e.to_string().contains("hush"), "{e}");
    }
}

#[test]
fn copy_to_is_passed_on() {
    for sql in ["copy t to 'x.parquet' stored as parquet", "COPY (select 1) TO 'x.csv'"] {
        let statements = crate::sql::parse(&format!("select 1; {sql} ; select 2")).unwrap();
        assert_eq!(statements.len(), 3);
        let Statement::DataFusion { sql: text, position } = &statements[1] else { panic!("{statements:?}") };
        assert_eq!((text.as_str(), position.line, position.column), (sql, 1, 11));
    }
}
