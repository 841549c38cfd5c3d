//! `token`: tokens of programs. Works while the hub runs.

use anyhow::Context as _;
use clap::Subcommand;

use super::{actor, columns, open_store, print};
use crate::{
    api,
    config::{Config, parse_duration},
    model::{Role, Timestamp},
    store::{Store, TokenHash, random_token},
};

pub(super) const EXAMPLES: &str = "Examples:
  gander-hub token create --name ci --role viewer
  TOKEN=$(gander-hub token create --name backup --role admin --expires 90d)
  gander-hub token list
  gander-hub token delete ci";

#[derive(Subcommand)]
pub(super) enum Command {
    /// Make a token and print it, and nothing else; it is not shown again
    #[command(after_help = "Example:\n  TOKEN=$(gander-hub token create --name ci --role viewer)")]
    Create {
        /// What the token is for; unique
        #[arg(long)]
        name: String,
        /// admin or viewer
        #[arg(long)]
        role: Role,
        /// How long it works, such as 90d; without it, until it is deleted
        #[arg(long, value_name = "TIME")]
        expires: Option<String>,
    },
    /// Show all tokens, without the tokens themselves
    #[command(after_help = "Example:\n  gander-hub token list")]
    List,
    /// Remove a token; it stops working at once
    #[command(after_help = "Example:\n  gander-hub token delete ci")]
    Delete {
        /// Its name
        name: String,
    },
}

pub(super) async fn run(config: &Config, command: Command) -> anyhow::Result<()> {
    let store = open_store(config).await?;
    let result = obey(&store, command).await;
    store.close().await;
    result
}

async fn obey(store: &Store, command: Command) -> anyhow::Result<()> {
    let now = Timestamp::now();
    match command {
        Command::Create { name, role, expires } => {
            let name = name.trim();
            if !(1..=100).contains(&name.chars().count()) || name.chars().any(char::is_control) {
                anyhow::bail!(
                    "--name is \"{}\"; it must have 1 to 100 characters",
                    name.escape_debug()
                );
            }
            let expires_at = match expires {
                Some(text) => {
                    let time = parse_duration(&text).map_err(|_| {
                        anyhow::anyhow!("--expires is \"{text}\"; it takes a time such as 12h or 90d")
                    })?;
                    Some(now.plus_millis(i64::try_from(time.as_millis())?))
                }
                None => None,
            };
            let token = random_token(api::TOKEN_PREFIX)?;
            let hash = TokenHash::of(token.expose());
            store
                .create_token(name, role, hash, expires_at, &actor(), now)
                .await?;
            print(token.expose());
        }
        Command::List => {
            let mut rows = vec![vec![
                "NAME".into(),
                "ROLE".into(),
                "SINCE".into(),
                "EXPIRES".into(),
            ]];
            for token in store.tokens().await? {
                let expires = token
                    .expires_at
                    .map_or_else(|| "never".into(), |moment| moment.to_string());
                rows.push(vec![
                    token.name,
                    token.role.as_str().into(),
                    token.created_at.to_string(),
                    expires,
                ]);
            }
            print(&columns(&rows));
        }
        Command::Delete { name } => {
            let tokens = store.tokens().await?;
            let token = tokens
                .iter()
                .find(|token| token.name == name)
                .with_context(|| format!("there is no token {name}: see gander-hub token list"))?;
            store.delete_token(token.id, &actor(), now).await?;
            print(&format!("{name} is removed"));
        }
    }
    Ok(())
}
