//! Events: the record of what happened and who did it.

use serde::Serialize;
use utoipa::ToSchema;

use crate::model::{EventKind, ServerId, Timestamp};

/// One thing that happened.
#[derive(Debug, Clone, Serialize, ToSchema)]
#[schema(as = Event)]
pub struct EventView {
    /// Row id; newer events have larger ones.
    pub id: i64,
    /// When.
    pub at: Timestamp,
    /// What.
    pub kind: EventKind,
    /// To which server.
    pub server_id: Option<ServerId>,
    /// By whom: a user name, `token:NAME`; null for the hub itself.
    pub actor: Option<String>,
    /// Values for the sentence. Never a secret.
    #[schema(value_type = Object)]
    pub details: serde_json::Value,
}
