//! A backup into the bucket: in parts, in the memory of one; verified; going on where it was cut short.
//!
//! Every part is sent with its MD5, which a store compares. Afterwards the store's tag of the whole
//! (the MD5 of its parts' MD5s, where a store makes it so) is compared with ours; where it is made
//! otherwise, the whole object is read back and its SHA-256 compared. Only then the note with that
//! SHA-256 goes beside it: a backup without one counts as none.

use std::path::{Path, PathBuf};

use anyhow::Context as _;
use bytes::Bytes;
use md5::{Digest as _, Md5};
use rusty_s3::actions::{
    AbortMultipartUpload, CompleteMultipartUpload, CreateMultipartUpload, GetObject, HeadObject, PutObject,
    UploadPart,
};
use serde::{Deserialize, Serialize};
use sha2::Sha256;
use tokio::{
    fs,
    io::{AsyncReadExt as _, AsyncSeekExt as _},
};

use super::{
    Bucket, NOTE,
    request::{Answer, Refused, element},
};
use crate::backup::directory::{self, hex};

/// What one request carries: also what an upload takes in memory.
const PART_BYTES: u64 = 8 << 20;
/// S3 takes 10,000 parts: beyond 70 GB they are larger.
const MOST_PARTS: u64 = 9000;
/// Ending of the file beside a backup that says how far its upload came.
const UNFINISHED: &str = ".upload";

/// Whether an upload that is cut short may go on later.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Resume {
    /// How far it came is noted beside the file.
    Later,
    /// What came over is removed.
    Never,
}

/// An upload that was begun: everything that is needed to go on.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
struct Unfinished {
    endpoint: String,
    bucket: String,
    key: String,
    sha256: String,
    part_bytes: u64,
    upload_id: String,
    parts: Vec<Part>,
}

/// A part the store has.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
struct Part {
    etag: String,
    md5: [u8; 16],
}

impl Bucket {
    /// Uploads a file under a name, verifies it, and notes that.
    pub(super) async fn upload(
        &self,
        path: &Path,
        name: &str,
        sha256: &str,
        resume: Resume,
    ) -> anyhow::Result<()> {
        let key = self.key(name);
        let bytes = fs::metadata(path).await?.len();
        let expected = if bytes <= PART_BYTES {
            let body = Bytes::from(fs::read(path).await?);
            let md5: [u8; 16] = Md5::digest(&body).into();
            self.put(&key, body).await?;
            hex(&md5)
        } else {
            self.put_parts(path, &key, bytes, sha256, resume).await?
        };
        self.verify(name, bytes, &expected, sha256).await?;
        let note = format!("{sha256}  {name}\n");
        self.put(&format!("{key}{NOTE}"), Bytes::from(note)).await?;
        Ok(())
    }

    async fn put(&self, key: &str, body: Bytes) -> Result<Answer, Refused> {
        let action = PutObject::new(&self.bucket, Some(&self.credentials), key);
        self.send(action, body).await
    }

    /// Answers the tag the whole should have.
    async fn put_parts(
        &self,
        path: &Path,
        key: &str,
        bytes: u64,
        sha256: &str,
        resume: Resume,
    ) -> anyhow::Result<String> {
        let part_bytes = PART_BYTES.max(bytes.div_ceil(MOST_PARTS));
        let note = unfinished_of(path);
        let left = match resume {
            Resume::Later => read_unfinished(&note).await.filter(|left| {
                (
                    &left.endpoint,
                    &left.bucket,
                    left.key.as_str(),
                    left.sha256.as_str(),
                    left.part_bytes,
                ) == (
                    &self.config.endpoint,
                    &self.config.bucket,
                    key,
                    sha256,
                    part_bytes,
                )
            }),
            Resume::Never => None,
        };
        let note = (resume == Resume::Later).then_some(note.as_path());
        if let Some(left) = left {
            tracing::info!(
                key,
                parts = left.parts.len(),
                "an upload that was cut short goes on"
            );
            match self.send_parts(path, left, note).await {
                // The store may have forgotten it, or never meant it: from the beginning then.
                Err(error) if error.downcast_ref::<Refused>().is_some_and(Refused::is_answer) => {
                    tracing::info!(key, reason = %format!("{error:#}"), "it cannot go on and begins again");
                }
                done => return done,
            }
        }
        let action = CreateMultipartUpload::new(&self.bucket, Some(&self.credentials), key);
        let answer = self.ask(&action, None).await?;
        let upload_id = element(answer.text(), "UploadId")
            .ok_or_else(|| self.nonsense("no upload id to a begin of an upload in parts"))?;
        let begun = Unfinished {
            endpoint: self.config.endpoint.clone(),
            bucket: self.config.bucket.clone(),
            key: key.to_owned(),
            sha256: sha256.to_owned(),
            part_bytes,
            upload_id: upload_id.clone(),
            parts: Vec::new(),
        };
        let sent = self.send_parts(path, begun, note).await;
        if sent.is_err() && resume == Resume::Never {
            self.abort(key, &upload_id).await;
        }
        sent
    }

    /// Sends the parts that are missing and has the whole put together. Answers the tag it should have.
    async fn send_parts(
        &self,
        path: &Path,
        mut begun: Unfinished,
        note: Option<&Path>,
    ) -> anyhow::Result<String> {
        let mut file = fs::File::open(path).await?;
        let done = begun.part_bytes.saturating_mul(begun.parts.len() as u64);
        file.seek(std::io::SeekFrom::Start(done)).await?;
        loop {
            let mut part = Vec::new();
            (&mut file).take(begun.part_bytes).read_to_end(&mut part).await?;
            if part.is_empty() {
                break;
            }
            let number = u16::try_from(begun.parts.len() + 1).context("there are too many parts")?;
            let md5: [u8; 16] = Md5::digest(&part).into();
            let action = UploadPart::new(
                &self.bucket,
                Some(&self.credentials),
                &begun.key,
                number,
                &begun.upload_id,
            );
            let answer = self.send(action, Bytes::from(part)).await?;
            let etag = answer
                .etag()
                .ok_or_else(|| self.nonsense("no tag to a part of an upload"))?;
            let etag = etag.to_owned();
            begun.parts.push(Part { etag, md5 });
            if let Some(note) = note {
                directory::write_whole(note, &serde_json::to_vec(&begun)?)
                    .with_context(|| format!("{} cannot be written", note.display()))?;
            }
        }
        let etags: Vec<String> = begun
            .parts
            .iter()
            .map(|part| format!("\"{}\"", part.etag))
            .collect();
        let action = CompleteMultipartUpload::new(
            &self.bucket,
            Some(&self.credentials),
            &begun.key,
            &begun.upload_id,
            etags.iter().map(String::as_str),
        );
        let body = Bytes::from(action.clone().body());
        self.ask(&action, Some(body)).await?;
        if let Some(note) = note {
            let _ = fs::remove_file(note).await;
        }
        Ok(tag_of(&begun.parts))
    }

    /// Compares what the store has with what was sent. What differs is removed.
    async fn verify(&self, name: &str, bytes: u64, expected: &str, sha256: &str) -> anyhow::Result<()> {
        let key = self.key(name);
        let head = self
            .ask(
                &HeadObject::new(&self.bucket, Some(&self.credentials), &key),
                None,
            )
            .await
            .context("what was uploaded cannot be looked at")?;
        let there = head.length();
        if there == Some(bytes)
            && head
                .etag()
                .is_some_and(|etag| etag.eq_ignore_ascii_case(expected))
        {
            return Ok(());
        }
        if there == Some(bytes) {
            let found = self
                .read_back(&key, bytes)
                .await
                .context("what was uploaded cannot be read back")?;
            if found == sha256 {
                return Ok(());
            }
        }
        let _ = self.remove(name).await;
        anyhow::bail!(
            "what the store has of it is not what was sent ({} of {bytes} bytes, other contents) and was removed: \
             look after the store and the way there",
            there.map_or_else(|| "an unknown number".to_owned(), |there| there.to_string())
        );
    }

    async fn read_back(&self, key: &str, bytes: u64) -> anyhow::Result<String> {
        let mut digest = Sha256::new();
        let action = GetObject::new(&self.bucket, Some(&self.credentials), key);
        self.receive(&action, bytes, |chunk, from_the_start| {
            if from_the_start {
                digest = Sha256::new();
            }
            digest.update(chunk);
            Ok(())
        })
        .await?;
        Ok(hex(&digest.finalize()))
    }

    /// Parts that are not put together cost money until they are removed.
    async fn abort(&self, key: &str, upload_id: &str) {
        let action = AbortMultipartUpload::new(&self.bucket, Some(&self.credentials), key, upload_id);
        if let Err(refused) = self.ask(&action, None).await {
            tracing::warn!(key, reason = %refused, "the parts of an upload that was given up stay in the bucket");
        }
    }
}

/// Gives up the uploads of backups that are not in the directory any more.
pub(super) async fn forget_what_is_gone(bucket: &Bucket, directory: &Path) {
    let Ok(mut entries) = fs::read_dir(directory).await else {
        return;
    };
    while let Ok(Some(entry)) = entries.next_entry().await {
        let name = entry.file_name();
        let of = name
            .to_str()
            .and_then(|name| name.strip_prefix('.')?.strip_suffix(UNFINISHED));
        let Some(of) = of else { continue };
        if directory.join(of).exists() {
            continue;
        }
        if let Some(left) = read_unfinished(&entry.path()).await
            && (&left.endpoint, &left.bucket) == (&bucket.config.endpoint, &bucket.config.bucket)
        {
            bucket.abort(&left.key, &left.upload_id).await;
        }
        let _ = fs::remove_file(entry.path()).await;
    }
}

/// `.gander-….db.upload` beside the file.
fn unfinished_of(path: &Path) -> PathBuf {
    let name = path.file_name().unwrap_or_default().to_string_lossy();
    path.with_file_name(format!(".{name}{UNFINISHED}"))
}

async fn read_unfinished(path: &Path) -> Option<Unfinished> {
    serde_json::from_slice(&fs::read(path).await.ok()?).ok()
}

/// The tag of an object that was put together: the MD5 of its parts' MD5s, and their number.
fn tag_of(parts: &[Part]) -> String {
    let mut digest = Md5::new();
    for part in parts {
        digest.update(part.md5);
    }
    format!("{}-{}", hex(&digest.finalize()), parts.len())
}

#[cfg(test)]
mod tests {
    use super::*;

    /// As stores make it: `printf a` and `printf b` through md5sum, and their 32 bytes through it again.
    #[test]
    fn the_tag_of_parts_is_the_md5_of_their_md5s() {
        let part = |text: &str| Part {
            etag: String::new(),
            md5: Md5::digest(text).into(),
        };
        assert_eq!(
            tag_of(&[part("a"), part("b")]),
            "96e024ba2074fe77e8e965ba43a704be-2"
        );
    }
}
