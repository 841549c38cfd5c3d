//! Shared credentials and host authorities.

use super::*;
use crate::model::credential::{CredentialKind, CredentialSpec, KeySource};
use crate::model::host_authority::HostAuthoritySpec;
use crate::model::{Credential, CredentialId, EventKind};
use crate::store::{Change, CredentialChange, EventQuery, SecretChange, StoreError};

const KEY: &str = "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIOMqqnkVzrm0SdG6UOoqKLsabgH5C9okWi0dh2l9GKJl";
const OTHER_KEY: &str = "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIK1HPHZCZlSi0h3YIXGuSGr8SkgkEDP0Pf4+lUTgq6FY";

fn shared(name: &str, kind: CredentialKind) -> CredentialSpec {
    CredentialSpec {
        name: name.to_owned(),
        kind,
        ssh_user: "gander".to_owned(),
        agent_key: None,
    }
}

fn key_secrets() -> SecretChange {
    SecretChange {
        private_key: Change::Set(Secret::new("-----BEGIN hunter2-shared".to_owned())),
        passphrase: Change::Set(Secret::new("hunter2-open".to_owned())),
        public_key: Change::Set(HostKey::parse(KEY).unwrap()),
        certificate: Change::Set("ssh-ed25519-cert-v01@openssh.com AAAA".to_owned()),
        ..SecretChange::default()
    }
}

async fn fleet_key(test: &TestStore) -> Credential {
    let spec = shared("fleet", CredentialKind::Key);
    test.store
        .create_credential(&spec, &key_secrets(), &admin(), NOW)
        .await
        .unwrap()
}

fn using(name: &str, id: CredentialId) -> ServerSpec {
    ServerSpec {
        credential_id: Some(id),
        ssh_user: String::new(),
        ..spec(name)
    }
}

async fn enrol(test: &TestStore, spec: &ServerSpec) -> Server {
    test.store
        .create_server(spec, &SshCredential::default(), None, &admin(), NOW)
        .await
        .unwrap()
}

#[tokio::test]
async fn a_credential_is_sealed_shared_and_rotated_in_one_place() {
    let mut test = TestStore::new().await;
    let made = fleet_key(&test).await;
    let servers = [
        enrol(&test, &using("a", made.id)).await,
        enrol(&test, &using("b", made.id)).await,
    ];
    assert_eq!(servers[0].login_name(), "gander");
    assert!(!servers[0].has_key && !servers[0].has_password);
    test.reopen().await;

    let known = test.store.credential(made.id).await.unwrap().unwrap();
    assert_eq!(known.servers, [servers[0].id, servers[1].id]);
    assert_eq!(known.public_key.as_ref().unwrap().public_key, KEY);
    assert!(known.has_passphrase && !known.has_password && known.certificate.is_some());
    assert_eq!(test.store.credentials().await.unwrap(), [known]);
    let targets = test.store.targets().await.unwrap();
    let key = |target: &(Server, SshCredential)| target.1.private_key.clone().unwrap();
    assert_eq!(key(&targets[0]).expose(), "-----BEGIN hunter2-shared");
    // One text in memory, however many servers use it.
    assert!(std::ptr::eq(key(&targets[0]).expose(), key(&targets[1]).expose()));
    assert!(!format!("{targets:?}").contains("hunter2"));

    let mut changes = test.store.subscribe_servers();
    changes.mark_unchanged();
    let rotation = SecretChange {
        private_key: Change::Set(Secret::new("-----BEGIN new".to_owned())),
        passphrase: Change::Clear,
        certificate: Change::Clear,
        ..SecretChange::default()
    };
    let rotated = test
        .store
        .update_credential(made.id, &made.spec, &rotation, &admin(), NOW.plus_millis(9))
        .await
        .unwrap();
    assert_eq!(
        (rotated.updated_at, rotated.has_passphrase),
        (NOW.plus_millis(9), false)
    );
    assert!(changes.has_changed().unwrap(), "collection is told");
    for (_, credential) in test.store.targets().await.unwrap() {
        assert_eq!(credential.private_key.unwrap().expose(), "-----BEGIN new");
        assert_eq!((credential.passphrase, credential.certificate), (None, None));
    }
    let query = EventQuery {
        limit: 100,
        ..EventQuery::default()
    };
    let events = test.store.events(&query).await.unwrap();
    let said: Vec<_> = events
        .iter()
        .filter(|stored| stored.event.kind == EventKind::CredentialChanged)
        .map(|stored| stored.event.details["change"].clone())
        .collect();
    assert_eq!(said, ["rotated", "created"]);
    assert!(!format!("{events:?}").contains("BEGIN"));
}

#[tokio::test]
async fn every_kind_says_where_its_key_is() {
    let test = TestStore::new().await;
    for (kind, chosen, source) in [
        (CredentialKind::Password, None, KeySource::Stored),
        (CredentialKind::HubKey, None, KeySource::Hub),
        (
            CredentialKind::Agent,
            None,
            KeySource::Agent { fingerprint: None },
        ),
        (
            CredentialKind::Agent,
            Some("SHA256:a"),
            KeySource::Agent {
                fingerprint: Some("SHA256:a".to_owned()),
            },
        ),
    ] {
        let spec = CredentialSpec {
            agent_key: chosen.map(str::to_owned),
            ..shared(&format!("{} {chosen:?}", kind.as_str()), kind)
        };
        let made = test
            .store
            .create_credential(&spec, &SecretChange::default(), &admin(), NOW)
            .await
            .unwrap();
        assert_eq!(made.spec, spec);
        let secrets = test.store.credential_secrets(made.id).await.unwrap().unwrap();
        assert_eq!(secrets.key_source, source);
    }
    assert_eq!(
        test.store.credential_secrets(CredentialId(99)).await.unwrap(),
        None
    );
}

#[tokio::test]
async fn what_is_used_does_not_go_away_and_what_is_not_there_is_not_used() {
    let test = TestStore::new().await;
    let made = fleet_key(&test).await;
    let server = enrol(&test, &using("a", made.id)).await;
    let refused = test.store.delete_credential(made.id, &admin(), NOW).await;
    assert!(
        matches!(&refused, Err(StoreError::CredentialInUse { servers, .. }) if servers == &["a"]),
        "{refused:?}"
    );
    let taken = test
        .store
        .create_credential(
            &shared("fleet", CredentialKind::HubKey),
            &SecretChange::default(),
            &admin(),
            NOW,
        )
        .await;
    assert!(matches!(taken, Err(StoreError::NameTaken { name }) if name == "fleet"));
    let nowhere = test
        .store
        .create_server(
            &using("b", CredentialId(99)),
            &SshCredential::default(),
            None,
            &admin(),
            NOW,
        )
        .await;
    assert!(matches!(
        nowhere,
        Err(StoreError::NoSuchCredential { id: CredentialId(99) })
    ));

    // A log-in of its own takes its place, and the other way round.
    let own = CredentialChange {
        password: Change::Set(Secret::new("own".to_owned())),
        ..CredentialChange::default()
    };
    let changed = test
        .store
        .update_server(server.id, &spec("a"), &own, &admin(), NOW)
        .await
        .unwrap();
    assert!(changed.has_password && changed.credential.is_none());
    let back = test
        .store
        .update_server(
            server.id,
            &using("a", made.id),
            &CredentialChange::default(),
            &admin(),
            NOW,
        )
        .await
        .unwrap();
    assert!(!back.has_password, "its own password is gone");
    assert_eq!(back.credential.unwrap().name, "fleet");
    test.store.delete_server(server.id, &admin(), NOW).await.unwrap();
    assert!(
        test.store
            .delete_credential(made.id, &admin(), NOW)
            .await
            .unwrap()
    );
    assert!(
        !test
            .store
            .delete_credential(made.id, &admin(), NOW)
            .await
            .unwrap()
    );
}

#[tokio::test]
async fn a_sealed_text_of_a_server_opens_in_no_credential_and_a_check_names_it() {
    let test = TestStore::new().await;
    fleet_key(&test).await;
    test.store
        .create_server(&spec("a"), &credential(), None, &admin(), NOW)
        .await
        .unwrap();
    test.tamper("UPDATE credential SET private_key = (SELECT private_key FROM server)")
        .await;
    let secrets = test
        .store
        .credential_secrets(CredentialId(1))
        .await
        .unwrap()
        .unwrap();
    assert_eq!(secrets.private_key, None);
    test.store.close().await;
    let report = crate::store::check(&test.path(), Some(&test.key)).await.unwrap();
    let said: Vec<_> = report
        .problems
        .iter()
        .map(|problem| problem.what.as_str())
        .collect();
    assert_eq!(
        said,
        ["the private key of credential fleet does not open: enter it again"]
    );
    // A credential's secrets alone tie the key to the database.
    let other = MasterKey::random().unwrap();
    let opened = Store::open(&test.path(), other).await;
    assert!(
        matches!(opened, Err(StoreError::WrongKey { .. })),
        "{:?}",
        opened.err()
    );
}

#[tokio::test]
async fn host_authorities_are_entered_all_or_none() {
    let mut test = TestStore::new().await;
    let authority = |key: &str, patterns: &str| HostAuthoritySpec {
        public_key: HostKey::parse(key).unwrap(),
        patterns: patterns.to_owned(),
        revoked: false,
        comment: "fleet CA".to_owned(),
    };
    let first = [authority(KEY, "*.example.org")];
    let entered = test
        .store
        .create_host_authorities(&first, &admin(), NOW)
        .await
        .unwrap();
    let both = [authority(OTHER_KEY, "*"), authority(KEY, "*")];
    let taken = test.store.create_host_authorities(&both, &admin(), NOW).await;
    assert!(matches!(taken, Err(StoreError::AuthorityTaken { .. })));
    test.reopen().await;
    assert_eq!(test.store.host_authorities().await.unwrap(), entered);

    let mut changes = test.store.subscribe_servers();
    changes.mark_unchanged();
    let revoked = test
        .store
        .update_host_authority(entered[0].id, "*", true, "lost", &admin(), NOW.plus_millis(1))
        .await
        .unwrap();
    assert!(revoked.spec.revoked && revoked.spec.patterns == "*");
    assert!(changes.has_changed().unwrap());
    assert!(
        test.store
            .delete_host_authority(revoked.id, &admin(), NOW)
            .await
            .unwrap()
    );
    assert!(
        !test
            .store
            .delete_host_authority(revoked.id, &admin(), NOW)
            .await
            .unwrap()
    );
    assert_eq!(test.store.host_authorities().await.unwrap(), []);
}
