//! A backup out of the bucket: streamed, going on where a connection broke, compared with its note.

use std::{
    io::{Seek as _, Write as _},
    path::{Path, PathBuf},
};

use super::{
    Bucket, NOTE,
    request::{Refused, TRIES, pause},
};
use crate::backup::directory;
use anyhow::Context as _;
use reqwest::{
    StatusCode,
    header::{self, HeaderMap, HeaderValue},
};
use rusty_s3::actions::{GetObject, HeadObject};

impl Bucket {
    /// Fetches a backup into a directory: `name`, or the newest where that is `latest` or nothing.
    /// Answers where it is now. One that is there already and is the same is taken as it is.
    ///
    /// # Errors
    /// With the bucket, what the store said, and what to do. Nothing half is left behind.
    pub async fn fetch(&self, name: &str, into: &Path) -> anyhow::Result<PathBuf> {
        let place = || format!("{} at {}", self.config, self.config.endpoint);
        let name = if matches!(name, "" | "latest") {
            let listed = self
                .list()
                .await
                .with_context(|| format!("{} cannot be listed", place()))?;
            let newest = listed.into_iter().next();
            newest
                .with_context(|| format!("there is no verified backup in {}", place()))?
                .name
        } else {
            name.to_owned()
        };
        self.fetch_named(&name, into)
            .await
            .with_context(|| format!("{name} could not be fetched from {}", place()))
    }

    async fn fetch_named(&self, name: &str, into: &Path) -> anyhow::Result<PathBuf> {
        let key = self.key(name);
        let path = into.join(name);
        let noted = self.noted_sha256(name).await?;
        if path.exists() {
            let (_, found) = hashed(path.clone()).await?;
            if noted.is_none_or(|noted| noted == found) {
                return Ok(path);
            }
            anyhow::bail!(
                "{} is there already and is not the same: move it away first",
                path.display()
            );
        }
        let head = HeadObject::new(&self.bucket, Some(&self.credentials), &key);
        let bytes = self
            .ask(&head, None)
            .await?
            .length()
            .ok_or_else(|| self.nonsense("no length"))?;
        directory::make(into)?;
        directory::check_room(into, bytes, "fetching it")?;
        let part = directory::part_of(&path)?;
        let _guard = directory::RemoveOnDrop(&part);
        let mut file = directory::create_private(&part)?;
        let action = GetObject::new(&self.bucket, Some(&self.credentials), &key);
        self.receive(&action, bytes, |chunk, from_the_start| {
            if from_the_start {
                file.set_len(0)?;
                file.rewind()?;
            }
            file.write_all(chunk)
        })
        .await?;
        file.sync_all()?;
        let (read, found) = hashed(part.clone()).await?;
        if read != bytes || noted.as_ref().is_some_and(|noted| *noted != found) {
            anyhow::bail!(
                "what came is not what was uploaded (SHA-256 {found}, noted was {}): take another backup",
                noted.as_deref().unwrap_or("none")
            );
        }
        if noted.is_some() {
            directory::write_note(&path, &found)?;
        }
        std::fs::rename(&part, &path)?;
        Ok(path)
    }

    /// The SHA-256 that was noted when the upload was verified.
    async fn noted_sha256(&self, name: &str) -> Result<Option<String>, Refused> {
        let key = self.key(&format!("{name}{NOTE}"));
        let action = GetObject::new(&self.bucket, Some(&self.credentials), &key);
        match self.ask(&action, None).await {
            Ok(answer) => Ok(directory::parse_note(answer.text(), name)),
            Err(refused) if refused.is_missing() => Ok(None),
            Err(refused) => Err(refused),
        }
    }

    /// Hands out an object piece by piece. After a broken connection it goes on where it was; where a
    /// store cannot, `take` is told that it begins anew.
    pub(super) async fn receive(
        &self,
        action: &GetObject<'_>,
        bytes: u64,
        mut take: impl FnMut(&[u8], bool) -> std::io::Result<()> + Send,
    ) -> anyhow::Result<()> {
        let mut at = 0;
        let mut tries = 0;
        loop {
            let mut headers = HeaderMap::new();
            if at > 0 {
                headers.insert(header::RANGE, HeaderValue::from_str(&format!("bytes={at}-"))?);
            }
            let failure = match self.open(action, headers, None).await {
                Err(refused) => refused,
                Ok(mut answer) => {
                    if answer.status() != StatusCode::PARTIAL_CONTENT {
                        at = 0;
                    }
                    loop {
                        match answer.chunk().await {
                            Ok(Some(chunk)) => {
                                take(&chunk, at == 0)?;
                                at += chunk.len() as u64;
                                tries = 0;
                            }
                            Ok(None) if at == bytes => return Ok(()),
                            Ok(None) => break self.nonsense(&format!("{at} of {bytes} bytes")),
                            Err(error) => break self.unreachable(error),
                        }
                    }
                }
            };
            tries += 1;
            if tries == TRIES || !failure.may_pass() {
                return Err(failure.into());
            }
            tokio::time::sleep(pause(tries)).await;
        }
    }
}

async fn hashed(path: PathBuf) -> anyhow::Result<(u64, String)> {
    Ok(tokio::task::spawn_blocking(move || directory::hash(&path)).await??)
}
