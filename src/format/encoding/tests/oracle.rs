//! What encodings must give, by Arrow's kernels.

use std::sync::Arc;

use arrow::array::*;
use arrow::buffer::BooleanBuffer;
use arrow::compute::kernels::cmp;
use arrow::compute::{ilike, is_not_null, is_null, like, nilike, nlike};

use super::values::Random;
use crate::common::{Comparison, Members, Predicate, Scalar, SqlType, Stored};
use crate::format::column::{Column, Values};

/// What decoding must give: made by Arrow's own means, not by ours.
pub fn expected(ty: SqlType, column: &Column) -> ArrayRef {
    let nulls = column.validity.clone();
    let array: ArrayRef = match &column.values {
        Values::Bool(v) => Arc::new(BooleanArray::new(v.clone(), nulls)),
        Values::I16(v) => Arc::new(Int16Array::new(v.clone(), nulls)),
        Values::I32(v) => match ty {
            SqlType::Date => Arc::new(Date32Array::new(v.clone(), nulls)),
            _ => Arc::new(Int32Array::new(v.clone(), nulls)),
        },
        Values::I64(v) => match ty {
            SqlType::Decimal { precision, scale } => {
                let wide: Vec<i128> = v.iter().map(|v| i128::from(*v)).collect();
                let array = Decimal128Array::new(wide.into(), nulls);
                Arc::new(array.with_precision_and_scale(precision, scale as i8).unwrap())
            }
            SqlType::Time => Arc::new(Time64MicrosecondArray::new(v.clone(), nulls)),
            SqlType::Timestamp => Arc::new(TimestampMicrosecondArray::new(v.clone(), nulls)),
            SqlType::TimestampTz => Arc::new(TimestampMicrosecondArray::new(v.clone(), nulls).with_timezone("UTC")),
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
        Values::Bytes(v) if ty.stored() == Stored::Binary => {
            let values = (0..v.len()).map(|i| column.is_valid(i).then(|| v.value(i)));
            Arc::new(values.collect::<BinaryViewArray>())
        }
        Values::Bytes(v) => {
            let strings = (0..v.len()).map(|i| column.is_valid(i).then(|| std::str::from_utf8(v.value(i)).unwrap()));
            Arc::new(strings.collect::<StringViewArray>())
        }
    };
    array
}

/// Equal in every valid row, floats by their bits.
pub fn assert_same(got: &dyn Array, want: &dyn Array, what: &str) {
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

/// A literal as an array of one row.
pub fn literal(ty: SqlType, scalar: &Scalar) -> ArrayRef {
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
pub fn evaluate(ty: SqlType, predicate: &Predicate, array: &ArrayRef) -> BooleanBuffer {
    let one = |scalar: &Scalar| arrow::array::Scalar::new(literal(ty, scalar));
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
        Predicate::In { values, negated, .. } => {
            let none = BooleanBuffer::new_unset(array.len());
            negate(values.iter().fold(none, |all, v| &all | &truth(compare(Comparison::Eq, v))), *negated)
        }
        Predicate::Among(_) => {
            let column = Column::from_array(array, ty).unwrap();
            let held = |row| column.scalar(row).is_some_and(|value| predicate.holds(&value) == Some(true));
            BooleanBuffer::collect_bool(array.len(), held)
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
pub fn scalar_at(column: &Column, i: usize) -> Scalar {
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
pub fn predicates(ty: SqlType, column: &Column, random: &mut Random) -> Vec<Predicate> {
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
    if let Stored::I16 | Stored::I32 | Stored::I64 | Stored::I128 = ty.stored() {
        let integer = |scalar: Scalar| match scalar {
            Scalar::Int(v) => i64::try_from(v).ok(),
            _ => None,
        };
        let some: Vec<i64> = (0..20).filter_map(|_| integer(near(random))).collect();
        list.extend(Members::at_least(some.len(), || some.iter().copied()).map(|m| Predicate::Among(Arc::new(m))));
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

#[test]
#[should_panic(expected = "the other zero")]
fn the_assertion_on_arrays_can_fail() {
    let one = expected(SqlType::Double, &Column::new(Values::F64(vec![0.0, f64::NAN].into()), None));
    let other = expected(SqlType::Double, &Column::new(Values::F64(vec![-0.0, f64::NAN].into()), None));
    assert_same(&one, &one, "itself");
    assert_same(&one, &other, "the other zero");
}
