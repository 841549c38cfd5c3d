//! One metric over many servers: sparklines, the busiest, the fleet as a whole.

use axum::{Json, extract::State};

use crate::{
    api::{
        dto::fleet::{FleetAnswer, FleetGroup, FleetLine},
        error::ApiResult,
        extract::Query,
        fault::{Fault, FieldCode},
        form::given,
        handlers::series::column,
        paging,
        state::ApiState,
    },
    model::{Metric, Timestamp},
    store::{self, FleetQuery, GroupBy, Step},
};

/// One metric of many servers
///
/// A line a server, and percentiles, mean and extremes of the fleet as a whole. Of a metric with
/// labels and no label asked for, each step of a server shows its busiest part.
#[utoipa::path(get, path = "/api/fleet/series", tag = "metrics",
    params(
        ("metric" = String, Query, description = "Its name, e.g. cpu.usage"),
        ("label" = Option<String>, Query, description = "One part of each server, e.g. / or eth0"),
        ("tag" = Option<String>, Query, description = "Only servers with this tag"),
        ("group" = Option<String>, Query, description = "Only servers of this group"),
        ("group_by" = Option<String>, Query, description = "tag or group: the groups to sum up beside the whole"),
        ("top" = Option<u32>, Query, description = "Only the lines of so many servers, those with the highest mean; 0 for none"),
        ("hours" = Option<f64>, Query, description = "The last so many hours (default 24), instead of from and to"),
        ("from" = Option<String>, Query, description = "First moment, RFC 3339"),
        ("to" = Option<String>, Query, description = "Last moment, RFC 3339; default now"),
        ("values" = Option<String>, Query, description = "all (default), or mean: of each server no least and greatest, to two decimals; a third of the bytes, for sparklines"),
        ("points" = Option<u32>, Query, description = "At most this many steps, 1 to 5,000 (default 60)"),
        ("step" = Option<u32>, Query, description = "Width of a step in seconds; longer where that would be too many steps or nothing so fine is kept"),
    ),
    responses((status = 200, body = FleetAnswer)))]
pub(crate) async fn fleet_series(
    State(state): State<ApiState>,
    Query(mut form): Query,
) -> ApiResult<Json<FleetAnswer>> {
    let name = form.text("metric", 1..=100);
    let metric = form
        .require("metric", name)
        .and_then(|name| match name.parse::<Metric>() {
            Ok(metric) => Some(metric),
            Err(reason) => {
                form.refuse("metric", Fault::because(FieldCode::Metric, reason));
                None
            }
        });
    let label = form.text("label", 0..=255).value();
    let tag = form.text("tag", 1..=50).value();
    let group = form.text("group", 1..=100).value();
    let group_by = form.choice("group_by", &[("tag", GroupBy::Tag), ("group", GroupBy::Group)]);
    let top = form.integer("top", 0..=100_000u32).value();
    let means = form.choice("values", &[("all", false), ("mean", true)]).or(false);
    let span = paging::span(&mut form, Timestamp::now(), Some(24.0));
    let max_points = form.integer("points", 1..=5000u32).or(60);
    let step = form.integer("step", 1..=31_536_000u32).value();
    if span.from.is_none() && form.is_clean() {
        form.refuse("from", Fault::required_with("to"));
    }
    form.finish()?;
    let metric = given(metric)?;
    let answer = state
        .store
        .fleet(&FleetQuery {
            metric,
            label,
            servers: None,
            tag,
            group,
            from: span.from.unwrap_or(span.to),
            to: span.to,
            max_points,
            step: step.map_or(Step::Auto, |seconds| Step::Fixed(i64::from(seconds) * 1_000)),
            top,
            group_by: group_by.or(GroupBy::Nothing),
        })
        .await?;
    let (unit, divisor) = metric.unit().shown();
    Ok(Json(FleetAnswer {
        from: answer.from,
        to: answer.to,
        step_ms: answer.step_ms,
        times: answer.times.iter().map(|time| time.as_millis()).collect(),
        metric: metric.name().to_owned(),
        unit: unit.to_owned(),
        groups: answer
            .groups
            .into_iter()
            .map(|group| summed_up(group, divisor))
            .collect(),
        servers: answer
            .lines
            .into_iter()
            .map(|line| one(line, divisor, means))
            .collect(),
    }))
}

/// Three decimals: what division adds beyond them means nothing.
fn rounded(value: f64, divisor: f64) -> f64 {
    (value / divisor * 1000.0).round() / 1000.0
}

fn one(line: store::FleetLine, divisor: f64, means: bool) -> FleetLine {
    let mut points = column(line.points);
    if means {
        for value in points.avg.iter_mut().flatten() {
            *value = (*value * 100.0).round() / 100.0;
        }
    }
    FleetLine {
        server_id: line.server_id,
        label: points.label,
        mean: rounded(line.mean, divisor),
        min: (!means).then_some(points.min),
        avg: points.avg,
        max: (!means).then_some(points.max),
    }
}

fn summed_up(group: store::FleetGroup, divisor: f64) -> FleetGroup {
    let shown = |values: Vec<Option<f64>>| -> Vec<Option<f64>> {
        values
            .into_iter()
            .map(|value| value.map(|value| rounded(value, divisor)))
            .collect()
    };
    FleetGroup {
        name: group.name,
        servers: group.servers,
        counted: group.counted,
        min: shown(group.min),
        avg: shown(group.avg),
        max: shown(group.max),
        p50: shown(group.p50),
        p95: shown(group.p95),
        p99: shown(group.p99),
    }
}
