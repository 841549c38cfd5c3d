//! The interactive documentation at `/api/docs`, working offline, and `/api/openapi.json`.

use std::sync::{Arc, LazyLock};

use axum::{
    extract::Path,
    http::{HeaderName, HeaderValue, header},
    response::{IntoResponse, Redirect, Response},
};
use utoipa_swagger_ui::Config;

use super::{
    error::{ApiError, ApiResult},
    openapi,
};

/// Swagger UI styles itself inline and embeds its icons; its scripts are files like ours.
const CONTENT_SECURITY_POLICY: &str = "default-src 'self'; style-src 'self' 'unsafe-inline'; \
img-src 'self' data:; object-src 'none'; base-uri 'none'; form-action 'self'; frame-ancestors 'none'";

static DOCUMENT: LazyLock<Result<String, String>> =
    LazyLock::new(|| openapi::document_text().map_err(|error| error.to_string()));

static CONFIG: LazyLock<Arc<Config<'static>>> = LazyLock::new(|| {
    Arc::new(
        Config::from("/api/openapi.json")
            .try_it_out_enabled(true)
            .default_models_expand_depth(0),
    )
});

/// The document of the interface.
pub(super) async fn openapi_json() -> ApiResult<Response> {
    let text = DOCUMENT.as_deref().map_err(|error| ApiError::internal(&error))?;
    Ok(([(header::CONTENT_TYPE, "application/json")], text).into_response())
}

pub(super) async fn redirect() -> Redirect {
    Redirect::permanent("/api/docs/")
}

pub(super) async fn page() -> ApiResult<Response> {
    serve("index.html")
}

pub(super) async fn file(Path(name): Path<String>) -> ApiResult<Response> {
    serve(&name)
}

fn serve(name: &str) -> ApiResult<Response> {
    let file =
        utoipa_swagger_ui::serve(name, Arc::clone(&CONFIG)).map_err(|error| ApiError::internal(&error))?;
    let file = file.ok_or_else(|| ApiError::not_found("file", name))?;
    let headers: [(HeaderName, HeaderValue); 2] = [
        (
            header::CONTENT_TYPE,
            HeaderValue::from_str(&file.content_type)
                .unwrap_or_else(|_| HeaderValue::from_static("application/octet-stream")),
        ),
        (
            header::CONTENT_SECURITY_POLICY,
            HeaderValue::from_static(CONTENT_SECURITY_POLICY),
        ),
    ];
    Ok((headers, file.bytes.into_owned()).into_response())
}
