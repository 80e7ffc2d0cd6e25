//! The catalog as a whole. What a test needs twice is in `util`.

mod basics;
mod util;
