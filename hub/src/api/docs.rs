//! The interactive documentation at `/api/docs`, working offline, and `/api/openapi.json`.

use axum::response::{IntoResponse, Redirect, Response};

use super::error::ApiError;

pub(super) async fn openapi_json() -> Response {
    ApiError::not_yet().into_response()
}

pub(super) async fn redirect() -> Redirect {
    Redirect::permanent("/api/docs/")
}

pub(super) async fn page() -> Response {
    ApiError::not_yet().into_response()
}

pub(super) async fn file() -> Response {
    ApiError::not_yet().into_response()
}
