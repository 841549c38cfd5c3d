//! `agent-token`: what machines enrol with. Works while the hub runs.

use anyhow::Context as _;
use clap::{Subcommand, ValueEnum};

use super::{actor, columns, open_store, print};
use crate::{
    api::{AGENT_TOKEN_PREFIX, install},
    app,
    config::{Config, parse_duration},
    grpc::Authority,
    model::{Timestamp, Transport, agent::AgentTokenSpec},
    store::{Store, TokenHash, random_token},
};

pub(super) const EXAMPLES: &str = "Examples:
  gander-hub agent-token create
  gander-hub agent-token create --uses 50 --expires 1d --tag web --tag shop --group shop
  gander-hub agent-token create --server db-1
  TOKEN=$(gander-hub agent-token create --token-only)
  gander-hub agent-token list
  gander-hub agent-token delete 7";

#[derive(Subcommand)]
pub(super) enum Command {
    /// Make a token and print the one line to run on each machine
    #[command(after_help = "Example:\n  gander-hub agent-token create --uses 50 --expires 1d --tag web")]
    Create {
        /// What the token is for
        #[arg(long)]
        name: Option<String>,
        /// How many machines may enrol with it
        #[arg(long, default_value_t = 1, value_parser = clap::value_parser!(u32).range(1..=100_000))]
        uses: u32,
        /// How long it works
        #[arg(long, value_name = "TIME", default_value = "1h")]
        expires: String,
        /// A tag of the servers it makes; may come several times
        #[arg(long = "tag", value_name = "TAG")]
        tags: Vec<String>,
        /// The group of the servers it makes
        #[arg(long)]
        group: Option<String>,
        /// How the servers it makes are read: by their agent alone, or over SSH when it is silent
        #[arg(long, default_value = "agent")]
        transport: AgentTransport,
        /// An enrolled server to add the agent to, instead of making a server
        #[arg(long, value_name = "NAME")]
        server: Option<String>,
        /// Print the token alone
        #[arg(long)]
        token_only: bool,
    },
    /// Show all tokens, without the tokens themselves
    #[command(after_help = "Example:\n  gander-hub agent-token list")]
    List,
    /// Remove a token; agents that enrolled with it stay
    #[command(after_help = "Example:\n  gander-hub agent-token delete 7")]
    Delete {
        /// Its number in the list
        id: i64,
    },
}

/// The transports that an agent can have.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(super) enum AgentTransport {
    /// The agent alone.
    Agent,
    /// The agent while it streams, SSH otherwise.
    Auto,
}

pub(super) async fn run(config: &Config, command: Command) -> anyhow::Result<()> {
    let store = open_store(config).await?;
    let result = obey(config, &store, command).await;
    store.close().await;
    result
}

async fn obey(config: &Config, store: &Store, command: Command) -> anyhow::Result<()> {
    let now = Timestamp::now();
    match command {
        Command::Create {
            name,
            uses,
            expires,
            tags,
            group,
            transport,
            server,
            token_only,
        } => {
            let life = parse_duration(&expires).map_err(|_| {
                anyhow::anyhow!("--expires is \"{expires}\"; it takes a time such as 1h or 7d")
            })?;
            let server_id = match server {
                Some(name) => Some(server_named(store, &name).await?),
                None => None,
            };
            let spec = AgentTokenSpec {
                name: text("--name", &name.unwrap_or_else(|| now.to_string()), 100)?,
                uses,
                expires_at: now.plus_millis(i64::try_from(life.as_millis())?),
                tags: tags
                    .into_iter()
                    .map(|tag| text("--tag", &tag, 50))
                    .collect::<anyhow::Result<_>>()?,
                group: group.map(|group| text("--group", &group, 100)).transpose()?,
                transport: match transport {
                    AgentTransport::Agent => Transport::Agent,
                    AgentTransport::Auto => Transport::Auto,
                },
                server_id,
            };
            let token = random_token(AGENT_TOKEN_PREFIX)?;
            let hash = TokenHash::of(token.expose());
            store.create_agent_token(&spec, hash, &actor(), now).await?;
            if token_only {
                print(token.expose());
                return Ok(());
            }
            let authority = Authority::load(store).await?;
            let settings = app::agent_settings(config, &authority, config.grpc_listen.port());
            let base_url = app::base_url(config);
            let agents = install::Binaries::new(config.agent_directory.clone()).all();
            let script = install::script(&base_url, &agents);
            print(&install::command(&settings, &base_url, &script, token.expose()));
        }
        Command::List => {
            let head = ["ID", "NAME", "USED", "EXPIRES", "TAGS"]
                .map(str::to_owned)
                .to_vec();
            let mut rows = vec![head];
            for token in store.agent_tokens().await? {
                rows.push(vec![
                    token.id.to_string(),
                    token.spec.name,
                    format!("{} of {}", token.used, token.spec.uses),
                    token.spec.expires_at.to_string(),
                    token.spec.tags.join(", "),
                ]);
            }
            print(&columns(&rows));
        }
        Command::Delete { id } => {
            if !store.delete_agent_token(id, &actor(), now).await? {
                anyhow::bail!("there is no enrolment token {id}: see gander-hub agent-token list");
            }
            print(&format!("{id} is removed"));
        }
    }
    Ok(())
}

async fn server_named(store: &Store, name: &str) -> anyhow::Result<crate::model::ServerId> {
    let servers = store.servers().await?;
    let found = servers.iter().find(|server| server.spec.name == name);
    found
        .map(|server| server.id)
        .with_context(|| format!("--server is \"{name}\"; there is no server of this name"))
}

fn text(flag: &str, text: &str, most: usize) -> anyhow::Result<String> {
    let trimmed = text.trim();
    if !(1..=most).contains(&trimmed.chars().count()) || trimmed.chars().any(char::is_control) {
        anyhow::bail!(
            "{flag} is \"{}\"; it must have 1 to {most} characters",
            text.escape_debug()
        );
    }
    Ok(trimmed.to_owned())
}
