//! Events.
use super::*;
use crate::model::*;
impl Store {
    /// Newest first.
    pub async fn events(&self, _query: &EventQuery) -> Result<Vec<StoredEvent>> {
        todo!()
    }
    /// Record.
    pub async fn record_event(&self, _event: &Event) -> Result<()> {
        todo!()
    }
}
