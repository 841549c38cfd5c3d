//! What handlers share.

/// What handlers share.
#[derive(Clone)]
pub struct ApiState {}
