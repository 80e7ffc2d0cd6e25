//! All encodings against Arrow's kernels.

mod alp;
mod check;
mod choice;
mod damage;
mod dictionaries;
mod filters;
mod golden;
mod lengths;
mod oracle;
mod values;
