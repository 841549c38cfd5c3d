//! Accounts, sessions and API tokens.

use super::*;
use crate::model::{Role, UserId};
use crate::store::{StoreError, TokenHash, random_token};

#[tokio::test]
async fn the_first_account_is_made_once() {
    let test = TestStore::new().await;
    let store = &test.store;
    let (one, two) = tokio::join!(
        store.create_first_user("ada", "hash", NOW),
        store.create_first_user("bob", "hash", NOW)
    );
    let made = [one.unwrap(), two.unwrap()];
    assert_eq!(made.iter().flatten().count(), 1);
    assert_eq!(store.count_users().await.unwrap(), 1);
    assert_eq!(store.users().await.unwrap()[0].role, Role::Admin);
}

#[tokio::test]
async fn the_last_admin_stays_one() {
    let test = TestStore::new().await;
    let store = &test.store;
    let ada = store
        .create_user("ada", "h1", Role::Admin, &Actor::hub(), NOW)
        .await
        .unwrap();
    let bob = store
        .create_user("bob", "h2", Role::Viewer, &admin(), NOW)
        .await
        .unwrap();
    let taken = store.create_user("bob", "h", Role::Viewer, &admin(), NOW).await;
    assert!(matches!(taken, Err(StoreError::NameTaken { name }) if name == "bob"));
    let refused = store.delete_user(ada.id, &admin(), NOW).await.unwrap_err();
    assert!(refused.to_string().contains("ada is the last admin"), "{refused}");
    let refused = store.set_role(ada.id, Role::Viewer, &admin(), NOW).await;
    assert!(matches!(refused, Err(StoreError::LastAdmin { .. })));
    store.set_role(bob.id, Role::Admin, &admin(), NOW).await.unwrap();
    assert!(store.delete_user(ada.id, &admin(), NOW).await.unwrap());
    assert!(!store.delete_user(ada.id, &admin(), NOW).await.unwrap());
    let (found, hash) = store.user_by_name("bob").await.unwrap().unwrap();
    assert_eq!((found.role, hash.as_str()), (Role::Admin, "h2"));
    assert_eq!(store.user_by_name("ada").await.unwrap(), None);
    let gone = store.set_role(UserId(99), Role::Admin, &admin(), NOW).await;
    assert!(matches!(gone, Err(StoreError::NotFound { what: "user", id: 99 })));
}

#[tokio::test]
async fn sessions_end_by_time_by_log_out_by_password_and_with_the_account() {
    let test = TestStore::new().await;
    let store = &test.store;
    store
        .create_user("root", "h", Role::Admin, &Actor::hub(), NOW)
        .await
        .unwrap();
    let ada = store
        .create_user("ada", "h", Role::Viewer, &Actor::hub(), NOW)
        .await
        .unwrap();
    let until = NOW.plus_millis(HOUR);
    let token = |text: &str| TokenHash::of(text);
    for name in ["a", "b"] {
        store
            .create_session(token(name), ada.id, until, NOW)
            .await
            .unwrap();
    }
    assert_eq!(store.session(token("a"), NOW).await.unwrap(), Some(ada.clone()));
    assert_eq!(store.session(token("a"), until).await.unwrap(), None);
    assert_eq!(store.session(token("c"), NOW).await.unwrap(), None);
    assert!(store.delete_session(token("a")).await.unwrap());
    assert!(!store.delete_session(token("a")).await.unwrap());
    store.set_password(ada.id, "h2", &admin(), NOW).await.unwrap();
    assert_eq!(store.session(token("b"), NOW).await.unwrap(), None);
    assert_eq!(store.user_by_name("ada").await.unwrap().unwrap().1, "h2");

    store
        .create_session(token("d"), ada.id, until, NOW)
        .await
        .unwrap();
    assert_eq!(store.purge_expired(NOW).await.unwrap(), 0);
    assert_eq!(store.purge_expired(until).await.unwrap(), 1);
    store
        .create_session(token("e"), ada.id, until, NOW)
        .await
        .unwrap();
    store.delete_user(ada.id, &admin(), NOW).await.unwrap();
    assert_eq!(store.session(token("e"), NOW).await.unwrap(), None);
    let gone = store.create_session(token("f"), ada.id, until, NOW).await;
    assert!(matches!(gone, Err(StoreError::NotFound { .. })));
}

#[tokio::test]
async fn api_tokens_are_found_by_hash_until_they_run_out() {
    let mut test = TestStore::new().await;
    let secret = random_token("gdr_").unwrap();
    let hash = TokenHash::of(secret.expose());
    let until = Some(NOW.plus_millis(HOUR));
    let made = test
        .store
        .create_token("ci", Role::Viewer, hash, until, &admin(), NOW)
        .await
        .unwrap();
    let taken = test
        .store
        .create_token("ci", Role::Admin, TokenHash::of("x"), None, &admin(), NOW)
        .await;
    assert!(matches!(taken, Err(StoreError::NameTaken { .. })));
    test.reopen().await;
    assert_eq!(test.store.token(hash, NOW).await.unwrap(), Some(made.clone()));
    assert_eq!(test.store.token(hash, NOW.plus_millis(HOUR)).await.unwrap(), None);
    assert_eq!(test.store.tokens().await.unwrap(), std::slice::from_ref(&made));
    assert!(test.store.delete_token(made.id, &admin(), NOW).await.unwrap());
    assert!(!test.store.delete_token(made.id, &admin(), NOW).await.unwrap());
    assert_eq!(test.store.token(hash, NOW).await.unwrap(), None);
    test.store.close().await;
    let file = std::fs::read(test.path()).unwrap();
    let text = secret.expose().as_bytes();
    assert!(
        !file.windows(text.len()).any(|window| window == text),
        "a token lies in the file"
    );
}

#[test]
fn tokens_are_long_random_and_not_shown() {
    let (one, two) = (random_token("gdr_").unwrap(), random_token("gdr_").unwrap());
    assert_ne!(one, two);
    assert_eq!(one.expose().len(), 36);
    assert!(
        one.expose()[4..]
            .bytes()
            .all(|byte| byte.is_ascii_lowercase() || byte.is_ascii_digit())
    );
    assert_eq!(format!("{:?}", TokenHash::of("x")), "TokenHash(…)");
}
