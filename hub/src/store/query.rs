//! Query.
use super::*;
impl Store {
    /// Buckets.
    pub async fn query(&self, _query: &SeriesQuery) -> Result<SeriesAnswer> {
        todo!()
    }
}
