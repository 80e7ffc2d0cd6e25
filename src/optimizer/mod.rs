//! Planner rules, one a file.

pub mod float_literals;
