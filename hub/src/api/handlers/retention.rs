//! How long values are kept.

use axum::{Json, extract::State};

use crate::{
    api::{
        access::Caller,
        dto::fleet::{ForecastAnswer, RetentionAges, RetentionAnswer, RetentionRequest, TagRetention},
        error::ApiResult,
        extract::{Body, Query},
        form::{Form, Given},
        state::ApiState,
    },
    model::Timestamp,
    store::Ages,
};

/// An hour to a hundred years.
const AGES: std::ops::RangeInclusive<i64> = 3_600..=3_153_600_000;

/// How long values are kept, and the size of the database to come
#[utoipa::path(get, path = "/api/retention", tag = "hub", responses((status = 200, body = RetentionAnswer)))]
pub(crate) async fn get_retention(State(state): State<ApiState>) -> ApiResult<Json<RetentionAnswer>> {
    let retention = state.store.retention().await?;
    let forecast = state.store.forecast(Timestamp::now()).await?;
    Ok(Json(RetentionAnswer {
        global: shown(retention.global),
        from_config: retention.from_config,
        tags: retention
            .tags
            .into_iter()
            .map(|(tag, ages)| TagRetention {
                tag,
                ages: shown(ages),
            })
            .collect(),
        forecast: ForecastAnswer {
            values_a_day: forecast.values_a_day,
            bytes_a_value: (forecast.bytes_a_value * 1000.0).round() / 1000.0,
            bytes_in_a_year: forecast.bytes_in_a_year,
        },
    }))
}

/// Change how long values are kept
///
/// Of all servers, or of those with a tag. What is older is removed within ten minutes, and cannot
/// be brought back.
#[utoipa::path(put, path = "/api/retention", tag = "hub", request_body = RetentionRequest,
    responses((status = 200, body = RetentionAnswer)))]
pub(crate) async fn put_retention(
    State(state): State<ApiState>,
    caller: Caller,
    Body(mut form): Body,
) -> ApiResult<Json<RetentionAnswer>> {
    let tag = form.text("tag", 1..=50).value();
    let samples = age(&mut form, "samples_seconds");
    let quarters = age(&mut form, "roll_up_15m_seconds");
    let three_hours = age(&mut form, "roll_up_3h_seconds");
    form.finish()?;
    let retention = state.store.retention().await?;
    let now = tag
        .as_ref()
        .and_then(|tag| retention.tags.get(tag).copied())
        .unwrap_or(retention.global);
    let ages = Ages {
        samples: samples.or_keep(now.samples),
        quarter_hours: quarters.or_keep(now.quarter_hours),
        three_hours: three_hours.or_keep(now.three_hours),
    };
    state
        .store
        .set_retention(tag.as_deref(), Some(ages), &caller.actor(), Timestamp::now())
        .await?;
    get_retention(State(state)).await
}

/// Forget what was set: the configuration holds again, or for a tag what holds for all
#[utoipa::path(delete, path = "/api/retention", tag = "hub",
    params(("tag" = Option<String>, Query, description = "Only what was set for this tag")),
    responses((status = 200, body = RetentionAnswer)))]
pub(crate) async fn delete_retention(
    State(state): State<ApiState>,
    caller: Caller,
    Query(mut form): Query,
) -> ApiResult<Json<RetentionAnswer>> {
    let tag = form.text("tag", 1..=50).value();
    form.finish()?;
    state
        .store
        .set_retention(tag.as_deref(), None, &caller.actor(), Timestamp::now())
        .await?;
    get_retention(State(state)).await
}

fn age(form: &mut Form, name: &'static str) -> Given<u64> {
    form.integer(name, AGES).map(i64::unsigned_abs)
}

fn shown(ages: Ages) -> RetentionAges {
    RetentionAges {
        samples_seconds: ages.samples,
        roll_up_15m_seconds: ages.quarter_hours,
        roll_up_3h_seconds: ages.three_hours,
    }
}
