//! All that gander knows of Linux text: the probe script, its framing, the parsers,
//! and the [`Snapshot`] they make.
//!
//! No tokio, no russh, no SQL: text comes in as `&str`, integers go out.

pub mod snapshot;

pub use snapshot::Snapshot;
