//! The command line: picks a subcommand, loads the configuration, runs it.
//!
//! Answers go to standard output, everything else to standard error. Exit code 0: done; 1: it
//! failed, with one line that says why; 2: the command line is wrong; 3: what was checked is not sound.

mod agent;
mod agent_token;
mod backup;
mod check;
mod check_config;
mod credential;
mod export;
mod health;
mod import;
mod import_fleet;
mod password;
mod restore;
mod settings;
mod ssh_key;
mod token;
mod user;

use std::{path::PathBuf, process::ExitCode, time::Duration};

use anyhow::Context as _;
use clap::{Parser, Subcommand};

use crate::{
    api, app,
    backup::BucketConfig,
    config::{self, Config, Loaded, Sources},
    log,
    model::Actor,
    store::{MasterKey, Store},
};
use settings::SettingFlags;

/// Threads may have work left when the hub has stopped (a slow name server): not for long.
const LAST_WORK: Duration = Duration::from_millis(500);

const EXAMPLES: &str = "Examples:
  gander-hub                                         run the hub on port 8000, data in ./data
  gander-hub --http-listen 127.0.0.1:9000            the same, elsewhere
  gander-hub --config /etc/gander/gander-hub.toml    with a configuration file
  gander-hub token create --name ci --role viewer    a token for a program; prints only the token";

/// Monitors servers over SSH: collects, stores, alerts and shows.
#[derive(Parser)]
#[command(name = "gander-hub", version, about, after_help = EXAMPLES, max_term_width = 110)]
struct Arguments {
    /// The TOML file with settings (or `GANDER_CONFIG`)
    #[arg(long, global = true, value_name = "FILE", help_heading = settings::HEADING)]
    config: Option<PathBuf>,
    #[command(flatten)]
    settings: SettingFlags,
    #[command(subcommand)]
    command: Option<Command>,
}

#[derive(Subcommand)]
enum Command {
    /// Run the hub (the default)
    #[command(
        after_help = "Example:\n  gander-hub serve --http-listen 127.0.0.1:8000 --database-path /var/lib/gander/gander.db"
    )]
    Serve,
    /// Check the configuration and show what holds, and where each value comes from
    #[command(after_help = "Example:\n  gander-hub check-config --config /etc/gander/gander-hub.toml")]
    CheckConfig,
    /// Accounts of people: add, list, passwd, role, delete
    #[command(subcommand, after_help = user::EXAMPLES)]
    User(user::Command),
    /// The hub's own SSH key, and the script that locks it on a server to reading values
    #[command(after_help = ssh_key::EXAMPLES)]
    SshKey(ssh_key::Options),
    /// Log-ins that servers share: list, add, set, remove
    #[command(subcommand, after_help = credential::EXAMPLES)]
    Credential(credential::Command),
    /// Tokens of programs: create, list, delete
    #[command(subcommand, after_help = token::EXAMPLES)]
    Token(token::Command),
    /// Make a verified backup of the database now; works while the hub runs
    #[command(after_help = backup::EXAMPLES)]
    Backup(backup::Options),
    /// Take a backup for the database; the one that was there is kept
    #[command(after_help = restore::EXAMPLES)]
    Restore(restore::Options),
    /// Check whether the database (or a backup) is sound, and mend it
    #[command(after_help = check::EXAMPLES)]
    Check(check::Options),
    /// Tokens that machines enrol with: create, list, delete
    #[command(subcommand, after_help = agent_token::EXAMPLES)]
    AgentToken(agent_token::Command),
    /// Agents: list, revoke, fingerprint
    #[command(subcommand, after_help = agent::EXAMPLES)]
    Agent(agent::Command),
    /// Write samples, series or alerts into an Excel, CSV or Parquet file; works while the hub runs
    #[command(after_help = export::EXAMPLES)]
    Export(export::Options),
    /// Bring in a fleet: an OpenSSH configuration, known_hosts, an Ansible inventory, a table, or the
    /// original Python system's database
    #[command(after_help = import::EXAMPLES)]
    Import(import::Options),
    /// Print the description of the REST interface (OpenAPI, JSON)
    #[command(after_help = "Example:\n  gander-hub openapi > openapi.json")]
    Openapi,
    /// Ask the hub that runs with this configuration how it is; exit code 0 when it is well
    #[command(after_help = "Example:\n  gander-hub health --http-listen 127.0.0.1:8000 && echo well")]
    Health,
}

/// The program.
#[must_use]
pub fn main() -> ExitCode {
    // One crypto provider for the whole program, before anything could want one.
    let _ = rustls::crypto::aws_lc_rs::default_provider().install_default();
    let arguments = Arguments::parse();
    let runtime = match tokio::runtime::Builder::new_multi_thread().enable_all().build() {
        Ok(runtime) => runtime,
        Err(error) => return failed(&anyhow::Error::new(error).context("no threads can be started")),
    };
    let result = runtime.block_on(run(arguments));
    runtime.shutdown_timeout(LAST_WORK);
    match result {
        Ok(code) => code,
        Err(error) => failed(&error),
    }
}

#[expect(clippy::print_stderr, reason = "the command line's one line about a failure")]
fn failed(error: &anyhow::Error) -> ExitCode {
    eprintln!("gander-hub: {error:#}");
    ExitCode::FAILURE
}

async fn run(arguments: Arguments) -> anyhow::Result<ExitCode> {
    let command = arguments.command.unwrap_or(Command::Serve);
    if matches!(command, Command::Openapi) {
        print(&api::openapi::document_text()?);
        return Ok(ExitCode::SUCCESS);
    }
    let sources = Sources {
        file: arguments.config,
        environment: std::env::vars_os()
            .filter_map(|(name, value)| Some((name.into_string().ok()?, value.into_string().ok()?)))
            .collect(),
        flags: arguments.settings.0,
    };
    let Loaded {
        config,
        effective,
        warnings,
    } = config::load(&sources)?;
    match &command {
        Command::Serve => log::start(config.log_format, &config.log_filter),
        _ => log::start(config.log_format, "warn"),
    }
    for warning in &warnings {
        tracing::warn!("{warning}");
    }
    match command {
        Command::Serve => Box::pin(app::run(config)).await?,
        Command::CheckConfig => print(&check_config::text(&effective)),
        Command::User(command) => Box::pin(user::run(&config, command)).await?,
        Command::SshKey(options) => ssh_key::run(&config, options).await?,
        Command::Credential(command) => Box::pin(credential::run(&config, command)).await?,
        Command::Token(command) => token::run(&config, command).await?,
        Command::AgentToken(command) => Box::pin(agent_token::run(&config, command)).await?,
        Command::Agent(command) => Box::pin(agent::run(&config, command)).await?,
        Command::Backup(options) => Box::pin(backup::run(&config, options)).await?,
        Command::Restore(options) => Box::pin(restore::run(&config, options)).await?,
        Command::Check(options) => return Box::pin(check::run(&config, options)).await,
        Command::Export(options) => Box::pin(export::run(&config, options)).await?,
        Command::Import(options) => Box::pin(import::run(&config, options)).await?,
        Command::Health => return health::run(&config).await,
        Command::Openapi => {}
    }
    Ok(ExitCode::SUCCESS)
}

/// Writes an answer to standard output. A reader who has gone away (`| head`) is no failure.
fn print(text: &str) {
    use std::io::Write as _;
    let mut out = std::io::stdout().lock();
    let _ = out.write_all(text.as_bytes());
    if !text.ends_with('\n') {
        let _ = out.write_all(b"\n");
    }
    let _ = out.flush();
}

/// A remark for the person at the terminal, beside the answer.
#[expect(
    clippy::print_stderr,
    reason = "remarks of the command line go to standard error"
)]
fn note(text: &str) {
    eprintln!("{text}");
}

/// The database of a hub that was started at least once.
fn existing_database(config: &Config) -> anyhow::Result<&std::path::Path> {
    let path = &config.database_path;
    if !path.exists() {
        anyhow::bail!(
            "there is no database at {}: start the hub once, or name the database with --database-path or DATABASE_PATH",
            path.display()
        );
    }
    Ok(path)
}

/// What `s3://BUCKET/NAME` means with the store and keys of the configuration.
fn bucket_at(config: &Config, place: &std::path::Path) -> anyhow::Result<(BucketConfig, String)> {
    let bucket = app::backup_config(config).bucket.context(
        "there is no store: set backup.s3_endpoint, backup.s3_bucket, backup.s3_access_key and backup.s3_secret_key",
    )?;
    bucket.at(&place.to_string_lossy())
}

/// Opens the database of a hub that was started at least once; the hub may run meanwhile.
async fn open_store(config: &Config) -> anyhow::Result<Store> {
    let path = existing_database(config)?;
    let key = MasterKey::load_or_create(&config.master_key_path())?;
    Ok(Store::open(path, key).await?)
}

/// Who is on record for what the command line does.
fn actor() -> Actor {
    Actor::user("command line")
}

/// Lines of columns, as wide as their widest cell.
fn columns(rows: &[Vec<String>]) -> String {
    let count = rows.iter().map(Vec::len).max().unwrap_or(0);
    let width = |column: usize| {
        rows.iter()
            .filter_map(|row| row.get(column))
            .map(|cell| cell.chars().count())
            .max()
            .unwrap_or(0)
    };
    let widths: Vec<usize> = (0..count).map(width).collect();
    let mut text = String::new();
    for row in rows {
        let cells: Vec<String> = row
            .iter()
            .zip(&widths)
            .map(|(cell, width)| format!("{cell:<width$}"))
            .collect();
        text.push_str(cells.join("  ").trim_end());
        text.push('\n');
    }
    text
}

#[cfg(test)]
mod tests {
    use clap::CommandFactory as _;

    use super::*;

    #[test]
    fn the_command_line_is_sound() {
        Arguments::command().debug_assert();
    }

    /// Every help text shows how a call looks.
    #[test]
    fn every_help_has_an_example() {
        fn check(command: &mut clap::Command) {
            let name = command.get_name().to_owned();
            let help = command.render_long_help().to_string();
            assert!(help.contains("Example"), "{name}: {help}");
            for sub in command.get_subcommands_mut() {
                if sub.get_name() != "help" {
                    check(sub);
                }
            }
        }
        check(&mut Arguments::command());
    }

    #[test]
    fn a_setting_may_stand_before_or_after_the_subcommand() {
        for line in [
            ["gander-hub", "--database-path", "/x.db", "token", "list"],
            ["gander-hub", "token", "list", "--database-path", "/x.db"],
        ] {
            let arguments = Arguments::try_parse_from(line).unwrap();
            assert_eq!(arguments.settings.0, [("database.path", "/x.db".to_owned())]);
        }
    }

    #[test]
    fn secrets_are_no_flags() {
        assert!(Arguments::try_parse_from(["gander-hub", "--admin-password", "x"]).is_err());
    }

    #[test]
    fn columns_are_aligned() {
        let rows = [
            vec!["a".to_owned(), "long one".to_owned()],
            vec!["bcd".to_owned(), "x".to_owned()],
        ];
        assert_eq!(columns(&rows), "a    long one\nbcd  x\n");
    }
}
