//! Planner rules, one a file.

pub mod literals;
