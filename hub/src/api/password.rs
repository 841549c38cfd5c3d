//! Passwords: argon2id, off the async threads, a bounded number at once.

use std::sync::{
    Arc, LazyLock,
    atomic::{AtomicUsize, Ordering},
};

use argon2::{
    Argon2,
    password_hash::{PasswordHasher, PasswordVerifier, phc::PasswordHash},
};
use tokio::sync::Semaphore;

use crate::model::Secret;

use super::error::{ApiError, ApiResult};

/// Hashes at work at once: each takes 19 MiB and a core for some hundredths of a second.
const AT_ONCE: usize = 2;
/// Requests that may wait for their turn; more are told to come back.
const WAITING: usize = 64;

/// Passwords are compared with this one when there is no such user, so that the answer takes
/// as long as for a user there is.
static NOBODY: LazyLock<String> = LazyLock::new(|| hash("nobody has this password").unwrap_or_default());

/// Hashes a password: argon2id with the crate's (OWASP's) parameters, as a PHC string. Slow and
/// blocking; for the command line and [`Passwords`].
///
/// # Errors
/// The machine gives no random salt.
pub fn hash(password: &str) -> Result<String, argon2::password_hash::Error> {
    let hash: PasswordHash = Argon2::default().hash_password(password.as_bytes())?;
    Ok(hash.to_string())
}

fn verify(password: &str, hash: &str) -> bool {
    PasswordHash::new(hash).is_ok_and(|hash| {
        Argon2::default()
            .verify_password(password.as_bytes(), &hash)
            .is_ok()
    })
}

/// Hashes and compares passwords, a bounded number at once.
pub(super) struct Passwords {
    turns: Arc<Semaphore>,
    waiting: Arc<AtomicUsize>,
}

impl Passwords {
    pub(super) fn new() -> Self {
        LazyLock::force(&NOBODY);
        Self {
            turns: Arc::new(Semaphore::new(AT_ONCE)),
            waiting: Arc::default(),
        }
    }

    /// Hashes a new password.
    pub(super) async fn hash(&self, password: Secret) -> ApiResult<String> {
        self.in_turn(move || hash(password.expose()))
            .await?
            .map_err(|error| ApiError::internal(&error))
    }

    /// Whether the password fits the hash. Without a hash, takes as long and says no.
    pub(super) async fn verify(&self, password: Secret, hash: Option<String>) -> ApiResult<bool> {
        self.in_turn(move || match hash {
            Some(hash) => verify(password.expose(), &hash),
            None => {
                verify(password.expose(), &NOBODY);
                false
            }
        })
        .await
    }

    async fn in_turn<T: Send + 'static>(&self, work: impl FnOnce() -> T + Send + 'static) -> ApiResult<T> {
        let _place = Place::take(&self.waiting)?;
        let turn = Arc::clone(&self.turns)
            .acquire_owned()
            .await
            .map_err(|error| ApiError::internal(&error))?;
        tokio::task::spawn_blocking(move || {
            let result = work();
            drop(turn);
            result
        })
        .await
        .map_err(|error| ApiError::internal(&error))
    }
}

/// A place among those who wait for their turn.
struct Place(Arc<AtomicUsize>);

impl Place {
    fn take(waiting: &Arc<AtomicUsize>) -> ApiResult<Self> {
        if waiting.fetch_add(1, Ordering::Relaxed) >= WAITING {
            waiting.fetch_sub(1, Ordering::Relaxed);
            return Err(ApiError::too_many(
                "busy",
                "too many people log in right now: try again in 2 seconds",
                2,
            ));
        }
        Ok(Self(Arc::clone(waiting)))
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::Relaxed);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_password_fits_its_own_hash_only() {
        let passwords = Passwords::new();
        let hash = passwords.hash(Secret::new("correct horse".into())).await.unwrap();
        assert!(hash.starts_with("$argon2id$v=19$m=19456,t=2,p=1$"), "{hash}");
        let fits = |text: &str, hash: Option<String>| passwords.verify(Secret::new(text.into()), hash);
        assert!(fits("correct horse", Some(hash.clone())).await.unwrap());
        assert!(!fits("wrong horse", Some(hash)).await.unwrap());
        assert!(!fits("nobody has this password", None).await.unwrap());
        assert!(!fits("anything", Some("not a hash".into())).await.unwrap());
    }
}
