//! The JSON shapes of the HTTP interface: what goes out (`Serialize`) and what may come in.
//!
//! Everything here is plain data made from `model` types; the TypeScript types of the dashboard
//! are generated from these structs. Two conventions keep `openapi.json` true:
//!
//! * a struct whose name ends in `Request` describes a body a client sends. Bodies are read by
//!   [`super::form::Form`], which reports every wrong field at once; a test holds the two together;
//! * every other struct serialises all of its fields: what is not known is `null`, never missing.

pub mod agents;
pub mod alert;
pub mod backup;
pub mod credential;
pub mod event;
pub mod fleet;
pub mod import;
pub mod metric;
pub mod people;
pub mod probe;
pub mod server;
pub mod system;
pub mod ws;

/// Tenths of a percent as a percentage with one decimal: 423 is `42.3`.
#[must_use]
pub fn percent(permille: u16) -> f64 {
    f64::from(permille) / 10.0
}

/// Hundredths as a number with two decimals: 42 is `0.42`.
#[must_use]
pub fn hundredths(value: u32) -> f64 {
    f64::from(value) / 100.0
}
