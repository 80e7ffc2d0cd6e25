//! Groups have the rows whose keys are equal, whatever form the table of groups has by then.

use std::collections::HashMap;

use arrow::array::AsArray;
use arrow::datatypes::Int64Type;

use super::groups::{Found, Groups, KeyKind};
use super::numbers::{Computed, Numbers};
use crate::format::mask::Mask;
use crate::testing::rng::Rng;

/// Keys of one column of integers within `low..=high` and one of texts, some NULL: found group by group in several zones.
fn check(rng: &mut Rng, (low, high): (i64, i64), texts: usize, rows: usize, zones: usize) {
    let mut numbers = Numbers::default();
    let number = numbers.of_column(0, (low.into(), high.into()), true);
    let kinds = [KeyKind::Integer { number, low, high }, KeyKind::Text { column: 1 }];
    let mut groups = Groups::new(&kinds).unwrap();
    let mut expected: HashMap<(Option<i64>, Option<String>), u32> = HashMap::new();
    let (mut computed, mut found) = (Computed::default(), Found::default());
    for _ in 0..zones {
        let span = high.wrapping_sub(low) as u64;
        let value = |rng: &mut Rng| match span {
            u64::MAX => rng.next_u64() as i64,
            _ => low.wrapping_add((rng.next_u64() % (span + 1)) as i64),
        };
        let keys: Vec<(Option<i64>, Option<String>)> = (0..rows)
            .map(|_| {
                let text = format!("{:x}", rng.below(texts));
                ((!rng.one_in(9)).then(|| value(rng)), (!rng.one_in(7)).then_some(text))
            })
            .collect();
        let slot = computed.slot(&numbers, number);
        slot.values = keys.iter().map(|(v, _)| v.unwrap_or(rng.next_u64() as i64)).collect();
        slot.valid = Some(Mask::from_fn(rows, |row| keys[row].0.is_some()));
        let of_rows = keys.iter().map(|(_, t)| t.as_ref().map_or(0, |t| groups.texts(1).number(t.as_bytes())));
        let of_texts = vec![Vec::new(), of_rows.collect()];
        groups.find(rows, &computed, &of_texts, &mut found).unwrap();
        for (key, group) in keys.into_iter().zip(&found.groups) {
            let next = expected.len() as u32;
            assert_eq!(*expected.entry(key.clone()).or_insert(next), *group, "{key:?}");
        }
        assert_eq!(groups.len(), expected.len());
    }
    let all = 0..groups.len();
    let integers = groups.column(0, all.clone(), &arrow::datatypes::DataType::Int64).unwrap();
    let strings = groups.column(1, all, &arrow::datatypes::DataType::Utf8View).unwrap();
    let (integers, strings) = (integers.as_primitive::<Int64Type>(), strings.as_string_view());
    for ((integer, text), group) in expected {
        assert_eq!(integers.iter().nth(group as usize).unwrap(), integer);
        assert_eq!(strings.iter().nth(group as usize).unwrap(), text.as_deref());
    }
}

#[test]
fn groups_have_the_rows_of_equal_keys() {
    let mut rng = Rng::new(4);
    for (range, texts, rows, zones) in [
        ((0, 3), 2, 200, 3),
        // Texts that take more bits with each zone.
        ((-5, 5), 600, 300, 6),
        // Hashed, then with a place for each key.
        ((0, 2000), 40, 3000, 12),
        ((-1 << 39, 1 << 39), 5, 500, 4),
        ((i64::MAX - 3, i64::MAX), 3, 100, 2),
        ((i64::MIN, i64::MIN + 3), 3, 100, 2),
    ] {
        check(&mut rng, range, texts, rows, zones);
    }
}

/// A value that no bounds allow is an error: it would be taken for another key.
#[test]
fn values_beyond_the_bounds_are_no_keys() {
    for beyond in [-1, 8, i64::MAX, i64::MIN] {
        let mut numbers = Numbers::default();
        let number = numbers.of_column(0, (0, 7), false);
        let mut groups = Groups::new(&[KeyKind::Integer { number, low: 0, high: 7 }]).unwrap();
        let mut computed = Computed::default();
        computed.slot(&numbers, number).values = vec![0, 7, beyond];
        let mut found = Found::default();
        groups.find(2, &computed, &[Vec::new()], &mut found).unwrap();
        assert_eq!(found.groups, [0, 1]);
        assert!(groups.find(3, &computed, &[Vec::new()], &mut found).is_err(), "{beyond}");
    }
}
