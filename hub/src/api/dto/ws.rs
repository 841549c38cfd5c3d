//! The messages of `/ws`.
//!
//! Server to client: [`Message`] as JSON text, or the text `pong`. Client to server: the texts
//! `ping` and `refresh`, or [`WatchRequest`] as JSON.

use gander_probe::Snapshot;
use serde::Serialize;
use utoipa::ToSchema;

use crate::model::{ServerId, Timestamp};

use super::{alert::AlertView, server::ServerView, system::Stats};

/// What the hub sends over `/ws`.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = WsMessage)]
#[serde(tag = "type", rename_all = "lowercase")]
pub enum Message<'a> {
    /// The full state: first, and again when a client was too slow to follow.
    Initial(Initial<'a>),
    /// What a commit changed.
    Delta(Delta<'a>),
    /// The newest reading of a watched server in full.
    Snapshot(WatchedSnapshot<'a>),
    /// A request that was not understood or not allowed.
    Error(Refusal),
}

/// The full state.
#[derive(Debug, Serialize, ToSchema)]
pub struct Initial<'a> {
    /// Figures of the whole fleet.
    #[schema(value_type = Stats)]
    pub stats: &'a Stats,
    /// Every server.
    #[schema(value_type = Vec<ServerView>)]
    pub servers: Vec<&'a ServerView>,
    /// Every open alert.
    #[schema(value_type = Vec<AlertView>)]
    pub alerts: Vec<&'a AlertView>,
    /// When this was true.
    pub timestamp: Timestamp,
}

/// What a commit changed.
#[derive(Debug, Serialize, ToSchema)]
pub struct Delta<'a> {
    /// Figures of the whole fleet.
    #[schema(value_type = Stats)]
    pub stats: &'a Stats,
    /// Servers that were added or changed, whole.
    #[schema(value_type = Vec<ServerView>)]
    pub servers: Vec<&'a ServerView>,
    /// Servers that are gone.
    pub removed: Vec<ServerId>,
    /// Alerts that opened, changed or ended.
    #[schema(value_type = Vec<AlertView>)]
    pub alerts: Vec<AlertView>,
    /// When this was true.
    pub timestamp: Timestamp,
}

/// The newest reading of a watched server.
#[derive(Debug, Serialize, ToSchema)]
pub struct WatchedSnapshot<'a> {
    /// Which server.
    pub server_id: ServerId,
    /// When the values were true.
    pub taken_at: Option<Timestamp>,
    /// The values.
    #[schema(value_type = Snapshot)]
    pub snapshot: &'a Snapshot,
}

/// A request that was not understood or not allowed.
#[derive(Debug, Serialize, ToSchema)]
pub struct Refusal {
    /// Stable, for programs and translations.
    pub code: &'static str,
    /// For a person.
    pub message: String,
}

/// Names the servers a client looks at; replaces what it named before. `{"type":"watch","servers":[1,2]}`.
#[derive(Debug, ToSchema)]
#[schema(as = WsWatchRequest)]
pub struct WatchRequest {
    /// Always `watch`.
    #[schema(example = "watch")]
    pub r#type: String,
    /// Ids, at most 50.
    pub servers: Vec<ServerId>,
}
