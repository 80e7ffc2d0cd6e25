//! Sketches, samples, stored forms and estimates.
