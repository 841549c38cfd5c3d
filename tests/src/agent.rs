//! The real agent program, enrolled with a real hub, in a state directory of its own.

use std::{
    os::unix::fs::PermissionsExt,
    path::{Path, PathBuf},
    process::Stdio,
    sync::Arc,
};

use serde_json::{Value, json};
use tempfile::TempDir;
use tokio::process::{Child, Command};

use crate::{Log, TestHub, hub};

/// A machine with an agent, running or not.
#[derive(Debug)]
pub struct TestAgent {
    state: Arc<TempDir>,
    child: Option<Child>,
    /// What it printed, over all its runs.
    pub log: Log,
}

/// The words of the line the hub shows that follow an option.
fn word_after<'a>(line: &'a str, option: &str) -> &'a str {
    let words: Vec<&str> = line.split_whitespace().collect();
    let at = words.iter().position(|word| *word == option).expect(option);
    words[at + 1].trim_end_matches(';')
}

impl TestAgent {
    /// Makes a token, enrols with it, and runs the agent.
    pub async fn enrolled(hub: &TestHub) -> Self {
        let mut agent = Self {
            state: Arc::new(private_directory()),
            child: None,
            log: Log::default(),
        };
        let line = one_line(hub, &json!({"name": "test"})).await;
        let (code, said) = agent.enrol(&line, false).await;
        assert_eq!(code, 0, "{said}");
        agent.start();
        agent
    }

    /// Runs `enroll` as the one line does; answers its exit code and what it said.
    pub async fn enrol(&self, line: &str, again: bool) -> (i32, String) {
        let mut arguments = vec![
            "enroll",
            "--hub",
            word_after(line, "--hub"),
            "--ca",
            word_after(line, "--ca"),
            "--token",
            word_after(line, "--token"),
        ];
        if again {
            arguments.push("--again");
        }
        self.run(&arguments).await
    }

    /// Its state directory.
    #[must_use]
    pub fn state(&self) -> &Path {
        self.state.path()
    }

    /// Samples and bytes that wait on its disk.
    #[must_use]
    pub fn spooled(&self) -> u64 {
        gander_agent::spool::peek(&self.state().join("spool")).map_or(0, |status| status.samples)
    }

    fn command(&self) -> Command {
        let mut command = Command::new(agent_program());
        command
            .env_clear()
            .arg("--state")
            .arg(self.state())
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .kill_on_drop(true);
        command
    }

    /// Runs one of its commands to the end; answers the exit code and what it said.
    pub async fn run(&self, arguments: &[&str]) -> (i32, String) {
        let output = self
            .command()
            .args(arguments)
            .output()
            .await
            .expect("the agent program");
        let mut said = String::from_utf8_lossy(&output.stdout).into_owned();
        said.push_str(&String::from_utf8_lossy(&output.stderr));
        (output.status.code().unwrap_or(-1), said)
    }

    /// Starts it (again).
    pub fn start(&mut self) {
        let mut child = self.command().arg("run").spawn().expect("the agent program");
        self.log.follow(child.stdout.take().expect("stdout is a pipe"));
        self.log.follow(child.stderr.take().expect("stderr is a pipe"));
        self.child = Some(child);
    }

    /// Ends it as a power cut does.
    pub async fn kill(&mut self) {
        let mut child = self.child.take().expect("it runs");
        child.kill().await.expect("it can be killed");
    }

    /// Waits for a line of its log with this in it.
    pub async fn says(&self, what: &str) {
        let found = self.log.find(|line| line.contains(what).then_some(())).await;
        assert!(
            found.is_some(),
            "the agent never said {what:?}:\n{}",
            self.log.tail(30)
        );
    }
}

/// The one line that the hub shows for a new token.
pub async fn one_line(hub: &TestHub, token: &Value) -> String {
    let made = hub.api().post("/api/agent-tokens", token).await;
    made["command"]
        .as_str()
        .expect("a token comes with its line")
        .to_owned()
}

/// A state directory as the agent wants it: nobody else's.
fn private_directory() -> TempDir {
    tempfile::Builder::new()
        .prefix("gander-agent-")
        .permissions(std::fs::Permissions::from_mode(0o700))
        .tempdir()
        .expect("a temporary directory")
}

/// The agent program: `GANDER_AGENT_BIN`, or the one cargo built beside the hub.
#[must_use]
pub fn agent_program() -> PathBuf {
    if let Some(path) = std::env::var_os("GANDER_AGENT_BIN") {
        return path.into();
    }
    let program = hub::hub_program().with_file_name("gander-agent");
    assert!(
        program.exists(),
        "{} is not built: cargo build -p gander-agent",
        program.display()
    );
    program
}

/// A port of this machine that was free a moment ago.
#[must_use]
pub fn free_port() -> u16 {
    let listener = std::net::TcpListener::bind("127.0.0.1:0").expect("a free port");
    listener.local_addr().expect("it has an address").port()
}
