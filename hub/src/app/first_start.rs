//! What only happens while the hub is new: its own machine as the first server, its key, the first admin.

use anyhow::Context as _;

use crate::{
    api,
    collect::HubKey,
    config::Config,
    model::{
        Secret, Timestamp,
        user::{check_password, check_username},
    },
    store::Store,
};

/// Enrols the hub's own machine, once. One that was deleted does not come back.
pub(super) async fn enrol_this_machine(store: &Store) -> anyhow::Result<()> {
    let system = rustix::system::uname();
    let hostname = system.nodename().to_string_lossy();
    if let Some(server) = store.ensure_local_server(&hostname, Timestamp::now()).await? {
        tracing::info!(server.id = %server.id, server.name = server.spec.name, "this machine is enrolled as the first server");
    }
    Ok(())
}

/// The hub's own SSH key, made the first time.
pub(crate) async fn hub_key(store: &Store) -> anyhow::Result<HubKey> {
    if store.hub_key().await?.is_none() {
        let (_, text) = HubKey::generate().context("the hub's own SSH key cannot be made")?;
        store.put_hub_key(&text, Timestamp::now()).await?;
    }
    let text = store.hub_key().await?.context("the hub's own SSH key is gone")?;
    HubKey::read(&text).context("the hub's own SSH key cannot be read")
}

/// Makes the admin of the configuration, while there is no account at all.
pub(super) async fn make_admin(store: &Store, config: &Config) -> anyhow::Result<()> {
    let (Some(username), Some(password)) = (&config.admin_user, &config.admin_password) else {
        return Ok(());
    };
    if store.count_users().await? > 0 {
        return Ok(());
    }
    check_username(username)
        .map_err(|problem| anyhow::anyhow!("admin.user (GANDER_ADMIN_USER) {problem}"))?;
    check_password(password.expose())
        .map_err(|problem| anyhow::anyhow!("admin.password (GANDER_ADMIN_PASSWORD) {problem}"))?;
    let hash = hash(password.clone()).await?;
    if store
        .create_first_user(username, &hash, Timestamp::now())
        .await?
        .is_some()
    {
        tracing::info!(username, "the first account is made, an admin");
    }
    Ok(())
}

/// While there is no account: makes a new one-time link and shows it. It ends the one before.
pub(super) async fn print_setup_link(store: &Store, config: &Config, port: u16) -> anyhow::Result<()> {
    if let Some(token) = api::issue_setup_token(store).await? {
        let base = config
            .public_url
            .clone()
            .unwrap_or_else(|| format!("http://localhost:{port}"));
        tracing::info!(
            "no account yet: open {base}/setup#token={} to create the first one (works once)",
            token.expose()
        );
    }
    Ok(())
}

/// Hashing takes a while, on a thread of its own.
async fn hash(password: Secret) -> anyhow::Result<String> {
    tokio::task::spawn_blocking(move || api::password::hash(password.expose()))
        .await?
        .context("the password cannot be hashed")
}
