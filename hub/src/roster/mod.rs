//! Rosters: what other programs know of a fleet (an OpenSSH client's configuration, `known_hosts`, an
//! Ansible inventory, a table, a plain list), read into candidates and compared with what is enrolled.
//!
//! Pure: texts come in, a plan comes out. A file that a text refers to is asked of [`Files`]; nothing
//! here opens a path or a socket, and nothing here writes.

mod detect;
mod files;
mod inventory;
mod known_hosts;
mod list;
mod plan;
mod read;
mod remark;
mod shell_words;
mod ssh_config;
mod table;
mod values;

#[cfg(test)]
mod tests;

use std::collections::BTreeMap;

use serde::Serialize;

use crate::model::{HostKey, Secret};

pub use files::{File, Files, Uploaded, glob, is_private_key, last_part as file_name};
pub use plan::{Action, Defaults, FieldChange, Jump, Login, Plan, Row, plan};
pub use read::{Hosts, read};
pub use remark::{Remark, RemarkCode};

/// Hosts of one roster at most; more are a mistake, or more than one hub carries.
pub const MOST_HOSTS: usize = 10_000;

/// What a text is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, utoipa::ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum Format {
    /// `ssh_config(5)`.
    SshConfig,
    /// `known_hosts`, as `sshd(8)` describes it.
    KnownHosts,
    /// An Ansible inventory in INI.
    AnsibleIni,
    /// An Ansible inventory in YAML.
    AnsibleYaml,
    /// A table with a row of headings.
    Csv,
    /// One address a line.
    List,
    /// A private key that one of the others refers to.
    PrivateKey,
}

impl Format {
    /// Every format by the name it has in JSON and on the command line.
    pub const ALL: [(&str, Self); 7] = [
        ("ssh_config", Self::SshConfig),
        ("known_hosts", Self::KnownHosts),
        ("ansible_ini", Self::AnsibleIni),
        ("ansible_yaml", Self::AnsibleYaml),
        ("csv", Self::Csv),
        ("list", Self::List),
        ("private_key", Self::PrivateKey),
    ];

    /// The name in JSON and on the command line.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        Self::ALL
            .iter()
            .find(|(_, format)| *format == self)
            .map_or("", |(name, _)| name)
    }
}

/// Where something stands.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize, utoipa::ToSchema)]
pub struct Place {
    /// Name of the file, as it was given.
    pub file: String,
    /// Counted from 1.
    pub line: u32,
}

/// A field of a server that a roster may state. The name is that of the REST interface.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
#[expect(missing_docs, reason = "each is the field of the same name of a server")]
pub enum Field {
    Ip,
    SshPort,
    SshUser,
    Transport,
    IntervalSeconds,
    Group,
    Enabled,
    CpuThreshold,
    CpuCriticalThreshold,
    MemoryThreshold,
    MemoryCriticalThreshold,
    DiskThreshold,
    DiskCriticalThreshold,
}

impl Field {
    /// The name in the REST interface.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Ip => "ip",
            Self::SshPort => "ssh_port",
            Self::SshUser => "ssh_user",
            Self::Transport => "transport",
            Self::IntervalSeconds => "interval_seconds",
            Self::Group => "group",
            Self::Enabled => "enabled",
            Self::CpuThreshold => "cpu_threshold",
            Self::CpuCriticalThreshold => "cpu_critical_threshold",
            Self::MemoryThreshold => "memory_threshold",
            Self::MemoryCriticalThreshold => "memory_critical_threshold",
            Self::DiskThreshold => "disk_threshold",
            Self::DiskCriticalThreshold => "disk_critical_threshold",
        }
    }
}

/// The value of a field as it stands in a text, not looked at yet.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Found {
    /// The value.
    pub text: String,
    /// Where it stands.
    pub place: Place,
    /// The column of a table, counted from 1.
    pub column: Option<u32>,
}

/// A private key that a text names.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct KeyFile {
    /// As the text names it.
    pub path: String,
    /// What is in it; `None`: it was not given.
    pub text: Option<Secret>,
    /// Its public half, once [`Hosts::check_keys`] has looked at it.
    pub public_key: Option<HostKey>,
}

impl KeyFile {
    /// A key that nobody has looked at yet.
    #[must_use]
    pub fn new(path: impl Into<String>, text: Option<Secret>) -> Self {
        Self {
            path: path.into(),
            text,
            public_key: None,
        }
    }
}

/// One host on the way to another.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct Hop {
    /// Log-in name, where the text says one.
    pub user: Option<String>,
    /// Name in the same text, name of an enrolled server, or address.
    pub host: String,
    /// Port, where the text says one.
    pub port: Option<u16>,
}

impl std::fmt::Display for Hop {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        if let Some(user) = &self.user {
            write!(formatter, "{user}@")?;
        }
        match self.port {
            Some(port) if self.host.contains(':') => write!(formatter, "[{}]:{port}", self.host),
            Some(port) => write!(formatter, "{}:{port}", self.host),
            None => formatter.write_str(&self.host),
        }
    }
}

/// One host a roster speaks of.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Candidate {
    /// Where it stands.
    pub place: Place,
    /// What it is called there.
    pub name: String,
    /// What is said of it.
    pub fields: BTreeMap<Field, Found>,
    /// What to log in with.
    pub password: Option<Secret>,
    /// What to log in with.
    pub key: Option<KeyFile>,
    /// Opens the key.
    pub passphrase: Option<Secret>,
    /// The way to it, nearest to the hub first; empty: straight; `None`: nothing is said.
    pub jumps: Option<Vec<Hop>>,
    /// Words to find it by.
    pub tags: Vec<String>,
    /// Keys it proves itself with.
    pub host_keys: Vec<HostKey>,
    /// What is remarkable about it; one that [`Remark::forbids`] keeps it from being taken.
    pub remarks: Vec<Remark>,
    /// Whether the text speaks of it only as the way to others.
    pub is_only_hop: bool,
}

impl Candidate {
    /// A host of which only the name is known.
    #[must_use]
    pub fn new(name: impl Into<String>, place: Place) -> Self {
        Self {
            place,
            name: name.into(),
            fields: BTreeMap::new(),
            password: None,
            key: None,
            passphrase: None,
            jumps: None,
            tags: Vec::new(),
            host_keys: Vec::new(),
            remarks: Vec::new(),
            is_only_hop: false,
        }
    }

    /// States a field where its host stands.
    pub fn state(&mut self, field: Field, text: impl Into<String>) {
        let place = self.place.clone();
        self.state_at(field, text, place, None);
    }

    /// States a field that stands elsewhere.
    pub fn state_at(&mut self, field: Field, text: impl Into<String>, place: Place, column: Option<u32>) {
        let text = text.into();
        self.fields.insert(field, Found { text, place, column });
    }

    /// What is said of a field.
    #[must_use]
    pub fn text(&self, field: Field) -> Option<&str> {
        self.fields.get(&field).map(|found| found.text.as_str())
    }

    /// Where it is reached: the address, or else the name.
    #[must_use]
    pub fn address(&self) -> &str {
        self.text(Field::Ip).unwrap_or(&self.name)
    }

    /// The port that is said, where it is one.
    #[must_use]
    pub fn port(&self) -> Option<u16> {
        self.text(Field::SshPort)?.trim().parse().ok()
    }
}
