//! The command line.

mod check;
mod enroll;
mod show;

use std::{io::Write as _, path::PathBuf, process::ExitCode};

use clap::{Parser, Subcommand};
use tokio_util::sync::CancellationToken;

use crate::{
    run,
    spool::Limits,
    state::{self, StateDir},
};

/// Where the program is installed unless somebody says otherwise.
const PROGRAM: &str = "/usr/local/bin/gander-agent";
const SYSTEMD: &str = include_str!("../../../systemd/gander-agent.service");
const OPENRC: &str = include_str!("../../../deploy/packages/gander-agent.openrc");

/// Looks at this machine and streams what it sees to a gander hub.
///
/// Without a command it runs: that is what the service does. It listens on no port, runs no command and
/// writes only into its state directory.
#[derive(Debug, Parser)]
#[command(
    name = "gander-agent",
    version,
    after_help = "Example:\n  gander-agent enroll --hub hub.example:8001 --token TOKEN --ca FINGERPRINT\n  \
                  systemctl enable --now gander-agent\n  gander-agent check"
)]
struct Cli {
    /// The directory with the agent's key, certificate and spool [default: $STATE_DIRECTORY, then /var/lib/gander-agent]
    #[arg(long, global = true, value_name = "DIRECTORY")]
    state: Option<PathBuf>,
    #[command(subcommand)]
    command: Option<Command>,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Run in the foreground (what no command does, too)
    #[command(after_help = "Example:\n  gander-agent run --state /tmp/agent")]
    Run {
        /// The most the spool may take on disk, in megabytes
        #[arg(long, default_value_t = 50, value_name = "MB", value_parser = clap::value_parser!(u64).range(1..=10_000))]
        spool: u64,
    },
    /// Make this machine known to a hub, with the token it shows under "Add an agent"
    #[command(
        after_help = "Example:\n  gander-agent enroll --hub hub.example:8001 --token TOKEN --ca FINGERPRINT\n\n\
                      The token may also come from the environment as GANDER_TOKEN, so that no list of processes shows it."
    )]
    Enroll(enroll::Enroll),
    /// Say in plain words what is wrong: name, way, TLS, clock, certificate, permissions, spool
    #[command(after_help = "Example:\n  gander-agent check\n\nThe exit code is 0 when all is well.")]
    Check,
    /// Print the systemd unit (or the OpenRC script) that runs this program
    #[command(after_help = "Example:\n  gander-agent service >/etc/systemd/system/gander-agent.service")]
    Service {
        /// The script for OpenRC (Alpine, Gentoo) in place of the systemd unit
        #[arg(long)]
        openrc: bool,
        /// Where the program is installed
        #[arg(long, default_value = PROGRAM, value_name = "PATH")]
        program: String,
    },
    /// Say what the running agent is doing
    #[command(after_help = "Example:\n  gander-agent status")]
    Status,
}

/// The whole program.
#[must_use]
pub fn main() -> ExitCode {
    // The one provider of cryptography; every configuration names it, and this is for what asks for
    // the default one.
    let _ = rustls::crypto::aws_lc_rs::default_provider().install_default();
    let cli = Cli::parse();
    let state = StateDir::new(
        cli.state
            .or_else(|| std::env::var_os("STATE_DIRECTORY").map(PathBuf::from))
            .unwrap_or_else(|| state::DEFAULT.into()),
    );
    crate::log::start(&std::env::var("GANDER_LOG").unwrap_or_default());
    let runtime = match tokio::runtime::Builder::new_current_thread()
        .enable_io()
        .enable_time()
        .build()
    {
        Ok(runtime) => runtime,
        Err(error) => return failed(&anyhow::anyhow!("no event loop: {error}")),
    };
    let done = match cli.command {
        None => runtime.block_on(serve(state, Limits::default())),
        Some(Command::Run { spool }) => {
            let limits = Limits {
                disk_bytes: spool * 1_000_000,
                ..Limits::default()
            };
            runtime.block_on(serve(state, limits))
        }
        Some(Command::Enroll(enroll)) => runtime.block_on(enroll.run(&state)),
        Some(Command::Check) => runtime.block_on(check::run(&state)),
        Some(Command::Status) => show::run(&state),
        Some(Command::Service { openrc, program }) => {
            let text = if openrc { OPENRC } else { SYSTEMD };
            say(text.replace(PROGRAM, &program).trim_end());
            Ok(ExitCode::SUCCESS)
        }
    };
    // A read that hangs in the kernel is not waited for.
    runtime.shutdown_background();
    match done {
        Ok(code) => code,
        Err(error) => failed(&error),
    }
}

async fn serve(state: StateDir, limits: Limits) -> anyhow::Result<ExitCode> {
    let shutdown = CancellationToken::new();
    let told = shutdown.clone();
    tokio::spawn(async move {
        stop_signal().await;
        told.cancel();
    });
    run::run(state, limits, shutdown).await?;
    Ok(ExitCode::SUCCESS)
}

#[cfg(unix)]
async fn stop_signal() {
    use tokio::signal::unix::{SignalKind, signal};
    match signal(SignalKind::terminate()) {
        Ok(mut terminate) => {
            tokio::select! {
                _ = terminate.recv() => {}
                _ = tokio::signal::ctrl_c() => {}
            }
        }
        Err(_) => drop(tokio::signal::ctrl_c().await),
    }
}

#[cfg(not(unix))]
async fn stop_signal() {
    let _ = tokio::signal::ctrl_c().await;
}

/// One line on standard output. Nobody reading it is no reason to fail.
fn say(line: &str) {
    let _ = writeln!(std::io::stdout(), "{line}");
}

fn failed(error: &anyhow::Error) -> ExitCode {
    let _ = writeln!(std::io::stderr(), "gander-agent: {error:#}");
    ExitCode::FAILURE
}
