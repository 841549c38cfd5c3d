//! Support for the end-to-end tests: a real hub, real peers, and waiting on conditions.
//!
//! Everything here panics where a test would, with the hub's log or the peer's in the message:
//! a failed wait without the log of who was waited for tells nobody anything.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::missing_panics_doc,
    reason = "a test's support panics where the test would"
)]

pub mod agent;
pub mod agent_faults;
pub mod api;
pub mod collecting;
pub mod crash;
pub mod dice;
pub mod eventually;
pub mod fake_ssh;
pub mod fleet;
pub mod hub;
pub mod line;
pub mod live;
pub mod log;
pub mod measure;
pub mod mount;
pub mod network;
pub mod nginx;
pub mod power;
pub mod recording;
pub mod rival;
pub mod script;
pub mod ssh_agent;
pub mod sshd;

pub use api::{Answer, Api};
pub use eventually::eventually;
pub use hub::{HubBuilder, StoppedHub, TestHub};
pub use live::LiveClient;
pub use log::Log;
