//! `ssh-key`: the hub's own SSH key, and the script that locks it on a server. Works while the hub runs.

use std::net::IpAddr;

use anyhow::Context as _;
use clap::Args;

use super::{open_store, print};
use crate::{
    collect::{HubKey, lock},
    config::Config,
    store::Store,
};

pub(super) const EXAMPLES: &str = "Examples:
  gander-hub ssh-key                                           the line for authorized_keys
  ssh deploy@web-1 \"$(gander-hub ssh-key --authorise)\"        let the hub's key in
  gander-hub ssh-key --lock --from 192.0.2.1 | ssh deploy@web-1 sh    and lock it to reading values";

#[derive(Args)]
pub(super) struct Options {
    /// Print the shell command that lets the key in
    #[arg(long, conflicts_with = "lock")]
    authorise: bool,
    /// Print the script that locks the key to reading values, to be run on the server
    #[arg(long)]
    lock: bool,
    /// With --lock: the hub's address as the server sees it; the key works from nowhere else
    #[arg(long, requires = "lock", value_name = "ADDRESS")]
    from: Option<IpAddr>,
    /// With --lock: the server runs dropbear, not OpenSSH
    #[arg(long, requires = "lock")]
    dropbear: bool,
}

pub(super) async fn run(config: &Config, options: Options) -> anyhow::Result<()> {
    let store = open_store(config).await?;
    let key = read(&store).await;
    store.close().await;
    let public_key = key?.info().public_key.clone();
    let software = if options.dropbear { lock::DROPBEAR } else { "" };
    let text = if options.lock {
        let line = lock::locked_line(&public_key, options.from, software);
        lock::lock_script(&public_key, &line)
    } else if options.authorise {
        lock::authorise_command(&public_key)
    } else {
        format!("{public_key} gander")
    };
    print(text.trim_end());
    Ok(())
}

async fn read(store: &Store) -> anyhow::Result<HubKey> {
    let text = store.hub_key().await?;
    let text = text.context("the hub has no key of its own yet: start it once, it makes one")?;
    HubKey::read(&text)
}
