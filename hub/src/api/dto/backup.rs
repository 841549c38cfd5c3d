//! Backups of the database.

use serde::Serialize;
use utoipa::ToSchema;

use crate::model::Timestamp;

/// The backups there are, and how the next one will be made.
#[derive(Debug, Clone, Serialize, ToSchema)]
pub struct Backups {
    /// The directory they are kept in.
    pub directory: String,
    /// The bucket they are uploaded to as well; null without one.
    pub bucket: Option<BackupBucket>,
    /// Seconds between two of them; null when they are made on request only.
    pub interval_seconds: Option<u64>,
    /// How many are kept.
    pub keep: u32,
    /// Of how many weeks the newest one is kept beyond that.
    pub keep_weekly: u32,
    /// Since when one is being made; null when none is.
    pub running_since: Option<Timestamp>,
    /// When the next one is due; null when none is planned.
    pub next_run: Option<Timestamp>,
    /// The last one that was made.
    pub last_success: Option<Timestamp>,
    /// The last try, when it failed.
    pub last_error: Option<BackupFailure>,
    /// What is kept, newest first.
    pub backups: Vec<BackupFile>,
}

/// The bucket that backups are uploaded to as well.
#[derive(Debug, Clone, Serialize, ToSchema)]
pub struct BackupBucket {
    /// `s3://BUCKET/PREFIX`.
    pub address: String,
    /// The store's address.
    pub endpoint: String,
    /// When it was last brought up to date; null before the first time since the start.
    pub checked_at: Option<Timestamp>,
    /// The names of the verified backups in it, newest first, as of then.
    pub names: Vec<String>,
}

/// A try that failed.
#[derive(Debug, Clone, Serialize, ToSchema)]
pub struct BackupFailure {
    /// When.
    pub at: Timestamp,
    /// Why, and what to do.
    pub message: String,
    /// Whether the backup was made, and could not be uploaded to the bucket.
    pub of_upload: bool,
}

/// One backup.
#[derive(Debug, Clone, Serialize, ToSchema)]
pub struct BackupFile {
    /// Its file name.
    pub name: String,
    /// The moment it shows.
    pub taken_at: Timestamp,
    /// Its size in bytes.
    pub bytes: u64,
    /// Whether it was checked page by page and value by value after it was written.
    pub verified: bool,
    /// Its SHA-256 in hexadecimal digits, noted when it was verified.
    pub sha256: Option<String>,
}
