//! Bringing in a fleet: texts that other programs use, what they would change, and doing it.

use serde::Serialize;
use utoipa::ToSchema;

use crate::{
    model::{CredentialId, HostKey, ServerId, Transport},
    roster::{Action, FieldChange, Format, Place, Remark},
};

use super::probe::TestAnswer;

/// One text.
#[derive(Debug, ToSchema)]
pub struct ImportFileRequest {
    /// Its name: what others refer to it by (`conf.d/web.conf`, `id_ed25519`).
    pub name: String,
    /// What is in it.
    #[schema(write_only)]
    pub text: String,
    /// What it is; without it, that is found out.
    #[schema(required = false, nullable)]
    pub format: Option<Format>,
}

/// Texts, and what is chosen where they leave it open. The same for a preview, a test and the import.
#[derive(Debug, ToSchema)]
pub struct ImportRequest {
    /// The texts, read together: a list of hosts, what it includes, `known_hosts`, key files.
    pub files: Vec<ImportFileRequest>,
    /// Log-in name where a text says none.
    #[schema(required = false, nullable)]
    pub ssh_user: Option<String>,
    /// Port where a text says none.
    #[schema(required = false, minimum = 1, maximum = 65535, default = 22)]
    pub ssh_port: u16,
    /// Password where a text brings no log-in.
    #[schema(required = false, nullable, write_only)]
    pub ssh_password: Option<String>,
    /// Private key where a text brings no log-in.
    #[schema(required = false, nullable, write_only)]
    pub ssh_key: Option<String>,
    /// Passphrase of the private keys, this one and those of the texts.
    #[schema(required = false, nullable, write_only)]
    pub ssh_key_passphrase: Option<String>,
    /// Log in with the hub's own key where a text brings no log-in; so it is too when nothing is chosen.
    #[schema(required = false, default = false)]
    pub hub_key: bool,
    /// A shared credential where a text brings no log-in.
    #[schema(required = false, nullable)]
    pub credential_id: Option<CredentialId>,
    /// Every new server gets these too.
    #[schema(required = false)]
    pub tags: Vec<String>,
    /// Group where a text says none.
    #[schema(required = false, nullable)]
    pub group: Option<String>,
    /// Poll interval in seconds where a text says none; null takes the hub's.
    #[schema(required = false, nullable, minimum = 1, maximum = 86400)]
    pub interval_seconds: Option<u32>,
    /// `auto` (default), `ssh` or `agent` where a text says nothing.
    #[schema(required = false)]
    pub transport: Transport,
    /// Enrolled server to go through where a text says no way.
    #[schema(required = false, nullable)]
    pub jump_server_id: Option<ServerId>,
    /// The `plan` of the preview that was agreed to. Required for a test and for the import.
    #[schema(required = false, nullable)]
    pub plan: Option<String>,
    /// Positions of the rows that are meant; without it, all that do something.
    #[schema(required = false, nullable)]
    pub rows: Option<Vec<i64>>,
    /// Host keys a person has seen and confirmed: `5 ssh-ed25519 AAAA…`, the row before the key.
    #[schema(required = false)]
    pub host_keys: Vec<String>,
}

/// What a text was taken for.
#[derive(Debug, Clone, Serialize, ToSchema)]
pub struct ImportedFile {
    /// Its name.
    pub name: String,
    /// What it was taken for.
    pub format: Format,
}

/// What would become of one host.
#[derive(Debug, Clone, Serialize, ToSchema)]
pub struct ImportRow {
    /// Its position in the plan.
    pub row: usize,
    /// What happens to it.
    pub action: Action,
    /// Where it stands.
    pub place: Place,
    /// The enrolled server it is; null for a new one.
    pub server_id: Option<ServerId>,
    /// Name.
    pub name: String,
    /// Address or host name.
    pub ip: String,
    /// SSH port.
    pub ssh_port: u16,
    /// Log-in name; empty where the shared credential brings it.
    pub ssh_user: String,
    /// Tags.
    pub tags: Vec<String>,
    /// Group.
    pub group: Option<String>,
    /// Poll interval in seconds; null takes the hub's.
    pub interval_seconds: Option<u32>,
    /// How it is read.
    pub transport: Transport,
    /// The enrolled server it is reached through.
    pub jump_server_id: Option<ServerId>,
    /// The row it is reached through.
    pub jump_row: Option<usize>,
    /// Name of the key file it brings; null when it brings none.
    pub key: Option<String>,
    /// Whether it brings a password.
    pub has_password: bool,
    /// The host key that would be pinned.
    pub host_key: Option<HostKey>,
    /// Fields of an enrolled server that would change.
    pub changes: Vec<FieldChange>,
    /// Why it is skipped, first; and what else is remarkable.
    pub remarks: Vec<Remark>,
}

/// What would become of all of them. Nothing was written.
#[derive(Debug, Clone, Serialize, ToSchema)]
pub struct ImportPlan {
    /// A word for exactly this plan: send it with the import, which is refused when the plan is another by then.
    pub plan: String,
    /// What each text was taken for.
    pub files: Vec<ImportedFile>,
    /// The hosts, in the order of the texts.
    pub rows: Vec<ImportRow>,
    /// How many would be added.
    pub add: usize,
    /// How many would change.
    pub change: usize,
    /// How many would be skipped.
    pub skip: usize,
    /// What is remarkable about no one host.
    pub remarks: Vec<Remark>,
}

/// What was done.
#[derive(Debug, Clone, Serialize, ToSchema)]
pub struct ImportAnswer {
    /// The new servers.
    pub added: Vec<ServerId>,
    /// How many enrolled servers changed.
    pub changed: usize,
    /// How many shared credentials were made of key files.
    pub credentials: usize,
}

/// One line of the stream of a test.
#[derive(Debug, Clone, Serialize, ToSchema)]
pub struct ImportTestLine {
    /// How many rows are tested in all.
    pub total: usize,
    /// How many are done, this one included.
    pub done: usize,
    /// The row.
    pub row: usize,
    /// What was found.
    pub answer: TestAnswer,
}
