//! What is revoked after a backup stays revoked when the backup is restored.

use std::path::PathBuf;

use sqlx::Connection as _;
use sqlx::sqlite::{SqliteConnectOptions, SqliteConnection};
use tokio_util::sync::CancellationToken;

use super::*;
use crate::model::Role;
use crate::store::{DatabaseLock, TokenHash, copy_database, restore};

async fn copy_of(test: &TestStore, name: &str) -> PathBuf {
    let path = test.directory.path().join(name);
    copy_database(&test.path(), &path, &CancellationToken::new())
        .await
        .unwrap();
    path
}

fn later(seconds: i64) -> Timestamp {
    NOW.plus_millis(seconds * SECOND)
}

/// An agent as an enrolment leaves it.
async fn enrol(test: &TestStore, server: ServerId) {
    let options = SqliteConnectOptions::new().filename(test.path());
    let mut connection = SqliteConnection::connect_with(&options).await.unwrap();
    let machine = serde_json::json!({
        "hostname": "web-1", "machine_id": "m", "os": "", "kernel": "", "architecture": "", "agent_version": "1", "boot_id": ""
    });
    sqlx::query(
        "INSERT INTO agent (uid, server_id, key_hash, machine_id, machine, enrolled_at, not_after, clock_ahead_ms, dropped)
         VALUES (zeroblob(12), ?, zeroblob(32), 'm', ?, 0, 0, 0, 0)",
    )
    .bind(server.0)
    .bind(machine.to_string())
    .execute(&mut connection)
    .await
    .unwrap();
    connection.close().await.unwrap();
}

#[tokio::test]
async fn what_was_revoked_since_the_backup_stays_revoked() {
    let test = TestStore::new().await;
    let store = &test.store;
    let server = test.server("web-1").await.id;
    enrol(&test, server).await;
    let hash = |name: &str| TokenHash::of(name);
    let mut users = Vec::new();
    for name in ["ada", "bob", "eve"] {
        users.push(
            store
                .create_user(name, "old", Role::Admin, &admin(), NOW)
                .await
                .unwrap(),
        );
    }
    let (ada, bob, eve) = (users[0].id, users[1].id, users[2].id);
    let mut tokens = Vec::new();
    for name in ["ci", "kept"] {
        let token = store
            .create_token(name, Role::Viewer, hash(name), None, &admin(), NOW)
            .await;
        tokens.push(token.unwrap().id);
    }
    let ends = later(1_000_000);
    for (user, session) in [(ada, "of ada"), (bob, "of bob")] {
        store
            .create_session(hash(session), user, ends, NOW)
            .await
            .unwrap();
    }
    let backup = copy_of(&test, "backup").await;

    let after = later(10);
    store.delete_token(tokens[0], &admin(), after).await.unwrap();
    store
        .create_token("later", Role::Viewer, hash("later"), None, &admin(), after)
        .await
        .unwrap();
    store.set_password(ada, "new", &admin(), after).await.unwrap();
    store.set_role(bob, Role::Viewer, &admin(), after).await.unwrap();
    store.delete_user(eve, &admin(), after).await.unwrap();
    let agent = store.agents().await.unwrap()[0].id;
    assert!(store.revoke_agent(agent, &admin(), after).await.unwrap());
    let newer = copy_of(&test, "newer").await;
    test.store.close().await;

    let path = test.path();
    let lock = DatabaseLock::take(&path).unwrap();
    let restored = restore(&backup, &path, Some(&test.key), &admin(), later(20), &lock)
        .await
        .unwrap();
    assert_eq!(restored.carried.missed, None);
    assert_eq!(
        restored.carried.done,
        [
            format!("agent {agent} on web-1 stays revoked"),
            "API token ci stays removed".into(),
            "account ada keeps its newer password".into(),
            "account bob stays viewer".into(),
            "account eve stays removed".into(),
            "1 sessions that had ended stay ended".into(),
        ]
    );
    let opened = crate::store::Store::open(&path, test.key.clone()).await.unwrap();
    assert_eq!(opened.agents().await.unwrap(), []);
    let names: Vec<String> = opened
        .tokens()
        .await
        .unwrap()
        .into_iter()
        .map(|token| token.name)
        .collect();
    assert_eq!(names, ["kept"]);
    assert_eq!(opened.user_by_name("ada").await.unwrap().unwrap().1, "new");
    assert_eq!(
        opened.user_by_name("bob").await.unwrap().unwrap().0.role,
        Role::Viewer
    );
    assert!(opened.user_by_name("eve").await.unwrap().is_none());
    assert!(opened.session(hash("of ada"), after).await.unwrap().is_none());
    assert!(opened.session(hash("of bob"), after).await.unwrap().is_some());
    opened.close().await;

    // And back to what is newer than that: nothing is taken from the older one.
    let restored = restore(&newer, &path, Some(&test.key), &admin(), later(30), &lock)
        .await
        .unwrap();
    assert_eq!(restored.carried.missed, None);
    assert_eq!(restored.carried.done, [""; 0]);
    let opened = crate::store::Store::open(&path, test.key.clone()).await.unwrap();
    assert_eq!(opened.tokens().await.unwrap().len(), 2);
    opened.close().await;
}

#[tokio::test]
async fn where_the_old_database_cannot_be_asked_it_is_said_and_sessions_end() {
    let test = TestStore::new().await;
    let ada = test
        .store
        .create_user("ada", "old", Role::Admin, &admin(), NOW)
        .await
        .unwrap();
    let session = TokenHash::of("of ada");
    test.store
        .create_session(session, ada.id, later(1_000_000), NOW)
        .await
        .unwrap();
    let backup = copy_of(&test, "backup").await;
    test.store.close().await;
    let another = TestStore::new().await;
    another.store.close().await;
    let garbage = tempfile::tempdir().unwrap();
    let damaged = garbage.path().join("gander.db");
    std::fs::write(&damaged, "what a bad disk left of it").unwrap();
    let nothing = garbage.path().join("none.db");
    for (path, why) in [
        (another.path(), "it is another database"),
        (damaged, "it cannot be read"),
        (nothing, "there is none"),
    ] {
        let lock = DatabaseLock::take(&path).unwrap();
        let restored = restore(&backup, &path, Some(&test.key), &admin(), later(20), &lock)
            .await
            .unwrap();
        let missed = restored.carried.missed.unwrap();
        assert!(missed.starts_with(why), "{missed}");
        assert_eq!(restored.carried.done, [""; 0]);
        assert_eq!(restored.carried.known_to, Some(NOW));
        let opened = crate::store::Store::open(&path, test.key.clone()).await.unwrap();
        assert!(opened.user_by_name("ada").await.unwrap().is_some());
        assert!(opened.session(session, later(30)).await.unwrap().is_none());
        opened.close().await;
    }
}
