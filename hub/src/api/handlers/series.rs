//! Values for charts, and the newest reading in full.

use axum::{Json, extract::State};

use crate::{
    api::{
        dto::{
            metric::{SeriesAnswer, SeriesColumn},
            server::SnapshotAnswer,
        },
        error::ApiResult,
        extract::{Id, Query},
        fault::{Fault, FieldCode},
        form::Form,
        handlers::servers::find,
        paging,
        state::ApiState,
    },
    model::{ServerId, Timestamp, metric::Metric},
    store::{SeriesPoints, SeriesQuery, Step},
};

/// Metrics of one request at most.
const MOST_METRICS: usize = 32;

/// Some series of a server, for a chart
///
/// By columns: `times[i]` belongs to `series[n].avg[i]`; null is a gap. The width of a step
/// follows from the span and `points`.
#[utoipa::path(get, path = "/api/servers/{id}/series", tag = "metrics",
    params(
        ("id" = i64, Path),
        ("metrics" = String, Query, description = "Names separated by commas, e.g. cpu.usage,memory.usage"),
        ("hours" = Option<f64>, Query, description = "The last so many hours (default 1), instead of from and to"),
        ("from" = Option<String>, Query, description = "First moment, RFC 3339"),
        ("to" = Option<String>, Query, description = "Last moment, RFC 3339; default now"),
        ("points" = Option<u32>, Query, description = "At most this many steps, 1 to 5,000 (default 500)"),
        ("step" = Option<u32>, Query, description = "Width of a step in seconds; longer where that would be more than 5,000 steps or nothing so fine is kept"),
    ),
    responses((status = 200, body = SeriesAnswer)))]
pub(crate) async fn series(
    State(state): State<ApiState>,
    Id(id): Id,
    Query(mut form): Query,
) -> ApiResult<Json<SeriesAnswer>> {
    let metrics = metrics_field(&mut form);
    let span = paging::span(&mut form, Timestamp::now(), Some(1.0));
    let max_points = form.integer("points", 1..=5000u32).or(500);
    let step = form.integer("step", 1..=31_536_000u32).value();
    if span.from.is_none() && form.is_clean() {
        form.refuse("from", Fault::required_with("to"));
    }
    form.finish()?;
    let server = find(&state, id).await?;
    let answer = state
        .store
        .query(&SeriesQuery {
            server_id: server.id,
            metrics,
            from: span.from.unwrap_or(span.to),
            to: span.to,
            max_points,
            step: step.map_or(Step::Auto, |seconds| Step::Fixed(i64::from(seconds) * 1_000)),
        })
        .await?;
    Ok(Json(SeriesAnswer {
        from: answer.from,
        to: answer.to,
        step_ms: answer.step_ms,
        times: answer.times.iter().map(|time| time.as_millis()).collect(),
        series: answer.series.into_iter().map(column).collect(),
    }))
}

pub(super) fn metrics_field(form: &mut Form) -> Vec<Metric> {
    let names = form.text("metrics", 1..=2000);
    let Some(names) = form.require("metrics", names) else {
        return Vec::new();
    };
    let mut metrics = Vec::new();
    for name in names.split(',').map(str::trim).filter(|name| !name.is_empty()) {
        match name.parse::<Metric>() {
            Ok(metric) if !metrics.contains(&metric) => metrics.push(metric),
            Ok(_) => {}
            Err(reason) => form.refuse("metrics", Fault::because(FieldCode::Metric, reason)),
        }
    }
    if metrics.len() > MOST_METRICS {
        form.refuse("metrics", Fault::too_many_entries(metrics.len(), MOST_METRICS));
    } else if metrics.is_empty() && !form.is_refused("metrics") {
        form.refuse(
            "metrics",
            Fault::empty("names no metric; like cpu.usage,memory.usage"),
        );
    }
    metrics
}

pub(super) fn column(points: SeriesPoints) -> SeriesColumn {
    let (unit, divisor) = points.unit.shown();
    #[expect(
        clippy::cast_precision_loss,
        reason = "above 2^53 (9 PB) JSON loses the last bytes anyway"
    )]
    let whole = |values: Vec<Option<i64>>| -> Vec<Option<f64>> {
        values
            .into_iter()
            .map(|value| value.map(|value| value as f64 / divisor))
            .collect()
    };
    SeriesColumn {
        metric: points.metric.name().to_owned(),
        label: points.label,
        unit: unit.to_owned(),
        min: whole(points.min),
        // Three decimals: what division adds beyond them means nothing.
        avg: points
            .avg
            .into_iter()
            .map(|value| value.map(|value| (value / divisor * 1000.0).round() / 1000.0))
            .collect(),
        max: whole(points.max),
    }
}

/// Everything the hub last read of a server
#[utoipa::path(get, path = "/api/servers/{id}/snapshot", tag = "metrics", params(("id" = i64, Path)),
    responses((status = 200, body = SnapshotAnswer)))]
pub(crate) async fn snapshot(State(state): State<ApiState>, Id(id): Id) -> ApiResult<Json<SnapshotAnswer>> {
    let server = find(&state, id).await?;
    let (snapshot, taken_at) = state
        .live
        .server(server.id)
        .map(|seen| (seen.snapshot.as_deref().cloned(), seen.last_success))
        .unwrap_or_default();
    Ok(Json(SnapshotAnswer {
        server_id: ServerId(id),
        taken_at,
        snapshot,
    }))
}
