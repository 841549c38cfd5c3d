//! The layers around every route, from the outside in: request id, log line, panics, headers,
//! compression, CORS, where the client is, forged requests, time and size limits.

use std::{
    any::Any,
    time::{Duration, Instant},
};

use axum::{
    Router,
    extract::{DefaultBodyLimit, Request, State},
    http::{HeaderMap, HeaderName, HeaderValue, Method, StatusCode, Uri, header},
    middleware::{Next, from_fn, from_fn_with_state},
    response::{IntoResponse, Response},
};
use tower::ServiceBuilder;
use tower_http::{
    catch_panic::CatchPanicLayer,
    compression::{CompressionLayer, DefaultPredicate, Predicate, predicate::NotForContentType},
    cors::{AllowOrigin, CorsLayer},
    request_id::{MakeRequestId, PropagateRequestIdLayer, RequestId, SetRequestIdLayer},
};
use tracing::Instrument;

use super::{
    access,
    client::{Client, requested_host},
    error::ApiError,
    state::{ApiSettings, ApiState},
};

/// The largest request body: a server with a long private key is some kilobytes.
pub(super) const MOST_BODY_BYTES: usize = 1024 * 1024;
/// The longest a request may take until its answer begins.
const REQUEST_TIMEOUT: Duration = Duration::from_secs(30);
/// The same for deleting samples: millions of rows take their time, in batches.
const DELETE_TIMEOUT: Duration = Duration::from_secs(15 * 60);

const REQUEST_ID: HeaderName = HeaderName::from_static("x-request-id");

/// Everything from our own origin; nothing inline; no framing.
const CONTENT_SECURITY_POLICY: &str = "default-src 'self'; script-src 'self'; style-src 'self'; \
img-src 'self' data:; connect-src 'self'; object-src 'none'; base-uri 'none'; form-action 'self'; \
frame-ancestors 'none'";

/// Lays every layer around the routes.
pub(super) fn wrap(router: Router, state: ApiState) -> Router {
    // XLSX is compressed already; compressing it again costs and gains nothing.
    let compressible = DefaultPredicate::new().and(NotForContentType::const_new(
        "application/vnd.openxmlformats-officedocument",
    ));
    router.layer(
        ServiceBuilder::new()
            .layer(SetRequestIdLayer::new(REQUEST_ID, RandomId))
            .layer(PropagateRequestIdLayer::new(REQUEST_ID))
            .layer(from_fn_with_state(state.clone(), note_client))
            .layer(from_fn(log))
            .layer(from_fn(security_headers))
            .layer(CatchPanicLayer::custom(panicked))
            .layer(CompressionLayer::new().compress_when(compressible))
            .layer(cors(&state.settings))
            .layer(from_fn_with_state(state.clone(), refuse_forged))
            .layer(from_fn(limit_time))
            .layer(DefaultBodyLimit::max(MOST_BODY_BYTES))
            .layer(axum::Extension(state)),
    )
}

#[derive(Clone, Copy)]
struct RandomId;

impl MakeRequestId for RandomId {
    fn make_request_id<B>(&mut self, _request: &axum::http::Request<B>) -> Option<RequestId> {
        let id = format!("{:016x}", rand::random::<u64>());
        HeaderValue::from_str(&id).ok().map(RequestId::new)
    }
}

/// Notes the client's address and scheme; drops a request id that is too long or odd to log.
async fn note_client(State(state): State<ApiState>, mut request: Request, next: Next) -> Response {
    let client = Client::of(&request, &state.settings.trusted_proxies);
    request.extensions_mut().insert(client);
    next.run(request).await
}

/// One log line a request: method, path (never the query), status, duration. Never a header or body.
async fn log(request: Request, next: Next) -> Response {
    let started = Instant::now();
    let id = request
        .headers()
        .get(&REQUEST_ID)
        .and_then(|id| id.to_str().ok())
        .unwrap_or("");
    let client = request.extensions().get::<Client>().map(|client| client.address);
    let span = tracing::info_span!(
        "request",
        id = %id.chars().take(64).collect::<String>(),
        method = %request.method(),
        path = %request.uri().path(),
        client = client.map(tracing::field::display),
    );
    async move {
        let response = next.run(request).await;
        let status = response.status();
        let ms = u64::try_from(started.elapsed().as_millis()).unwrap_or(u64::MAX);
        if status.is_server_error() {
            tracing::warn!(status = status.as_u16(), ms, "answered");
        } else {
            tracing::debug!(status = status.as_u16(), ms, "answered");
        }
        response
    }
    .instrument(span)
    .await
}

#[expect(clippy::needless_pass_by_value, reason = "the signature of a panic handler")]
fn panicked(panic: Box<dyn Any + Send + 'static>) -> Response {
    let what = panic
        .downcast_ref::<String>()
        .map(String::as_str)
        .or_else(|| panic.downcast_ref::<&str>().copied())
        .unwrap_or("unknown");
    ApiError::internal(&format_args!("a handler panicked: {what}")).into_response()
}

async fn security_headers(request: Request, next: Next) -> Response {
    let https = request
        .extensions()
        .get::<Client>()
        .is_some_and(|client| client.https);
    let is_api = request.uri().path().starts_with("/api/");
    let mut response = next.run(request).await;
    let headers = response.headers_mut();
    let mut set = |name: HeaderName, value: &'static str| {
        headers.entry(name).or_insert(HeaderValue::from_static(value));
    };
    // The documentation brings its own policy.
    set(header::CONTENT_SECURITY_POLICY, CONTENT_SECURITY_POLICY);
    set(header::X_CONTENT_TYPE_OPTIONS, "nosniff");
    set(header::X_FRAME_OPTIONS, "DENY");
    set(header::REFERRER_POLICY, "no-referrer");
    set(
        HeaderName::from_static("cross-origin-opener-policy"),
        "same-origin",
    );
    set(
        HeaderName::from_static("permissions-policy"),
        "camera=(), geolocation=(), microphone=()",
    );
    if is_api {
        // What the API says is true now and for this caller only.
        set(header::CACHE_CONTROL, "no-store");
    }
    if https {
        set(header::STRICT_TRANSPORT_SECURITY, "max-age=31536000");
    }
    response
}

/// Closed, but for the configured origins. Cookies never cross origins: those pages use an API token.
fn cors(settings: &ApiSettings) -> CorsLayer {
    let origins: Vec<HeaderValue> = settings
        .cors_origins
        .iter()
        .filter_map(|origin| origin.trim_end_matches('/').parse().ok())
        .collect();
    if origins.is_empty() {
        return CorsLayer::new();
    }
    CorsLayer::new()
        .allow_origin(AllowOrigin::list(origins))
        .allow_methods([
            Method::GET,
            Method::POST,
            Method::PUT,
            Method::PATCH,
            Method::DELETE,
        ])
        .allow_headers([
            header::AUTHORIZATION,
            header::CONTENT_TYPE,
            header::ACCEPT_LANGUAGE,
        ])
        .expose_headers([
            header::LINK,
            header::CONTENT_DISPOSITION,
            header::RETRY_AFTER,
            REQUEST_ID,
        ])
        .max_age(Duration::from_secs(600))
}

/// Refuses what another site's page makes a browser send with our cookie: unsafe methods, and
/// WebSockets (which the same-origin policy does not cover). A bearer token is not sent by a
/// browser on its own, so it needs no such check.
async fn refuse_forged(State(state): State<ApiState>, request: Request, next: Next) -> Response {
    let is_websocket = request.uri().path() == "/ws";
    let is_safe = matches!(*request.method(), Method::GET | Method::HEAD | Method::OPTIONS);
    if (is_safe && !is_websocket) || access::bearer(request.headers()).is_some() {
        return next.run(request).await;
    }
    if comes_from_us(request.headers(), request.uri(), &state.settings) {
        return next.run(request).await;
    }
    let origin = request
        .headers()
        .get(header::ORIGIN)
        .map_or("another site".into(), |origin| {
            String::from_utf8_lossy(origin.as_bytes())
                .chars()
                .take(200)
                .collect::<String>()
        });
    ApiError::forbidden(
        "cross_site",
        format!(
            "this request was sent by a page of {origin}: log in there with an API token, \
or set public_url (GANDER_PUBLIC_URL) when that is the hub's own address"
        ),
    )
    .into_response()
}

/// What a browser says of a request's origin. Programs say nothing, and no page can make a browser
/// say nothing on an unsafe method.
fn comes_from_us(headers: &HeaderMap, uri: &Uri, settings: &ApiSettings) -> bool {
    let origin = headers
        .get(header::ORIGIN)
        .map(|origin| origin.to_str().unwrap_or("").to_ascii_lowercase());
    let is_public = |origin: &str| {
        settings
            .public_url
            .as_deref()
            .is_some_and(|url| origin_of(url).is_some_and(|public| public.eq_ignore_ascii_case(origin)))
    };
    if let Some(origin) = &origin
        && is_public(origin)
    {
        return true;
    }
    match headers.get("sec-fetch-site").map(HeaderValue::as_bytes) {
        // "none": the person themselves (address bar, bookmark).
        Some(b"same-origin" | b"none") => true,
        Some(_) => false,
        None => match origin {
            None => true,
            Some(origin) => {
                let asked = requested_host(headers, uri);
                origin.split_once("://").map(|(_, host)| host) == asked.as_deref()
            }
        },
    }
}

/// `https://gander.example.org` of `https://gander.example.org/monitor/`.
fn origin_of(url: &str) -> Option<&str> {
    let host_at = url.find("://")? + 3;
    let end = url[host_at..]
        .find('/')
        .map_or(url.len(), |slash| host_at + slash);
    Some(&url[..end])
}

async fn limit_time(request: Request, next: Next) -> Response {
    let limit = if request.method() == Method::DELETE && request.uri().path() == "/api/metrics" {
        DELETE_TIMEOUT
    } else {
        REQUEST_TIMEOUT
    };
    match tokio::time::timeout(limit, next.run(request)).await {
        Ok(response) => response,
        Err(_) => {
            tracing::warn!(seconds = limit.as_secs(), "a request took too long");
            ApiError::unavailable(
                "timeout",
                format!("this took longer than {} seconds: try again", limit.as_secs()),
            )
            .into_response()
        }
    }
}

/// 405, in the one envelope.
pub(super) async fn method_not_allowed(method: Method, uri: Uri) -> ApiError {
    ApiError::new(
        StatusCode::METHOD_NOT_ALLOWED,
        "method_not_allowed",
        format!("{method} is not possible at {}: see /api/docs", uri.path()),
    )
}

/// 413.
pub(super) fn body_too_large(most_bytes: usize) -> ApiError {
    ApiError::new(
        StatusCode::PAYLOAD_TOO_LARGE,
        "body_too_large",
        format!("the request body is larger than {} KiB", most_bytes / 1024),
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    fn accepted(headers: &[(&'static str, &str)]) -> bool {
        let mut map = HeaderMap::new();
        for (name, value) in headers {
            map.insert(*name, value.parse().unwrap());
        }
        let settings = ApiSettings {
            public_url: Some("https://gander.example.org/".into()),
            ..ApiSettings::default()
        };
        comes_from_us(&map, &Uri::from_static("/api/login"), &settings)
    }

    #[test]
    fn a_request_of_another_site_is_seen() {
        let host = ("host", "10.0.0.5:8000");
        assert!(accepted(&[host]), "a program");
        assert!(
            accepted(&[host, ("origin", "http://10.0.0.5:8000")]),
            "our page over plain HTTP"
        );
        assert!(accepted(&[
            host,
            ("origin", "http://10.0.0.5:8000"),
            ("sec-fetch-site", "same-origin")
        ]));
        assert!(accepted(&[
            host,
            ("origin", "https://gander.example.org"),
            ("sec-fetch-site", "same-origin")
        ]));
        assert!(
            accepted(&[("host", "hub:8000"), ("origin", "https://gander.example.org")]),
            "behind a proxy"
        );
        assert!(!accepted(&[host, ("origin", "http://evil.example")]));
        assert!(!accepted(&[host, ("origin", "null")]));
        assert!(
            !accepted(&[host, ("origin", "http://10.0.0.5:9000")]),
            "another port is another origin"
        );
        assert!(!accepted(&[host, ("sec-fetch-site", "cross-site")]));
        assert!(!accepted(&[
            host,
            ("sec-fetch-site", "same-site"),
            ("origin", "http://10.0.0.5:8000")
        ]));
    }
}
