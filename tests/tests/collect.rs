//! Collection against real SSH servers (OpenSSH, dropbear) on this machine, and against one
//! that misbehaves on purpose. Needs root and the packages named when one is missing.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    reason = "helpers of tests: whatever fails here fails the test"
)]

mod collect {
    mod certificates;
    mod connecting;
    mod faults;
    mod fleet;
    mod key_agent;
    mod lasting;
    mod locked;
    mod logging_in;
    mod values;
}
