use crate::common::ErrorKind;
use crate::sql::ast::{
    Existing, IamRole, Statement, Unload, UnloadCompression, UnloadFormat, UnloadManifest, UnloadOptions,
};
use crate::sql::parse_one;

use super::{invalid, refused, unsupported};

fn unload(sql: &str) -> Unload {
    match parse_one(sql) {
        Ok(Statement::Unload(unload)) => *unload,
        other => panic!("{sql}: {other:?}"),
    }
}

fn options(text: &str) -> UnloadOptions {
    unload(&format!("unload ('select 1') to 'f' {text}")).options
}

#[test]
fn defaults() {
    let u = unload("UNLOAD ('select * from t where a = ''x''') TO 's3://bucket/it''s_'");
    assert_eq!(u.query.to_string(), "SELECT * FROM t WHERE a = 'x'");
    assert_eq!((u.to.as_str(), u.to_position.line, u.to_position.column), ("s3://bucket/it's_", 1, 47));
    let o = u.options;
    assert_eq!(o.format, UnloadFormat::Delimited { delimiter: b'|', add_quotes: false, escape: false });
    assert_eq!(o.max_file_bytes, 6_657_199_308, "6.2 GB");
    assert!(o.parallel && !o.header && o.null_as.is_none() && o.compression.is_none() && o.partition_by.is_none());
    assert!(o.manifest.is_none() && o.extension.is_none() && o.existing == Existing::Refuse);
}

#[test]
fn queries_stand_in_any_string_and_errors_at_their_places() {
    for text in ["$$select 'a';$$", "$q$select 'a'$q$", "'select ''a'''", "E'select \\'a\\''", "'(select ''a'')'"] {
        let shown = unload(&format!("unload ({text}) to 'f'")).query.to_string();
        assert!(shown.contains("SELECT 'a'"), "{text}: {shown}");
    }
    invalid("unload ('select 1 +') to 'f'", "found the statement's end", 1, 20);
    invalid("unload ('select ''a'', ''b'' )') to 'f'", "found \")\"", 1, 30);
    invalid("unload ($$select 1 )$$) to 'f'", "found \")\"", 1, 20);
    invalid("unload ('select ''x'',\n ''y'' )') to 'f'", "found \")\"", 2, 8);
    invalid("unload ('insert into t values (1)') to 'f'", "UNLOAD takes one query", 1, 9);
    invalid("unload ('select 1; select 2') to 'f'", "UNLOAD takes one query", 1, 9);
    invalid("unload ('select 1 into t') to 'f'", "UNLOAD takes one query", 1, 9);
    invalid("unload ('') to 'f'", "UNLOAD takes one query", 1, 9);
    invalid("unload (select 1) to 'f'", "a query as a string", 1, 9);
    invalid("unload 'select 1' to 'f'", "expected \"(\"", 1, 8);
    invalid("unload ('select 1') 'f'", "expected TO", 1, 21);
    invalid("unload ('select 1') to ''", "prefix is empty", 1, 24);
    invalid("unload ('select 1') to f", "as a string", 1, 24);
}

#[test]
fn an_outer_limit_is_refused() {
    invalid("unload ('select a from t limit 10') to 'f'", "LIMIT", 1, 26);
    invalid("unload ('select ''a'' from t limit 10') to 'f'", "LIMIT", 1, 30);
    invalid("unload ('select a from t union select b from u limit 10 offset 2') to 'f'", "LIMIT", 1, 48);
    invalid("unload ('select a from t fetch first 3 rows only') to 'f'", "LIMIT", 1, 26);
    assert!(refused("unload ('select 1 limit 1') to 'f'").hint().unwrap().contains("subquery"));
    for inner in [
        "select * from (select a from t limit 10) as x",
        "with x as (select 1 limit 1) select * from x order by 1",
        "select a from t where a in (select b from u limit 1)",
    ] {
        unload(&format!("unload ('{inner}') to 'f'"));
    }
}

#[test]
fn formats() {
    let text = |delimiter, add_quotes, escape| UnloadFormat::Delimited { delimiter, add_quotes, escape };
    assert_eq!(options("delimiter as ','").format, text(b',', false, false));
    assert_eq!(options("delimiter '\\t' addquotes").format, text(b'\t', true, false));
    assert_eq!(options("escape delimiter '\\001'").format, text(1, false, true));
    assert_eq!(options("addquotes escape").format, text(b'|', true, true));
    for csv in ["csv", "format csv", "format as csv"] {
        assert_eq!(options(csv).format, UnloadFormat::Csv { delimiter: b',' });
    }
    assert_eq!(options("csv delimiter ';'").format, UnloadFormat::Csv { delimiter: b';' });
    assert_eq!(options("format as json").format, UnloadFormat::Json);
    assert_eq!(options("json").format, UnloadFormat::Json);
    assert_eq!(options("parquet").format, UnloadFormat::Parquet { row_group_bytes: 32 << 20 });
    assert_eq!(options("parquet rowgroupsize 64 mb").format, UnloadFormat::Parquet { row_group_bytes: 64 << 20 });
    let UnloadFormat::FixedWidth { widths, .. } = options("fixedwidth as 'a:5, b b : 7'").format else { panic!() };
    assert_eq!(widths, [5, 7]);
    for wrong in ["a", "a:0", "a:x", "a:5,", ""] {
        invalid(&format!("unload ('select 1') to 'f' fixedwidth '{wrong}'"), "pairs of a column", 1, 39);
    }
    invalid("unload ('select 1') to 'f' format as tar", "CSV, JSON or PARQUET", 1, 38);
    unsupported("unload ('select 1') to 'f' format as orc", "UNLOAD format ORC", 1, 38);
    invalid("unload ('select 1') to 'f' csv json", "FORMAT is given twice", 1, 32);
    invalid("unload ('select 1') to 'f' delimiter ',,'", "one ASCII character", 1, 38);
    invalid("unload ('select 1') to 'f' csv delimiter '\"'", "quotes or escapes", 1, 32);
    invalid("unload ('select 1') to 'f' escape delimiter '\\134'", "quotes or escapes", 1, 35);
}

#[test]
fn other_options() {
    assert!(options("header").header && options("csv header").header);
    assert_eq!(options("null as '\\N'").null_as.as_deref(), Some("\\N"));
    assert_eq!(options("null ''").null_as.as_deref(), Some(""));
    for (word, compression) in
        [("gzip", UnloadCompression::Gzip), ("bzip2", UnloadCompression::Bzip2), ("zstd", UnloadCompression::Zstd)]
    {
        assert_eq!(options(word).compression, Some(compression));
    }
    assert_eq!(options("extension 'csv.gz'").extension.as_deref(), Some("csv.gz"));
    for (text, parallel) in [
        ("parallel", true),
        ("parallel on", true),
        ("parallel true", true),
        ("parallel off", false),
        ("parallel false", false),
    ] {
        assert_eq!(options(text).parallel, parallel, "{text}");
    }
    assert_eq!(options("maxfilesize 5").max_file_bytes, 5 << 20);
    assert_eq!(options("maxfilesize as 1.5 GB").max_file_bytes, 3 << 29);
    assert_eq!(options("maxfilesize 6.2 gb").max_file_bytes, UnloadOptions::MAX_FILE_BYTES);
    assert_eq!(options("parquet maxfilesize 200 mb").max_file_bytes, 192 << 20);
    let by = options("partition by (a, \"B\") include").partition_by.unwrap();
    assert_eq!((by.columns[0].value.as_str(), by.columns[1].value.as_str(), by.include), ("a", "B", true));
    assert!(!options("partition by (a)").partition_by.unwrap().include);
    assert_eq!(options("manifest").manifest, Some(UnloadManifest::Brief));
    assert_eq!(options("manifest verbose").manifest, Some(UnloadManifest::Verbose));
    assert_eq!(options("allowoverwrite").existing, Existing::Overwrite);
    assert_eq!(options("cleanpath").existing, Existing::Clean);
    assert_eq!(options("region as 'eu-west-1'").region.as_deref(), Some("eu-west-1"));
    for (wrong, message) in [
        ("maxfilesize 4", "between 5 MB and 6.2 GB"),
        ("maxfilesize 7 gb", "between 5 MB and 6.2 GB"),
        ("parquet rowgroupsize 31", "between 32 MB and 128 MB"),
        ("parquet rowgroupsize 1 gb", "between 32 MB and 128 MB"),
        ("maxfilesize x", "a number of MB or GB"),
        ("parquet maxfilesize 20", "less than a row group"),
        ("parquet maxfilesize 64 rowgroupsize 128", "less than a row group"),
        ("null as '\n'", "newline"),
        ("extension 'a/b'", "slash"),
        ("partition by (a, a)", "more than once"),
        ("partition (a)", "expected BY"),
        ("include", "unknown UNLOAD option \"include\""),
        ("verbose", "unknown UNLOAD option \"verbose\""),
        ("gzip gzip", "given twice"),
    ] {
        let e = refused(&format!("unload ('select 1') to 'f' {wrong}"));
        assert!(e.kind() == ErrorKind::Invalid && e.message().contains(message), "{wrong}: {e}");
        assert!(e.position().is_some(), "{wrong}");
    }
    invalid("unload ('select 1') to 'f'\n  fast", "unknown UNLOAD option \"fast\"", 2, 3);
    assert!(refused("unload ('select 1') to 'f' fast").hint().unwrap().contains("ROWGROUPSIZE"));
    for option in ["encrypted", "encrypted auto", "kms_key_id 'x'", "master_symmetric_key 'x'"] {
        let name = option.split(' ').next().unwrap().to_uppercase();
        unsupported(&format!("unload ('select 1') to 'f' {option}"), &format!("UNLOAD option {name}"), 1, 28);
    }
}

#[test]
fn pairs_that_exclude_each_other() {
    let text = ["delimiter ','", "fixedwidth 'a:1'", "addquotes", "escape", "null as 'x'", "header"];
    let packed = ["gzip", "bzip2", "zstd"];
    let of =
        |format: &'static str, excluded: Vec<&'static str>| excluded.into_iter().map(move |option| (format, option));
    let pairs = of("parquet", [&text[..], &packed].concat())
        .chain(of("json", text.to_vec()))
        .chain(of("csv", vec!["fixedwidth 'a:1'", "addquotes", "escape"]))
        .chain(of("fixedwidth 'a:1'", vec!["delimiter ','", "header", "addquotes", "escape"]));
    for (format, option) in pairs {
        let name = |text: &str| text.split(' ').next().unwrap().to_uppercase();
        let message = format!("{} does not go with {}", name(option), name(format));
        invalid(&format!("unload ('select 1') to 'f' {format} {option}"), &message, 1, 29 + format.len() as u64);
        invalid(&format!("unload ('select 1') to 'f' {option} {format}"), &message, 1, 28);
    }
    invalid("unload ('select 1') to 'f' rowgroupsize 32", "ROWGROUPSIZE needs PARQUET", 1, 28);
    invalid("unload ('select 1') to 'f' allowoverwrite cleanpath", "does not go with ALLOWOVERWRITE", 1, 43);
    invalid("unload ('select 1') to 'f' gzip zstd", "another compression", 1, 33);
}

#[test]
fn credentials() {
    let of = |text: &str| options(text).credentials;
    assert_eq!(of("iam_role default").iam_role, Some(IamRole::Default));
    assert_eq!(of("iam_role 'arn:x'").iam_role, Some(IamRole::Arn("arn:x".into())));
    for text in [
        "access_key_id 'k' secret_access_key 'hush' session_token as 'tok'",
        "with credentials as 'aws_access_key_id=k;aws_secret_access_key=hush;token=tok'",
    ] {
        let c = of(text);
        assert_eq!((c.access_key_id.as_deref(), c.secret_access_key.as_deref()), (Some("k"), Some("hush")));
        assert_eq!(c.session_token.as_deref(), Some("tok"));
    }
    invalid("unload ('select 1') to 'f' iam_role default access_key_id 'x'", "does not go with IAM_ROLE", 1, 45);
    invalid("unload ('select 1') to 'f' access_key_id 'x'", "needs SECRET_ACCESS_KEY", 1, 28);
    invalid("unload ('select 1') to 'f' session_token 'x'", "needs ACCESS_KEY_ID", 1, 28);
    for wrong in [
        "credentials 'hush'",
        "access_key_id 'k' 'hush'",
        "secret_access_key hush",
        "credentials as hush",
        "access_key_id 'k' secret_access_key \"hush\"",
    ] {
        let e = refused(&format!("unload ('select 1') to 'f' {wrong}"));
        assert!(!format!("{e:?}").contains("hush"), "{e:?}");
    }
}
