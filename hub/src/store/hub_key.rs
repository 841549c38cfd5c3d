//! The hub's own SSH key, sealed.

use sqlx::Row;

use super::seal::Place;
use super::{Result, Store, StoreError};
use crate::model::{Secret, Timestamp};

/// The key is sealed for this place.
const PLACE: Place = Place {
    table: "hub_key",
    row: 1,
    field: "private key",
};

impl Store {
    /// The hub's own private key (OpenSSH text), once it was made.
    ///
    /// # Errors
    /// The database cannot be read, or the key does not open.
    pub async fn hub_key(&self) -> Result<Option<Secret>> {
        let row = sqlx::query("SELECT private_key FROM hub_key WHERE id = 1")
            .fetch_optional(&self.inner.readers)
            .await?;
        let Some(row) = row else { return Ok(None) };
        let key = self.inner.key.open(&PLACE, row.try_get("private_key")?);
        key.map(Some)
            .ok_or_else(|| StoreError::unreadable("the hub's own SSH key", "it does not open"))
    }

    /// Keeps a new key. One that is there already stays; read it again.
    ///
    /// # Errors
    /// The database cannot be written.
    pub async fn put_hub_key(&self, key: &Secret, now: Timestamp) -> Result<()> {
        let sealed = self.inner.key.seal(&PLACE, key.expose())?;
        let mut write = self.write().await?;
        sqlx::query(
            "INSERT INTO hub_key (id, private_key, created_at) VALUES (1, ?, ?) ON CONFLICT (id) DO NOTHING",
        )
        .bind(sealed)
        .bind(now.0)
        .execute(write.connection()?)
        .await?;
        write.commit().await
    }
}
