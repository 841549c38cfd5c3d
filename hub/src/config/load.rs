//! Laying the sources over each other, and remembering where each value came from.

use std::{collections::BTreeMap, fmt, path::PathBuf};

use super::{
    Config, LogFormat, file,
    table::{SETTINGS, Setting},
    values,
};

/// Names that begin with `GANDER_` but are not settings of the hub.
const OTHER_NAMES: [&str; 5] = [
    "GANDER_CONFIG",
    "GANDER_HUB_BIN",
    "GANDER_PORT",
    "GANDER_IMAGE",
    "GANDER_BUILD_TARGET",
];

/// Where values are taken from.
#[derive(Debug, Clone, Default)]
pub struct Sources {
    /// The file named by `--config`; without it, the one named by `GANDER_CONFIG`.
    pub file: Option<PathBuf>,
    /// The environment.
    pub environment: BTreeMap<String, String>,
    /// Values of flags, by the path of the setting.
    pub flags: Vec<(&'static str, String)>,
}

/// Where a value came from.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Origin {
    /// Nobody set it.
    Default,
    /// The TOML file.
    File(PathBuf),
    /// A variable of the environment.
    Environment(String),
    /// A flag.
    Flag(String),
}

impl fmt::Display for Origin {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Default => write!(formatter, "default"),
            Self::File(path) => write!(formatter, "{}", path.display()),
            Self::Environment(name) => write!(formatter, "environment {name}"),
            Self::Flag(name) => write!(formatter, "flag --{name}"),
        }
    }
}

/// A setting with its effective value.
pub struct Effective {
    /// Which setting.
    pub setting: &'static Setting,
    /// Where the value came from.
    pub origin: Origin,
    text: String,
}

impl Effective {
    /// The value as the TOML file would have it; a secret as stars.
    #[must_use]
    pub fn shown(&self) -> String {
        if self.setting.secret && !self.text.is_empty() {
            return "\"********\"".into();
        }
        values::to_toml(self.setting.kind, &self.text)
    }
}

/// The effective configuration, and how it came about.
pub struct Loaded {
    /// The configuration.
    pub config: Config,
    /// Every setting in the order of the table.
    pub effective: Vec<Effective>,
    /// What a person should know but need not act on.
    pub warnings: Vec<String>,
}

/// All that is wrong with the configuration.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ConfigErrors(pub Vec<String>);

impl fmt::Display for ConfigErrors {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(&self.0.join("\n"))
    }
}

impl std::error::Error for ConfigErrors {}

/// The variable in which `ssh-agent` tells its socket.
const AGENT_SOCKET: &str = "SSH_AUTH_SOCK";

/// Reads all sources and checks every value.
///
/// # Errors
/// Unknown keys and bad values, all of them, each in one line that names the key, its place, the
/// value and the accepted form.
pub fn load(sources: &Sources) -> Result<Loaded, ConfigErrors> {
    let mut chosen: BTreeMap<&'static str, (String, Origin)> = BTreeMap::new();
    let mut errors = Vec::new();
    read_file(sources, &mut chosen, &mut errors);
    read_environment(sources, &mut chosen, &mut errors);
    for (path, text) in &sources.flags {
        if let Some(setting) = SETTINGS.iter().find(|setting| setting.path == *path) {
            chosen.insert(path, (text.clone(), Origin::Flag(setting.flag())));
        }
    }

    // Where every program looks for the agent, unless gander is told better.
    if let Some(socket) = sources
        .environment
        .get(AGENT_SOCKET)
        .filter(|text| !text.is_empty())
    {
        let origin = Origin::Environment(AGENT_SOCKET.to_owned());
        chosen
            .entry("ssh.agent_socket")
            .or_insert_with(|| (socket.clone(), origin));
    }

    let mut config = blank();
    let mut effective = Vec::new();
    for setting in SETTINGS {
        let (text, origin) = chosen
            .remove(setting.path)
            .unwrap_or_else(|| (setting.default.to_owned(), Origin::Default));
        if let Err(reason) = (setting.apply)(&mut config, text.trim()) {
            let shown = if setting.secret {
                "unusable".to_owned()
            } else {
                format!("\"{text}\"")
            };
            let reason = if reason.is_empty() {
                String::new()
            } else {
                format!(" ({reason})")
            };
            errors.push(format!(
                "{} is {shown}{reason}, from {origin}; it takes {}",
                setting.path, setting.accepted
            ));
        }
        effective.push(Effective {
            setting,
            origin,
            text,
        });
    }
    if config.admin_user.is_some() != config.admin_password.is_some() {
        let (set, missing) = if config.admin_user.is_some() {
            (
                "admin.user",
                "admin.password (GANDER_ADMIN_PASSWORD or GANDER_ADMIN_PASSWORD_FILE)",
            )
        } else {
            ("admin.password", "admin.user (GANDER_ADMIN_USER)")
        };
        errors.push(format!(
            "{set} is set and {missing} is not: the first account needs both, or neither"
        ));
    }
    let bucket = [
        ("backup.s3_endpoint", config.s3_endpoint.is_some()),
        ("backup.s3_bucket", config.s3_bucket.is_some()),
        ("backup.s3_access_key", config.s3_access_key.is_some()),
        ("backup.s3_secret_key", config.s3_secret_key.is_some()),
    ];
    if let Some((set, _)) = bucket.iter().find(|(_, is_set)| *is_set)
        && let Some((missing, _)) = bucket.iter().find(|(_, is_set)| !is_set)
    {
        errors.push(format!(
            "{set} is set and {missing} is not: a bucket needs all four"
        ));
    }
    if !errors.is_empty() {
        return Err(ConfigErrors(errors));
    }
    Ok(Loaded {
        config,
        effective,
        warnings: unknown_variables(&sources.environment),
    })
}

fn read_file(
    sources: &Sources,
    chosen: &mut BTreeMap<&'static str, (String, Origin)>,
    errors: &mut Vec<String>,
) {
    let named = sources
        .environment
        .get("GANDER_CONFIG")
        .filter(|path| !path.is_empty())
        .map(PathBuf::from);
    let Some(path) = sources.file.clone().or(named) else {
        return;
    };
    let text = match std::fs::read_to_string(&path) {
        Ok(text) => text,
        Err(error) => {
            errors.push(format!(
                "cannot read the configuration file {}: {error}",
                path.display()
            ));
            return;
        }
    };
    match file::parse(&path, &text) {
        Ok(read) => {
            for value in read {
                let text = if value.is_path_of_secret {
                    match secret_from(value.setting, &value.text) {
                        Ok(text) => text,
                        Err(error) => {
                            errors.push(error);
                            continue;
                        }
                    }
                } else {
                    value.text
                };
                if chosen
                    .insert(value.setting.path, (text, Origin::File(path.clone())))
                    .is_some()
                {
                    errors.push(format!(
                        "{0} and {0}_file are both set in {1}: keep one of them",
                        value.setting.path,
                        path.display()
                    ));
                }
            }
        }
        Err(wrong) => errors.extend(wrong),
    }
}

fn read_environment(
    sources: &Sources,
    chosen: &mut BTreeMap<&'static str, (String, Origin)>,
    errors: &mut Vec<String>,
) {
    // `NAME=` is how compose files and env files leave a value open: not set.
    let value = |name: &str| sources.environment.get(name).filter(|text| !text.is_empty());
    for setting in SETTINGS {
        let mut found: Vec<(String, String)> = Vec::new();
        for name in setting.env {
            if let Some(text) = value(name) {
                found.push(((*name).to_owned(), text.clone()));
            }
            let file_name = format!("{name}_FILE");
            if setting.secret
                && let Some(path) = value(&file_name)
            {
                match secret_from(setting, path) {
                    Ok(text) => found.push((file_name, text)),
                    Err(error) => errors.push(error),
                }
            }
        }
        if let [(first, one), (second, other), ..] = found.as_slice()
            && one != other
        {
            errors.push(format!(
                "{first} and {second} are both set and differ: keep one of them"
            ));
        }
        if let Some((name, text)) = found.into_iter().next() {
            chosen.insert(setting.path, (text, Origin::Environment(name)));
        }
    }
}

/// The secret in a file; a line end at its end does not belong to it.
fn secret_from(setting: &Setting, path: &str) -> Result<String, String> {
    let text = std::fs::read_to_string(path)
        .map_err(|error| format!("cannot read {path}, which holds {}: {error}", setting.path))?;
    let text = text.trim_end_matches(['\n', '\r']).to_owned();
    if text.is_empty() {
        return Err(format!("{path}, which holds {}, is empty", setting.path));
    }
    Ok(text)
}

fn unknown_variables(environment: &BTreeMap<String, String>) -> Vec<String> {
    let known: Vec<String> = SETTINGS
        .iter()
        .flat_map(|setting| {
            let files = setting
                .env
                .iter()
                .filter(|_| setting.secret)
                .map(|name| format!("{name}_FILE"));
            setting
                .env
                .iter()
                .map(|name| (*name).to_owned())
                .chain(files)
                .collect::<Vec<_>>()
        })
        .chain(OTHER_NAMES.map(str::to_owned))
        .collect();
    environment
        .keys()
        .filter(|name| name.starts_with("GANDER_") && !known.contains(name))
        .map(|name| match nearest(name, known.iter().map(String::as_str)) {
            Some(near) => format!("{name} in the environment is not a setting: did you mean {near}?"),
            None => format!("{name} in the environment is not a setting and has no effect"),
        })
        .collect()
}

/// The known name that is most like this one, if one is like it at all.
pub(super) fn nearest<'a>(name: &str, known: impl Iterator<Item = &'a str>) -> Option<&'a str> {
    let key = |path: &str| path.rsplit('.').next().unwrap_or(path).to_owned();
    known
        .map(|candidate| {
            // A key in the wrong section is as likely as a slip of the finger.
            let distance = if key(candidate) == key(name) {
                0
            } else {
                edits(name, candidate)
            };
            (distance, candidate)
        })
        .filter(|(distance, candidate)| *distance <= 2 + candidate.len() / 5)
        .min_by_key(|(distance, _)| *distance)
        .map(|(_, candidate)| candidate)
}

/// Levenshtein distance: insertions, deletions and replacements from one to the other.
fn edits(from: &str, to: &str) -> usize {
    let to: Vec<char> = to.chars().collect();
    let mut row: Vec<usize> = (0..=to.len()).collect();
    for (i, a) in from.chars().enumerate() {
        let mut diagonal = row[0];
        row[0] = i + 1;
        for (j, b) in to.iter().enumerate() {
            let replaced = diagonal + usize::from(a != *b);
            diagonal = row[j + 1];
            row[j + 1] = replaced.min(row[j] + 1).min(diagonal + 1);
        }
    }
    row.last().copied().unwrap_or_default()
}

/// A configuration to lay values over; every field is set by its row of the table.
fn blank() -> Config {
    Config {
        http_listen: std::net::SocketAddr::from(([0, 0, 0, 0], 0)),
        grpc_listen: std::net::SocketAddr::from(([0, 0, 0, 0], 0)),
        grpc_address: None,
        grpc_proxy_protocol: Vec::new(),
        agent_directory: None,
        agent_certificates: std::time::Duration::ZERO,
        public_url: None,
        cors_origins: Vec::new(),
        trusted_proxies: Vec::new(),
        database_path: PathBuf::new(),
        master_key_file: None,
        retention: None,
        retention_15m: None,
        retention_3h: None,
        backup_directory: None,
        backup_interval: None,
        backup_keep: 0,
        backup_keep_weekly: 0,
        s3_endpoint: None,
        s3_region: String::new(),
        s3_bucket: None,
        s3_prefix: String::new(),
        s3_access_key: None,
        s3_secret_key: None,
        s3_path_style: false,
        interval: std::time::Duration::ZERO,
        ssh_agent_socket: None,
        local_server: false,
        admin_user: None,
        admin_password: None,
        log_format: LogFormat::Auto,
        log_filter: String::new(),
    }
}
