//! States.
use super::*;
use crate::model::*;
use std::collections::HashMap;
impl Store {
    /// The state of every server that was ever tried, with the snapshot of its latest values.
    pub async fn load_states(&self) -> Result<HashMap<ServerId, ServerState>> {
        todo!()
    }
}
