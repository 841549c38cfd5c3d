//! What can go wrong in the store, in words that name the fix.

use std::path::PathBuf;

use crate::model::CredentialId;

/// Why the store could not do what it was asked.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum StoreError {
    /// A unique name is in use.
    #[error("the name \"{name}\" is already taken: choose another")]
    NameTaken {
        /// The name asked for.
        name: String,
    },
    /// The row does not exist (any more).
    #[error("{what} {id} does not exist: it may have been deleted meanwhile")]
    NotFound {
        /// `server`, `user`, ….
        what: &'static str,
        /// Its id.
        id: i64,
    },
    /// A server others go through must not go away under them.
    #[error("{name} is the jump host of {}: give them another jump host first", dependants.join(", "))]
    JumpHostInUse {
        /// The jump host.
        name: String,
        /// Names of the servers behind it.
        dependants: Vec<String>,
    },
    /// A chain of jump hosts that leads back to itself, or to no server at all.
    #[error("server {jump_server_id} cannot be the jump host: {reason}")]
    JumpHost {
        /// The jump host asked for.
        jump_server_id: i64,
        /// What is wrong with it.
        reason: &'static str,
    },
    /// A credential that servers use must not go away under them.
    #[error(
        "the credential {name} is used by {}: give them another log-in first",
        listed(servers)
    )]
    CredentialInUse {
        /// The credential.
        name: String,
        /// Names of the servers that use it.
        servers: Vec<String>,
    },
    /// There is no shared credential with this id.
    #[error("credential {id} does not exist: it may have been deleted meanwhile")]
    NoSuchCredential {
        /// The id asked for.
        id: CredentialId,
    },
    /// A key is entered as a host authority, or as revoked, already.
    #[error("the key {fingerprint} is entered already: change that entry")]
    AuthorityTaken {
        /// `SHA256:…` of the key.
        fingerprint: String,
    },
    /// The last admin must stay.
    #[error("{username} is the last admin and must stay one: make another admin first")]
    LastAdmin {
        /// The admin.
        username: String,
    },
    /// The disk (or its quota) is full. Nothing was written; the same call works once there is room.
    #[error("the disk that holds the database is full: free some space; what was acknowledged is safe")]
    Full,
    /// The database or its directory cannot be written.
    #[error(
        "{place} cannot be written: give the hub's user write permission on the file and its directory (chown, chmod), and mount the file system read-write"
    )]
    ReadOnly {
        /// The database's path, or "the database".
        place: String,
    },
    /// The database's directory cannot be made or entered, or the file cannot be opened.
    #[error(
        "cannot open the database {path}: {reason}; make its directory, and let the hub's user read and write it",
        path = path.display()
    )]
    Open {
        /// The database.
        path: PathBuf,
        /// What the system said.
        reason: String,
    },
    /// The file is damaged or is no SQLite database.
    #[error(
        "{place} is damaged or not a gander database ({detail}): stop the hub, keep a copy of the file, and restore a backup"
    )]
    Corrupt {
        /// The database's path, or "the database".
        place: String,
        /// What is wrong with it.
        detail: String,
    },
    /// A row holds what this program never writes, or a value cannot be written as text.
    #[error(
        "the database holds something that gander did not write ({what}: {detail}): restore a backup, or report it"
    )]
    Unreadable {
        /// Which kind of thing.
        what: String,
        /// What is wrong with it.
        detail: String,
    },
    /// Another program holds the database.
    #[error("the database is locked by another program: end it and try again")]
    Busy,
    /// Another hub runs on the database.
    #[error(
        "a hub{holder} uses {path}: stop it first (systemctl stop gander-hub, or end that process)",
        path = path.display(), holder = holder.map_or_else(String::new, |pid| format!(" (process {pid})"))
    )]
    InUse {
        /// The database.
        path: PathBuf,
        /// The hub's process, where it is known.
        holder: Option<u32>,
    },
    /// A file that was to be taken for a database, or kept as a backup, does not verify.
    #[error("{path} is not sound: {}", problems.join("; "), path = path.display())]
    Unsound {
        /// The file.
        path: PathBuf,
        /// What is wrong with it.
        problems: Vec<String>,
    },
    /// Copying was given up because the hub stops.
    #[error("it was given up half way: the hub stops")]
    Interrupted,
    /// The database was written by a newer gander.
    #[error(
        "{path} was written by a newer gander (schema {found}, this one knows {known}): run that version or restore a backup",
        path = path.display()
    )]
    NewerSchema {
        /// The database.
        path: PathBuf,
        /// The schema version of the file.
        found: i64,
        /// The newest this program knows.
        known: i64,
    },
    /// The schema could not be brought up to date.
    #[error("cannot bring the schema of {path} up to date: {reason}", path = path.display())]
    Migrate {
        /// The database.
        path: PathBuf,
        /// What went wrong.
        reason: String,
    },
    /// The linked SQLite is too old to be trusted with WAL.
    #[error(
        "the linked SQLite is {found}, but {required} or later is needed (older ones can corrupt a WAL database): build gander with its bundled SQLite"
    )]
    OldSqlite {
        /// The version linked.
        found: String,
        /// The oldest that will do.
        required: &'static str,
    },
    /// The master key file is unusable.
    #[error("the master key file {path} {problem}", path = path.display())]
    KeyFile {
        /// The key file.
        path: PathBuf,
        /// What is wrong and how to mend it.
        problem: String,
    },
    /// The master key is not the one the stored secrets were sealed with.
    #[error(
        "the master key does not fit {path}: its secrets were sealed with another key; put the key file back that belongs to this database (or name it with GANDER_MASTER_KEY_FILE)",
        path = path.display()
    )]
    WrongKey {
        /// The database.
        path: PathBuf,
    },
    /// A stored secret does not open: the row was tampered with or damaged.
    #[error("the stored {field} of server {server_id} cannot be opened: enter it again")]
    Unseal {
        /// Whose.
        server_id: i64,
        /// Which.
        field: &'static str,
    },
    /// The machine gave no random numbers.
    #[error("the system gives no random numbers: {0}")]
    Random(String),
    /// Anything else SQLite or its driver reports.
    #[error("the database failed: {0}")]
    Sqlx(#[source] sqlx::Error),
}

/// The first of many names, and how many more there are.
fn listed(names: &[String]) -> String {
    const MOST: usize = 20;
    let shown = names.get(..MOST.min(names.len())).unwrap_or_default().join(", ");
    match names.len().saturating_sub(MOST) {
        0 => shown,
        more => format!("{shown} and {more} more"),
    }
}

/// SQLite's result codes that a person can do something about
/// (<https://www.sqlite.org/rescode.html>); the low byte is the primary code.
mod code {
    pub(super) const BUSY: i32 = 5;
    pub(super) const LOCKED: i32 = 6;
    pub(super) const READONLY: i32 = 8;
    pub(super) const CORRUPT: i32 = 11;
    pub(super) const FULL: i32 = 13;
    pub(super) const NOTADB: i32 = 26;
    /// The `-shm` file could not grow: the disk is full.
    pub(super) const IOERR_SHMSIZE: i32 = 4874;
    /// Primary codes that say that the data or the statement is wrong, and would be again:
    /// ERROR, TOOBIG, CONSTRAINT, MISMATCH, MISUSE, AUTH, RANGE.
    pub(super) const REFUSED: [i32; 7] = [1, 18, 19, 20, 21, 23, 25];
}

impl From<sqlx::Error> for StoreError {
    fn from(error: sqlx::Error) -> Self {
        let Some(code) = sqlite_code(&error) else {
            return Self::Sqlx(error);
        };
        let place = || "the database".to_owned();
        match (code, code & 0xff) {
            (code::IOERR_SHMSIZE, _) | (_, code::FULL) => Self::Full,
            (_, code::READONLY) => Self::ReadOnly { place: place() },
            (_, code::CORRUPT | code::NOTADB) => Self::Corrupt {
                place: place(),
                detail: error.to_string(),
            },
            (_, code::BUSY | code::LOCKED) => Self::Busy,
            _ => Self::Sqlx(error),
        }
    }
}

/// The extended result code of SQLite, where the error came from there.
fn sqlite_code(error: &sqlx::Error) -> Option<i32> {
    error.as_database_error()?.code()?.parse().ok()
}

impl StoreError {
    /// A row holds what this program would never write.
    pub(super) fn unreadable(what: &str, detail: impl std::fmt::Display) -> Self {
        Self::Unreadable {
            what: what.to_owned(),
            detail: detail.to_string(),
        }
    }

    /// Whether the same write would fail for ever: the data itself is refused (a constraint, a
    /// value that does not fit, a statement that is wrong). `false` for what passes or is mended
    /// from outside (full, locked, read-only, a failing or damaged disk): then the same write is
    /// worth another try, and nothing may be thrown away meanwhile.
    #[must_use]
    pub fn is_permanent(&self) -> bool {
        match self {
            Self::Sqlx(error) => match sqlite_code(error) {
                Some(code) => code::REFUSED.contains(&(code & 0xff)),
                None => matches!(
                    error,
                    sqlx::Error::Encode(_)
                        | sqlx::Error::Decode(_)
                        | sqlx::Error::ColumnDecode { .. }
                        | sqlx::Error::ColumnNotFound(_)
                        | sqlx::Error::ColumnIndexOutOfBounds { .. }
                        | sqlx::Error::TypeNotFound { .. }
                        | sqlx::Error::RowNotFound
                ),
            },
            Self::Unreadable { .. }
            | Self::NameTaken { .. }
            | Self::NotFound { .. }
            | Self::JumpHostInUse { .. }
            | Self::JumpHost { .. }
            | Self::CredentialInUse { .. }
            | Self::NoSuchCredential { .. }
            | Self::AuthorityTaken { .. }
            | Self::LastAdmin { .. }
            | Self::Unseal { .. } => true,
            _ => false,
        }
    }

    /// The same error, with the path of the database in place of "the database".
    pub(super) fn at(self, path: &std::path::Path) -> Self {
        let place = path.display().to_string();
        match self {
            Self::ReadOnly { .. } => Self::ReadOnly { place },
            Self::Corrupt { detail, .. } => Self::Corrupt { place, detail },
            Self::Sqlx(error) => Self::Open {
                path: path.to_owned(),
                reason: error.to_string(),
            },
            other => other,
        }
    }
}

/// Whether a statement failed for a UNIQUE constraint.
pub(super) fn is_unique_violation(error: &sqlx::Error) -> bool {
    error
        .as_database_error()
        .is_some_and(sqlx::error::DatabaseError::is_unique_violation)
}
