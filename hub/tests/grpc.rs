//! Agents against a real port: TLS, the store and ingest are the hub's own.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::large_futures,
    reason = "a test fails by panicking, and its futures live on one stack"
)]

mod support;

#[path = "support/agent.rs"]
mod agent;
mod grpc {
    mod enrolment;
    mod flood;
    mod identity;
    mod monitor;
    mod nginx;
    mod python;
    mod stream;
}
