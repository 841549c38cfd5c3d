//! Latest.
use super::*;
use crate::model::*;
use std::collections::HashMap;
impl Store {
    /// The newest values.
    pub async fn latest(&self) -> Result<HashMap<ServerId, Latest>> {
        todo!()
    }
}
