//! All that gander knows of Linux text: the probe script, its framing, the parsers,
//! and the [`Snapshot`] they make.
//!
//! No tokio, no russh, no SQL: text comes in as `&str`, integers go out.
//!
//! The way of a value: [`script`] runs on the node, [`wire`] asks it and cuts its stream into
//! [`Answer`]s, [`parse`] turns an answer's text into the counters of a [`RawSample`], and
//! [`delta::Differ`] subtracts two of them into a [`Snapshot`]. [`local`] makes the same
//! [`Answer`] from this machine's own files, [`pace`] says when to look at what, and a read that may
//! hang gets a [`lane`] of its own. What is kept of snapshots is written in [`varint`]s.

pub mod delta;
pub mod lane;
#[cfg(target_os = "linux")]
pub mod local;
pub mod pace;
pub mod parse;
pub mod script;
pub mod snapshot;
pub mod varint;
pub mod wire;

pub use delta::Differ;
pub use parse::RawSample;
pub use snapshot::Snapshot;
pub use wire::{Answer, Decoder, Frame, Hello, Limits, Section, Sections, WireError};
