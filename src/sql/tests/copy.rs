use crate::sql::ast::{
    CompUpdate, Compression, Copy, CopyFormat, DateFormat, ErrorLimit, FixedField, IamRole, Mapping, Statement,
    TextEncoding, TimeFormat,
};
use crate::sql::parse_one;

use super::{invalid, refused, unsupported};

fn copy(sql: &str) -> Copy {
    match parse_one(sql) {
        Ok(Statement::Copy(copy)) => *copy,
        other => panic!("{sql}: {other:?}"),
    }
}

fn text(delimiter: u8) -> CopyFormat {
    CopyFormat::Delimited { delimiter, escape: false, remove_quotes: false }
}

#[test]
fn defaults() {
    let c = copy("copy S.t (a, \"B\") from 's3://bucket/it''s'");
    assert_eq!((c.table.to_string().as_str(), c.from.as_str()), ("s.t", "s3://bucket/it's"));
    assert_eq!(c.columns.iter().map(|c| c.value.as_str()).collect::<Vec<_>>(), ["a", "B"]);
    assert_eq!((c.from_position.line, c.from_position.column), (1, 24));
    assert_eq!(c.options.format, text(b'|'));
    assert_eq!((c.options.values.ignore_header, c.options.values.null_as.as_str()), (0, "\\N"));
    assert!(!c.options.values.empty_as_null && !c.options.values.blanks_as_null && c.options.region.is_none());
    assert_eq!((c.options.errors, c.options.compression), (ErrorLimit::At(1), Compression::None));
    assert_eq!((c.options.compupdate, c.options.statupdate, c.options.manifest), (CompUpdate::Unsaid, None, false));
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
    assert_eq!(copy("copy t from 'f' delimiter '\\001'").options.format, text(1));
    assert_eq!(copy("copy t from 'f' delimiter '\t'").options.format, text(b'\t'));
    let o = copy("copy t from 'f' null as '\\0' ignoreheader as 3 emptyasnull blanksasnull").options.values;
    assert_eq!((o.null_as.as_str(), o.ignore_header, o.empty_as_null, o.blanks_as_null), ("\0", 3, true, true));
    assert_eq!(copy("copy t from 'f' null 'NULL' ignoreheader 1").options.values.null_as, "NULL");
    assert!(!o.ignore_blank_lines && copy("copy t from 'f' ignoreblanklines csv").options.values.ignore_blank_lines);
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
    invalid("copy t from 'f' format as", "PARQUET, AVRO, CSV, JSON or FIXEDWIDTH", 1, 26);
    invalid("copy t from 'f' format tar", "PARQUET, AVRO, CSV, JSON or FIXEDWIDTH", 1, 24);
    invalid("copy t from f", "address as a string", 1, 13);
    invalid("copy t (a, a) from 'f'", "more than once", 1, 12);
    invalid("copy t from 'f'\n  fast", "unknown COPY option \"fast\"", 2, 3);
    assert!(refused("copy t from 'f' fast").hint().unwrap().contains("IGNOREHEADER"));
}

#[test]
fn forms_of_lines() {
    let of = |options: &str| copy(&format!("copy t from 'f' {options}")).options.format;
    let escaped = CopyFormat::Delimited { delimiter: b'|', escape: true, remove_quotes: false };
    assert_eq!(of("escape"), escaped);
    assert_eq!(
        of("removequotes delimiter ','"),
        CopyFormat::Delimited { delimiter: b',', escape: false, remove_quotes: true }
    );
    let field = |label: &str, width| FixedField { label: label.into(), width };
    let fixed = CopyFormat::FixedWidth(vec![field("a", 3), field("b c", 10)]);
    assert_eq!(of("fixedwidth 'a:3, b c:10'"), fixed);
    assert_eq!(of("format as fixedwidth as 'a:3,b c:10'"), fixed);
    assert_eq!(of("json"), CopyFormat::Json(Mapping::Auto { ignore_case: false }));
    assert_eq!(of("format json as 'auto ignorecase'"), CopyFormat::Json(Mapping::Auto { ignore_case: true }));
    assert_eq!(of("json 'noshred'"), CopyFormat::Json(Mapping::Whole));
    for avro in ["avro", "format avro", "avro 'auto'", "format as avro as 'AUTO'"] {
        assert_eq!(of(avro), CopyFormat::Avro(Mapping::Auto { ignore_case: false }), "{avro}");
    }
    assert_eq!(of("avro 'auto ignorecase'"), CopyFormat::Avro(Mapping::Auto { ignore_case: true }));
    assert!(matches!(of("avro 's3://b/p'"), CopyFormat::Avro(Mapping::Paths { at, .. }) if at == "s3://b/p"));
    invalid("copy t from 'f' avro 'noshred'", "'noshred' does not go with AVRO", 1, 22);
    assert!(
        matches!(of("json as 's3://b/paths.json'"), CopyFormat::Json(Mapping::Paths { at, .. }) if at == "s3://b/paths.json")
    );
    for widths in ["a", "a:0", "a:x", "a:3,", ""] {
        invalid(&format!("copy t from 'f' fixedwidth '{widths}'"), "needs a width for each field", 1, 28);
    }
}

#[test]
fn how_values_are_read() {
    let of = |options: &str| copy(&format!("copy t from 'f' {options}")).options.values;
    let all =
        of("trimblanks fillrecord truncatecolumns roundec acceptanydate acceptinvchars as '^' encoding as utf16le");
    assert!(all.trim_blanks && all.fill_record && all.truncate && all.round && all.accept_any_date);
    assert_eq!((all.replace_invalid, all.encoding), (Some(b'^'), TextEncoding::Utf16Le));
    assert_eq!(of("acceptinvchars csv").replace_invalid, Some(b'?'));
    assert_eq!(of("dateformat as 'auto'").dates, DateFormat::Auto);
    assert_eq!(of("dateformat 'MM/DD/YYYY'").dates, DateFormat::Pattern("MM/DD/YYYY".into()));
    assert_eq!(of("timeformat 'auto'").times, TimeFormat::Auto);
    assert_eq!(of("timeformat as 'epochsecs'").times, TimeFormat::EpochSeconds);
    assert_eq!(of("timeformat 'epochmillisecs'").times, TimeFormat::EpochMilliseconds);
    assert_eq!(of("timeformat 'YYYY'").times, TimeFormat::Pattern("YYYY".into()));
    invalid("copy t from 'f' encoding latin1", "UTF8, UTF16", 1, 26);
    invalid("copy t from 'f' acceptinvchars as x", "one character as a string", 1, 35);
}

#[test]
fn how_rows_are_loaded() {
    let of = |options: &str| copy(&format!("copy t from 'f' {options}")).options;
    for (word, compression) in [("gzip", Compression::Gzip), ("bzip2", Compression::Bzip2), ("zstd", Compression::Zstd)]
    {
        assert_eq!(of(&format!("csv {word}")).compression, compression);
    }
    assert_eq!((of("maxerror 0").errors, of("maxerror as 1").errors), (ErrorLimit::At(1), ErrorLimit::At(1)));
    assert_eq!(
        (of("maxerrors 100000").errors, of("ignoreallerrors").errors),
        (ErrorLimit::At(100_000), ErrorLimit::Never)
    );
    assert!(of("manifest").manifest && of("noload").no_load);
    assert_eq!((of("compupdate").compupdate, of("compupdate on").compupdate), (CompUpdate::On, CompUpdate::On));
    assert_eq!(
        (of("compupdate preset").compupdate, of("compupdate off").compupdate),
        (CompUpdate::Preset, CompUpdate::Off)
    );
    assert_eq!((of("statupdate").statupdate, of("statupdate off").statupdate), (Some(true), Some(false)));
    assert_eq!(of("comprows 1000").comprows, Some(1000));
    invalid("copy t from 'f' maxerror 100001", "at most 100000", 1, 26);
    invalid("copy t from 'f' comprows 999", "from 1000 to 2147483647", 1, 26);
    invalid("copy t from 'f' gzip bzip2", "second compression", 1, 22);
}

#[test]
fn options_that_do_not_go_together() {
    for (options, message) in [
        ("csv removequotes", "REMOVEQUOTES does not go with CSV"),
        ("escape csv", "CSV does not go with ESCAPE"),
        ("fixedwidth 'a:1' delimiter ','", "DELIMITER does not go with FIXEDWIDTH"),
        ("fixedwidth 'a:1' escape", "ESCAPE does not go with FIXEDWIDTH"),
        ("json 'auto' delimiter ','", "DELIMITER does not go with JSON"),
        ("json 'auto' escape", "ESCAPE does not go with JSON"),
        ("json 'auto' fillrecord", "FILLRECORD does not go with JSON"),
        ("null as 'x' json 'auto'", "JSON does not go with NULL"),
        ("json 'auto' ignoreblanklines", "IGNOREBLANKLINES does not go with JSON"),
        ("json 'auto' removequotes", "REMOVEQUOTES does not go with JSON"),
        ("avro delimiter ','", "DELIMITER does not go with AVRO"),
        ("avro 'auto' escape", "ESCAPE does not go with AVRO"),
        ("avro ignoreheader 1", "IGNOREHEADER does not go with AVRO"),
        ("null as 'x' avro", "AVRO does not go with NULL"),
        ("encoding utf16 avro", "AVRO does not go with ENCODING"),
        ("avro fillrecord", "FILLRECORD does not go with AVRO"),
        ("avro json", "FORMAT is given twice"),
        ("ignoreallerrors maxerror 5", "MAXERROR does not go with IGNOREALLERRORS"),
        ("parquet maxerror 5", "MAXERROR does not go with PARQUET"),
        ("parquet gzip", "compression does not go with PARQUET"),
        ("parquet ignoreallerrors", "IGNOREALLERRORS does not go with PARQUET"),
        ("csv fixedwidth 'a:1'", "FORMAT is given twice"),
    ] {
        let e = refused(&format!("copy t from 'f' {options}"));
        assert!(e.message().contains(message) && e.position().is_some(), "{options}: {e:?}");
    }
    let e = refused("copy t from 'f' parquet maxerror 5");
    assert!(e.hint().is_some_and(|hint| hint.contains("any error in such a file ends the load")), "{e:?}");
}

#[test]
fn options_not_offered_are_named() {
    for option in ["LZOP", "ORC", "SHAPEFILE", "ENCRYPTED", "MASTER_SYMMETRIC_KEY", "KMS_KEY_ID", "READRATIO", "SSH"] {
        unsupported(&format!("copy t from 'f' {option} 'x'"), &format!("COPY option {option}"), 1, 17);
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
    assert_eq!(of("credentials 'profile=mine'").profile.as_deref(), Some("mine"));
    let azure = of("credentials 'azure_storage_account_name=a;azure_storage_account_key=hu=sh=='");
    assert_eq!(azure.settings[1], ("azure_storage_account_key".to_string(), "hu=sh==".to_string()));
    assert!(!format!("{azure:?}").contains("hu=sh"), "{azure:?}");
    for two in
        ["profile=mine;aws_iam_role=r", "profile=mine;azure_storage_token=t", "profile=;", "token=t;profile=mine"]
    {
        refused(&format!("copy t from 'f' credentials '{two}'"));
    }
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
