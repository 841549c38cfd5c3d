//! Backups in a bucket of any S3-compatible store: which are there, which are missing, which are too many.
//!
//! Only the address an admin configured is ever asked; redirects are not followed. Requests are
//! signed with keys from the configuration, which are in no error and no log line.

mod download;
mod request;
#[cfg(test)]
mod signature_tests;
mod upload;

use std::{fmt, path::Path};

use anyhow::Context as _;
use reqwest::{Certificate, Client, redirect};
use rusty_s3::{
    Credentials, UrlStyle,
    actions::{DeleteObject, ListObjectsV2},
};

use super::{Backup, BackupConfig, directory, names, rotation};
use crate::model::{Secret, Timestamp};
use request::{CONNECT_TIME, READ_TIME, Refused};

/// What is beside a backup once it was uploaded and verified, as in the directory.
const NOTE: &str = ".sha256";

/// A bucket, and how to get into it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct BucketConfig {
    /// `https://s3.eu-west-1.amazonaws.com`
    pub endpoint: String,
    /// The store's region; what stores without regions take.
    pub region: String,
    /// The bucket's name.
    pub bucket: String,
    /// What the names of backups begin with in it: `gander/`.
    pub prefix: String,
    /// The name of the key.
    pub access_key: String,
    /// The key.
    pub secret_key: Secret,
    /// `endpoint/bucket/name` instead of `bucket.endpoint/name`.
    pub path_style: bool,
}

/// `s3://BUCKET/PREFIX`, as the command line takes it.
impl fmt::Display for BucketConfig {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "s3://{}/{}", self.bucket, self.prefix)
    }
}

impl BucketConfig {
    /// The same store and keys, for what `s3://BUCKET/KEY` names: the bucket with everything up to the
    /// last slash for its prefix, and what follows that slash (maybe nothing).
    ///
    /// # Errors
    /// It is no such address.
    pub fn at(&self, address: &str) -> anyhow::Result<(Self, String)> {
        let (bucket, key) = address
            .strip_prefix("s3://")
            .and_then(|rest| rest.split_once('/').or(Some((rest, ""))))
            .filter(|(bucket, _)| !bucket.is_empty())
            .with_context(|| format!("\"{address}\" is no address in a bucket: it takes s3://BUCKET/NAME"))?;
        let (prefix, name) = key
            .rfind('/')
            .map_or(("", key), |slash| key.split_at(slash.saturating_add(1)));
        let there = Self {
            bucket: bucket.to_owned(),
            prefix: prefix.to_owned(),
            ..self.clone()
        };
        Ok((there, name.to_owned()))
    }
}

/// What is in the bucket, as of the last look.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct BucketState {
    /// When it was looked at.
    pub at: Timestamp,
    /// The verified backups there, newest first.
    pub names: Vec<String>,
}

/// What an upload of all that was missing came to.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Uploaded {
    /// Backups that were uploaded and verified.
    pub added: Vec<String>,
    /// Backups that were removed as too old.
    pub removed: Vec<String>,
    /// Why those that are too old could not be removed: no failure of the backup.
    pub not_removed: Option<String>,
    /// The verified backups there now, newest first.
    pub names: Vec<String>,
}

/// An open way to a bucket.
pub struct Bucket {
    client: Client,
    bucket: rusty_s3::Bucket,
    credentials: Credentials,
    config: BucketConfig,
}

impl Bucket {
    /// Prepares the way; nothing is asked yet.
    ///
    /// # Errors
    /// The endpoint or the bucket's name is none.
    pub fn new(config: &BucketConfig) -> anyhow::Result<Self> {
        let style = if config.path_style {
            UrlStyle::Path
        } else {
            UrlStyle::VirtualHost
        };
        let endpoint = config.endpoint.parse().with_context(|| {
            format!(
                "backup.s3_endpoint is \"{}\", which is no address",
                config.endpoint
            )
        })?;
        // The system's authorities as well as these: an image may have none, a company its own.
        let authorities = webpki_root_certs::TLS_SERVER_ROOT_CERTS
            .iter()
            .map(|certificate| Certificate::from_der(certificate))
            .collect::<Result<Vec<_>, _>>()?;
        let client = Client::builder()
            .tls_certs_merge(authorities)
            .redirect(redirect::Policy::none())
            .no_proxy()
            .connect_timeout(CONNECT_TIME)
            .read_timeout(READ_TIME)
            .build()?;
        let bucket = rusty_s3::Bucket::new(endpoint, style, config.bucket.clone(), config.region.clone())
            .with_context(|| format!("backup.s3_bucket is \"{}\"", config.bucket))?;
        Ok(Self {
            client,
            bucket,
            credentials: Credentials::new(config.access_key.as_str(), config.secret_key.expose()),
            config: config.clone(),
        })
    }

    fn key(&self, name: &str) -> String {
        format!("{}{name}", self.config.prefix)
    }

    /// The backups in the bucket, newest first. One with a hash was verified after it was uploaded.
    ///
    /// # Errors
    /// The store refuses, or does not answer.
    pub async fn list(&self) -> anyhow::Result<Vec<Backup>> {
        let mut backups: Vec<Backup> = Vec::new();
        let mut noted: Vec<String> = Vec::new();
        let mut after: Option<String> = None;
        loop {
            let mut action = ListObjectsV2::new(&self.bucket, Some(&self.credentials));
            action.with_prefix(self.key("gander-"));
            if let Some(after) = after.take() {
                action.with_continuation_token(after);
            }
            let answer = self.ask(&action, None).await?;
            let listed = ListObjectsV2::parse_response(&request::with_namespace(answer.text()))
                .map_err(|error| self.nonsense(&format!("a list that is none ({error})")))?;
            for object in listed.contents {
                let Some(name) = object.key.strip_prefix(&self.config.prefix) else {
                    continue;
                };
                if let Some(name) = name.strip_suffix(NOTE) {
                    noted.push(name.to_owned());
                } else if let Some(taken_at) = names::time_of(name) {
                    backups.push(Backup {
                        name: name.to_owned(),
                        taken_at,
                        bytes: object.size.unwrap_or(0),
                        sha256: None,
                    });
                }
            }
            after = listed.next_continuation_token;
            if after.is_none() {
                backups.retain(|backup| noted.contains(&backup.name));
                backups.sort_by_key(|backup| std::cmp::Reverse(backup.taken_at));
                return Ok(backups);
            }
        }
    }

    /// Uploads what the directory has and the bucket lacks, and removes what is too old there.
    ///
    /// # Errors
    /// With the bucket, what the store said, and what to do. What was uploaded stays; what was cut
    /// short goes on from there the next time.
    pub async fn bring_up_to_date(&self, config: &BackupConfig) -> anyhow::Result<Uploaded> {
        let directory = &config.directory;
        let mut there = self
            .list()
            .await
            .with_context(|| format!("{} at {} cannot be listed", self.config, self.config.endpoint))?;
        let here =
            directory::list(directory).with_context(|| format!("{} cannot be read", directory.display()))?;
        upload::forget_what_is_gone(self, directory).await;
        let mut uploaded = Uploaded::default();
        for backup in here {
            let Some(sha256) = &backup.sha256 else { continue };
            if there.iter().any(|other| other.name == backup.name) {
                continue;
            }
            self.upload(
                &directory.join(&backup.name),
                &backup.name,
                sha256,
                upload::Resume::Later,
            )
            .await
            .with_context(|| {
                format!(
                    "{} was made, but not uploaded to {} at {}",
                    directory.join(&backup.name).display(),
                    self.config,
                    self.config.endpoint
                )
            })?;
            uploaded.added.push(backup.name.clone());
            there.push(backup);
        }
        self.rotate(config, &mut there, &mut uploaded).await?;
        there.sort_by_key(|backup| std::cmp::Reverse(backup.taken_at));
        uploaded.names = there.into_iter().map(|backup| backup.name).collect();
        Ok(uploaded)
    }

    /// Removes the backups that are too many. A key that may not remove anything is a good key for
    /// backups: the bucket has rules of its own then.
    async fn rotate(
        &self,
        config: &BackupConfig,
        there: &mut Vec<Backup>,
        uploaded: &mut Uploaded,
    ) -> anyhow::Result<()> {
        let times: Vec<Timestamp> = there.iter().map(|backup| backup.taken_at).collect();
        for moment in rotation::too_many(&times, config.keep, config.keep_weekly) {
            let name = names::name_of(moment);
            match self.remove(&name).await {
                Ok(()) => {
                    there.retain(|backup| backup.name != name);
                    uploaded.removed.push(name);
                }
                Err(refused) if refused.is_forbidden() => {
                    uploaded.not_removed = Some(refused.to_string());
                    return Ok(());
                }
                Err(refused) => {
                    return Err(anyhow::Error::new(refused).context(format!(
                        "{name} is too old and cannot be removed from {}",
                        self.config
                    )));
                }
            }
        }
        Ok(())
    }

    async fn remove(&self, name: &str) -> Result<(), Refused> {
        // The note first: without it there is no verified backup any more.
        for name in [format!("{name}{NOTE}"), name.to_owned()] {
            let key = self.key(&name);
            self.ask(
                &DeleteObject::new(&self.bucket, Some(&self.credentials), &key),
                None,
            )
            .await?;
        }
        Ok(())
    }

    /// Uploads one file under a name, whole or not at all.
    ///
    /// # Errors
    /// With the bucket, what the store said, and what to do.
    pub async fn add(&self, path: &Path, name: &str, sha256: &str) -> anyhow::Result<()> {
        self.upload(path, name, sha256, upload::Resume::Never)
            .await
            .with_context(|| {
                format!(
                    "{} could not be uploaded to {} at {}",
                    path.display(),
                    self.config,
                    self.config.endpoint
                )
            })
    }
}
