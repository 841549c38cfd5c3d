//! The one way of data: readings in, one transaction, then the world is told.

mod handle;

pub use handle::{IngestError, IngestHandle, Progress, Resolve};
