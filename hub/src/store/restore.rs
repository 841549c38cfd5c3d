//! Putting a backup in the place of the database.
//!
//! Only under a [`DatabaseLock`]. The backup is copied beside the database first and checked
//! there, byte for byte what will be used; then one `rename` puts it in place, so that at every
//! moment there is a whole database under the name. What was there before stays beside it, and what
//! it says was revoked since the backup stays revoked ([`super::carry`]).

use std::fs::OpenOptions;
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};

use sqlx::Connection;
use sqlx::sqlite::{SqliteConnectOptions, SqliteConnection};

use super::carry::{Carried, carry_over};
use super::check::{CheckReport, check};
use super::copy::{sync, sync_directory};
use super::events::insert_event;
use super::lock::beside;
use super::open::{explain_io, newest_schema};
use super::{DatabaseLock, MasterKey, Result, StoreError};
use crate::model::{Actor, Event, EventKind, Timestamp};

/// What a restore did.
#[derive(Debug, Clone)]
pub struct Restored {
    /// Where the database that was there before is now; `None` where there was none.
    pub kept: Option<PathBuf>,
    /// What the database now in place holds.
    pub report: CheckReport,
    /// What had been revoked since the backup, and stays so.
    pub carried: Carried,
}

/// Takes `source` for the database. Leaves `source` as it is.
///
/// # Errors
/// [`StoreError::Unsound`] when it does not verify; [`StoreError::Busy`] when another program
/// (`gander-hub token create`, sqlite3) has the database open; or a file cannot be written. The
/// database is what it was then.
pub async fn restore(
    source: &Path,
    database: &Path,
    key: Option<&MasterKey>,
    actor: &Actor,
    now: Timestamp,
    _lock: &DatabaseLock,
) -> Result<Restored> {
    let part = beside(database, ".restore.part");
    remove_with_log(&part)?;
    let prepared = prepare(source, &part, database, key, actor, now).await;
    let (report, carried) = match prepared {
        Ok(prepared) => prepared,
        Err(error) => {
            let _ = remove_with_log(&part);
            return Err(about(error, &part, source));
        }
    };
    let kept = put_aside(database, now).await.inspect_err(|_| {
        let _ = remove_with_log(&part);
    })?;
    std::fs::rename(&part, database).map_err(|error| explain_io(database, &error))?;
    sync_directory(database)?;
    Ok(Restored {
        kept,
        report: CheckReport {
            path: database.to_owned(),
            ..report
        },
        carried,
    })
}

/// Copies the backup, with its log where it has one, and checks the copy.
async fn prepare(
    source: &Path,
    part: &Path,
    database: &Path,
    key: Option<&MasterKey>,
    actor: &Actor,
    now: Timestamp,
) -> Result<(CheckReport, Carried)> {
    copy_file(source, part)?;
    let log = beside(source, "-wal");
    if log.exists() {
        copy_file(&log, &beside(part, "-wal"))?;
    }
    // Before anything writes to it: what is no sound database is not touched by SQLite either.
    let report = check(part, key).await?.usable()?;
    let mut connection = connect(part).await?;
    settle_connection(&mut connection).await?;
    // An older schema is brought up to date at a start; until then its tables are not known here.
    let carried = if report.schema == Some(newest_schema()) {
        carry_over(&mut connection, database).await?
    } else {
        Carried {
            missed: Some("the backup is of an older version".to_owned()),
            ..Carried::default()
        }
    };
    let event = Event {
        at: now,
        kind: EventKind::DatabaseRestored,
        server_id: None,
        actor: actor.0.clone(),
        details: serde_json::json!({
            "file": source.file_name().map(|name| name.to_string_lossy()),
            "newest": report.newest,
            "stays_revoked": carried.done,
        }),
    };
    insert_event(&mut connection, &event).await?;
    connection.close().await?;
    sync(part)?;
    Ok((report, carried))
}

fn remove_if_there(file: &Path) -> Result<()> {
    match std::fs::remove_file(file) {
        Err(error) if error.kind() != std::io::ErrorKind::NotFound => Err(explain_io(file, &error)),
        _ => Ok(()),
    }
}

fn copy_file(from: &Path, to: &Path) -> Result<()> {
    let mut input = std::fs::File::open(from).map_err(|error| explain_io(from, &error))?;
    let mut output = OpenOptions::new()
        .write(true)
        .create(true)
        .truncate(true)
        .mode(0o600)
        .open(to)
        .map_err(|error| explain_io(to, &error))?;
    std::io::copy(&mut input, &mut output).map_err(|error| explain_io(to, &error))?;
    output.sync_all().map_err(|error| explain_io(to, &error))
}

/// Gives the database there is a second name, and takes its log out of the way of the new one:
/// SQLite would take a log for the new file's. Answers the second name.
async fn put_aside(database: &Path, now: Timestamp) -> Result<Option<PathBuf>> {
    let length = std::fs::metadata(database).map_or(0, |metadata| metadata.len());
    let log = beside(database, "-wal");
    if length == 0 && !log.exists() {
        return Ok(None);
    }
    let kept = beside(database, &format!(".before-restore-{}", moment_word(now)));
    let kept_log = beside(&kept, "-wal");
    if log.exists() {
        // SQLite takes a log away when it lets go of a file it cannot read, in a thread of its own.
        copy_file(&log, &kept_log)?;
    }
    match settle(database).await {
        // It is in the file now.
        Ok(()) => remove_if_there(&kept_log)?,
        // What is damaged is kept as it is, log and all.
        Err(StoreError::Corrupt { .. } | StoreError::Sqlx(_) | StoreError::Open { .. }) => {
            remove_if_there(&log)?;
        }
        Err(error) => {
            remove_if_there(&kept_log)?;
            return Err(error);
        }
    }
    let _ = std::fs::remove_file(beside(database, "-shm"));
    std::fs::hard_link(database, &kept)
        .or_else(|_| copy_file(database, &kept).map_err(std::io::Error::other))
        .map_err(|error| explain_io(&kept, &error))?;
    sync_directory(database)?;
    Ok(Some(kept))
}

/// Brings everything of a database into its one file and removes the log. Fails while any other
/// connection is open, in whatever process.
pub(super) async fn settle(path: &Path) -> Result<()> {
    let mut connection = connect(path).await?;
    let settled = settle_connection(&mut connection).await;
    let closed = connection.close().await.map_err(StoreError::from);
    settled.and(closed).map_err(|error| match error {
        StoreError::Sqlx(_) => error,
        error => error.at(path),
    })
}

async fn connect(path: &Path) -> Result<SqliteConnection> {
    let options = SqliteConnectOptions::new()
        .filename(path)
        .busy_timeout(std::time::Duration::from_secs(2))
        .foreign_keys(false)
        .pragma("synchronous", "full")
        .pragma("trusted_schema", "off");
    SqliteConnection::connect_with(&options)
        .await
        .map_err(StoreError::from)
}

async fn settle_connection(connection: &mut SqliteConnection) -> Result<()> {
    let mode: String = sqlx::query_scalar("PRAGMA journal_mode = DELETE")
        .fetch_one(connection)
        .await?;
    if mode == "delete" {
        Ok(())
    } else {
        Err(StoreError::Busy)
    }
}

pub(super) fn remove_with_log(path: &Path) -> Result<()> {
    for suffix in ["", "-wal", "-shm", "-journal"] {
        let path = beside(path, suffix);
        match std::fs::remove_file(&path) {
            Ok(()) => {}
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => {}
            Err(error) => return Err(explain_io(&path, &error)),
        }
    }
    Ok(())
}

/// The same error, about the file a person named.
fn about(error: StoreError, part: &Path, source: &Path) -> StoreError {
    match error {
        StoreError::Unsound { problems, .. } => StoreError::Unsound {
            path: source.to_owned(),
            problems,
        },
        StoreError::Open { path, reason } if path == part => StoreError::Open {
            path: source.to_owned(),
            reason,
        },
        error => error,
    }
}

/// A moment as part of a file name: `20261122T190000Z`.
pub(super) fn moment_word(now: Timestamp) -> String {
    let digits = now.to_string();
    let (seconds, _) = digits.split_once('.').unwrap_or((&digits, ""));
    let plain: String = seconds.chars().filter(|c| c.is_ascii_alphanumeric()).collect();
    format!("{plain}Z")
}
