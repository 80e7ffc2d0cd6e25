//! Text, numbers, JSON, conditions and aggregates.

use super::Functions;

pub(super) fn additions(_: &mut Functions) {}

pub(super) fn replacements(_: &mut Functions) {}
