//! Sessions and their cookie.
//!
//! A session ends 7 days after its last use and 90 days after its log-in. Its token is random,
//! kept only as a hash. The cookie is `__Host-gander` (`Secure`) over HTTPS, and `gander` on plain
//! HTTP, where browsers refuse `Secure` and the prefix; always `HttpOnly` and `SameSite=Strict`.

use std::{
    collections::HashMap,
    sync::{Mutex, PoisonError},
};

use axum::http::{HeaderMap, HeaderValue};
use axum_extra::extract::cookie::CookieJar;

use crate::{
    model::{Timestamp, UserId},
    store::{TokenHash, random_token},
};

use super::{client::Client, error::ApiResult, state::ApiState};

const SECURE_NAME: &str = "__Host-gander";
const PLAIN_NAME: &str = "gander";

const MINUTE_MS: i64 = 60_000;
const DAY_MS: i64 = 24 * 60 * MINUTE_MS;
/// A session that is not used for so long ends.
const IDLE_MS: i64 = 7 * DAY_MS;
/// A session ends at the latest so long after its log-in.
pub(super) const ABSOLUTE_MS: i64 = 90 * DAY_MS;
/// How often the end of a session in use is moved: a request a second must not be a write a second.
const RENEW_MS: i64 = 10 * MINUTE_MS;

/// When sessions were last renewed by this process.
#[derive(Debug, Default)]
pub(super) struct Renewals(Mutex<HashMap<TokenHash, Timestamp>>);

impl Renewals {
    /// Whether the session is to be renewed now; then notes that it was.
    fn is_due(&self, session: TokenHash, now: Timestamp) -> bool {
        let mut renewed = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if renewed
            .get(&session)
            .is_some_and(|last| now.millis_since(*last) < RENEW_MS)
        {
            return false;
        }
        if renewed.len() >= 10_000 {
            renewed.retain(|_, last| now.millis_since(*last) < RENEW_MS);
        }
        renewed.insert(session, now);
        true
    }
}

/// Starts a session and returns the header that sets its cookie.
pub(super) async fn start(
    state: &ApiState,
    user: UserId,
    client: Client,
    now: Timestamp,
) -> ApiResult<HeaderValue> {
    let token = random_token("")?;
    state
        .store
        .create_session(TokenHash::of(token.expose()), user, now.plus_millis(IDLE_MS), now)
        .await?;
    Ok(cookie(token.expose(), ABSOLUTE_MS / 1000, client.https))
}

/// Moves the end of a session in use, now and then.
pub(super) async fn renew(state: &ApiState, session: TokenHash, now: Timestamp) -> ApiResult<()> {
    if state.renewals.is_due(session, now) {
        let until = now.plus_millis(IDLE_MS);
        state.store.renew_session(session, until, ABSOLUTE_MS).await?;
    }
    Ok(())
}

/// The session token of a request's cookie, if it has one.
pub(super) fn token_of(headers: &HeaderMap, client: Client) -> Option<TokenHash> {
    let jar = CookieJar::from_headers(headers);
    // Over HTTPS only the name that nobody else can set counts.
    let cookie = jar
        .get(SECURE_NAME)
        .or_else(|| if client.https { None } else { jar.get(PLAIN_NAME) })?;
    Some(TokenHash::of(cookie.value()))
}

/// The header that removes the cookie.
pub(super) fn remove_cookie(client: Client) -> HeaderValue {
    cookie("", 0, client.https)
}

fn cookie(value: &str, max_age_seconds: i64, https: bool) -> HeaderValue {
    let (name, secure) = if https {
        (SECURE_NAME, "; Secure")
    } else {
        (PLAIN_NAME, "")
    };
    let text =
        format!("{name}={value}; Path=/; HttpOnly; SameSite=Strict; Max-Age={max_age_seconds}{secure}");
    // Of our own making: letters, digits and punctuation.
    HeaderValue::from_str(&text).unwrap_or_else(|_| HeaderValue::from_static(""))
}
