//! The language of a request, and the few words of exported sheets. Alerts are put in words by
//! `alert::message`; everything else is translated in the dashboard, by code.

use axum::http::{HeaderMap, header};

pub use crate::alert::message::Language;
use crate::model::{Level, Status, alert::AlertPhase};

/// The language the client prefers, by `Accept-Language`.
#[must_use]
pub fn language_of(headers: &HeaderMap) -> Language {
    let accepted = headers
        .get(header::ACCEPT_LANGUAGE)
        .and_then(|value| value.to_str().ok());
    Language::from_accept_language(accepted.unwrap_or_default())
}

/// Picks one of two texts.
#[must_use]
pub fn pick<'a>(language: Language, english: &'a str, chinese: &'a str) -> &'a str {
    match language {
        Language::English => english,
        Language::Chinese => chinese,
    }
}

/// The name of a level in a sheet.
#[must_use]
pub fn level_name(level: Level, language: Language) -> &'static str {
    match level {
        Level::Warning => pick(language, "warning", "警告"),
        Level::Critical => pick(language, "critical", "严重"),
    }
}

/// The name of a server's status in a sheet.
#[must_use]
pub fn status_name(status: Status, language: Language) -> &'static str {
    match status {
        Status::Unknown => pick(language, "unknown", "未知"),
        Status::Online => pick(language, "online", "在线"),
        Status::Offline => pick(language, "offline", "离线"),
        Status::Paused => pick(language, "paused", "已暂停"),
    }
}

/// The name of an alert's phase in a sheet.
#[must_use]
pub fn phase_name(phase: AlertPhase, language: Language) -> &'static str {
    match phase {
        AlertPhase::Resolved => pick(language, "resolved", "已解决"),
        AlertPhase::Firing | AlertPhase::Pending => pick(language, "open", "未解决"),
    }
}

/// Percent-encodes everything but unreserved characters (RFC 3986).
#[must_use]
pub fn url_encoded(text: &str) -> String {
    use std::fmt::Write;
    text.bytes().fold(String::new(), |mut encoded, byte| {
        if byte.is_ascii_alphanumeric() || b"-._~".contains(&byte) {
            encoded.push(char::from(byte));
        } else {
            let _ = write!(encoded, "%{byte:02X}");
        }
        encoded
    })
}
