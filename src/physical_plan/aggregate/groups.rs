//! Which group each row belongs to.

use std::sync::Arc;

use arrow::array::{Array, ArrayRef, StringViewArray, StringViewBuilder};
use arrow::datatypes::DataType;
use datafusion::common::{HashMap, Result, internal_err};

use super::numbers::{Computed, Number};
use crate::format::Geometry;
use crate::format::mask::Mask;
use crate::physical_plan::integers::integers;

/// The groups that have been seen, by number from 0 on.
///
/// A group's key is one number of 64 bits: of each column its bits hold 0 for NULL, else one more than the value's distance
/// from the least, or than the number of its text.
///
/// Invariant: the columns' parts of the key, each of its `bits` from its `shift` on, do not overlap, and lie within
/// [`MOST_BITS`].
#[derive(Debug)]
pub struct Groups {
    columns: Vec<KeyColumn>,
    table: Table,
    /// Of each group.
    keys: Vec<u64>,
    /// Of all columns together.
    bits: u32,
}

/// What a column of the key is.
#[derive(Debug, Clone, PartialEq)]
pub enum KeyKind {
    /// All values lie from `low` to `high`.
    Integer { number: Number, low: i64, high: i64 },
    /// Text of that column, as the source calls it.
    Text { column: usize },
}

#[derive(Debug)]
struct KeyColumn {
    kind: KeyKind,
    shift: u32,
    bits: u32,
    texts: Texts,
}

/// Texts numbered as they come.
#[derive(Debug, Default)]
pub struct Texts {
    numbers: HashMap<Arc<[u8]>, u32>,
    texts: Vec<Arc<[u8]>>,
    bytes: usize,
    /// Views that hold all of a text, and its number, by their hashes; 0 where there is none.
    recent: Vec<(u128, u32)>,
}

/// Of so few short texts nothing is looked for among all.
const RECENT: usize = 256;
/// Bytes of a text that stand in its view.
const INLINE: u32 = 12;

/// Bits of all columns together: one is left, so that no distance overflows.
pub const MOST_BITS: u32 = 63;
/// Bits that a column of text has at first, and how many more each time that they do not suffice.
const TEXT_BITS: u32 = 6;
const MORE_TEXT_BITS: u32 = 4;
/// Rows that are added at a time, at most; a dictionary has no more texts, either.
pub const MOST_ROWS: usize = Geometry::MAX_ZONE_ROWS as usize;
/// Bits of a column of text, at most.
const MOST_TEXT_BITS: u32 = 22;
/// Bits of which a table has a place for each key, however few rows there are.
const FEW_BITS: u32 = 16;
/// Bits of which no table has a place for each key: it would fit no cache.
const TOO_MANY_BITS: u32 = 23;
/// A table has a place for each key once one of 2^5 is a group's.
const SPARSE_BITS: u32 = 5;
/// Rows whose places are looked at together.
const AT_ONCE: usize = 256;
/// Places of a hash table at first.
const FIRST_PLACES: usize = 1 << 10;

/// Which group has a key: one more than its number at the key's place, 0 where there is none.
#[derive(Debug)]
enum Table {
    Direct(Vec<u32>),
    /// From the key's hash on, the first place whose group has the key. No more than half of the places are taken. Places hold
    /// no keys: rows that come together mostly have groups that came together.
    Hashed(Vec<u32>),
}

impl KeyKind {
    /// Bits of its values, at most; `None` where they are too many.
    pub fn bits(&self) -> Option<u32> {
        match self {
            KeyKind::Text { .. } => Some(MOST_TEXT_BITS),
            KeyKind::Integer { low, high, .. } => {
                // The distance, one more for NULL.
                let most = u128::from(high.abs_diff(*low)) + 1;
                let bits = u128::BITS - most.leading_zeros();
                (bits <= MOST_BITS).then_some(bits)
            }
        }
    }
}

impl Texts {
    /// One more than the number of a text.
    pub fn number(&mut self, text: &[u8]) -> u32 {
        if let Some(known) = self.numbers.get(text) {
            return *known;
        }
        let text: Arc<[u8]> = text.into();
        self.bytes += text.len() + 48;
        self.texts.push(Arc::clone(&text));
        let number = self.texts.len() as u32;
        self.numbers.insert(text, number);
        number
    }

    /// Appends the numbers of some texts, 0 for NULL.
    pub fn number_all(&mut self, texts: &StringViewArray, out: &mut Vec<u32>) {
        let mut recent = std::mem::take(&mut self.recent);
        recent.resize(RECENT, (0, 0));
        let mut last = (0, 0);
        out.extend(texts.views().iter().enumerate().map(|(row, view)| {
            if *view == last.0 && last.1 > 0 {
                return if texts.is_null(row) { 0 } else { last.1 };
            }
            if texts.is_null(row) {
                return 0;
            }
            if *view as u32 > INLINE {
                return self.number(texts.value(row).as_bytes());
            }
            let place = &mut recent[first_place(*view as u64 ^ (*view >> 64) as u64, RECENT)];
            if place.0 != *view || place.1 == 0 {
                *place = (*view, self.number(texts.value(row).as_bytes()));
            }
            last = *place;
            place.1
        }));
        self.recent = recent;
    }
}

impl Groups {
    pub fn new(kinds: &[KeyKind]) -> Result<Self> {
        let mut columns = Vec::with_capacity(kinds.len());
        for kind in kinds {
            let Some(most) = kind.bits() else { return internal_err!("a key's range is too wide to group by") };
            let bits = if let KeyKind::Text { .. } = kind { TEXT_BITS } else { most };
            columns.push(KeyColumn { kind: kind.clone(), shift: 0, bits, texts: Texts::default() });
        }
        let mut groups = Groups { columns, table: Table::Direct(Vec::new()), keys: Vec::new(), bits: 0 };
        groups.lay_out()?;
        Ok(groups)
    }

    pub fn len(&self) -> usize {
        self.keys.len()
    }

    /// Whether the next rows may have more texts, or groups, than there are numbers for.
    pub fn are_full(&self) -> bool {
        // Texts of a dictionary are numbered whether rows have them or not.
        let lacks = |column: &KeyColumn| column.texts.texts.len() + 2 * MOST_ROWS > 1 << MOST_TEXT_BITS;
        self.keys.len() + MOST_ROWS > i32::MAX as usize || self.columns.iter().any(lacks)
    }

    /// Bytes that it holds.
    pub fn memory_bytes(&self) -> usize {
        let table = match &self.table {
            Table::Direct(table) | Table::Hashed(table) => table.len() * size_of::<u32>(),
        };
        table + self.keys.capacity() * size_of::<u64>() + self.columns.iter().map(|c| c.texts.bytes).sum::<usize>()
    }

    /// The texts of the `at`-th column of the key.
    pub fn texts(&mut self, at: usize) -> &mut Texts {
        &mut self.columns[at].texts
    }

    /// The only group of an aggregation without a key.
    pub fn only(&mut self) {
        if self.keys.is_empty() {
            self.keys.push(0);
        }
    }

    /// Finds the groups of `rows` rows; `texts` has of each column of text what [`Texts::number`] said of its values, 0 for
    /// NULL.
    pub fn find(&mut self, rows: usize, computed: &Computed, texts: &[Vec<u32>], out: &mut Found) -> Result<()> {
        self.widen()?;
        let keys = &mut out.keys;
        keys.clear();
        keys.resize(rows, 0u64);
        for (at, column) in self.columns.iter().enumerate() {
            let shift = column.shift;
            match &column.kind {
                KeyKind::Text { .. } => {
                    keys.iter_mut().zip(&texts[at]).for_each(|(key, number)| *key |= u64::from(*number) << shift);
                }
                KeyKind::Integer { number, low, high } => {
                    let values = &computed.values(*number)[..rows];
                    let (low, span) = (*low, high.wrapping_sub(*low) as u64);
                    let mut beyond = false;
                    match computed.valid(*number) {
                        None => {
                            for (key, value) in keys.iter_mut().zip(values) {
                                let distance = value.wrapping_sub(low) as u64;
                                beyond |= distance > span;
                                *key |= distance.wrapping_add(1) << shift;
                            }
                        }
                        Some(valid) => {
                            for row in valid.ones() {
                                let distance = values[row].wrapping_sub(low) as u64;
                                beyond |= distance > span;
                                keys[row] |= distance.wrapping_add(1) << shift;
                            }
                        }
                    }
                    if beyond {
                        return internal_err!("a value is not within the bounds of its column");
                    }
                }
            }
        }
        self.make_room(rows);
        let keys = &out.keys;
        out.groups.clear();
        out.groups.reserve(rows);
        // What many rows need is loaded before the first of them asks: a look at what is not there yet waits for memory, and
        // a wrong guess of it lets all that comes after wait, too.
        let mut ahead = [0u32; AT_ONCE];
        let mut held = [0u64; AT_ONCE];
        for keys in keys.chunks(AT_ONCE) {
            match &mut self.table {
                Table::Direct(table) => {
                    // Each column's part lies within its bits.
                    ahead.iter_mut().zip(keys).for_each(|(ahead, key)| *ahead = table[*key as usize]);
                    for (key, ahead) in keys.iter().zip(ahead) {
                        let place = &mut table[*key as usize];
                        if ahead == 0 && *place == 0 {
                            self.keys.push(*key);
                            *place = self.keys.len() as u32;
                        }
                        out.groups.push(*place - 1);
                    }
                }
                Table::Hashed(table) => {
                    let places = table.len();
                    ahead.iter_mut().zip(keys).for_each(|(ahead, key)| *ahead = table[first_place(*key, places)]);
                    let first = self.keys.first().copied().unwrap_or_default();
                    for (held, ahead) in held.iter_mut().zip(&ahead[..keys.len()]) {
                        *held = self.keys.get(ahead.saturating_sub(1) as usize).copied().unwrap_or(first);
                    }
                    for (i, key) in keys.iter().enumerate() {
                        if ahead[i] > 0 && held[i] == *key {
                            out.groups.push(ahead[i] - 1);
                            continue;
                        }
                        let place = place_of(*key, &self.keys, table);
                        if table[place] == 0 {
                            self.keys.push(*key);
                            table[place] = self.keys.len() as u32;
                        }
                        out.groups.push(table[place] - 1);
                    }
                }
            }
        }
        Ok(())
    }

    /// The `at`-th column of the key of some groups.
    pub fn column(&self, at: usize, groups: std::ops::Range<usize>, data_type: &DataType) -> Result<ArrayRef> {
        let column = &self.columns[at];
        let part = |key: &u64| key >> column.shift & ((1 << column.bits) - 1);
        let parts = self.keys[groups].iter().map(part);
        match &column.kind {
            KeyKind::Integer { low, .. } => {
                integers(parts.map(|part| (part > 0).then(|| i128::from(*low) + i128::from(part - 1))), data_type)
            }
            KeyKind::Text { .. } => {
                let mut out = StringViewBuilder::new();
                for part in parts {
                    match part.checked_sub(1).map(|at| std::str::from_utf8(&column.texts.texts[at as usize])) {
                        None => out.append_null(),
                        Some(Ok(text)) => out.append_value(text),
                        Some(Err(_)) => return internal_err!("text that is not UTF-8"),
                    }
                }
                Ok(Arc::new(out.finish()))
            }
        }
    }

    /// Gives columns of text the bits that their texts need by now.
    fn widen(&mut self) -> Result<()> {
        // An integer's bits suffice from the beginning; of text there is one number more, for NULL.
        let lacks = |column: &KeyColumn| column.texts.texts.len() >= 1 << column.bits;
        if !self.columns.iter().any(lacks) {
            return Ok(());
        }
        let before: Vec<(u32, u32)> = self.columns.iter().map(|c| (c.shift, c.bits)).collect();
        for column in &mut self.columns {
            while lacks(column) {
                column.bits += MORE_TEXT_BITS;
            }
        }
        let keys = std::mem::take(&mut self.keys);
        self.lay_out()?;
        for key in keys {
            let mut moved = 0;
            for ((shift, bits), column) in before.iter().zip(&self.columns) {
                moved |= (key >> shift & ((1 << bits) - 1)) << column.shift;
            }
            self.keys.push(moved);
        }
        match &mut self.table {
            Table::Direct(table) => fill(table, &self.keys),
            Table::Hashed(table) => *table = hash_table(&self.keys, self.keys.len() * 2),
        }
        Ok(())
    }

    /// Lets a hash table have room for so many groups more; once it is nearly as large, there is a place for each key.
    fn make_room(&mut self, rows: usize) {
        let Table::Hashed(table) = &self.table else { return };
        let places = (self.keys.len() + rows) * 2;
        if places <= table.len() {
            return;
        }
        let direct = self.bits <= TOO_MANY_BITS && self.keys.len() >> (self.bits - SPARSE_BITS) > 0;
        self.table = match direct {
            true => {
                let mut table = vec![0; 1 << self.bits];
                fill(&mut table, &self.keys);
                Table::Direct(table)
            }
            false => Table::Hashed(hash_table(&self.keys, places)),
        };
    }

    /// Gives each column its place, and makes an empty table.
    fn lay_out(&mut self) -> Result<()> {
        let mut bits = 0;
        for column in &mut self.columns {
            column.shift = bits;
            bits += column.bits;
        }
        if bits > MOST_BITS {
            return internal_err!("a group's key has {bits} bits");
        }
        self.bits = bits;
        self.table = match bits <= FEW_BITS {
            true => Table::Direct(vec![0; 1 << bits]),
            false => Table::Hashed(vec![0; FIRST_PLACES]),
        };
        Ok(())
    }
}

/// The groups of some rows.
#[derive(Debug, Default)]
pub struct Found {
    keys: Vec<u64>,
    /// Of each row.
    pub groups: Vec<u32>,
}

/// Puts the groups of keys at their places.
fn fill(table: &mut [u32], keys: &[u64]) {
    keys.iter().zip(1..).for_each(|(key, group)| table[*key as usize] = group);
}

/// A hash table of keys, which differ, of at least so many places.
fn hash_table(keys: &[u64], places: usize) -> Vec<u32> {
    let mut table = vec![0; places.next_power_of_two().max(FIRST_PLACES)];
    for (key, group) in keys.iter().zip(1u32..) {
        let place = place_of(*key, keys, &table);
        table[place] = group;
    }
    table
}

/// Where a key is, or would be.
#[inline]
fn place_of(key: u64, keys: &[u64], table: &[u32]) -> usize {
    // The length is a power of two.
    let last = table.len() - 1;
    let mut place = first_place(key, table.len());
    while let Some(group) = table[place].checked_sub(1) {
        if keys[group as usize] == key {
            break;
        }
        place = (place + 1) & last;
    }
    place
}

/// Which of so many places, a power of two and more than one, a key is looked for at first: of the product with 2^64 over the
/// golden ratio the uppermost bits depend on all (Knuth, "Sorting and Searching", 6.4).
#[inline]
fn first_place(key: u64, places: usize) -> usize {
    (key.wrapping_mul(0x9e37_79b9_7f4a_7c15) >> (64 - places.trailing_zeros())) as usize
}

/// Sets 0 where a row is NULL.
pub fn clear_nulls(numbers: &mut [u32], valid: &Mask) {
    for (row, number) in numbers.iter_mut().enumerate() {
        if !valid.get(row) {
            *number = 0;
        }
    }
}
