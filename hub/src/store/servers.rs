//! Servers: what a person configured, their sealed secrets and their pinned host keys.

use sqlx::Row;
use sqlx::sqlite::{SqliteConnection, SqliteRow};
use tokio::sync::watch;

use super::error::is_unique_violation;
use super::events::insert_event;
use super::open::put_meta;
use super::seal::Place;
use super::words::{from_json, from_word, to_json};
use super::{Change, CredentialChange, Result, Store, StoreError};
use crate::model::commit::Pin;
use crate::model::server::{CredentialUse, ServerSpec, SshCredential, Threshold, Thresholds};
use crate::model::{
    Actor, CredentialId, Event, EventKind, HostKey, Secret, Server, ServerId, Timestamp, Transport,
};

/// Chains of jump hosts longer than this are a mistake.
const LONGEST_JUMP_CHAIN: usize = 8;

pub(super) const PASSWORD: &str = "password";
pub(super) const PRIVATE_KEY: &str = "private key";
pub(super) const PASSPHRASE: &str = "passphrase";

pub(super) const SELECT: &str = "SELECT id, name, ip, ssh_port, ssh_user, transport, interval_seconds, jump_server_id, \
     credential_id, credential_name, credential_kind, credential_user, \
     tags, group_name, cpu_warning_percent, cpu_critical_percent, memory_warning_percent, \
     memory_critical_percent, disk_warning_percent, disk_critical_percent, enabled, \
     password IS NOT NULL AS has_password, private_key IS NOT NULL AS has_key, \
     host_key_algorithm, host_key_fingerprint, host_key_public, created_at, updated_at FROM server \
     LEFT JOIN (SELECT id AS shared_id, name AS credential_name, kind AS credential_kind, \
                ssh_user AS credential_user FROM credential) ON shared_id = credential_id";

pub(super) fn server_of(row: &SqliteRow) -> Result<Server> {
    let threshold = |warning, critical| {
        Ok::<_, sqlx::Error>(Threshold {
            warning_percent: row.try_get(warning)?,
            critical_percent: row.try_get(critical)?,
        })
    };
    let jump_server_id: Option<i64> = row.try_get("jump_server_id")?;
    let credential_id = row.try_get::<Option<i64>, _>("credential_id")?.map(CredentialId);
    let credential = match credential_id {
        Some(id) => Some(CredentialUse {
            id,
            name: row.try_get("credential_name")?,
            kind: from_word(row.try_get("credential_kind")?)?,
            ssh_user: row.try_get("credential_user")?,
        }),
        None => None,
    };
    let public_key: Option<String> = row.try_get("host_key_public")?;
    let host_key = match public_key {
        Some(public_key) => Some(HostKey {
            algorithm: row.try_get("host_key_algorithm")?,
            fingerprint: row.try_get("host_key_fingerprint")?,
            public_key,
        }),
        None => None,
    };
    Ok(Server {
        id: ServerId(row.try_get("id")?),
        spec: ServerSpec {
            name: row.try_get("name")?,
            ip: row.try_get("ip")?,
            ssh_port: row.try_get("ssh_port")?,
            ssh_user: row.try_get("ssh_user")?,
            transport: from_word(row.try_get("transport")?)?,
            interval_seconds: row.try_get("interval_seconds")?,
            jump_server_id: jump_server_id.map(ServerId),
            credential_id,
            tags: from_json(row.try_get("tags")?)?,
            group: row.try_get("group_name")?,
            thresholds: Thresholds {
                cpu: threshold("cpu_warning_percent", "cpu_critical_percent")?,
                memory: threshold("memory_warning_percent", "memory_critical_percent")?,
                disk: threshold("disk_warning_percent", "disk_critical_percent")?,
            },
            enabled: row.try_get("enabled")?,
        },
        has_password: row.try_get("has_password")?,
        has_key: row.try_get("has_key")?,
        credential,
        host_key,
        created_at: Timestamp(row.try_get("created_at")?),
        updated_at: Timestamp(row.try_get("updated_at")?),
    })
}

pub(super) async fn fetch_server(connection: &mut SqliteConnection, id: ServerId) -> Result<Option<Server>> {
    sqlx::query(sqlx::AssertSqlSafe(format!("{SELECT} WHERE id = ?")))
        .bind(id.0)
        .fetch_optional(connection)
        .await?
        .as_ref()
        .map(server_of)
        .transpose()
}

pub(super) async fn existing(connection: &mut SqliteConnection, id: ServerId) -> Result<Server> {
    fetch_server(connection, id).await?.ok_or(StoreError::NotFound {
        what: "server",
        id: id.0,
    })
}

pub(super) fn happened(kind: EventKind, server: &Server, actor: &Actor, now: Timestamp) -> Event {
    Event {
        at: now,
        kind,
        server_id: Some(server.id),
        actor: actor.0.clone(),
        details: serde_json::json!({ "name": server.spec.name }),
    }
}

pub(super) fn pinned(server: &Server, host_key: Option<&HostKey>, actor: &Actor, now: Timestamp) -> Event {
    Event {
        details: serde_json::json!({
            "name": server.spec.name,
            "fingerprint": host_key.map(|key| key.fingerprint.as_str()),
        }),
        ..happened(EventKind::HostKeyPinned, server, actor, now)
    }
}

/// Refuses a jump host that does not exist or whose own chain comes back to `id`.
pub(super) async fn check_jump_chain(
    connection: &mut SqliteConnection,
    id: Option<ServerId>,
    jump: Option<ServerId>,
) -> Result<()> {
    let Some(first) = jump else { return Ok(()) };
    let refuse = |reason| StoreError::JumpHost {
        jump_server_id: first.0,
        reason,
    };
    let mut next = Some(first);
    for _ in 0..LONGEST_JUMP_CHAIN {
        let Some(current) = next else { return Ok(()) };
        if Some(current) == id {
            return Err(refuse("the way to it leads through the server itself"));
        }
        let row: Option<Option<i64>> = sqlx::query_scalar("SELECT jump_server_id FROM server WHERE id = ?")
            .bind(current.0)
            .fetch_optional(&mut *connection)
            .await?;
        next = row.ok_or_else(|| refuse("it does not exist"))?.map(ServerId);
    }
    if next.is_none() {
        return Ok(());
    }
    Err(refuse("more than 8 jump hosts would lie one behind the other"))
}

/// Refuses a shared credential that does not exist.
pub(super) async fn check_credential(connection: &mut SqliteConnection, spec: &ServerSpec) -> Result<()> {
    let Some(id) = spec.credential_id else {
        return Ok(());
    };
    let exists: bool = sqlx::query_scalar("SELECT EXISTS (SELECT 1 FROM credential WHERE id = ?)")
        .bind(id.0)
        .fetch_one(connection)
        .await?;
    if exists {
        Ok(())
    } else {
        Err(StoreError::NoSuchCredential { id })
    }
}

/// Writes every configured column of a row. With a shared credential, secrets of the server's own go.
pub(super) async fn write_spec(
    connection: &mut SqliteConnection,
    id: Option<ServerId>,
    spec: &ServerSpec,
    now: Timestamp,
) -> Result<ServerId> {
    let sql = match id {
        None => {
            "INSERT INTO server (name, ip, ssh_port, ssh_user, transport, interval_seconds, jump_server_id,
                 tags, group_name, cpu_warning_percent, cpu_critical_percent, memory_warning_percent,
                 memory_critical_percent, disk_warning_percent, disk_critical_percent, enabled,
                 credential_id, updated_at, created_at)
             VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?17, ?18, ?18) RETURNING id"
        }
        Some(_) => {
            "UPDATE server SET name = ?, ip = ?, ssh_port = ?, ssh_user = ?, transport = ?,
                 interval_seconds = ?, jump_server_id = ?, tags = ?, group_name = ?,
                 cpu_warning_percent = ?, cpu_critical_percent = ?, memory_warning_percent = ?,
                 memory_critical_percent = ?, disk_warning_percent = ?, disk_critical_percent = ?,
                 enabled = ?, credential_id = ?17, updated_at = ?18,
                 password = iif(?17 IS NULL, password, NULL),
                 private_key = iif(?17 IS NULL, private_key, NULL),
                 passphrase = iif(?17 IS NULL, passphrase, NULL)
             WHERE id = ?19 RETURNING id"
        }
    };
    let thresholds = &spec.thresholds;
    let mut query = sqlx::query_scalar(sql)
        .bind(&spec.name)
        .bind(&spec.ip)
        .bind(spec.ssh_port)
        .bind(&spec.ssh_user)
        .bind(spec.transport.as_str())
        .bind(spec.interval_seconds)
        .bind(spec.jump_server_id.map(|jump| jump.0))
        .bind(to_json(&spec.tags)?)
        .bind(&spec.group)
        .bind(thresholds.cpu.warning_percent)
        .bind(thresholds.cpu.critical_percent)
        .bind(thresholds.memory.warning_percent)
        .bind(thresholds.memory.critical_percent)
        .bind(thresholds.disk.warning_percent)
        .bind(thresholds.disk.critical_percent)
        .bind(spec.enabled)
        .bind(spec.credential_id.map(|id| id.0))
        .bind(now.0);
    if let Some(id) = id {
        query = query.bind(id.0);
    }
    match query.fetch_one(connection).await {
        Ok(id) => Ok(ServerId(id)),
        Err(error) if is_unique_violation(&error) => Err(StoreError::NameTaken {
            name: spec.name.clone(),
        }),
        Err(error) => Err(error.into()),
    }
}

pub(super) async fn write_host_key(
    connection: &mut SqliteConnection,
    id: ServerId,
    host_key: Option<&HostKey>,
) -> Result<()> {
    sqlx::query(
        "UPDATE server SET host_key_algorithm = ?, host_key_fingerprint = ?, host_key_public = ? WHERE id = ?",
    )
    .bind(host_key.map(|key| key.algorithm.as_str()))
    .bind(host_key.map(|key| key.fingerprint.as_str()))
    .bind(host_key.map(|key| key.public_key.as_str()))
    .bind(id.0)
    .execute(connection)
    .await?;
    Ok(())
}

/// Pins a host key inside a transaction, with its event, if none is pinned and the server is still
/// where the key was proved. Otherwise nothing happens: the next connection proves its key anew.
pub(super) async fn pin_first(connection: &mut SqliteConnection, pin: &Pin) -> Result<bool> {
    let Pin {
        server_id,
        host_key,
        endpoint,
        at,
    } = pin;
    let updated = sqlx::query(
        "UPDATE server SET host_key_algorithm = ?, host_key_fingerprint = ?, host_key_public = ?
         WHERE id = ? AND host_key_public IS NULL AND ip = ? AND ssh_port = ? AND jump_server_id IS ?",
    )
    .bind(&host_key.algorithm)
    .bind(&host_key.fingerprint)
    .bind(&host_key.public_key)
    .bind(server_id.0)
    .bind(&endpoint.ip)
    .bind(endpoint.ssh_port)
    .bind(endpoint.jump_server_id.map(|id| id.0))
    .execute(&mut *connection)
    .await?;
    if updated.rows_affected() == 0 {
        return Ok(false);
    }
    let event = Event {
        at: *at,
        kind: EventKind::HostKeyPinned,
        server_id: Some(*server_id),
        actor: None,
        details: serde_json::json!({
            "algorithm": host_key.algorithm,
            "fingerprint": host_key.fingerprint,
        }),
    };
    insert_event(connection, &event).await?;
    Ok(true)
}

pub(super) fn place(id: ServerId, field: &'static str) -> Place {
    Place {
        table: "server",
        row: id.0,
        field,
    }
}

impl Store {
    async fn write_secret(
        &self,
        connection: &mut SqliteConnection,
        id: ServerId,
        field: &'static str,
        change: &Change<Secret>,
    ) -> Result<()> {
        let sealed = match change {
            Change::Keep => return Ok(()),
            Change::Clear => None,
            Change::Set(secret) => Some(self.inner.key.seal(&place(id, field), secret.expose())?),
        };
        let sql = match field {
            PASSWORD => "UPDATE server SET password = ? WHERE id = ?",
            PRIVATE_KEY => "UPDATE server SET private_key = ? WHERE id = ?",
            _ => "UPDATE server SET passphrase = ? WHERE id = ?",
        };
        sqlx::query(sql)
            .bind(sealed)
            .bind(id.0)
            .execute(connection)
            .await?;
        Ok(())
    }

    pub(super) async fn write_secrets(
        &self,
        connection: &mut SqliteConnection,
        id: ServerId,
        change: &CredentialChange,
    ) -> Result<()> {
        self.write_secret(connection, id, PASSWORD, &change.password)
            .await?;
        self.write_secret(connection, id, PRIVATE_KEY, &change.private_key)
            .await?;
        self.write_secret(connection, id, PASSPHRASE, &change.passphrase)
            .await
    }

    /// A stored secret in the clear. One that does not open is reported and treated as absent:
    /// it must not keep the rest of the fleet from being read.
    fn unseal(&self, server: &Server, field: &'static str, sealed: Option<&[u8]>) -> Option<Secret> {
        let secret = self.inner.key.open(&place(server.id, field), sealed?);
        if secret.is_none() {
            tracing::error!(
                server.id = server.id.0,
                server.name = server.spec.name,
                "the stored {field} cannot be opened: enter it again"
            );
        }
        secret
    }

    /// All servers, by name.
    ///
    /// # Errors
    /// The database cannot be read.
    pub async fn servers(&self) -> Result<Vec<Server>> {
        sqlx::query(sqlx::AssertSqlSafe(format!("{SELECT} ORDER BY name")))
            .fetch_all(&self.inner.readers)
            .await?
            .iter()
            .map(server_of)
            .collect()
    }

    /// One server.
    ///
    /// # Errors
    /// The database cannot be read.
    pub async fn server(&self, id: ServerId) -> Result<Option<Server>> {
        let mut connection = self.inner.readers.acquire().await?;
        fetch_server(&mut connection, id).await
    }

    /// Enrols a server. With `spec.credential_id`, `credential` must be empty.
    ///
    /// # Errors
    /// [`StoreError::NameTaken`], [`StoreError::JumpHost`], [`StoreError::NoSuchCredential`].
    pub async fn create_server(
        &self,
        spec: &ServerSpec,
        credential: &SshCredential,
        host_key: Option<&HostKey>,
        actor: &Actor,
        now: Timestamp,
    ) -> Result<Server> {
        let mut write = self.write().await?;
        let (cache, connection) = write.parts()?;
        check_jump_chain(connection, None, spec.jump_server_id).await?;
        check_credential(connection, spec).await?;
        let id = write_spec(connection, None, spec, now).await?;
        let set = |secret: &Option<Secret>| secret.clone().map_or(Change::Keep, Change::Set);
        let secrets = CredentialChange {
            password: set(&credential.password),
            private_key: set(&credential.private_key),
            passphrase: set(&credential.passphrase),
            host_key: None,
        };
        self.write_secrets(connection, id, &secrets).await?;
        write_host_key(connection, id, host_key).await?;
        let server = existing(connection, id).await?;
        insert_event(connection, &happened(EventKind::ServerAdded, &server, actor, now)).await?;
        cache.forget_servers();
        write.commit().await?;
        self.servers_changed();
        Ok(server)
    }

    /// Changes a server. Another address, port or jump host is another machine: its pinned key is
    /// forgotten unless `change` brings one. With `spec.credential_id`, secrets of its own go, and
    /// `change` must not set any.
    ///
    /// # Errors
    /// [`StoreError::NotFound`], [`StoreError::NameTaken`], [`StoreError::JumpHost`],
    /// [`StoreError::NoSuchCredential`].
    pub async fn update_server(
        &self,
        id: ServerId,
        spec: &ServerSpec,
        change: &CredentialChange,
        actor: &Actor,
        now: Timestamp,
    ) -> Result<Server> {
        let mut write = self.write().await?;
        let connection = write.connection()?;
        let before = existing(connection, id).await?;
        check_jump_chain(connection, Some(id), spec.jump_server_id).await?;
        check_credential(connection, spec).await?;
        write_spec(connection, Some(id), spec, now).await?;
        self.write_secrets(connection, id, change).await?;
        let place_of = |spec: &ServerSpec| (spec.ip.clone(), spec.ssh_port, spec.jump_server_id);
        let moved = place_of(&before.spec) != place_of(spec);
        if moved || change.host_key.is_some() {
            write_host_key(connection, id, change.host_key.as_ref()).await?;
        }
        let server = existing(connection, id).await?;
        insert_event(
            connection,
            &happened(EventKind::ServerChanged, &server, actor, now),
        )
        .await?;
        if change.host_key.is_some() && server.host_key != before.host_key {
            insert_event(connection, &pinned(&server, server.host_key.as_ref(), actor, now)).await?;
        }
        write.commit().await?;
        self.servers_changed();
        Ok(server)
    }

    /// Pins a host key a person has accepted, or forgets the pinned one.
    ///
    /// # Errors
    /// [`StoreError::NotFound`].
    pub async fn set_host_key(
        &self,
        id: ServerId,
        host_key: Option<&HostKey>,
        actor: &Actor,
        now: Timestamp,
    ) -> Result<()> {
        let mut write = self.write().await?;
        let connection = write.connection()?;
        let server = existing(connection, id).await?;
        write_host_key(connection, id, host_key).await?;
        insert_event(connection, &pinned(&server, host_key, actor, now)).await?;
        write.commit().await?;
        self.servers_changed();
        Ok(())
    }

    /// Removes a server with its alerts and samples. `false`: there was none. The server is gone
    /// at once; its samples are swept away in small batches before this returns, and a sweep cut
    /// short is finished by the next [`Store::purge`].
    ///
    /// # Errors
    /// [`StoreError::JumpHostInUse`].
    pub async fn delete_server(&self, id: ServerId, actor: &Actor, now: Timestamp) -> Result<bool> {
        let mut write = self.write().await?;
        let (cache, connection) = write.parts()?;
        let Some(server) = fetch_server(connection, id).await? else {
            return Ok(false);
        };
        let dependants: Vec<String> =
            sqlx::query_scalar("SELECT name FROM server WHERE jump_server_id = ? ORDER BY name")
                .bind(id.0)
                .fetch_all(&mut *connection)
                .await?;
        if !dependants.is_empty() {
            return Err(StoreError::JumpHostInUse {
                name: server.spec.name,
                dependants,
            });
        }
        sqlx::query("DELETE FROM server WHERE id = ?")
            .bind(id.0)
            .execute(&mut *connection)
            .await?;
        sqlx::query("INSERT INTO removal (server_id) VALUES (?)")
            .bind(id.0)
            .execute(&mut *connection)
            .await?;
        insert_event(
            connection,
            &happened(EventKind::ServerDeleted, &server, actor, now),
        )
        .await?;
        cache.forget_server(id);
        write.commit().await?;
        self.servers_changed();
        self.sweep_removed().await?;
        Ok(true)
    }

    /// Every server with its secrets in the clear: for collection only.
    ///
    /// # Errors
    /// The database cannot be read.
    pub async fn targets(&self) -> Result<Vec<(Server, SshCredential)>> {
        let sql = SELECT.replace(
            " FROM server ",
            ", password, private_key, passphrase FROM server ",
        );
        let mut reader = self.inner.readers.begin().await?;
        let shared = self.all_secrets(&mut reader).await?;
        let rows = sqlx::query(sqlx::AssertSqlSafe(format!("{sql} ORDER BY name")))
            .fetch_all(&mut *reader)
            .await?;
        reader.rollback().await?;
        let mut targets = Vec::with_capacity(rows.len());
        for row in &rows {
            let server = server_of(row)?;
            let own = || -> Result<SshCredential> {
                Ok(SshCredential {
                    password: self.unseal(&server, PASSWORD, row.try_get("password")?),
                    private_key: self.unseal(&server, PRIVATE_KEY, row.try_get("private_key")?),
                    passphrase: self.unseal(&server, PASSPHRASE, row.try_get("passphrase")?),
                    ..SshCredential::default()
                })
            };
            let credential = match server.spec.credential_id {
                Some(id) => shared.get(&id).cloned().unwrap_or_default(),
                None => own()?,
            };
            targets.push((server, credential));
        }
        Ok(targets)
    }

    /// Enrols the hub's own machine, on the first start only: one that was deleted does not return.
    ///
    /// # Errors
    /// The database cannot be written.
    pub async fn ensure_local_server(&self, hostname: &str, now: Timestamp) -> Result<Option<Server>> {
        const META: &str = "store.local_server";
        if self.get_meta(META).await?.is_some() {
            return Ok(None);
        }
        let mut write = self.write().await?;
        let (cache, connection) = write.parts()?;
        let name: String = hostname.trim().chars().take(80).collect();
        let name = if name.is_empty() { "localhost" } else { &name };
        let mut spec = ServerSpec::new(name, "127.0.0.1", "", Transport::Local);
        let id = match write_spec(connection, None, &spec, now).await {
            Err(StoreError::NameTaken { .. }) => {
                spec.name.push_str(" (hub)");
                write_spec(connection, None, &spec, now).await?
            }
            written => written?,
        };
        put_meta(connection, META, Some("made")).await?;
        let server = existing(connection, id).await?;
        let event = happened(EventKind::ServerAdded, &server, &Actor::hub(), now);
        insert_event(connection, &event).await?;
        cache.forget_servers();
        write.commit().await?;
        self.servers_changed();
        Ok(Some(server))
    }

    /// A number that grows after every change of servers, credentials or pinned keys.
    #[must_use]
    pub fn subscribe_servers(&self) -> watch::Receiver<u64> {
        self.inner.servers_changed.subscribe()
    }
}
