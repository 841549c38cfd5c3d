//! Sheets to take away.

use axum::{extract::State, response::Response};

use crate::api::{
    error::{ApiError, ApiResult},
    state::ApiState,
};

/// A sheet of metrics, alerts or servers
///
/// Excel or CSV (UTF-8 with a byte order mark), streamed. Texts that a spreadsheet would run as
/// a formula are neutralised.
#[utoipa::path(get, path = "/api/export", tag = "metrics",
    params(
        ("kind" = String, Query, description = "metrics, alerts or servers"),
        ("format" = Option<String>, Query, description = "xlsx (default) or csv"),
        ("server_id" = Option<i64>, Query, description = "Of one server"),
        ("hours" = Option<f64>, Query, description = "The last so many hours, instead of from and to"),
        ("from" = Option<String>, Query, description = "First moment, RFC 3339"),
        ("to" = Option<String>, Query, description = "Last moment, RFC 3339; default now"),
        ("lang" = Option<String>, Query, description = "zh or en; default by Accept-Language"),
    ),
    responses((status = 200, description = "The file", content(
        (Vec<u8> = "application/vnd.openxmlformats-officedocument.spreadsheetml.sheet"),
        (String = "text/csv"),
    ))))]
pub(crate) async fn export(State(_state): State<ApiState>) -> ApiResult<Response> {
    Err(ApiError::not_yet())
}
