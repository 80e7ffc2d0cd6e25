//! The catalog as a whole. What a test needs twice is in `util`.

mod background;
mod backup;
mod basics;
mod crash;
mod declared;
mod faults;
mod group;
mod interleave;
mod local;
mod overlay;
mod past;
mod ranks;
#[cfg(feature = "s3")]
mod s3;
mod statistics;
mod stored_bytes;
mod util;
mod views;
