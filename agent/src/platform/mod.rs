//! All that differs between systems: how the machine is read, and what it says of itself.
//!
//! On Linux it is the probe crate, the same code as the hub's SSH collection and its own machine; on
//! every other system it is sysinfo, as far as that carries. What is known of Linux is in `linux.rs`.

#[cfg(target_os = "linux")]
mod linux;
#[cfg(any(not(target_os = "linux"), test))]
pub mod portable;

#[cfg(target_os = "linux")]
pub use linux::{HeavyPart, Machine, boot_id, machine_id, read_heavy, uptime_ms};
#[cfg(not(target_os = "linux"))]
pub use portable::{HeavyPart, Machine, boot_id, machine_id, read_heavy, uptime_ms};
