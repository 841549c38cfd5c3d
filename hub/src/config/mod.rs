//! The configuration: defaults < TOML file < environment < command line.
//!
//! Only `app`, `main` and `cli` see this module; every other part is handed plain values.

use std::{net::SocketAddr, path::PathBuf, time::Duration};

use crate::model::{IpRange, Secret};

/// The effective configuration of a hub.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Config {
    /// Address and port of the dashboard, REST and WebSocket.
    pub http_listen: SocketAddr,
    /// Where people reach the hub, without a trailing slash: for links. `None`: not known.
    pub public_url: Option<String>,
    /// Other origins whose pages may call the REST interface.
    pub cors_origins: Vec<String>,
    /// Reverse proxies whose `X-Forwarded-For` and `X-Forwarded-Proto` are believed.
    pub trusted_proxies: Vec<IpRange>,
    /// The database file.
    pub database_path: PathBuf,
    /// The master key for stored secrets; `None`: `master.key` beside the database.
    pub master_key_file: Option<PathBuf>,
    /// How long samples are kept; `None`: for ever.
    pub retention: Option<Duration>,
    /// Poll interval of servers that have none of their own.
    pub interval: Duration,
    /// Whether the hub's own machine is monitored from the first start.
    pub local_server: bool,
    /// The first admin, made at the start while there is none.
    pub admin_user: Option<String>,
    /// The first admin's password.
    pub admin_password: Option<Secret>,
    /// How log lines look.
    pub log_format: LogFormat,
    /// Which log lines are written, in the words of `RUST_LOG`.
    pub log_filter: String,
}

/// How log lines look.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum LogFormat {
    /// For people on a terminal, plain text elsewhere.
    #[default]
    Auto,
    /// For people.
    Human,
    /// One JSON object a line.
    Json,
}
