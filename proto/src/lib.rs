//! What gander speaks over gRPC: the messages and services made of `proto/gander/v1/*.proto`,
//! and the way between them and the probe's own types.
//!
//! The generated code is in the repository; the test of `gander-proto-generate` fails when it is
//! not what the `.proto` files say, and writes it anew with `GANDER_UPDATE=1`. Neither `protoc`
//! nor a build script is needed.
//!
//! Features: `client` has the generated clients, `server` the traits of the services and
//! [`DESCRIPTORS`] for reflection.

pub mod codec;
pub mod convert;
pub mod limits;

pub use convert::{ConvertError, SampleReader, SampleWriter, TakenSample};

/// The generated messages, clients and service traits.
#[allow(
    missing_docs,
    unreachable_pub,
    clippy::all,
    clippy::pedantic,
    clippy::allow_attributes_without_reason,
    reason = "generated"
)]
pub mod v1 {
    include!("generated/gander.v1.rs");
}

/// The descriptors of all messages and services, for gRPC reflection.
#[cfg(feature = "server")]
pub const DESCRIPTORS: &[u8] = include_bytes!("generated/descriptors.bin");
