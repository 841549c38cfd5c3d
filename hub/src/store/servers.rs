//! Servers.
use super::*;
use crate::model::server::*;
use crate::model::*;
use tokio::sync::watch;
impl Store {
    /// All servers, by name.
    pub async fn servers(&self) -> Result<Vec<Server>> {
        todo!()
    }
    /// One.
    pub async fn server(&self, _id: ServerId) -> Result<Option<Server>> {
        todo!()
    }
    /// Create.
    pub async fn create_server(
        &self,
        _spec: &ServerSpec,
        _credential: &SshCredential,
        _host_key: Option<&HostKey>,
        _actor: &Actor,
        _now: Timestamp,
    ) -> Result<Server> {
        todo!()
    }
    /// Update.
    pub async fn update_server(
        &self,
        _id: ServerId,
        _spec: &ServerSpec,
        _change: &CredentialChange,
        _actor: &Actor,
        _now: Timestamp,
    ) -> Result<Server> {
        todo!()
    }
    /// Pin.
    pub async fn set_host_key(
        &self,
        _id: ServerId,
        _host_key: Option<&HostKey>,
        _actor: &Actor,
        _now: Timestamp,
    ) -> Result<()> {
        todo!()
    }
    /// Delete.
    pub async fn delete_server(&self, _id: ServerId, _actor: &Actor, _now: Timestamp) -> Result<bool> {
        todo!()
    }
    /// Targets.
    pub async fn targets(&self) -> Result<Vec<(Server, SshCredential)>> {
        todo!()
    }
    /// Local.
    pub async fn ensure_local_server(&self, _hostname: &str, _now: Timestamp) -> Result<Option<Server>> {
        todo!()
    }
    /// Generation.
    pub fn subscribe_servers(&self) -> watch::Receiver<u64> {
        todo!()
    }
}
