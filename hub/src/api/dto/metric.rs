//! Measured values over time: the original's rows, and columns for charts.

use serde::Serialize;
use utoipa::ToSchema;

use crate::model::{ServerId, Timestamp};

/// The values of one server at one moment. Percentages have one decimal; null is absent, not zero.
#[derive(Debug, Clone, PartialEq, Serialize, ToSchema)]
pub struct MetricRow {
    /// Which server.
    pub server_id: ServerId,
    /// CPU use in percent.
    pub cpu_usage: Option<f64>,
    /// Memory use in percent.
    pub memory_usage: Option<f64>,
    /// Use of the root filesystem in percent.
    pub disk_usage: Option<f64>,
    /// Load average over 1 minute.
    pub load_avg: Option<f64>,
    /// Processes.
    pub processes: Option<u64>,
    /// When the values were true.
    pub timestamp: Timestamp,
}

/// How many rows a deletion removed.
#[derive(Debug, Clone, Serialize, ToSchema)]
pub struct DeletedAnswer {
    /// Rows removed.
    pub deleted: u64,
}

/// How many rows a deletion would remove.
#[derive(Debug, Clone, Serialize, ToSchema)]
pub struct CountAnswer {
    /// Rows in the range.
    pub count: u64,
}

/// Some series of one server over a span, in steps, by columns.
#[derive(Debug, Clone, PartialEq, Serialize, ToSchema)]
pub struct SeriesAnswer {
    /// First moment of the span.
    pub from: Timestamp,
    /// Last moment of the span.
    pub to: Timestamp,
    /// Width of a step in milliseconds.
    pub step_ms: i64,
    /// Start of each step, in milliseconds since 1970.
    pub times: Vec<i64>,
    /// One entry a series.
    pub series: Vec<SeriesColumn>,
}

/// One series: a value a step, null where nothing was measured.
#[derive(Debug, Clone, PartialEq, Serialize, ToSchema)]
pub struct SeriesColumn {
    /// Name of the metric, e.g. `cpu.usage`.
    pub metric: String,
    /// Of which part: a mount point, a device, an interface; empty for the whole server.
    pub label: String,
    /// `percent`, `bytes`, `bytes_per_second`, `celsius`, `count`, …
    pub unit: String,
    /// Least value of each step.
    #[schema(value_type = Vec<Option<f64>>)]
    pub min: Vec<Option<f64>>,
    /// Mean of each step.
    #[schema(value_type = Vec<Option<f64>>)]
    pub avg: Vec<Option<f64>>,
    /// Greatest value of each step.
    #[schema(value_type = Vec<Option<f64>>)]
    pub max: Vec<Option<f64>>,
}
