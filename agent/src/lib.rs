//! gander's agent: looks at the machine it runs on, streams what it sees to the hub, and keeps it on
//! disk while the hub is away.
//!
//! It listens on no port, runs no command, writes nothing outside its state directory and never
//! updates itself. What it reads of Linux it reads with the probe crate, like the hub over SSH.
//!
//! ```text
//! look (probe, platform) ─▶ run ─┬─▶ link/session ─▶ link/connect ─▶ hub
//!                                └─▶ spool  (the hub is away, or behind) ─┘
//! ```

pub mod address;
pub mod board;
pub mod chance;
pub mod cli;
pub mod clock;
pub mod facts;
pub mod identity;
pub mod link;
mod log;
pub mod look;
pub mod platform;
pub mod resolve;
pub mod run;
mod sample;
pub mod spool;
pub mod state;

pub use sample::Sample;
