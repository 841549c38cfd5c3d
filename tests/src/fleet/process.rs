//! A fleet in a process of its own, told what to do over its standard input: a word a line, answered by
//! a line of JSON with the [`Figures`]. `measure MILLISECONDS`, `cut`, `restore`, `silence`, `speak`, `figures`.

use std::{io::Write as _, path::PathBuf, process::Stdio, time::Duration};

use anyhow::Context as _;
use serde::{Deserialize, Serialize};
use tokio::{
    io::{AsyncBufReadExt as _, AsyncWriteExt as _, BufReader, Lines},
    process::{Child, ChildStdin, ChildStdout, Command},
    sync::mpsc,
};

use super::{Figures, Fleet, FleetSpec};

/// The first line of the process.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Greeting {
    /// The port of every node.
    pub port: u16,
    /// The address of each node.
    pub addresses: Vec<String>,
}

/// Runs a fleet until standard input ends. The program `fleet` is this and nothing else.
///
/// # Errors
/// It cannot be started, or is told something it does not understand.
pub async fn serve(spec: FleetSpec) -> anyhow::Result<()> {
    let fleet = Fleet::start(spec).await?;
    let greeting = Greeting {
        port: fleet.port(),
        addresses: (0..spec.nodes)
            .map(|node| fleet.address(node).to_string())
            .collect(),
    };
    say(&greeting)?;
    // A read of standard input cannot be given up, so it has a thread of its own.
    let (sender, mut commands) = mpsc::channel(1);
    std::thread::spawn(move || {
        for line in std::io::stdin().lines() {
            let Ok(line) = line else { break };
            if sender.blocking_send(line).is_err() {
                break;
            }
        }
    });
    while let Some(command) = commands.recv().await {
        match command.split_once(' ').unwrap_or((command.as_str(), "")) {
            ("figures", _) => {}
            ("measure", interval) => fleet.measure(Duration::from_millis(interval.parse()?)),
            ("cut", _) => fleet.cut(),
            ("restore", _) => fleet.restore().await?,
            ("silence", _) => fleet.silence(true),
            ("speak", _) => fleet.silence(false),
            _ => anyhow::bail!("\"{command}\" is no command of a fleet"),
        }
        say(&fleet.figures())?;
    }
    Ok(())
}

fn say(what: &impl Serialize) -> anyhow::Result<()> {
    let mut line = serde_json::to_vec(what)?;
    line.push(b'\n');
    let mut out = std::io::stdout().lock();
    out.write_all(&line)?;
    Ok(out.flush()?)
}

/// A fleet in another process. It ends when dropped.
pub struct FleetProcess {
    child: Child,
    commands: ChildStdin,
    answers: Lines<BufReader<ChildStdout>>,
    /// Where its nodes are.
    pub greeting: Greeting,
}

impl FleetProcess {
    /// Starts the program `fleet` that cargo built beside this one.
    ///
    /// # Errors
    /// It is not built, or ends at once.
    pub async fn start(spec: FleetSpec) -> anyhow::Result<Self> {
        let program = program()?;
        let mut child = Command::new(&program)
            .arg(spec.nodes.to_string())
            .arg(spec.own_addresses.to_string())
            .arg(spec.round_trip.as_millis().to_string())
            .arg(spec.rekey.as_millis().to_string())
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .kill_on_drop(true)
            .spawn()
            .with_context(|| format!("{}", program.display()))?;
        let commands = child.stdin.take().context("its standard input")?;
        let mut answers = BufReader::new(child.stdout.take().context("its standard output")?).lines();
        let line = answers.next_line().await?.context("the fleet ended at once")?;
        Ok(Self {
            child,
            commands,
            answers,
            greeting: serde_json::from_str(&line)?,
        })
    }

    /// The process, for `/proc`.
    ///
    /// # Panics
    /// It has ended.
    #[must_use]
    pub fn pid(&self) -> u32 {
        self.child.id().expect("the fleet runs")
    }

    /// Tells it something, and answers what its nodes noticed so far.
    ///
    /// # Errors
    /// It has ended.
    pub async fn tell(&mut self, command: &str) -> anyhow::Result<Figures> {
        self.commands.write_all(format!("{command}\n").as_bytes()).await?;
        let line = self.answers.next_line().await?;
        let line = line.with_context(|| format!("the fleet ended at \"{command}\""))?;
        Ok(serde_json::from_str(&line)?)
    }

    /// What its nodes noticed so far.
    ///
    /// # Errors
    /// It has ended.
    pub async fn figures(&mut self) -> anyhow::Result<Figures> {
        self.tell("figures").await
    }
}

/// What `serve` was started with, out of the program's arguments.
#[must_use]
pub fn spec_of(arguments: &[String]) -> Option<FleetSpec> {
    let [nodes, own_addresses, round_trip, rekey] = arguments else {
        return None;
    };
    Some(FleetSpec {
        nodes: nodes.parse().ok()?,
        own_addresses: own_addresses.parse().ok()?,
        round_trip: Duration::from_millis(round_trip.parse().ok()?),
        rekey: Duration::from_millis(rekey.parse().ok()?),
    })
}

fn program() -> anyhow::Result<PathBuf> {
    let mut path = std::env::current_exe()?;
    path.pop();
    if path.ends_with("deps") {
        path.pop();
    }
    let path = path.join("fleet");
    anyhow::ensure!(
        path.exists(),
        "{} is not built: cargo build -p gander-e2e --bin fleet",
        path.display()
    );
    Ok(path)
}
