//! The settings, one row each. Add one here and to [`Config`]; everything else follows.

use std::fmt::Write as _;

use super::{Config, LogFormat, values};
use crate::model::Secret;

/// One setting.
pub struct Setting {
    /// Its place in the TOML file: `section.key`.
    pub path: &'static str,
    /// Its names in the environment; the first one is shown.
    pub env: &'static [&'static str],
    /// Its default, in the form of a value; empty for none.
    pub default: &'static str,
    /// What values look like, as error messages and help say it.
    pub accepted: &'static str,
    /// What it is for: one line.
    pub about: &'static str,
    /// How the TOML file writes a value of it.
    pub(super) kind: Kind,
    /// Never shown; may stand in a file of its own (`_FILE`), and not on a command line.
    pub secret: bool,
    /// Takes over a value; an empty text is "none" where there may be none.
    pub(super) apply: fn(&mut Config, &str) -> Result<(), String>,
}

/// What a value is in the TOML file.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Kind {
    Text,
    Number,
    Boolean,
    /// Texts; elsewhere they stand in one, separated by commas.
    List,
}

impl Setting {
    /// The long flag, without dashes in front: `http-listen`.
    #[must_use]
    pub fn flag(&self) -> String {
        let name = self.env[0].strip_prefix("GANDER_").unwrap_or(self.env[0]);
        name.to_ascii_lowercase().replace('_', "-")
    }
}

/// Every setting, in the order of the sample file.
pub const SETTINGS: &[Setting] = &[
    Setting {
        path: "http.listen",
        env: &["GANDER_HTTP_LISTEN"],
        default: "0.0.0.0:8000",
        accepted: "ADDRESS:PORT, such as 0.0.0.0:8000, 127.0.0.1:8000 or [::]:8000",
        about: "Address and port of the dashboard, REST and WebSocket.",
        kind: Kind::Text,
        secret: false,
        apply: |config, text| set(&mut config.http_listen, values::parsed(text)),
    },
    Setting {
        path: "http.public_url",
        env: &["GANDER_PUBLIC_URL"],
        default: "",
        accepted: "http:// or https:// and a host, such as https://gander.example.org",
        about: "Where people reach the hub, when that is not its own address: for links.",
        kind: Kind::Text,
        secret: false,
        apply: |config, text| set(&mut config.public_url, values::optional(text, values::url)),
    },
    Setting {
        path: "http.cors_origins",
        env: &["GANDER_CORS_ORIGINS"],
        default: "",
        accepted: "origins separated by commas, such as https://status.example.org",
        about: "Other web origins whose pages may call the REST interface (with an API token).",
        kind: Kind::List,
        secret: false,
        apply: |config, text| set(&mut config.cors_origins, values::list(text, values::origin)),
    },
    Setting {
        path: "http.trusted_proxies",
        env: &["GANDER_TRUSTED_PROXIES"],
        default: "",
        accepted: "addresses or ranges separated by commas, such as 127.0.0.1,10.0.0.0/8",
        about: "Reverse proxies whose X-Forwarded-For and X-Forwarded-Proto are believed.",
        kind: Kind::List,
        secret: false,
        apply: |config, text| set(&mut config.trusted_proxies, values::list(text, str::parse)),
    },
    Setting {
        path: "grpc.listen",
        env: &["GANDER_GRPC_LISTEN"],
        default: "0.0.0.0:8001",
        accepted: "ADDRESS:PORT, such as 0.0.0.0:8001, 127.0.0.1:8001 or [::]:8001",
        about: "Address and port of gRPC (agents and other programs), over TLS.",
        kind: Kind::Text,
        secret: false,
        apply: |config, text| set(&mut config.grpc_listen, values::parsed(text)),
    },
    Setting {
        path: "grpc.address",
        env: &["GANDER_GRPC_ADDRESS"],
        default: "",
        accepted: "HOST:PORT, such as gander.example.org:8001",
        about: "Where agents reach the gRPC port, when that is not the page's host and the port above.",
        kind: Kind::Text,
        secret: false,
        apply: |config, text| {
            set(
                &mut config.grpc_address,
                values::optional(text, values::host_and_port),
            )
        },
    },
    Setting {
        path: "grpc.proxy_protocol",
        env: &["GANDER_GRPC_PROXY_PROTOCOL"],
        default: "",
        accepted: "addresses or ranges separated by commas, such as 127.0.0.1,10.0.0.0/8",
        about: "Proxies that pass gRPC connections through and say in front, by the PROXY protocol, who is there.",
        kind: Kind::List,
        secret: false,
        apply: |config, text| set(&mut config.grpc_proxy_protocol, values::list(text, str::parse)),
    },
    Setting {
        path: "grpc.agent_directory",
        env: &["GANDER_AGENT_DIRECTORY"],
        default: "",
        accepted: "the path of a directory, such as /usr/lib/gander/agents",
        about: "Agents to hand out, as gander-agent-ARCHITECTURE (uname -m); by default gander-agent beside the hub.",
        kind: Kind::Text,
        secret: false,
        apply: |config, text| {
            set(
                &mut config.agent_directory,
                values::optional(text, values::directory),
            )
        },
    },
    Setting {
        path: "grpc.agent_certificates",
        env: &["GANDER_AGENT_CERTIFICATES"],
        default: "90d",
        accepted: "a time such as 12h or 90d (at least 6s, at most 10 years)",
        about: "How long an agent's certificate works. An agent takes a new one after a third of that.",
        kind: Kind::Text,
        secret: false,
        apply: |config, text| set(&mut config.agent_certificates, values::certificate_lifetime(text)),
    },
    Setting {
        path: "database.path",
        env: &["DATABASE_PATH", "GANDER_DATABASE_PATH"],
        default: "./data/gander.db",
        accepted: "the path of a file, such as /var/lib/gander/gander.db",
        about: "The database file. Its directory is made when it does not exist.",
        kind: Kind::Text,
        secret: false,
        apply: |config, text| set(&mut config.database_path, values::path(text)),
    },
    Setting {
        path: "database.master_key_file",
        env: &["GANDER_MASTER_KEY_FILE"],
        default: "",
        accepted: "the path of a file with mode 0600",
        about: "The key that seals stored SSH secrets; by default master.key beside the database.",
        kind: Kind::Text,
        secret: false,
        apply: |config, text| set(&mut config.master_key_file, values::optional(text, values::path)),
    },
    Setting {
        path: "database.retention",
        env: &["GANDER_RETENTION"],
        default: "30d",
        accepted: "a time such as 12h, 30d or 52w (at least 1h), or forever",
        about: "How long samples are kept. What the dashboard says about retention wins over this.",
        kind: Kind::Text,
        secret: false,
        apply: |config, text| set(&mut config.retention, values::retention(text)),
    },
    Setting {
        path: "database.retention_15m",
        env: &["GANDER_RETENTION_15M"],
        default: "180d",
        accepted: "a time such as 30d or 52w (at least 1h), or forever",
        about: "How long minimum, mean and maximum of every 15 minutes are kept; no shorter than samples.",
        kind: Kind::Text,
        secret: false,
        apply: |config, text| set(&mut config.retention_15m, values::retention(text)),
    },
    Setting {
        path: "database.retention_3h",
        env: &["GANDER_RETENTION_3H"],
        default: "260w",
        accepted: "a time such as 52w (at least 1h), or forever",
        about: "How long minimum, mean and maximum of every 3 hours are kept; no shorter than the above.",
        kind: Kind::Text,
        secret: false,
        apply: |config, text| set(&mut config.retention_3h, values::retention(text)),
    },
    Setting {
        path: "backup.directory",
        env: &["GANDER_BACKUP_DIRECTORY"],
        default: "",
        accepted: "the path of a directory",
        about: "Where backups of the database go; by default backups beside the database. Better: another disk.",
        kind: Kind::Text,
        secret: false,
        apply: |config, text| {
            set(
                &mut config.backup_directory,
                values::optional(text, values::directory),
            )
        },
    },
    Setting {
        path: "backup.interval",
        env: &["GANDER_BACKUP_INTERVAL"],
        default: "1d",
        accepted: "a time such as 6h or 1d (at least 1m), or off",
        about: "Time between two backups.",
        kind: Kind::Text,
        secret: false,
        apply: |config, text| set(&mut config.backup_interval, values::backup_interval(text)),
    },
    Setting {
        path: "backup.keep",
        env: &["GANDER_BACKUP_KEEP"],
        default: "7",
        accepted: "a number from 1 to 1000",
        about: "How many backups are kept; older ones are removed.",
        kind: Kind::Number,
        secret: false,
        apply: |config, text| set(&mut config.backup_keep, values::number(text, 1..=1000)),
    },
    Setting {
        path: "backup.keep_weekly",
        env: &["GANDER_BACKUP_KEEP_WEEKLY"],
        default: "0",
        accepted: "a number from 0 to 1000",
        about: "Of how many weeks the newest backup is kept beyond that.",
        kind: Kind::Number,
        secret: false,
        apply: |config, text| set(&mut config.backup_keep_weekly, values::number(text, 0..=1000)),
    },
    Setting {
        path: "backup.s3_endpoint",
        env: &["GANDER_BACKUP_S3_ENDPOINT"],
        default: "",
        accepted: "http:// or https:// and a host, such as https://s3.eu-west-1.amazonaws.com",
        about: "An S3-compatible store that every backup is uploaded to as well.",
        kind: Kind::Text,
        secret: false,
        apply: |config, text| set(&mut config.s3_endpoint, values::optional(text, values::url)),
    },
    Setting {
        path: "backup.s3_region",
        env: &["GANDER_BACKUP_S3_REGION"],
        default: "us-east-1",
        accepted: "the name of a region",
        about: "The store's region; what is said to stores that have none.",
        kind: Kind::Text,
        secret: false,
        apply: |config, text| set(&mut config.s3_region, values::text(text)),
    },
    Setting {
        path: "backup.s3_bucket",
        env: &["GANDER_BACKUP_S3_BUCKET"],
        default: "",
        accepted: "the name of a bucket",
        about: "The bucket.",
        kind: Kind::Text,
        secret: false,
        apply: |config, text| set(&mut config.s3_bucket, values::optional(text, values::text)),
    },
    Setting {
        path: "backup.s3_prefix",
        env: &["GANDER_BACKUP_S3_PREFIX"],
        default: "gander/",
        accepted: "the beginning of names, such as gander/",
        about: "What the names of backups begin with in the bucket.",
        kind: Kind::Text,
        secret: false,
        apply: |config, text| set(&mut config.s3_prefix, values::text(text)),
    },
    Setting {
        path: "backup.s3_access_key",
        env: &["GANDER_BACKUP_S3_ACCESS_KEY"],
        default: "",
        accepted: "the name of a key",
        about: "The name of the key for the bucket.",
        kind: Kind::Text,
        secret: false,
        apply: |config, text| set(&mut config.s3_access_key, values::optional(text, values::text)),
    },
    Setting {
        path: "backup.s3_secret_key",
        env: &["GANDER_BACKUP_S3_SECRET_KEY"],
        default: "",
        accepted: "the key; as s3_secret_key_file (or GANDER_BACKUP_S3_SECRET_KEY_FILE) the path of a file that holds it",
        about: "The key for the bucket.",
        kind: Kind::Text,
        secret: true,
        apply: |config, text| {
            config.s3_secret_key = (!text.is_empty()).then(|| Secret::new(text.to_owned()));
            Ok(())
        },
    },
    Setting {
        path: "backup.s3_path_style",
        env: &["GANDER_BACKUP_S3_PATH_STYLE"],
        default: "true",
        accepted: "true or false",
        about: "Whether the bucket's name stands in the path (true) or in the host name.",
        kind: Kind::Boolean,
        secret: false,
        apply: |config, text| set(&mut config.s3_path_style, values::boolean(text)),
    },
    Setting {
        path: "collect.interval",
        env: &["GANDER_INTERVAL"],
        default: "30s",
        accepted: "a time such as 10s, 30s or 5m (1s to 1d)",
        about: "Time between two looks at a server that has no interval of its own.",
        kind: Kind::Text,
        secret: false,
        apply: |config, text| set(&mut config.interval, values::interval(text)),
    },
    Setting {
        path: "collect.local_server",
        env: &["GANDER_LOCAL_SERVER"],
        default: "true",
        accepted: "true or false",
        about: "Whether the first start enrols the hub's own machine.",
        kind: Kind::Boolean,
        secret: false,
        apply: |config, text| set(&mut config.local_server, values::boolean(text)),
    },
    Setting {
        path: "ssh.agent_socket",
        env: &["GANDER_SSH_AGENT_SOCKET"],
        default: "",
        accepted: "the path of a socket, such as /run/gander/ssh-agent.sock",
        about: "The ssh-agent that credentials of kind \"agent\" log in with; without it SSH_AUTH_SOCK.",
        kind: Kind::Text,
        secret: false,
        apply: |config, text| set(&mut config.ssh_agent_socket, values::optional(text, values::path)),
    },
    Setting {
        path: "admin.user",
        env: &["GANDER_ADMIN_USER"],
        default: "",
        accepted: "a log-in name",
        about: "The first account, an admin, made while there is none. Without it the hub prints a set-up link.",
        kind: Kind::Text,
        secret: false,
        apply: |config, text| set(&mut config.admin_user, values::optional(text, values::text)),
    },
    Setting {
        path: "admin.password",
        env: &["GANDER_ADMIN_PASSWORD"],
        default: "",
        accepted: "the password; as password_file (or GANDER_ADMIN_PASSWORD_FILE) the path of a file that holds it",
        about: "The first account's password. Not needed any more once the account exists.",
        kind: Kind::Text,
        secret: true,
        apply: |config, text| {
            config.admin_password = (!text.is_empty()).then(|| Secret::new(text.to_owned()));
            Ok(())
        },
    },
    Setting {
        path: "log.format",
        env: &["GANDER_LOG_FORMAT"],
        default: "auto",
        accepted: "auto, human or json",
        about: "How log lines look: auto has colours on a terminal, json is one object a line.",
        kind: Kind::Text,
        secret: false,
        apply: |config, text| {
            config.log_format = match text {
                "auto" => LogFormat::Auto,
                "human" => LogFormat::Human,
                "json" => LogFormat::Json,
                _ => return Err(String::new()),
            };
            Ok(())
        },
    },
    Setting {
        path: "log.filter",
        env: &["GANDER_LOG"],
        default: "info",
        accepted: "error, warn, info, debug, trace, or by module: info,gander_hub::collect=debug",
        about: "Which log lines are written.",
        kind: Kind::Text,
        secret: false,
        apply: |config, text| set(&mut config.log_filter, values::log_filter(text)),
    },
];

fn set<T>(field: &mut T, value: Result<T, String>) -> Result<(), String> {
    *field = value?;
    Ok(())
}

/// The commented sample file: every setting with its default.
#[must_use]
pub fn sample_file() -> String {
    let mut text = String::from(
        "# gander-hub: every setting with its default. Remove the # in front of a line to change it.\n\
         #\n\
         # Start the hub with --config FILE or GANDER_CONFIG=FILE. A setting in the environment wins over\n\
         # this file, a flag wins over both. `gander-hub check-config` shows what holds, and why.\n",
    );
    let mut section = "";
    for setting in SETTINGS {
        let (own_section, key) = split(setting.path);
        if own_section != section {
            section = own_section;
            let _ = write!(text, "\n[{section}]\n");
        } else {
            text.push('\n');
        }
        let _ = writeln!(text, "# {}", setting.about);
        let _ = writeln!(
            text,
            "# {} in the environment. Takes {}.",
            setting.env[0], setting.accepted
        );
        let key = if setting.secret {
            format!("{key}_file")
        } else {
            key.to_owned()
        };
        let _ = writeln!(
            text,
            "#{key} = {}",
            values::to_toml(setting.kind, setting.default)
        );
    }
    text
}

/// Section and key of a path.
pub(super) fn split(path: &'static str) -> (&'static str, &'static str) {
    path.split_once('.').unwrap_or(("", path))
}
