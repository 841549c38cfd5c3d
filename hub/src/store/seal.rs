//! Seal.
use super::Result;
use std::path::Path;
/// The key.
pub struct MasterKey {}
impl MasterKey {
    /// Reads the key file, or makes one.
    pub fn load_or_create(_path: &Path) -> Result<Self> {
        todo!()
    }
}
