//! The program as people and systemd see it: its start, its answers, its end.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    reason = "a test fails by panicking"
)]

#[path = "program/bringing_in.rs"]
mod bringing_in;
#[path = "program/bucket.rs"]
mod bucket;
#[path = "program/keeping.rs"]
mod keeping;
mod support;
#[path = "program/taking_out.rs"]
mod taking_out;

use std::{
    fs,
    io::{BufRead as _, BufReader, Read as _, Write as _},
    net::{TcpListener, TcpStream},
    os::unix::net::UnixDatagram,
    path::Path,
    process::{Child, Command, Output, Stdio},
    sync::mpsc::{Receiver, channel},
    thread,
    time::Duration,
};

use gander_hub::{
    model::{Actor, Secret, Timestamp, server::SshCredential},
    store::{MasterKey, Store},
};
use rustix::process::{Pid, Signal, kill_process};

/// How long anything may take before the test gives up.
const PATIENCE: Duration = Duration::from_secs(60);

/// The program in a directory of its own, with nothing of the outer environment.
fn gander(directory: &Path) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_gander-hub"));
    command
        .current_dir(directory)
        .env_clear()
        .env("DATABASE_PATH", directory.join("gander.db"))
        .env("GANDER_HTTP_LISTEN", "127.0.0.1:0")
        .env("GANDER_GRPC_LISTEN", "127.0.0.1:0")
        .env("GANDER_LOG_FORMAT", "human")
        .env("GANDER_INTERVAL", "1s")
        .stdin(Stdio::null());
    command
}

/// Runs it until it ends by itself: whether it ended well, its answer, its complaints.
fn run(command: &mut Command) -> (bool, String, String) {
    let child = command
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    let pid = Pid::from_child(&child);
    let (sender, ended) = channel();
    thread::spawn(move || sender.send(child.wait_with_output()));
    let Output {
        status,
        stdout,
        stderr,
    } = ended
        .recv_timeout(PATIENCE)
        .unwrap_or_else(|_| {
            // Not reaped yet, so the number is still its own.
            let _ = kill_process(pid, Signal::KILL);
            panic!("it did not end by itself: {:?}", ended.recv())
        })
        .unwrap();
    let text = |bytes: Vec<u8>| String::from_utf8(bytes).unwrap();
    (status.success(), text(stdout), text(stderr))
}

/// A running hub. Dropping it kills it.
struct Hub {
    child: Child,
    lines: Receiver<String>,
    log: Vec<String>,
    port: u16,
}

impl Hub {
    fn start(command: &mut Command) -> Self {
        let mut hub = Self::spawn(command);
        let line = hub.line_with("listening on http://127.0.0.1:");
        hub.port = line.rsplit(':').next().unwrap().trim().parse().unwrap();
        hub
    }

    /// Begins to start it, and does not wait.
    fn spawn(command: &mut Command) -> Self {
        let mut child = command.stderr(Stdio::piped()).spawn().unwrap();
        let (sender, lines) = channel();
        let stderr = BufReader::new(child.stderr.take().unwrap());
        thread::spawn(move || {
            for line in stderr.lines().map_while(Result::ok) {
                let _ = sender.send(line);
            }
        });
        Self {
            child,
            lines,
            log: Vec::new(),
            port: 0,
        }
    }

    /// The next log line that holds a text.
    fn line_with(&mut self, text: &str) -> String {
        loop {
            let line = self
                .lines
                .recv_timeout(PATIENCE)
                .unwrap_or_else(|_| panic!("no line with \"{text}\" came after {:#?}", self.log));
            self.log.push(line.clone());
            if line.contains(text) {
                return line;
            }
        }
    }

    fn get(&self, path: &str, token: &str) -> serde_json::Value {
        self.call("GET", path, token)
    }

    fn call(&self, method: &str, path: &str, token: &str) -> serde_json::Value {
        let mut stream = TcpStream::connect(("127.0.0.1", self.port)).unwrap();
        let request = format!(
            "{method} {path} HTTP/1.0\r\nHost: localhost\r\nAuthorization: Bearer {token}\r\nContent-Length: 0\r\n\r\n"
        );
        stream.write_all(request.as_bytes()).unwrap();
        let mut answer = String::new();
        stream.read_to_string(&mut answer).unwrap();
        let (head, body) = answer.split_once("\r\n\r\n").unwrap();
        assert!(head.contains(" 200 ") || head.contains(" 202 "), "{path}: {head}");
        serde_json::from_str(body).unwrap()
    }

    /// SIGTERM, and the end. Returns whether it ended well, and all it said.
    fn stop(mut self) -> (bool, Vec<String>) {
        let pid = Pid::from_child(&self.child);
        kill_process(pid, Signal::TERM).unwrap();
        let status = self.child.wait().unwrap();
        self.log.extend(self.lines.iter());
        (status.success(), std::mem::take(&mut self.log))
    }
}

impl Drop for Hub {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

#[test]
fn a_stop_asked_for_during_the_start_is_heeded_and_ends_well() {
    let directory = tempfile::tempdir().unwrap();
    let mut hub = Hub::spawn(&mut gander(directory.path()));
    hub.line_with("starts version=");
    let (well, log) = hub.stop();
    assert!(well, "{log:#?}");
    assert!(
        log.iter().any(|line| line.contains("stops signal=\"SIGTERM\"")),
        "{log:#?}"
    );
    assert!(log.last().unwrap().contains("gander-hub has stopped"), "{log:#?}");
}

#[test]
fn it_starts_shows_this_machine_and_stops() {
    let directory = tempfile::tempdir().unwrap();
    let mut hub = Hub::start(&mut gander(directory.path()));
    for said in [
        "starts version=",
        "database ready",
        "sqlite=\"3.",
        "collectors run servers=1",
    ] {
        assert!(
            hub.log.iter().any(|line| line.contains(said)),
            "{said}: {:#?}",
            hub.log
        );
    }
    hub.line_with("/setup#token=");

    // A token made while the hub runs works at once, and standard output holds nothing else.
    let (made, token, complaints) =
        run(gander(directory.path()).args(["token", "create", "--name", "test", "--role", "viewer"]));
    assert!(made, "{complaints}");
    let token = token.strip_suffix('\n').unwrap();
    assert!(
        token.starts_with("gdr_") && !token.contains(char::is_whitespace),
        "{token}"
    );
    assert_eq!(complaints, "");

    let servers = (0..600).find_map(|_| {
        let servers = hub.get("/api/servers", token);
        let is_read = servers[0]["status"] == "online" && servers[0]["latest"]["cpu_usage"].is_number();
        if !is_read {
            thread::sleep(Duration::from_millis(100));
        }
        is_read.then_some(servers)
    });
    let servers = servers.expect("this machine is read");
    assert_eq!(servers[0]["transport"], "local");
    assert!(servers[0]["latest"]["memory_total_bytes"].as_u64().unwrap() > 0);

    let (well, answer, _) = run(gander(directory.path())
        .env("GANDER_HTTP_LISTEN", format!("127.0.0.1:{}", hub.port))
        .arg("health"));
    assert!(well && answer.contains("\"status\":\"ok\""), "{answer}");

    let (well, log) = hub.stop();
    assert!(well, "{log:#?}");
    assert!(log.last().unwrap().contains("gander-hub has stopped"), "{log:#?}");
}

#[test]
fn systemd_hears_that_it_is_ready_alive_and_stopping() {
    let directory = tempfile::tempdir().unwrap();
    let socket_path = directory.path().join("notify");
    let socket = UnixDatagram::bind(&socket_path).unwrap();
    socket.set_read_timeout(Some(PATIENCE)).unwrap();
    let heard = |word: &str| {
        let mut buffer = [0; 4096];
        loop {
            let length = socket
                .recv(&mut buffer)
                .unwrap_or_else(|error| panic!("never heard {word}: {error}"));
            if String::from_utf8_lossy(&buffer[..length])
                .lines()
                .any(|line| line == word)
            {
                break;
            }
        }
    };
    let hub = Hub::start(
        gander(directory.path())
            .env("NOTIFY_SOCKET", &socket_path)
            .env("WATCHDOG_USEC", "2000000"),
    );
    heard("READY=1");
    heard("WATCHDOG=1");
    heard("WATCHDOG=1");
    let (well, log) = hub.stop();
    assert!(well, "{log:#?}");
    heard("STOPPING=1");
}

#[test]
fn the_setup_link_is_printed_until_there_is_an_account() {
    let directory = tempfile::tempdir().unwrap();
    let mut hub =
        Hub::start(gander(directory.path()).env("GANDER_PUBLIC_URL", "https://gander.example.org/"));
    let first = hub.line_with("https://gander.example.org/setup#token=");
    hub.stop();
    let mut hub = Hub::start(&mut gander(directory.path()));
    let second = hub.line_with(&format!("http://localhost:{}/setup#token=", hub.port));
    let token = |line: &str| {
        line.split_once("token=")
            .unwrap()
            .1
            .split(' ')
            .next()
            .unwrap()
            .to_owned()
    };
    assert_ne!(token(&first), token(&second), "each start ends the link before");
    hub.stop();

    let password = directory.path().join("password");
    fs::write(&password, "correct horse\n").unwrap();
    let mut add = gander(directory.path());
    add.args(["user", "add", "ada", "--role", "admin", "--password-file"])
        .arg(&password);
    let (made, said, complaints) = run(&mut add);
    assert!(made, "{said}{complaints}");
    let (_, list, _) = run(gander(directory.path()).args(["user", "list"]));
    assert!(
        list.lines()
            .any(|line| line.starts_with("ada") && line.contains("admin")),
        "{list}"
    );

    let hub = Hub::start(&mut gander(directory.path()));
    let (_, log) = hub.stop();
    assert!(!log.iter().any(|line| line.contains("setup#token")), "{log:#?}");
}

#[test]
fn the_first_admin_may_come_from_the_environment() {
    let directory = tempfile::tempdir().unwrap();
    let password = directory.path().join("password");
    fs::write(&password, "correct horse\n").unwrap();
    let with_admin = |text: &str| {
        fs::write(&password, text).unwrap();
        let mut command = gander(directory.path());
        command
            .env("GANDER_ADMIN_USER", "ada")
            .env("GANDER_ADMIN_PASSWORD_FILE", &password);
        command
    };
    let (well, _, complaints) = run(&mut with_admin("short"));
    assert!(
        !well && complaints.contains("GANDER_ADMIN_PASSWORD") && complaints.contains("8 to 200"),
        "{complaints}"
    );
    let hub = Hub::start(&mut with_admin("correct horse"));
    let (_, log) = hub.stop();
    assert!(
        !log.iter()
            .any(|line| line.contains("setup#token") || line.contains("horse")),
        "{log:#?}"
    );
    let (_, list, _) = run(gander(directory.path()).args(["user", "list"]));
    assert!(list.contains("ada"), "{list}");
}

#[test]
fn a_port_in_use_is_named_and_the_database_left_alone() {
    let directory = tempfile::tempdir().unwrap();
    let taken = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = taken.local_addr().unwrap();
    let (well, _, complaints) = run(gander(directory.path()).env("GANDER_HTTP_LISTEN", address.to_string()));
    assert!(!well);
    assert!(
        complaints.contains(&format!("port {} is already in use", address.port())),
        "{complaints}"
    );
    assert!(!directory.path().join("gander.db").exists());
}

#[test]
fn a_wrong_master_key_is_named() {
    let directory = tempfile::tempdir().unwrap();
    let key = directory.path().join("master.key");
    let runtime = tokio::runtime::Runtime::new().unwrap();
    runtime.block_on(async {
        let key = MasterKey::load_or_create(&key).unwrap();
        let store = Store::open(&directory.path().join("gander.db"), key)
            .await
            .unwrap();
        let sealed = SshCredential {
            password: Some(Secret::new("secret".into())),
            ..SshCredential::default()
        };
        let spec = support::spec("web-1");
        let ada = Actor::user("ada");
        store
            .create_server(&spec, &sealed, None, &ada, Timestamp::now())
            .await
            .unwrap();
        store.close().await;
    });
    fs::rename(&key, directory.path().join("elsewhere")).unwrap();
    let (well, _, complaints) = run(&mut gander(directory.path()));
    assert!(
        !well && complaints.contains("GANDER_MASTER_KEY_FILE"),
        "{complaints}"
    );
}

#[test]
fn a_wrong_configuration_is_told_in_full() {
    let directory = tempfile::tempdir().unwrap();
    let file = directory.path().join("hub.toml");
    fs::write(&file, "[http]\nlisen = \"x\"\n[collect]\ninterval = \"soon\"\n").unwrap();
    for arguments in [&["check-config"][..], &["serve"], &[]] {
        let mut command = gander(directory.path());
        command
            .env_remove("GANDER_INTERVAL")
            .arg("--config")
            .arg(&file)
            .args(arguments);
        let (well, answer, complaints) = run(&mut command);
        assert!(!well && answer.is_empty(), "{answer}");
        assert!(complaints.contains("unknown key http.lisen in "), "{complaints}");
    }
    fs::write(&file, "[collect]\ninterval = \"5m\"\n").unwrap();
    let mut command = gander(directory.path());
    command
        .env_remove("GANDER_INTERVAL")
        .env("GANDER_CONFIG", &file)
        .env("GANDER_RETENTOIN", "1d")
        .arg("check-config");
    let (well, answer, complaints) = run(&mut command);
    assert!(well, "{complaints}");
    let line = answer
        .lines()
        .find(|line| line.starts_with("collect.interval"))
        .unwrap();
    assert!(line.contains("\"5m\"") && line.contains("hub.toml"), "{line}");
    assert!(
        complaints.contains("did you mean GANDER_RETENTION?"),
        "{complaints}"
    );
}

#[test]
fn without_a_hub_or_a_database_the_command_line_says_so() {
    let directory = tempfile::tempdir().unwrap();
    let free = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
    let (well, _, complaints) = run(gander(directory.path())
        .env("GANDER_HTTP_LISTEN", free.to_string())
        .arg("health"));
    assert!(
        !well && complaints.contains(&format!("no hub listens on {free}")),
        "{complaints}"
    );
    let (well, _, complaints) = run(gander(directory.path()).args(["user", "list"]));
    assert!(
        !well && complaints.contains("there is no database at "),
        "{complaints}"
    );
    assert!(!directory.path().join("gander.db").exists());
}

#[test]
fn it_tells_its_version_and_its_interface() {
    let directory = tempfile::tempdir().unwrap();
    let (_, version, _) = run(gander(directory.path()).arg("--version"));
    assert_eq!(version, format!("gander-hub {}\n", env!("CARGO_PKG_VERSION")));
    let (_, document, _) = run(gander(directory.path()).arg("openapi"));
    let document: serde_json::Value = serde_json::from_str(&document).unwrap();
    assert!(document["paths"]["/api/servers"].is_object());
}
