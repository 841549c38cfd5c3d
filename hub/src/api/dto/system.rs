//! The hub itself: health, fleet figures, storage, errors.

use std::collections::BTreeMap;

use serde::Serialize;
use utoipa::ToSchema;

use crate::{
    api::fault::FieldCode,
    model::{ServerId, Timestamp},
};

/// Whether the hub does its work.
#[derive(Debug, Clone, Serialize, ToSchema)]
pub struct Health {
    /// `ok`, or `failing` when a check fails (then the answer is 503).
    pub status: &'static str,
    /// The hub's version.
    pub version: &'static str,
    /// Each check by name: `store`, `ingest`.
    pub checks: BTreeMap<&'static str, Check>,
    /// What somebody should look at, though the hub works: a failed `backup`, little room on the `disk`.
    pub warnings: BTreeMap<&'static str, String>,
}

/// One check of the hub's health.
#[derive(Debug, Clone, Serialize, ToSchema)]
pub struct Check {
    /// Whether it passed.
    pub ok: bool,
    /// What is wrong, or worth knowing although it passed; null when there is nothing to say.
    pub message: Option<String>,
}

/// Figures of the whole fleet.
#[derive(Debug, Clone, PartialEq, Serialize, ToSchema)]
pub struct Stats {
    /// Enrolled servers.
    pub total: u32,
    /// Servers that answer.
    pub online: u32,
    /// Servers that do not answer.
    pub offline: u32,
    /// Servers not tried yet.
    pub unknown: u32,
    /// Servers switched off by a person.
    pub paused: u32,
    /// Open alerts.
    pub active_alerts: u32,
    /// Open alerts of level warning.
    pub warning_alerts: u32,
    /// Open alerts of level critical.
    pub critical_alerts: u32,
    /// Mean CPU use of the servers online, in percent; null when none is known.
    pub average_cpu_usage: Option<f64>,
    /// Mean memory use of the servers online, in percent.
    pub average_memory_usage: Option<f64>,
    /// Mean use of the root filesystem of the servers online, in percent.
    pub average_disk_usage: Option<f64>,
}

/// What the database holds and how much room it takes.
#[derive(Debug, Clone, Serialize, ToSchema)]
pub struct Storage {
    /// Size of the database file in bytes.
    pub database_bytes: u64,
    /// Bytes in it that are free for reuse.
    pub free_bytes: u64,
    /// Size of the write-ahead log in bytes.
    pub wal_bytes: u64,
    /// Stored samples.
    pub samples: u64,
    /// Oldest sample.
    pub oldest: Option<Timestamp>,
    /// Newest sample.
    pub newest: Option<Timestamp>,
    /// Readings left out since the hub started because the database refuses them for good (a bug).
    pub refused_readings: u64,
    /// The last one of them.
    pub last_refusal: Option<RefusedReading>,
    /// Samples not folded into blocks yet.
    pub unfolded_samples: u64,
    /// Bytes of what was deleted or merged and is still to be given back.
    pub trash_bytes: u64,
    /// What the blocks of each tier take: single samples first, then roll-ups.
    pub tiers: Vec<StorageTier>,
    /// The same by server.
    pub servers: Vec<ServerStorage>,
}

/// A reading that the database refuses for good.
#[derive(Debug, Clone, Serialize, ToSchema)]
pub struct RefusedReading {
    /// Of which server.
    pub server_id: ServerId,
    /// Its name; null when it is no more.
    pub server_name: Option<String>,
    /// When it was refused.
    pub at: Timestamp,
    /// What the database said.
    pub reason: String,
}

/// What the blocks of one tier take.
#[derive(Debug, Clone, Serialize, ToSchema)]
pub struct StorageTier {
    /// Length of its steps in milliseconds; 0 for single samples.
    pub step_ms: i64,
    /// Blocks.
    pub blocks: u64,
    /// Values in them; of a roll-up, steps of every series.
    pub values: u64,
    /// Bytes of them.
    pub bytes: u64,
    /// The oldest.
    pub oldest: Option<Timestamp>,
}

/// What the database holds of one server.
#[derive(Debug, Clone, Serialize, ToSchema)]
pub struct ServerStorage {
    /// Which server.
    pub server_id: ServerId,
    /// Its name.
    pub server_name: String,
    /// Stored samples.
    pub samples: u64,
    /// Oldest sample.
    pub oldest: Option<Timestamp>,
    /// Newest sample.
    pub newest: Option<Timestamp>,
    /// Series it has.
    pub series: u64,
    /// Values that were not kept since the hub started: a label or the number of series was over its limit.
    pub dropped_values: u64,
    /// It has more series than are kept of a server, now.
    pub at_series_limit: bool,
}

/// The envelope of every error.
#[derive(Debug, Clone, Serialize, ToSchema)]
pub struct ErrorBody {
    /// What went wrong.
    pub error: ErrorObject,
}

/// What went wrong.
#[derive(Debug, Clone, Serialize, ToSchema)]
pub struct ErrorObject {
    /// Stable, for programs and translations: `validation_failed`, `not_found`, `login_required`, …
    pub code: String,
    /// For a person: names the field or thing, the value and the fix.
    pub message: String,
    /// More for programs; `details.fields` lists every wrong field of a request.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub details: Option<ErrorDetails>,
}

/// More about an error.
#[derive(Debug, Clone, Default, Serialize, ToSchema)]
pub struct ErrorDetails {
    /// Every wrong field.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    #[schema(required = false)]
    pub fields: Vec<FieldError>,
    /// Line of the JSON error, from 1.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub line: Option<usize>,
    /// Column of the JSON error, from 1.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub column: Option<usize>,
    /// Seconds to wait before another try.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub retry_after_seconds: Option<u64>,
}

/// One wrong field of a request.
#[derive(Debug, Clone, PartialEq, Serialize, ToSchema)]
pub struct FieldError {
    /// Name of the field.
    pub field: String,
    /// What was sent; left out for secrets and for a missing field.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub value: Option<serde_json::Value>,
    /// What is wrong with it, stable, for programs and translations.
    pub code: FieldCode,
    /// What is wrong with it and what is allowed, in English; follows the name of the field.
    pub message: String,
    /// Values of the sentence for other languages: `min`, `max`, `length`, `value`, …, as the code says.
    pub params: BTreeMap<String, serde_json::Value>,
}
