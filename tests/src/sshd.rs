//! Real SSH servers with throwaway accounts: OpenSSH's `sshd`, and dropbear.
//!
//! ```no_run
//! # use gander_e2e::sshd::RealSshd;
//! let sshd = RealSshd::start().with_password_user("deploy", "secret");
//! let web = sshd.spec("web-1", "deploy");
//! ```
//!
//! Accounts and processes are real, so root is needed. Everything listens on loopback only, and
//! everything is removed when the value is dropped. A user called `deploy` gets a log-in name
//! of its own ([`RealSshd::login_name`]), so that tests may run side by side.

mod accounts;
mod keys;
mod processes;

use std::{
    collections::HashMap,
    fs,
    net::{TcpListener, TcpStream},
    os::unix::fs::PermissionsExt,
    path::{Path, PathBuf},
    process::{Child, Command, Stdio},
    sync::{
        Arc,
        atomic::{AtomicU32, Ordering},
    },
    time::{Duration, Instant},
};

use gander_hub::{
    collect::ConnectSpec,
    model::{HostKey, Secret, server::SshCredential},
};
use tempfile::TempDir;

pub use keys::KeyPair;
pub use processes::children_of;

use accounts::{accounts, locked, require_root, set_password};
use processes::{kill, processes_of};

use crate::eventually::PATIENCE;

/// A running SSH server and its users.
pub struct RealSshd {
    dir: TempDir,
    address: String,
    port: u16,
    /// The network namespace it runs in; `None` for ours.
    namespace: Option<String>,
    program: Program,
    process: Option<Child>,
    users: HashMap<String, User>,
}

enum Program {
    OpenSsh,
    Dropbear,
}

struct User {
    login: String,
    home: PathBuf,
    credential: SshCredential,
}

impl RealSshd {
    /// An OpenSSH server on a free port of loopback, with host keys of its own.
    #[must_use]
    pub fn start() -> Self {
        Self::start_with(&[])
    }

    /// The same with lines of `sshd_config` that come before ours (the first one counts).
    #[must_use]
    pub fn start_with(lines: &[&str]) -> Self {
        Self::empty(Program::OpenSsh).configured(lines)
    }

    /// The same as another machine: in a network namespace, at the address it has there.
    #[must_use]
    pub fn start_in(namespace: &str, address: &str, lines: &[&str]) -> Self {
        let mut sshd = Self::empty(Program::OpenSsh);
        sshd.move_to(namespace, address);
        sshd.configured(lines)
    }

    fn configured(self, lines: &[&str]) -> Self {
        let mut sshd = self;
        sshd.make_host_key("ed25519");
        sshd.make_host_key("ecdsa");
        sshd.make_host_key("rsa");
        let config = format!(
            "{}\nPort {}\nListenAddress {}\nPidFile {dir}/pid\nHostKey {dir}/host_ed25519\nHostKey {dir}/host_ecdsa\n\
             HostKey {dir}/host_rsa\nUsePAM yes\nPasswordAuthentication yes\nKbdInteractiveAuthentication no\n\
             MaxStartups 1000:30:2000\nMaxSessions 1000\nPermitRootLogin no\nPrintMotd no\nUseDNS no\nLogLevel VERBOSE\n",
            lines.join("\n"),
            sshd.port,
            sshd.address,
            dir = sshd.dir.path().display(),
        );
        fs::write(sshd.dir.path().join("sshd_config"), config).unwrap();
        sshd.start_again();
        sshd
    }

    /// A dropbear server, as on small systems.
    #[must_use]
    pub fn start_dropbear() -> Self {
        Self::empty(Program::Dropbear).with_dropbear_key()
    }

    /// The same as another machine: in a network namespace, at the address it has there.
    #[must_use]
    pub fn start_dropbear_in(namespace: &str, address: &str) -> Self {
        let mut sshd = Self::empty(Program::Dropbear);
        sshd.move_to(namespace, address);
        sshd.with_dropbear_key()
    }

    fn with_dropbear_key(mut self) -> Self {
        run(
            "dropbear-bin",
            Command::new("dropbearkey")
                .args(["-t", "ed25519", "-f"])
                .arg(self.dir.path().join("dropbear_key")),
        );
        self.start_again();
        self
    }

    fn move_to(&mut self, namespace: &str, address: &str) {
        self.namespace = Some(namespace.to_owned());
        address.clone_into(&mut self.address);
        // Nobody else is there.
        self.port = 22;
    }

    /// The same, letting in whoever has a certificate of this authority for their log-in name.
    #[must_use]
    pub fn start_trusting(authority: &KeyPair) -> Self {
        let mut sshd = Self::start();
        let file = sshd.dir.path().join("user_authority.pub");
        fs::write(&file, &authority.public).unwrap();
        sshd.configure(&format!("TrustedUserCAKeys {}", file.display()));
        sshd
    }

    /// Gives its ed25519 host key a certificate of this authority. `options` are those of
    /// `ssh-keygen -s -h`.
    pub fn certify_host_key(&mut self, authority: &KeyPair, options: &[&str]) {
        let key = self.host_key_file("ed25519").with_extension("pub");
        let options: Vec<&str> = ["-h"].into_iter().chain(options.iter().copied()).collect();
        authority.sign(&key, &options);
        let certificate = self.dir.path().join("host_ed25519-cert.pub");
        self.configure(&format!("HostCertificate {}", certificate.display()));
    }

    /// Adds a line to its configuration, once, and starts it again.
    fn configure(&mut self, line: &str) {
        let file = self.dir.path().join("sshd_config");
        let config = fs::read_to_string(&file).unwrap();
        if !config.lines().any(|known| known == line) {
            fs::write(&file, format!("{config}{line}\n")).unwrap();
        }
        self.start_again();
    }

    fn empty(program: Program) -> Self {
        require_root();
        let dir = tempfile::Builder::new()
            .prefix("gander-sshd-")
            .tempdir()
            .expect("a temporary directory");
        // Homes lie inside; their owners must be able to get there.
        fs::set_permissions(dir.path(), fs::Permissions::from_mode(0o755)).unwrap();
        Self {
            dir,
            address: "127.0.0.1".to_owned(),
            port: free_port(),
            namespace: None,
            program,
            process: None,
            users: HashMap::new(),
        }
    }

    fn make_host_key(&self, kind: &str) {
        let file = self.host_key_file(kind);
        run(
            "openssh-client",
            Command::new("ssh-keygen")
                .args(["-q", "-t", kind, "-N", "", "-C", "", "-f"])
                .arg(file),
        );
    }

    fn host_key_file(&self, kind: &str) -> PathBuf {
        self.dir.path().join(format!("host_{kind}"))
    }

    /// A user who logs in with a password. Their shell is `/bin/sh`.
    #[must_use]
    pub fn with_password_user(self, name: &str, password: &str) -> Self {
        self.with_shell_user(name, password, "/bin/sh")
    }

    /// A user whom nothing lets in yet.
    #[must_use]
    pub fn with_user(mut self, name: &str) -> Self {
        self.add_user(name, "/bin/sh");
        self
    }

    /// Runs a shell script as a user, from their home.
    ///
    /// # Panics
    /// It fails.
    pub fn run_as(&self, name: &str, script: &str) {
        let script = format!("cd\n{script}\n");
        let mut command = Command::new("su");
        command.args(["-s", "/bin/sh", &self.users[name].login, "-c", &script]);
        run("util-linux", &mut command);
    }

    /// A user's home.
    #[must_use]
    pub fn home_path(&self, name: &str) -> &Path {
        &self.users[name].home
    }

    /// What a file in a user's home holds.
    #[must_use]
    pub fn home_file(&self, name: &str, path: &str) -> String {
        fs::read_to_string(self.home_path(name).join(path)).unwrap()
    }

    /// A user with a password and a login shell.
    #[must_use]
    pub fn with_shell_user(mut self, name: &str, password: &str, shell: &str) -> Self {
        let login = self.add_user(name, shell);
        set_password(&login, password);
        self.user_mut(name).credential.password = Some(Secret::new(password.to_owned()));
        self
    }

    /// A user who logs in with a key.
    #[must_use]
    pub fn with_key_user(self, name: &str, key: &KeyPair) -> Self {
        self.with_restricted_key_user(name, key, "")
    }

    /// A user whose `authorized_keys` line begins with `options`.
    #[must_use]
    pub fn with_restricted_key_user(mut self, name: &str, key: &KeyPair, options: &str) -> Self {
        self.add_user(name, "/bin/sh");
        self.with_key_for(name, key, options)
    }

    /// Lets a user made before log in with a key (and enter it in [`RealSshd::spec`]).
    #[must_use]
    pub fn with_key_for(mut self, name: &str, key: &KeyPair, options: &str) -> Self {
        self.write_home_file(
            name,
            ".ssh/authorized_keys",
            format!("{options} {}\n", key.public).trim_start(),
        );
        self.user_mut(name).credential = key.credential();
        self
    }

    /// A file in a user's home, owned by them.
    #[must_use]
    pub fn with_home_file(self, name: &str, path: &str, text: &str) -> Self {
        self.write_home_file(name, path, text);
        self
    }

    fn write_home_file(&self, name: &str, path: &str, text: &str) {
        let user = &self.users[name];
        let file = user.home.join(path);
        let parent = file.parent().unwrap();
        fs::create_dir_all(parent).unwrap();
        fs::write(&file, text).unwrap();
        run(
            "passwd",
            Command::new("chown")
                .args(["-R", &format!("{0}:", user.login)])
                .arg(&user.home),
        );
    }

    fn add_user(&mut self, name: &str, shell: &str) -> String {
        static NUMBER: AtomicU32 = AtomicU32::new(0);
        assert!(
            Path::new(shell).exists(),
            "{shell} is not installed; apt-get install {}",
            package_of(shell)
        );
        let login = format!(
            "g{}x{}",
            std::process::id(),
            NUMBER.fetch_add(1, Ordering::Relaxed)
        );
        let home = self.dir.path().join(format!("home-{name}"));
        accounts(
            Command::new("useradd")
                .args(["-M", "-N", "-g", "nogroup", "-s", shell, "-d"])
                .arg(&home)
                .arg(&login),
        );
        fs::create_dir_all(&home).unwrap();
        run("passwd", Command::new("chown").arg(&login).arg(&home));
        // An account without any password counts as locked, and sshd lets nobody in.
        accounts(Command::new("usermod").args(["-p", "*", &login]));
        self.users.insert(
            name.to_owned(),
            User {
                login: login.clone(),
                home,
                credential: SshCredential::default(),
            },
        );
        login
    }

    fn user_mut(&mut self, name: &str) -> &mut User {
        self.users.get_mut(name).expect("a user made before")
    }

    /// The name a user really has on this machine.
    #[must_use]
    pub fn login_name(&self, name: &str) -> &str {
        &self.users[name].login
    }

    /// Where it listens.
    #[must_use]
    pub fn port(&self) -> u16 {
        self.port
    }

    /// The process that listens.
    #[must_use]
    pub fn process_id(&self) -> u32 {
        self.process.as_ref().expect("a running server").id()
    }

    /// What a person would enter to enrol this server under `server`, logging in as `user`.
    #[must_use]
    pub fn spec(&self, server: &str, user: &str) -> ConnectSpec {
        let user = &self.users[user];
        ConnectSpec {
            name: server.to_owned(),
            host: self.address.clone(),
            port: self.port,
            user: user.login.clone(),
            credential: user.credential.clone(),
            expected_host_key: None,
            authorities: Arc::default(),
            jump: None,
        }
    }

    /// Its host key of one kind (`ed25519`, `ecdsa`, `rsa`), as the hub pins it.
    #[must_use]
    pub fn host_key(&self, kind: &str) -> HostKey {
        let file = self.host_key_file(kind).with_extension("pub");
        let text = fs::read_to_string(&file).unwrap();
        let mut words = text.split_whitespace();
        let (algorithm, blob) = (words.next().unwrap(), words.next().unwrap());
        let listed = output(Command::new("ssh-keygen").arg("-lf").arg(&file));
        HostKey {
            algorithm: algorithm.to_owned(),
            fingerprint: listed.split_whitespace().nth(1).unwrap().to_owned(),
            public_key: format!("{algorithm} {blob}"),
        }
    }

    /// Gives it another ed25519 host key, as a reinstalled machine has.
    pub fn change_host_key(&mut self) {
        self.stop();
        for kind in ["ed25519", "ecdsa", "rsa"] {
            let file = self.host_key_file(kind);
            fs::remove_file(&file).unwrap();
            fs::remove_file(file.with_extension("pub")).unwrap();
            self.make_host_key(kind);
        }
        self.start_again();
    }

    /// The processes of a user on this machine: sshd's session and what runs in it.
    #[must_use]
    pub fn processes_of(&self, name: &str) -> Vec<u32> {
        processes_of(&self.users[name].login)
    }

    /// Ends a user's sessions; the server goes on. What a firewall or an administrator does.
    pub fn end_sessions(&self) {
        for user in self.users.values() {
            for pid in processes_of(&user.login) {
                kill(pid, "KILL");
            }
        }
    }

    /// The files in a user's home.
    #[must_use]
    pub fn files_of(&self, name: &str) -> Vec<PathBuf> {
        let mut found = vec![self.users[name].home.clone()];
        let mut next = 0;
        while next < found.len() {
            let inside = fs::read_dir(&found[next]).into_iter().flatten();
            let mut inside: Vec<PathBuf> = inside.map(|entry| entry.unwrap().path()).collect();
            inside.sort();
            found.extend(inside);
            next += 1;
        }
        found
    }

    /// What its log says so far.
    #[must_use]
    pub fn log(&self) -> String {
        fs::read_to_string(self.log_path()).unwrap_or_default()
    }

    /// The file it logs to.
    #[must_use]
    pub fn log_path(&self) -> PathBuf {
        self.dir.path().join("log")
    }

    /// Ends the server and every session, as a crash or a reboot does.
    pub fn stop(&mut self) {
        let Some(mut process) = self.process.take() else {
            return;
        };
        let children = children_of(process.id());
        let _ = process.kill();
        let _ = process.wait();
        for pid in children {
            kill(pid, "KILL");
        }
        for user in self.users.values() {
            for pid in processes_of(&user.login) {
                kill(pid, "KILL");
            }
        }
    }

    /// Starts it (again), on the same port with the same keys.
    ///
    /// # Panics
    /// The server is not installed, or does not come up; the message holds its log.
    pub fn start_again(&mut self) {
        self.stop();
        let dir = self.dir.path();
        let log = fs::OpenOptions::new()
            .create(true)
            .append(true)
            .open(dir.join("log"))
            .unwrap();
        let mut command = match self.program {
            Program::OpenSsh => {
                fs::create_dir_all("/run/sshd").expect("/run/sshd, where sshd keeps its empty directory");
                let mut command = Command::new("/usr/sbin/sshd");
                command.arg("-D").arg("-e").arg("-f").arg(dir.join("sshd_config"));
                command
            }
            Program::Dropbear => {
                let mut command = Command::new("dropbear");
                command.args([
                    "-F",
                    "-E",
                    "-w",
                    "-p",
                    &format!("{}:{}", self.address, self.port),
                    "-r",
                ]);
                command
                    .arg(dir.join("dropbear_key"))
                    .arg("-P")
                    .arg(dir.join("pid"));
                command
            }
        };
        if let Some(namespace) = &self.namespace {
            let mut inside = Command::new("nsenter");
            inside.arg(format!("--net=/run/netns/{namespace}"));
            inside.arg(command.get_program()).args(command.get_args());
            command = inside;
        }
        let package = match self.program {
            Program::OpenSsh => "openssh-server",
            Program::Dropbear => "dropbear-bin",
        };
        let process = command
            .stdin(Stdio::null())
            .stdout(log.try_clone().unwrap())
            .stderr(log)
            .spawn()
            .unwrap_or_else(|error| missing(&format!("{command:?}"), package, &error));
        self.process = Some(process);
        let place = (self.address.clone(), self.port);
        eventually_now("the SSH server to listen", || {
            if let Some(status) = self.process.as_mut().unwrap().try_wait().unwrap() {
                panic!("the SSH server ended with {status}:\n{}", self.log());
            }
            TcpStream::connect((place.0.as_str(), place.1)).ok()
        });
    }
}

impl Drop for RealSshd {
    fn drop(&mut self) {
        self.stop();
        for user in self.users.values() {
            for pid in processes_of(&user.login) {
                kill(pid, "KILL");
            }
            let login = user.login.clone();
            // A process takes a moment to be gone, and userdel refuses as long as one is there.
            for _ in 0..100 {
                if processes_of(&login).is_empty() {
                    break;
                }
                std::thread::sleep(Duration::from_millis(10));
            }
            let _ = locked(Command::new("userdel").arg(&login));
        }
    }
}

/// [`crate::eventually()`] for code that may run outside a runtime.
fn eventually_now<T>(what: &str, mut ask: impl FnMut() -> Option<T>) -> T {
    let started = Instant::now();
    loop {
        if let Some(answer) = ask() {
            return answer;
        }
        assert!(
            started.elapsed() < PATIENCE,
            "waited {PATIENCE:?} in vain for {what}"
        );
        std::thread::sleep(Duration::from_millis(10));
    }
}

fn free_port() -> u16 {
    TcpListener::bind(("127.0.0.1", 0))
        .unwrap()
        .local_addr()
        .unwrap()
        .port()
}

fn run(package: &str, command: &mut Command) {
    let outcome = command
        .stdin(Stdio::null())
        .output()
        .unwrap_or_else(|error| missing(&format!("{command:?}"), package, &error));
    assert!(
        outcome.status.success(),
        "{command:?}: {}",
        String::from_utf8_lossy(&outcome.stderr)
    );
}

fn output(command: &mut Command) -> String {
    let outcome = command
        .output()
        .unwrap_or_else(|error| missing(&format!("{command:?}"), "openssh-client", &error));
    assert!(
        outcome.status.success(),
        "{command:?}: {}",
        String::from_utf8_lossy(&outcome.stderr)
    );
    String::from_utf8_lossy(&outcome.stdout).into_owned()
}

fn missing(what: &str, package: &str, error: &std::io::Error) -> ! {
    panic!("{what} cannot be run ({error}): apt-get install {package}");
}

fn package_of(shell: &str) -> &'static str {
    match shell.rsplit('/').next().unwrap_or_default() {
        "fish" => "fish",
        "tcsh" | "csh" => "tcsh",
        "zsh" => "zsh",
        "busybox" => "busybox-static",
        _ => "bash",
    }
}
