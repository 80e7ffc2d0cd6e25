//! Dates and times.

use super::Functions;

pub(super) fn additions(_: &mut Functions) {}

pub(super) fn replacements(_: &mut Functions) {}
