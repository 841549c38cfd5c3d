//! Who may use the hub: accounts, sessions and API tokens.

use sqlx::Row;
use sqlx::sqlite::{SqliteConnection, SqliteRow};

use super::error::is_unique_violation;
use super::events::insert_event;
use super::seal::fill_random;
use super::words::from_word;
use super::{Result, Store, StoreError, TokenHash};
use crate::model::{Actor, ApiToken, Event, EventKind, Role, Secret, Timestamp, User, UserId};

/// A token of 160 random bits: the prefix, then 32 lower-case letters and digits.
///
/// # Errors
/// The system gives no random numbers.
pub fn random_token(prefix: &str) -> Result<Secret> {
    const ALPHABET: &[u8; 32] = b"abcdefghijklmnopqrstuvwxyz234567";
    let mut bytes = zeroize::Zeroizing::new([0; 32]);
    fill_random(&mut *bytes)?;
    let mut token = String::with_capacity(prefix.len() + bytes.len());
    token.push_str(prefix);
    token.extend(
        bytes
            .iter()
            .map(|byte| char::from(ALPHABET[usize::from(byte % 32)])),
    );
    Ok(Secret::new(token))
}

fn user_of(row: &SqliteRow) -> Result<User> {
    Ok(User {
        id: UserId(row.try_get("id")?),
        username: row.try_get("username")?,
        role: from_word(row.try_get("role")?)?,
        created_at: Timestamp(row.try_get("created_at")?),
    })
}

fn token_of(row: &SqliteRow) -> Result<ApiToken> {
    let expires_at: Option<i64> = row.try_get("expires_at")?;
    Ok(ApiToken {
        id: row.try_get("id")?,
        name: row.try_get("name")?,
        role: from_word(row.try_get("role")?)?,
        created_at: Timestamp(row.try_get("created_at")?),
        expires_at: expires_at.map(Timestamp),
    })
}

/// What a change of accounts or tokens leaves in the record.
fn change(kind: EventKind, what: &str, name: &str, actor: &Actor, now: Timestamp) -> Event {
    Event {
        at: now,
        kind,
        server_id: None,
        actor: actor.0.clone(),
        details: serde_json::json!({ "change": what, "name": name }),
    }
}

async fn user_by_id(connection: &mut SqliteConnection, id: UserId) -> Result<User> {
    sqlx::query("SELECT id, username, role, created_at FROM user WHERE id = ?")
        .bind(id.0)
        .fetch_optional(connection)
        .await?
        .as_ref()
        .map(user_of)
        .transpose()?
        .ok_or(StoreError::NotFound {
            what: "user",
            id: id.0,
        })
}

/// Refuses when nobody but this user is an admin.
async fn protect_last_admin(connection: &mut SqliteConnection, user: &User) -> Result<()> {
    let others: bool =
        sqlx::query_scalar("SELECT EXISTS (SELECT 1 FROM user WHERE role = 'admin' AND id <> ?)")
            .bind(user.id.0)
            .fetch_one(connection)
            .await?;
    if user.role == Role::Admin && !others {
        return Err(StoreError::LastAdmin {
            username: user.username.clone(),
        });
    }
    Ok(())
}

async fn insert_user(
    connection: &mut SqliteConnection,
    username: &str,
    password_hash: &str,
    role: Role,
    actor: &Actor,
    now: Timestamp,
) -> Result<User> {
    let inserted = sqlx::query_scalar(
        "INSERT INTO user (username, password_hash, role, created_at) VALUES (?, ?, ?, ?) RETURNING id",
    )
    .bind(username)
    .bind(password_hash)
    .bind(role.as_str())
    .bind(now.0)
    .fetch_one(&mut *connection)
    .await;
    let id = inserted.map_err(|error| name_taken(error, username))?;
    insert_event(
        connection,
        &change(EventKind::UserChanged, "created", username, actor, now),
    )
    .await?;
    Ok(User {
        id: UserId(id),
        username: username.to_owned(),
        role,
        created_at: now,
    })
}

fn name_taken(error: sqlx::Error, name: &str) -> StoreError {
    if is_unique_violation(&error) {
        StoreError::NameTaken {
            name: name.to_owned(),
        }
    } else {
        error.into()
    }
}

impl Store {
    /// Makes an account.
    ///
    /// # Errors
    /// [`StoreError::NameTaken`].
    pub async fn create_user(
        &self,
        username: &str,
        password_hash: &str,
        role: Role,
        actor: &Actor,
        now: Timestamp,
    ) -> Result<User> {
        let mut write = self.write().await?;
        let user = insert_user(write.connection()?, username, password_hash, role, actor, now).await?;
        write.commit().await?;
        Ok(user)
    }

    /// Makes the first account, an admin. `None`, and nothing done, where there is an account
    /// already: of two people who set the hub up at once, one wins.
    ///
    /// # Errors
    /// The database cannot be written.
    pub async fn create_first_user(
        &self,
        username: &str,
        password_hash: &str,
        now: Timestamp,
    ) -> Result<Option<User>> {
        let mut write = self.write().await?;
        let connection = write.connection()?;
        let any: bool = sqlx::query_scalar("SELECT EXISTS (SELECT 1 FROM user)")
            .fetch_one(&mut *connection)
            .await?;
        if any {
            return Ok(None);
        }
        let user = insert_user(
            connection,
            username,
            password_hash,
            Role::Admin,
            &Actor::hub(),
            now,
        )
        .await?;
        write.commit().await?;
        Ok(Some(user))
    }

    /// All accounts, by name.
    ///
    /// # Errors
    /// The database cannot be read.
    pub async fn users(&self) -> Result<Vec<User>> {
        sqlx::query("SELECT id, username, role, created_at FROM user ORDER BY username")
            .fetch_all(&self.inner.readers)
            .await?
            .iter()
            .map(user_of)
            .collect()
    }

    /// An account and the hash of its password.
    ///
    /// # Errors
    /// The database cannot be read.
    pub async fn user_by_name(&self, username: &str) -> Result<Option<(User, String)>> {
        let row =
            sqlx::query("SELECT id, username, role, created_at, password_hash FROM user WHERE username = ?")
                .bind(username)
                .fetch_optional(&self.inner.readers)
                .await?;
        row.map(|row| Ok((user_of(&row)?, row.try_get("password_hash")?)))
            .transpose()
    }

    /// Gives an account another password and ends all of its sessions.
    ///
    /// # Errors
    /// [`StoreError::NotFound`].
    pub async fn set_password(
        &self,
        id: UserId,
        password_hash: &str,
        actor: &Actor,
        now: Timestamp,
    ) -> Result<()> {
        let mut write = self.write().await?;
        let connection = write.connection()?;
        let user = user_by_id(connection, id).await?;
        sqlx::query("UPDATE user SET password_hash = ? WHERE id = ?")
            .bind(password_hash)
            .bind(id.0)
            .execute(&mut *connection)
            .await?;
        sqlx::query("DELETE FROM session WHERE user_id = ?")
            .bind(id.0)
            .execute(&mut *connection)
            .await?;
        let event = change(EventKind::UserChanged, "password", &user.username, actor, now);
        insert_event(connection, &event).await?;
        write.commit().await
    }

    /// Changes what an account may do.
    ///
    /// # Errors
    /// [`StoreError::NotFound`], [`StoreError::LastAdmin`].
    pub async fn set_role(&self, id: UserId, role: Role, actor: &Actor, now: Timestamp) -> Result<User> {
        let mut write = self.write().await?;
        let connection = write.connection()?;
        let user = user_by_id(connection, id).await?;
        if user.role == role {
            return Ok(user);
        }
        protect_last_admin(connection, &user).await?;
        sqlx::query("UPDATE user SET role = ? WHERE id = ?")
            .bind(role.as_str())
            .bind(id.0)
            .execute(&mut *connection)
            .await?;
        let event = change(EventKind::UserChanged, role.as_str(), &user.username, actor, now);
        insert_event(connection, &event).await?;
        write.commit().await?;
        Ok(User { role, ..user })
    }

    /// Removes an account and its sessions. `false`: there was none.
    ///
    /// # Errors
    /// [`StoreError::LastAdmin`].
    pub async fn delete_user(&self, id: UserId, actor: &Actor, now: Timestamp) -> Result<bool> {
        let mut write = self.write().await?;
        let connection = write.connection()?;
        let user = match user_by_id(connection, id).await {
            Err(StoreError::NotFound { .. }) => return Ok(false),
            found => found?,
        };
        protect_last_admin(connection, &user).await?;
        sqlx::query("DELETE FROM user WHERE id = ?")
            .bind(id.0)
            .execute(&mut *connection)
            .await?;
        let event = change(EventKind::UserChanged, "deleted", &user.username, actor, now);
        insert_event(connection, &event).await?;
        write.commit().await?;
        Ok(true)
    }

    /// Number of accounts.
    ///
    /// # Errors
    /// The database cannot be read.
    pub async fn count_users(&self) -> Result<u64> {
        let count: i64 = sqlx::query_scalar("SELECT count(*) FROM user")
            .fetch_one(&self.inner.readers)
            .await?;
        Ok(count.unsigned_abs())
    }

    /// Begins a session.
    ///
    /// # Errors
    /// [`StoreError::NotFound`]: the account was deleted meanwhile.
    pub async fn create_session(
        &self,
        token: TokenHash,
        user_id: UserId,
        expires_at: Timestamp,
        now: Timestamp,
    ) -> Result<()> {
        let mut write = self.write().await?;
        let connection = write.connection()?;
        user_by_id(connection, user_id).await?;
        sqlx::query("INSERT INTO session (token_hash, user_id, created_at, expires_at) VALUES (?, ?, ?, ?)")
            .bind(&token.0[..])
            .bind(user_id.0)
            .bind(now.0)
            .bind(expires_at.0)
            .execute(connection)
            .await?;
        write.commit().await
    }

    /// Whose session it is; `None` when there is none or it has run out.
    ///
    /// # Errors
    /// The database cannot be read.
    pub async fn session(&self, token: TokenHash, now: Timestamp) -> Result<Option<User>> {
        sqlx::query(
            "SELECT user.id, user.username, user.role, user.created_at
             FROM session JOIN user ON user.id = session.user_id
             WHERE session.token_hash = ? AND session.expires_at > ?",
        )
        .bind(&token.0[..])
        .bind(now.0)
        .fetch_optional(&self.inner.readers)
        .await?
        .as_ref()
        .map(user_of)
        .transpose()
    }

    /// Moves the end of a session in use, but never past `longest_ms` after it began.
    ///
    /// # Errors
    /// The database cannot be written.
    pub async fn renew_session(
        &self,
        token: TokenHash,
        expires_at: Timestamp,
        longest_ms: i64,
    ) -> Result<()> {
        let mut write = self.write().await?;
        sqlx::query("UPDATE session SET expires_at = min(?, created_at + ?) WHERE token_hash = ?")
            .bind(expires_at.0)
            .bind(longest_ms)
            .bind(&token.0[..])
            .execute(write.connection()?)
            .await?;
        write.commit().await
    }

    /// Ends a session. `false`: there was none.
    ///
    /// # Errors
    /// The database cannot be written.
    pub async fn delete_session(&self, token: TokenHash) -> Result<bool> {
        let mut write = self.write().await?;
        let deleted = sqlx::query("DELETE FROM session WHERE token_hash = ?")
            .bind(&token.0[..])
            .execute(write.connection()?)
            .await?;
        write.commit().await?;
        Ok(deleted.rows_affected() > 0)
    }

    /// Removes sessions and API tokens that have run out; answers how many.
    ///
    /// # Errors
    /// The database cannot be written.
    pub async fn purge_expired(&self, now: Timestamp) -> Result<u64> {
        let mut write = self.write().await?;
        let connection = write.connection()?;
        let sessions = sqlx::query("DELETE FROM session WHERE expires_at <= ?")
            .bind(now.0)
            .execute(&mut *connection)
            .await?;
        let tokens = sqlx::query("DELETE FROM api_token WHERE expires_at <= ?")
            .bind(now.0)
            .execute(connection)
            .await?;
        write.commit().await?;
        Ok(sessions.rows_affected() + tokens.rows_affected())
    }

    /// Makes an API token.
    ///
    /// # Errors
    /// [`StoreError::NameTaken`].
    pub async fn create_token(
        &self,
        name: &str,
        role: Role,
        token: TokenHash,
        expires_at: Option<Timestamp>,
        actor: &Actor,
        now: Timestamp,
    ) -> Result<ApiToken> {
        let mut write = self.write().await?;
        let connection = write.connection()?;
        let inserted = sqlx::query_scalar(
            "INSERT INTO api_token (name, token_hash, role, created_at, expires_at)
             VALUES (?, ?, ?, ?, ?) RETURNING id",
        )
        .bind(name)
        .bind(&token.0[..])
        .bind(role.as_str())
        .bind(now.0)
        .bind(expires_at.map(Timestamp::as_millis))
        .fetch_one(&mut *connection)
        .await;
        let id = inserted.map_err(|error| name_taken(error, name))?;
        insert_event(
            connection,
            &change(EventKind::TokenChanged, "created", name, actor, now),
        )
        .await?;
        write.commit().await?;
        Ok(ApiToken {
            id,
            name: name.to_owned(),
            role,
            created_at: now,
            expires_at,
        })
    }

    /// All API tokens, by name.
    ///
    /// # Errors
    /// The database cannot be read.
    pub async fn tokens(&self) -> Result<Vec<ApiToken>> {
        sqlx::query("SELECT id, name, role, created_at, expires_at FROM api_token ORDER BY name")
            .fetch_all(&self.inner.readers)
            .await?
            .iter()
            .map(token_of)
            .collect()
    }

    /// The API token with this hash; `None` when there is none or it has run out.
    ///
    /// # Errors
    /// The database cannot be read.
    pub async fn token(&self, token: TokenHash, now: Timestamp) -> Result<Option<ApiToken>> {
        sqlx::query(
            "SELECT id, name, role, created_at, expires_at FROM api_token
             WHERE token_hash = ? AND (expires_at IS NULL OR expires_at > ?)",
        )
        .bind(&token.0[..])
        .bind(now.0)
        .fetch_optional(&self.inner.readers)
        .await?
        .as_ref()
        .map(token_of)
        .transpose()
    }

    /// Removes an API token. `false`: there was none.
    ///
    /// # Errors
    /// The database cannot be written.
    pub async fn delete_token(&self, id: i64, actor: &Actor, now: Timestamp) -> Result<bool> {
        let mut write = self.write().await?;
        let connection = write.connection()?;
        let name: Option<String> = sqlx::query_scalar("DELETE FROM api_token WHERE id = ? RETURNING name")
            .bind(id)
            .fetch_optional(&mut *connection)
            .await?;
        let Some(name) = name else {
            return Ok(false);
        };
        insert_event(
            connection,
            &change(EventKind::TokenChanged, "deleted", &name, actor, now),
        )
        .await?;
        write.commit().await?;
        Ok(true)
    }
}
