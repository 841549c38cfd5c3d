//! The state directory: who this agent is, its spool, and what it is doing. Nothing is written anywhere
//! else. Everything in it is for the agent's user alone.

use std::{
    fs::{self, File, OpenOptions, TryLockError},
    io::{self, Write as _},
    path::{Path, PathBuf},
};

use crate::identity::{Identity, Pending};

/// Where the state is unless `--state` or `STATE_DIRECTORY` (systemd) say otherwise.
pub const DEFAULT: &str = "/var/lib/gander-agent";

/// A state directory.
#[derive(Debug, Clone)]
pub struct StateDir(PathBuf);

/// Why the state directory is of no use. The text names the path and the fix.
#[derive(Debug, thiserror::Error)]
pub enum StateError {
    /// The directory itself.
    #[error("the state directory {} cannot be used: {source}. It must belong to the user the agent runs as", path.display())]
    Directory {
        /// Its path.
        path: PathBuf,
        /// What the system says.
        source: io::Error,
    },
    /// A file in it.
    #[error("{} cannot be {what}: {source}", path.display())]
    File {
        /// Its path.
        path: PathBuf,
        /// `read` or `written`.
        what: &'static str,
        /// What the system says.
        source: io::Error,
    },
    /// A file that holds something else.
    #[error("{} is damaged: {what}. Enrol anew: gander-agent enroll --again …", path.display())]
    Damaged {
        /// Its path.
        path: PathBuf,
        /// What is wrong.
        what: String,
    },
    /// Another agent runs on it.
    #[error("another gander-agent already runs on {} (systemctl status gander-agent)", path.display())]
    InUse {
        /// The directory.
        path: PathBuf,
    },
}

/// While it lives no other agent runs on the directory.
#[derive(Debug)]
pub struct Lock(#[expect(dead_code, reason = "closing it is what unlocks")] File);

impl StateDir {
    /// Names the directory; looks at nothing.
    #[must_use]
    pub fn new(path: impl Into<PathBuf>) -> Self {
        Self(path.into())
    }

    /// The directory.
    #[must_use]
    pub fn path(&self) -> &Path {
        &self.0
    }

    /// The directory of the spool.
    #[must_use]
    pub fn spool(&self) -> PathBuf {
        self.0.join("spool")
    }

    /// The file of the identity.
    #[must_use]
    pub fn identity_path(&self) -> PathBuf {
        self.0.join("identity.pem")
    }

    fn pending_path(&self) -> PathBuf {
        self.0.join("enrolment.pem")
    }

    /// The file that says what the running agent is doing.
    #[must_use]
    pub fn status_path(&self) -> PathBuf {
        self.0.join("status")
    }

    /// Makes the directory if need be.
    ///
    /// # Errors
    /// It is not there and cannot be made, or is no directory.
    pub fn make(&self) -> Result<(), StateError> {
        let mut builder = fs::DirBuilder::new();
        builder.recursive(true);
        #[cfg(unix)]
        std::os::unix::fs::DirBuilderExt::mode(&mut builder, 0o700);
        builder.create(&self.0).map_err(|source| StateError::Directory {
            path: self.0.clone(),
            source,
        })
    }

    /// Sees that this is the only agent on the directory.
    ///
    /// # Errors
    /// Another one runs, or the directory cannot be written.
    pub fn lock(&self) -> Result<Lock, StateError> {
        let path = self.0.join("lock");
        let file = private(OpenOptions::new().write(true).create(true).truncate(false))
            .open(&path)
            .map_err(|source| StateError::Directory {
                path: self.0.clone(),
                source,
            })?;
        // Whoever comes first makes it: `check` is often run by root.
        self.give_to_owner(&file).map_err(|source| StateError::File {
            path: path.clone(),
            what: "given to the agent's user",
            source,
        })?;
        match file.try_lock() {
            Ok(()) => Ok(Lock(file)),
            Err(TryLockError::WouldBlock) => Err(StateError::InUse { path: self.0.clone() }),
            Err(TryLockError::Error(source)) => Err(StateError::File {
                path,
                what: "locked",
                source,
            }),
        }
    }

    /// Who this agent is; `None` before it is enrolled.
    ///
    /// # Errors
    /// The file cannot be read, or is damaged.
    pub fn identity(&self) -> Result<Option<Identity>, StateError> {
        self.load(self.identity_path(), Identity::from_text)
    }

    /// An enrolment that waits for a person.
    ///
    /// # Errors
    /// As [`Self::identity`].
    pub fn pending(&self) -> Result<Option<Pending>, StateError> {
        self.load(self.pending_path(), Pending::from_text)
    }

    fn load<T>(
        &self,
        path: PathBuf,
        parse: impl FnOnce(&str) -> Result<T, String>,
    ) -> Result<Option<T>, StateError> {
        match fs::read_to_string(&path) {
            Ok(text) => match parse(&text) {
                Ok(value) => Ok(Some(value)),
                Err(what) => Err(StateError::Damaged { path, what }),
            },
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
            Err(source) => Err(StateError::File {
                path,
                what: "read",
                source,
            }),
        }
    }

    /// Keeps an identity, in place of any other; an enrolment that waited is done.
    ///
    /// # Errors
    /// It cannot be written; then the one before is still there.
    pub fn put_identity(&self, identity: &Identity) -> Result<(), StateError> {
        self.write(&self.identity_path(), &identity.to_text(), true)?;
        self.drop_pending()
    }

    /// Keeps an enrolment that waits.
    ///
    /// # Errors
    /// It cannot be written.
    pub fn put_pending(&self, pending: &Pending) -> Result<(), StateError> {
        self.write(&self.pending_path(), &pending.to_text(), true)
    }

    /// Forgets an enrolment that waited.
    ///
    /// # Errors
    /// The file is there and cannot be removed.
    pub fn drop_pending(&self) -> Result<(), StateError> {
        let path = self.pending_path();
        match fs::remove_file(&path) {
            Err(source) if source.kind() != io::ErrorKind::NotFound => Err(StateError::File {
                path,
                what: "removed",
                source,
            }),
            _ => Ok(()),
        }
    }

    /// Says what the agent is doing, for `gander-agent status`.
    ///
    /// # Errors
    /// It cannot be written.
    pub fn put_status(&self, text: &str) -> Result<(), StateError> {
        self.write(&self.status_path(), text, false)
    }

    /// Writes a file whole or not at all, for the owner of the directory alone.
    fn write(&self, path: &Path, text: &str, durably: bool) -> Result<(), StateError> {
        let scratch = path.with_extension("new");
        let write = || -> io::Result<()> {
            let mut file =
                private(OpenOptions::new().write(true).create(true).truncate(true)).open(&scratch)?;
            file.write_all(text.as_bytes())?;
            self.give_to_owner(&file)?;
            if durably {
                file.sync_all()?;
            }
            fs::rename(&scratch, path)?;
            if durably {
                File::open(&self.0)?.sync_all()?;
            }
            Ok(())
        };
        write().map_err(|source| {
            let _ = fs::remove_file(&scratch);
            StateError::File {
                path: path.to_owned(),
                what: "written",
                source,
            }
        })
    }

    /// Root enrols, but the agent runs as the owner of the directory.
    #[cfg(unix)]
    fn give_to_owner(&self, file: &File) -> io::Result<()> {
        use std::os::unix::fs::MetadataExt as _;
        let (directory, ours) = (fs::metadata(&self.0)?, file.metadata()?);
        if (directory.uid(), directory.gid()) != (ours.uid(), ours.gid()) {
            std::os::unix::fs::fchown(file, Some(directory.uid()), Some(directory.gid()))?;
        }
        Ok(())
    }

    #[cfg(not(unix))]
    fn give_to_owner(&self, _: &File) -> io::Result<()> {
        Ok(())
    }
}

/// For this user alone.
fn private(options: &mut OpenOptions) -> &mut OpenOptions {
    #[cfg(unix)]
    std::os::unix::fs::OpenOptionsExt::mode(options, 0o600);
    options
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt as _;

    use super::*;
    use crate::identity::tests::{identity, pending};

    #[test]
    fn an_identity_is_kept_for_the_owner_alone_and_ends_the_enrolment() {
        let directory = tempfile::tempdir().unwrap();
        let state = StateDir::new(directory.path().join("state"));
        state.make().unwrap();
        assert!(state.identity().unwrap().is_none() && state.pending().unwrap().is_none());
        state.put_pending(&pending()).unwrap();
        assert_eq!(state.pending().unwrap(), Some(pending()));
        state.put_identity(&identity()).unwrap();
        assert_eq!(state.identity().unwrap(), Some(identity()));
        assert!(state.pending().unwrap().is_none());
        let mode = |path: &Path| fs::metadata(path).unwrap().permissions().mode() & 0o777;
        assert_eq!(mode(&state.identity_path()), 0o600);
        assert_eq!(mode(state.path()), 0o700);
    }

    #[test]
    fn a_damaged_identity_says_what_to_do() {
        let directory = tempfile::tempdir().unwrap();
        let state = StateDir::new(directory.path());
        fs::write(state.identity_path(), "hub = a:1\n").unwrap();
        let said = state.identity().unwrap_err().to_string();
        assert!(
            said.contains("identity.pem is damaged") && said.contains("enroll --again"),
            "{said}"
        );
    }

    #[test]
    fn one_agent_runs_on_a_directory() {
        let directory = tempfile::tempdir().unwrap();
        let state = StateDir::new(directory.path());
        let lock = state.lock().unwrap();
        assert!(matches!(state.lock(), Err(StateError::InUse { .. })));
        drop(lock);
        state.lock().unwrap();
    }
}
