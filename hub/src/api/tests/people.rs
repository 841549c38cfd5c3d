//! Set-up, log-in, sessions, users.

use super::*;
use crate::api::issue_setup_token;

fn login(password: &str) -> Value {
    json!({"username": "ada", "password": password})
}

#[tokio::test]
async fn the_first_admin_is_made_once_with_the_link_of_the_last_start() {
    let app = TestApp::start().await;
    let nobody = app.anonymous();
    assert_eq!(nobody.get("/api/setup").await.json(), json!({"required": true}));

    let old = issue_setup_token(&app.store).await.unwrap().unwrap();
    let token = issue_setup_token(&app.store).await.unwrap().unwrap();
    let body = |token: &str| json!({"token": token, "username": "ada", "password": "correct horse"});
    for wrong in ["guess", old.expose()] {
        let answer = nobody.post("/api/setup", body(wrong)).await;
        assert_eq!(
            (answer.status, answer.code().as_str()),
            (StatusCode::FORBIDDEN, "invalid_setup_token")
        );
    }
    let answer = nobody
        .post(
            "/api/setup",
            json!({"token": token.expose(), "username": "a b", "password": "short"}),
        )
        .await;
    assert_eq!(answer.status, StatusCode::UNPROCESSABLE_ENTITY);
    answer.field("username");
    assert_eq!(
        answer.field("password"),
        json!({"field": "password", "code": "length", "message": "has 5 characters; it must have 8 to 200",
            "params": {"length": 5, "min": 8, "max": 200}})
    );

    let answer = nobody.post("/api/setup", body(token.expose())).await;
    assert_eq!(answer.status, StatusCode::CREATED, "{}", answer.text());
    let ada = app.anonymous().with("cookie", &answer.cookie());
    assert_eq!(
        ada.get("/api/session").await.json(),
        json!({"user": {"id": 1, "username": "ada", "role": "admin"}, "via": "session"})
    );
    assert_eq!(nobody.get("/api/setup").await.json(), json!({"required": false}));
    assert_eq!(
        nobody.post("/api/setup", body(token.expose())).await.code(),
        "already_set_up"
    );
    assert!(issue_setup_token(&app.store).await.unwrap().is_none());
}

#[tokio::test]
async fn a_wrong_name_and_a_wrong_password_look_the_same() {
    let app = TestApp::start().await;
    app.user("ada", Role::Admin).await;
    let wrong_password = app.anonymous().post("/api/login", login("wrong")).await;
    let wrong_name = app
        .anonymous()
        .post(
            "/api/login",
            json!({"username": "eve", "password": "correct horse"}),
        )
        .await;
    assert_eq!(wrong_password.status, StatusCode::UNAUTHORIZED);
    assert_eq!(wrong_password.text(), wrong_name.text());
    assert_eq!(wrong_password.code(), "wrong_credentials");
    assert_eq!(wrong_password.header("set-cookie"), "");
}

#[tokio::test]
async fn the_cookie_is_plain_over_http_and_locked_to_the_host_over_https() {
    let settings = ApiSettings {
        trusted_proxies: vec!["192.0.2.7".parse().unwrap()],
        ..ApiSettings::default()
    };
    let app = TestApp::with(settings).await;
    app.user("ada", Role::Admin).await;
    let plain = app.anonymous().post("/api/login", login("correct horse")).await;
    let cookie = plain.header("set-cookie");
    assert!(
        cookie.starts_with("gander=") && cookie.contains("HttpOnly") && cookie.contains("SameSite=Strict"),
        "{cookie}"
    );
    assert!(!cookie.contains("Secure"), "{cookie}");

    let proxied = app
        .anonymous()
        .with("x-forwarded-proto", "https")
        .with("x-forwarded-for", "198.51.100.1");
    let secure = proxied.post("/api/login", login("correct horse")).await;
    let cookie = secure.header("set-cookie");
    assert!(
        cookie.starts_with("__Host-gander=") && cookie.ends_with("; Secure") && cookie.contains("Path=/;"),
        "{cookie}"
    );
    assert_eq!(secure.header("strict-transport-security"), "max-age=31536000");
    assert_eq!(plain.header("strict-transport-security"), "");

    // Over HTTPS, a cookie that any neighbour could have set does not count.
    let unlocked = plain.cookie();
    assert_eq!(
        proxied
            .clone()
            .with("cookie", &unlocked)
            .get("/api/session")
            .await
            .status,
        StatusCode::UNAUTHORIZED
    );
    assert_eq!(
        proxied
            .with("cookie", &secure.cookie())
            .get("/api/session")
            .await
            .status,
        StatusCode::OK
    );

    // The record has the client's address, not the proxy's.
    let events = app.admin().await.get("/api/events?kind=logged_in&limit=1").await;
    assert_eq!(events.json()[0]["details"]["address"], "198.51.100.1");
}

#[tokio::test]
async fn logging_out_ends_the_session() {
    let app = TestApp::start().await;
    app.user("ada", Role::Viewer).await;
    let ada = app.logged_in("ada").await;
    assert_eq!(ada.get("/api/session").await.status, StatusCode::OK);
    let answer = ada.post("/api/logout", json!({})).await;
    assert_eq!(answer.status, StatusCode::NO_CONTENT);
    assert!(answer.header("set-cookie").contains("Max-Age=0"));
    assert_eq!(ada.get("/api/session").await.code(), "login_required");
}

#[tokio::test]
async fn a_new_password_ends_the_other_sessions() {
    let app = TestApp::start().await;
    app.user("ada", Role::Viewer).await;
    let (here, elsewhere) = (app.logged_in("ada").await, app.logged_in("ada").await);
    let change = |current: &str| json!({"current_password": current, "new_password": "battery staple"});
    let refused = here.put("/api/session/password", change("wrong")).await;
    assert_eq!(refused.field("current_password")["message"], "is wrong");
    assert!(!refused.text().contains("battery"));

    let answer = here.put("/api/session/password", change("correct horse")).await;
    assert_eq!(answer.status, StatusCode::NO_CONTENT, "{}", answer.text());
    assert_eq!(
        elsewhere.get("/api/session").await.status,
        StatusCode::UNAUTHORIZED
    );
    let renewed = app.anonymous().with("cookie", &answer.cookie());
    assert_eq!(renewed.get("/api/session").await.status, StatusCode::OK);
    assert_eq!(
        app.anonymous()
            .post("/api/login", login("correct horse"))
            .await
            .status,
        StatusCode::UNAUTHORIZED
    );
    assert_eq!(
        app.anonymous()
            .post("/api/login", login("battery staple"))
            .await
            .status,
        StatusCode::OK
    );
}

#[tokio::test]
async fn a_session_lives_on_while_it_is_used_but_not_for_ever() {
    let app = TestApp::start().await;
    app.user("ada", Role::Viewer).await;
    let (user, _) = app.store.user_by_name("ada").await.unwrap().unwrap();
    let (token, start) = (TokenHash::of("session"), Timestamp(1_000_000));
    app.store
        .create_session(token, user.id, start.plus_millis(1000), start)
        .await
        .unwrap();
    let lives = async |at: i64| {
        app.store
            .session(token, start.plus_millis(at))
            .await
            .unwrap()
            .is_some()
    };
    assert!(lives(999).await && !lives(1000).await);
    app.store
        .renew_session(token, start.plus_millis(2000), 10_000)
        .await
        .unwrap();
    assert!(lives(1999).await && !lives(2000).await, "moved");
    app.store
        .renew_session(token, start.plus_millis(90_000), 10_000)
        .await
        .unwrap();
    assert!(lives(9999).await && !lives(10_000).await, "not past its longest");
}

#[tokio::test]
async fn guessing_is_slowed_down_per_address_with_a_time_to_wait() {
    let app = TestApp::start().await;
    app.user("ada", Role::Admin).await;
    let guesser = app.anonymous().from("203.0.113.5");
    let mut refusal = None;
    for attempt in 0..30 {
        // Different names: the address runs out, not an account.
        let body = json!({"username": format!("user{attempt}"), "password": "guess"});
        let answer = guesser.post("/api/login", body).await;
        if answer.status == StatusCode::TOO_MANY_REQUESTS {
            refusal = Some(answer);
            break;
        }
        assert_eq!(answer.status, StatusCode::UNAUTHORIZED);
    }
    let refusal = refusal.expect("30 guesses in a row are too many");
    assert_eq!(refusal.code(), "too_many_attempts");
    let wait: u64 = refusal.header("retry-after").parse().unwrap();
    assert_eq!(refusal.json()["error"]["details"]["retry_after_seconds"], wait);
    assert_eq!(
        refusal.json()["error"]["message"],
        format!("too many attempts: try again in {wait} seconds")
    );
    // Even the right password waits there, and works from elsewhere.
    assert_eq!(
        guesser.post("/api/login", login("correct horse")).await.status,
        StatusCode::TOO_MANY_REQUESTS
    );
    app.logged_in("ada").await;
}

#[tokio::test]
async fn guessing_an_account_from_many_addresses_is_slowed_down_too() {
    let app = TestApp::start().await;
    app.user("ada", Role::Admin).await;
    let home = app.anonymous().from("198.51.100.9");
    assert_eq!(
        home.post("/api/login", login("correct horse")).await.status,
        StatusCode::OK
    );
    let mut stopped = false;
    for address in 1..30 {
        let bot = app.anonymous().from(&format!("203.0.113.{address}"));
        stopped |= bot.post("/api/login", login("guess")).await.status == StatusCode::TOO_MANY_REQUESTS;
    }
    assert!(stopped);
    assert_eq!(
        home.post("/api/login", login("correct horse")).await.status,
        StatusCode::OK,
        "the owner gets in"
    );
}

#[tokio::test]
async fn a_page_of_another_site_cannot_act_with_our_cookie() {
    let app = TestApp::start().await;
    app.user("ada", Role::Admin).await;
    let ada = app.logged_in("ada").await;
    let forged = [
        ("origin", "https://evil.example"),
        ("origin", "null"),
        ("sec-fetch-site", "cross-site"),
    ];
    for (name, value) in forged {
        let answer = ada
            .clone()
            .with(name, value)
            .post("/api/refresh", json!({}))
            .await;
        assert_eq!(
            (answer.status, answer.code().as_str()),
            (StatusCode::FORBIDDEN, "cross_site"),
            "{name}: {value}"
        );
        let answer = ada.clone().with(name, value).get("/ws").await;
        assert_eq!(answer.code(), "cross_site", "WebSockets too: {name}: {value}");
    }
    let own = ada
        .clone()
        .with("origin", "http://hub.test:8000")
        .post("/api/refresh", json!({}))
        .await;
    assert_eq!(own.status, StatusCode::ACCEPTED);
    // A program's token is not sent by a browser on its own.
    let program = app.admin().await.with("origin", "https://grafana.example");
    assert_eq!(
        program.post("/api/refresh", json!({})).await.status,
        StatusCode::ACCEPTED
    );
}

#[tokio::test]
async fn users_are_made_changed_and_removed_but_one_admin_stays() {
    let app = TestApp::start().await;
    app.user("ada", Role::Admin).await;
    let ada = app.logged_in("ada").await;
    let made = ada
        .post(
            "/api/users",
            json!({"username": "bob", "password": "correct horse"}),
        )
        .await;
    assert_eq!(made.status, StatusCode::CREATED, "{}", made.text());
    assert_eq!(made.json()["role"], "viewer");
    assert_eq!(
        ada.post(
            "/api/users",
            json!({"username": "bob", "password": "correct horse"})
        )
        .await
        .status,
        StatusCode::CONFLICT
    );

    let bob = app.logged_in("bob").await;
    let path = format!("/api/users/{}", made.json()["id"]);
    assert_eq!(
        ada.patch(&path, json!({"role": "admin"})).await.json()["role"],
        "admin"
    );
    assert_eq!(
        bob.get("/api/users").await.status,
        StatusCode::OK,
        "the new role holds at once"
    );
    assert_eq!(
        ada.patch(&path, json!({"role": "viewer", "password": "battery staple"}))
            .await
            .status,
        StatusCode::OK
    );
    assert_eq!(
        bob.get("/api/session").await.status,
        StatusCode::UNAUTHORIZED,
        "a new password ends sessions"
    );

    for (method, body) in [
        (Method::DELETE, json!({})),
        (Method::PATCH, json!({"role": "viewer"})),
    ] {
        let answer = ada.json(method, "/api/users/1", body).await;
        assert_eq!(
            (answer.status, answer.code().as_str()),
            (StatusCode::CONFLICT, "last_admin")
        );
    }
    assert_eq!(ada.delete(&path).await.status, StatusCode::NO_CONTENT);
    assert_eq!(ada.delete(&path).await.status, StatusCode::NOT_FOUND);
    assert!(
        !ada.get("/api/users").await.text().contains("argon2"),
        "hashes stay inside"
    );
}
