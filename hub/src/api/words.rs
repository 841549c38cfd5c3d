//! The language of a request. Alerts are put in words by `alert::message`, exported sheets by
//! `sheet::words`; everything else is translated in the dashboard, by code.

use axum::http::{HeaderMap, header};

pub use crate::alert::message::Language;

/// The language the client prefers, by `Accept-Language`.
#[must_use]
pub fn language_of(headers: &HeaderMap) -> Language {
    let accepted = headers
        .get(header::ACCEPT_LANGUAGE)
        .and_then(|value| value.to_str().ok());
    Language::from_accept_language(accepted.unwrap_or_default())
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
