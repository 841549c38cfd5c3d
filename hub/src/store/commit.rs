//! Commit.
use super::*;
use crate::model::commit::Commit;
impl Store {
    /// One transaction.
    pub async fn commit(&self, _commit: &Commit) -> Result<CommitReceipt> {
        todo!()
    }
}
