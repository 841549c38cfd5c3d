//! Who may use the hub.

use std::ops::RangeInclusive;

use serde::{Deserialize, Serialize};

use super::Timestamp;

/// Row id of a user.
#[derive(
    Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize, utoipa::ToSchema,
)]
#[serde(transparent)]
pub struct UserId(pub i64);

/// What somebody may do.
#[derive(
    Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize, utoipa::ToSchema,
)]
#[serde(rename_all = "lowercase")]
pub enum Role {
    /// Sees everything, changes nothing but their own password.
    Viewer,
    /// Sees and changes everything.
    Admin,
}

impl Role {
    /// The name in JSON, in the database and on the command line.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Viewer => "viewer",
            Self::Admin => "admin",
        }
    }
}

impl std::str::FromStr for Role {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        match text {
            "viewer" => Ok(Self::Viewer),
            "admin" => Ok(Self::Admin),
            other => Err(format!("role is \"{other}\"; it must be admin or viewer")),
        }
    }
}

/// Somebody who logs in with a name and a password.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, utoipa::ToSchema)]
pub struct User {
    /// Row id.
    pub id: UserId,
    /// Log-in name, unique.
    pub username: String,
    /// What they may do.
    pub role: Role,
    /// When the account was made.
    pub created_at: Timestamp,
}

/// A token for programs, as it may be shown: without its secret, of which the hub keeps only a hash.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, utoipa::ToSchema)]
pub struct ApiToken {
    /// Row id.
    pub id: i64,
    /// Unique.
    pub name: String,
    /// What its bearer may do.
    pub role: Role,
    /// When it was made.
    #[schema(value_type = String, format = DateTime)]
    pub created_at: Timestamp,
    /// When it stops working; `None`: never.
    #[schema(value_type = Option<String>, format = DateTime)]
    pub expires_at: Option<Timestamp>,
}

/// Characters of a log-in name.
pub const USERNAME_LENGTH: RangeInclusive<usize> = 1..=64;
/// Characters of a password.
pub const PASSWORD_LENGTH: RangeInclusive<usize> = 8..=200;

/// Checks a log-in name: 1 to 64 letters (a to z), digits and `. _ - @`.
///
/// # Errors
/// What is wrong with it, to follow the name of the field: "is … ; it must …".
pub fn check_username(username: &str) -> Result<(), String> {
    let is_plain = username
        .chars()
        .all(|character| character.is_ascii_alphanumeric() || "._-@".contains(character));
    if is_plain && USERNAME_LENGTH.contains(&username.len()) {
        return Ok(());
    }
    Err(format!(
        "is \"{username}\"; it must be 1 to 64 letters (a to z), digits and . _ - @"
    ))
}

/// Checks a new password: of [`PASSWORD_LENGTH`] characters. The error does not repeat it.
///
/// # Errors
/// What is wrong with it, to follow the name of the field.
pub fn check_password(password: &str) -> Result<(), PasswordLength> {
    let length = password.chars().count();
    if PASSWORD_LENGTH.contains(&length) {
        Ok(())
    } else {
        Err(PasswordLength { length })
    }
}

/// A password of a length that is not allowed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error(
    "has {length} characters; it must have {least} to {most}",
    least = PASSWORD_LENGTH.start(),
    most = PASSWORD_LENGTH.end()
)]
pub struct PasswordLength {
    /// Its characters.
    pub length: usize,
}
