//! Dictionaries: shared within a segment, and given up where there is too much to hold.

use arrow::buffer::NullBuffer;

use super::super::*;
use super::check::{Written, page, write};
use super::oracle::{assert_same, expected};
use super::values::{Random, SHAPES, Shape, column, strings};
use crate::format::Geometry;
use crate::format::column::{ByteValues, Column, ColumnBuilder, Values};

#[test]
fn equal_strings_have_equal_codes_by_the_rule_that_readers_apply() {
    // Filters compress their literal by the documented rule; the writer's crate must follow it.
    for shape in SHAPES {
        for seed in 1..20 {
            let trained_on = strings(shape, 300, &mut Random(seed));
            let trained_on: ByteValues = trained_on.iter().map(|s| s.as_bytes()).collect();
            let encoder = super::super::fsst::Encoder::train(&[&trained_on]).unwrap();
            for other in SHAPES {
                let values = strings(other, 100, &mut Random(seed * 77));
                for value in &values {
                    assert_eq!(
                        encoder.compress(value.as_bytes()),
                        encoder.compress_by_rule(value.as_bytes()),
                        "{value:?}"
                    );
                }
            }
        }
    }
}

#[test]
fn words_are_what_stands_between_blanks() {
    use super::super::fsst::Coder;
    use super::super::words::{Encoder, Kind, WordTable};

    let texts =
        ["", " ", "  ", "a", "a ", " a", "a  b", "the cat and the dog and the cat", "the\tcat", "漢字 the 漢字"];
    let long = "w".repeat(300);
    let texts: Vec<&str> = texts.into_iter().chain([&long[..], "the end"]).collect();
    let values: ByteValues = texts.iter().map(|s| s.as_bytes()).collect();
    for (kind, code_bytes) in [(Kind::Text255, 1), (Kind::Text32k, 2)] {
        let encoder = Encoder::train(kind, &[&values, &values]);
        let table = WordTable::open(kind, &encoder.table_bytes()).unwrap();
        let codes: Vec<Vec<u8>> = texts.iter().map(|text| table.compress(text.as_bytes())).collect();
        for (text, codes) in texts.iter().zip(&codes) {
            let mut back = Vec::new();
            table.expand(codes, text.len(), &mut back).unwrap();
            assert_eq!(back, text.as_bytes(), "{kind:?}");
            // One byte less than it takes is refused, and none beyond is written.
            if !text.is_empty() {
                table.expand(codes, text.len() - 1, &mut Vec::new()).unwrap_err();
            }
        }
        // Eight words, of which all are in the dictionary; a word beyond 255 bytes never is.
        assert_eq!(codes[7].len(), 8 * code_bytes, "{kind:?}");
        assert_eq!(codes[0].len(), 0);
        assert!(codes[10].len() > long.len());
        let mut page = Vec::new();
        encoder.encode(&values, &mut page).unwrap();
        assert!(page.ends_with(&codes.concat()), "{kind:?}: the writer's codes are the reader's");
    }
}

#[test]
fn a_dictionary_of_words_is_bounded() {
    use super::super::words::{Encoder, Kind, WordTable};

    let texts: Vec<String> = (0..40_000).map(|i| format!("w{i} w{i}")).collect();
    let values: ByteValues = texts.iter().map(|s| s.as_bytes()).collect();
    let count = |table: &[u8]| usize::from(u16::from_le_bytes([table[0], table[1]]));
    let few = Encoder::train(Kind::Text255, &[&values]).table_bytes();
    let many = Encoder::train(Kind::Text32k, &[&values]).table_bytes();
    assert_eq!(count(&few), 245);
    let bytes = many.len() - 2 - count(&many);
    assert!((32_760..=32_768).contains(&bytes), "{bytes}");
    WordTable::open(Kind::Text32k, &many).unwrap();
    WordTable::open(Kind::Text255, &many).unwrap_err();
}

#[test]
fn dictionaries_are_shared_within_a_segment_only() {
    let text = SqlType::Varchar(100);
    for (ty, name) in [
        (SqlType::Integer, EncodingName::ByteDict),
        (text, EncodingName::Fsst),
        (text, EncodingName::FsstDict),
        (text, EncodingName::Text255),
        (text, EncodingName::Text32k),
    ] {
        let stored = ty.stored();
        let first = column(ty, Shape::Few, 4000, 1, 9);
        let mut encoder = ChunkEncoder::new(stored, name, Geometry::new(1024, 4096).unwrap());
        let written = write(&mut encoder, stored, &first);
        let again = encoder.encode(&first.slice(1000, 3000)).unwrap();
        assert_eq!(again.dictionary, DictionaryUse::Shared, "{name}");
        let shared = Written { chunk: again, dictionary: written.dictionary };
        let mut out = ColumnBuilder::new(ty, 0);
        page(&shared, stored, 0, 1024).decode(Selection::All, &mut out).unwrap();
        assert_same(&out.finish().unwrap(), &expected(ty, &first.slice(1000, 1024)), "shared");

        encoder.start_segment();
        assert!(matches!(encoder.encode(&first).unwrap().dictionary, DictionaryUse::New(_)));
        // NULLs alone need none.
        let nulls = Column::new(first.values.clone(), Some(NullBuffer::new_null(4000)));
        assert_eq!(encoder.encode(&nulls).unwrap().dictionary, DictionaryUse::None);
        // Other values need another, unless symbols still fit.
        let other = encoder.encode(&column(ty, Shape::Any, 4000, 0, 3)).unwrap();
        assert!(matches!(other.dictionary, DictionaryUse::New(_)), "{name}");
    }
}

#[test]
fn too_many_values_for_a_dictionary_are_stored_raw_and_said_to_be() {
    let values: Vec<i64> = (0..70_000).map(|i| i * 3).collect();
    let column = Column::new(Values::I64(values.into()), None);
    let mut encoder = ChunkEncoder::new(Stored::I64, EncodingName::ByteDict, Geometry::DEFAULT);
    assert_eq!(encoder.encode(&column).unwrap().encoding, EncodingId::Raw);
    let fewer = column.slice(0, 1 << 16);
    assert_eq!(encoder.encode(&fewer).unwrap().encoding, EncodingId::ByteDict);
}

#[test]
fn a_segment_reads_back_by_its_last_new_dictionary_whatever_auto_tried() {
    let mut shared = 0;
    for (ty, seed) in [(SqlType::BigInt, 3), (SqlType::Varchar(100), 4), (SqlType::Double, 5)] {
        let mut random = Random(seed);
        let mut encoder = ChunkEncoder::new(ty.stored(), EncodingName::Auto, Geometry::new(512, 2048).unwrap());
        let mut dictionary = None;
        for _ in 0..60 {
            let column = column(ty, SHAPES[random.below(8) as usize], 2000, random.below(3), random.next());
            let chunk = encoder.encode(&column).unwrap();
            match &chunk.dictionary {
                DictionaryUse::New(bytes) => {
                    dictionary = Some(open_dictionary(chunk.encoding, ty.stored(), bytes).unwrap());
                }
                DictionaryUse::Shared => shared += 1,
                DictionaryUse::None => {}
            }
            let mut out = ColumnBuilder::new(ty, 0);
            for (zone, bytes) in chunk.pages.iter().enumerate() {
                let rows = 512.min(2000 - zone * 512);
                let page = Page::open(chunk.encoding, ty.stored(), rows, bytes, dictionary.as_ref());
                page.unwrap().decode(Selection::All, &mut out).unwrap();
            }
            assert_same(&out.finish().unwrap(), &expected(ty, &column), &format!("{ty} {:?}", chunk.encoding));
        }
    }
    assert!(shared > 5, "only {shared} chunks shared a dictionary");
}
