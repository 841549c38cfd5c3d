//! Servers, their secrets and their host keys.

use super::*;
use crate::model::EventKind;
use crate::store::{Change, CredentialChange, EventQuery, StoreError};

#[tokio::test]
async fn a_server_comes_back_as_it_was_configured() {
    let mut test = TestStore::new().await;
    let mut wanted = spec("web-1");
    wanted.thresholds.disk.critical_percent = 99;
    let made = test
        .store
        .create_server(&wanted, &credential(), Some(&host_key('a')), &admin(), NOW)
        .await
        .unwrap();
    assert_eq!(made.spec, wanted);
    assert!(made.has_password && made.has_key);
    assert_eq!(made.host_key, Some(host_key('a')));
    test.reopen().await;
    assert_eq!(test.store.servers().await.unwrap(), std::slice::from_ref(&made));
    assert_eq!(test.store.server(made.id).await.unwrap(), Some(made.clone()));
    assert_eq!(test.store.targets().await.unwrap(), [(made, credential())]);
    assert_eq!(test.store.server(ServerId(99)).await.unwrap(), None);
}

#[tokio::test]
async fn names_are_unique_and_the_error_says_which() {
    let test = TestStore::new().await;
    test.server("web-1").await;
    let second = test.server("web-2").await;
    let taken = test
        .store
        .create_server(&spec("web-1"), &SshCredential::default(), None, &admin(), NOW)
        .await;
    assert!(matches!(taken, Err(StoreError::NameTaken { name }) if name == "web-1"));
    let change = CredentialChange::default();
    let taken = test
        .store
        .update_server(second.id, &spec("web-1"), &change, &admin(), NOW)
        .await;
    assert!(matches!(taken, Err(StoreError::NameTaken { .. })));
    assert_eq!(test.store.server(second.id).await.unwrap(), Some(second));
}

#[tokio::test]
async fn an_update_keeps_sets_and_clears_secrets() {
    let test = TestStore::new().await;
    let made = test
        .store
        .create_server(&spec("web-1"), &credential(), None, &admin(), NOW)
        .await
        .unwrap();
    let change = CredentialChange {
        password: Change::Clear,
        passphrase: Change::Set(Secret::new("new".to_owned())),
        ..CredentialChange::default()
    };
    let later = NOW.plus_millis(5);
    let updated = test
        .store
        .update_server(made.id, &spec("web-9"), &change, &admin(), later)
        .await
        .unwrap();
    assert!(!updated.has_password && updated.has_key);
    assert_eq!((updated.created_at, updated.updated_at), (NOW, later));
    let expected = SshCredential {
        password: None,
        passphrase: Some(Secret::new("new".to_owned())),
        ..credential()
    };
    assert_eq!(test.store.targets().await.unwrap()[0].1, expected);
    let missing = test
        .store
        .update_server(ServerId(77), &spec("x"), &change, &admin(), NOW)
        .await;
    assert!(matches!(
        missing,
        Err(StoreError::NotFound {
            what: "server",
            id: 77
        })
    ));
}

#[tokio::test]
async fn another_address_forgets_the_pinned_key_unless_a_new_one_comes_along() {
    let test = TestStore::new().await;
    let made = test
        .store
        .create_server(&spec("web-1"), &credential(), Some(&host_key('a')), &admin(), NOW)
        .await
        .unwrap();
    let keep = CredentialChange::default();
    let renamed = test
        .store
        .update_server(made.id, &spec("web-2"), &keep, &admin(), NOW)
        .await
        .unwrap();
    assert_eq!(renamed.host_key, Some(host_key('a')));
    let moved = ServerSpec {
        ssh_port: 2222,
        ..spec("web-2")
    };
    let updated = test
        .store
        .update_server(made.id, &moved, &keep, &admin(), NOW)
        .await
        .unwrap();
    assert_eq!(updated.host_key, None);
    let with_key = CredentialChange {
        host_key: Some(host_key('b')),
        ..CredentialChange::default()
    };
    let back = test
        .store
        .update_server(made.id, &spec("web-2"), &with_key, &admin(), NOW)
        .await
        .unwrap();
    assert_eq!(back.host_key, Some(host_key('b')));
    test.store
        .set_host_key(made.id, None, &admin(), NOW)
        .await
        .unwrap();
    assert_eq!(test.store.server(made.id).await.unwrap().unwrap().host_key, None);
}

#[tokio::test]
async fn jump_hosts_exist_do_not_circle_and_are_not_deleted_under_others() {
    let test = TestStore::new().await;
    let bastion = test.server("bastion").await;
    let behind = ServerSpec {
        jump_server_id: Some(bastion.id),
        ..spec("behind")
    };
    let none = SshCredential::default();
    let inner = test
        .store
        .create_server(&behind, &none, None, &admin(), NOW)
        .await
        .unwrap();
    let circle = ServerSpec {
        jump_server_id: Some(inner.id),
        ..spec("bastion")
    };
    let keep = CredentialChange::default();
    let refused = test
        .store
        .update_server(bastion.id, &circle, &keep, &admin(), NOW)
        .await;
    assert!(matches!(refused, Err(StoreError::JumpHost { .. })));
    let nowhere = ServerSpec {
        jump_server_id: Some(ServerId(99)),
        ..spec("lost")
    };
    let refused = test
        .store
        .create_server(&nowhere, &none, None, &admin(), NOW)
        .await;
    assert!(matches!(
        refused,
        Err(StoreError::JumpHost {
            jump_server_id: 99,
            ..
        })
    ));
    let refused = test
        .store
        .delete_server(bastion.id, &admin(), NOW)
        .await
        .unwrap_err();
    assert!(refused.to_string().contains("jump host of behind"), "{refused}");
    assert!(test.store.delete_server(inner.id, &admin(), NOW).await.unwrap());
    assert!(test.store.delete_server(bastion.id, &admin(), NOW).await.unwrap());
    assert!(!test.store.delete_server(bastion.id, &admin(), NOW).await.unwrap());
}

#[tokio::test]
async fn every_change_moves_the_generation_and_a_refused_one_does_not() {
    let test = TestStore::new().await;
    let mut generation = test.store.subscribe_servers();
    let made = test.server("web-1").await;
    assert!(generation.has_changed().unwrap());
    generation.mark_unchanged();
    let _ = test
        .store
        .create_server(&spec("web-1"), &SshCredential::default(), None, &admin(), NOW)
        .await
        .unwrap_err();
    assert!(!generation.has_changed().unwrap());
    test.store
        .set_host_key(made.id, Some(&host_key('a')), &admin(), NOW)
        .await
        .unwrap();
    assert!(generation.has_changed().unwrap());
}

#[tokio::test]
async fn the_hubs_own_machine_is_enrolled_once() {
    let mut test = TestStore::new().await;
    test.server("tower").await;
    let local = test
        .store
        .ensure_local_server("tower", NOW)
        .await
        .unwrap()
        .unwrap();
    assert_eq!(local.spec.name, "tower (hub)");
    assert_eq!(local.spec.transport, Transport::Local);
    assert!(test.store.delete_server(local.id, &admin(), NOW).await.unwrap());
    test.reopen().await;
    assert_eq!(test.store.ensure_local_server("tower", NOW).await.unwrap(), None);
}

#[tokio::test]
async fn secrets_are_sealed_in_the_file_and_bound_to_their_row_and_field() {
    let test = TestStore::new().await;
    test.store
        .create_server(&spec("a"), &credential(), None, &admin(), NOW)
        .await
        .unwrap();
    test.store
        .create_server(&spec("b"), &SshCredential::default(), None, &admin(), NOW)
        .await
        .unwrap();
    for entry in std::fs::read_dir(test.directory.path()).unwrap() {
        let bytes = std::fs::read(entry.unwrap().path()).unwrap();
        assert!(!bytes.windows(7).any(|window| window == b"hunter2"));
    }
    // Moved to another row or field, or with one bit turned, a secret does not open; the
    // other secrets still do.
    test.tamper(
        "UPDATE server SET password = (SELECT password FROM server WHERE name = 'a') WHERE name = 'b'",
    )
    .await;
    test.tamper("UPDATE server SET passphrase = password WHERE name = 'a'")
        .await;
    let targets = test.store.targets().await.unwrap();
    assert_eq!(
        targets[0].1,
        SshCredential {
            passphrase: None,
            ..credential()
        }
    );
    assert_eq!(targets[1].1, SshCredential::default());
    assert!(!format!("{targets:?}").contains("hunter2"));
    assert_eq!(format!("{:?}", test.key), "MasterKey(…)");
}

#[tokio::test]
async fn what_people_do_to_servers_is_on_record() {
    let test = TestStore::new().await;
    let made = test.server("web-1").await;
    let keep = CredentialChange::default();
    test.store
        .update_server(made.id, &spec("web-2"), &keep, &admin(), NOW)
        .await
        .unwrap();
    test.store
        .set_host_key(made.id, Some(&host_key('k')), &Actor::token("ci"), NOW)
        .await
        .unwrap();
    test.store.delete_server(made.id, &admin(), NOW).await.unwrap();
    let query = EventQuery {
        server_id: Some(made.id),
        limit: 10,
        ..EventQuery::default()
    };
    let events = test.store.events(&query).await.unwrap();
    let kinds: Vec<EventKind> = events.iter().map(|stored| stored.event.kind).collect();
    assert_eq!(
        kinds,
        [
            EventKind::ServerDeleted,
            EventKind::HostKeyPinned,
            EventKind::ServerChanged,
            EventKind::ServerAdded
        ]
    );
    assert_eq!(events[1].event.actor.as_deref(), Some("token:ci"));
    assert_eq!(events[1].event.details["fingerprint"], "SHA256:k");
    let page = EventQuery {
        before: Some(events[1].id),
        limit: 1,
        kind: None,
        server_id: Some(made.id),
    };
    assert_eq!(test.store.events(&page).await.unwrap(), events[2..3]);
    let kind = EventQuery {
        kind: Some(EventKind::ServerAdded),
        limit: 5,
        ..EventQuery::default()
    };
    assert_eq!(test.store.events(&kind).await.unwrap(), events[3..]);
}
