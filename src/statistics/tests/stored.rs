//! What is stored: golden bytes, and damage.

use crate::common::{ColumnId, ErrorKind, Scalar};
use crate::format::bytes::WriteLe;
use crate::format::column::{Column, Values};
use crate::statistics::table::HEADER_BYTES;
use crate::statistics::{
    ColumnSketch, ColumnStatistics, DistinctSketch, Distribution, SegmentSketches, TableStatistics, Use,
};
use crate::testing::Rng;

fn sketches() -> SegmentSketches {
    let mut sketches = SegmentSketches::new([ColumnId(1), ColumnId(7)]);
    let texts = [&b"a text that needs more than a view"[..], b"short", b""];
    sketches.add(&[
        Column::new(Values::I32(vec![-1, 0, 1 << 30].into()), None),
        Column::new(Values::Bytes(texts.into_iter().collect()), None),
    ]);
    sketches
}

fn statistics() -> TableStatistics {
    let mut statistics = TableStatistics::default();
    statistics.add(&sketches());
    let column = statistics.columns.get_mut(&ColumnId(7)).unwrap();
    column.distribution = Some(Distribution {
        rows: 300,
        nulls: 0.25,
        distinct: 3.0,
        common: vec![(Scalar::Bytes(b"short".to_vec()), 0.5)],
        bounds: vec![Scalar::Bytes(Vec::new()), Scalar::Bytes(b"a".to_vec()), Scalar::Bytes(b"b".to_vec())],
    });
    column.used = Some(Use { first_us: -1, last_us: 1 << 40, how: Use::FILTER | Use::GROUP });
    let values = vec![Scalar::Int(i128::MIN), Scalar::Int(-5), Scalar::Int(i128::MAX)];
    let other = Distribution { rows: 2, distinct: 1e9, bounds: values, ..Distribution::default() };
    statistics.columns.insert(ColumnId(9), ColumnStatistics { distribution: Some(other), ..Default::default() });
    let floats = vec![(Scalar::Float(-0.5), 1.0)];
    let other = Distribution { rows: 1, distinct: 1.0, common: floats, ..Distribution::default() };
    statistics.columns.insert(ColumnId(11), ColumnStatistics { distribution: Some(other), ..Default::default() });
    statistics
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|b| format!("{b:02x}")).collect()
}

#[test]
fn the_stored_form_never_changes() {
    let found = format!("sketches {}\nstatistics {}\n", hex(&sketches().encode()), hex(&statistics().encode()));
    assert_eq!(found, include_str!("stored.txt"), "stored statistics could no longer be read");
    assert_eq!(SegmentSketches::decode(&sketches().encode(), 3).unwrap(), Some(sketches()));
    assert_eq!(TableStatistics::decode(&statistics().encode()).unwrap(), statistics());
    assert_eq!(TableStatistics::decode(&TableStatistics::default().encode()).unwrap(), TableStatistics::default());
}

#[test]
fn a_dense_sketch_comes_back() {
    let mut sketch = ColumnSketch::default();
    sketch.add(&Column::new(Values::I64((0..100_000).collect()), None));
    let sketches = SegmentSketches { columns: vec![(ColumnId(3), sketch)] };
    let bytes = sketches.encode();
    assert_eq!(bytes.len(), 4 + DistinctSketch::MAX_BYTES);
    assert_eq!(SegmentSketches::decode(&bytes, 100_000).unwrap(), Some(sketches));
}

#[test]
fn what_a_later_version_wrote_says_nothing() {
    let mut bytes = sketches().encode();
    bytes[0] = 2;
    assert_eq!(SegmentSketches::decode(&bytes, 3).unwrap(), None);
    let mut bytes = statistics().encode();
    bytes[8] = 2;
    assert_eq!(TableStatistics::decode(&bytes).unwrap_err().kind(), ErrorKind::Unsupported);
}

/// Behind a right checksum, too: nothing panics, and what is read keeps its guarantees.
#[test]
fn damage_is_an_error() {
    let mut rng = Rng::new(11);
    let good = statistics().encode();
    for at in 0..good.len() {
        let mut bytes = good.clone();
        bytes[at] ^= 1 << rng.below(8);
        let reserved = (10..12).contains(&at);
        assert!(reserved || TableStatistics::decode(&bytes).is_err(), "{at}");
        assert!(TableStatistics::decode(&good[..at]).is_err());
    }
    let (mut read, mut refused) = (0, 0);
    for _ in 0..20_000 {
        let mut body = good[HEADER_BYTES..].to_vec();
        for _ in 0..=rng.below(3) {
            let at = rng.below(body.len());
            match rng.below(4) {
                0 => body[at] = rng.next_u64() as u8,
                1 => body[at] = 0xff,
                2 => drop(body.remove(at)),
                _ => body.insert(at, rng.next_u64() as u8),
            }
        }
        let mut bytes = good[..HEADER_BYTES - 4].to_vec();
        bytes.put_u32(crc32c::crc32c(&body));
        bytes.extend_from_slice(&body);
        match TableStatistics::decode(&bytes) {
            Ok(statistics) => {
                read += 1;
                assert_eq!(TableStatistics::decode(&statistics.encode()).unwrap(), statistics);
            }
            Err(e) => {
                refused += 1;
                assert_eq!(e.kind(), ErrorKind::Corrupt, "{e}");
            }
        }
        let mut section = sketches().encode();
        let at = rng.below(section.len());
        section[at] = rng.next_u64() as u8;
        section.truncate(section.len() - rng.below(2));
        if let Err(e) = SegmentSketches::decode(&section, 3) {
            assert_eq!(e.kind(), ErrorKind::Corrupt, "{e}");
        }
    }
    assert!(read > 0 && refused > 1000, "{read} read, {refused} refused");
}

/// A few bytes cannot ask for much memory.
#[test]
fn impossible_numbers_are_refused() {
    let mut many = vec![1];
    many.put_varint(1 << 40);
    many.resize(1 << 16, 0);
    assert!(SegmentSketches::decode(&many, 1).is_err());
    let broken: [&dyn Fn(&mut Distribution); 5] =
        [&|d| d.nulls = 0.6, &|d| d.distinct = f64::NAN, &|d| d.bounds.reverse(), &|d| d.bounds.truncate(1), &|d| {
            d.bounds[2] = Scalar::Int(7)
        }];
    for (i, change) in broken.into_iter().enumerate() {
        let mut statistics = statistics();
        change(statistics.columns.get_mut(&ColumnId(7)).unwrap().distribution.as_mut().unwrap());
        assert!(TableStatistics::decode(&statistics.encode()).is_err(), "{i}");
    }
}
