//! The real hub program, run in a directory of its own on a port of its own.
//!
//! `TestHub::start().await` is a hub after its first start with an admin made through the set-up
//! link it printed. `stop` and `kill` hand back the directory, so that the same hub can come again.

use std::{
    path::{Path, PathBuf},
    process::{ExitStatus, Stdio},
    sync::Arc,
};

use serde_json::json;
use tempfile::TempDir;
use tokio::process::{Child, Command};

use crate::{Api, LiveClient, Log};

/// The first admin of every test hub.
pub const ADMIN: &str = "admin";
/// The first admin's password.
pub const ADMIN_PASSWORD: &str = "a long password of no account anywhere";

/// How a hub is to be started.
#[derive(Debug, Clone)]
pub struct HubBuilder {
    directory: Arc<TempDir>,
    database: Option<PathBuf>,
    environment: Vec<(String, String)>,
    token: Option<String>,
}

impl HubBuilder {
    fn new() -> Self {
        Self {
            directory: Arc::new(TempDir::with_prefix("gander-hub-").expect("a temporary directory")),
            database: None,
            environment: Vec::new(),
            token: None,
        }
        .env("GANDER_INTERVAL", "1s")
    }

    /// Sets one environment variable of the hub.
    #[must_use]
    pub fn env(mut self, name: &str, value: &str) -> Self {
        self.environment.retain(|(known, _)| known != name);
        self.environment.push((name.to_owned(), value.to_owned()));
        self
    }

    /// What an environment variable of the hub was set to; empty if it was not.
    #[must_use]
    pub fn setting(&self, name: &str) -> &str {
        let set = self.environment.iter().find(|(known, _)| known == name);
        set.map_or("", |(_, value)| value)
    }

    /// Without the hub's own machine as the server `local`.
    #[must_use]
    pub fn without_local_server(self) -> Self {
        self.env("GANDER_LOCAL_SERVER", "false")
    }

    /// Puts the database into another place than the hub's directory.
    #[must_use]
    pub fn database(mut self, path: &Path) -> Self {
        self.database = Some(path.to_owned());
        self
    }

    /// The hub's directory.
    #[must_use]
    pub fn directory(&self) -> &Path {
        self.directory.path()
    }

    /// The database file.
    #[must_use]
    pub fn database_path(&self) -> PathBuf {
        self.database
            .clone()
            .unwrap_or_else(|| self.directory().join("gander.db"))
    }

    /// The command that runs the hub program with these arguments, with nothing of the outer
    /// environment but the path.
    #[must_use]
    pub fn command(&self, arguments: &[&str]) -> Command {
        let mut command = Command::new(hub_program());
        command
            .args(arguments)
            .current_dir(self.directory())
            .env_clear()
            .env("PATH", std::env::var_os("PATH").unwrap_or_default())
            .env("DATABASE_PATH", self.database_path())
            .env("GANDER_HTTP_LISTEN", "127.0.0.1:0")
            .env("GANDER_GRPC_LISTEN", "127.0.0.1:0")
            .env("GANDER_LOG_FORMAT", "json")
            .envs(self.environment.iter().cloned())
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .kill_on_drop(true);
        command
    }

    /// Runs the hub with these arguments until it ends by itself; returns how, and what it printed.
    pub async fn run(&self, arguments: &[&str]) -> (ExitStatus, String) {
        let output = self.command(arguments).output().await.expect("the hub program");
        let mut printed = String::from_utf8_lossy(&output.stdout).into_owned();
        printed.push_str(&String::from_utf8_lossy(&output.stderr));
        (output.status, printed)
    }

    /// Starts the hub and waits until it serves. The first start makes the admin.
    pub async fn start(self) -> TestHub {
        let mut child = self.command(&["serve"]).spawn().expect("the hub program");
        let log = Log::default();
        log.follow(child.stdout.take().expect("stdout is a pipe"));
        log.follow(child.stderr.take().expect("stderr is a pipe"));
        let url = tokio::select! {
            url = log.find(listening_url) => url,
            status = child.wait() => panic!("the hub ended at once ({status:?}):\n{}", log.text()),
        };
        let url = url.unwrap_or_else(|| panic!("the hub never said where it listens:\n{}", log.text()));
        let anonymous = Api::new(&url, &log);
        let api = match &self.token {
            Some(token) => anonymous.with_token(token),
            None if self.makes_its_own_admin() => anonymous,
            None => anonymous.with_token(&first_admin(&anonymous, &log).await),
        };
        TestHub {
            builder: Self {
                token: api.token().map(ToOwned::to_owned),
                ..self
            },
            child,
            log,
            api,
        }
    }

    fn makes_its_own_admin(&self) -> bool {
        self.environment
            .iter()
            .any(|(name, _)| name == "GANDER_ADMIN_USER")
    }
}

/// A running hub. Dropping it kills it.
#[derive(Debug)]
pub struct TestHub {
    builder: HubBuilder,
    child: Child,
    log: Log,
    api: Api,
}

impl TestHub {
    /// A hub that polls every second, with an admin.
    pub async fn start() -> Self {
        Self::builder().start().await
    }

    /// A hub with settings of its own.
    #[must_use]
    pub fn builder() -> HubBuilder {
        HubBuilder::new()
    }

    /// The REST interface with the admin's token.
    #[must_use]
    pub fn api(&self) -> &Api {
        &self.api
    }

    /// `http://127.0.0.1:PORT`.
    #[must_use]
    pub fn url(&self) -> &str {
        self.api.base()
    }

    /// What the hub printed.
    #[must_use]
    pub fn log(&self) -> &Log {
        &self.log
    }

    /// The process.
    #[must_use]
    pub fn pid(&self) -> u32 {
        self.child.id().expect("the hub is running")
    }

    /// Its directory and settings.
    #[must_use]
    pub fn settings(&self) -> &HubBuilder {
        &self.builder
    }

    /// A WebSocket with the admin's token.
    pub async fn live(&self) -> LiveClient {
        LiveClient::connect(&self.api).await
    }

    /// A new account of role `viewer`, logged in with an API token of that role.
    pub async fn viewer(&self) -> Api {
        let made = self
            .api
            .post("/api/tokens", &json!({"name": "a viewer's", "role": "viewer"}))
            .await;
        self.api
            .with_token(made["token"].as_str().expect("a new token is shown once"))
    }

    /// Ends it as systemd does (SIGTERM) and waits for the end.
    pub async fn stop(self) -> StoppedHub {
        self.signal("TERM").await
    }

    /// Ends it as a power cut does (SIGKILL).
    pub async fn kill(self) -> StoppedHub {
        self.signal("KILL").await
    }

    async fn signal(mut self, name: &str) -> StoppedHub {
        let sent = Command::new("kill")
            .args([format!("-{name}"), self.pid().to_string()])
            .status()
            .await
            .expect("kill(1)");
        assert!(
            sent.success(),
            "the hub was not running any more:\n{}",
            self.log.tail(30)
        );
        let status = tokio::time::timeout(crate::eventually::PATIENCE, self.child.wait())
            .await
            .unwrap_or_else(|_| panic!("the hub did not end after SIG{name}:\n{}", self.log.tail(30)))
            .expect("a child can be waited for");
        StoppedHub {
            builder: self.builder,
            status,
            log: self.log,
        }
    }
}

/// A hub that ended, with its directory.
#[derive(Debug)]
pub struct StoppedHub {
    builder: HubBuilder,
    /// How it ended.
    pub status: ExitStatus,
    /// What it printed.
    pub log: Log,
}

impl StoppedHub {
    /// Its directory and settings.
    #[must_use]
    pub fn settings(&self) -> &HubBuilder {
        &self.builder
    }

    /// Starts it again in the same directory, on another port.
    pub async fn start(self) -> TestHub {
        self.builder.start().await
    }

    /// Hands the settings back, to be changed before the next start.
    #[must_use]
    pub fn into_settings(self) -> HubBuilder {
        self.builder
    }
}

/// The hub program: `GANDER_HUB_BIN`, or the one cargo built beside these tests.
#[must_use]
pub fn hub_program() -> PathBuf {
    if let Some(path) = std::env::var_os("GANDER_HUB_BIN") {
        return path.into();
    }
    let mut directory = std::env::current_exe().expect("a path to this program");
    directory.pop();
    if directory.ends_with("deps") {
        directory.pop();
    }
    let program = directory.join("gander-hub");
    assert!(
        program.exists(),
        "{} is not built: cargo build -p gander-hub",
        program.display()
    );
    program
}

fn listening_url(line: &str) -> Option<String> {
    let start = line.find("http://127.0.0.1:")?;
    let url: String = line[start..]
        .chars()
        .take_while(|c| c.is_ascii_alphanumeric() || ":/.".contains(*c))
        .collect();
    let (host, port) = url.rsplit_once(':')?;
    let port: String = port.chars().take_while(char::is_ascii_digit).collect();
    Some(format!("{host}:{port}"))
}

/// The token of the set-up link in a line.
#[must_use]
pub fn setup_token(line: &str) -> Option<String> {
    let (_, token) = line.split_once("setup")?.1.split_once("token=")?;
    Some(
        token
            .chars()
            .take_while(|c| c.is_ascii_alphanumeric() || "-_".contains(*c))
            .collect(),
    )
}

/// Makes the admin through the set-up link, and an API token of his.
async fn first_admin(anonymous: &Api, log: &Log) -> String {
    let token = log
        .find(setup_token)
        .await
        .unwrap_or_else(|| panic!("the hub printed no set-up link:\n{}", log.text()));
    let account = json!({"token": token, "username": ADMIN, "password": ADMIN_PASSWORD});
    let session = anonymous.try_post("/api/setup", &account).await;
    session.succeeded();
    let cookie = session.headers["set-cookie"].to_str().expect("a cookie is text");
    let cookie = cookie.split(';').next().expect("a cookie has a value").to_owned();
    let made = anonymous
        .send(
            anonymous
                .request(reqwest::Method::POST, "/api/tokens")
                .header("cookie", cookie)
                .header("origin", anonymous.base())
                .json(&json!({"name": "the tests", "role": "admin"})),
        )
        .await
        .ok();
    made["token"]
        .as_str()
        .expect("a new token is shown once")
        .to_owned()
}
