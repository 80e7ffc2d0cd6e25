//! One zone's surviving rows, added to their groups.

use std::sync::Arc;

use arrow::array::{Array, StringViewArray};
use datafusion::common::{Result, internal_err};

use super::zone::{Pages, selection};
use super::{Current, ScanStream, TextNumbers, external};
use crate::common::Scalar;
use crate::format::column::ColumnBuilder;
use crate::format::encoding::Dictionary;
use crate::format::mask::Mask;
use crate::physical_plan::aggregate::{Aggregation, Slot, Texts, clear_nulls};

impl ScanStream {
    /// Adds the `count` rows of `mask`, whose pages are open.
    pub(super) fn aggregate_zone(
        &mut self,
        aggregation: &mut Aggregation,
        current: &Current,
        pages: &mut Pages<'_>,
        mask: &Mask,
        count: usize,
    ) -> Result<()> {
        {
            let _timer = self.metrics.decode_time.timer();
            for (number, column) in aggregation.integer_columns() {
                self.integers(current, pages, column, mask, count, aggregation.slot(number))?;
            }
        }
        for (key, column) in aggregation.text_columns() {
            self.number_texts(aggregation, current, pages, (key, column), mask, count)?;
        }
        self.metrics.baseline.record_output(count);
        let given = aggregation.add(count, self.batch_rows)?;
        if !given.is_empty() {
            // Texts are numbered anew.
            self.text_numbers = TextNumbers::default();
        }
        self.ready.extend(given);
        Ok(())
    }

    fn integers(
        &self,
        current: &Current,
        pages: &mut Pages<'_>,
        column: usize,
        mask: &Mask,
        count: usize,
        slot: &mut Slot,
    ) -> Result<()> {
        slot.values.clear();
        let Some(open) = pages.get(column) else {
            let absent = self.table.def.columns[column].absent.as_ref();
            let value = match absent {
                Some(Scalar::Int(value)) => *value as i64,
                Some(_) => return internal_err!("an absent column's value is no integer"),
                None => 0,
            };
            slot.values.resize(count, value);
            slot.valid = absent.is_none().then(|| Mask::none(count));
            return Ok(());
        };
        self.metrics.add_decoded(column, count);
        let decoded = open.page.decode_integers(selection(mask, count), &mut slot.values);
        decoded.map_err(|e| current.locate(e, open.at))?;
        slot.valid = open.page.validity().map(|valid| selected(valid, mask, count));
        Ok(())
    }

    fn number_texts(
        &mut self,
        aggregation: &mut Aggregation,
        current: &Current,
        pages: &mut Pages<'_>,
        (key, column): (usize, usize),
        mask: &Mask,
        count: usize,
    ) -> Result<()> {
        let (texts, out) = aggregation.text_key(key);
        out.clear();
        if let Some(open) = pages.get(column)
            && let Some(dictionary) = open.dictionary
            && let Some(table) = self.text_numbers.of(key, dictionary, texts, count)
        {
            let _timer = self.metrics.decode_time.timer();
            let found = open.page.look_up(table, selection(mask, count), out);
            if found.map_err(|e| current.locate(e, open.at))? {
                if let Some(valid) = open.page.validity() {
                    clear_nulls(out, &selected(valid, mask, count));
                }
                self.metrics.add_decoded(column, count);
                return Ok(());
            }
        }
        let mut builder = ColumnBuilder::new(self.table.def.columns[column].sql_type, count);
        self.decode_into(current, pages, column, mask, count, &mut builder)?;
        let array = builder.finish().map_err(external)?;
        match array.as_any().downcast_ref::<StringViewArray>() {
            Some(array) => aggregation.number_texts(key, array),
            None => return internal_err!("a key of text is {}", array.data_type()),
        }
        Ok(())
    }
}

impl TextNumbers {
    /// The numbers of a dictionary's texts, by their codes; `None` of one that has no whole texts, and where numbering all of
    /// them costs more than looking at those of the `count` rows.
    fn of(&mut self, key: usize, dictionary: &Arc<Dictionary>, texts: &mut Texts, count: usize) -> Option<&[u32]> {
        let known = self.tables.iter().position(|(of, known, _)| *of == key && Arc::ptr_eq(known, dictionary));
        let at = match known {
            Some(at) => at,
            None => {
                let all = dictionary.texts()?;
                if all.len() > count {
                    return None;
                }
                let table = all.map(|text| texts.number(text)).collect();
                self.tables.retain(|(of, ..)| *of != key);
                self.tables.push((key, Arc::clone(dictionary), table));
                self.tables.len() - 1
            }
        };
        Some(&self.tables[at].2)
    }
}

/// Which of the rows of `mask` are valid.
fn selected(valid: &Mask, mask: &Mask, count: usize) -> Mask {
    if count == mask.len() {
        return valid.clone();
    }
    let mut selected = Mask::none(count);
    for (at, row) in mask.ones().enumerate() {
        if valid.get(row) {
            selected.set(at);
        }
    }
    selected
}
