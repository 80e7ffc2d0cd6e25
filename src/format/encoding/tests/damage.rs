//! Wrong arguments, damaged bytes, bytes that nobody wrote.

use super::super::hostile::TYPES;
use super::super::*;
use super::check::{check, encodings, page, write};
use super::values::{Random, Shape, column};
use crate::common::{Comparison, ErrorKind, Predicate, Scalar};
use crate::format::Geometry;
use crate::format::column::{Column, ColumnBuilder, Values};

#[test]
fn the_wrong_literal_or_builder_is_an_error_of_ours() {
    let column = column(SqlType::BigInt, Shape::Any, 16, 0, 1);
    let written = write(&mut ChunkEncoder::new(Stored::I64, EncodingName::Az64, Geometry::TINY), Stored::I64, &column);
    let mut page = page(&written, Stored::I64, 0, 4);
    let predicate = Predicate::Compare(Comparison::Eq, Scalar::Bytes(vec![]));
    assert_eq!(page.filter(&predicate, None, &mut Mask::all(4)).unwrap_err().kind(), ErrorKind::Internal);
    assert_eq!(page.filter(&Predicate::IsNull, None, &mut Mask::all(5)).unwrap_err().kind(), ErrorKind::Internal);
    let mut out = ColumnBuilder::new(SqlType::Double, 0);
    assert_eq!(page.decode(Selection::All, &mut out).unwrap_err().kind(), ErrorKind::Internal);
}

#[test]
fn damaged_bytes_are_refused_without_a_panic() {
    let geometry = Geometry::new(1100, 2200).unwrap();
    for (i, ty) in TYPES.into_iter().enumerate() {
        for (j, name) in encodings(ty).into_iter().enumerate() {
            for (shape, rows) in [(Shape::Few, 9), (Shape::Outliers, 40), (Shape::Sorted, 1100)] {
                let column = column(ty, shape, rows, 1, 5);
                let mut random = Random((i * 100 + j + rows) as u64 | 1);
                let chunk = ChunkEncoder::new(ty.stored(), name, geometry).encode(&column).unwrap();
                let dictionary = match &chunk.dictionary {
                    DictionaryUse::New(bytes) => Some(bytes.clone()),
                    _ => None,
                };
                let good = &chunk.pages[0];
                let read = |dictionary: Option<&[u8]>, page: &[u8]| {
                    hostile::read(chunk.encoding, ty, rows, dictionary, page);
                };
                // Each length of short pages, some of long ones.
                let step = good.len().div_ceil(60);
                (0..good.len()).step_by(step).for_each(|len| read(dictionary.as_deref(), &good[..len]));
                for _ in 0..60 {
                    let mut bad = good.clone();
                    for _ in 0..1 + random.below(3) {
                        // Headers stand in front.
                        let most = if random.below(2) == 0 { 24.min(bad.len()) } else { bad.len() };
                        let at = random.below(most as u64) as usize;
                        bad[at] =
                            if random.below(2) == 0 { random.next() as u8 } else { bad[at] ^ 1 << random.below(8) };
                    }
                    read(dictionary.as_deref(), &bad);
                }
                if let Some(dictionary) = &dictionary {
                    let step = dictionary.len().div_ceil(40);
                    (0..dictionary.len()).step_by(step).for_each(|len| read(Some(&dictionary[..len]), good));
                    for _ in 0..40 {
                        let mut bad = dictionary.clone();
                        let at = random.below(bad.len() as u64) as usize;
                        bad[at] = random.next() as u8;
                        read(Some(&bad), good);
                    }
                }
                read(None, good);
            }
        }
    }
}

#[test]
fn random_bytes_are_refused_without_a_panic() {
    let mut random = Random(11);
    for round in 0..6000 {
        let len = random.below(200) as usize;
        let mut input: Vec<u8> = (0..len).map(|_| random.next() as u8).collect();
        if let Some(header) = input.first_chunk_mut::<8>() {
            let rows = if round % 2 == 0 { random.below(40) } else { random.below(3000) } as u16;
            header[0] %= EncodingId::ALL.len() as u8;
            header[2..4].copy_from_slice(&rows.to_le_bytes());
            header[4..8].copy_from_slice(&(random.below(80) as u32).to_le_bytes());
        }
        hostile::replay(&input);
    }
}

#[test]
fn a_bomb_does_not_get_its_memory() {
    let frame = zstd_of_zeros(1 << 26);
    let mut bytes = vec![VALIDITY_NO_NULLS];
    bytes.extend_from_slice(&(1u32 << 26).to_le_bytes());
    bytes.extend_from_slice(&(frame.len() as u32).to_le_bytes());
    bytes.extend_from_slice(&frame);
    let refused = Page::open(EncodingId::Zstd, Stored::Bytes, 4, &bytes, None).unwrap_err();
    assert!(refused.message().contains("bytes before compression"), "{refused}");
    // LZ4 cannot unpack to more than 255 times its bytes: what claims to is refused before it is given room.
    let mut bytes = vec![VALIDITY_NO_NULLS];
    bytes.extend_from_slice(&(1u32 << 31).to_le_bytes());
    bytes.extend_from_slice(&[0xff; 4000]);
    let refused = Page::open(EncodingId::Lz4, Stored::Bytes, 4, &bytes, None).unwrap_err();
    assert!(refused.message().contains("bytes before compression"), "{refused}");
    // The same size honestly written is read: padding keeps it within the ratio.
    let long = "z".repeat(60_000);
    let column = Column::new(Values::Bytes((0..1000).map(|_| long.as_bytes()).collect()), None);
    for name in [EncodingName::Zstd, EncodingName::Lzo] {
        check(SqlType::Varchar(65535), name, Geometry::DEFAULT, &column, &[], 1);
    }
}

fn zstd_of_zeros(len: usize) -> Vec<u8> {
    ::zstd::bulk::compress(&vec![0; len], 3).unwrap()
}
