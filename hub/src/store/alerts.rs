//! Alerts.
use super::*;
use crate::model::*;
impl Store {
    /// Firing and resolved alerts, newest first.
    pub async fn alerts(&self, _query: &AlertQuery) -> Result<Vec<Alert>> {
        todo!()
    }
    /// One.
    pub async fn alert(&self, _id: AlertId) -> Result<Option<Alert>> {
        todo!()
    }
    /// Pending, firing and held.
    pub async fn load_open_alerts(&self) -> Result<Vec<Alert>> {
        todo!()
    }
    /// Next id.
    pub async fn next_alert_id(&self) -> Result<i64> {
        todo!()
    }
}
