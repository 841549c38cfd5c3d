//! Copies, checks, repairs and restores, on real files with real damage.

use std::os::unix::fs::MetadataExt;
use std::path::Path;

use sqlx::Connection;
use sqlx::sqlite::{SqliteConnectOptions, SqliteConnection};
use tokio_util::sync::CancellationToken;

use super::*;
use crate::store::{
    DatabaseLock, EventQuery, KeyFit, MetricsQuery, ProblemKind, StoreError, check, copy_database, repair,
    restore,
};

/// A store with two servers, one with secrets, and samples of many pages.
async fn filled() -> (TestStore, ServerId) {
    let test = TestStore::new().await;
    let server = test.server("web-1").await.id;
    test.store
        .create_server(&spec("web-2"), &credential(), None, &admin(), NOW)
        .await
        .unwrap();
    for batch in 0..10 {
        let samples = (0..100)
            .map(|step| {
                sample(
                    server,
                    NOW.0 + (batch * 100 + step) * SECOND,
                    snapshot(step as u16, true),
                )
            })
            .collect();
        test.commit_samples(samples).await;
    }
    (test, server)
}

async fn write_behind(path: &Path, sql: &'static str) {
    let options = SqliteConnectOptions::new().filename(path).foreign_keys(false);
    let mut connection = SqliteConnection::connect_with(&options).await.unwrap();
    sqlx::raw_sql(sql).execute(&mut connection).await.unwrap();
    connection.close().await.unwrap();
}

async fn problems(path: &Path) -> Vec<(ProblemKind, String)> {
    let report = check(path, None).await.unwrap();
    report
        .problems
        .into_iter()
        .map(|problem| (problem.kind, problem.what))
        .collect()
}

async fn copy_of(test: &TestStore, name: &str) -> PathBuf {
    let path = test.directory.path().join(name);
    copy_database(&test.path(), &path, &CancellationToken::new())
        .await
        .unwrap();
    path
}

#[tokio::test]
async fn a_copy_made_under_load_is_whole_and_holds_what_was_acknowledged() {
    let (test, server) = filled().await;
    let store = test.store.clone();
    let stop = CancellationToken::new();
    let stopped = stop.clone();
    let (acknowledged, mut newest) = tokio::sync::watch::channel(0_i64);
    let writing = tokio::spawn(async move {
        let mut number = 0;
        while !stopped.is_cancelled() {
            number += 1;
            let samples = vec![sample(server, NOW.0 + HOUR + number * SECOND, snapshot(7, true))];
            let commit = Commit {
                samples,
                ..Commit::default()
            };
            store.commit(&commit).await.unwrap();
            acknowledged.send_replace(number);
        }
        number
    });
    for round in 0..5 {
        newest.wait_for(|number| *number > round * 20).await.unwrap();
        let before = *newest.borrow();
        let path = copy_of(&test, &format!("copy-{round}")).await;
        let after = *newest.borrow();
        assert_eq!(std::fs::metadata(&path).unwrap().mode() & 0o777, 0o600);
        let report = check(&path, Some(&test.key)).await.unwrap();
        assert!(report.is_sound(), "{:?}", report.problems);
        assert_eq!(report.key, KeyFit::Fits);
        assert!(
            (1000 + before as u64..=1001 + after as u64).contains(&report.samples),
            "{before} were acknowledged before, {after} after, and {} are in the copy",
            report.samples - 1000
        );
    }
    stop.cancel();
    let written = writing.await.unwrap();
    assert!(
        written > 80,
        "the writer went on while copies were made: {written}"
    );
    test.assert_whole().await;
}

#[tokio::test]
async fn a_copy_that_is_given_up_or_has_no_place_leaves_nothing() {
    let (test, _) = filled().await;
    let path = test.directory.path().join("copy");
    let stop = CancellationToken::new();
    stop.cancel();
    let error = copy_database(&test.path(), &path, &stop).await.unwrap_err();
    assert!(matches!(error, StoreError::Interrupted), "{error}");
    assert!(!path.exists());
    std::fs::write(&path, "mine").unwrap();
    let error = copy_database(&test.path(), &path, &CancellationToken::new())
        .await
        .unwrap_err();
    assert!(error.to_string().contains("copy"), "{error}");
    assert_eq!(std::fs::read(&path).unwrap(), b"mine");
    let nowhere = test.directory.path().join("nothing/here");
    copy_database(&test.path(), &nowhere, &CancellationToken::new())
        .await
        .unwrap_err();
}

#[tokio::test]
async fn a_sound_database_is_said_to_be_sound_while_it_is_in_use() {
    let (test, _) = filled().await;
    let report = check(&test.path(), Some(&test.key)).await.unwrap();
    assert!(report.is_sound(), "{:?}", report.problems);
    assert_eq!((report.servers, report.samples), (2, 1000));
    assert_eq!(report.newest, Some(Timestamp(NOW.0 + 999 * SECOND)));
    assert_eq!(report.key, KeyFit::Fits);
    let other = MasterKey::random().unwrap();
    assert_eq!(
        check(&test.path(), Some(&other)).await.unwrap().key,
        KeyFit::Other
    );
    assert_eq!(check(&test.path(), None).await.unwrap().key, KeyFit::NoKey);
}

#[tokio::test]
async fn what_is_wrong_with_a_file_is_named() {
    let (test, _) = filled().await;
    let directory = test.directory.path();

    let garbage = directory.join("garbage");
    std::fs::write(&garbage, "no database at all ".repeat(1000)).unwrap();
    assert!(problems(&garbage).await[0].1.contains("no SQLite database"));
    let empty = directory.join("empty");
    std::fs::write(&empty, "").unwrap();
    assert!(problems(&empty).await[0].1.contains("it is empty"));
    let missing = check(&directory.join("missing"), None).await.unwrap_err();
    assert!(missing.to_string().contains("missing"), "{missing}");

    let foreign = directory.join("foreign");
    std::fs::write(&foreign, "").unwrap();
    write_behind(&foreign, "CREATE TABLE server (id INTEGER PRIMARY KEY)").await;
    assert_eq!(
        problems(&foreign).await[0],
        (
            ProblemKind::Schema,
            "it is a database, but not gander's: it has no table _sqlx_migrations".to_owned()
        )
    );

    let newer = copy_of(&test, "newer").await;
    write_behind(
        &newer,
        "INSERT INTO _sqlx_migrations (version, description, success, checksum, execution_time)
         VALUES (9999, 'from the future', TRUE, x'00', 0)",
    )
    .await;
    assert!(problems(&newer).await[0].1.contains("newer gander (schema 9999"));
    let altered = copy_of(&test, "altered").await;
    write_behind(&altered, "UPDATE _sqlx_migrations SET checksum = x'00'").await;
    assert!(
        problems(&altered).await[0]
            .1
            .contains("is not the one this gander knows")
    );

    for keep in [0.98, 0.5, 0.1] {
        let truncated = copy_of(&test, &format!("truncated-{keep}")).await;
        let length = std::fs::metadata(&truncated).unwrap().len();
        let file = std::fs::OpenOptions::new().write(true).open(&truncated).unwrap();
        file.set_len((length as f64 * keep) as u64 / 4096 * 4096).unwrap();
        let found = check(&truncated, None).await.unwrap();
        assert!(!found.is_usable(), "{keep}: {:?}", found.problems);
    }
}

/// Every page in turn is overwritten: either the check sees it, or nothing that matters changed.
#[tokio::test]
async fn no_damaged_page_goes_unseen() {
    let (test, _) = filled().await;
    let whole = copy_of(&test, "whole").await;
    let bytes = std::fs::read(&whole).unwrap();
    let path = test.directory.path().join("damaged");
    let mut unseen = Vec::new();
    for page in 1..bytes.len() / 4096 {
        let mut damaged = bytes.clone();
        damaged[page * 4096..page * 4096 + 512].fill(0xa5);
        std::fs::write(&path, &damaged).unwrap();
        let report = check(&path, Some(&test.key)).await.unwrap();
        if report.is_sound() {
            unseen.push(page);
        }
    }
    // Pages of tables with nothing in them have nothing to damage but their header, which is seen;
    // the map of page pointers (page 2, counted from 1) is read only when the file shrinks.
    assert!(unseen.iter().all(|page| *page == 1), "{unseen:?}");
}

#[tokio::test]
async fn damaged_values_and_references_are_named_and_mended() {
    let (test, server) = filled().await;
    test.store.close().await;
    let path = test.path();
    write_behind(
        &path,
        "UPDATE sample SET cells = x'ffffffffffffffffffffff' WHERE taken_at = 1767225600000;
         UPDATE sample SET layout_id = 77 WHERE taken_at = 1767225601000;
         INSERT INTO sample SELECT 99, taken_at, layout_id, cells FROM sample WHERE taken_at = 1767225602000;
         INSERT INTO series (server_id, metric, label, last_seen_at) VALUES (99, 1, '', 0);
         INSERT INTO alert SELECT 1, 98, 'cpu', '', 'resolved', 'warning', 0, 0, 0, NULL, 0, NULL, NULL, 0, 0, '{}';
         UPDATE server SET jump_server_id = 97 WHERE name = 'web-2';
         UPDATE server SET password = x'01020304' WHERE name = 'web-2'",
    )
    .await;
    let report = check(&path, Some(&test.key)).await.unwrap();
    assert!(report.is_usable());
    let said: Vec<&str> = report
        .problems
        .iter()
        .map(|problem| problem.what.as_str())
        .collect();
    for expected in [
        "1 row of table alert names a server that is not there",
        "1 row of table series names a server that is not there",
        "1 row of table server names a server that is not there",
        "1 sample of server web-1 from 2026-01-01T00:00:00.000Z to 2026-01-01T00:00:00.000Z: the values are damaged",
        "1 sample of server web-1 from 2026-01-01T00:00:01.000Z to 2026-01-01T00:00:01.000Z: their layout is not there",
        "1 sample of server number 99 from 2026-01-01T00:00:02.000Z to 2026-01-01T00:00:02.000Z: the server is not there",
        "server number 99 is said to have 0 samples and has 1",
        "the password of server web-2 does not open: enter it again",
    ] {
        assert!(said.contains(&expected), "{expected}: {said:#?}");
    }
    assert_eq!(said.len(), 8, "{said:#?}");

    let lock = DatabaseLock::take(&path).unwrap();
    let mended = repair(&path, Some(&test.key), NOW, &lock).await.unwrap();
    let left: Vec<ProblemKind> = mended.left.problems.iter().map(|problem| problem.kind).collect();
    assert_eq!(left, [ProblemKind::Secret], "{:#?}", mended.left.problems);
    assert_eq!(mended.left.samples, 998);
    // The file as it was is still there.
    let kept = check(&mended.kept.unwrap(), Some(&test.key)).await.unwrap();
    assert_eq!(kept.problems.len(), 8);

    let store = crate::store::Store::open(&path, test.key.clone()).await.unwrap();
    let query = MetricsQuery {
        server_id: Some(server),
        limit: 10_000,
        ..MetricsQuery::default()
    };
    assert_eq!(store.metric_rows(&query).await.unwrap().rows.len(), 998);
    assert_eq!(store.servers().await.unwrap().len(), 2);
    store.close().await;
}

#[tokio::test]
async fn a_damaged_index_is_built_anew() {
    let (test, _) = filled().await;
    test.store.close().await;
    let path = test.path();
    // Rows that the index does not know of: written while it is not maintained.
    write_behind(
        &path,
        "PRAGMA writable_schema = ON;
         CREATE TABLE aside AS SELECT type, name, tbl_name, rootpage, sql FROM sqlite_schema WHERE name = 'event_by_time';
         DELETE FROM sqlite_schema WHERE name = 'event_by_time'",
    )
    .await;
    write_behind(
        &path,
        "INSERT INTO event (at, kind, details) VALUES (1, 'hub_started', '{}');
         PRAGMA writable_schema = ON;
         INSERT INTO sqlite_schema SELECT * FROM aside;
         DROP TABLE aside",
    )
    .await;
    let report = check(&path, None).await.unwrap();
    assert!(
        report
            .problems
            .iter()
            .all(|problem| problem.kind == ProblemKind::Index)
            && !report.is_usable(),
        "{:?}",
        report.problems
    );
    let lock = DatabaseLock::take(&path).unwrap();
    let mended = repair(&path, None, NOW, &lock).await.unwrap();
    assert!(mended.left.is_sound(), "{:?}", mended.left.problems);
    assert_eq!(mended.done[0], "every index was built anew");
}

#[tokio::test]
async fn a_damaged_page_is_not_glossed_over() {
    let (test, _) = filled().await;
    test.store.close().await;
    let path = test.path();
    let mut bytes = std::fs::read(&path).unwrap();
    // The root of the samples.
    let options = SqliteConnectOptions::new().filename(&path);
    let mut connection = SqliteConnection::connect_with(&options).await.unwrap();
    let root: i64 = sqlx::query_scalar("SELECT rootpage FROM sqlite_schema WHERE name = 'sample'")
        .fetch_one(&mut connection)
        .await
        .unwrap();
    connection.close().await.unwrap();
    let start = (root as usize - 1) * 4096;
    bytes[start..start + 4096].fill(0);
    std::fs::write(&path, &bytes).unwrap();
    let lock = DatabaseLock::take(&path).unwrap();
    let tried = repair(&path, Some(&test.key), NOW, &lock).await.unwrap();
    assert!(!tried.left.is_usable());
    // But for its header, which says that there is no log any more.
    assert!(std::fs::read(tried.kept.unwrap()).unwrap()[4096..] == bytes[4096..]);
}

#[tokio::test]
async fn a_restore_brings_back_what_was_and_keeps_what_is() {
    let (test, server) = filled().await;
    let backup = copy_of(&test, "backup").await;
    let samples = vec![sample(server, NOW.0 + HOUR, snapshot(9, true))];
    test.commit_samples(samples).await;
    let path = test.path();

    // Another program has it open: nothing is touched.
    let lock = DatabaseLock::take(&path).unwrap();
    let error = restore(&backup, &path, Some(&test.key), &admin(), NOW, &lock)
        .await
        .unwrap_err();
    assert!(matches!(error, StoreError::Busy), "{error}");
    assert_eq!(check(&path, None).await.unwrap().samples, 1001);
    // A second hub, or a second restore, is refused while the lock is held.
    let error = DatabaseLock::take(&path).unwrap_err().to_string();
    assert!(
        error.contains(&format!("process {}", std::process::id())) && error.contains("stop it first"),
        "{error}"
    );

    test.store.close().await;
    let restored = restore(&backup, &path, Some(&test.key), &admin(), NOW, &lock)
        .await
        .unwrap();
    assert_eq!(restored.report.samples, 1000);
    assert_eq!(restored.report.key, KeyFit::Fits);
    let kept = restored.kept.unwrap();
    assert!(kept.ends_with("gander.db.before-restore-20260101T000000Z"));
    assert_eq!(check(&kept, Some(&test.key)).await.unwrap().samples, 1001);
    let names: Vec<String> = std::fs::read_dir(test.directory.path())
        .unwrap()
        .map(|entry| entry.unwrap().file_name().into_string().unwrap())
        .filter(|name| name.contains("part") || name.ends_with("-wal") || name.ends_with("-shm"))
        .collect();
    assert_eq!(names, [""; 0], "nothing half is left");

    let store = crate::store::Store::open(&path, test.key.clone()).await.unwrap();
    assert_eq!(store.storage_stats().await.unwrap().samples, 1000);
    let query = EventQuery {
        limit: 1,
        ..EventQuery::default()
    };
    let event = store.events(&query).await.unwrap().pop().unwrap().event;
    assert_eq!(event.kind, crate::model::EventKind::DatabaseRestored);
    assert_eq!(event.details["file"], "backup");
    store.close().await;
}

#[tokio::test]
async fn a_backup_that_does_not_verify_is_refused_and_nothing_changes() {
    let (test, _) = filled().await;
    let good = copy_of(&test, "good").await;
    test.store.close().await;
    let path = test.path();
    let before = std::fs::read(&path).unwrap();
    let whole = std::fs::read(&good).unwrap();
    let lock = DatabaseLock::take(&path).unwrap();
    let bad = test.directory.path().join("bad.db");
    let mut flipped = whole.clone();
    flipped[20 * 4096..21 * 4096].fill(0x5a);
    for (what, bytes) in [
        ("truncated", whole[..whole.len() / 2].to_vec()),
        ("damaged", flipped),
        ("no database", b"hello".repeat(5000)),
        ("empty", Vec::new()),
    ] {
        std::fs::write(&bad, &bytes).unwrap();
        let error = restore(&bad, &path, Some(&test.key), &admin(), NOW, &lock)
            .await
            .unwrap_err();
        assert!(matches!(error, StoreError::Unsound { .. }), "{what}: {error}");
        assert!(
            error
                .to_string()
                .starts_with(&format!("{} is not sound: ", bad.display())),
            "{error}"
        );
        assert!(std::fs::read(&path).unwrap() == before, "{what}");
        assert!(std::fs::read(&bad).unwrap() == bytes, "{what}");
    }
    let left = std::fs::read_dir(test.directory.path())
        .unwrap()
        .filter(|entry| {
            entry
                .as_ref()
                .unwrap()
                .file_name()
                .to_string_lossy()
                .contains("restore")
        })
        .count();
    assert_eq!(left, 0);
}

#[tokio::test]
async fn a_copied_database_with_its_log_and_a_damaged_old_one_are_taken_as_they_are() {
    let (test, _) = filled().await;
    // As `cp gander.db gander.db-wal` of a hub that was killed would give it.
    let raw = test.directory.path().join("raw.db");
    let log = |path: &Path| PathBuf::from(format!("{}-wal", path.display()));
    std::fs::copy(test.path(), &raw).unwrap();
    std::fs::copy(log(&test.path()), log(&raw)).unwrap();
    assert!(std::fs::metadata(log(&raw)).unwrap().len() > 0);
    test.store.close().await;

    let elsewhere = tempfile::tempdir().unwrap();
    let path = elsewhere.path().join("gander.db");
    std::fs::write(&path, "what a bad disk left of it").unwrap();
    std::fs::write(log(&path), "and of its log").unwrap();
    let lock = DatabaseLock::take(&path).unwrap();
    let restored = restore(&raw, &path, None, &admin(), NOW, &lock).await.unwrap();
    assert_eq!(restored.report.samples, 1000);
    assert_eq!(restored.report.key, KeyFit::NoKey);
    let kept = restored.kept.unwrap();
    assert_eq!(std::fs::read(&kept).unwrap(), b"what a bad disk left of it");
    assert_eq!(std::fs::read(log(&kept)).unwrap(), b"and of its log");
    assert!(!log(&path).exists());
    assert!(check(&path, Some(&test.key)).await.unwrap().is_sound());
}
