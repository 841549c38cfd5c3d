//! `credential`: log-ins that servers share. Works while the hub runs: it takes a change over with
//! the next values it stores.

use std::path::{Path, PathBuf};

use anyhow::Context as _;
use clap::{Args, Subcommand, ValueEnum};

use super::{actor, columns, open_store, print};
use crate::{
    collect::{HubKey, parse_private_key, parse_user_certificate},
    config::Config,
    model::{
        Credential, HostKey, Secret, Timestamp,
        certificate::Validity,
        credential::{CredentialKind, CredentialSpec},
    },
    store::{Change, SecretChange, Store},
};

pub(super) const EXAMPLES: &str = "Examples:
  gander-hub credential add --name fleet --kind key --user gander --key ~/.ssh/fleet
  gander-hub credential add --name bastion --kind password --password-file /run/secrets/bastion
  gander-hub credential set fleet --key ~/.ssh/fleet-2027 --certificate ~/.ssh/fleet-2027-cert.pub
  gander-hub credential list
  gander-hub credential remove fleet";

#[derive(Subcommand)]
pub(super) enum Command {
    /// Show all shared credentials, without their secrets
    #[command(after_help = "Example:\n  gander-hub credential list")]
    List,
    /// Make a shared credential
    #[command(
        after_help = "Example:\n  gander-hub credential add --name fleet --kind key --key ~/.ssh/fleet"
    )]
    Add {
        /// What it is called; unique
        #[arg(long)]
        name: String,
        /// Where its key comes from
        #[arg(long)]
        kind: Kind,
        #[command(flatten)]
        parts: Parts,
    },
    /// Change a shared credential; all its servers are logged in to with the new one
    #[command(after_help = "Example:\n  gander-hub credential set fleet --key ~/.ssh/fleet-2027")]
    Set {
        /// Its name
        name: String,
        #[command(flatten)]
        parts: Parts,
    },
    /// Remove a shared credential that no server uses
    #[command(after_help = "Example:\n  gander-hub credential remove fleet")]
    Remove {
        /// Its name
        name: String,
    },
}

/// Where the key comes from.
#[derive(Clone, Copy, ValueEnum)]
pub(super) enum Kind {
    /// From nowhere: a password alone
    Password,
    /// A private key stored with it
    Key,
    /// The hub's own key
    HubKey,
    /// The ssh-agent beside the hub
    Agent,
}

/// What a credential is made of. Secrets come from files: a command line is seen by everybody.
#[derive(Args)]
pub(super) struct Parts {
    /// Log-in name of servers that have none of their own
    #[arg(long)]
    user: Option<String>,
    /// The private key's file
    #[arg(long, value_name = "FILE")]
    key: Option<PathBuf>,
    /// A file whose first line is the passphrase of the key
    #[arg(long, value_name = "FILE")]
    passphrase_file: Option<PathBuf>,
    /// A file whose first line is the password
    #[arg(long, value_name = "FILE")]
    password_file: Option<PathBuf>,
    /// The OpenSSH user certificate of the key: the file that ends with -cert.pub
    #[arg(long, value_name = "FILE")]
    certificate: Option<PathBuf>,
    /// Of kind agent: SHA256:… of the key to take, as ssh-add -l prints it
    #[arg(long, value_name = "FINGERPRINT")]
    agent_key: Option<String>,
}

pub(super) async fn run(config: &Config, command: Command) -> anyhow::Result<()> {
    let store = open_store(config).await?;
    let result = obey(&store, command).await;
    store.close().await;
    result
}

async fn obey(store: &Store, command: Command) -> anyhow::Result<()> {
    let now = Timestamp::now();
    match command {
        Command::List => print(&columns(&table(store.credentials().await?, now))),
        Command::Add { name, kind, parts } => {
            let name = name.trim();
            if !(1..=100).contains(&name.chars().count()) || name.chars().any(char::is_control) {
                anyhow::bail!(
                    "--name is \"{}\"; it must have 1 to 100 characters",
                    name.escape_debug()
                );
            }
            let spec = CredentialSpec {
                name: name.to_owned(),
                kind: match kind {
                    Kind::Password => CredentialKind::Password,
                    Kind::Key => CredentialKind::Key,
                    Kind::HubKey => CredentialKind::HubKey,
                    Kind::Agent => CredentialKind::Agent,
                },
                ssh_user: parts.user()?.unwrap_or_default(),
                agent_key: parts.agent_key.clone(),
            };
            match spec.kind {
                CredentialKind::Password if parts.password_file.is_none() => {
                    anyhow::bail!("--kind password needs --password-file")
                }
                CredentialKind::Key if parts.key.is_none() => anyhow::bail!("--kind key needs --key"),
                _ => {}
            }
            let secrets = parts.read(store, &spec, None, now).await?;
            store.create_credential(&spec, &secrets, &actor(), now).await?;
            print(&format!("{name} is made"));
        }
        Command::Set { name, parts } => {
            let known = find(store, &name).await?;
            let spec = CredentialSpec {
                ssh_user: parts.user()?.unwrap_or(known.spec.ssh_user.clone()),
                agent_key: parts.agent_key.clone().or(known.spec.agent_key.clone()),
                ..known.spec.clone()
            };
            let secrets = parts.read(store, &spec, Some(&known), now).await?;
            store
                .update_credential(known.id, &spec, &secrets, &actor(), now)
                .await?;
            print(&format!(
                "{name} is changed; {} servers use it",
                known.servers.len()
            ));
        }
        Command::Remove { name } => {
            let known = find(store, &name).await?;
            store.delete_credential(known.id, &actor(), now).await?;
            print(&format!("{name} is removed"));
        }
    }
    Ok(())
}

async fn find(store: &Store, name: &str) -> anyhow::Result<Credential> {
    let all = store.credentials().await?;
    let found = all.into_iter().find(|credential| credential.spec.name == name);
    found.with_context(|| format!("there is no credential {name}: see gander-hub credential list"))
}

fn table(credentials: Vec<Credential>, now: Timestamp) -> Vec<Vec<String>> {
    let heads = ["NAME", "KIND", "USER", "SERVERS", "KEY", "CERTIFICATE"];
    let mut rows = vec![heads.map(str::to_owned).to_vec()];
    for credential in credentials {
        let key = credential.public_key.map(|key| key.fingerprint);
        let certificate = credential.certificate.map(|text| validity(&text, now));
        rows.push(vec![
            credential.spec.name,
            credential.spec.kind.as_str().to_owned(),
            credential.spec.ssh_user,
            credential.servers.len().to_string(),
            key.or(credential.spec.agent_key).unwrap_or_default(),
            certificate.unwrap_or_default(),
        ]);
    }
    rows
}

fn validity(text: &str, now: Timestamp) -> String {
    let Ok(certificate) = parse_user_certificate(text, None) else {
        return "unreadable".to_owned();
    };
    match (certificate.validity(now), certificate.valid_before) {
        (Validity::Expired(end), _) => format!("expired on {end}"),
        (Validity::NotYet(begin), _) => format!("valid from {begin}"),
        (Validity::Valid, Some(end)) => format!("valid until {end}"),
        (Validity::Valid, None) => "valid for ever".to_owned(),
    }
}

impl Parts {
    fn user(&self) -> anyhow::Result<Option<String>> {
        let Some(user) = &self.user else { return Ok(None) };
        if user.chars().count() > 64 || user.chars().any(char::is_whitespace) {
            anyhow::bail!(
                "--user is \"{}\"; it has at most 64 characters and no white space",
                user.escape_debug()
            );
        }
        Ok(Some(user.clone()))
    }

    /// Reads and checks the files: the key opens, and the certificate is its own.
    async fn read(
        &self,
        store: &Store,
        spec: &CredentialSpec,
        known: Option<&Credential>,
        now: Timestamp,
    ) -> anyhow::Result<SecretChange> {
        let kind = spec.kind;
        if kind != CredentialKind::Key && (self.key.is_some() || self.passphrase_file.is_some()) {
            anyhow::bail!(
                "--key and --passphrase-file are for kind key; this one is of kind {}",
                kind.as_str()
            );
        }
        if kind != CredentialKind::Agent && self.agent_key.is_some() {
            anyhow::bail!(
                "--agent-key is for kind agent; this one is of kind {}",
                kind.as_str()
            );
        }
        let mut change = SecretChange {
            password: set(first_line(self.password_file.as_deref())?),
            passphrase: set(first_line(self.passphrase_file.as_deref())?),
            ..SecretChange::default()
        };
        let mut fingerprint = match kind {
            CredentialKind::Password => None,
            CredentialKind::Key => known
                .and_then(|known| known.public_key.as_ref())
                .map(|key| key.fingerprint.clone()),
            CredentialKind::HubKey => match store.hub_key().await? {
                Some(text) => Some(HubKey::read(&text)?.info().fingerprint.clone()),
                None => None,
            },
            CredentialKind::Agent => spec.agent_key.clone(),
        };
        if let Some(path) = &self.key {
            let text = Secret::new(read(path)?);
            let passphrase = match &change.passphrase {
                Change::Set(passphrase) => Some(passphrase.expose()),
                Change::Keep | Change::Clear => None,
            };
            let info = parse_private_key(text.expose(), passphrase)
                .with_context(|| format!("{} cannot be used", path.display()))?;
            fingerprint = Some(info.fingerprint.clone());
            change.public_key = Change::Set(HostKey {
                algorithm: info.algorithm,
                fingerprint: info.fingerprint,
                public_key: info.public_key,
            });
            change.private_key = Change::Set(text);
            // What belonged to the old key goes with it.
            if change.passphrase == Change::Keep {
                change.passphrase = Change::Clear;
            }
            change.certificate = Change::Clear;
        } else if self.passphrase_file.is_some() {
            anyhow::bail!("--passphrase-file belongs to --key: give both");
        }
        if let Some(path) = &self.certificate {
            if kind == CredentialKind::Password {
                anyhow::bail!("--certificate belongs to a key; this credential is of kind password");
            }
            let text = read(path)?.trim().to_owned();
            let certificate = parse_user_certificate(&text, fingerprint.as_deref())
                .map_err(|reason| anyhow::anyhow!("{} cannot be used: {reason}", path.display()))?;
            if let Validity::Expired(end) = certificate.validity(now) {
                anyhow::bail!(
                    "{} cannot be used: certificate {} expired on {end}; sign a new one",
                    path.display(),
                    certificate.key_id
                );
            }
            change.certificate = Change::Set(text);
        }
        Ok(change)
    }
}

fn set(secret: Option<Secret>) -> Change<Secret> {
    secret.map_or(Change::Keep, Change::Set)
}

fn read(path: &Path) -> anyhow::Result<String> {
    std::fs::read_to_string(path).with_context(|| format!("cannot read {}", path.display()))
}

fn first_line(path: Option<&Path>) -> anyhow::Result<Option<Secret>> {
    let Some(path) = path else { return Ok(None) };
    let text = read(path)?;
    let line = text.lines().next().unwrap_or_default();
    if line.is_empty() {
        anyhow::bail!("the first line of {} is empty", path.display());
    }
    Ok(Some(Secret::new(line.to_owned())))
}
