//! The one error of the HTTP interface, and its policy.
//!
//! * Every answer that is not a success is `{"error":{"code","message","details"?}}`. The code is
//!   stable, for programs and translations; the message is for a person and names the field or
//!   thing, the value and the fix.
//! * What the client can mend is 4xx and not logged as an error. What it cannot is 5xx: logged
//!   here, once, with its source; the client gets no internals.
//! * 400 the request is not readable · 401 log in · 403 not allowed · 404 no such thing ·
//!   405 wrong method · 409 it clashes with what exists · 413 too big · 415 not JSON ·
//!   422 readable, but a field is wrong (every wrong field is listed) · 429 too often ·
//!   500 our fault · 503 not now.
//! * A secret is never part of an error.

use axum::{
    Json,
    http::{HeaderValue, StatusCode, header},
    response::{IntoResponse, Response},
};

use crate::{ingest::IngestError, store::StoreError};

use super::{
    dto::system::{ErrorBody, ErrorDetails, ErrorObject, FieldError},
    fault::{Fault, FieldCode},
};

/// An error on its way to the client.
#[derive(Debug, Clone)]
pub struct ApiError {
    status: StatusCode,
    code: &'static str,
    message: String,
    details: Option<Box<ErrorDetails>>,
}

/// What a handler returns.
pub type ApiResult<T> = Result<T, ApiError>;

impl ApiError {
    /// An error of any kind.
    #[must_use]
    pub fn new(status: StatusCode, code: &'static str, message: impl Into<String>) -> Self {
        Self {
            status,
            code,
            message: message.into(),
            details: None,
        }
    }

    fn with(mut self, details: ErrorDetails) -> Self {
        self.details = Some(Box::new(details));
        self
    }

    /// 400: the body is not JSON. Line and column count from 1.
    #[must_use]
    pub fn invalid_json(error: &serde_json::Error) -> Self {
        Self::new(
            StatusCode::BAD_REQUEST,
            "invalid_json",
            format!("the request body is not valid JSON: {error}"),
        )
        .with(ErrorDetails {
            line: Some(error.line()),
            column: Some(error.column()),
            ..ErrorDetails::default()
        })
    }

    /// 400: the request makes no sense in a way that is no single field's fault.
    #[must_use]
    pub fn bad_request(message: impl Into<String>) -> Self {
        Self::new(StatusCode::BAD_REQUEST, "bad_request", message)
    }

    /// 422: these fields are wrong.
    #[must_use]
    pub fn validation(fields: Vec<FieldError>) -> Self {
        let message = match fields.as_slice() {
            [] => "the request is not valid".to_owned(),
            [only] => format!("{}: {}", only.field, only.message),
            [first, rest @ ..] => {
                format!("{}: {} (and {} more)", first.field, first.message, rest.len())
            }
        };
        Self::new(StatusCode::UNPROCESSABLE_ENTITY, "validation_failed", message).with(ErrorDetails {
            fields,
            ..ErrorDetails::default()
        })
    }

    /// 422: this field is wrong.
    #[must_use]
    pub(super) fn field(field: &str, value: Option<serde_json::Value>, fault: impl Into<Fault>) -> Self {
        Self::validation(vec![fault.into().of(field, value)])
    }

    /// 401: nobody is logged in.
    #[must_use]
    pub fn login_required() -> Self {
        Self::new(
            StatusCode::UNAUTHORIZED,
            "login_required",
            "log in, or send an API token as \"Authorization: Bearer gdr_…\"",
        )
    }

    /// 401 for another reason.
    #[must_use]
    pub fn unauthorized(code: &'static str, message: impl Into<String>) -> Self {
        Self::new(StatusCode::UNAUTHORIZED, code, message)
    }

    /// 403: logged in, but not allowed.
    #[must_use]
    pub fn admin_required() -> Self {
        Self::new(
            StatusCode::FORBIDDEN,
            "admin_required",
            "this needs the role admin; yours is viewer",
        )
    }

    /// 403 for another reason.
    #[must_use]
    pub fn forbidden(code: &'static str, message: impl Into<String>) -> Self {
        Self::new(StatusCode::FORBIDDEN, code, message)
    }

    /// 404: `what` with this id does not exist.
    #[must_use]
    pub fn not_found(what: &str, id: impl std::fmt::Display) -> Self {
        Self::new(
            StatusCode::NOT_FOUND,
            "not_found",
            format!("there is no {what} {id}"),
        )
    }

    /// 409: it clashes with what exists.
    #[must_use]
    pub fn conflict(code: &'static str, message: impl Into<String>) -> Self {
        Self::new(StatusCode::CONFLICT, code, message)
    }

    /// 429: try again in so many seconds.
    #[must_use]
    pub fn too_many(code: &'static str, message: impl Into<String>, retry_after_seconds: u64) -> Self {
        Self::new(StatusCode::TOO_MANY_REQUESTS, code, message).with(ErrorDetails {
            retry_after_seconds: Some(retry_after_seconds),
            ..ErrorDetails::default()
        })
    }

    /// 503: not now.
    #[must_use]
    pub fn unavailable(code: &'static str, message: impl Into<String>) -> Self {
        Self::new(StatusCode::SERVICE_UNAVAILABLE, code, message)
    }

    /// 500: our fault. Logged here with its source; the client learns only that it happened.
    #[must_use]
    pub fn internal(source: &dyn std::fmt::Display) -> Self {
        tracing::error!(error = %source, "a request failed");
        Self::new(
            StatusCode::INTERNAL_SERVER_ERROR,
            "internal_error",
            "the hub could not do this; its log says why (see x-request-id)",
        )
    }

    /// The HTTP status it answers with.
    #[must_use]
    pub fn status(&self) -> StatusCode {
        self.status
    }

    /// Its stable code.
    #[must_use]
    pub fn code(&self) -> &'static str {
        self.code
    }

    /// Its sentence.
    #[must_use]
    pub fn message(&self) -> &str {
        &self.message
    }
}

impl IntoResponse for ApiError {
    fn into_response(self) -> Response {
        let retry_after = self
            .details
            .as_ref()
            .and_then(|details| details.retry_after_seconds);
        let body = ErrorBody {
            error: ErrorObject {
                code: self.code.to_owned(),
                message: self.message,
                details: self.details.map(|details| *details),
            },
        };
        let mut response = (self.status, Json(body)).into_response();
        let headers = response.headers_mut();
        headers.insert(header::CACHE_CONTROL, HeaderValue::from_static("no-store"));
        if let Some(seconds) = retry_after {
            headers.insert(header::RETRY_AFTER, HeaderValue::from(seconds));
        }
        if self.status == StatusCode::UNAUTHORIZED {
            headers.insert(header::WWW_AUTHENTICATE, HeaderValue::from_static("Bearer"));
        }
        response
    }
}

impl From<StoreError> for ApiError {
    fn from(error: StoreError) -> Self {
        let message = error.to_string();
        match error {
            StoreError::NameTaken { name } => {
                Self::conflict("name_taken", message.clone()).with(ErrorDetails {
                    fields: vec![Fault::taken().of("name", Some(name.into()))],
                    ..ErrorDetails::default()
                })
            }
            StoreError::NotFound { what, id } => Self::not_found(what, id),
            StoreError::JumpHostInUse { .. } => Self::conflict("jump_host_in_use", message),
            StoreError::JumpHost {
                jump_server_id,
                reason,
            } => Self::field(
                "jump_server_id",
                Some(jump_server_id.into()),
                Fault::because(FieldCode::JumpHost, reason),
            ),
            StoreError::CredentialInUse { .. } => Self::conflict("credential_in_use", message),
            StoreError::NoSuchCredential { id } => {
                Self::field("credential_id", Some(id.0.into()), Fault::no_such_credential())
            }
            StoreError::AuthorityTaken { .. } => Self::conflict("authority_taken", message),
            StoreError::LastAdmin { .. } => Self::conflict("last_admin", message),
            // What the operator can mend is said to them; the log has it too.
            StoreError::Full | StoreError::ReadOnly { .. } | StoreError::Busy => {
                tracing::error!(error = %error, "the store refused a request");
                let code = match error {
                    StoreError::Full => "disk_full",
                    StoreError::ReadOnly { .. } => "database_read_only",
                    _ => "database_busy",
                };
                Self::unavailable(code, message)
            }
            StoreError::Unseal { .. } => {
                tracing::error!(error = %error, "a stored secret cannot be opened");
                Self::unavailable("secret_unreadable", message)
            }
            other => Self::internal(&other),
        }
    }
}

impl From<IngestError> for ApiError {
    fn from(error: IngestError) -> Self {
        let code = match error {
            IngestError::StoreFailing(_) => "database_failing",
            IngestError::Stopped => "shutting_down",
        };
        Self::unavailable(code, error.to_string())
    }
}
