//! Many servers at once: enrolled and changed in one transaction, decided on what is enrolled within
//! that same transaction, so that nothing can come between, and nothing is half done.

use sqlx::sqlite::SqliteConnection;

use super::credentials::SecretChange;
use super::events::insert_event;
use super::servers::{
    SELECT, check_credential, check_jump_chain, existing, happened, pinned, server_of, write_host_key,
    write_spec,
};
use super::{Change, CredentialChange, Result, Store};
use crate::model::credential::{CredentialKind, CredentialSpec};
use crate::model::server::{ServerSpec, SshCredential};
use crate::model::{Actor, CredentialId, EventKind, HostKey, Secret, Server, ServerId, Timestamp};

/// What many servers are to become.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct FleetChange {
    /// Private keys that several of the new servers use.
    pub credentials: Vec<NewCredential>,
    /// Servers to enrol; one that leads to others comes before them.
    pub add: Vec<NewServer>,
    /// Enrolled servers that change.
    pub change: Vec<ChangedServer>,
}

/// A private key to share. One that is shared already, by its public half, is used as it is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NewCredential {
    /// What to call it; a number is added where that is taken.
    pub name: String,
    /// The private key.
    pub private_key: Secret,
    /// Opens the key.
    pub passphrase: Option<Secret>,
    /// Its public half.
    pub public_key: HostKey,
}

/// What a new server is logged in to with.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum NewLogin {
    /// Something of its own.
    Own(SshCredential),
    /// A shared credential.
    Shared(CredentialId),
    /// One of [`FleetChange::credentials`].
    New(usize),
}

/// What a server is reached through.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Through {
    /// An enrolled server.
    Server(ServerId),
    /// One of [`FleetChange::add`], an earlier one.
    New(usize),
}

/// A server to enrol. Jump host and credential of `spec` are not looked at.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NewServer {
    /// What it is to be.
    pub spec: ServerSpec,
    /// The way to it.
    pub through: Option<Through>,
    /// How to log in.
    pub login: NewLogin,
    /// The host key to pin.
    pub host_key: Option<HostKey>,
}

/// An enrolled server that changes. Its log-in stays; the jump host of `spec` is not looked at.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ChangedServer {
    /// Which.
    pub id: ServerId,
    /// What it is to be.
    pub spec: ServerSpec,
    /// The way to it.
    pub through: Option<Through>,
    /// The host key to pin; `None` keeps the pinned one, unless it moves.
    pub host_key: Option<HostKey>,
}

/// What was done.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct FleetReceipt {
    /// The new servers, in the order of [`FleetChange::add`].
    pub added: Vec<ServerId>,
    /// How many changed.
    pub changed: usize,
    /// How many shared credentials were made.
    pub credentials: usize,
}

impl Store {
    /// Asks `decide` what many servers are to become, given those that are enrolled, and does it, all
    /// or nothing. What `decide` refuses comes back as it is, and nothing is done.
    ///
    /// # Errors
    /// [`super::StoreError::NameTaken`], [`super::StoreError::JumpHost`], [`super::StoreError::NoSuchCredential`].
    pub async fn change_fleet<E>(
        &self,
        decide: impl FnOnce(&[Server]) -> Result<FleetChange, E>,
        actor: &Actor,
        now: Timestamp,
    ) -> Result<Result<FleetReceipt, E>> {
        let mut write = self.write().await?;
        let (cache, connection) = write.parts()?;
        let rows = sqlx::query(sqlx::AssertSqlSafe(format!("{SELECT} ORDER BY name")))
            .fetch_all(&mut *connection)
            .await?;
        let enrolled: Vec<Server> = rows.iter().map(server_of).collect::<Result<_>>()?;
        let change = match decide(&enrolled) {
            Ok(change) => change,
            Err(refused) => return Ok(Err(refused)),
        };
        let mut receipt = FleetReceipt::default();
        let mut credentials = Vec::with_capacity(change.credentials.len());
        for new in &change.credentials {
            let (id, is_new) = self.share(connection, new, actor, now).await?;
            receipt.credentials += usize::from(is_new);
            credentials.push(id);
        }
        for new in &change.add {
            let id = self
                .add_one(connection, new, &credentials, &receipt.added, actor, now)
                .await?;
            receipt.added.push(id);
        }
        for changed in &change.change {
            self.change_one(connection, changed, &receipt.added, actor, now)
                .await?;
            receipt.changed += 1;
        }
        cache.forget_servers();
        write.commit().await?;
        self.servers_changed();
        Ok(Ok(receipt))
    }

    /// A mark that is another one after servers were enrolled, changed or removed, by whatever process.
    ///
    /// # Errors
    /// The database cannot be read.
    pub async fn servers_mark(&self) -> Result<(i64, i64, i64)> {
        let sql = "SELECT count(*), coalesce(max(id), 0), coalesce(max(updated_at), 0) FROM server";
        Ok(sqlx::query_as(sql).fetch_one(&self.inner.readers).await?)
    }

    /// The shared credential of a key, made where there is none yet.
    async fn share(
        &self,
        connection: &mut SqliteConnection,
        new: &NewCredential,
        actor: &Actor,
        now: Timestamp,
    ) -> Result<(CredentialId, bool)> {
        let known: Option<i64> = sqlx::query_scalar(
            "SELECT id FROM credential WHERE kind = 'key' AND password IS NULL AND public_key = ? ORDER BY id LIMIT 1",
        )
        .bind(&new.public_key.public_key)
        .fetch_optional(&mut *connection)
        .await?;
        if let Some(id) = known {
            return Ok((CredentialId(id), false));
        }
        let mut name = new.name.clone();
        for number in 2.. {
            let is_taken: bool =
                sqlx::query_scalar("SELECT EXISTS (SELECT 1 FROM credential WHERE name = ?)")
                    .bind(&name)
                    .fetch_one(&mut *connection)
                    .await?;
            if !is_taken {
                break;
            }
            name = format!("{} {number}", new.name);
        }
        let spec = CredentialSpec {
            name,
            kind: CredentialKind::Key,
            ssh_user: String::new(),
            agent_key: None,
        };
        let secrets = SecretChange {
            private_key: Change::Set(new.private_key.clone()),
            passphrase: new.passphrase.clone().map_or(Change::Keep, Change::Set),
            public_key: Change::Set(new.public_key.clone()),
            ..SecretChange::default()
        };
        let made = self
            .insert_credential(connection, &spec, &secrets, actor, now)
            .await?;
        Ok((made.id, true))
    }

    async fn add_one(
        &self,
        connection: &mut SqliteConnection,
        new: &NewServer,
        credentials: &[CredentialId],
        added: &[ServerId],
        actor: &Actor,
        now: Timestamp,
    ) -> Result<ServerId> {
        let spec = ServerSpec {
            jump_server_id: server_id(new.through, added),
            credential_id: match &new.login {
                NewLogin::Own(_) => None,
                NewLogin::Shared(id) => Some(*id),
                NewLogin::New(index) => credentials.get(*index).copied(),
            },
            ..new.spec.clone()
        };
        check_jump_chain(connection, None, spec.jump_server_id).await?;
        check_credential(connection, &spec).await?;
        let id = write_spec(connection, None, &spec, now).await?;
        if let NewLogin::Own(own) = &new.login {
            let set = |secret: &Option<Secret>| secret.clone().map_or(Change::Keep, Change::Set);
            let secrets = CredentialChange {
                password: set(&own.password),
                private_key: set(&own.private_key),
                passphrase: set(&own.passphrase),
                host_key: None,
            };
            self.write_secrets(connection, id, &secrets).await?;
        }
        write_host_key(connection, id, new.host_key.as_ref()).await?;
        let server = existing(connection, id).await?;
        insert_event(connection, &happened(EventKind::ServerAdded, &server, actor, now)).await?;
        Ok(id)
    }

    async fn change_one(
        &self,
        connection: &mut SqliteConnection,
        changed: &ChangedServer,
        added: &[ServerId],
        actor: &Actor,
        now: Timestamp,
    ) -> Result<()> {
        let before = existing(connection, changed.id).await?;
        let spec = ServerSpec {
            jump_server_id: server_id(changed.through, added),
            credential_id: before.spec.credential_id,
            ..changed.spec.clone()
        };
        check_jump_chain(connection, Some(changed.id), spec.jump_server_id).await?;
        write_spec(connection, Some(changed.id), &spec, now).await?;
        let moved = before.spec.endpoint() != spec.endpoint();
        if moved || changed.host_key.is_some() {
            write_host_key(connection, changed.id, changed.host_key.as_ref()).await?;
        }
        let server = existing(connection, changed.id).await?;
        insert_event(
            connection,
            &happened(EventKind::ServerChanged, &server, actor, now),
        )
        .await?;
        if changed.host_key.is_some() && server.host_key != before.host_key {
            insert_event(connection, &pinned(&server, server.host_key.as_ref(), actor, now)).await?;
        }
        Ok(())
    }
}

fn server_id(through: Option<Through>, added: &[ServerId]) -> Option<ServerId> {
    match through? {
        Through::Server(id) => Some(id),
        Through::New(index) => added.get(index).copied(),
    }
}
