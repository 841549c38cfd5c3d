//! One request to the store: signed, tried again while that may help, and explained where it fails.

use std::time::Duration;

use base64::Engine as _;
use bytes::Bytes;
use md5::{Digest as _, Md5};
use reqwest::{
    Method, Response, StatusCode,
    header::{self, HeaderMap, HeaderValue},
};
use rusty_s3::S3Action;

use super::Bucket;

/// How long a signature is good for: a part must begin within it, not end.
const SIGNED_FOR: Duration = Duration::from_secs(3600);
pub(super) const CONNECT_TIME: Duration = Duration::from_secs(10);
/// Without a byte for so long, a connection is given up. Putting a large object together takes its time.
pub(super) const READ_TIME: Duration = Duration::from_secs(300);
/// So often a request is sent before its failure is one.
pub(super) const TRIES: u32 = 5;
/// The wait before the second try; each further one waits twice as long.
const FIRST_WAIT: Duration = Duration::from_millis(500);
const CONTENT_MD5: &str = "content-md5";
/// Of an answer that is a text, at most this much is read: a list of 1,000 names has a quarter of it.
const MOST_ANSWER: usize = 2 << 20;
/// Of what a store says for a reason, this much is shown.
const MOST_REASON: usize = 300;

/// What the store answered.
pub(super) struct Answer {
    headers: HeaderMap,
    text: String,
}

impl Answer {
    pub(super) fn text(&self) -> &str {
        self.text.trim_start()
    }

    /// The tag of what was stored, without its quotes.
    pub(super) fn etag(&self) -> Option<&str> {
        let tag = self.headers.get(header::ETAG)?.to_str().ok()?;
        Some(tag.trim_start_matches("W/").trim_matches('"'))
    }

    pub(super) fn length(&self) -> Option<u64> {
        self.headers
            .get(header::CONTENT_LENGTH)?
            .to_str()
            .ok()?
            .parse()
            .ok()
    }
}

/// Why the store did not do what it was asked.
#[derive(Debug, thiserror::Error)]
#[error("{message}")]
pub(super) struct Refused {
    message: String,
    status: Option<StatusCode>,
    /// The store's word for it: `NoSuchUpload`.
    code: String,
}

impl Refused {
    pub(super) fn is_forbidden(&self) -> bool {
        self.status == Some(StatusCode::FORBIDDEN) && self.code == "AccessDenied"
    }

    /// Whether there is no such object.
    pub(super) fn is_missing(&self) -> bool {
        self.status == Some(StatusCode::NOT_FOUND) && self.code != "NoSuchBucket"
    }

    /// Whether the store was there and said no.
    pub(super) fn is_answer(&self) -> bool {
        self.status.is_some()
    }

    /// Whether the same request may go through a little later.
    pub(super) fn may_pass(&self) -> bool {
        self.status.is_none_or(|status| {
            status.is_server_error()
                || status == StatusCode::TOO_MANY_REQUESTS
                || status == StatusCode::REQUEST_TIMEOUT
                || self.code == "RequestTimeout"
        })
    }
}

impl Bucket {
    /// Sends a request and reads the answer, which is short.
    pub(super) async fn ask<'a, A: S3Action<'a>>(
        &self,
        action: &A,
        body: Option<Bytes>,
    ) -> Result<Answer, Refused> {
        self.ask_with(action, HeaderMap::new(), body).await
    }

    /// Sends a body with its MD5, which the store compares, and reads the answer.
    pub(super) async fn send<'a, A: S3Action<'a>>(
        &self,
        mut action: A,
        body: Bytes,
    ) -> Result<Answer, Refused> {
        let digest = base64::prelude::BASE64_STANDARD.encode(Md5::digest(&body));
        let mut headers = HeaderMap::new();
        if let Ok(value) = HeaderValue::from_str(&digest) {
            headers.insert(CONTENT_MD5, value);
            // What is signed must be sent, and the other way round.
            action.headers_mut().insert(CONTENT_MD5, digest);
        }
        self.ask_with(&action, headers, Some(body)).await
    }

    async fn ask_with<'a, A: S3Action<'a>>(
        &self,
        action: &A,
        headers: HeaderMap,
        body: Option<Bytes>,
    ) -> Result<Answer, Refused> {
        let mut tries = 0;
        loop {
            let refused = match self.ask_once(action, headers.clone(), body.clone()).await {
                Ok(answer) => return Ok(answer),
                Err(refused) => refused,
            };
            tries += 1;
            if tries == TRIES || !refused.may_pass() {
                return Err(refused);
            }
            let wait = pause(tries);
            tracing::info!(reason = %refused, wait_ms = wait.as_millis() as u64, "the bucket is asked again");
            tokio::time::sleep(wait).await;
        }
    }

    async fn ask_once<'a, A: S3Action<'a>>(
        &self,
        action: &A,
        headers: HeaderMap,
        body: Option<Bytes>,
    ) -> Result<Answer, Refused> {
        let answer = self.open(action, headers, body).await?;
        let headers = answer.headers().clone();
        let text = text(answer).await.map_err(|error| self.unreachable(error))?;
        // Some answers begin well and turn out to be an error: putting an object together takes long.
        if text.contains("<Error>") {
            return Err(self.refused(StatusCode::INTERNAL_SERVER_ERROR, &HeaderMap::new(), &text));
        }
        Ok(Answer { headers, text })
    }

    /// Sends a request once; answers when the answer has begun and is a good one.
    pub(super) async fn open<'a, A: S3Action<'a>>(
        &self,
        action: &A,
        headers: HeaderMap,
        body: Option<Bytes>,
    ) -> Result<Response, Refused> {
        let method = match A::METHOD {
            rusty_s3::Method::Head => Method::HEAD,
            rusty_s3::Method::Get => Method::GET,
            rusty_s3::Method::Post => Method::POST,
            rusty_s3::Method::Put => Method::PUT,
            rusty_s3::Method::Delete => Method::DELETE,
        };
        let mut request = self
            .client
            .request(method, action.sign(SIGNED_FOR))
            .headers(headers);
        if let Some(body) = body {
            request = request.body(body);
        }
        let answer = request.send().await.map_err(|error| self.unreachable(error))?;
        let status = answer.status();
        if status.is_success() {
            return Ok(answer);
        }
        let headers = answer.headers().clone();
        let said = text(answer).await.unwrap_or_default();
        Err(self.refused(status, &headers, &said))
    }

    /// No answer, or one that broke off. Without the address, which holds the signature.
    pub(super) fn unreachable(&self, error: reqwest::Error) -> Refused {
        let error = error.without_url();
        let mut reason = error.to_string();
        let mut source = std::error::Error::source(&error);
        while let Some(cause) = source {
            reason = format!("{reason}: {cause}");
            source = cause.source();
        }
        Refused {
            message: format!(
                "the store at {} did not answer ({reason}); check backup.s3_endpoint and the way there",
                self.config.endpoint
            ),
            status: None,
            code: String::new(),
        }
    }

    /// An answer that is not what S3 answers.
    pub(super) fn nonsense(&self, what: &str) -> Refused {
        Refused {
            message: format!(
                "{} answered {what}; is backup.s3_endpoint the address of an S3-compatible store?",
                self.config.endpoint
            ),
            status: Some(StatusCode::OK),
            code: String::new(),
        }
    }

    fn refused(&self, status: StatusCode, headers: &HeaderMap, said: &str) -> Refused {
        let code = element(said, "Code").unwrap_or_default();
        let reason = element(said, "Message").unwrap_or_default();
        let region = headers
            .get("x-amz-bucket-region")
            .and_then(|region| region.to_str().ok().map(str::to_owned))
            .or_else(|| element(said, "Region"));
        let config = &self.config;
        let fix = match (code.as_str(), status) {
            ("NoSuchBucket", _) => format!("make the bucket {}, or correct backup.s3_bucket", config.bucket),
            ("InvalidAccessKeyId", _) => "correct backup.s3_access_key".to_owned(),
            ("SignatureDoesNotMatch", _) => format!(
                "correct backup.s3_secret_key, or backup.s3_region, which is {}",
                config.region
            ),
            ("RequestTimeTooSkewed" | "RequestExpired", _) => "set this machine's clock".to_owned(),
            ("AuthorizationHeaderMalformed" | "PermanentRedirect" | "TemporaryRedirect", _)
            | (_, StatusCode::MOVED_PERMANENTLY | StatusCode::TEMPORARY_REDIRECT) => match region {
                Some(region) => {
                    format!("the bucket is in {region}: set backup.s3_region and backup.s3_endpoint to it")
                }
                None => "correct backup.s3_region and backup.s3_endpoint".to_owned(),
            },
            ("AccessDenied", _) | (_, StatusCode::FORBIDDEN | StatusCode::UNAUTHORIZED) => format!(
                "allow the key to list {} and to put, get, delete and abort objects under {}",
                config.bucket,
                if config.prefix.is_empty() {
                    "it"
                } else {
                    &config.prefix
                }
            ),
            ("QuotaExceeded" | "XMinioStorageFull" | "EntityTooLarge", _) => {
                "make room in the bucket, or keep fewer backups (backup.keep)".to_owned()
            }
            (_, StatusCode::NOT_FOUND) => "correct backup.s3_bucket or backup.s3_path_style".to_owned(),
            _ => String::new(),
        };
        let said = match (code.as_str(), reason.as_str()) {
            ("", "") => String::new(),
            (code, "") => format!(", {code}"),
            ("", reason) => format!(", {reason}"),
            (code, reason) => format!(", {code}: {}", reason.trim_end_matches('.')),
        };
        let fix = if fix.is_empty() { fix } else { format!("; {fix}") };
        Refused {
            message: format!("the store answered {status}{said}{fix}"),
            status: Some(status),
            code,
        }
    }
}

/// The wait before a try after so many.
pub(super) fn pause(tries: u32) -> Duration {
    FIRST_WAIT
        .saturating_mul(1 << tries.saturating_sub(1).min(6))
        .mul_f64(0.75 + rand::random::<f64>() / 2.0)
}

/// The text of an element, if there is one, as a person may be shown it.
pub(super) fn element(xml: &str, name: &str) -> Option<String> {
    let (_, rest) = xml.split_once(&format!("<{name}>"))?;
    let (text, _) = rest.split_once("</")?;
    let plain = text
        .replace("&quot;", "\"")
        .replace("&lt;", "<")
        .replace("&gt;", ">")
        .replace("&apos;", "'")
        .replace("&amp;", "&");
    Some(
        plain
            .chars()
            .filter(|c| !c.is_control())
            .take(MOST_REASON)
            .collect(),
    )
}

/// A list with the namespace that Amazon's has: other stores have an older one, or none.
pub(super) fn with_namespace(xml: &str) -> String {
    const ROOT: &str = "<ListBucketResult";
    let Some((before, rest)) = xml.split_once(ROOT) else {
        return xml.to_owned();
    };
    let Some((_, content)) = rest.split_once('>') else {
        return xml.to_owned();
    };
    format!("{before}{ROOT} xmlns=\"http://s3.amazonaws.com/doc/2006-03-01/\">{content}")
}

async fn text(mut answer: Response) -> reqwest::Result<String> {
    let mut text = Vec::new();
    while let Some(chunk) = answer.chunk().await? {
        text.extend_from_slice(&chunk);
        if text.len() > MOST_ANSWER {
            text.truncate(MOST_ANSWER);
            break;
        }
    }
    Ok(String::from_utf8_lossy(&text).into_owned())
}
