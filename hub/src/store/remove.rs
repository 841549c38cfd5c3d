//! Remove.
use super::*;
use crate::model::*;
impl Store {
    /// Count.
    pub async fn count_samples(&self, _range: &DeleteRange) -> Result<u64> {
        todo!()
    }
    /// Delete.
    pub async fn delete_samples(&self, _range: &DeleteRange, _actor: &Actor, _now: Timestamp) -> Result<u64> {
        todo!()
    }
    /// Retention of samples.
    pub async fn purge(&self, _older_than: Timestamp) -> Result<u64> {
        todo!()
    }
    /// Retention of events and resolved alerts.
    pub async fn purge_history(&self, _older_than: Timestamp) -> Result<u64> {
        todo!()
    }
}
