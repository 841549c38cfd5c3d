//! The words every part of the hub shares: ids, times, servers, readings, alerts, users.
//!
//! Plain data and pure functions. No I/O, no clock, no SQL, no HTTP: every sibling may
//! depend on this module and it depends on none of them.

pub mod agent;
pub mod alert;
pub mod certificate;
pub mod commit;
pub mod credential;
pub mod event;
pub mod host_authority;
pub mod host_key;
mod host_name;
pub mod ip_range;
pub mod metric;
pub mod reading;
mod receipt;
pub mod secret;
pub mod server;
pub mod time;
pub mod user;

pub use agent::{Agent, AgentId};
pub use alert::{Alert, AlertId, Level};
pub use certificate::Certificate;
pub use credential::{Credential, CredentialId};
pub use event::{Actor, Event, EventKind};
pub use host_authority::{HostAuthority, HostAuthorityId};
pub use host_key::HostKey;
pub use host_name::host_of;
pub use ip_range::IpRange;
pub use metric::{Metric, SeriesKey, Unit};
pub use reading::{CollectError, CollectErrorCode, Origin, Reading};
pub use secret::Secret;
pub use server::{Server, ServerId, ServerPath, ServerState, Status, Transport};
pub use time::Timestamp;
pub use user::{ApiToken, Role, User, UserId};
