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
    for name in [EncodingName::FsstDict, EncodingName::Text255, EncodingName::Text32k, EncodingName::Lzo] {
        got.push(golden(Stored::Bytes, name, &text));
    }
    let integers = [EncodingName::Delta, EncodingName::Delta32k, EncodingName::Mostly8, EncodingName::Mostly16];
    for name in integers.into_iter().chain([EncodingName::Lzo]) {
        got.push(golden(Stored::I32, name, &ints));
    }
    let amounts = Column::new(Values::I64(vec![5, -1, 1 << 31, -(1 << 31)].into()), None);
    got.push(golden(Stored::I64, EncodingName::Mostly32, &amounts));
    let prices = Column::new(Values::F64(vec![1.25, -0.5, 99.75, f64::NEG_INFINITY].into()), None);
    got.push(golden(Stored::F64, EncodingName::Alp, &prices));
    let prices = Column::new(Values::F32(vec![0.1, 0.2, 0.3, 12.5, -0.0, 0.7, 0.9, 99.0].into()), None);
    got.push(golden(Stored::F32, EncodingName::Alp, &prices));
    let real: Vec<f64> = (90..=105).map(|i| f64::from(i).sqrt()).collect();
    got.push(golden(Stored::F64, EncodingName::Alp, &Column::new(Values::F64(real.into()), None)));
    // The manual's example of DELTA.
    let ten = Column::new(Values::I32((1..=10).collect()), None);
    got.push(golden(Stored::I32, EncodingName::Delta, &ten));
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
        // FSSTDICT, TEXT255, TEXT32K, LZO of text; DELTA, DELTA32K, MOSTLY8, MOSTLY16, LZO of integers; MOSTLY32; ALP of
        // decimals, of REAL, and split; DELTA as in the manual.
        ("021d020000010102", "0300000001000000000500000003000604ff61ffc3ffa9ff7aff7a"),
        ("021d080000000300000101040000ff027a7a", "01000361c3a9"),
        ("021d0800000003000002020500000000ffff027a7a", "01000361c3a9"),
        ("021d1c00000013000100f00503000000060000000800000061c3a961c3a97a7a", ""),
        ("021dbc0200000200000000020004008403000090eefeff", ""),
        ("021dbc020000010000c80000000000040090eefeff", ""),
        ("021d05000000000000000100020003000400bc020000bc020000840300008403000090eefeff", ""),
        ("021d01bc02bc02840384030000040090eefeff", ""),
        ("021d1400000040bc0200000400c0840300008403000090eefeff", ""),
        ("000105000000ffffffff000000000000008002000000008000000000", ""),
        ("00000200630e01af000000292700000300000000000000f0ff", ""),
        ("00000605020a010000010002007c00000006000800dd03040000000080", ""),
        (
            "0002300323402440224000020000000000000000000101010101017ec4232c42f9ab29a9302b1416047775ee2e4005b1978c49065344300664a1950fd45b7e2e2109148e986256637d9db25354af998acc6713feee55e6000000000000f029234c89197a1cb04ff2325371e5833b4cf62f125f65658909af54707e",
            "",
        ),
        ("000100000000010101010101010101", ""),
    ];
    for (i, (got, want)) in got.iter().zip(want).enumerate() {
        assert_eq!((&got.0[..], &got.1[..]), want, "golden {i}");
    }
    assert_eq!(got.len(), want.len());
}
