//! Opening.
use super::*;
use std::path::Path;
/// The store; a cheap handle, clone it freely.
#[derive(Clone)]
pub struct Store {}
impl Store {
    /// Opens.
    pub async fn open(_path: &Path, _key: MasterKey) -> Result<Self> {
        todo!()
    }
    /// Closes.
    pub async fn close(&self) {
        todo!()
    }
    /// A real write and read.
    pub async fn health_check(&self) -> Result<()> {
        todo!()
    }
    /// A small text kept under a key.
    pub async fn get_meta(&self, _key: &str) -> Result<Option<String>> {
        todo!()
    }
    /// Keeps a small text under a key; `None` removes it.
    pub async fn set_meta(&self, _key: &str, _value: Option<&str>) -> Result<()> {
        todo!()
    }
}
