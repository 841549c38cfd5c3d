//! Set-up, log-in, users and API tokens.

use serde::Serialize;
use utoipa::ToSchema;

use crate::model::{Role, Timestamp, User, user::ApiToken};

/// Whether the hub still waits for its first admin.
#[derive(Debug, Clone, Serialize, ToSchema)]
pub struct SetupAnswer {
    /// `true`: open the one-time link the hub printed when it started.
    pub required: bool,
}

/// The first admin, with the token of the one-time link.
#[derive(Debug, ToSchema)]
pub struct SetupRequest {
    /// The token of the link.
    #[schema(write_only)]
    pub token: String,
    /// Log-in name: 1 to 64 letters, digits, `.`, `_`, `-` or `@`.
    #[schema(min_length = 1, max_length = 64)]
    pub username: String,
    /// Password, 8 to 200 characters.
    #[schema(min_length = 8, max_length = 200, write_only)]
    pub password: String,
}

/// A name and its password.
#[derive(Debug, ToSchema)]
pub struct LoginRequest {
    /// Log-in name.
    pub username: String,
    /// Password.
    #[schema(write_only)]
    pub password: String,
}

/// Who is asking.
#[derive(Debug, Clone, Serialize, ToSchema)]
pub struct SessionAnswer {
    /// The user, or what an API token stands for.
    pub user: SessionUser,
    /// How they proved it.
    pub via: Via,
}

/// The user of a session, or an API token seen as one.
#[derive(Debug, Clone, Serialize, ToSchema)]
pub struct SessionUser {
    /// Row id; null for an API token.
    pub id: Option<i64>,
    /// Log-in name, or the token's name.
    pub username: String,
    /// What they may do.
    pub role: Role,
}

/// How a caller proved who they are.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, ToSchema)]
#[serde(rename_all = "lowercase")]
pub enum Via {
    /// A cookie from logging in.
    Session,
    /// An API token.
    Token,
}

/// A new password for oneself; ends all other sessions.
#[derive(Debug, ToSchema)]
pub struct PasswordRequest {
    /// The password up to now.
    #[schema(write_only)]
    pub current_password: String,
    /// The new one, 8 to 200 characters.
    #[schema(min_length = 8, max_length = 200, write_only)]
    pub new_password: String,
}

/// A user to make.
#[derive(Debug, ToSchema)]
pub struct UserRequest {
    /// Log-in name: 1 to 64 letters, digits, `.`, `_`, `-` or `@`; unique.
    #[schema(min_length = 1, max_length = 64)]
    pub username: String,
    /// Password, 8 to 200 characters.
    #[schema(min_length = 8, max_length = 200, write_only)]
    pub password: String,
    /// What they may do.
    #[schema(required = false, default = "viewer")]
    pub role: Role,
}

/// What to change of a user. A new password ends their sessions.
#[derive(Debug, ToSchema)]
pub struct UserPatchRequest {
    /// What they may do.
    #[schema(required = false)]
    pub role: Role,
    /// Password, 8 to 200 characters.
    #[schema(required = false, min_length = 8, max_length = 200, write_only)]
    pub password: String,
}

/// An API token to make.
#[derive(Debug, ToSchema)]
pub struct TokenRequest {
    /// What it is for; unique, 1 to 100 characters.
    #[schema(min_length = 1, max_length = 100, example = "grafana")]
    pub name: String,
    /// What it may do.
    #[schema(required = false, default = "viewer")]
    pub role: Role,
    /// When it stops working; null never.
    #[schema(required = false, nullable)]
    pub expires_at: Option<Timestamp>,
}

/// A fresh API token. The only time its text is shown.
#[derive(Debug, Clone, Serialize, ToSchema)]
pub struct NewTokenAnswer {
    /// The token: send it as `Authorization: Bearer gdr_…`.
    pub token: String,
    /// What is stored of it.
    pub info: ApiToken,
}

impl From<&User> for SessionUser {
    fn from(user: &User) -> Self {
        Self {
            id: Some(user.id.0),
            username: user.username.clone(),
            role: user.role,
        }
    }
}
