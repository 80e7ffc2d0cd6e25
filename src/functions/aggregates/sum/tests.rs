use super::*;

fn groups(kind: Kind, batches: &[(&[Option<i64>], &[usize])]) -> Result<Vec<Option<i64>>> {
    let mut totals = Totals::new(kind);
    for (values, groups) in batches {
        let values: ArrayRef = Arc::new(values.iter().copied().collect::<Int64Array>());
        let most = groups.iter().max().map_or(0, |most| most + 1).max(totals.groups());
        totals.update_batch(&[values], groups, None, most)?;
    }
    Ok(totals.evaluate(EmitTo::All)?.as_primitive::<Int64Type>().iter().collect())
}

#[test]
fn sums_on_the_way_may_be_wide() {
    let batches: [(&[Option<i64>], &[usize]); 3] = [
        (&[Some(i64::MAX), Some(1), Some(i64::MIN)], &[0, 1, 2]),
        (&[Some(5), Some(7), Some(-1), None, Some(2)], &[0, 1, 2, 3, 4]),
        (&[Some(-5), Some(1), None], &[0, 2, 3]),
    ];
    let expected = [Some(i64::MAX), Some(8), Some(i64::MIN), None, Some(2)];
    assert_eq!(groups(Kind::BigInt, &batches).unwrap(), expected);
    assert!(groups(Kind::BigInt, &batches[..2]).is_err());
    // What is wide in one stage is so in the next.
    let mut first = Totals::new(Kind::BigInt);
    let values: ArrayRef = Arc::new(Int64Array::from(vec![i64::MAX, i64::MAX, 3]));
    first.update_batch(&[values], &[0, 0, 1], None, 2).unwrap();
    let state = first.state(EmitTo::All).unwrap();
    let mut second = Totals::new(Kind::BigInt);
    second.merge_batch(&state, &[1, 0], 2).unwrap();
    let values: ArrayRef = Arc::new(Int64Array::from(vec![-i64::MAX]));
    let state = second.convert_to_state(&[values], None).unwrap();
    second.merge_batch(&state, &[1], 2).unwrap();
    let sums = second.evaluate(EmitTo::All).unwrap();
    assert_eq!(sums.as_primitive::<Int64Type>().values(), &[3, i64::MAX]);
}

#[test]
fn groups_leave_one_after_the_other() {
    let mut totals = Totals::new(Kind::BigInt);
    let values: ArrayRef = Arc::new(Int64Array::from(vec![Some(1), None, Some(3)]));
    totals.update_batch(&[values], &[0, 1, 2], None, 3).unwrap();
    let first = totals.evaluate(EmitTo::First(2)).unwrap();
    assert_eq!(first.as_primitive::<Int64Type>().iter().collect::<Vec<_>>(), [Some(1), None]);
    let values: ArrayRef = Arc::new(Int64Array::from(vec![4]));
    totals.update_batch(&[values], &[0], None, 2).unwrap();
    let rest = totals.evaluate(EmitTo::All).unwrap();
    assert_eq!(rest.as_primitive::<Int64Type>().iter().collect::<Vec<_>>(), [Some(7), None]);
}

#[test]
fn small_values_are_added_at_once_and_large_ones_each() {
    let edge = 1i64 << 48;
    for values in [
        vec![1, -2, 3],
        vec![],
        vec![edge - 1, -edge],
        vec![edge, edge],
        vec![-edge - 1, 5],
        vec![i64::MAX, i64::MAX, i64::MIN],
        vec![i64::MIN; 5],
        vec![edge - 1; 1 << 14],
        vec![-edge; (1 << 14) + 1],
    ] {
        let sum = values.iter().map(|v| i128::from(*v)).sum::<i128>();
        let count = values.len() as i64;
        assert_eq!(total_of_integers(&Int64Array::from(values)).unwrap(), (sum, count));
    }
    let with_null = Int64Array::from(vec![Some(i64::MAX), None, Some(1)]);
    assert_eq!(total_of_integers(&with_null).unwrap(), (i128::from(i64::MAX) + 1, 2));
}
