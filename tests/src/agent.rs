//! The real agent program, enrolled with a real hub, in a state directory of its own.

use std::{
    collections::BTreeMap,
    os::unix::fs::PermissionsExt,
    path::{Path, PathBuf},
    process::Stdio,
    sync::Arc,
};

use serde_json::{Value, json};
use tempfile::TempDir;
use tokio::process::{Child, Command};

use crate::{HubBuilder, Log, TestHub, eventually, eventually::Deadline, hub};

/// A machine with an agent, running or not.
#[derive(Debug)]
pub struct TestAgent {
    _home: Arc<TempDir>,
    state: PathBuf,
    environment: Vec<(String, String)>,
    under: Vec<String>,
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
    /// A machine where nothing is enrolled nor running.
    #[must_use]
    pub fn new() -> Self {
        let home = private_directory();
        Self {
            state: home.path().to_owned(),
            _home: Arc::new(home),
            environment: Vec::new(),
            under: Vec::new(),
            child: None,
            log: Log::default(),
        }
    }

    /// Makes a token, enrols with it, and runs the agent.
    pub async fn enrolled(hub: &TestHub) -> Self {
        let mut agent = Self::new();
        agent.enrol_with(hub).await;
        agent.start();
        agent
    }

    /// An agent that says of every look what it saw: see [`TestAgent::looked`].
    pub async fn keeping_a_ledger(hub: &TestHub) -> Self {
        let mut agent = Self::new().env("GANDER_LOG", "debug");
        agent.enrol_with(hub).await;
        agent.start();
        agent
    }

    /// Sets one environment variable of the agent.
    #[must_use]
    pub fn env(mut self, name: &str, value: &str) -> Self {
        self.environment.push((name.to_owned(), value.to_owned()));
        self
    }

    /// Puts the state directory into another place, which is there.
    #[must_use]
    pub fn state_in(mut self, path: &Path) -> Self {
        path.clone_into(&mut self.state);
        self
    }

    /// Runs it under another program (and its arguments), such as strace.
    #[must_use]
    pub fn under(mut self, program: &[String]) -> Self {
        self.under = program.to_vec();
        self
    }

    /// Makes a token and enrols with it.
    pub async fn enrol_with(&mut self, hub: &TestHub) {
        let line = one_line(hub, &json!({"name": "test"})).await;
        let (code, said) = self.enrol(&line, false).await;
        assert_eq!(code, 0, "{said}");
    }

    /// What it looked at so far, over all its runs: when, in milliseconds by its own clock, and the
    /// use of all its cores, in tenths of a percent.
    #[must_use]
    pub fn looked(&self) -> BTreeMap<i64, Option<u16>> {
        let text = self.log.text();
        let field = |line: &str, name: &str| -> Option<i64> {
            let rest = line.split_once(name)?.1;
            let end = rest.find(|c: char| !(c == '-' || c.is_ascii_digit()));
            rest[..end.unwrap_or(rest.len())].parse().ok()
        };
        text.lines()
            .filter(|line| line.contains(" looked "))
            .filter_map(|line| {
                let cpu = field(line, "cpu_permille=").and_then(|cpu| u16::try_from(cpu).ok());
                Some((field(line, "taken_at_ms=")?, cpu))
            })
            .collect()
    }

    /// Waits until it has looked so many times more.
    pub async fn looks_again(&self, times: usize) {
        let before = self.looked().len();
        let deadline = Deadline::start();
        while self.looked().len() < before + times {
            assert!(
                deadline.another_look().await,
                "it looks no more:\n{}",
                self.log.tail(30)
            );
        }
    }

    /// Waits until the hub has all that the agent looked at until now. Panics when something is missing
    /// for good, has another value, or is there twice. Answers how much there was.
    pub async fn is_all_at(&self, hub: &TestHub, server_id: i64) -> usize {
        self.has_at(hub, server_id, &self.looked()).await
    }

    /// The same for some of its looks.
    pub async fn has_at(&self, hub: &TestHub, server_id: i64, looked: &BTreeMap<i64, Option<u16>>) -> usize {
        assert!(!looked.is_empty(), "it keeps no ledger:\n{}", self.log.tail(30));
        let deadline = Deadline::start();
        loop {
            let stored = stored(hub, server_id).await;
            let missing: Vec<_> = looked.iter().filter(|(at, _)| !stored.contains_key(at)).collect();
            if missing.is_empty() {
                for (at, cpu) in looked {
                    assert_eq!(stored.get(at), Some(cpu), "the value of {at}");
                }
                return looked.len();
            }
            assert!(
                deadline.another_look().await,
                "of {} looks {} are not at the hub: {missing:?}\nthe agent:\n{}\nthe hub:\n{}",
                looked.len(),
                missing.len(),
                self.log.tail(30),
                hub.log().tail(30)
            );
        }
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
        &self.state
    }

    /// Samples and bytes that wait on its disk.
    #[must_use]
    pub fn spooled(&self) -> u64 {
        gander_agent::spool::peek(&self.state().join("spool")).map_or(0, |status| status.samples)
    }

    fn command(&self) -> Command {
        let mut words = self
            .under
            .iter()
            .map(Into::into)
            .chain([agent_program().into_os_string()]);
        let mut command = Command::new(words.next().expect("a program"));
        command
            .args(words)
            .env_clear()
            .envs(self.environment.iter().cloned())
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

    /// The process, if it runs under no other.
    #[must_use]
    pub fn pid(&self) -> u32 {
        self.child.as_ref().and_then(Child::id).expect("it runs")
    }

    /// Waits for its end.
    pub async fn ends(&mut self) {
        let mut child = self.child.take().expect("it runs");
        let ended = tokio::time::timeout(eventually::PATIENCE, child.wait()).await;
        let status = ended.expect("it ends").expect("a child can be waited for");
        assert!(status.success(), "{status}:\n{}", self.log.tail(30));
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

impl Default for TestAgent {
    fn default() -> Self {
        Self::new()
    }
}

/// What the hub holds of a server: when, in milliseconds, and the use of all cores, in tenths of a percent.
/// Panics when a moment is there twice.
pub async fn stored(hub: &TestHub, server_id: i64) -> BTreeMap<i64, Option<u16>> {
    let mut stored = BTreeMap::new();
    let path = format!("/api/metrics?server_id={server_id}&hours=24&limit=10000");
    let rows = hub.api().get(&path).await;
    for row in rows.as_array().expect("rows") {
        let at = row["timestamp"].as_str().expect("a time");
        let at = gander_hub::model::Timestamp::parse(at)
            .expect("a time")
            .as_millis();
        let cpu = row["cpu_usage"]
            .as_f64()
            .map(|percent| (percent * 10.0).round() as u16);
        assert!(
            stored.insert(at, cpu).is_none(),
            "the look of {at} is stored twice"
        );
    }
    stored
}

/// A hub whose gRPC port stays the same when it is started again.
#[must_use]
pub fn hub_for_agents(interval: &str) -> HubBuilder {
    let address = format!("127.0.0.1:{}", free_port());
    TestHub::builder()
        .without_local_server()
        .env("GANDER_INTERVAL", interval)
        .env("GANDER_GRPC_LISTEN", &address)
        .env("GANDER_GRPC_ADDRESS", &address)
}

/// Waits until the one server there is has this status, and answers it.
pub async fn server_that(hub: &TestHub, status: &str) -> Value {
    eventually(&format!("a server that is {status}"), || async {
        let server = hub.api().get("/api/servers").await.as_array()?.first().cloned()?;
        (server["status"] == status).then_some(server)
    })
    .await
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
