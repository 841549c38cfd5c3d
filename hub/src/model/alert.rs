//! Alerts: one open alert per (rule, server, label).

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use super::{ServerId, Timestamp};

/// Row id of an alert.
#[derive(
    Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize, utoipa::ToSchema,
)]
#[serde(transparent)]
pub struct AlertId(pub i64);

/// How bad it is.
#[derive(
    Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize, utoipa::ToSchema,
)]
#[serde(rename_all = "lowercase")]
pub enum Level {
    /// Look at it today.
    Warning,
    /// Look at it now.
    Critical,
}

impl Level {
    /// The name in JSON and in the database.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Warning => "warning",
            Self::Critical => "critical",
        }
    }
}

/// What an alert is about. The `type` of the REST interface.
#[derive(
    Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize, utoipa::ToSchema,
)]
#[serde(rename_all = "snake_case")]
pub enum Rule {
    /// CPU use over its threshold.
    Cpu,
    /// Memory use over its threshold.
    Memory,
    /// A filesystem's use over its threshold; the label is the mount point.
    Disk,
    /// The server does not answer; the label is empty, the params name the cause.
    Unreachable,
}

impl Rule {
    /// The name in JSON and in the database.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Cpu => "cpu",
            Self::Memory => "memory",
            Self::Disk => "disk",
            Self::Unreachable => "unreachable",
        }
    }
}

/// What makes two observations the same alert.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct AlertKey {
    /// Of which server.
    pub server_id: ServerId,
    /// By which rule.
    pub rule: Rule,
    /// Of which part of the server: a mount point, or empty.
    pub label: String,
}

/// Where an alert is in its life. A pending alert that clears leaves no trace.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum AlertPhase {
    /// Over the threshold, but not yet for long enough. Not shown.
    Pending,
    /// Open.
    Firing,
    /// Over; `held` when a person closed it while the condition still holds.
    Resolved,
}

/// An alert as stored, of any phase.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Alert {
    /// Row id.
    pub id: AlertId,
    /// Identity.
    pub key: AlertKey,
    /// Where it is in its life.
    pub phase: AlertPhase,
    /// How bad it is (the worst threshold now crossed).
    pub level: Level,
    /// Since when the condition has held (event time).
    pub pending_since: Timestamp,
    /// When it fired; for a pending alert, when it was first seen.
    pub created_at: Timestamp,
    /// When it was resolved.
    pub resolved_at: Option<Timestamp>,
    /// Who resolved it: a user name, `token:NAME`; `None` when it resolved by itself.
    pub resolved_by: Option<String>,
    /// Closed by a person while the condition holds: it stays quiet until the condition
    /// clears or rises to a higher level.
    pub held: bool,
    /// Since when the value has been under the clear threshold, while firing.
    pub clearing_since: Option<Timestamp>,
    /// Since when the value has asked for the other level, while firing: at or over the critical
    /// threshold of a warning, or under the clear threshold of a critical alert.
    pub level_change_since: Option<Timestamp>,
    /// The newest reading that a running clock of this alert (`pending_since`, `clearing_since`,
    /// `level_change_since`) rests on (event time). A long gap after it starts the clock anew:
    /// time in which nobody looked proves nothing.
    pub evidence_at: Timestamp,
    /// Readings in a row that showed the condition, while pending.
    pub evidence_count: u32,
    /// Values for the message: `value_permille`, `threshold_permille`, `mount_point`; of an
    /// unreachable server `cause_code`, `cause_message`, `cause_params`.
    pub params: BTreeMap<String, serde_json::Value>,
}
