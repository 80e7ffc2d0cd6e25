//! What AUTO chooses, and which names a type can have.

use super::super::hostile::TYPES;
use super::super::*;
use super::values::{Random, Shape, column};
use crate::common::ErrorKind;
use crate::format::Geometry;
use crate::format::column::{ByteValues, Column, Values};

/// What AUTO takes for a whole chunk, and its bytes per row.
fn auto(ty: SqlType, column: &Column) -> (EncodingId, f64) {
    let chunk = ChunkEncoder::new(ty.stored(), EncodingName::Auto, Geometry::DEFAULT).encode(column).unwrap();
    (chunk.encoding, chunk.encoded_len() as f64 / column.len() as f64)
}

#[test]
fn auto_takes_what_suits_the_values() {
    let rows = 131_072;
    let money = SqlType::Decimal { precision: 12, scale: 2 };
    let text = SqlType::Varchar(100);
    let of = |ty, shape| auto(ty, &column(ty, shape, rows, 0, 3));
    // 60 values in steps of 100: six bits.
    let (id, bytes) = of(money, Shape::Scaled);
    assert!(id == EncodingId::Az64 && bytes < 0.8, "{id:?} {bytes}");
    // Steps of up to four: three bits each.
    let (id, bytes) = of(SqlType::BigInt, Shape::Sorted);
    assert!(id == EncodingId::Az64 && bytes < 0.5, "{id:?} {bytes}");
    let (id, bytes) = of(SqlType::BigInt, Shape::Constant);
    assert!(id == EncodingId::Az64 && bytes < 0.01, "{id:?} {bytes}");
    let long_runs = Column::new(Values::F64((0..rows).map(|i| (i / 3000) as f64 / 7.0).collect()), None);
    let (id, bytes) = auto(SqlType::Double, &long_runs);
    assert!(id == EncodingId::RunLength && bytes < 0.01, "{id:?} {bytes}");
    // Cents in 17 bits.
    let prices = Column::new(Values::F64((0..rows).map(|i| (i * 7919 % 100_003) as f64 / 100.0).collect()), None);
    let (id, bytes) = auto(SqlType::Double, &prices);
    assert!(id == EncodingId::Alp && bytes < 2.3, "{id:?} {bytes}");
    assert_eq!(of(SqlType::BigInt, Shape::Extremes).0, EncodingId::ByteDict);
    assert_eq!(of(SqlType::Double, Shape::Any).0, EncodingId::Raw);
    assert_eq!(of(SqlType::Boolean, Shape::Any).0, EncodingId::Raw);
    assert_eq!(of(text, Shape::Few).0, EncodingId::ByteDict);
    assert_eq!(of(text, Shape::Constant).0, EncodingId::ByteDict);
    let (id, bytes) = of(text, Shape::Scaled);
    assert!(id == EncodingId::Fsst && bytes < 16.0, "{id:?} {bytes}");
}

#[test]
fn long_values_of_a_dictionary_are_compressed() {
    let mut random = Random(9);
    let urls: Vec<String> = (0..131_072)
        .map(|_| format!("https://www.example.com/catalogue/department/{}/item.html", random.below(3000) * 7919))
        .collect();
    let urls: ByteValues = urls.iter().map(|s| s.as_bytes()).collect();
    let column = Column::new(Values::Bytes(urls), None);
    let ty = SqlType::Varchar(100);
    let len = |name| ChunkEncoder::new(ty.stored(), name, Geometry::DEFAULT).encode(&column).unwrap().encoded_len();
    let (plain, compressed) = (len(EncodingName::ByteDict), len(EncodingName::FsstDict));
    assert!(compressed * 5 < plain * 4, "{compressed} of {plain}");
    let chunk = ChunkEncoder::new(ty.stored(), EncodingName::Auto, Geometry::DEFAULT).encode(&column).unwrap();
    assert_eq!(chunk.encoding, EncodingId::FsstDict);
}

#[test]
fn a_small_table_is_light() {
    let text = SqlType::Varchar(100);
    for (ty, shape, heavy, light) in [
        (text, Shape::Scaled, EncodingId::Fsst, EncodingId::Raw),
        (text, Shape::Few, EncodingId::ByteDict, EncodingId::ByteDict),
        (SqlType::BigInt, Shape::Sorted, EncodingId::Az64, EncodingId::Az64),
    ] {
        let column = column(ty, shape, 20_000, 0, 3);
        for (is_light, want) in [(false, heavy), (true, light)] {
            let mut encoder = ChunkEncoder::new(ty.stored(), EncodingName::Auto, Geometry::DEFAULT);
            encoder.set_light(is_light);
            assert_eq!(encoder.encode(&column).unwrap().encoding, want, "{ty} {shape:?} light: {is_light}");
        }
    }
    // What is declared is stored, whatever the size.
    let mut encoder = ChunkEncoder::new(Stored::Bytes, EncodingName::Zstd, Geometry::DEFAULT);
    encoder.set_light(true);
    assert_eq!(encoder.encode(&column(text, Shape::Scaled, 100, 0, 3)).unwrap().encoding, EncodingId::Zstd);
}

#[test]
fn auto_chooses_again_when_the_values_change() {
    let ty = SqlType::BigInt;
    let geometry = Geometry::new(1024, 8192).unwrap();
    let mut encoder = ChunkEncoder::new(ty.stored(), EncodingName::Auto, geometry);
    let mut next = |shape, new_segment| {
        if new_segment {
            encoder.start_segment();
        }
        encoder.encode(&column(ty, shape, 8192, 0, 3)).unwrap().encoding
    };
    assert_eq!(next(Shape::Sorted, false), EncodingId::Az64);
    assert_eq!(next(Shape::Extremes, false), EncodingId::ByteDict);
    assert_eq!(next(Shape::Any, false), EncodingId::Raw);
    // RAW has the same size whatever the values are.
    assert_eq!(next(Shape::Extremes, false), EncodingId::Raw);
    assert_eq!(next(Shape::Extremes, true), EncodingId::ByteDict);
}

#[test]
fn short_zones_take_little_room() {
    let geometry = Geometry::TINY;
    let column = Column::new(Values::I64(vec![1000, 1001, 1007, 1002].into()), None);
    let chunk = ChunkEncoder::new(Stored::I64, EncodingName::Az64, geometry).encode(&column).unwrap();
    assert!(chunk.pages[0].len() <= 11, "{} bytes", chunk.pages[0].len());
}

#[test]
fn names_are_allowed_by_type() {
    let text = SqlType::Varchar(10);
    for ty in TYPES {
        for name in [EncodingName::Auto, EncodingName::Raw, EncodingName::Zstd] {
            allowed(name, ty).unwrap();
        }
        assert_eq!(allowed(EncodingName::RunLength, ty).is_ok(), ty != SqlType::Super);
        for name in EncodingName::ALL {
            let id = stored_encoding(name);
            // What is allowed can be stored.
            assert!(allowed(name, ty).is_err() || id.is_none_or(|id| supports(id, ty.stored())), "{name} {ty}");
        }
    }
    let wrong = allowed(EncodingName::Az64, text).unwrap_err();
    assert_eq!(wrong.kind(), ErrorKind::Invalid);
    assert_eq!(
        wrong.hint(),
        Some(
            "a column of this type can have AUTO, RAW, BYTEDICT, LZO, RUNLENGTH, TEXT255, TEXT32K, ZSTD, FSST, FSSTDICT"
        )
    );
    assert_eq!(allowed(EncodingName::ByteDict, SqlType::Boolean).unwrap_err().kind(), ErrorKind::Invalid);
    assert_eq!(allowed(EncodingName::Mostly32, SqlType::Integer).unwrap_err().kind(), ErrorKind::Invalid);
    assert_eq!(allowed(EncodingName::Fsst, SqlType::Integer).unwrap_err().kind(), ErrorKind::Invalid);
    assert_eq!(allowed(EncodingName::Alp, SqlType::BigInt).unwrap_err().kind(), ErrorKind::Invalid);
    assert_eq!(allowed(EncodingName::Lzo, SqlType::Real).unwrap_err().kind(), ErrorKind::Invalid);
    assert_eq!(allowed(EncodingName::Delta32k, SqlType::SmallInt).unwrap_err().kind(), ErrorKind::Invalid);
    assert_eq!(allowed(EncodingName::Mostly8, SqlType::Date).unwrap_err().kind(), ErrorKind::Invalid);
    assert_eq!(allowed(EncodingName::Text255, SqlType::Char(3)).unwrap_err().kind(), ErrorKind::Invalid);
}
