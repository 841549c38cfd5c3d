//! gander's agent: looks at the machine it runs on, streams what it sees to the hub, and keeps it on
//! disk while the hub is away.
//!
//! It listens on no port, runs no command, writes nothing outside its state directory and never
//! updates itself. What it reads of Linux it reads with the probe crate, like the hub over SSH.

pub mod look;
pub mod platform;
mod sample;
pub mod spool;

pub use sample::Sample;
