//! `agent`: the agents that are enrolled. Works while the hub runs.

use clap::Subcommand;

use super::{actor, columns, open_store, print};
use crate::{
    config::Config,
    grpc::Authority,
    model::{AgentId, Timestamp},
    store::Store,
};

pub(super) const EXAMPLES: &str = "Examples:
  gander-hub agent list
  gander-hub agent revoke 12
  gander-hub agent fingerprint";

#[derive(Subcommand)]
pub(super) enum Command {
    /// Show all agents
    #[command(after_help = "Example:\n  gander-hub agent list")]
    List,
    /// Revoke an agent: its stream is cut, and it does not come back; its server stays
    #[command(after_help = "Example:\n  gander-hub agent revoke 12")]
    Revoke {
        /// Its number in the list
        id: i64,
    },
    /// Print the SHA-256 of the authority's certificate, which agents pin
    #[command(after_help = "Example:\n  gander-hub agent fingerprint")]
    Fingerprint,
}

pub(super) async fn run(config: &Config, command: Command) -> anyhow::Result<()> {
    let store = open_store(config).await?;
    let result = obey(&store, command).await;
    store.close().await;
    result
}

async fn obey(store: &Store, command: Command) -> anyhow::Result<()> {
    match command {
        Command::List => {
            let servers = store.servers().await?;
            let head = ["ID", "SERVER", "VERSION", "SEEN", "CERTIFICATE ENDS"];
            let mut rows = vec![head.map(str::to_owned).to_vec()];
            for agent in store.agents().await? {
                let server = servers.iter().find(|server| server.id == agent.server_id);
                rows.push(vec![
                    agent.id.to_string(),
                    server.map_or_else(String::new, |server| server.spec.name.clone()),
                    agent.machine.agent_version,
                    agent
                        .last_seen_at
                        .map_or_else(|| "never".to_owned(), |moment| moment.to_string()),
                    agent.not_after.to_string(),
                ]);
            }
            print(&columns(&rows));
        }
        Command::Revoke { id } => {
            if !store
                .revoke_agent(AgentId(id), &actor(), Timestamp::now())
                .await?
            {
                anyhow::bail!("there is no agent {id}: see gander-hub agent list");
            }
            print(&format!("{id} is revoked"));
        }
        Command::Fingerprint => print(Authority::load(store).await?.fingerprint()),
    }
    Ok(())
}
