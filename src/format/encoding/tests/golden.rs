//! Bytes that stay as they are.

use arrow::buffer::NullBuffer;

use super::super::*;
use crate::format::Geometry;
use crate::format::column::{ByteValues, Column, Values};

/// The only page of one chunk, and its dictionary; in hexadecimal.
fn golden(stored: Stored, name: EncodingName, column: &Column) -> (String, String) {
    let hex = |bytes: &[u8]| bytes.iter().map(|b| format!("{b:02x}")).collect::<String>();
    let chunk = ChunkEncoder::new(stored, name, Geometry::DEFAULT).encode(column).unwrap();
    let dictionary = match &chunk.dictionary {
        DictionaryUse::New(bytes) => hex(bytes),
        _ => String::new(),
    };
    (hex(&chunk.pages[0]), dictionary)
}

#[test]
fn stored_bytes_stay_as_they_are() {
    let nulls = Some(NullBuffer::from(vec![true, false, true, true, true]));
    let ints = Column::new(Values::I32(vec![700, 0, 900, 900, -70000].into()), nulls.clone());
    let text: ByteValues = ["", "x", "aé", "aé", "zz"].iter().map(|s| s.as_bytes()).collect();
    let text = Column::new(Values::Bytes(text), nulls.clone());
    let bools = Column::new(Values::Bool([true, false, false, true, true].into_iter().collect()), nulls);
    let mut got = Vec::new();
    for name in [EncodingName::Raw, EncodingName::Az64, EncodingName::ByteDict, EncodingName::RunLength] {
        got.push(golden(Stored::I32, name, &ints));
    }
    got.push(golden(Stored::Bool, EncodingName::Raw, &bools));
    for name in [EncodingName::Raw, EncodingName::ByteDict, EncodingName::RunLength, EncodingName::Zstd] {
        got.push(golden(Stored::Bytes, name, &text));
    }
    got.push(golden(Stored::Bytes, EncodingName::Fsst, &text));
    let sorted: Vec<i64> = (0..20).map(|i| 5_000_000_000 + i * i * 30).collect();
    got.push(golden(Stored::I64, EncodingName::Az64, &Column::new(Values::I64(sorted.into()), None)));
    let wide = Column::new(Values::I128(vec![i128::MAX, 1].into()), None);
    got.push(golden(Stored::I128, EncodingName::Az64, &wide));
    // RAW, AZ64, BYTEDICT, RUNLENGTH of integers, then RAW of booleans.
    // RAW, BYTEDICT, RUNLENGTH, ZSTD, FSST of text, then AZ64 with differences and of 128 bits.
    let want = [
        ("021dbc020000bc020000840300008403000090eefeff", ""),
        ("021d0064dfc5080a00c302c302c502c5020000", ""),
        ("021d020101020200", "0300000090eefeffbc02000084030000"),
        ("021d03000000010003000400bc0200008403000090eefeff", ""),
        ("021d1b", ""),
        ("021d000000000000000003000000060000000800000061c3a961c3a97a7a", ""),
        ("021d020000010102", "0300000000000000030000000500000061c3a97a7a"),
        ("021d0300000001000300040000000000030000000500000061c3a97a7a", ""),
        ("021d1c0000002500000028b52ffd201ce10000000000000000000003000000060000000800000061c3a961c3a97a7a", ""),
        ("021d08000000030000060604ff61ffc3ffa9ff61ffc3ffa9ff7aff7a", "00"),
        ("00011ec4c7afa0253c06000000020406080a0c0e10121416181a1c1e202224", ""),
        ("0002ffffffffffffffffffffffffffffff7f01000000000000000000000000000000", ""),
    ];
    for (i, (got, want)) in got.iter().zip(want).enumerate() {
        assert_eq!((&got.0[..], &got.1[..]), want, "golden {i}");
    }
    assert_eq!(got.len(), want.len());
}
