//! gander behind the nginx it ships: everything works through it, and the hub knows who asked.

#![allow(clippy::unwrap_used, clippy::expect_used, reason = "these are tests")]

use gander_e2e::{LiveClient, TestHub, hub, nginx::Nginx};
use reqwest::Method;
use serde_json::json;

async fn hub_behind_nginx() -> (TestHub, Nginx) {
    let hub = TestHub::builder()
        .env("GANDER_TRUSTED_PROXIES", "127.0.0.1/32")
        .start()
        .await;
    let nginx = Nginx::in_front_of(hub.url()).await;
    (hub, nginx)
}

#[tokio::test]
async fn the_dashboard_the_api_and_live_values_work_through_nginx() {
    let (hub, nginx) = hub_behind_nginx().await;
    let through = hub.api().at(&nginx.http_url());

    let page = through.try_get("/").await;
    page.succeeded();
    assert!(
        page.text().contains("<!doctype html>"),
        "the dashboard's page: {}",
        page.text()
    );
    assert_eq!(through.get("/api/health").await["status"], "ok");
    assert_eq!(
        through.get("/api/servers").await.as_array().unwrap().len(),
        1,
        "the local server"
    );

    let mut live = LiveClient::connect(&through).await;
    live.until("three deltas come through", |live| {
        live.counts.get("delta") >= Some(&3)
    })
    .await;
    live.say("ping").await;
    live.until("the pong", |live| live.counts.contains_key("text"))
        .await;
}

#[tokio::test]
async fn security_headers_come_once() {
    let (hub, nginx) = hub_behind_nginx().await;
    for path in ["/", "/api/health"] {
        let direct = hub.api().try_get(path).await;
        let through = hub.api().at(&nginx.http_url()).try_get(path).await;
        for name in [
            "content-security-policy",
            "x-content-type-options",
            "referrer-policy",
            "cache-control",
            "content-encoding",
        ] {
            let values = |answer: &gander_e2e::Answer| -> Vec<String> {
                let all = answer.headers.get_all(name).iter();
                all.map(|value| value.to_str().unwrap().to_owned()).collect()
            };
            assert_eq!(values(&through), values(&direct), "{name} of {path}");
        }
        assert!(
            !through.headers["server"].to_str().unwrap().contains('/'),
            "nginx tells its version"
        );
    }
}

#[tokio::test]
async fn a_log_in_over_https_gets_a_host_cookie_that_only_https_sends() {
    let (hub, nginx) = hub_behind_nginx().await;
    let anonymous = hub.api().anonymous();
    let account = json!({"username": hub::ADMIN, "password": hub::ADMIN_PASSWORD});

    let https = anonymous.at(&nginx.https_url());
    let answer = https.try_post("/api/login", &account).await;
    answer.succeeded();
    let cookie = answer.headers["set-cookie"].to_str().unwrap();
    for part in [
        "__Host-gander=",
        "Secure",
        "HttpOnly",
        "SameSite=Strict",
        "Path=/",
    ] {
        assert!(cookie.contains(part), "{part} in {cookie}");
    }
    assert!(answer.headers.contains_key("strict-transport-security"));
    let session = https
        .send(
            https
                .request(Method::GET, "/api/session")
                .header("cookie", cookie.split(';').next().unwrap()),
        )
        .await
        .ok();
    assert_eq!(session["user"]["username"], hub::ADMIN);
    assert_eq!(session["user"]["role"], "admin");
}

#[tokio::test]
async fn who_guesses_passwords_is_slowed_by_his_own_address_and_cannot_invent_another() {
    let (hub, nginx) = hub_behind_nginx().await;
    let through = hub.api().anonymous().at(&nginx.http_url());
    let guess = json!({"username": hub::ADMIN, "password": "not the password"});
    let mut refused = 0;
    for number in 0..60 {
        let answer = through
            .send(
                through
                    .request(Method::POST, "/api/login")
                    .header("x-forwarded-for", format!("192.0.2.{number}"))
                    .json(&guess),
            )
            .await;
        match answer.status {
            401 => {}
            429 => {
                refused += 1;
                break;
            }
            other => panic!("status {other}: {}", answer.text()),
        }
    }
    assert_eq!(
        refused, 1,
        "sixty guesses from one address, each claiming another, were all let through"
    );
}

#[tokio::test]
async fn while_the_hub_is_away_nginx_says_so_in_words() {
    let (hub, nginx) = hub_behind_nginx().await;
    let through = hub.api().at(&nginx.http_url());
    let stopped = hub.stop().await;
    let refusal = through.try_get("/api/servers").await.refused(503);
    assert_eq!(refusal.code(), "hub_away");
    assert!(refusal.message().contains("try again"), "{}", refusal.message());
    let page = through.try_get("/").await;
    assert_eq!(page.status, 503);
    assert!(
        page.text().contains("The hub does not answer yet"),
        "{}",
        page.text()
    );
    assert!(stopped.status.success());
}
