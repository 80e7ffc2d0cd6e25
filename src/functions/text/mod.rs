//! Text and VARBYTE: Redshift's string functions, regular expressions and hashes.

use super::Functions;

mod basic;
mod farm;
mod hash;
mod limited;
mod pattern;
mod quote;
mod regexp;
mod similar;
mod varbyte;

pub(super) fn additions(all: &mut Functions) {
    all.scalar.extend(basic::additions());
    all.scalar.extend(varbyte::additions());
    all.scalar.extend(quote::additions());
    all.scalar.extend(hash::additions());
    all.scalar.extend(regexp::additions());
    all.scalar.extend(similar::additions());
}

pub(super) fn replacements(all: &mut Functions) {
    all.scalar.extend(basic::replacements());
    all.scalar.extend(limited::replacements());
    all.scalar.extend(varbyte::replacements());
    all.scalar.extend(regexp::replacements());
}
