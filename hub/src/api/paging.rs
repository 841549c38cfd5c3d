//! Pages and spans: the `Link` header (RFC 8288) and `hours` / `from` / `to`.

use axum::http::{HeaderMap, HeaderValue, Uri, header};

use crate::model::Timestamp;

use super::{fault::Fault, form::Form, words};

/// The `Link` header to the next page: this request with another cursor. Empty on the last page.
pub(super) fn link_header(uri: &Uri, next_cursor: Option<&str>) -> HeaderMap {
    let mut headers = HeaderMap::new();
    let Some(cursor) = next_cursor else { return headers };
    let kept = uri
        .query()
        .unwrap_or_default()
        .split('&')
        .filter(|pair| !pair.is_empty() && pair.split('=').next() != Some("cursor"));
    let query: Vec<String> = kept
        .map(str::to_owned)
        .chain([format!("cursor={}", words::url_encoded(cursor))])
        .collect();
    let link = format!("<{}?{}>; rel=\"next\"", uri.path(), query.join("&"));
    if let Ok(value) = HeaderValue::from_str(&link) {
        headers.insert(header::LINK, value);
    }
    headers
}

/// A span of time: first moment, and first moment after its end.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Span {
    pub(super) from: Option<Timestamp>,
    pub(super) to: Timestamp,
}

/// Reads `hours`, or `from` and `to`. Without any, the last `default_hours`, or from the beginning.
pub(super) fn span(form: &mut Form, now: Timestamp, default_hours: Option<f64>) -> Span {
    // 100 years: enough for anybody, and far from any overflow.
    let hours = form.number("hours", 0.001..=876_000.0).value();
    let from = form.moment("from").value();
    let to = form.moment("to").value();
    if hours.is_some() && (from.is_some() || to.is_some()) {
        form.refuse(
            "hours",
            Fault::not_together("from", "cannot be given together with from or to"),
        );
    }
    if let (Some(from), Some(to)) = (from, to)
        && from >= to
    {
        form.refuse("from", Fault::not_before("to"));
    }
    // `to` is the last moment wanted; the store takes the first one after the end.
    let end = to.unwrap_or(now).plus_millis(1);
    let hours = match (hours, from, to) {
        (Some(hours), _, _) => Some(hours),
        (None, None, None) => default_hours,
        _ => None,
    };
    #[expect(clippy::cast_possible_truncation, reason = "at most 876,000 hours")]
    let back = |hours: f64| end.plus_millis(-((hours * 3_600_000.0) as i64));
    Span {
        from: from.or(hours.map(back)),
        to: end,
    }
}

/// Cuts a list that was read one longer than wanted, and names the cursor of the next page if
/// there is one: the id of the last entry kept.
pub(super) fn cut<T>(list: &mut Vec<T>, limit: u32, id: impl Fn(&T) -> i64) -> Option<String> {
    let limit = usize::try_from(limit).unwrap_or(usize::MAX);
    if list.len() <= limit {
        return None;
    }
    list.truncate(limit);
    list.last().map(|last| id(last).to_string())
}
