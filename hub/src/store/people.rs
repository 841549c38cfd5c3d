//! People.
use super::*;
use crate::model::*;
/// A random token of 160 bits: the prefix, then 32 letters and digits.
pub fn random_token(_prefix: &str) -> Result<Secret> {
    todo!()
}
impl Store {
    /// Makes an account.
    pub async fn create_user(
        &self,
        _username: &str,
        _password_hash: &str,
        _role: Role,
        _actor: &Actor,
        _now: Timestamp,
    ) -> Result<User> {
        todo!()
    }
    /// Makes the first account, an admin; `None` where there is an account already.
    pub async fn create_first_user(
        &self,
        _username: &str,
        _password_hash: &str,
        _now: Timestamp,
    ) -> Result<Option<User>> {
        todo!()
    }
    /// All accounts.
    pub async fn users(&self) -> Result<Vec<User>> {
        todo!()
    }
    /// With its password hash.
    pub async fn user_by_name(&self, _username: &str) -> Result<Option<(User, String)>> {
        todo!()
    }
    /// Ends sessions.
    pub async fn set_password(
        &self,
        _id: UserId,
        _password_hash: &str,
        _actor: &Actor,
        _now: Timestamp,
    ) -> Result<()> {
        todo!()
    }
    /// Role.
    pub async fn set_role(&self, _id: UserId, _role: Role, _actor: &Actor, _now: Timestamp) -> Result<User> {
        todo!()
    }
    /// Delete.
    pub async fn delete_user(&self, _id: UserId, _actor: &Actor, _now: Timestamp) -> Result<bool> {
        todo!()
    }
    /// Count.
    pub async fn count_users(&self) -> Result<u64> {
        todo!()
    }
    /// Session.
    pub async fn create_session(
        &self,
        _token: TokenHash,
        _user_id: UserId,
        _expires_at: Timestamp,
        _now: Timestamp,
    ) -> Result<()> {
        todo!()
    }
    /// Session.
    pub async fn session(&self, _token: TokenHash, _now: Timestamp) -> Result<Option<User>> {
        todo!()
    }
    /// Session.
    pub async fn delete_session(&self, _token: TokenHash) -> Result<bool> {
        todo!()
    }
    /// Sessions and tokens that ran out.
    pub async fn purge_expired(&self, _now: Timestamp) -> Result<u64> {
        todo!()
    }
    /// Token.
    pub async fn create_token(
        &self,
        _name: &str,
        _role: Role,
        _token: TokenHash,
        _expires_at: Option<Timestamp>,
        _actor: &Actor,
        _now: Timestamp,
    ) -> Result<ApiToken> {
        todo!()
    }
    /// Tokens.
    pub async fn tokens(&self) -> Result<Vec<ApiToken>> {
        todo!()
    }
    /// Token.
    pub async fn token(&self, _token: TokenHash, _now: Timestamp) -> Result<Option<ApiToken>> {
        todo!()
    }
    /// Token.
    pub async fn delete_token(&self, _id: i64, _actor: &Actor, _now: Timestamp) -> Result<bool> {
        todo!()
    }
}
