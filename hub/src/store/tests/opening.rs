//! Opening: files, permissions, keys, versions.

use std::os::unix::fs::{MetadataExt, PermissionsExt};
use std::path::Path;
use std::process::Command;

use super::*;
use crate::store::StoreError;

async fn open_error(path: &Path, key: MasterKey) -> StoreError {
    match Store::open(path, key).await {
        Ok(_) => panic!("{} was opened", path.display()),
        Err(error) => error,
    }
}

async fn pragma(test: &TestStore, name: &str) -> String {
    let sql = sqlx::AssertSqlSafe(format!("SELECT CAST({name} AS TEXT) FROM pragma_{name}"));
    let mut writer = test.store.inner.writer.lock().await;
    sqlx::query_scalar(sql)
        .fetch_one(writer.connection.as_mut().unwrap())
        .await
        .unwrap()
}

#[tokio::test]
async fn the_file_is_private_durable_and_able_to_shrink() {
    let test = TestStore::new().await;
    assert_eq!(std::fs::metadata(test.path()).unwrap().mode() & 0o777, 0o600);
    for (name, value) in [
        ("journal_mode", "wal"),
        ("synchronous", "2"),
        ("auto_vacuum", "2"),
        ("foreign_keys", "1"),
    ] {
        assert_eq!(pragma(&test, name).await, value, "{name}");
    }
    test.store.health_check().await.unwrap();
    let write = sqlx::query("DELETE FROM meta")
        .execute(&test.store.inner.readers)
        .await;
    assert!(write.is_err(), "a reader can write");
    assert!(format!("{:?}", test.store).contains("gander.db"));
}

#[tokio::test]
async fn a_closed_store_answers_with_an_error_and_leaves_no_log_behind() {
    let test = TestStore::new().await;
    test.server("web-1").await;
    test.store.close().await;
    test.store.close().await;
    assert!(test.store.servers().await.is_err());
    assert!(test.store.health_check().await.is_err());
    assert!(!test.directory.path().join("gander.db-wal").exists());
}

#[tokio::test]
async fn a_missing_directory_is_made_and_a_file_in_its_place_is_named() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("data/deep/gander.db");
    let store = Store::open(&path, MasterKey::random().unwrap()).await.unwrap();
    store.close().await;
    let inside_a_file = path.join("gander.db");
    let error = open_error(&inside_a_file, MasterKey::random().unwrap()).await;
    assert!(error.to_string().contains("gander.db/gander.db"), "{error}");
}

#[tokio::test]
async fn what_is_no_database_or_a_newer_one_is_refused_by_name() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("gander.db");
    std::fs::write(
        &path,
        "this is not a database, but long enough to look like one ".repeat(20),
    )
    .unwrap();
    let error = open_error(&path, MasterKey::random().unwrap()).await;
    assert!(matches!(error, StoreError::Corrupt { .. }), "{error:?}");
    assert!(error.to_string().contains(&path.display().to_string()), "{error}");

    let test = TestStore::new().await;
    test.tamper(
        "INSERT INTO _sqlx_migrations (version, description, success, checksum, execution_time)
         VALUES (9999, 'from the future', TRUE, x'00', 0)",
    )
    .await;
    test.store.close().await;
    let error = open_error(&test.path(), test.key.clone()).await;
    assert!(
        matches!(error, StoreError::NewerSchema { found: 9999, .. }),
        "{error:?}"
    );
}

#[tokio::test]
async fn another_master_key_opens_only_a_database_without_secrets() {
    let test = TestStore::new().await;
    test.server("without secrets").await;
    test.store.close().await;
    let second = MasterKey::random().unwrap();
    let store = Store::open(&test.path(), second.clone()).await.unwrap();
    store
        .create_server(&spec("with"), &credential(), None, &admin(), NOW)
        .await
        .unwrap();
    store.close().await;
    let error = open_error(&test.path(), test.key.clone()).await;
    assert!(matches!(error, StoreError::WrongKey { .. }), "{error:?}");
    assert!(error.to_string().contains("GANDER_MASTER_KEY_FILE"), "{error}");
    let store = Store::open(&test.path(), second).await.unwrap();
    assert_eq!(store.targets().await.unwrap()[0].1, credential());
    store.close().await;
}

#[tokio::test]
async fn the_key_file_is_made_once_private_and_refused_when_others_can_read_it() {
    let test = TestStore::new().await;
    let path = test.directory.path().join("new/master.key");
    let made = MasterKey::load_or_create(&path).unwrap();
    assert_eq!(std::fs::metadata(&path).unwrap().mode() & 0o777, 0o600);
    // The same key again: what one seals the other opens.
    let file = test.directory.path().join("sealed.db");
    let store = Store::open(&file, made).await.unwrap();
    store
        .create_server(&spec("a"), &credential(), None, &admin(), NOW)
        .await
        .unwrap();
    store.close().await;
    let store = Store::open(&file, MasterKey::load_or_create(&path).unwrap())
        .await
        .unwrap();
    assert_eq!(store.targets().await.unwrap()[0].1, credential());
    store.close().await;

    for mode in [0o640, 0o604, 0o620] {
        std::fs::set_permissions(&path, std::fs::Permissions::from_mode(mode)).unwrap();
        let error = MasterKey::load_or_create(&path).unwrap_err().to_string();
        assert!(
            error.contains(&format!("chmod 600 {}", path.display())),
            "{error}"
        );
    }
    std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o600)).unwrap();
    for text in ["", "abc", &"g".repeat(64), &"0".repeat(65)] {
        std::fs::write(&path, text).unwrap();
        let error = MasterKey::load_or_create(&path).unwrap_err().to_string();
        assert!(error.contains("64 hexadecimal digits"), "{error}");
    }
    let error = MasterKey::load_or_create(test.directory.path())
        .unwrap_err()
        .to_string();
    assert!(
        error.contains("regular file") || error.contains("directory"),
        "{error}"
    );
}

/// Runs an ignored test of this module in a process of its own, with another user or file
/// system; what it prints comes back.
fn run_apart(command: &mut Command, test: &str, path: &Path) -> String {
    let output = command
        .args(["--exact", test, "--ignored", "--nocapture"])
        .env("GANDER_TEST_DATABASE", path)
        .output()
        .unwrap();
    let text = String::from_utf8_lossy(&output.stdout).into_owned();
    assert!(
        output.status.success(),
        "{text}{}",
        String::from_utf8_lossy(&output.stderr)
    );
    text
}

#[tokio::test]
#[ignore = "the other half of a_directory_without_write_permission_is_named"]
async fn opens_and_prints_the_error() {
    if let Some(path) = std::env::var_os("GANDER_TEST_DATABASE") {
        println!(
            "{}",
            open_error(Path::new(&path), MasterKey::random().unwrap()).await
        );
    }
}

#[tokio::test]
async fn a_directory_without_write_permission_is_named() {
    let directory = tempfile::Builder::new()
        .permissions(std::fs::Permissions::from_mode(0o555))
        .tempdir()
        .unwrap();
    let path = directory.path().join("gander.db");
    // Root may write anywhere: go as nobody then.
    let program = std::env::current_exe().unwrap();
    let mut command = if rustix::process::geteuid().is_root() {
        let copy = tempfile::Builder::new()
            .permissions(std::fs::Permissions::from_mode(0o755))
            .tempdir_in("/tmp")
            .unwrap()
            .keep();
        std::fs::copy(&program, copy.join("test")).unwrap();
        let mut command = Command::new(copy.join("test"));
        std::os::unix::process::CommandExt::uid(&mut command, 65_534);
        std::os::unix::process::CommandExt::gid(&mut command, 65_534);
        command.current_dir("/");
        command
    } else {
        Command::new(&program)
    };
    let text = run_apart(
        &mut command,
        "store::tests::opening::opens_and_prints_the_error",
        &path,
    );
    if rustix::process::geteuid().is_root() {
        std::fs::remove_dir_all(Path::new(command.get_program()).parent().unwrap()).unwrap();
    }
    assert!(
        text.contains(&format!("{} cannot be written", path.display())),
        "{text}"
    );
    assert!(text.contains("chown"), "{text}");
}

/// Needs root: on a real file system of two megabytes.
#[tokio::test]
async fn a_really_full_file_system_is_survived() {
    let directory = tempfile::tempdir().unwrap();
    let mounted = rustix::process::geteuid().is_root()
        && Command::new("mount")
            .args(["-t", "tmpfs", "-o", "size=2m", "tmpfs"])
            .arg(directory.path())
            .status()
            .is_ok_and(|status| status.success());
    if !mounted {
        eprintln!("not root: the full disk is tested with max_page_count alone");
        return;
    }
    struct Unmount(PathBuf);
    impl Drop for Unmount {
        fn drop(&mut self) {
            let _ = Command::new("umount").arg("-l").arg(&self.0).status();
        }
    }
    let _unmount = Unmount(directory.path().to_owned());
    let key = MasterKey::random().unwrap();
    let store = Store::open(&directory.path().join("gander.db"), key.clone())
        .await
        .unwrap();
    let test = TestStore {
        directory,
        key,
        store,
    };
    let server = test.server("web-1").await.id;
    let commit_of = |chunk: i64| Commit {
        samples: (0..500)
            .map(|step| sample(server, NOW.0 + chunk * HOUR + step * SECOND, snapshot(1, true)))
            .collect(),
        ..Commit::default()
    };
    let mut chunk = 0;
    let error = loop {
        match test.store.commit(&commit_of(chunk)).await {
            Ok(_) => chunk += 1,
            Err(error) => break error,
        }
        assert!(chunk < 100, "2 MiB cannot hold this");
    };
    assert!(matches!(error, StoreError::Full), "{error:?}");
    assert_eq!(
        test.store.storage_stats().await.unwrap().samples,
        chunk as u64 * 500
    );
    let grown = Command::new("mount")
        .args(["-o", "remount,size=64m"])
        .arg(test.directory.path())
        .status()
        .unwrap();
    assert!(grown.success());
    assert_eq!(test.store.commit(&commit_of(chunk)).await.unwrap().samples, 500);
    test.assert_whole().await;
    test.store.close().await;
}
