//! Tests of the probe against real shells, real files and hostile bytes.

#![expect(
    clippy::unwrap_used,
    reason = "clippy takes only the functions marked as tests for tests, not their helpers"
)]

mod corpus;
mod fixtures;
mod guest;
mod hang;
mod local;
mod properties;
mod shells;
mod support;
