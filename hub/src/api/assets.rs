//! The dashboard's files, built by Vite into `web/dist` and embedded in a release (a debug build
//! reads them from the source tree, so that a rebuilt dashboard shows without a new hub).
//!
//! Files below `assets/` carry a hash of their content in their name and never change; everything
//! else is asked for again each time, by its ETag. Paths of the dashboard's own router get its one
//! page. `NAME.br` and `NAME.gz` beside a file are sent to clients that take them.

use axum::{
    http::{HeaderMap, HeaderValue, Method, StatusCode, Uri, header},
    response::{IntoResponse, Response},
};
use rust_embed::{EmbeddedFile, RustEmbed};

use super::error::ApiError;

#[derive(RustEmbed)]
#[folder = "../web/dist"]
#[allow_missing = true]
struct Files;

/// Where the dashboard's router shows a page. The last four are addresses of the original system.
const PAGES: [&str; 7] = [
    "",
    "login",
    "setup",
    "monitoring",
    "data-management",
    "monitoring.html",
    "data-management.html",
];
const PAGE_FOLDERS: [&str; 4] = ["servers", "alerts", "settings", "events"];

const NOT_BUILT: &str = "<!doctype html><html lang=\"en\"><meta charset=\"utf-8\"><title>gander</title>\
<h1>The dashboard is not built</h1><p>This is a development build of the hub without the dashboard's files. \
Run <code>make web</code> in the source tree, then reload this page (a release build needs to be built again).</p>\
<p>The interface works without it: <a href=\"/api/docs/\">/api/docs</a>.</p></html>";

/// Answers what no route answers: a file, the dashboard's page, or 404.
pub(super) async fn serve(method: Method, uri: Uri, headers: HeaderMap) -> Response {
    let path = uri.path().trim_start_matches('/');
    if path == "api" || path.starts_with("api/") {
        return ApiError::new(
            StatusCode::NOT_FOUND,
            "not_found",
            format!("there is no {} in this interface: see /api/docs", uri.path()),
        )
        .into_response();
    }
    if method != Method::GET && method != Method::HEAD {
        return super::middleware::method_not_allowed(method, uri)
            .await
            .into_response();
    }
    // The page is asked for by the paths of its router, never by its file name.
    if path != "index.html"
        && let Some(answer) = file(path, &headers)
    {
        return answer;
    }
    if is_page(path) || path == "index.html" {
        return file("index.html", &headers).unwrap_or_else(not_built);
    }
    ApiError::new(
        StatusCode::NOT_FOUND,
        "not_found",
        format!("there is no {}", uri.path()),
    )
    .into_response()
}

/// Whether the dashboard's own router knows the path.
fn is_page(path: &str) -> bool {
    let path = path.trim_end_matches('/');
    let folder = path.split('/').next().unwrap_or_default();
    PAGES.contains(&path) || PAGE_FOLDERS.contains(&folder)
}

fn not_built() -> Response {
    let mut response = (StatusCode::SERVICE_UNAVAILABLE, axum::response::Html(NOT_BUILT)).into_response();
    response
        .headers_mut()
        .insert(header::CACHE_CONTROL, HeaderValue::from_static("no-store"));
    response
}

fn file(path: &str, headers: &HeaderMap) -> Option<Response> {
    // Packed files are only sent in place of their originals.
    if path.is_empty() || path.ends_with(".br") || path.ends_with(".gz") {
        return None;
    }
    let plain = Files::get(path)?;
    let mime = plain.metadata.mimetype().to_owned();
    let (packing, body) =
        packed(path, headers).map_or((None, plain), |(packing, file)| (Some(packing), file));
    let tag = entity_tag(&body, packing);
    let is_current = headers
        .get_all(header::IF_NONE_MATCH)
        .iter()
        .filter_map(|value| value.to_str().ok())
        .flat_map(|value| value.split(','))
        .any(|known| known.trim().trim_start_matches("W/") == tag);

    let mut response = if is_current {
        StatusCode::NOT_MODIFIED.into_response()
    } else {
        body.data.into_owned().into_response()
    };
    let answer = response.headers_mut();
    let cache = if path.starts_with("assets/") {
        "public, max-age=31536000, immutable"
    } else {
        "no-cache"
    };
    answer.insert(header::CACHE_CONTROL, HeaderValue::from_static(cache));
    answer.insert(header::VARY, HeaderValue::from_static("accept-encoding"));
    if let Ok(tag) = HeaderValue::from_str(&tag) {
        answer.insert(header::ETAG, tag);
    }
    if !is_current {
        let mime = if mime.starts_with("text/") || mime == "application/javascript" {
            format!("{mime}; charset=utf-8")
        } else {
            mime
        };
        if let Ok(mime) = HeaderValue::from_str(&mime) {
            answer.insert(header::CONTENT_TYPE, mime);
        }
        if let Some(packing) = packing {
            answer.insert(header::CONTENT_ENCODING, HeaderValue::from_static(packing));
        }
    }
    Some(response)
}

/// The best packed form that there is and the client takes.
fn packed(path: &str, headers: &HeaderMap) -> Option<(&'static str, EmbeddedFile)> {
    let accepted = headers
        .get(header::ACCEPT_ENCODING)?
        .to_str()
        .ok()?
        .to_ascii_lowercase();
    let takes = |packing: &str| {
        accepted.split(',').any(|entry| {
            let mut parts = entry.split(';').map(str::trim);
            parts.next() == Some(packing)
                && !parts.any(|part| matches!(part, "q=0" | "q=0.0" | "q=0.00" | "q=0.000"))
        })
    };
    [("br", "br"), ("gzip", "gz")]
        .into_iter()
        .filter(|(packing, _)| takes(packing))
        .find_map(|(packing, ending)| Some((packing, Files::get(&format!("{path}.{ending}"))?)))
}

fn entity_tag(file: &EmbeddedFile, packing: Option<&str>) -> String {
    use std::fmt::Write;
    let hash = file.metadata.sha256_hash();
    let hex = hash.iter().take(16).fold(String::new(), |mut text, byte| {
        let _ = write!(text, "{byte:02x}");
        text
    });
    format!(
        "\"{hex}{}\"",
        packing.map(|packing| format!("-{packing}")).unwrap_or_default()
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_dashboards_own_paths_get_its_page_and_others_do_not() {
        for path in [
            "",
            "login",
            "setup",
            "servers/7",
            "servers",
            "alerts/",
            "monitoring.html",
            "data-management.html",
        ] {
            assert!(is_page(path), "{path}");
        }
        for path in [
            "favicon.ico",
            "robots.txt",
            "wp-login.php",
            "assets/x.js",
            "serversx",
            ".env",
        ] {
            assert!(!is_page(path), "{path}");
        }
    }
}
