//! `user`: accounts of people. Works while the hub runs.

use std::path::PathBuf;

use anyhow::Context as _;
use clap::Subcommand;

use super::{actor, columns, open_store, password, print};
use crate::{
    api,
    config::Config,
    model::{Role, Timestamp, User, user::check_username},
    store::Store,
};

pub(super) const EXAMPLES: &str = "Examples:
  gander-hub user add ada --role admin
  gander-hub user list
  gander-hub user passwd ada --password-file /run/secrets/ada
  gander-hub user role ada viewer
  gander-hub user delete ada";

#[derive(Subcommand)]
pub(super) enum Command {
    /// Make an account; asks for the password
    #[command(after_help = "Example:\n  gander-hub user add ada --role admin")]
    Add {
        /// Log-in name
        name: String,
        /// admin or viewer
        #[arg(long, default_value = "viewer")]
        role: Role,
        /// Take the password from the first line of this file
        #[arg(long, value_name = "FILE")]
        password_file: Option<PathBuf>,
    },
    /// Show all accounts
    #[command(after_help = "Example:\n  gander-hub user list")]
    List,
    /// Set a new password, which ends the account's sessions; asks for it
    #[command(after_help = "Example:\n  gander-hub user passwd ada")]
    Passwd {
        /// Log-in name
        name: String,
        /// Take the password from the first line of this file
        #[arg(long, value_name = "FILE")]
        password_file: Option<PathBuf>,
    },
    /// Change what an account may do
    #[command(after_help = "Example:\n  gander-hub user role ada viewer")]
    Role {
        /// Log-in name
        name: String,
        /// admin or viewer
        role: Role,
    },
    /// Remove an account
    #[command(after_help = "Example:\n  gander-hub user delete ada")]
    Delete {
        /// Log-in name
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
        Command::Add {
            name,
            role,
            password_file,
        } => {
            check_username(&name).map_err(|problem| anyhow::anyhow!("the name {problem}"))?;
            let password = password::ask(password_file.as_deref(), &name)?;
            let hash = api::password::hash(password.expose())?;
            let user = store.create_user(&name, &hash, role, &actor(), now).await?;
            print(&format!(
                "{} is made; the role is {}",
                user.username,
                user.role.as_str()
            ));
        }
        Command::List => {
            let mut rows = vec![vec!["NAME".into(), "ROLE".into(), "SINCE".into()]];
            for user in store.users().await? {
                rows.push(vec![
                    user.username,
                    user.role.as_str().into(),
                    user.created_at.to_string(),
                ]);
            }
            print(&columns(&rows));
        }
        Command::Passwd { name, password_file } => {
            let user = find(store, &name).await?;
            let password = password::ask(password_file.as_deref(), &name)?;
            let hash = api::password::hash(password.expose())?;
            store.set_password(user.id, &hash, &actor(), now).await?;
            print(&format!("{name} has a new password; all sessions have ended"));
        }
        Command::Role { name, role } => {
            let user = find(store, &name).await?;
            store.set_role(user.id, role, &actor(), now).await?;
            print(&format!("the role of {name} is now {}", role.as_str()));
        }
        Command::Delete { name } => {
            let user = find(store, &name).await?;
            store.delete_user(user.id, &actor(), now).await?;
            print(&format!("{name} is removed"));
        }
    }
    Ok(())
}

async fn find(store: &Store, name: &str) -> anyhow::Result<User> {
    let found = store.user_by_name(name).await?;
    let (user, _) = found.with_context(|| format!("there is no account {name}: see gander-hub user list"))?;
    Ok(user)
}
