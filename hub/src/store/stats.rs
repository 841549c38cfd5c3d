//! Stats.
use super::*;
impl Store {
    /// Stats.
    pub async fn storage_stats(&self) -> Result<StorageStats> {
        todo!()
    }
}
