//! Backups in a bucket, against a server that stores what it is given and checks every signature.

use std::{
    net::Shutdown,
    path::PathBuf,
    sync::{
        Arc,
        atomic::{AtomicI64, AtomicU64, Ordering::SeqCst},
    },
};

use sqlx::{ConnectOptions as _, sqlite::SqliteConnectOptions};

use super::{
    keeping::{fill, names},
    *,
};

/// What s3rver knows its one account by.
const KEY: &str = "S3RVER";
const MB: i64 = 1_000_000;

/// A running S3 server with one bucket, `backups`. Dropping it ends it.
struct Server {
    child: Child,
    port: u16,
    directory: tempfile::TempDir,
}

impl Server {
    fn start() -> Self {
        let program = Path::new(env!("CARGO_MANIFEST_DIR")).join("../tests/s3/node_modules/.bin/s3rver");
        assert!(
            program.exists(),
            "there is no S3 server: run `npm ci` in tests/s3, as `make test` does"
        );
        let directory = tempfile::tempdir().unwrap();
        let mut child = Command::new(program)
            .args([
                "-a",
                "127.0.0.1",
                "-p",
                "0",
                "--configure-bucket",
                "backups",
                "-d",
            ])
            .arg(directory.path())
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .spawn()
            .unwrap();
        let said = BufReader::new(child.stdout.take().unwrap());
        let (sender, port) = channel();
        thread::spawn(move || {
            // Read to the end, or its log would block it.
            for line in said.lines().map_while(Result::ok) {
                if let Some((_, port)) = line.split_once("listening on 127.0.0.1:") {
                    let _ = sender.send(port.trim().parse().unwrap());
                }
            }
        });
        let port = port
            .recv_timeout(PATIENCE)
            .expect("the S3 server says where it listens");
        Self {
            child,
            port,
            directory,
        }
    }

    /// The backups it holds.
    fn stored(&self) -> Vec<String> {
        let place = self.directory.path().join("backups/gander");
        let objects = if place.exists() { names(&place) } else { Vec::new() };
        objects
            .iter()
            .filter_map(|name| name.strip_suffix("._S3rver_object"))
            .filter(|name| name.ends_with(".db"))
            .map(str::to_owned)
            .collect()
    }

    fn object(&self, name: &str) -> PathBuf {
        self.directory
            .path()
            .join("backups/gander")
            .join(format!("{name}._S3rver_object"))
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// The way to the server, which can break.
struct Way {
    port: u16,
    /// So many bytes still pass, in either direction.
    left: Arc<AtomicI64>,
    passed: Arc<AtomicU64>,
}

impl Way {
    fn to(port: u16) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let way = Self {
            port: listener.local_addr().unwrap().port(),
            left: Arc::new(AtomicI64::new(i64::MAX)),
            passed: Arc::default(),
        };
        let (left, passed) = (Arc::clone(&way.left), Arc::clone(&way.passed));
        thread::spawn(move || {
            for client in listener.incoming().map_while(Result::ok) {
                if left.load(SeqCst) <= 0 {
                    continue;
                }
                let Ok(server) = TcpStream::connect(("127.0.0.1", port)) else {
                    continue;
                };
                for (from, to) in [(&client, &server), (&server, &client)] {
                    let (mut from, mut to) = (from.try_clone().unwrap(), to.try_clone().unwrap());
                    let (left, passed) = (Arc::clone(&left), Arc::clone(&passed));
                    thread::spawn(move || {
                        let mut buffer = vec![0; 1 << 16];
                        while let Ok(read @ 1..) = from.read(&mut buffer) {
                            let bytes = i64::try_from(read).unwrap();
                            if left.fetch_sub(bytes, SeqCst) < bytes || to.write_all(&buffer[..read]).is_err()
                            {
                                break;
                            }
                            passed.fetch_add(bytes.unsigned_abs(), SeqCst);
                        }
                        let _ = from.shutdown(Shutdown::Both);
                        let _ = to.shutdown(Shutdown::Both);
                    });
                }
            }
        });
        way
    }

    fn breaks_after(&self, bytes: i64) {
        self.left.store(bytes, SeqCst);
    }

    fn heals(&self) {
        self.breaks_after(i64::MAX);
    }
}

/// The program with a bucket in its configuration.
fn with_bucket(directory: &Path, port: u16, key: &str) -> Command {
    let mut command = gander(directory);
    command
        .env("GANDER_BACKUP_KEEP", "2")
        .env("GANDER_BACKUP_S3_ENDPOINT", format!("http://127.0.0.1:{port}"))
        .env("GANDER_BACKUP_S3_BUCKET", "backups")
        .env("GANDER_BACKUP_S3_ACCESS_KEY", KEY)
        .env("GANDER_BACKUP_S3_SECRET_KEY", key);
    command
}

/// Makes the database large enough for an upload in five parts.
fn make_large(directory: &Path) {
    tokio::runtime::Runtime::new().unwrap().block_on(async {
        let mut connection = SqliteConnectOptions::new()
            .filename(directory.join("gander.db"))
            .connect()
            .await
            .unwrap();
        let ballast = "CREATE TABLE ballast AS WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < 40)
            SELECT randomblob(1000000) AS data FROM n";
        sqlx::query(ballast).execute(&mut connection).await.unwrap();
    });
}

fn file_name(path: &str) -> String {
    let name = Path::new(path.trim_end()).file_name().unwrap();
    name.to_str().unwrap().to_owned()
}

#[test]
fn a_bucket_gets_every_backup_loses_the_oldest_and_gives_one_back() {
    let server = Server::start();
    let directory = tempfile::tempdir().unwrap();
    fill(directory.path(), 500);
    let mut last = String::new();
    for number in 1..=3_usize {
        if number == 2 {
            make_large(directory.path());
        }
        let (made, path, remarks) = run(with_bucket(directory.path(), server.port, KEY).arg("backup"));
        assert!(made && remarks.contains("uploaded and verified"), "{remarks}");
        assert_eq!(server.stored().len(), number.min(2));
        last = file_name(&path);
        let uploaded = fs::read(server.object(&last)).unwrap();
        assert!(uploaded == fs::read(path.trim_end()).unwrap(), "{last} differs");
    }
    // Elsewhere, with nothing but the keys: the connection breaks once while it comes.
    let elsewhere = tempfile::tempdir().unwrap();
    let way = Way::to(server.port);
    way.breaks_after(20 * MB);
    let mut restore = with_bucket(elsewhere.path(), way.port, KEY);
    restore
        .args(["restore", "s3://backups/gander/latest"])
        .env("GANDER_MASTER_KEY_FILE", directory.path().join("master.key"));
    let healer = {
        let left = Arc::clone(&way.left);
        thread::spawn(move || {
            while left.load(SeqCst) > 0 {
                thread::sleep(Duration::from_millis(5));
            }
            left.store(i64::MAX, SeqCst);
        })
    };
    let (well, said, complaints) = run(&mut restore);
    assert!(well && said.contains("1 servers"), "{said}{complaints}");
    healer.join().unwrap();
    let passed = i64::try_from(way.passed.load(SeqCst)).unwrap();
    assert!(passed < 50 * MB, "it began anew: {passed} bytes came");
    assert!(elsewhere.path().join("backups").join(&last).exists());

    // What is in the bucket is not what it was: refused, and the database stays.
    let mut bytes = fs::read(server.object(&last)).unwrap();
    bytes[1000] ^= 1;
    fs::write(server.object(&last), bytes).unwrap();
    let third = tempfile::tempdir().unwrap();
    let mut restore = with_bucket(third.path(), server.port, KEY);
    let (well, _, complaints) = run(restore.args(["restore", &format!("s3://backups/gander/{last}")]));
    assert!(
        !well && complaints.contains("take another backup"),
        "{complaints}"
    );
    assert_eq!(names(&third.path().join("backups")), [""; 0]);

    // One by hand, under a name of one's own.
    let mut by_hand = with_bucket(directory.path(), server.port, KEY);
    let (made, place, complaints) = run(by_hand.args(["backup", "--to", "s3://backups/gander/kept.db"]));
    assert!(made && place == "s3://backups/gander/kept.db\n", "{complaints}");
    assert!(server.stored().contains(&"kept.db".to_owned()));
}

#[test]
fn an_upload_that_is_cut_short_goes_on_where_it_was() {
    let server = Server::start();
    let way = Way::to(server.port);
    let directory = tempfile::tempdir().unwrap();
    fill(directory.path(), 500);
    make_large(directory.path());
    way.breaks_after(20 * MB);
    let (made, _, complaints) = run(with_bucket(directory.path(), way.port, KEY).arg("backup"));
    assert!(
        !made
            && complaints.contains("was made, but not uploaded to s3://backups/gander/")
            && complaints.contains("did not answer"),
        "{complaints}"
    );
    let left: Vec<String> = names(&directory.path().join("backups"));
    assert!(left.iter().any(|name| name.ends_with(".upload")), "{left:?}");
    assert_eq!(server.stored(), [""; 0]);

    // The next one goes up whole, and of the first only what was missing.
    way.heals();
    way.passed.store(0, SeqCst);
    let (made, _, complaints) = run(with_bucket(directory.path(), way.port, KEY).arg("backup"));
    assert!(made, "{complaints}");
    assert_eq!(
        complaints.matches("uploaded and verified").count(),
        2,
        "{complaints}"
    );
    for name in server.stored() {
        let uploaded = fs::read(server.object(&name)).unwrap();
        let here = fs::read(directory.path().join("backups").join(&name)).unwrap();
        assert!(uploaded == here, "{name} differs");
    }
    // 24 MB and 40 MB up; this server makes other tags, so both are read back.
    let passed = i64::try_from(way.passed.load(SeqCst)).unwrap();
    assert!(passed < 150 * MB, "it began anew: {passed} bytes passed");
    let left: Vec<String> = names(&directory.path().join("backups"));
    assert!(!left.iter().any(|name| name.starts_with('.')), "{left:?}");
}

#[test]
fn what_the_store_says_is_told_with_the_fix_and_without_the_key() {
    let server = Server::start();
    let directory = tempfile::tempdir().unwrap();
    fill(directory.path(), 500);
    // s3rver looks at the access key only.
    let secret = "not-the-secret-key";
    let mut stranger = with_bucket(directory.path(), server.port, secret);
    stranger
        .env("GANDER_BACKUP_S3_ACCESS_KEY", "STRANGER")
        .arg("backup");
    let (made, _, complaints) = run(&mut stranger);
    let place = format!("http://127.0.0.1:{}", server.port);
    assert!(
        !made
            && complaints.contains(&place)
            && complaints.contains("s3://backups/gander/")
            && complaints.contains("403 Forbidden, InvalidAccessKeyId")
            && complaints.contains("correct backup.s3_access_key"),
        "{complaints}"
    );
    let mut elsewhere = with_bucket(directory.path(), server.port, KEY);
    elsewhere.env("GANDER_BACKUP_S3_BUCKET", "nowhere").arg("backup");
    let (made, _, missing) = run(&mut elsewhere);
    assert!(
        !made && missing.contains("NoSuchBucket") && missing.contains("make the bucket nowhere"),
        "{missing}"
    );
    let (_, shown, _) = run(with_bucket(directory.path(), server.port, secret).arg("check-config"));
    assert!(shown.contains("backup.s3_secret_key"), "{shown}");
    for text in [&complaints, &shown] {
        assert!(!text.contains(secret) && !text.contains("Signature="), "{text}");
    }

    // A running hub uploads too, and shows where.
    let hub = Hub::start(with_bucket(directory.path(), server.port, KEY).env("GANDER_LOCAL_SERVER", "false"));
    let (_, token, _) =
        run(gander(directory.path()).args(["token", "create", "--name", "test", "--role", "admin"]));
    let token = token.trim_end();
    hub.call("POST", "/api/backups", token);
    let give_up = std::time::Instant::now() + PATIENCE;
    let shown = loop {
        let shown = hub.get("/api/backups", token);
        if shown["running_since"].is_null() {
            break shown;
        }
        assert!(std::time::Instant::now() < give_up, "{shown}");
        thread::sleep(Duration::from_millis(20));
    };
    assert_eq!(shown["last_error"], serde_json::Value::Null);
    assert_eq!(shown["bucket"]["address"], "s3://backups/gander/");
    // The two from before, with the wrong key and the wrong bucket, and this one: two are kept.
    assert_eq!(shown["bucket"]["names"].as_array().unwrap().len(), 2, "{shown}");
    let (well, log) = hub.stop();
    assert!(
        well && !log.iter().any(|line| line.contains("Signature=")),
        "{log:#?}"
    );
}
