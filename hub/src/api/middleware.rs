//! Layers.
use axum::http::StatusCode;

use super::error::ApiError;

pub(super) fn body_too_large() -> ApiError {
    ApiError::new(
        StatusCode::PAYLOAD_TOO_LARGE,
        "body_too_large",
        "the request body is larger than 1 MiB",
    )
}
