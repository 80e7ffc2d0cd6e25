//! Counting distinct values.

use std::sync::Arc;

use arrow::buffer::NullBuffer;
use proptest::prelude::*;

use crate::format::bytes::Reader;
use crate::format::column::{ByteValues, Column, TextCodes, Values};
use crate::statistics::{ColumnSketch, DistinctSketch};

fn of_integers(values: impl Iterator<Item = i64>) -> DistinctSketch {
    let mut sketch = DistinctSketch::new();
    sketch.insert(&Column::new(Values::I64(values.collect()), None));
    sketch
}

fn off(estimate: f64, truth: f64) -> f64 {
    (estimate - truth).abs() / truth
}

#[test]
fn counts_are_near_the_truth_at_every_size() {
    assert_eq!(DistinctSketch::new().estimate(), 0.0);
    for count in [1i64, 2, 5, 25, 100, 1_000, 5_000, 20_000, 100_000, 1_000_000] {
        let sketch = of_integers((0..count).map(|v| v * 7919 - 3));
        // Four standard errors, and what rounds for the least.
        let bound = (4.0 * DistinctSketch::ERROR).max(0.6 / count as f64);
        assert!(off(sketch.estimate(), count as f64) < bound, "{count}: {}", sketch.estimate());
    }
    let mut texts = DistinctSketch::new();
    let values: Vec<String> = (0..50_000).map(|i| format!("customer#{i:09}")).collect();
    texts.insert(&Column::new(Values::Bytes(values.iter().map(String::as_bytes).collect::<ByteValues>()), None));
    assert!(off(texts.estimate(), 50_000.0) < 4.0 * DistinctSketch::ERROR, "{}", texts.estimate());
}

/// Over many sets the errors are as large as they are said to be, and not to one side.
#[test]
fn errors_are_within_the_standard_error() {
    let (mut squares, mut sum) = (0.0, 0.0);
    let sets = 100;
    for set in 0..sets {
        let error = of_integers((0..10_000).map(|v| v * 1_000_003 + set)).estimate() / 10_000.0 - 1.0;
        squares += error * error;
        sum += error;
    }
    let deviation = (squares / sets as f64).sqrt();
    assert!((0.7 * DistinctSketch::ERROR..1.3 * DistinctSketch::ERROR).contains(&deviation), "{deviation}");
    assert!((sum / sets as f64).abs() < 0.5 * DistinctSketch::ERROR, "{sum}");
}

#[test]
fn a_value_counts_once_in_whatever_form() {
    let of = |values| {
        let mut sketch = DistinctSketch::new();
        sketch.insert(&Column::new(values, None));
        sketch
    };
    let values = [-3i16, 0, 7, i16::MAX];
    let one = of(Values::I16(values.to_vec().into()));
    assert_eq!(one, of(Values::I32(values.iter().map(|v| i32::from(*v)).collect())));
    assert_eq!(one, of(Values::I64(values.iter().map(|v| i64::from(*v)).collect())));
    assert_eq!(one, of(Values::I128(values.iter().map(|v| i128::from(*v)).collect())));
    assert_eq!(of(Values::F32(vec![0.0, 1.5].into())), of(Values::F64(vec![-0.0, 1.5, 0.0].into())));
    assert_eq!(of(Values::F64(vec![f64::NAN, -f64::NAN].into())).estimate().round(), 1.0);
    assert_ne!(of(Values::I128(vec![1 << 64].into())), of(Values::I128(vec![0].into())));
}

/// Few values are not looked at row by row; they count as if they were.
#[test]
fn few_values_count_like_many() {
    let sketch = |values, nulls: Option<NullBuffer>| {
        let mut sketch = DistinctSketch::new();
        sketch.insert(&Column::new(values, nulls));
        sketch
    };
    for (from, distinct, rows) in
        [(i64::MIN, 3, 1000), (i64::MAX - 9, 10, 500), (-5, 11, 30), (-5, 11, 60), (7, 1, 9), (0, 1, 0)]
    {
        let values: Vec<i64> = (0..rows).map(|i| from + (i * 7 + i / 13) % distinct).collect();
        let wide = values.iter().map(|v| i128::from(*v)).collect();
        assert_eq!(sketch(Values::I64(values.into()), None), sketch(Values::I128(wide), None), "{from}, {distinct}");
    }
    assert_eq!(of_integers([i64::MIN, i64::MAX].into_iter().cycle().take(100)).estimate().round(), 2.0);
    let texts = [&b"a"[..], b"", b"of nobody", b"a text beyond a view"];
    let codes = [3u8, 0, 0, 1, 3, 2];
    let nulls = NullBuffer::from(vec![true, true, true, true, true, false]);
    let plain: ByteValues = codes.iter().map(|code| texts[usize::from(*code)]).collect();
    let known =
        TextCodes { of_rows: codes.to_vec().into(), texts: Arc::new(texts.iter().map(|t| t.to_vec()).collect()) };
    let coded = ByteValues { codes: Some(known), ..plain.clone() };
    let (plain, coded) = (sketch(Values::Bytes(plain), Some(nulls.clone())), sketch(Values::Bytes(coded), Some(nulls)));
    assert_eq!(plain, coded);
    assert_eq!(coded.estimate().round(), 3.0);
}

#[test]
fn nulls_are_no_values() {
    let nulls = NullBuffer::from(vec![true, false, true, false]);
    let mut sketch = ColumnSketch::default();
    let texts = [&b"twelve bytes"[..], b"thirteen bytes", b"more than twelve", b"x"];
    sketch.add(&Column::new(Values::Bytes(texts.into_iter().collect()), Some(nulls.clone())));
    assert_eq!((sketch.rows, sketch.payload), (4, 16));
    assert_eq!(sketch.distinct.estimate().round(), 2.0);
    let mut integers = DistinctSketch::new();
    integers.insert(&Column::new(Values::I64(vec![1, 1, 2, 2].into()), Some(nulls)));
    assert_eq!(integers, of_integers([1, 2].into_iter()));
}

proptest! {
    #[test]
    fn a_merge_is_the_union(a in prop::collection::vec(any::<i64>(), 0..400), b in prop::collection::vec(any::<i64>(), 0..400)) {
        let mut merged = of_integers(a.iter().copied());
        let second = of_integers(b.iter().copied());
        merged.merge(&second);
        let mut other_way = second;
        other_way.merge(&of_integers(a.iter().copied()));
        prop_assert_eq!(&merged, &other_way);
        // In another order, with repetitions.
        prop_assert_eq!(&merged, &of_integers(b.iter().rev().chain(&a).chain(&b).copied()));
        let mut again = merged.clone();
        again.merge(&merged);
        prop_assert_eq!(again, merged);
    }

    #[test]
    fn the_stored_form_comes_back(seed in any::<u32>(), count in prop_oneof![0i64..2000, Just(100_000)]) {
        let sketch = of_integers((0..count).map(|v| v * 31 + i64::from(seed)));
        let mut bytes = Vec::new();
        sketch.write(&mut bytes);
        prop_assert!(bytes.len() <= DistinctSketch::MAX_BYTES);
        prop_assert!(bytes.len() <= 4 + 3 * count as usize);
        let mut reader = Reader::new(&bytes);
        prop_assert_eq!(DistinctSketch::read(&mut reader).unwrap(), sketch);
        prop_assert!(reader.is_empty());
    }
}
