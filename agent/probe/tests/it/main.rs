//! Tests of the probe against real shells, real files and hostile bytes.

mod corpus;
mod fixtures;
mod hang;
mod local;
mod properties;
mod shells;
mod support;
