//! The project's documents, as rustdoc shows them.

#[doc = include_str!("../../ARCHITECTURE.md")]
pub mod architecture {}

#[doc = include_str!("FORMAT.md")]
pub mod stored_format {}

#[doc = include_str!("GLOSSARY.md")]
pub mod glossary {}

/// Decisions, each with the reasons that it was made for.
#[doc = include_str!("notes/README.md")]
pub mod notes {
    #[doc = include_str!("notes/2026-11-21-slice-hash.md")]
    pub mod slice_hash {}
}

#[cfg(test)]
mod tests;
