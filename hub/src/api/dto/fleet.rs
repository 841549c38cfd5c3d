//! One metric over many servers, and how long values are kept.

use serde::Serialize;
use utoipa::ToSchema;

use crate::model::{ServerId, Timestamp};

/// One metric of many servers over a span, in steps, by columns.
#[derive(Debug, Clone, PartialEq, Serialize, ToSchema)]
pub struct FleetAnswer {
    /// First moment of the span.
    pub from: Timestamp,
    /// Last moment of the span.
    pub to: Timestamp,
    /// Width of a step in milliseconds.
    pub step_ms: i64,
    /// Start of each step, in milliseconds since 1970.
    pub times: Vec<i64>,
    /// Name of the metric, e.g. `cpu.usage`.
    pub metric: String,
    /// `percent`, `bytes`, `bytes_per_second`, …
    pub unit: String,
    /// The fleet as a whole (its name is null), then the groups asked for, by name.
    pub groups: Vec<FleetGroup>,
    /// Servers that have values, the highest mean first.
    pub servers: Vec<FleetLine>,
}

/// Some servers together: of each step the least, mean and greatest of their means, and percentiles.
#[derive(Debug, Clone, PartialEq, Serialize, ToSchema)]
pub struct FleetGroup {
    /// The tag or group; null for all servers.
    pub name: Option<String>,
    /// Servers in it that have values.
    pub servers: u64,
    /// Servers with a value in each step.
    pub counted: Vec<u64>,
    /// The least.
    #[schema(value_type = Vec<Option<f64>>)]
    pub min: Vec<Option<f64>>,
    /// The mean.
    #[schema(value_type = Vec<Option<f64>>)]
    pub avg: Vec<Option<f64>>,
    /// The greatest.
    #[schema(value_type = Vec<Option<f64>>)]
    pub max: Vec<Option<f64>>,
    /// Half of the servers have no more.
    #[schema(value_type = Vec<Option<f64>>)]
    pub p50: Vec<Option<f64>>,
    /// 95 of 100 servers have no more.
    #[schema(value_type = Vec<Option<f64>>)]
    pub p95: Vec<Option<f64>>,
    /// 99 of 100 servers have no more.
    #[schema(value_type = Vec<Option<f64>>)]
    pub p99: Vec<Option<f64>>,
}

/// One server's line.
#[derive(Debug, Clone, PartialEq, Serialize, ToSchema)]
pub struct FleetLine {
    /// Which server.
    pub server_id: ServerId,
    /// Of which part; empty for the whole server, or where each step shows the busiest part.
    pub label: String,
    /// The mean over the whole span.
    pub mean: f64,
    /// Least value of each step; not with `values=mean`.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Vec<Option<f64>>, required = false)]
    pub min: Option<Vec<Option<f64>>>,
    /// Mean of each step.
    #[schema(value_type = Vec<Option<f64>>)]
    pub avg: Vec<Option<f64>>,
    /// Greatest value of each step; not with `values=mean`.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Vec<Option<f64>>, required = false)]
    pub max: Option<Vec<Option<f64>>>,
}

/// How long values are kept, and what that will take.
#[derive(Debug, Clone, PartialEq, Serialize, ToSchema)]
pub struct RetentionAnswer {
    /// What holds for servers without a tag that has ages of its own.
    pub global: RetentionAges,
    /// Whether that comes from the configuration, for nobody has set anything else.
    pub from_config: bool,
    /// Tags with ages of their own, by name. A server with several is kept as long as the longest.
    pub tags: Vec<TagRetention>,
    /// The size of the database a year from now.
    pub forecast: ForecastAnswer,
}

/// How long each tier is kept, in seconds; null is for ever. A coarser tier is kept at least as long
/// as a finer one.
#[derive(Debug, Clone, PartialEq, Serialize, ToSchema)]
pub struct RetentionAges {
    /// Single samples.
    pub samples_seconds: Option<u64>,
    /// Minimum, mean and maximum of every 15 minutes.
    pub roll_up_15m_seconds: Option<u64>,
    /// Minimum, mean and maximum of every 3 hours.
    pub roll_up_3h_seconds: Option<u64>,
}

/// The ages of servers with a tag.
#[derive(Debug, Clone, PartialEq, Serialize, ToSchema)]
pub struct TagRetention {
    /// The tag.
    pub tag: String,
    /// The ages.
    pub ages: RetentionAges,
}

/// The size to come, if servers go on as in the last day and retention stays as it is.
#[derive(Debug, Clone, PartialEq, Serialize, ToSchema)]
pub struct ForecastAnswer {
    /// Values that came in during the last day, or would have in a whole one.
    pub values_a_day: u64,
    /// Bytes a value takes.
    pub bytes_a_value: f64,
    /// Size of the database file a year from now.
    pub bytes_in_a_year: u64,
}

/// Sets how long values are kept, of all servers or of those with a tag. What is left out stays as
/// it is; null is for ever.
#[derive(Debug, ToSchema)]
pub struct RetentionRequest {
    /// Only of servers with this tag.
    #[schema(required = false, min_length = 1, max_length = 50)]
    pub tag: String,
    /// Single samples; at least an hour.
    #[schema(minimum = 3600)]
    pub samples_seconds: Option<u64>,
    /// Minimum, mean and maximum of every 15 minutes; at least an hour.
    #[schema(minimum = 3600)]
    pub roll_up_15m_seconds: Option<u64>,
    /// Minimum, mean and maximum of every 3 hours; at least an hour.
    #[schema(minimum = 3600)]
    pub roll_up_3h_seconds: Option<u64>,
}
