//! Files as they come in practice, for tests of loads: of each, what a reader must make of it.

use std::io::Write;
use std::path::Path;
use std::sync::Arc;

use arrow::array::{ArrayRef, Int32Array, RecordBatch, StringArray, StructArray};
use arrow::datatypes::{DataType, Field};
use datafusion::parquet::arrow::ArrowWriter;
use datafusion::parquet::basic::Compression;
use datafusion::parquet::data_type::{ByteArray, ByteArrayType, Int32Type};
use datafusion::parquet::file::properties::WriterProperties;
use datafusion::parquet::file::writer::SerializedFileWriter;
use datafusion::parquet::schema::parser::parse_message_type;

/// A file for a table `(id int, word varchar(20))`.
#[derive(Debug)]
pub struct Awkward {
    pub name: &'static str,
    /// Of COPY.
    pub options: &'static str,
    pub expected: Expected,
}

/// What a load of the file ends with.
#[derive(Debug)]
pub enum Expected {
    /// Rows, as `id,word`, in any order.
    Rows(&'static [&'static str]),
    /// An error whose message has all of these.
    Refused(&'static [&'static str]),
}

use Expected::{Refused, Rows};

/// Writes all of them into a directory.
pub fn write(directory: &Path) -> Vec<Awkward> {
    let mut written = Vec::new();
    let mut file = |name, options, bytes: Vec<u8>, expected| {
        std::fs::write(directory.join(name), bytes).expect("a file is written");
        written.push(Awkward { name, options, expected });
    };
    let text = |text: &str| text.as_bytes().to_vec();
    file("mixed_ends.csv", "csv", text("1,a\n2,b\r\n3,c\r4,d"), Rows(&["1,a", "2,b", "3,c", "4,d"]));
    file("mark.csv", "csv", text("\u{feff}1,a\n2,b\n"), Rows(&["1,a", "2,b"]));
    file("mark_before_quote.csv", "csv", text("\u{feff}\"1\",\"a\"\n"), Rows(&["1,a"]));
    let wide = "\u{feff}1|ä\n2|𝄞\n".encode_utf16();
    file("wide.txt", "encoding utf16", wide.flat_map(u16::to_le_bytes).collect(), Rows(&["1,ä", "2,𝄞"]));
    file("no_last_end.txt", "", text("1|a\n2|b"), Rows(&["1,a", "2,b"]));
    file("delimiter_at_end.txt", "", text("1|a|\n2|b|\n"), Rows(&["1,a", "2,b"]));
    file("only_header.csv", "csv ignoreheader 1", text("id,word\n"), Rows(&[]));
    file("header_unended.csv", "csv ignoreheader 1", text("id,word"), Rows(&[]));
    file("too_few.csv", "csv", text("1,a\n2\n"), Refused(&["too_few.csv, line 2", "1 field where 2 columns"]));
    file("too_many.csv", "csv", text("1,a\n2,b,c\n"), Refused(&["too_many.csv, line 2", "3 fields where 2 columns"]));
    file(
        "open_quote.csv",
        "csv",
        text("1,a\n2,\"b\n3,c\n"),
        Refused(&["open_quote.csv, line 2", "quote is not closed"]),
    );
    file("newlines.csv", "csv", text("1,\"a\r\nb\"\n2,\"\n\"\n"), Rows(&["1,a\r\nb", "2,\n"]));
    file("not_text.csv", "csv", b"1,\xff\n".to_vec(), Refused(&["not_text.csv, line 1", "not valid UTF-8"]));
    file("nul.csv", "csv", b"1,a\0b\n".to_vec(), Rows(&["1,a\0b"]));
    let long = [b"1,a\n2,".to_vec(), vec![b'x'; 100 << 20], b"\n3,c\n".to_vec()].concat();
    file("long_line.csv", "csv", long, Refused(&["long_line.csv, line 2", "more than 4 MB"]));
    let open = [b"1,a\n2,\"".to_vec(), b"x\n".repeat(3 << 20), b"\n".to_vec()].concat();
    file("long_quote.csv", "csv", open, Refused(&["long_quote.csv, line 2", "more than 4 MB"]));
    let packed = gzip(&(0..5000).map(|i| format!("{i},word {i}\n")).collect::<String>());
    file("cut.csv.gz", "csv gzip", packed[..packed.len() / 2].to_vec(), Refused(&["cut.csv.gz cannot be read"]));
    let flipped = [&packed[..packed.len() / 2], &[!packed[packed.len() / 2]], &packed[packed.len() / 2 + 1..]].concat();
    file("damaged.csv.gz", "csv gzip", flipped, Refused(&["damaged.csv.gz"]));
    let twice = [gzip("1,a\n"), gzip("2,b\n")].concat();
    file("two_parts.csv.gz", "csv gzip", twice, Rows(&["1,a", "2,b"]));
    file("packed.csv", "csv", gzip("1,a\n"), Refused(&["packed.csv, line 1"]));
    file(
        "objects.json",
        "json 'auto'",
        text("{\"id\":1,\"word\":\"a\"}{\"word\":\"b\"\n,\"id\":2}"),
        Rows(&["1,a", "2,b"]),
    );
    file("cut.json", "json 'auto'", text("{\"id\":1,\"word\":\"a\"}\n{\"id\":2,"), Refused(&["cut.json, line 2"]));

    let id = || Arc::new(Int32Array::from(vec![1, 2])) as ArrayRef;
    let word = || Arc::new(StringArray::from(vec!["a", "b"])) as ArrayRef;
    let nested =
        Arc::new(StructArray::from(vec![(Arc::new(Field::new("x", DataType::Int32, true)), id())])) as ArrayRef;
    file("plain.parquet", "parquet", columns(&[("a", id()), ("b", word())]), Rows(&["1,a", "2,b"]));
    file("other_order.parquet", "parquet by name", columns(&[("word", word()), ("ID", id())]), Rows(&["1,a", "2,b"]));
    file(
        "swapped.parquet",
        "parquet",
        columns(&[("word", word()), ("id", id())]),
        Refused(&["swapped.parquet, row 1"]),
    );
    let more = columns(&[("id", id()), ("word", word()), ("n", id())]);
    file("more_columns.parquet", "parquet", more, Refused(&["more_columns.parquet has 3 columns where 2"]));
    let one = columns(&[("id", id())]);
    file("fewer_columns.parquet", "parquet", one.clone(), Refused(&["fewer_columns.parquet has 1 columns where 2"]));
    file("filled_up.parquet", "parquet fillrecord", one, Rows(&["1,NULL", "2,NULL"]));
    file("nested.parquet", "parquet", columns(&[("id", id()), ("word", nested)]), Refused(&["nested.parquet"]));
    let many = Arc::new(StringArray::from_iter_values((0..20_000).map(|i| format!("word {i}")))) as ArrayRef;
    let whole = columns(&[("id", Arc::new(Int32Array::from_iter_values(0..20_000)) as ArrayRef), ("word", many)]);
    let mut page = whole.clone();
    page[60_000..60_200].fill(0xa5);
    file("damaged_page.parquet", "parquet", page, Refused(&["damaged_page.parquet"]));
    file(
        "cut.parquet",
        "parquet",
        whole[..whole.len() / 2].to_vec(),
        Refused(&["cut.parquet is not a readable Parquet file"]),
    );
    file("bytes.parquet", "parquet", bytes_as_text(), Refused(&["bytes.parquet"]));
    let mended = Rows(&["1,a^b", "2,ä^^^", "3,ok", "NULL,NULL"]);
    file("mended.parquet", "parquet acceptinvchars '^'", bytes_as_text(), mended);
    file("no.parquet", "parquet", text("1,a\n"), Refused(&["no.parquet is not a readable Parquet file"]));
    written
}

/// A file of Parquet that calls text what is none, each row in a row group of its own.
pub fn bytes_as_text() -> Vec<u8> {
    const SCHEMA: &str = "message rows { optional int32 id; optional binary word (STRING); }";
    let schema = Arc::new(parse_message_type(SCHEMA).expect("a schema"));
    let mut bytes = Vec::new();
    let mut writer = SerializedFileWriter::new(&mut bytes, schema, Default::default()).expect("a writer");
    for (id, word) in [(1, &b"a\xffb"[..]), (2, b"\xc3\xa4\xe2\x82\xff"), (3, b"ok"), (0, b"")] {
        let levels = [i16::from(id > 0)];
        let mut group = writer.next_row_group().expect("a row group");
        let mut column = group.next_column().expect("a column").expect("the first");
        column.typed::<Int32Type>().write_batch(&[id], Some(&levels), None).expect("an id");
        column.close().expect("it is written");
        let mut column = group.next_column().expect("a column").expect("the second");
        let word = ByteArray::from(word.to_vec());
        column.typed::<ByteArrayType>().write_batch(&[word], Some(&levels), None).expect("a word");
        column.close().expect("it is written");
        group.close().expect("it is written");
    }
    writer.close().expect("memory takes all");
    bytes
}

fn gzip(text: &str) -> Vec<u8> {
    let mut encoder = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
    encoder.write_all(text.as_bytes()).and_then(|()| encoder.finish()).expect("memory takes all")
}

/// A file of Parquet with these columns.
pub fn columns(columns: &[(&str, ArrayRef)]) -> Vec<u8> {
    let batch = RecordBatch::try_from_iter(columns.iter().cloned()).expect("columns of one length");
    let properties = WriterProperties::builder().set_compression(Compression::ZSTD(Default::default())).build();
    let mut bytes = Vec::new();
    let mut writer = ArrowWriter::try_new(&mut bytes, batch.schema(), Some(properties)).expect("a writer");
    writer.write(&batch).and_then(|()| writer.close()).expect("memory takes all");
    bytes
}
