//! A real nginx in front of a hub, with the configuration that is shipped.
//!
//! The files of `deploy/` are taken as they are; only addresses, ports and paths are put in place
//! of the container's. What nginx does here it does in the compose stack.

use std::{
    fs,
    net::TcpListener,
    os::unix::fs::PermissionsExt,
    path::{Path, PathBuf},
    process::Stdio,
};

use tempfile::TempDir;
use tokio::{
    net::TcpStream,
    process::{Child, Command},
};

use crate::{Log, eventually::Deadline};

/// A running nginx; dropping it ends it.
#[derive(Debug)]
pub struct Nginx {
    child: Child,
    log: Log,
    http: u16,
    https: u16,
    _directory: TempDir,
}

impl Nginx {
    /// Puts nginx in front of the hub at `upstream` (`http://127.0.0.1:PORT`), with HTTP and HTTPS.
    pub async fn in_front_of(upstream: &str) -> Self {
        // A port that was free may be taken before nginx binds it: then it ends, and others are tried.
        for _ in 0..5 {
            if let Some(nginx) = Self::try_start(upstream).await {
                return nginx;
            }
        }
        panic!("nginx did not start on any of five pairs of free ports");
    }

    async fn try_start(upstream: &str) -> Option<Self> {
        let directory = TempDir::with_prefix("gander-nginx-").expect("a temporary directory");
        let (http, https) = (free_port(), free_port());
        let place = directory.path();
        lay_out(place, upstream, http, https);
        make_certificate(&place.join("tls")).await;
        // nginx's workers give up root and still have to get at their files.
        fs::set_permissions(place, fs::Permissions::from_mode(0o755)).expect("our own directory");

        let mut child = Command::new("/usr/sbin/nginx")
            .args(["-e", "/dev/stderr", "-g", "daemon off;", "-c"])
            .arg(place.join("nginx.conf"))
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .kill_on_drop(true)
            .spawn()
            .expect("nginx: install nginx-light");
        let log = Log::default();
        log.follow(child.stdout.take().expect("stdout is a pipe"));
        log.follow(child.stderr.take().expect("stderr is a pipe"));
        let deadline = Deadline::start();
        loop {
            if child.try_wait().expect("a child can be asked").is_some() {
                assert!(
                    log.text().contains("Address already in use"),
                    "nginx ended:\n{}",
                    log.text()
                );
                return None;
            }
            if TcpStream::connect(("127.0.0.1", http)).await.is_ok() {
                break;
            }
            assert!(
                deadline.another_look().await,
                "nginx does not listen:\n{}",
                log.text()
            );
        }
        Some(Self {
            child,
            log,
            http,
            https,
            _directory: directory,
        })
    }

    /// `http://127.0.0.1:PORT`.
    #[must_use]
    pub fn http_url(&self) -> String {
        format!("http://127.0.0.1:{}", self.http)
    }

    /// `https://127.0.0.1:PORT`, with a certificate nobody signed.
    #[must_use]
    pub fn https_url(&self) -> String {
        format!("https://127.0.0.1:{}", self.https)
    }

    /// What nginx logged: its errors and one line a request.
    #[must_use]
    pub fn log(&self) -> &Log {
        &self.log
    }
}

impl Drop for Nginx {
    fn drop(&mut self) {
        // TERM, so that the master takes its workers along; `kill_on_drop` would orphan them.
        if let Some(pid) = self.child.id() {
            let _ = std::process::Command::new("kill").arg(pid.to_string()).status();
        }
    }
}

fn free_port() -> u16 {
    TcpListener::bind("127.0.0.1:0")
        .and_then(|listener| listener.local_addr())
        .expect("a free port")
        .port()
}

/// The repository's root.
#[must_use]
pub fn repository() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR"))
        .parent()
        .expect("the crate lies in the repository")
        .to_owned()
}

/// Replaces text that must be there: a changed configuration fails here, not by testing nothing.
fn swap(text: &str, from: &str, to: &str) -> String {
    assert!(
        text.contains(from),
        "the shipped nginx configuration no longer says {from:?}"
    );
    text.replace(from, to)
}

fn lay_out(place: &Path, upstream: &str, http: u16, https: u16) {
    let deploy = repository().join("deploy");
    let read = |name: &str| fs::read_to_string(deploy.join(name)).expect(name);
    let here = place.to_str().expect("a temporary path is UTF-8");
    let own = format!("{here}/gander");

    let main = read("nginx.conf");
    let main = swap(&main, "/tmp/", &format!("{here}/tmp/"));
    let main = swap(&main, "/etc/nginx/gander", &own);
    let main = swap(&main, "listen 8080 ", &format!("listen 127.0.0.1:{http} "));
    let main = swap(&main, "resolver 127.0.0.11 valid=5s ipv6=off;", "");
    let locations = swap(&read("nginx-locations.conf"), "http://hub:8000", upstream);
    let tls = read("tls/https.conf.example");
    let tls = swap(&tls, "/etc/nginx/gander", &own);
    let tls = swap(&tls, "listen 8443 ", &format!("listen 127.0.0.1:{https} "));

    fs::create_dir_all(place.join("tmp")).expect("our own directory");
    fs::create_dir_all(place.join("gander/tls")).expect("our own directory");
    std::os::unix::fs::symlink("gander/tls", place.join("tls")).expect("our own directory");
    let write = |name: &str, text: &str| fs::write(place.join(name), text).expect(name);
    write("nginx.conf", &main);
    write("gander/locations.conf", &locations);
    write("gander/tls/https.conf", &tls);
}

async fn make_certificate(directory: &Path) {
    let made = Command::new("openssl")
        .args([
            "req",
            "-x509",
            "-newkey",
            "ec",
            "-pkeyopt",
            "ec_paramgen_curve:P-256",
            "-nodes",
        ])
        .args([
            "-days",
            "2",
            "-subj",
            "/CN=127.0.0.1",
            "-addext",
            "subjectAltName=IP:127.0.0.1",
        ])
        .args(["-keyout", "privkey.pem", "-out", "fullchain.pem"])
        .current_dir(directory)
        .output()
        .await
        .expect("openssl");
    assert!(
        made.status.success(),
        "openssl: {}",
        String::from_utf8_lossy(&made.stderr)
    );
}
