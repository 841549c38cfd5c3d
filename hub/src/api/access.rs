//! Who is asking, and whether they may: the guards that [`super::table`] lays on every route.

use axum::{
    extract::{FromRequestParts, Request},
    http::{HeaderMap, header, request::Parts},
    middleware::Next,
    response::{IntoResponse, Response},
};

use crate::{
    model::{Role, Timestamp, User, event::Actor, user::ApiToken},
    store::TokenHash,
};

use super::{
    client::Client,
    dto::people::{SessionAnswer, SessionUser, Via},
    error::{ApiError, ApiResult},
    session_store,
    state::ApiState,
};

/// Who is asking. A handler takes it as an argument; on an open route there is none.
#[derive(Debug, Clone)]
pub(super) struct Caller {
    /// Who.
    pub(super) identity: Identity,
    /// The hash of the session's or API token that proved it.
    pub(super) proof: TokenHash,
}

/// Somebody who logged in, or a program.
#[derive(Debug, Clone)]
pub(super) enum Identity {
    User(User),
    Token(ApiToken),
}

impl Caller {
    pub(super) fn role(&self) -> Role {
        match &self.identity {
            Identity::User(user) => user.role,
            Identity::Token(token) => token.role,
        }
    }

    /// For the record.
    pub(super) fn actor(&self) -> Actor {
        match &self.identity {
            Identity::User(user) => Actor::user(&user.username),
            Identity::Token(token) => Actor::token(&token.name),
        }
    }

    pub(super) fn describe(&self) -> SessionAnswer {
        match &self.identity {
            Identity::User(user) => SessionAnswer {
                user: SessionUser::from(user),
                via: Via::Session,
            },
            Identity::Token(token) => SessionAnswer {
                user: SessionUser {
                    id: None,
                    username: token.name.clone(),
                    role: token.role,
                },
                via: Via::Token,
            },
        }
    }

    /// The user, for what only a person who logged in can do.
    pub(super) fn user(&self) -> ApiResult<&User> {
        match &self.identity {
            Identity::User(user) => Ok(user),
            Identity::Token(_) => Err(ApiError::forbidden(
                "session_required",
                "an API token has no password and no session: log in with a name and a password for this",
            )),
        }
    }

    /// Whether the caller still is who they were, with the same role: asked again by what lasts.
    pub(super) async fn still_holds(&self, state: &ApiState) -> ApiResult<bool> {
        let now = Timestamp::now();
        Ok(match &self.identity {
            Identity::User(user) => state
                .store
                .session(self.proof, now)
                .await?
                .is_some_and(|current| current.id == user.id && current.role == user.role),
            Identity::Token(token) => state
                .store
                .token(self.proof, now)
                .await?
                .is_some_and(|current| current.id == token.id && current.role == token.role),
        })
    }
}

impl<S: Send + Sync> FromRequestParts<S> for Caller {
    type Rejection = ApiError;

    async fn from_request_parts(parts: &mut Parts, _state: &S) -> ApiResult<Self> {
        parts
            .extensions
            .get::<Self>()
            .cloned()
            .ok_or_else(|| ApiError::internal(&"a handler asks who is calling on a route without a guard"))
    }
}

impl<S: Send + Sync> FromRequestParts<S> for Client {
    type Rejection = ApiError;

    async fn from_request_parts(parts: &mut Parts, _state: &S) -> ApiResult<Self> {
        parts
            .extensions
            .get::<Self>()
            .copied()
            .ok_or_else(|| ApiError::internal(&"a request came by the layer that notes its address"))
    }
}

/// The bearer token of a request, if it has one.
pub(super) fn bearer(headers: &HeaderMap) -> Option<&str> {
    let (scheme, token) = headers
        .get(header::AUTHORIZATION)?
        .to_str()
        .ok()?
        .split_once(' ')?;
    scheme.eq_ignore_ascii_case("bearer").then(|| token.trim())
}

/// Who is asking: a bearer token first, else the cookie.
async fn authenticate(state: &ApiState, headers: &HeaderMap, client: Client) -> ApiResult<Caller> {
    let now = Timestamp::now();
    if headers.contains_key(header::AUTHORIZATION) {
        let proof = TokenHash::of(bearer(headers).ok_or_else(ApiError::login_required)?);
        let token = state.store.token(proof, now).await?.ok_or_else(|| {
            ApiError::unauthorized(
                "invalid_token",
                "this API token is unknown, removed or expired: make a new one",
            )
        })?;
        return Ok(Caller {
            identity: Identity::Token(token),
            proof,
        });
    }
    let proof = session_store::token_of(headers, client).ok_or_else(ApiError::login_required)?;
    let user = state
        .store
        .session(proof, now)
        .await?
        .ok_or_else(ApiError::login_required)?;
    session_store::renew(state, proof, now).await?;
    Ok(Caller {
        identity: Identity::User(user),
        proof,
    })
}

pub(super) async fn open(request: Request, next: Next) -> Response {
    next.run(request).await
}

pub(super) async fn viewer(request: Request, next: Next) -> Response {
    guard(Role::Viewer, request, next).await
}

pub(super) async fn admin(request: Request, next: Next) -> Response {
    guard(Role::Admin, request, next).await
}

async fn guard(least: Role, mut request: Request, next: Next) -> Response {
    let extensions = request.extensions();
    let (Some(state), Some(client)) = (
        extensions.get::<ApiState>().cloned(),
        extensions.get::<Client>().copied(),
    ) else {
        return ApiError::internal(&"a guarded route was reached without the outer layers").into_response();
    };
    match admit(&state, least, request.headers().clone(), client).await {
        Ok(caller) => {
            request.extensions_mut().insert(caller);
            next.run(request).await
        }
        Err(error) => error.into_response(),
    }
}

async fn admit(state: &ApiState, least: Role, headers: HeaderMap, client: Client) -> ApiResult<Caller> {
    let caller = authenticate(state, &headers, client).await?;
    if caller.role() < least {
        return Err(ApiError::admin_required());
    }
    Ok(caller)
}
