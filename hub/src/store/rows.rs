//! Rows.
use super::*;
impl Store {
    /// Rows.
    pub async fn metric_rows(&self, _query: &MetricsQuery) -> Result<MetricsPage> {
        todo!()
    }
}
