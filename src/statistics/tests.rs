//! Sketches, samples, stored forms and estimates.

mod estimates;
mod sketches;
mod stored;
