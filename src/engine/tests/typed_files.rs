//! Loads of files that say what types their values have: Avro, and what is nested in Parquet.

use std::io::Write;
use std::path::Path;
use std::sync::Arc;

use arrow::array::*;
use arrow::buffer::OffsetBuffer;
use arrow::datatypes::{DataType, Field, Int32Type, Schema};
use arrow::util::display::{ArrayFormatter, FormatOptions};
use arrow_avro::compression::CompressionCodec;
use arrow_avro::writer::WriterBuilder;
use arrow_avro::writer::format::AvroOcfFormat;

use super::awkward::columns as parquet;
use super::util::{all, batches, error};
use crate::common::ErrorKind;
use crate::engine::{Session, Warehouse};
use crate::format::Geometry;
use crate::testing::rng::Rng;

const CODECS: [Option<CompressionCodec>; 5] = [
    None,
    Some(CompressionCodec::Deflate),
    Some(CompressionCodec::Snappy),
    Some(CompressionCodec::ZStandard),
    Some(CompressionCodec::Bzip2),
];

async fn session() -> Session {
    let warehouse = Warehouse::builder().slices(3).geometry(Geometry::TINY).threads(2);
    warehouse.open("memory://").await.unwrap().session()
}

/// The rows of a query, their values parted by blanks; NULL is a dash.
async fn shown(session: &Session, sql: &str) -> Vec<String> {
    let mut rows = Vec::new();
    for batch in batches(session, sql).await {
        let options = FormatOptions::default().with_null("-");
        let columns: Vec<_> = batch.columns().iter().map(|c| ArrayFormatter::try_new(c, &options).unwrap()).collect();
        let row = |row| columns.iter().map(|c| c.value(row).to_string()).collect::<Vec<_>>().join(" ");
        rows.extend((0..batch.num_rows()).map(row));
    }
    rows
}

/// Code, line, column and value of what the last load has refused.
async fn refused(session: &Session) -> Vec<String> {
    let sql = "select err_code || ' ' || line_number || ' ' || trim(colname) || ' ' || trim(raw_field_value) \
               from stl_load_errors where query = pg_last_copy_id() order by line_number, colname";
    shown(session, sql).await
}

/// A file as arrow-avro writes it, a block a batch.
pub fn avro(batches: &[RecordBatch], codec: Option<CompressionCodec>) -> Vec<u8> {
    let schema = Schema::clone(&batches[0].schema());
    let mut bytes = Vec::new();
    let mut writer = WriterBuilder::new(schema).with_compression(codec).build::<_, AvroOcfFormat>(&mut bytes).unwrap();
    batches.iter().for_each(|batch| writer.write(batch).unwrap());
    writer.finish().unwrap();
    drop(writer);
    bytes
}

/// A file put together by hand.
struct Made {
    bytes: Vec<u8>,
}

const SYNC: &[u8; 16] = b"sixteen bytes...";

fn long(value: i64) -> Vec<u8> {
    let mut bits = ((value << 1) ^ (value >> 63)) as u64;
    let mut bytes = Vec::new();
    while bits >= 0x80 {
        bytes.push(bits as u8 | 0x80);
        bits >>= 7;
    }
    bytes.push(bits as u8);
    bytes
}

fn text(text: impl AsRef<[u8]>) -> Vec<u8> {
    [long(text.as_ref().len() as i64), text.as_ref().to_vec()].concat()
}

impl Made {
    fn new(schema: &str, codec: &str) -> Self {
        let entries = [text("avro.schema"), text(schema), text("avro.codec"), text(codec)].concat();
        Made { bytes: [b"Obj\x01".to_vec(), long(2), entries, long(0), SYNC.to_vec()].concat() }
    }

    fn block(mut self, rows: &[Vec<u8>]) -> Self {
        let data = rows.concat();
        self.bytes.extend([long(rows.len() as i64), text(data), SYNC.to_vec()].concat());
        self
    }
}

/// Of a record with these fields.
fn record(fields: &str) -> String {
    format!("{{\"type\": \"record\", \"name\": \"r\", \"namespace\": \"a.b\", \"fields\": [{fields}]}}")
}

fn put(directory: &Path, name: &str, bytes: &[u8]) -> String {
    let place = directory.join(name);
    std::fs::write(&place, bytes).unwrap();
    place.display().to_string()
}

/// Of every type its ends and NULL.
fn every_type() -> RecordBatch {
    let decimals = Decimal128Array::from(vec![Some(10i128.pow(38) - 1), Some(1 - 10i128.pow(38)), None]);
    let decimals = decimals.with_precision_and_scale(38, 10).unwrap();
    let list = ListArray::from_iter_primitive::<Int32Type, _, _>([Some(vec![Some(1), None]), Some(vec![]), None]);
    let keys = StringArray::from(vec!["a\"b", "c"]);
    let map_fields =
        vec![Arc::new(Field::new("key", DataType::Utf8, false)), Arc::new(Field::new("value", DataType::Int64, true))];
    let entries: Vec<ArrayRef> = vec![Arc::new(keys), Arc::new(Int64Array::from(vec![Some(i64::MAX), None]))];
    let entries = StructArray::new(map_fields.clone().into(), entries, None);
    let entry = Arc::new(Field::new("entries", DataType::Struct(map_fields.into()), false));
    let map = MapArray::new(entry, OffsetBuffer::from_lengths([1, 1, 0]), entries, None, false);
    let inner: Vec<(Arc<Field>, ArrayRef)> = vec![
        (Arc::new(Field::new("x", DataType::Float64, true)), Arc::new(Float64Array::from(vec![Some(0.1), None, None]))),
        (Arc::new(Field::new("y", DataType::Utf8, true)), Arc::new(StringArray::from(vec![Some("ä\n"), None, None]))),
    ];
    let micros = |zone: Option<&str>| {
        let values = vec![Some(253_402_300_799_999_999), Some(-62_135_596_800_000_000), None];
        Arc::new(TimestampMicrosecondArray::from(values).with_timezone_opt(zone)) as ArrayRef
    };
    let uuid = FixedSizeBinaryArray::try_from_sparse_iter_with_size(
        [Some([0x12; 16]), Some([0xff; 16]), None].into_iter(),
        16,
    );
    let columns: Vec<(&str, ArrayRef)> = vec![
        ("b", Arc::new(BooleanArray::from(vec![Some(true), Some(false), None]))),
        ("i", Arc::new(Int32Array::from(vec![Some(i32::MAX), Some(i32::MIN), None]))),
        ("l", Arc::new(Int64Array::from(vec![Some(i64::MAX), Some(i64::MIN), None]))),
        ("f", Arc::new(Float32Array::from(vec![Some(f32::MAX), Some(0.1), None]))),
        ("d", Arc::new(Float64Array::from(vec![Some(f64::MIN_POSITIVE), Some(-1.0 / 3.0), None]))),
        ("s", Arc::new(StringArray::from(vec![Some(""), Some("𝄞 ä"), None]))),
        ("v", Arc::new(BinaryArray::from(vec![Some(&b"\x00\xff"[..]), Some(b""), None]))),
        ("n", Arc::new(decimals)),
        ("day", Arc::new(Date32Array::from(vec![Some(2_932_896), Some(-719_162), None]))),
        ("at", Arc::new(Time64MicrosecondArray::from(vec![Some(86_399_999_999), Some(0), None]))),
        ("z", micros(Some("+00:00"))),
        ("t", micros(None)),
        ("u", Arc::new(uuid.unwrap())),
        ("a", Arc::new(list)),
        ("m", Arc::new(map)),
        ("r", Arc::new(StructArray::from(inner))),
    ];
    RecordBatch::try_from_iter_with_nullable(columns.into_iter().map(|(name, array)| (name, array, true))).unwrap()
}

const TYPES: &str = "b boolean, i int, l bigint, f real, d double precision, s varchar(20), v varbyte(2), n decimal(38,10), \
                     day date, at time, z timestamptz, t timestamp, u varchar(40), a super, m super, r super";

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn every_type_of_avro_is_read() {
    let directory = tempfile::tempdir().unwrap();
    let session = session().await;
    let expected = [
        "-2147483648 false -9223372036854775808 0.1 -0.3333333333333333 𝄞 ä  -9999999999999999999999999999.9999999999 \
         0001-01-01 00:00:00 0001-01-01T00:00:00Z 0001-01-01T00:00:00 ffffffffffffffffffffffffffffffff [] {\"c\":null} \
         {\"x\":null,\"y\":null}",
        "2147483647 true 9223372036854775807 3.4028235e38 2.2250738585072014e-308  00ff 9999999999999999999999999999.9999999999 \
         9999-12-31 23:59:59.999999 9999-12-31T23:59:59.999999Z 9999-12-31T23:59:59.999999 \
         12121212121212121212121212121212 [1,null] {\"a\\\"b\":9223372036854775807} {\"x\":0.1,\"y\":\"ä\\n\"}",
        "- - - - - - - - - - - - - - {} {\"x\":null,\"y\":null}",
    ];
    let columns = "i, b, l, f, d, s, v, n, day, at, z, t, u, a, m, r";
    for codec in CODECS {
        let place = put(directory.path(), "types.avro", &avro(&[every_type()], codec));
        all(&session, &["drop table if exists t", &format!("create table t ({TYPES})")]).await;
        all(&session, &[&format!("copy t from '{place}' format as avro 'auto'")]).await;
        let rows = shown(&session, &format!("select {columns} from t order by i nulls last")).await;
        assert_eq!(rows, expected, "{codec:?}");
    }
    // The columns that the file tells take the same values.
    let place = directory.path().join("types.avro");
    all(&session, &[&format!("create table told from '{}'", place.display())]).await;
    let rows = shown(&session, &format!("select {columns} from told order by i nulls last")).await;
    assert_eq!(rows, expected);
    let types = shown(
        &session,
        "select data_type from information_schema.columns where table_name = 'told' order by ordinal_position",
    );
    assert_eq!(
        types.await,
        [
            "boolean",
            "integer",
            "bigint",
            "real",
            "double precision",
            "character varying",
            "binary varying",
            "numeric",
            "date",
            "time without time zone",
            "timestamp with time zone",
            "timestamp without time zone",
            "binary varying",
            "super",
            "super",
            "super"
        ]
    );
}

/// Three rows that fastavro has written.
const FASTAVRO: &[u8] = include_bytes!("typed_files/fastavro.avro");

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn files_of_another_writer_are_read() {
    let directory = tempfile::tempdir().unwrap();
    let session = session().await;
    all(&session, &[&format!("create table t from '{}'", put(directory.path(), "f.avro", FASTAVRO))]).await;
    let times =
        "2020-01-01T00:00:00Z 1960-01-01T00:00:00.000005Z 2021-01-01T03:00:00 00000000-0000-0000-0000-00000000000";
    assert_eq!(
        shown(&session, "select * from t order by id").await,
        [
            format!(
                "0 - 0.0 0.0 - 00 616263 A [] {{}} {{\"a\":0,\"b\":null}} {{\"a\":1,\"b\":null}} 0.00 2020-01-01 01:02:03 {times}0 0 -"
            ),
            format!(
                "977 text 1 0.3333333333333333 0.25 false 01 616263 B [0] {{\"0\":0}} {{\"a\":1,\"b\":\"A\"}} - 0.01 2020-01-02 \
                 01:02:03.000001 {times}1 \"s1\" -"
            ),
            format!(
                "2931 text 3 1.0 0.75 false 03 616263 A [0,null,2] {{}} {{\"a\":3,\"b\":9}} - 0.03 2020-01-04 01:02:03.000003 {times}3 3 -"
            ),
        ]
    );
}

/// What arrow-avro does not write.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_is_rare_in_avro_is_read() {
    let directory = tempfile::tempdir().unwrap();
    let session = session().await;
    let logical = |name: &str, of: &str, logical: &str| {
        format!("{{\"name\": \"{name}\", \"type\": {{\"type\": {of}, \"logicalType\": \"{logical}\"}}}}")
    };
    let fields = [
        "{\"name\": \"id\", \"type\": \"int\"}".to_string(),
        // One of several types, NULL among them, and a type that contains itself.
        "{\"name\": \"any\", \"type\": [\"null\", \"int\", \"string\", {\"type\": \"record\", \"name\": \"node\", \"fields\": \
         [{\"name\": \"v\", \"type\": \"float\"}, {\"name\": \"next\", \"type\": [\"null\", \"a.b.node\"]}]}]}"
            .to_string(),
        "{\"name\": \"e\", \"type\": {\"type\": \"enum\", \"name\": \"e\", \"symbols\": [\"RED\", \"BLUE\"]}}".to_string(),
        "{\"name\": \"nested\", \"type\": {\"type\": \"map\", \"values\": {\"type\": \"array\", \"items\": \"e\"}}}".to_string(),
        logical("ms", "\"int\"", "time-millis"),
        logical("ns", "\"long\"", "local-timestamp-nanos"),
        logical("millis", "\"long\"", "timestamp-millis"),
        logical("span", "{\"type\": \"fixed\", \"name\": \"f12\", \"size\": 12}", "x"),
        "{\"name\": \"took\", \"type\": {\"type\": \"fixed\", \"name\": \"took\", \"size\": 12, \"logicalType\": \"duration\"}}".to_string(),
        "{\"name\": \"uid\", \"type\": {\"type\": \"fixed\", \"name\": \"uid\", \"size\": 16, \"logicalType\": \"uuid\"}}".to_string(),
        "{\"name\": \"big\", \"type\": {\"type\": \"bytes\", \"logicalType\": \"decimal\", \"precision\": 60, \"scale\": 3}}".to_string(),
        "{\"name\": \"small\", \"type\": {\"type\": \"fixed\", \"name\": \"d2\", \"size\": 2, \"logicalType\": \"decimal\", \"precision\": 4, \"scale\": 2}}".to_string(),
        "{\"name\": \"nothing\", \"type\": \"null\"}".to_string(),
        "{\"name\": \"inf\", \"type\": {\"type\": \"array\", \"items\": \"double\"}}".to_string(),
    ];
    let node = [&long(3)[..], &1.5f32.to_le_bytes(), &long(1), &0.1f32.to_le_bytes(), &long(0)].concat();
    let row = |id: i64, any: Vec<u8>| {
        let mut big = vec![0x7f];
        big.extend([0xff; 24]);
        [
            long(id),
            any,
            long(1),
            // A block of negative count says how long it is.
            [long(-1), long(5), text("k"), long(2), long(0), long(1), long(0), long(0)].concat(),
            long(86_399_999),
            long(1_700_000_000_123_456_789),
            long(-1),
            [7; 12].to_vec(),
            [1u32, 2, 3004].map(u32::to_le_bytes).concat(),
            (0..16).collect(),
            text(big),
            vec![0xff, 0x85],
            vec![],
            [long(2), f64::NAN.to_le_bytes().to_vec(), 1e300f64.to_le_bytes().to_vec(), long(0)].concat(),
        ]
        .concat()
    };
    let rows =
        [row(1, long(0)), row(2, [long(1), long(-7)].concat()), row(3, [long(2), text("x")].concat()), row(4, node)];
    let bytes = Made::new(&record(&fields.join(",")), "null").block(&rows[..1]).block(&rows[1..]).bytes;
    let place = put(directory.path(), "rare.avro", &bytes);
    let columns = "id int, \"any\" super, e varchar(10), nested super, ms time, ns timestamp, millis timestamptz, span varbyte(12), \
                   took varchar(20), uid varchar(36), big varchar(80), small decimal(4,2), nothing int, inf super, absent int";
    all(&session, &[&format!("create table t ({columns})"), &format!("copy t from '{place}' avro")]).await;
    let common = "BLUE {\"k\":[\"RED\",\"BLUE\"]} 23:59:59.999 2023-11-14T22:13:20.123456 1969-12-31T23:59:59.999Z \
                  070707070707070707070707 P1M2DT3.004S 00010203-0405-0607-0809-0a0b0c0d0e0f \
                  803469022129495137770981046170581301261101496891396417650.687 -1.23 - [\"NaN\",1e300] -";
    let expected = ["1 -", "2 -7", "3 \"x\"", "4 {\"v\":1.5,\"next\":{\"v\":0.1,\"next\":null}}"];
    let expected = expected.map(|start| format!("{start} {common}"));
    assert_eq!(shown(&session, "select * from t order by id").await, expected);

    // The number that a time is, for columns of numbers.
    all(&session, &["create table n (id int, ms int, ns bigint, millis bigint)"]).await;
    all(&session, &[&format!("copy n from '{place}' avro 'auto'")]).await;
    assert_eq!(shown(&session, "select * from n where id = 1").await, ["1 86399999 1700000000123456789 -1"]);
    // Rows of no bytes are rows.
    let bytes = Made::new(&record("{\"name\": \"id\", \"type\": \"null\"}"), "null").block(&vec![vec![]; 500]).bytes;
    all(&session, &["truncate n", &format!("copy n from '{}' avro", put(directory.path(), "none.avro", &bytes))]).await;
    assert_eq!(shown(&session, "select count(*), count(id) from n").await, ["500 0"]);
}

fn words(rows: &[(i64, &[u8])]) -> Vec<u8> {
    let schema = record("{\"name\": \"Id\", \"type\": \"long\"}, {\"name\": \"word\", \"type\": \"string\"}");
    let row = |(id, word): &(i64, &[u8])| [long(*id), text(word)].concat();
    Made::new(&schema, "null").block(&rows.iter().map(row).collect::<Vec<_>>()).bytes
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn columns_find_their_fields() {
    let directory = tempfile::tempdir().unwrap();
    let session = session().await;
    let place = put(directory.path(), "a.avro", &words(&[(1, b"one"), (2, b"two")]));
    all(&session, &["create table t (id int, word varchar(20), filled int default 7)"]).await;
    let rows = "select * from t order by id nulls first, word";
    for (options, expected) in [
        // The column is called otherwise than the field, and fields that no column wants are left out.
        ("avro", ["- one -", "- two -"]),
        ("format avro 'auto'", ["- one -", "- two -"]),
        ("avro as 'auto ignorecase'", ["1 one -", "2 two -"]),
        ("avro by name", ["1 one -", "2 two -"]),
    ] {
        all(&session, &["truncate t", &format!("copy t from '{place}' {options}")]).await;
        assert_eq!(shown(&session, rows).await, expected, "{options}");
    }
    all(&session, &["truncate t", &format!("copy t (id, word) from '{place}' avro 'auto ignorecase'")]).await;
    assert_eq!(shown(&session, rows).await, ["1 one 7", "2 two 7"]);

    let schema = record(
        "{\"name\": \"a\", \"type\": {\"type\": \"record\", \"name\": \"in\", \"fields\": [{\"name\": \"list\", \"type\": \
         {\"type\": \"array\", \"items\": \"int\"}}, {\"name\": \"map\", \"type\": {\"type\": \"map\", \"values\": \"string\"}}]}}",
    );
    let row = |list: &[i64]| {
        let items = list.iter().map(|item| long(*item)).collect::<Vec<_>>().concat();
        let list = if list.is_empty() { long(0) } else { [long(list.len() as i64), items, long(0)].concat() };
        [list, long(1), text("the key"), text("value"), long(0)].concat()
    };
    let deep = put(directory.path(), "b.avro", &Made::new(&schema, "null").block(&[row(&[5, 6]), row(&[])]).bytes);
    let paths =
        put(directory.path(), "paths", b"{\"jsonpaths\": [\"$['a']['list'][1]\", \"$['a']['map']['the key']\"]}");
    all(&session, &["truncate t", &format!("copy t (id, word) from '{deep}' avro '{paths}' maxerror 2")]).await;
    assert_eq!(shown(&session, rows).await, ["6 value 7"]);
    assert_eq!(refused(&session).await, ["1216 2 id "]);

    // What comes with keys of JSON comes with those of Avro.
    all(&session, &["create table u (id bigint)", &format!("copy u from '{place}' avro by name add columns")]).await;
    assert_eq!(shown(&session, "select id, word from u order by id").await, ["1 one", "2 two"]);
    let other = put(directory.path(), "c.avro", &words(&[(2, b"other"), (3, b"three")]));
    all(&session, &[&format!("copy u from '{other}' avro by name merge on (id)")]).await;
    assert_eq!(shown(&session, "select id, word from u order by id").await, ["1 one", "2 other", "3 three"]);
    for _ in 0..2 {
        all(
            &session,
            &[&format!("copy u from '{}/' avro by name skip loaded ignoreallerrors", put_folder(&directory))],
        )
        .await;
    }
    assert_eq!(shown(&session, "select count(*) from u").await, ["4"]);
    let manifest = format!("{{\"entries\": [{{\"url\": \"{place}\"}}, {{\"url\": \"{place}\"}}]}}");
    let manifest = put(directory.path(), "list", manifest.as_bytes());
    all(&session, &["truncate u", &format!("copy u from '{manifest}' manifest avro by name")]).await;
    assert_eq!(shown(&session, "select count(*), count(distinct id) from u").await, ["4 2"]);
}

/// With one file.
fn put_folder(directory: &tempfile::TempDir) -> String {
    let folder = directory.path().join("folder");
    std::fs::create_dir_all(&folder).unwrap();
    if !folder.join("d.avro").exists() {
        put(&folder, "d.avro", &words(&[(9, b"nine")]));
    }
    folder.display().to_string()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn options_of_text_hold_for_avro() {
    let directory = tempfile::tempdir().unwrap();
    let session = session().await;
    let fields = ["id:long", "word:string", "n:string", "day:string", "at:long", "code:string"].map(|field| {
        let (name, of) = field.split_once(':').unwrap();
        format!("{{\"name\": \"{name}\", \"type\": \"{of}\"}}")
    });
    let stamp = "{\"name\": \"stamp\", \"type\": {\"type\": \"long\", \"logicalType\": \"timestamp-millis\"}}";
    let schema = record(&format!("{}, {stamp}", fields.join(",")));
    let row = |id: i64, word: &[u8], n: &str, day: &str, code: &str| {
        [long(id), text(word), text(n), text(day), long(1_700_000_000_123), text(code), long(1_700_000_000_000 + id)]
            .concat()
    };
    let rows = [
        row(1, b"long word", "1.25", "31.01.2024", ""),
        row(2, b"  ", "1.255", "29.02.2024", "x"),
        row(70_000, b"", "2", "01.03.2024", "x"),
        row(3, b"a\xffb", "3", "30.02.2024", "x"),
    ];
    let bytes = Made::new(&schema, "null").block(&rows[..2]).block(&rows[2..]).bytes;
    let place = put(directory.path(), "o.avro", &bytes);
    let mut packed = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
    packed.write_all(&bytes).unwrap();
    let packed = put(directory.path(), "o.avro.gz", &packed.finish().unwrap());
    let table = "create table t (id smallint, word varchar(4), n decimal(5,2), day date, at timestamp, code varchar(3), stamp timestamp)";
    all(&session, &[table]).await;
    let formats = "dateformat 'DD.MM.YYYY' timeformat 'epochmillisecs'";
    let all_rows = "select * from t order by id";

    let ended = error(&session, &format!("copy t from '{place}' avro {formats}")).await;
    assert!(ended.message().contains("o.avro, line 1, column \"word\": 9 bytes are too long"), "{ended:?}");
    assert_eq!(shown(&session, "select count(*) from t").await, ["0"]);

    all(&session, &[&format!("copy t from '{place}' avro {formats} maxerror 10")]).await;
    assert_eq!(
        refused(&session).await,
        ["1204 1 word long word", "1222 3 id 70000", "1220 4 word a\u{fffd}b"].map(str::to_string)
    );
    let raw = shown(
        &session,
        "select trim(raw_line) from stl_load_errors where query = pg_last_copy_id() and line_number = 3",
    );
    assert!(raw.await[0].starts_with("{\"id\":70000,\"word\":\"\",\"n\":\"2\""));
    let second = "2    1.25 2024-02-29 2023-11-14T22:13:20.123 x 2023-11-14T22:13:20.002";
    assert_eq!(shown(&session, all_rows).await, [second]);

    all(&session, &["truncate t"]).await;
    let options =
        "truncatecolumns roundec emptyasnull blanksasnull acceptanydate acceptinvchars '^' ignoreallerrors gzip";
    all(&session, &[&format!("copy t from '{packed}' avro {formats} {options}")]).await;
    assert_eq!(
        shown(&session, all_rows).await,
        [
            "1 long 1.25 2024-01-31 2023-11-14T22:13:20.123 - 2023-11-14T22:13:20.001",
            "2 - 1.26 2024-02-29 2023-11-14T22:13:20.123 x 2023-11-14T22:13:20.002",
            "3 a^b 3.00 - 2023-11-14T22:13:20.123 x 2023-11-14T22:13:20.003",
        ]
    );
    let replaced = "select line_number || ' ' || colname from stl_replacements where query = pg_last_copy_id()";
    assert_eq!(shown(&session, replaced).await, ["4 word"]);

    all(&session, &["truncate t", &format!("copy t from '{place}' avro {formats} maxerror 10 noload")]).await;
    assert_eq!((refused(&session).await.len(), shown(&session, all_rows).await.len()), (3, 0));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn many_rows_of_several_files() {
    let directory = tempfile::tempdir().unwrap();
    let session = session().await;
    let (files, blocks, rows) = (5, 40, 500);
    for file in 0..files {
        let batch = |block: i64| {
            let first = (file * blocks + block) * rows;
            let ids = Int64Array::from_iter_values(first..first + rows);
            let words = StringArray::from_iter_values((first..first + rows).map(|id| format!("word {id}")));
            let columns: [(&str, ArrayRef); 2] = [("id", Arc::new(ids)), ("word", Arc::new(words))];
            RecordBatch::try_from_iter(columns).unwrap()
        };
        let codec = CODECS[file as usize];
        let batches: Vec<RecordBatch> = (0..blocks).map(batch).collect();
        put(directory.path(), &format!("part{file}.avro"), &avro(&batches, codec));
    }
    all(&session, &["create table t (id bigint, word varchar(20)) diststyle even"]).await;
    all(&session, &[&format!("copy t from '{}/part' avro 'auto'", directory.path().display())]).await;
    let all_rows = files * blocks * rows;
    assert_eq!(
        shown(
            &session,
            "select count(*), count(distinct id), sum(id), count(case when word = 'word ' || id then 1 end) from t"
        )
        .await,
        [format!("{all_rows} {all_rows} {} {all_rows}", all_rows * (all_rows - 1) / 2)]
    );
    // Rows are numbered from file to file's blocks.
    all(&session, &["create table s (id int, word varchar(9))"]).await;
    let place = directory.path().join("part1.avro");
    all(&session, &[&format!("copy s from '{}' avro maxerror 100000", place.display())]).await;
    assert_eq!(shown(&session, "select count(*) from s").await, ["0"]);
    let lines = "select count(*) > 5000, count(*) = count(distinct line_number), max(line_number) <= 20000 from stl_load_errors \
                 where query = pg_last_copy_id()";
    assert_eq!(shown(&session, lines).await, ["true true true"]);
    let details =
        "select count(*) = 2 * count(distinct line_number) from stl_loaderror_detail where query = pg_last_copy_id()";
    assert_eq!(shown(&session, details).await, ["true"]);
}

/// A damaged file is refused, or read where its bytes are those of other values; never in part.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn damaged_files_of_avro_are_refused() {
    let directory = tempfile::tempdir().unwrap();
    let session = session().await;
    all(&session, &[&format!("create table t ({TYPES})"), "insert into t (i) values (0)"]).await;
    let mut rng = Rng::new(59);
    let place = directory.path().join("damaged.avro");
    let copy = format!("copy t from '{}' avro", place.display());
    let mut counts = (0, 0);
    for codec in CODECS {
        let whole = avro(&[every_type(), every_type(), every_type()], codec);
        let mut damaged: Vec<Vec<u8>> = (0..30).map(|_| whole[..rng.below(whole.len())].to_vec()).collect();
        damaged.extend((0..60).map(|_| {
            let mut bytes = whole.clone();
            let at = rng.below(bytes.len());
            bytes[at] ^= 1 << rng.below(8);
            bytes
        }));
        for bytes in damaged {
            std::fs::write(&place, &bytes).unwrap();
            match session.sql(&copy).await {
                Ok(_) => {
                    counts.0 += 1;
                    assert!(bytes.len() == whole.len() || rows(&bytes, &whole), "{codec:?}: a part is read as a whole");
                    all(&session, &["delete from t where i is null or i <> 0"]).await;
                }
                Err(e) => {
                    counts.1 += 1;
                    assert!(e.kind() == ErrorKind::Invalid && e.message().contains("damaged.avro"), "{codec:?}: {e:?}");
                    assert_eq!(refused(&session).await.len(), 1, "{codec:?}: {e:?}");
                }
            }
            assert_eq!(shown(&session, "select count(*) from t").await, ["1"], "{codec:?}");
        }
    }
    assert!(counts.0 > 10 && counts.1 > 300, "{counts:?}");
}

/// Whether it is cut behind a block: what is left is a file.
fn rows(cut: &[u8], whole: &[u8]) -> bool {
    let sync = &whole[whole.len() - 16..];
    cut.ends_with(sync)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_is_no_avro_is_named_and_logged() {
    let directory = tempfile::tempdir().unwrap();
    let session = session().await;
    all(&session, &["create table t (id int, word varchar(9))"]).await;
    let good = words(&[(1, b"one"), (2, b"two")]);
    let schema = record("{\"name\": \"id\", \"type\": \"int\"}");
    let endless = [good[..good.len() - 27].to_vec(), long(i64::MAX), long(0), SYNC.to_vec()].concat();
    let nulls = record("{\"name\": \"id\", \"type\": {\"type\": \"array\", \"items\": \"null\"}}");
    let itself = record("{\"name\": \"id\", \"type\": \"a.b.r\"}");
    let large = text(vec![b'x'; 5 << 20]);
    for (name, bytes, said) in [
        ("text.avro", b"id,word\n".to_vec(), "does not begin as such a file does"),
        ("empty.avro", b"Ob".to_vec(), "does not begin as such a file does"),
        ("cut.avro", good[..good.len() - 5].to_vec(), "cut off"),
        ("sync.avro", [good[..good.len() - 1].to_vec(), vec![b'!']].concat(), "does not end where it says"),
        ("codec.avro", Made::new(&schema, "xz").bytes, "codec is \"xz\""),
        ("schema.avro", Made::new("{\"type\": \"rec", "null").bytes, "schema is no JSON"),
        ("unknown.avro", Made::new("\"other\"", "null").bytes, "no type \"other\""),
        ("short.avro", Made::new(&schema, "snappy").block(&[vec![1]]).bytes, "has no checksum"),
        ("more.avro", Made::new(&schema, "null").block(&[vec![2, 2]]).bytes, "more than its rows"),
        ("endless.avro", endless, "more than 128 MB"),
        ("nulls.avro", Made::new(&nulls, "null").block(&[long(i64::MAX)]).bytes, "too many values of no bytes"),
        ("itself.avro", Made::new(&itself, "null").block(&[vec![0]]).bytes, "deep in each other"),
        (
            "large.avro",
            Made::new(&schema.replace("int", "string"), "null").block(&[large]).bytes,
            "a row of more than 4 MB",
        ),
    ] {
        let place = put(directory.path(), name, &bytes);
        let e = error(&session, &format!("copy t from '{place}' avro 'auto ignorecase' maxerror 100")).await;
        assert!(
            e.kind() == ErrorKind::Invalid && e.message().contains(name) && e.message().contains(said),
            "{name}: {e:?}"
        );
        let logged = shown(
            &session,
            "select err_code || ' ' || err_reason from stl_load_errors where query = pg_last_copy_id()",
        );
        let logged = logged.await;
        assert!(logged.len() == 1 && logged[0].starts_with("1200 ") && logged[0].contains(said), "{name}: {logged:?}");
        assert_eq!(shown(&session, "select count(*) from t").await, ["0"], "{name}");
    }
    // Not of records: each row is refused, as a value of JSON is that is no object.
    let place = put(directory.path(), "ints.avro", &Made::new("\"int\"", "null").block(&[long(1), long(2)]).bytes);
    all(&session, &[&format!("copy t from '{place}' avro maxerror 3")]).await;
    assert_eq!(refused(&session).await, ["1216 1 id ", "1216 2 id "]);
    let e = error(&session, &format!("create table new from '{place}'")).await;
    assert!(e.message().contains("ints.avro cannot be read as Avro: it is not of records"), "{e:?}");
}

/// Nested columns are SUPER, whatever their order in the file.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn nested_columns_of_parquet_are_super() {
    let directory = tempfile::tempdir().unwrap();
    let session = session().await;
    let of = every_type();
    let column = |name: &str| {
        (of.schema().field_with_name(name).unwrap().name().clone(), of.column_by_name(name).unwrap().clone())
    };
    let some: Vec<(String, ArrayRef)> = ["i", "a", "m", "r"].map(column).to_vec();
    let file = |order: [usize; 4]| parquet(&order.map(|at| (some[at].0.as_str(), Arc::clone(&some[at].1))));
    let place = put(directory.path(), "a.parquet", &file([0, 1, 2, 3]));
    let turned = put(directory.path(), "b.parquet", &file([3, 2, 1, 0]));
    all(&session, &["create table t (i int, a super, m super, r super)"]).await;
    let expected = [
        "-2147483648 [] {\"c\":null} {\"x\":null,\"y\":null}",
        "2147483647 [1,null] {\"a\\\"b\":9223372036854775807} {\"x\":0.1,\"y\":\"ä\\n\"}",
        "- - {} {\"x\":null,\"y\":null}",
    ];
    for copy in [format!("copy t from '{place}' parquet"), format!("copy t from '{turned}' parquet by name")] {
        all(&session, &["truncate t", &copy]).await;
        assert_eq!(shown(&session, "select * from t order by i nulls last").await, expected, "{copy}");
    }
}

/// What is wrong with a file of Parquet as a whole is in the log, too.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn unfit_files_of_parquet_are_logged() {
    let directory = tempfile::tempdir().unwrap();
    let session = session().await;
    all(&session, &["create table t (id int, word varchar(9))"]).await;
    let ids = || ("id", Arc::new(Int32Array::from(vec![1])) as ArrayRef);
    let whole = parquet(&[ids(), ("word", Arc::new(StringArray::from(vec!["a"])))]);
    let three = parquet(&[ids(), ("b", ids().1), ("c", ids().1)]);
    for (name, bytes, code) in [
        ("cut.parquet", whole[..whole.len() / 2].to_vec(), "1200"),
        ("text.parquet", b"id,word\n1,a\n".to_vec(), "1200"),
        ("one.parquet", parquet(&[ids()]), "1203"),
        ("three.parquet", three, "1202"),
    ] {
        let place = put(directory.path(), name, &bytes);
        for by_name in [false, true] {
            let by = if by_name { "by name" } else { "" };
            if by_name && code != "1200" {
                continue;
            }
            let e = error(&session, &format!("copy t from '{place}' parquet {by}")).await;
            assert!(e.kind() == ErrorKind::Invalid && e.message().contains(name), "{name}: {e:?}");
            let logged = "select err_code || ' ' || regexp_replace(trim(filename), '.*/', '') from stl_load_errors \
                          where query = pg_last_copy_id()";
            assert_eq!(shown(&session, logged).await, [format!("{code} {name}")]);
        }
    }
    // A manifest says how long files of Parquet are.
    let place = put(directory.path(), "a.parquet", &whole);
    for (meta, said) in [
        ("", Some("entry 1 of")),
        (", \"meta\": {\"content_length\": \"x\"}", Some("no number of bytes")),
        (", \"meta\": {\"content_length\": 7}", Some("7 by the manifest")),
        (&format!(", \"meta\": {{\"content_length\": {}}}", whole.len()), None),
    ] {
        let manifest = format!("{{\"entries\": [{{\"url\": \"{place}\"{meta}}}]}}");
        let manifest = put(directory.path(), "list", manifest.as_bytes());
        let copied = session.sql(&format!("copy t from '{manifest}' manifest parquet")).await;
        match (copied, said) {
            (Ok(_), None) => {}
            (Err(e), Some(said)) => {
                assert!(e.kind() == ErrorKind::Invalid && e.message().contains(said), "{meta}: {e:?}");
                assert!(e.message().contains("a.parquet") && e.hint().is_some(), "{meta}: {e:?}");
            }
            (copied, _) => panic!("{meta}: {:?}", copied.map(|output| output.tag)),
        }
    }
    assert_eq!(shown(&session, "select count(*) from t").await, ["1"]);
}
