//! Stored samples as rows: reading, counting, deleting.

use axum::{
    Json,
    extract::State,
    http::Uri,
    response::{IntoResponse, Response},
};

use crate::{
    api::{
        access::Caller,
        dto::{
            hundredths,
            metric::{CountAnswer, DeletedAnswer, MetricRow},
            percent,
        },
        error::{ApiError, ApiResult},
        extract::Query,
        fault::{Fault, FieldCode},
        form::Form,
        handlers::servers::find,
        paging,
        state::ApiState,
    },
    model::{ServerId, Timestamp},
    store::{self, Cursor, DeleteRange, MetricsQuery},
};

/// Stored samples as rows, oldest first
///
/// A plain array; further pages by the `Link` header (`rel="next"`).
#[utoipa::path(get, path = "/api/metrics", tag = "metrics",
    params(
        ("server_id" = Option<i64>, Query, description = "One server; without it all"),
        ("hours" = Option<f64>, Query, description = "The last so many hours (default 24), instead of from and to"),
        ("from" = Option<String>, Query, description = "First moment, RFC 3339"),
        ("to" = Option<String>, Query, description = "Last moment, RFC 3339; default now"),
        ("limit" = Option<u32>, Query, description = "At most this many rows, 1 to 100,000 (default 10,000)"),
        ("cursor" = Option<String>, Query, description = "From the Link header of the page before"),
    ),
    responses((status = 200, body = Vec<MetricRow>)))]
pub(crate) async fn metric_rows(
    State(state): State<ApiState>,
    uri: Uri,
    Query(mut form): Query,
) -> ApiResult<Response> {
    let server_id = server_field(&mut form);
    let span = paging::span(&mut form, Timestamp::now(), Some(24.0));
    let limit = form.integer("limit", 1..=100_000u32).or(10_000);
    let cursor = form.text("cursor", 1..=64).value();
    let after = cursor.and_then(|text| match text.parse::<Cursor>() {
        Ok(cursor) => Some(cursor),
        Err(reason) => {
            form.refuse("cursor", Fault::because(FieldCode::Cursor, reason));
            None
        }
    });
    form.finish()?;
    must_exist(&state, server_id).await?;
    let page = state
        .store
        .metric_rows(&MetricsQuery {
            server_id,
            from: span.from,
            to: Some(span.to),
            limit,
            after,
        })
        .await?;
    if page.unreadable_rows > 0 {
        tracing::warn!(rows = page.unreadable_rows, "stored rows could not be read");
    }
    let next = page.next.map(|cursor| cursor.to_string());
    let rows: Vec<MetricRow> = page.rows.iter().map(row).collect();
    Ok((paging::link_header(&uri, next.as_deref()), Json(rows)).into_response())
}

/// A stored row as clients see it.
pub(super) fn row(row: &store::MetricRow) -> MetricRow {
    let share = |value: Option<i64>| value.and_then(|value| u16::try_from(value).ok()).map(percent);
    MetricRow {
        server_id: row.server_id,
        cpu_usage: share(row.cpu_usage_permille),
        memory_usage: share(row.memory_usage_permille),
        disk_usage: share(row.disk_usage_permille),
        load_avg: row
            .load_1_hundredths
            .and_then(|value| u32::try_from(value).ok())
            .map(hundredths),
        processes: row.processes.and_then(|value| u64::try_from(value).ok()),
        timestamp: row.taken_at,
    }
}

/// The server of a query, if it names one.
pub(super) fn server_field(form: &mut Form) -> Option<ServerId> {
    form.integer("server_id", 1..=i64::MAX).map(ServerId).value()
}

/// A query about a server that is not there is a mistake, not an empty answer.
pub(super) async fn must_exist(state: &ApiState, server_id: Option<ServerId>) -> ApiResult<()> {
    if let Some(id) = server_id {
        find(state, id.0).await?;
    }
    Ok(())
}

fn delete_range(mut form: Form) -> ApiResult<DeleteRange> {
    let server_id = server_field(&mut form);
    let before = form.moment("before").value();
    form.finish()?;
    Ok(DeleteRange { server_id, before })
}

/// Delete stored samples
///
/// Of one server or all, of all time or before a moment. The space is given back.
#[utoipa::path(delete, path = "/api/metrics", tag = "metrics",
    params(
        ("server_id" = Option<i64>, Query, description = "One server; without it all"),
        ("before" = Option<String>, Query, description = "Only samples before this moment, RFC 3339"),
    ),
    responses((status = 200, body = DeletedAnswer)))]
pub(crate) async fn delete_metrics(
    State(state): State<ApiState>,
    caller: Caller,
    Query(form): Query,
) -> ApiResult<Json<DeletedAnswer>> {
    let range = delete_range(form)?;
    must_exist(&state, range.server_id).await?;
    let (store, actor) = (state.store.clone(), caller.actor());
    // In a task of its own: a client that goes away must not leave a deletion half done.
    let work = tokio::spawn(async move { store.delete_samples(&range, &actor, Timestamp::now()).await });
    let deleted = work.await.map_err(|error| ApiError::internal(&error))??;
    Ok(Json(DeletedAnswer { deleted }))
}

/// How many samples a deletion would remove
#[utoipa::path(get, path = "/api/metrics/count", tag = "metrics",
    params(
        ("server_id" = Option<i64>, Query, description = "One server; without it all"),
        ("before" = Option<String>, Query, description = "Only samples before this moment, RFC 3339"),
    ),
    responses((status = 200, body = CountAnswer)))]
pub(crate) async fn count_metrics(
    State(state): State<ApiState>,
    Query(form): Query,
) -> ApiResult<Json<CountAnswer>> {
    let range = delete_range(form)?;
    must_exist(&state, range.server_id).await?;
    let count = state.store.count_samples(&range).await?;
    Ok(Json(CountAnswer { count }))
}
