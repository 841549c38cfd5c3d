//! Backups in a directory: written beside their place, verified, then renamed into it.

use std::{
    fs::{self, File},
    io::{Read as _, Write as _},
    os::unix::fs::{DirBuilderExt as _, OpenOptionsExt as _},
    path::{Path, PathBuf},
};

use anyhow::Context as _;
use sha2::{Digest as _, Sha256};
use tokio_util::sync::CancellationToken;

use super::{Backup, BackupConfig, explain, names, rotation};
use crate::{
    model::Timestamp,
    store::{KeyFit, check, copy_database, free_bytes},
};

/// Under this ending a file is not (yet) a backup.
const PART: &str = ".part";
/// Room that is left on the disk for what is more important than a backup.
const RESERVE_BYTES: u64 = 64 << 20;

/// Writes a verified backup of a database into a directory, which is made where there is none.
///
/// # Errors
/// With the path that failed, and what to do. Nothing is left behind.
pub async fn write(
    database: &Path,
    directory: &Path,
    now: Timestamp,
    stop: &CancellationToken,
) -> anyhow::Result<(Backup, Written)> {
    make(directory)?;
    remove_leftovers(directory);
    let mut taken_at = now;
    while directory.join(names::name_of(taken_at)).exists() {
        taken_at = taken_at.plus_millis(1000);
    }
    let name = names::name_of(taken_at);
    let written = write_file(database, &directory.join(&name), stop).await?;
    let backup = Backup {
        taken_at: names::time_of(&name).unwrap_or(taken_at),
        name,
        bytes: written.bytes,
        sha256: Some(written.sha256.clone()),
    };
    Ok((backup, written))
}

/// Makes the directory where there is none.
///
/// # Errors
/// It cannot be made.
pub fn make(directory: &Path) -> anyhow::Result<()> {
    fs::DirBuilder::new()
        .recursive(true)
        .mode(0o700)
        .create(directory)
        .with_context(|| format!("the directory {} cannot be made", directory.display()))
}

/// What was written.
#[derive(Debug, Clone)]
pub struct Written {
    /// Size of the file.
    pub bytes: u64,
    /// SHA-256 of the file in hexadecimal digits.
    pub sha256: String,
    /// What is wrong with single values in it; they are wrong in the database too.
    pub problems: Vec<String>,
    /// Whether it holds secrets, which only the master key opens.
    pub holds_secrets: bool,
}

/// Writes a verified backup of a database to a path. A file that is there already is replaced when
/// the new one is whole.
///
/// # Errors
/// With the path that failed, and what to do. Nothing is left behind.
pub async fn write_file(database: &Path, path: &Path, stop: &CancellationToken) -> anyhow::Result<Written> {
    let directory = parent(path);
    check_room(directory, most_bytes(database), "a backup")?;
    let part = part_of(path)?;
    let _guard = RemoveOnDrop(&part);
    let _ = fs::remove_file(&part);
    copy_database(database, &part, stop)
        .await
        .map_err(|error| explain(error, directory))
        .with_context(|| {
            format!(
                "{} could not be copied to {}",
                database.display(),
                directory.display()
            )
        })?;
    let report = check(&part, None)
        .await?
        .usable()
        .context("the copy does not verify and was thrown away; check the database with gander-hub check")?;
    let hashed = part.clone();
    let (bytes, sha256) = tokio::task::spawn_blocking(move || hash(&hashed))
        .await?
        .with_context(|| format!("{} cannot be read back", part.display()))?;
    // The note first: a backup without one would look like a file that somebody put there.
    write_note(path, &sha256).with_context(|| format!("{} cannot be written", note_of(path).display()))?;
    fs::rename(&part, path)
        .and_then(|()| File::open(directory)?.sync_all())
        .with_context(|| format!("{} cannot be written", path.display()))?;
    Ok(Written {
        bytes,
        sha256,
        holds_secrets: report.key != KeyFit::NotNeeded,
        problems: report.problems.into_iter().map(|problem| problem.what).collect(),
    })
}

/// The most a copy of a database takes.
fn most_bytes(database: &Path) -> u64 {
    let mut log = database.as_os_str().to_owned();
    log.push("-wal");
    let size = |path: &Path| fs::metadata(path).map_or(0, |metadata| metadata.len());
    size(database) + size(Path::new(&log))
}

/// Refuses to begin what would fill the disk.
pub(super) fn check_room(directory: &Path, bytes: u64, what: &str) -> anyhow::Result<()> {
    let needed = bytes + RESERVE_BYTES.min(bytes / 4);
    let free = free_bytes(directory)?;
    if free < needed {
        anyhow::bail!(
            "{what} needs up to {} MB and the disk of {} has {} MB free: free some space, keep fewer backups \
             (backup.keep), or set backup.directory to another disk",
            needed.div_ceil(1_000_000),
            directory.display(),
            free / 1_000_000
        );
    }
    Ok(())
}

/// The backups in a directory, newest first. None where there is no directory.
///
/// # Errors
/// The directory cannot be read.
pub fn list(directory: &Path) -> std::io::Result<Vec<Backup>> {
    let entries = match fs::read_dir(directory) {
        Ok(entries) => entries,
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(Vec::new()),
        Err(error) => return Err(error),
    };
    let mut backups = Vec::new();
    for entry in entries {
        let entry = entry?;
        let Ok(name) = entry.file_name().into_string() else {
            continue;
        };
        let Some(taken_at) = names::time_of(&name) else {
            continue;
        };
        // Removed between the two looks: no backup any more.
        let Ok(metadata) = entry.metadata() else { continue };
        backups.push(Backup {
            sha256: read_note(&entry.path(), &name),
            name,
            taken_at,
            bytes: metadata.len(),
        });
    }
    backups.sort_by_key(|backup| std::cmp::Reverse(backup.taken_at));
    Ok(backups)
}

/// Removes the backups that are too many; answers their names.
pub(super) fn rotate(directory: &Path, config: &BackupConfig) -> std::io::Result<Vec<String>> {
    let times: Vec<Timestamp> = list(directory)?.iter().map(|backup| backup.taken_at).collect();
    let mut removed = Vec::new();
    for moment in rotation::too_many(&times, config.keep, config.keep_weekly) {
        let name = names::name_of(moment);
        let path = directory.join(&name);
        fs::remove_file(&path)?;
        let _ = fs::remove_file(note_of(&path));
        removed.push(name);
    }
    Ok(removed)
}

/// The SHA-256 that a backup should have, from the note beside it.
#[must_use]
pub fn noted_sha256(path: &Path) -> Option<String> {
    read_note(path, path.file_name()?.to_str()?)
}

/// Size and SHA-256 of a file.
///
/// # Errors
/// It cannot be read.
pub fn hash(path: &Path) -> std::io::Result<(u64, String)> {
    let mut file = File::open(path)?;
    let mut digest = Sha256::new();
    let mut buffer = vec![0; 256 * 1024];
    let mut bytes = 0;
    loop {
        let read = file.read(&mut buffer)?;
        if read == 0 {
            break;
        }
        digest.update(&buffer[..read]);
        bytes += read as u64;
    }
    Ok((bytes, hex(&digest.finalize())))
}

/// Bytes in hexadecimal digits.
pub(super) fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

/// `sha256sum -c` understands it.
pub(super) fn write_note(path: &Path, sha256: &str) -> std::io::Result<()> {
    let name = path.file_name().unwrap_or_default().to_string_lossy();
    write_whole(&note_of(path), format!("{sha256}  {name}\n").as_bytes())
}

/// Writes a small file so that under its name there is all of it or what was there before.
pub(super) fn write_whole(path: &Path, bytes: &[u8]) -> std::io::Result<()> {
    let part = part_of(path)?;
    let _guard = RemoveOnDrop(&part);
    let mut file = create_private(&part)?;
    file.write_all(bytes)?;
    file.sync_all()?;
    fs::rename(&part, path)
}

/// A new file that nobody else may read.
pub(super) fn create_private(path: &Path) -> std::io::Result<File> {
    fs::OpenOptions::new()
        .write(true)
        .create(true)
        .truncate(true)
        .mode(0o600)
        .open(path)
}

fn read_note(path: &Path, name: &str) -> Option<String> {
    parse_note(&fs::read_to_string(note_of(path)).ok()?, name)
}

/// The hash that a note says a file has.
pub(super) fn parse_note(text: &str, name: &str) -> Option<String> {
    let (sha256, noted) = text.trim_end().split_once("  ")?;
    let is_hash = sha256.len() == 64 && sha256.bytes().all(|byte| byte.is_ascii_hexdigit());
    (is_hash && noted == name).then(|| sha256.to_owned())
}

fn note_of(path: &Path) -> PathBuf {
    let mut note = path.as_os_str().to_owned();
    note.push(".sha256");
    note.into()
}

/// A hidden name in the same directory.
pub(super) fn part_of(path: &Path) -> std::io::Result<PathBuf> {
    let name = path
        .file_name()
        .ok_or_else(|| std::io::Error::other(format!("{} names no file", path.display())))?;
    let mut part = std::ffi::OsString::from(".");
    part.push(name);
    part.push(PART);
    Ok(parent(path).join(part))
}

fn parent(path: &Path) -> &Path {
    path.parent()
        .filter(|parent| !parent.as_os_str().is_empty())
        .unwrap_or(Path::new("."))
}

/// What a hub that was killed left behind. A backup by hand may be under way: files that still
/// grow are left alone.
fn remove_leftovers(directory: &Path) {
    const QUIET: std::time::Duration = std::time::Duration::from_secs(600);
    let Ok(entries) = fs::read_dir(directory) else {
        return;
    };
    for entry in entries.flatten() {
        let name = entry.file_name();
        let name = name.to_string_lossy();
        let is_ours = name.starts_with(".gander-") && name.contains(PART);
        let is_quiet = || {
            let modified = entry.metadata().ok()?.modified().ok()?;
            modified.elapsed().ok()
        };
        if is_ours && is_quiet().is_some_and(|time| time > QUIET) {
            let _ = fs::remove_file(entry.path());
        }
    }
}

/// Removes a file at the end of its scope, if it is still there.
pub(super) struct RemoveOnDrop<'a>(pub(super) &'a Path);

impl Drop for RemoveOnDrop<'_> {
    fn drop(&mut self) {
        let _ = fs::remove_file(self.0);
        // SQLite's own, where it was ended half way.
        let mut journal = self.0.as_os_str().to_owned();
        journal.push("-journal");
        let _ = fs::remove_file(journal);
    }
}
