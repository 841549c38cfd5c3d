//! The configuration: defaults < TOML file < environment < command line.
//!
//! Every setting is one row of [`table::SETTINGS`]; the file, the environment, the flags, the
//! sample file and `check-config` all follow from it. Only `app`, `main` and `cli` see this
//! module; every other part is handed plain values.

pub mod table;

mod file;
mod load;
mod values;

use std::{net::SocketAddr, path::PathBuf, time::Duration};

use crate::model::{IpRange, Secret};

pub use load::{ConfigErrors, Effective, Loaded, Origin, Sources, load};
pub use table::sample_file;
pub use values::{format_duration, parse_duration};

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
    /// Address and port of gRPC, over TLS.
    pub grpc_listen: SocketAddr,
    /// Where agents reach the gRPC port, as `HOST:PORT`; `None`: the host of the page.
    pub grpc_address: Option<String>,
    /// Proxies whose connections to the gRPC port begin with the PROXY protocol.
    pub grpc_proxy_protocol: Vec<IpRange>,
    /// Where the binaries of agents lie; `None`: beside the hub's own.
    pub agent_directory: Option<PathBuf>,
    /// How long an agent's certificate works.
    pub agent_certificates: Duration,
    /// The database file.
    pub database_path: PathBuf,
    /// The master key for stored secrets; `None`: `master.key` beside the database.
    pub master_key_file: Option<PathBuf>,
    /// How long samples are kept; `None`: for ever.
    pub retention: Option<Duration>,
    /// How long roll-ups of 15 minutes are kept; `None`: for ever.
    pub retention_15m: Option<Duration>,
    /// How long roll-ups of 3 hours are kept; `None`: for ever.
    pub retention_3h: Option<Duration>,
    /// Where backups go; `None`: `backups` beside the database.
    pub backup_directory: Option<PathBuf>,
    /// Time between two backups; `None`: only on request.
    pub backup_interval: Option<Duration>,
    /// How many backups are kept.
    pub backup_keep: u32,
    /// How many weeks keep their newest backup beyond that.
    pub backup_keep_weekly: u32,
    /// Address of the S3-compatible store that backups are uploaded to.
    pub s3_endpoint: Option<String>,
    /// Its region.
    pub s3_region: String,
    /// The bucket.
    pub s3_bucket: Option<String>,
    /// What the names of backups begin with in it.
    pub s3_prefix: String,
    /// Name of the key.
    pub s3_access_key: Option<String>,
    /// The key.
    pub s3_secret_key: Option<Secret>,
    /// Whether the bucket's name stands in the path, not in the host name.
    pub s3_path_style: bool,
    /// Poll interval of servers that have none of their own.
    pub interval: Duration,
    /// The socket of the ssh-agent that credentials of that kind use; `None`: there is none.
    pub ssh_agent_socket: Option<PathBuf>,
    /// Whether the hub's own machine is monitored from the first start.
    pub local_server: bool,
    /// The first admin, made at the start while there is no account.
    pub admin_user: Option<String>,
    /// The first admin's password.
    pub admin_password: Option<Secret>,
    /// How log lines look.
    pub log_format: LogFormat,
    /// Which log lines are written, in the words of `RUST_LOG`.
    pub log_filter: String,
}

impl Config {
    /// The master key file: the one named, or `master.key` beside the database.
    #[must_use]
    pub fn master_key_path(&self) -> PathBuf {
        match &self.master_key_file {
            Some(path) => path.clone(),
            None => self.database_path.with_file_name("master.key"),
        }
    }

    /// Where backups go: the directory named, or `backups` beside the database.
    #[must_use]
    pub fn backup_directory(&self) -> PathBuf {
        match &self.backup_directory {
            Some(path) => path.clone(),
            None => self.database_path.with_file_name("backups"),
        }
    }
}

/// How log lines look.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum LogFormat {
    /// With colours on a terminal, without them elsewhere.
    #[default]
    Auto,
    /// For people, without colours.
    Human,
    /// One JSON object a line.
    Json,
}

#[cfg(test)]
mod tests;
