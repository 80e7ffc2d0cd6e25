//! What is kept of each group, and how rows are added.

use arrow::array::ArrayRef;
use arrow::datatypes::{DataType, FieldRef};
use datafusion::common::{Result, internal_err};

use super::groups::Found;
use super::numbers::{Computed, Number, Numbers};
use crate::format::mask::Mask;
use crate::physical_plan::integers::integers;

/// An aggregate, and the states that DataFusion's own gives to the phase that merges them.
#[derive(Debug, Clone, PartialEq)]
pub struct Aggregate {
    pub function: Function,
    /// What it is of; `None` of rows.
    pub argument: Option<Number>,
    /// What a sum's values are multiplied by, and how much more each is.
    pub linear: (i64, i64),
    /// The types of its states.
    pub states: Vec<DataType>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Function {
    Count,
    Sum,
    /// States: how many, and their sum.
    Average,
    Min,
    Max,
}

impl Function {
    /// By name, if its states are those that are kept here.
    pub fn of(name: &str, argument: &DataType, states: &[FieldRef]) -> Option<Self> {
        use DataType as T;
        let states: Vec<&DataType> = states.iter().map(|field| field.data_type()).collect();
        let scale = |t: &DataType| match t {
            T::Decimal128(_, scale) => Some(*scale),
            T::Int16 | T::Int32 | T::Int64 => Some(0),
            _ => None,
        };
        // Sums that may leave 38 digits are kept without a scale (`functions::aggregates::sum`).
        let sum =
            |t: &DataType| scale(argument).is_some_and(|scaled| scale(t) == Some(scaled) || *t == T::Decimal128(38, 0));
        Some(match (name, &states[..]) {
            ("count", [T::Int64]) => Function::Count,
            ("sum", [state]) if sum(state) => Function::Sum,
            ("avg", [T::Int64 | T::UInt64, state]) if sum(state) => Function::Average,
            ("min", [state]) if *state == argument => Function::Min,
            ("max", [state]) if *state == argument => Function::Max,
            _ => return None,
        })
    }
}

/// What is kept of all groups. Equal arguments share what is kept of them.
#[derive(Debug)]
pub struct States {
    aggregates: Vec<Aggregate>,
    kept: Vec<Kept>,
    /// Of each group; only where something asks.
    rows: Option<Vec<i64>>,
    groups: usize,
}

/// What is kept of one argument.
#[derive(Debug)]
struct Kept {
    argument: Number,
    /// Values that are not NULL; `None` where none is NULL, which are as many as rows.
    counts: Option<Vec<i64>>,
    sums: Option<Sums>,
    min: Option<Vec<i64>>,
    max: Option<Vec<i64>>,
}

#[derive(Debug)]
enum Sums {
    /// Those of as many values as there can be stay within 64 bits.
    Narrow(Vec<i64>),
    Wide(Vec<i128>),
}

/// Of so few groups, rows are added to several sums each in turn, so that one need not wait for another.
const FEW_GROUPS: usize = 256;
const TURNS: usize = 4;

impl States {
    /// `rows` is how many there can be.
    pub fn new(aggregates: &[Aggregate], numbers: &Numbers, rows: u64) -> Self {
        let mut kept: Vec<Kept> = Vec::new();
        let mut counts_rows = false;
        for aggregate in aggregates {
            let Some(argument) = aggregate.argument else {
                counts_rows = true;
                continue;
            };
            let nullable = numbers.nullable(argument);
            let counts = matches!(aggregate.function, Function::Count | Function::Average) || aggregate.linear.1 != 0;
            counts_rows |= !nullable && counts;
            let at = kept.iter().position(|k| k.argument == argument).unwrap_or_else(|| {
                let counts = nullable.then(Vec::new);
                kept.push(Kept { argument, counts, sums: None, min: None, max: None });
                kept.len() - 1
            });
            let kept = &mut kept[at];
            match aggregate.function {
                Function::Count => {}
                Function::Sum | Function::Average => {
                    let fits = numbers.most(argument).saturating_mul(u128::from(rows)) <= i64::MAX as u128;
                    let empty = if fits { Sums::Narrow(Vec::new()) } else { Sums::Wide(Vec::new()) };
                    kept.sums.get_or_insert(empty);
                }
                Function::Min => drop(kept.min.get_or_insert_default()),
                Function::Max => drop(kept.max.get_or_insert_default()),
            }
        }
        States { aggregates: aggregates.to_vec(), kept, rows: counts_rows.then(Vec::new), groups: 0 }
    }

    /// Bytes that it holds.
    pub fn memory_bytes(&self) -> usize {
        let narrow = |v: &Option<Vec<i64>>| v.as_ref().map_or(0, |v| v.capacity() * size_of::<i64>());
        let of_kept = |kept: &Kept| {
            let sums = match &kept.sums {
                None => 0,
                Some(Sums::Narrow(sums)) => sums.capacity() * size_of::<i64>(),
                Some(Sums::Wide(sums)) => sums.capacity() * size_of::<i128>(),
            };
            sums + narrow(&kept.counts) + narrow(&kept.min) + narrow(&kept.max)
        };
        narrow(&self.rows) + self.kept.iter().map(of_kept).sum::<usize>()
    }

    /// Adds rows, of which `found` says the groups, of `groups` by now.
    pub fn add(&mut self, computed: &Computed, found: &Found, groups: usize) {
        self.grow(groups);
        let of_rows = &found.groups[..];
        if let Some(rows) = &mut self.rows {
            count(rows, of_rows);
        }
        for kept in &mut self.kept {
            let values = &computed.values(kept.argument)[..of_rows.len()];
            let valid = computed.valid(kept.argument);
            if let Some(counts) = &mut kept.counts {
                match valid {
                    None => count(counts, of_rows),
                    Some(valid) => each(of_rows, values, valid, |group, _| counts[group] += 1),
                }
            }
            match (&mut kept.sums, valid) {
                (None, _) => {}
                (Some(Sums::Narrow(sums)), None) => sum(sums, of_rows, values),
                (Some(Sums::Narrow(sums)), Some(valid)) => {
                    each(of_rows, values, valid, |group, value| sums[group] = sums[group].wrapping_add(value));
                }
                (Some(Sums::Wide(sums)), None) => {
                    for (group, value) in of_rows.iter().zip(values) {
                        sums[*group as usize] += i128::from(*value);
                    }
                }
                (Some(Sums::Wide(sums)), Some(valid)) => {
                    each(of_rows, values, valid, |group, value| sums[group] += i128::from(value));
                }
            }
            for (ends, better) in [(&mut kept.min, i64::min as fn(i64, i64) -> i64), (&mut kept.max, i64::max)] {
                let Some(ends) = ends else { continue };
                match valid {
                    None => {
                        for (group, value) in of_rows.iter().zip(values) {
                            let end = &mut ends[*group as usize];
                            *end = better(*end, *value);
                        }
                    }
                    Some(valid) => {
                        each(of_rows, values, valid, |group, value| ends[group] = better(ends[group], value))
                    }
                }
            }
        }
    }

    /// Makes room for so many groups.
    pub fn grow(&mut self, groups: usize) {
        if groups == self.groups {
            return;
        }
        self.groups = groups;
        if let Some(rows) = &mut self.rows {
            rows.resize(groups, 0);
        }
        for kept in &mut self.kept {
            match &mut kept.sums {
                None => {}
                Some(Sums::Narrow(sums)) => sums.resize(groups, 0),
                Some(Sums::Wide(sums)) => sums.resize(groups, 0),
            }
            for (values, first) in [(&mut kept.counts, 0), (&mut kept.min, i64::MAX), (&mut kept.max, i64::MIN)] {
                if let Some(values) = values {
                    values.resize(groups, first);
                }
            }
        }
    }

    /// The states of some groups, all aggregates' in turn; `empty` says that the only group there is has no row.
    pub fn arrays(&self, groups: std::ops::Range<usize>, empty: bool) -> Result<Vec<ArrayRef>> {
        let mut arrays = Vec::new();
        for aggregate in &self.aggregates {
            let kept = aggregate.argument.and_then(|argument| self.kept.iter().find(|k| k.argument == argument));
            let counts = kept.and_then(|kept| kept.counts.as_ref());
            // Without NULLs, only where there is no row at all there is no value.
            let counted = |group: usize| match counts {
                Some(counts) => counts[group],
                None => self.rows.as_ref().map_or(i64::from(!empty), |rows| rows[group]),
            };
            let count = || groups.clone().map(|group| Some(i128::from(counted(group))));
            let value = |group: usize, value: i128| (counted(group) > 0).then_some(value);
            let sums = || {
                let sum = |group: usize| match kept.and_then(|kept| kept.sums.as_ref()) {
                    Some(Sums::Narrow(sums)) => i128::from(sums[group]),
                    Some(Sums::Wide(sums)) => sums[group],
                    None => 0,
                };
                let (by, more) = (i128::from(aggregate.linear.0), i128::from(aggregate.linear.1));
                // Each of the values is of 64 bits, and there are fewer than 2^63 of them.
                groups.clone().map(move |group| value(group, sum(group) * by + more * i128::from(counted(group))))
            };
            let ends = |ends: Option<&Vec<i64>>| match ends {
                Some(ends) => Ok(groups.clone().map(|group| value(group, ends[group].into())).collect::<Vec<_>>()),
                None => internal_err!("an end of what was not asked for"),
            };
            match (aggregate.function, &aggregate.states[..]) {
                (Function::Count, [state]) => arrays.push(integers(count(), state)?),
                (Function::Sum, [state]) => arrays.push(integers(sums(), state)?),
                (Function::Average, [counts, sum]) => {
                    // DataFusion divides by what is there.
                    let some = groups.clone().map(|group| value(group, counted(group).into()));
                    arrays.push(integers(some, counts)?);
                    arrays.push(integers(sums(), sum)?);
                }
                (Function::Min, [state]) => {
                    arrays.push(integers(ends(kept.and_then(|k| k.min.as_ref()))?.into_iter(), state)?);
                }
                (Function::Max, [state]) => {
                    arrays.push(integers(ends(kept.and_then(|k| k.max.as_ref()))?.into_iter(), state)?);
                }
                (function, states) => return internal_err!("{function:?} has {} states", states.len()),
            }
        }
        Ok(arrays)
    }
}

fn each(of_rows: &[u32], values: &[i64], valid: &Mask, mut add: impl FnMut(usize, i64)) {
    valid.ones().for_each(|row| add(of_rows[row] as usize, values[row]));
}

/// Adds one for each row.
fn count(counts: &mut [i64], of_rows: &[u32]) {
    if counts.len() > FEW_GROUPS {
        of_rows.iter().for_each(|group| counts[*group as usize] += 1);
        return;
    }
    in_turns(counts, |turns| {
        let (fours, rest) = of_rows.as_chunks::<TURNS>();
        for four in fours {
            for (turn, group) in four.iter().enumerate() {
                turns[turn][*group as usize] += 1;
            }
        }
        rest.iter().for_each(|group| turns[0][*group as usize] += 1);
    });
}

/// Adds the values to their groups' sums, which stay within 64 bits.
fn sum(sums: &mut [i64], of_rows: &[u32], values: &[i64]) {
    if sums.len() > FEW_GROUPS {
        for (group, value) in of_rows.iter().zip(values) {
            sums[*group as usize] = sums[*group as usize].wrapping_add(*value);
        }
        return;
    }
    in_turns(sums, |turns| {
        let ((groups, last_groups), (fours, last)) = (of_rows.as_chunks::<TURNS>(), values.as_chunks::<TURNS>());
        for (groups, four) in groups.iter().zip(fours) {
            for turn in 0..TURNS {
                let sum = &mut turns[turn][groups[turn] as usize];
                *sum = sum.wrapping_add(four[turn]);
            }
        }
        for (group, value) in last_groups.iter().zip(last) {
            turns[0][*group as usize] = turns[0][*group as usize].wrapping_add(*value);
        }
    });
}

/// Lets `add` work on several sums of each group, and adds them to `sums` in the end.
fn in_turns(sums: &mut [i64], add: impl FnOnce(&mut [[i64; FEW_GROUPS]; TURNS])) {
    let mut turns = [[0i64; FEW_GROUPS]; TURNS];
    add(&mut turns);
    for (group, sum) in sums.iter_mut().enumerate() {
        *sum = turns.iter().fold(*sum, |sum, turn| sum.wrapping_add(turn[group]));
    }
}
