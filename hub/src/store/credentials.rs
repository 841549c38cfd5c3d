//! Shared credentials: their sealed secrets, and the servers that use them.

use std::collections::HashMap;

use sqlx::Row;
use sqlx::sqlite::{SqliteConnection, SqliteRow};

use super::error::is_unique_violation;
use super::events::insert_event;
use super::seal::Place;
use super::servers::{PASSPHRASE, PASSWORD, PRIVATE_KEY};
use super::words::from_word;
use super::{Change, Result, Store, StoreError};
use crate::model::credential::{CredentialKind, CredentialSpec, KeySource};
use crate::model::server::SshCredential;
use crate::model::{Actor, Credential, CredentialId, Event, EventKind, HostKey, Secret, ServerId, Timestamp};

/// What an update does to the secrets of a shared credential, and to what stands beside them in the
/// clear. `Default` changes nothing.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct SecretChange {
    /// For password and keyboard-interactive.
    pub password: Change<Secret>,
    /// The private key.
    pub private_key: Change<Secret>,
    /// What opens the private key.
    pub passphrase: Change<Secret>,
    /// The public half of the private key: whoever sets the one sets the other.
    pub public_key: Change<HostKey>,
    /// An OpenSSH user certificate of the key.
    pub certificate: Change<String>,
}

impl SecretChange {
    fn is_none(&self) -> bool {
        *self == Self::default()
    }
}

const SELECT: &str = "SELECT id, name, kind, ssh_user, agent_key, public_key, certificate, created_at, \
     updated_at, password IS NOT NULL AS has_password, passphrase IS NOT NULL AS has_passphrase FROM credential";

/// A row without its servers.
fn credential_of(row: &SqliteRow) -> Result<Credential> {
    let public_key: Option<&str> = row.try_get("public_key")?;
    Ok(Credential {
        id: CredentialId(row.try_get("id")?),
        spec: CredentialSpec {
            name: row.try_get("name")?,
            kind: from_word(row.try_get("kind")?)?,
            ssh_user: row.try_get("ssh_user")?,
            agent_key: row.try_get("agent_key")?,
        },
        has_password: row.try_get("has_password")?,
        has_passphrase: row.try_get("has_passphrase")?,
        public_key: public_key
            .map(|text| HostKey::parse(text).map_err(|error| StoreError::unreadable("public key", error)))
            .transpose()?,
        certificate: row.try_get("certificate")?,
        servers: Vec::new(),
        created_at: Timestamp(row.try_get("created_at")?),
        updated_at: Timestamp(row.try_get("updated_at")?),
    })
}

async fn fetch(connection: &mut SqliteConnection, id: CredentialId) -> Result<Option<Credential>> {
    let row = sqlx::query(sqlx::AssertSqlSafe(format!("{SELECT} WHERE id = ?")))
        .bind(id.0)
        .fetch_optional(&mut *connection)
        .await?;
    let Some(row) = row else { return Ok(None) };
    let mut credential = credential_of(&row)?;
    credential.servers =
        sqlx::query_scalar::<_, i64>("SELECT id FROM server WHERE credential_id = ? ORDER BY id")
            .bind(id.0)
            .fetch_all(connection)
            .await?
            .into_iter()
            .map(ServerId)
            .collect();
    Ok(Some(credential))
}

async fn existing(connection: &mut SqliteConnection, id: CredentialId) -> Result<Credential> {
    fetch(connection, id).await?.ok_or(StoreError::NotFound {
        what: "credential",
        id: id.0,
    })
}

/// `change` is `created`, `changed`, `rotated` or `deleted`.
fn happened(credential: &Credential, change: &str, actor: &Actor, now: Timestamp) -> Event {
    Event {
        at: now,
        kind: EventKind::CredentialChanged,
        server_id: None,
        actor: actor.0.clone(),
        details: serde_json::json!({ "name": credential.spec.name, "change": change }),
    }
}

fn place(id: CredentialId, field: &'static str) -> Place {
    Place {
        table: "credential",
        row: id.0,
        field,
    }
}

impl Store {
    /// Writes what changes of one column.
    async fn write_column(
        &self,
        connection: &mut SqliteConnection,
        id: CredentialId,
        sql: &'static str,
        value: Change<impl sqlx::Encode<'static, sqlx::Sqlite> + sqlx::Type<sqlx::Sqlite> + Send + 'static>,
    ) -> Result<()> {
        let value = match value {
            Change::Keep => return Ok(()),
            Change::Clear => None,
            Change::Set(value) => Some(value),
        };
        sqlx::query(sql)
            .bind(value)
            .bind(id.0)
            .execute(connection)
            .await?;
        Ok(())
    }

    async fn write_shared_secrets(
        &self,
        connection: &mut SqliteConnection,
        id: CredentialId,
        change: &SecretChange,
    ) -> Result<()> {
        let secrets = [
            (
                "UPDATE credential SET password = ? WHERE id = ?",
                PASSWORD,
                &change.password,
            ),
            (
                "UPDATE credential SET private_key = ? WHERE id = ?",
                PRIVATE_KEY,
                &change.private_key,
            ),
            (
                "UPDATE credential SET passphrase = ? WHERE id = ?",
                PASSPHRASE,
                &change.passphrase,
            ),
        ];
        for (sql, field, secret) in secrets {
            let sealed = match secret {
                Change::Keep => continue,
                Change::Clear => Change::Clear,
                Change::Set(secret) => Change::Set(self.inner.key.seal(&place(id, field), secret.expose())?),
            };
            self.write_column(connection, id, sql, sealed).await?;
        }
        let public_key = match &change.public_key {
            Change::Keep => Change::Keep,
            Change::Clear => Change::Clear,
            Change::Set(key) => Change::Set(key.public_key.clone()),
        };
        let sql = "UPDATE credential SET public_key = ? WHERE id = ?";
        self.write_column(connection, id, sql, public_key).await?;
        let sql = "UPDATE credential SET certificate = ? WHERE id = ?";
        self.write_column(connection, id, sql, change.certificate.clone())
            .await
    }

    /// A stored secret in the clear. One that does not open is reported and treated as absent.
    fn unseal_shared(&self, row: &SqliteRow, column: &str, field: &'static str) -> Result<Option<Secret>> {
        let Some(sealed) = row.try_get::<Option<&[u8]>, _>(column)? else {
            return Ok(None);
        };
        let id = CredentialId(row.try_get("id")?);
        let secret = self.inner.key.open(&place(id, field), sealed);
        if secret.is_none() {
            let name: &str = row.try_get("name")?;
            tracing::error!(
                credential.id = id.0,
                credential.name = name,
                "the stored {field} of a shared credential cannot be opened: enter it again"
            );
        }
        Ok(secret)
    }

    /// How to log in with each of them, in the clear.
    pub(super) async fn all_secrets(
        &self,
        connection: &mut SqliteConnection,
    ) -> Result<HashMap<CredentialId, SshCredential>> {
        let rows = sqlx::query(
            "SELECT id, name, kind, agent_key, password, private_key, passphrase, certificate FROM credential",
        )
        .fetch_all(connection)
        .await?;
        let mut all = HashMap::with_capacity(rows.len());
        for row in &rows {
            let credential = SshCredential {
                password: self.unseal_shared(row, "password", PASSWORD)?,
                private_key: self.unseal_shared(row, "private_key", PRIVATE_KEY)?,
                passphrase: self.unseal_shared(row, "passphrase", PASSPHRASE)?,
                key_source: match from_word(row.try_get("kind")?)? {
                    CredentialKind::Password | CredentialKind::Key => KeySource::Stored,
                    CredentialKind::HubKey => KeySource::Hub,
                    CredentialKind::Agent => KeySource::Agent {
                        fingerprint: row.try_get("agent_key")?,
                    },
                },
                certificate: row.try_get("certificate")?,
            };
            all.insert(CredentialId(row.try_get("id")?), credential);
        }
        Ok(all)
    }

    /// How to log in with a shared credential, in the clear: for collection and tests of it only.
    ///
    /// # Errors
    /// The database cannot be read.
    pub async fn credential_secrets(&self, id: CredentialId) -> Result<Option<SshCredential>> {
        let mut reader = self.inner.readers.acquire().await?;
        Ok(self.all_secrets(&mut reader).await?.remove(&id))
    }

    /// All shared credentials, by name.
    ///
    /// # Errors
    /// The database cannot be read.
    pub async fn credentials(&self) -> Result<Vec<Credential>> {
        let mut reader = self.inner.readers.begin().await?;
        let rows = sqlx::query(sqlx::AssertSqlSafe(format!("{SELECT} ORDER BY name")))
            .fetch_all(&mut *reader)
            .await?;
        let uses: Vec<(i64, i64)> = sqlx::query_as(
            "SELECT credential_id, id FROM server WHERE credential_id IS NOT NULL ORDER BY id",
        )
        .fetch_all(&mut *reader)
        .await?;
        reader.rollback().await?;
        let mut servers: HashMap<i64, Vec<ServerId>> = HashMap::new();
        for (credential, server) in uses {
            servers.entry(credential).or_default().push(ServerId(server));
        }
        let mut credentials = Vec::with_capacity(rows.len());
        for row in &rows {
            let mut credential = credential_of(row)?;
            credential.servers = servers.remove(&credential.id.0).unwrap_or_default();
            credentials.push(credential);
        }
        Ok(credentials)
    }

    /// One shared credential.
    ///
    /// # Errors
    /// The database cannot be read.
    pub async fn credential(&self, id: CredentialId) -> Result<Option<Credential>> {
        let mut reader = self.inner.readers.acquire().await?;
        fetch(&mut reader, id).await
    }

    /// Makes a shared credential.
    ///
    /// # Errors
    /// [`StoreError::NameTaken`].
    pub async fn create_credential(
        &self,
        spec: &CredentialSpec,
        secrets: &SecretChange,
        actor: &Actor,
        now: Timestamp,
    ) -> Result<Credential> {
        let mut write = self.write().await?;
        let connection = write.connection()?;
        let credential = self
            .insert_credential(connection, spec, secrets, actor, now)
            .await?;
        write.commit().await?;
        Ok(credential)
    }

    /// The same within a transaction.
    pub(super) async fn insert_credential(
        &self,
        connection: &mut SqliteConnection,
        spec: &CredentialSpec,
        secrets: &SecretChange,
        actor: &Actor,
        now: Timestamp,
    ) -> Result<Credential> {
        let inserted = sqlx::query_scalar(
            "INSERT INTO credential (name, kind, ssh_user, agent_key, created_at, updated_at)
             VALUES (?, ?, ?, ?, ?5, ?5) RETURNING id",
        )
        .bind(&spec.name)
        .bind(spec.kind.as_str())
        .bind(&spec.ssh_user)
        .bind(&spec.agent_key)
        .bind(now.0)
        .fetch_one(&mut *connection)
        .await;
        let id = CredentialId(inserted.map_err(|error| name_taken(error, spec))?);
        self.write_shared_secrets(connection, id, secrets).await?;
        let credential = existing(connection, id).await?;
        insert_event(connection, &happened(&credential, "created", actor, now)).await?;
        Ok(credential)
    }

    /// Changes a shared credential. Every server that uses it is logged in to with the new one.
    ///
    /// # Errors
    /// [`StoreError::NotFound`], [`StoreError::NameTaken`].
    pub async fn update_credential(
        &self,
        id: CredentialId,
        spec: &CredentialSpec,
        secrets: &SecretChange,
        actor: &Actor,
        now: Timestamp,
    ) -> Result<Credential> {
        let mut write = self.write().await?;
        let connection = write.connection()?;
        existing(connection, id).await?;
        sqlx::query(
            "UPDATE credential SET name = ?, kind = ?, ssh_user = ?, agent_key = ?, updated_at = ? WHERE id = ?",
        )
        .bind(&spec.name)
        .bind(spec.kind.as_str())
        .bind(&spec.ssh_user)
        .bind(&spec.agent_key)
        .bind(now.0)
        .bind(id.0)
        .execute(&mut *connection)
        .await
        .map_err(|error| name_taken(error, spec))?;
        self.write_shared_secrets(connection, id, secrets).await?;
        let credential = existing(connection, id).await?;
        let change = if secrets.is_none() { "changed" } else { "rotated" };
        insert_event(connection, &happened(&credential, change, actor, now)).await?;
        write.commit().await?;
        self.servers_changed();
        Ok(credential)
    }

    /// Removes a shared credential. `false`: there was none.
    ///
    /// # Errors
    /// [`StoreError::CredentialInUse`].
    pub async fn delete_credential(&self, id: CredentialId, actor: &Actor, now: Timestamp) -> Result<bool> {
        let mut write = self.write().await?;
        let connection = write.connection()?;
        let Some(credential) = fetch(connection, id).await? else {
            return Ok(false);
        };
        let servers: Vec<String> =
            sqlx::query_scalar("SELECT name FROM server WHERE credential_id = ? ORDER BY name")
                .bind(id.0)
                .fetch_all(&mut *connection)
                .await?;
        if !servers.is_empty() {
            return Err(StoreError::CredentialInUse {
                name: credential.spec.name,
                servers,
            });
        }
        sqlx::query("DELETE FROM credential WHERE id = ?")
            .bind(id.0)
            .execute(&mut *connection)
            .await?;
        insert_event(connection, &happened(&credential, "deleted", actor, now)).await?;
        write.commit().await?;
        Ok(true)
    }
}

fn name_taken(error: sqlx::Error, spec: &CredentialSpec) -> StoreError {
    if is_unique_violation(&error) {
        StoreError::NameTaken {
            name: spec.name.clone(),
        }
    } else {
        error.into()
    }
}
