//! Alerts as clients see them, with their sentence in the client's language.

use std::collections::BTreeMap;

use serde::Serialize;
use utoipa::ToSchema;

use crate::{
    alert::message::{self, Language},
    model::{
        Alert, AlertId, Level, ServerId, Timestamp,
        alert::{AlertPhase, Rule},
    },
};

/// One alert.
#[derive(Debug, Clone, Serialize, ToSchema)]
#[schema(as = Alert)]
pub struct AlertView {
    /// Row id.
    pub id: AlertId,
    /// Which server.
    pub server_id: ServerId,
    /// Its name.
    pub server_name: String,
    /// What it is about.
    #[serde(rename = "type")]
    pub rule: Rule,
    /// Which sentence it is, for translation: `cpu_over_threshold`, `memory_over_threshold`,
    /// `disk_over_threshold`, `unreachable`.
    pub code: &'static str,
    /// Values for the sentence: `value_permille`, `threshold_permille`, `mount_point`, `cause`, …
    #[schema(value_type = Object)]
    pub params: BTreeMap<String, serde_json::Value>,
    /// The sentence, in the language of `Accept-Language` (`zh` or `en`).
    pub message: String,
    /// How bad it is.
    pub level: Level,
    /// Of which part of the server: a mount point, or empty.
    pub label: String,
    /// Whether it is over.
    pub resolved: bool,
    /// When it ended.
    pub resolved_at: Option<Timestamp>,
    /// Who ended it: a user name, `token:NAME`; null when it ended by itself.
    pub resolved_by: Option<String>,
    /// When it fired.
    pub created_at: Timestamp,
}

impl AlertView {
    /// Writes an alert out for a client.
    #[must_use]
    pub fn new(alert: &Alert, server_name: &str, language: Language) -> Self {
        Self {
            id: alert.id,
            server_id: alert.key.server_id,
            server_name: server_name.to_owned(),
            rule: alert.key.rule,
            code: message::code(alert),
            params: alert.params.clone(),
            message: message::render(alert, server_name, language),
            level: alert.level,
            label: alert.key.label.clone(),
            resolved: alert.phase == AlertPhase::Resolved,
            resolved_at: alert.resolved_at,
            resolved_by: alert.resolved_by.clone(),
            created_at: alert.created_at,
        }
    }
}

/// Which alerts to resolve: by id, or all that are open.
#[derive(Debug, ToSchema)]
pub struct ResolveRequest {
    /// Ids of open alerts, at most 1,000.
    #[schema(required = false)]
    pub ids: Vec<AlertId>,
    /// `true`: all open alerts.
    #[schema(required = false)]
    pub all: bool,
}

/// How many alerts were resolved.
#[derive(Debug, Clone, Serialize, ToSchema)]
pub struct ResolveAnswer {
    /// Alerts that were open and are now resolved.
    pub resolved: u64,
}
