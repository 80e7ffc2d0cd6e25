//! All encodings against Arrow's kernels.

use std::sync::Arc;

use arrow::array::{Array, ArrayRef, AsArray, BooleanArray, Datum, LargeStringArray, Scalar as ArrowScalar};
use arrow::buffer::{BooleanBuffer, NullBuffer};
use arrow::compute::kernels::cmp;
use arrow::compute::{filter, ilike, is_not_null, is_null, like, nilike, nlike};
use proptest::prelude::*;
use proptest::test_runner::{Config, RngAlgorithm, TestRng, TestRunner};

use super::hostile::TYPES;
use super::*;
use crate::common::{Comparison, ErrorKind, Predicate, Scalar};
use crate::format::Geometry;
use crate::format::column::{ByteValues, Column, ColumnBuilder, Values};

/// A small, repeatable source of numbers.
struct Random(u64);

impl Random {
    fn next(&mut self) -> u64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        self.0.wrapping_mul(0x2545_f491_4f6c_dd1d)
    }

    fn below(&mut self, n: u64) -> u64 {
        ((u128::from(self.next()) * u128::from(n)) >> 64) as u64
    }
}

/// How values are spread.
#[derive(Debug, Clone, Copy, PartialEq)]
enum Shape {
    Constant,
    /// Few distinct values in any order.
    Few,
    /// Ascending with small steps.
    Sorted,
    /// Long runs.
    Runs,
    /// A narrow range, some far outside.
    Outliers,
    /// Multiples of 100.
    Scaled,
    Any,
    /// The extremes of the type.
    Extremes,
}

const SHAPES: [Shape; 8] = [
    Shape::Constant,
    Shape::Few,
    Shape::Sorted,
    Shape::Runs,
    Shape::Outliers,
    Shape::Scaled,
    Shape::Any,
    Shape::Extremes,
];

fn integers(shape: Shape, rows: usize, low: i128, high: i128, random: &mut Random) -> Vec<i128> {
    let mut at = 1000i128;
    let wide = |random: &mut Random| (random.next() as i64 as i128) << 62 | random.next() as i128;
    (0..rows)
        .map(|i| {
            let v = match shape {
                Shape::Constant => 42,
                Shape::Few => [3, -7, 1000, 77][random.below(4) as usize],
                Shape::Sorted => {
                    at += random.below(5) as i128;
                    at
                }
                Shape::Runs => (i as i128 / 37) % 11,
                Shape::Outliers if random.below(50) == 0 => wide(random),
                Shape::Outliers => 500 + random.below(200) as i128,
                Shape::Scaled => 100 * (random.below(60) as i128 - 30),
                Shape::Any => wide(random),
                Shape::Extremes => [low, high, 0, -1, low + 1, high - 1][random.below(6) as usize],
            };
            if v < low || v > high { low + (v - low).rem_euclid((high - low).max(1)) } else { v }
        })
        .collect()
}

fn strings(shape: Shape, rows: usize, random: &mut Random) -> Vec<String> {
    (0..rows)
        .map(|i| match shape {
            Shape::Constant => "the same text, longer than a view holds".into(),
            Shape::Few => ["DELIVER IN PERSON", "NONE", "", "TAKE BACK RETURN"][random.below(4) as usize].into(),
            Shape::Sorted => format!("Customer#{i:09}"),
            Shape::Runs => format!("run {}", i / 37),
            Shape::Outliers if random.below(60) == 0 => "x".repeat(random.below(900) as usize),
            Shape::Outliers => format!("{:x}", random.below(4096)),
            Shape::Scaled => format!("http://www.example.com/{}/{}", random.below(9), random.below(1 << 20)),
            Shape::Any => (0..random.below(20))
                .map(|_| ["ab", "é", "%_\\", "漢字", "𝄞", " ", "\0", "Zz"][random.below(8) as usize])
                .collect(),
            Shape::Extremes => ["", "\u{10ffff}", "\0", "a", "aa", "twelve bytes"][random.below(6) as usize].into(),
        })
        .collect()
}

/// Rows of `ty`, each NULL with a chance of `nulls` in ten.
fn column(ty: SqlType, shape: Shape, rows: usize, nulls: u64, seed: u64) -> Column {
    let mut random = Random(seed | 1);
    let random = &mut random;
    let ints = |low, high, random: &mut Random| integers(shape, rows, low, high, random);
    let float = |v: i128, i: usize| match (shape, i % 7) {
        (Shape::Extremes, 0) => f64::NAN,
        (Shape::Extremes, 1) => -0.0,
        (Shape::Extremes, 2) => f64::NEG_INFINITY,
        (Shape::Extremes, 3) => -f64::NAN,
        (Shape::Extremes, 4) => 0.0,
        _ => v as f64 / 8.0,
    };
    let values = match ty.stored() {
        Stored::Bool => Values::Bool(ints(-32768, 32767, random).iter().map(|v| v & 1 == 1).collect()),
        Stored::I16 => Values::I16(ints(-32768, 32767, random).iter().map(|v| *v as i16).collect()),
        Stored::I32 => Values::I32(ints(i32::MIN.into(), i32::MAX.into(), random).iter().map(|v| *v as i32).collect()),
        Stored::I64 => {
            let (low, high) = match ty {
                SqlType::Decimal { .. } => (-999_999_999_999_999_999, 999_999_999_999_999_999),
                _ => (i64::MIN.into(), i64::MAX.into()),
            };
            Values::I64(ints(low, high, random).iter().map(|v| *v as i64).collect())
        }
        Stored::I128 => {
            let most = 10i128.pow(38) - 1;
            Values::I128(ints(-most, most, random).into())
        }
        Stored::F32 => {
            let ints = ints(-1 << 40, 1 << 40, random);
            Values::F32(ints.iter().enumerate().map(|(i, v)| float(*v, i) as f32).collect())
        }
        Stored::F64 => {
            let ints = ints(-1 << 60, 1 << 60, random);
            Values::F64(ints.iter().enumerate().map(|(i, v)| float(*v, i)).collect())
        }
        Stored::Bytes => {
            let strings = strings(shape, rows, random);
            Values::Bytes(strings.iter().map(|s| s.as_bytes()).collect::<ByteValues>())
        }
    };
    let valid: BooleanBuffer = (0..rows).map(|_| random.below(10) >= nulls).collect();
    Column::new(values, Some(NullBuffer::new(valid)))
}

/// What decoding must give: made by Arrow's own means, not by ours.
fn expected(ty: SqlType, column: &Column) -> ArrayRef {
    use arrow::array::*;
    let nulls = column.validity.clone();
    let array: ArrayRef = match &column.values {
        Values::Bool(v) => Arc::new(BooleanArray::new(v.clone(), nulls)),
        Values::I16(v) => Arc::new(Int16Array::new(v.clone(), nulls)),
        Values::I32(v) => Arc::new(Int32Array::new(v.clone(), nulls)),
        Values::I64(v) => match ty {
            SqlType::Decimal { precision, scale } => {
                let wide: Vec<i128> = v.iter().map(|v| i128::from(*v)).collect();
                let array = Decimal128Array::new(wide.into(), nulls);
                Arc::new(array.with_precision_and_scale(precision, scale as i8).unwrap())
            }
            _ => Arc::new(Int64Array::new(v.clone(), nulls)),
        },
        Values::I128(v) => match ty {
            SqlType::Decimal { precision, scale } => Arc::new(
                Decimal128Array::new(v.clone(), nulls).with_precision_and_scale(precision, scale as i8).unwrap(),
            ),
            _ => unreachable!(),
        },
        Values::F32(v) => Arc::new(Float32Array::new(v.clone(), nulls)),
        Values::F64(v) => Arc::new(Float64Array::new(v.clone(), nulls)),
        Values::Bytes(v) => {
            let strings = (0..v.len()).map(|i| column.is_valid(i).then(|| std::str::from_utf8(v.value(i)).unwrap()));
            Arc::new(strings.collect::<StringViewArray>())
        }
    };
    array
}

/// Equal in every valid row, floats by their bits.
fn assert_same(got: &dyn Array, want: &dyn Array, what: &str) {
    assert_eq!(got.data_type(), want.data_type(), "{what}");
    assert_eq!(got.len(), want.len(), "{what}");
    for i in 0..got.len() {
        assert_eq!(got.is_valid(i), want.is_valid(i), "{what}: row {i}");
    }
    let got = got.slice(0, got.len());
    let same = cmp::not_distinct(&got, &want.slice(0, want.len())).unwrap();
    let first = (0..same.len()).find(|i| !same.value(*i));
    assert_eq!(first, None, "{what}: {got:?} instead of {want:?}");
}

/// A segment's chunk read back zone by zone.
struct Written {
    chunk: EncodedChunk,
    dictionary: Option<Dictionary>,
}

fn write(encoder: &mut ChunkEncoder, stored: Stored, column: &Column) -> Written {
    let chunk = encoder.encode(column).unwrap();
    let dictionary = match &chunk.dictionary {
        DictionaryUse::None => None,
        DictionaryUse::New(bytes) => Some(open_dictionary(chunk.encoding, stored, bytes).unwrap()),
        DictionaryUse::Shared => panic!("the first chunk of a segment shares nothing"),
    };
    Written { chunk, dictionary }
}

fn page(written: &Written, stored: Stored, zone: usize, rows: usize) -> Page<'_> {
    let bytes = &written.chunk.pages[zone];
    Page::open(written.chunk.encoding, stored, rows, bytes, written.dictionary.as_ref()).unwrap()
}

fn encodings(ty: SqlType) -> Vec<EncodingName> {
    EncodingName::ALL.into_iter().filter(|name| allowed(*name, ty).is_ok()).collect()
}

/// Encodes, decodes all and selections of it, and filters by each predicate; all must be as Arrow has it.
fn check(ty: SqlType, name: EncodingName, geometry: Geometry, column: &Column, predicates: &[Predicate], seed: u64) {
    let stored = ty.stored();
    let mut encoder = ChunkEncoder::new(stored, name, geometry);
    let written = write(&mut encoder, stored, column);
    assert_eq!(written.chunk.pages.len(), column.len().div_ceil(geometry.zone_rows()));
    let mut random = Random(seed | 1);
    let want = expected(ty, column);
    let mut all = ColumnBuilder::new(ty, column.len());
    for zone in 0..written.chunk.pages.len() {
        let start = zone * geometry.zone_rows();
        let rows = geometry.zone_rows().min(column.len() - start);
        let want = want.slice(start, rows);
        let what = format!("{ty} {name} zone {zone} of {rows} rows");
        page(&written, stored, zone, rows).decode(Selection::All, &mut all).unwrap();

        for chance in [2, 40, 3000] {
            let mask = Mask::from_fn(rows, |_| random.below(chance) == 0);
            let mut some = ColumnBuilder::new(ty, 0);
            page(&written, stored, zone, rows).decode(Selection::Rows(&mask), &mut some).unwrap();
            let bits = BooleanArray::new(mask.to_buffer(), None);
            assert_same(&some.finish().unwrap(), &filter(&want, &bits).unwrap(), &what);
        }
        for predicate in predicates {
            let held = evaluate(ty, predicate, &want);
            let before = Mask::from_fn(rows, |_| random.below(8) != 0);
            let mut right = before.clone();
            right.and(&Mask::from_buffer(&held));

            let mut page = page(&written, stored, zone, rows);
            let mut mask = before.clone();
            page.filter(predicate, None, &mut mask).unwrap();
            assert_eq!(mask, right, "{what}: {predicate:?} on {want:?}");
            if let Some(dictionary) = &written.dictionary {
                let prepared = dictionary.prepare(predicate).unwrap();
                let mut mask = before.clone();
                page.filter(predicate, Some(&prepared), &mut mask).unwrap();
                assert_eq!(mask, right, "{what}: {predicate:?} prepared");
            }
            // What the filter has decoded serves the rows that are left.
            let mut rest = ColumnBuilder::new(ty, 0);
            page.decode(Selection::Rows(&mask), &mut rest).unwrap();
            let bits = BooleanArray::new(mask.to_buffer(), None);
            assert_same(&rest.finish().unwrap(), &filter(&want, &bits).unwrap(), &what);
        }
    }
    assert_same(&all.finish().unwrap(), &want, &format!("{ty} {name}"));
}

/// A literal as an array of one row.
fn literal(ty: SqlType, scalar: &Scalar) -> ArrayRef {
    let values = match (scalar, ty.stored()) {
        (Scalar::Bool(v), _) => Values::Bool([*v].into_iter().collect()),
        (Scalar::Int(v), Stored::I16) => Values::I16(vec![*v as i16].into()),
        (Scalar::Int(v), Stored::I32) => Values::I32(vec![*v as i32].into()),
        (Scalar::Int(v), Stored::I64) => Values::I64(vec![*v as i64].into()),
        (Scalar::Int(v), _) => Values::I128(vec![*v].into()),
        (Scalar::Float(v), Stored::F32) => Values::F32(vec![*v as f32].into()),
        (Scalar::Float(v), _) => Values::F64(vec![*v].into()),
        (Scalar::Bytes(v), _) => Values::Bytes([&v[..]].into_iter().collect()),
    };
    expected(ty, &Column::new(values, None))
}

/// A predicate by Arrow's kernels; NULL counts as false.
fn evaluate(ty: SqlType, predicate: &Predicate, array: &ArrayRef) -> BooleanBuffer {
    let one = |scalar: &Scalar| ArrowScalar::new(literal(ty, scalar));
    let compare = |op: Comparison, scalar: &Scalar| {
        let one = one(scalar);
        let (array, one): (&dyn Datum, &dyn Datum) = (array, &one);
        match op {
            Comparison::Eq => cmp::eq(array, one),
            Comparison::NotEq => cmp::neq(array, one),
            Comparison::Lt => cmp::lt(array, one),
            Comparison::LtEq => cmp::lt_eq(array, one),
            Comparison::Gt => cmp::gt(array, one),
            Comparison::GtEq => cmp::gt_eq(array, one),
        }
        .unwrap()
    };
    let truth = |held: BooleanArray| match held.nulls() {
        Some(nulls) => held.values() & nulls.inner(),
        None => held.values().clone(),
    };
    let negate = |held: BooleanBuffer, negated: bool| {
        let held = if negated { !&held } else { held };
        match array.nulls() {
            Some(nulls) => &held & nulls.inner(),
            None => held,
        }
    };
    match predicate {
        Predicate::IsNull => truth(is_null(array).unwrap()),
        Predicate::IsNotNull => truth(is_not_null(array).unwrap()),
        Predicate::Compare(op, scalar) => truth(compare(*op, scalar)),
        Predicate::Between { low, high, negated } => {
            negate(&truth(compare(Comparison::GtEq, low)) & &truth(compare(Comparison::LtEq, high)), *negated)
        }
        Predicate::In { values, negated } => {
            let none = BooleanBuffer::new_unset(array.len());
            negate(values.iter().fold(none, |all, v| &all | &truth(compare(Comparison::Eq, v))), *negated)
        }
        Predicate::Like { pattern, case_insensitive, negated } => {
            let text: LargeStringArray = array.as_string_view().iter().collect();
            let pattern = LargeStringArray::new_scalar(pattern);
            truth(
                match (case_insensitive, negated) {
                    (false, false) => like(&text, &pattern),
                    (false, true) => nlike(&text, &pattern),
                    (true, false) => ilike(&text, &pattern),
                    (true, true) => nilike(&text, &pattern),
                }
                .unwrap(),
            )
        }
    }
}

/// Row `i` as a literal; 0 or the like where it is NULL.
fn scalar_at(column: &Column, i: usize) -> Scalar {
    match &column.values {
        Values::Bool(v) => Scalar::Bool(v.value(i)),
        Values::I16(v) => Scalar::Int(v[i].into()),
        Values::I32(v) => Scalar::Int(v[i].into()),
        Values::I64(v) => Scalar::Int(v[i].into()),
        Values::I128(v) => Scalar::Int(v[i]),
        Values::F32(v) => Scalar::Float(v[i].into()),
        Values::F64(v) => Scalar::Float(v[i]),
        Values::Bytes(v) => Scalar::Bytes(v.value(i).to_vec()),
    }
}

/// Every kind of predicate, about values that occur and values beside them.
fn predicates(ty: SqlType, column: &Column, random: &mut Random) -> Vec<Predicate> {
    let near = |random: &mut Random| {
        let scalar = scalar_at(column, random.below(column.len() as u64) as usize);
        let shift = random.below(3) as i128 - 1;
        match (scalar, ty.stored()) {
            (Scalar::Int(v), Stored::I16) => Scalar::Int((v + shift).clamp(-32768, 32767)),
            (Scalar::Int(v), Stored::I32) => Scalar::Int((v + shift).clamp(i32::MIN.into(), i32::MAX.into())),
            (Scalar::Int(v), Stored::I64) => Scalar::Int((v + shift).clamp(i64::MIN.into(), i64::MAX.into())),
            (Scalar::Int(v), _) => Scalar::Int(v.saturating_add(shift)),
            (scalar, _) => scalar,
        }
    };
    let mut list = vec![Predicate::IsNull, Predicate::IsNotNull];
    for op in [Comparison::Eq, Comparison::NotEq, Comparison::Lt, Comparison::LtEq, Comparison::Gt, Comparison::GtEq] {
        list.push(Predicate::Compare(op, near(random)));
    }
    for negated in [false, true] {
        list.push(Predicate::Between { low: near(random), high: near(random), negated });
        list.push(Predicate::is_in((0..1 + random.below(12)).map(|_| near(random)).collect(), negated));
    }
    match ty.stored() {
        Stored::Bytes => {
            list.push(Predicate::Compare(Comparison::Eq, Scalar::Bytes(b"not there".to_vec())));
            for (i, pattern) in ["%ON%", "cust%", "%_", "", "a%漢", "%\\%%"].into_iter().enumerate() {
                list.push(Predicate::Like {
                    pattern: pattern.into(),
                    case_insensitive: i % 2 == 1,
                    negated: i % 3 == 1,
                });
            }
        }
        Stored::I64 if !matches!(ty, SqlType::Decimal { .. }) => {
            for v in [i64::MIN, i64::MAX] {
                for op in [Comparison::Lt, Comparison::LtEq, Comparison::Gt, Comparison::GtEq, Comparison::Eq] {
                    list.push(Predicate::Compare(op, Scalar::Int(v.into())));
                }
            }
        }
        Stored::F32 | Stored::F64 => {
            for v in [f64::NAN, -f64::NAN, 0.0, -0.0, f64::INFINITY] {
                list.push(Predicate::Compare(Comparison::Eq, Scalar::Float(v)));
                list.push(Predicate::Compare(Comparison::Lt, Scalar::Float(v)));
            }
        }
        _ => {}
    }
    list
}

fn runner(cases: u32) -> TestRunner {
    let config = Config { cases, failure_persistence: None, ..Config::default() };
    TestRunner::new_with_rng(config, TestRng::deterministic_rng(RngAlgorithm::ChaCha))
}

#[test]
fn small_zones_come_back_in_every_encoding() {
    let strategy = (0..TYPES.len(), 0..SHAPES.len(), 1..=16usize, 0..=10u64, any::<u64>());
    runner(600)
        .run(&strategy, |(ty, shape, rows, nulls, seed)| {
            let ty = TYPES[ty];
            let column = column(ty, SHAPES[shape], rows, nulls, seed);
            let predicates = predicates(ty, &column, &mut Random(seed | 1));
            for name in encodings(ty) {
                check(ty, name, Geometry::TINY, &column, &predicates, seed);
            }
            Ok(())
        })
        .unwrap();
}

#[test]
fn every_length_comes_back() {
    let vector = Geometry::new(2048, 4096).unwrap();
    for ty in TYPES {
        for (shape, nulls) in [(Shape::Few, 0), (Shape::Any, 3), (Shape::Sorted, 0), (Shape::Outliers, 1)] {
            for name in encodings(ty) {
                for rows in [1, 1023, 1024, 1025, 2047, 2048, 2049, 4095, 4096] {
                    check(ty, name, vector, &column(ty, shape, rows, nulls, rows as u64), &[], 7);
                }
                for rows in [3, 4, 5, 15, 16] {
                    check(ty, name, Geometry::TINY, &column(ty, shape, rows, nulls, rows as u64), &[], 7);
                }
            }
        }
    }
}

#[test]
fn filters_agree_with_arrow_on_whole_vectors() {
    let geometry = Geometry::new(2048, 4096).unwrap();
    for (i, ty) in TYPES.into_iter().enumerate() {
        for (j, shape) in SHAPES.into_iter().enumerate() {
            let seed = (i * 31 + j) as u64;
            let column = column(ty, shape, 2500, [0, 2][j % 2], seed);
            let predicates = predicates(ty, &column, &mut Random(seed | 1));
            for name in encodings(ty) {
                check(ty, name, geometry, &column, &predicates, seed);
            }
        }
    }
}

#[test]
fn chunks_of_the_default_geometry_come_back() {
    let geometry = Geometry::DEFAULT;
    for (ty, name) in [
        (SqlType::BigInt, EncodingName::Az64),
        (SqlType::Decimal { precision: 12, scale: 2 }, EncodingName::Auto),
        (SqlType::Varchar(100), EncodingName::Auto),
        (SqlType::Boolean, EncodingName::RunLength),
    ] {
        for rows in [8191, 8193, 131_071, 131_072] {
            let shape = if rows > 10_000 { Shape::Few } else { Shape::Any };
            let column = column(ty, shape, rows, 1, 5);
            let predicates = [Predicate::Compare(Comparison::GtEq, scalar_at(&column, 17))];
            check(ty, name, geometry, &column, &predicates, 5);
        }
    }
}

#[test]
#[should_panic(expected = "the other zero")]
fn the_assertion_on_arrays_can_fail() {
    let one = expected(SqlType::Double, &Column::new(Values::F64(vec![0.0, f64::NAN].into()), None));
    let other = expected(SqlType::Double, &Column::new(Values::F64(vec![-0.0, f64::NAN].into()), None));
    assert_same(&one, &one, "itself");
    assert_same(&one, &other, "the other zero");
}

#[test]
fn equal_strings_have_equal_codes_by_the_rule_that_readers_apply() {
    // Filters compress their literal by the documented rule; the writer's crate must follow it.
    for shape in SHAPES {
        for seed in 1..20 {
            let trained_on = strings(shape, 300, &mut Random(seed));
            let trained_on: ByteValues = trained_on.iter().map(|s| s.as_bytes()).collect();
            let encoder = super::fsst::Encoder::train(&[&trained_on]).unwrap();
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
fn dictionaries_are_shared_within_a_segment_only() {
    for (ty, name) in [(SqlType::Varchar(100), EncodingName::Fsst), (SqlType::Integer, EncodingName::ByteDict)] {
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
    assert_eq!(of(SqlType::BigInt, Shape::Extremes).0, EncodingId::ByteDict);
    assert_eq!(of(SqlType::Double, Shape::Any).0, EncodingId::Raw);
    assert_eq!(of(SqlType::Boolean, Shape::Any).0, EncodingId::Raw);
    assert_eq!(of(text, Shape::Few).0, EncodingId::ByteDict);
    assert_eq!(of(text, Shape::Constant).0, EncodingId::ByteDict);
    let (id, bytes) = of(text, Shape::Scaled);
    assert!(id == EncodingId::Fsst && bytes < 16.0, "{id:?} {bytes}");
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

#[test]
fn the_largest_zones_come_back() {
    let geometry = Geometry::new(Geometry::MAX_ZONE_ROWS, Geometry::MAX_ZONE_ROWS).unwrap();
    let rows = Geometry::MAX_ZONE_ROWS as usize;
    for (ty, shape) in [(SqlType::Integer, Shape::Runs), (SqlType::Varchar(100), Shape::Few)] {
        let column = column(ty, shape, rows, 1, 3);
        for name in encodings(ty) {
            check(ty, name, geometry, &column, &[Predicate::Compare(Comparison::LtEq, scalar_at(&column, 99))], 3);
        }
    }
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
        for name in [EncodingName::Auto, EncodingName::Raw, EncodingName::RunLength, EncodingName::Zstd] {
            allowed(name, ty).unwrap();
        }
        for name in EncodingName::ALL {
            let id = stored_encoding(name);
            // What is allowed can be stored.
            assert!(allowed(name, ty).is_err() || id.is_none_or(|id| supports(id, ty.stored())), "{name} {ty}");
        }
    }
    let wrong = allowed(EncodingName::Az64, text).unwrap_err();
    assert_eq!(wrong.kind(), ErrorKind::Invalid);
    assert_eq!(wrong.hint(), Some("a column of this type can have AUTO, RAW, BYTEDICT, RUNLENGTH, ZSTD, FSST"));
    assert_eq!(allowed(EncodingName::ByteDict, SqlType::Boolean).unwrap_err().kind(), ErrorKind::Invalid);
    assert_eq!(allowed(EncodingName::Mostly32, SqlType::Integer).unwrap_err().kind(), ErrorKind::Invalid);
    assert_eq!(allowed(EncodingName::Fsst, SqlType::Integer).unwrap_err().kind(), ErrorKind::Invalid);
    let later = allowed(EncodingName::Lzo, text).unwrap_err();
    assert_eq!(later.kind(), ErrorKind::Unsupported);
    assert!(later.message().contains("lzo") && later.hint().unwrap().contains("ZSTD"));
    assert_eq!(allowed(EncodingName::Text255, text).unwrap_err().kind(), ErrorKind::Unsupported);
    assert_eq!(allowed(EncodingName::Text255, SqlType::Char(3)).unwrap_err().kind(), ErrorKind::Invalid);
}

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
            header[0] %= 6;
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
    // The same size honestly written is read: padding keeps it within the ratio.
    let long = "z".repeat(60_000);
    let column = Column::new(Values::Bytes((0..1000).map(|_| long.as_bytes()).collect()), None);
    check(SqlType::Varchar(65535), EncodingName::Zstd, Geometry::DEFAULT, &column, &[], 1);
}

fn zstd_of_zeros(len: usize) -> Vec<u8> {
    ::zstd::bulk::compress(&vec![0; len], 3).unwrap()
}

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
