//! Text: Redshift's string functions and regular expressions.

use super::Functions;

mod basic;
mod hash;
mod pattern;
mod quote;
mod regexp;
mod similar;

pub(super) fn additions(all: &mut Functions) {
    all.scalar.extend(basic::additions());
    all.scalar.extend(quote::additions());
    all.scalar.extend(hash::additions());
    all.scalar.extend(regexp::additions());
    all.scalar.extend(similar::additions());
}

pub(super) fn replacements(all: &mut Functions) {
    all.scalar.extend(basic::replacements());
    all.scalar.extend(regexp::replacements());
}
