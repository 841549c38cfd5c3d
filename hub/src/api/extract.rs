//! What handlers take as arguments: the form of a body or a query string, and the id in a path.
//! Whatever is wrong with them comes in the one error envelope.

use axum::{
    body::Bytes,
    extract::{DefaultBodyLimit, FromRequest, FromRequestParts, Request},
    http::{StatusCode, header, request::Parts},
};

use super::{
    error::{ApiError, ApiResult},
    fault::Fault,
    form::{Form, excerpt},
    middleware,
};

/// The form of a JSON body.
#[derive(Debug)]
pub(super) struct Body(pub(super) Form);

impl<S: Send + Sync> FromRequest<S> for Body {
    type Rejection = ApiError;

    async fn from_request(request: Request, state: &S) -> ApiResult<Self> {
        form_of(request, state, middleware::MOST_BODY_BYTES)
            .await
            .map(Self)
    }
}

/// The form of a JSON body that carries whole files.
#[derive(Debug)]
pub(super) struct LargeBody(pub(super) Form);

/// An inventory of ten thousand hosts has a megabyte or two.
const MOST_LARGE_BODY_BYTES: usize = 8 * 1024 * 1024;

impl<S: Send + Sync> FromRequest<S> for LargeBody {
    type Rejection = ApiError;

    async fn from_request(mut request: Request, state: &S) -> ApiResult<Self> {
        DefaultBodyLimit::max(MOST_LARGE_BODY_BYTES).apply(&mut request);
        form_of(request, state, MOST_LARGE_BODY_BYTES).await.map(Self)
    }
}

async fn form_of<S: Send + Sync>(request: Request, state: &S, most_bytes: usize) -> ApiResult<Form> {
    let content_type = request
        .headers()
        .get(header::CONTENT_TYPE)
        .map(|value| String::from_utf8_lossy(value.as_bytes()).to_ascii_lowercase());
    let essence = content_type
        .as_deref()
        .map(|text| text.split(';').next().unwrap_or_default().trim());
    if !essence.is_some_and(|essence| essence == "application/json" || essence.ends_with("+json")) {
        let sent = content_type.map_or("there is none".to_owned(), |sent| {
            format!("it is {}", excerpt(&sent))
        });
        return Err(ApiError::new(
            StatusCode::UNSUPPORTED_MEDIA_TYPE,
            "unsupported_media_type",
            format!("the content type must be application/json; {sent}"),
        ));
    }
    let body = Bytes::from_request(request, state).await.map_err(|rejection| {
        if rejection.status() == StatusCode::PAYLOAD_TOO_LARGE {
            middleware::body_too_large(most_bytes)
        } else {
            ApiError::bad_request("the request body could not be read to its end")
        }
    })?;
    Form::from_json(&body)
}

/// The form of a query string.
#[derive(Debug)]
pub(super) struct Query(pub(super) Form);

impl<S: Send + Sync> FromRequestParts<S> for Query {
    type Rejection = ApiError;

    async fn from_request_parts(parts: &mut Parts, _state: &S) -> ApiResult<Self> {
        Form::from_query(parts.uri.query().unwrap_or_default()).map(Self)
    }
}

/// A row id in the path.
#[derive(Debug, Clone, Copy)]
pub(super) struct Id(pub(super) i64);

impl<S: Send + Sync> FromRequestParts<S> for Id {
    type Rejection = ApiError;

    async fn from_request_parts(parts: &mut Parts, state: &S) -> ApiResult<Self> {
        let axum::extract::Path(text) = axum::extract::Path::<String>::from_request_parts(parts, state)
            .await
            .map_err(|_| ApiError::bad_request("the path is not valid UTF-8"))?;
        match text.parse() {
            Ok(id) => Ok(Self(id)),
            Err(_) => Err(ApiError::field(
                "id",
                Some(excerpt(&text).into()),
                Fault::no_id(&excerpt(&text)),
            )),
        }
    }
}

pub(super) fn url_decoded_pairs(query: &str) -> impl Iterator<Item = (String, String)> {
    query.split('&').filter(|pair| !pair.is_empty()).map(|pair| {
        let (name, value) = pair.split_once('=').unwrap_or((pair, ""));
        (url_decoded(name), url_decoded(value))
    })
}

/// `application/x-www-form-urlencoded`: `+` is a space, `%XX` a byte; bytes that are not UTF-8 become U+FFFD.
fn url_decoded(text: &str) -> String {
    let mut bytes = Vec::with_capacity(text.len());
    let mut rest = text.as_bytes();
    while let [first, tail @ ..] = rest {
        let hex = |byte: u8| {
            char::from(byte)
                .to_digit(16)
                .and_then(|digit| u8::try_from(digit).ok())
        };
        match (first, tail) {
            (b'+', _) => bytes.push(b' '),
            (b'%', [high, low, after @ ..]) if hex(*high).is_some() && hex(*low).is_some() => {
                bytes.push(hex(*high).unwrap_or(0) * 16 + hex(*low).unwrap_or(0));
                rest = after;
                continue;
            }
            _ => bytes.push(*first),
        }
        rest = tail;
    }
    String::from_utf8_lossy(&bytes).into_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_query_string_is_decoded_and_nonsense_left_alone() {
        let pairs: Vec<(String, String)> = url_decoded_pairs("a=1+2&b=%E4%B8%AD&&c&d=100%&e=%zz%4").collect();
        let pairs: Vec<(&str, &str)> = pairs
            .iter()
            .map(|(name, value)| (name.as_str(), value.as_str()))
            .collect();
        assert_eq!(
            pairs,
            [
                ("a", "1 2"),
                ("b", "中"),
                ("c", ""),
                ("d", "100%"),
                ("e", "%zz%4")
            ]
        );
    }
}
