//! Whether a key fits the database, and opens every secret in it.

use std::path::Path;

use sqlx::Row;
use sqlx::sqlite::SqliteConnection;

use super::check::{CheckReport, KeyFit, ProblemKind};
use super::open::put_meta;
use super::seal::{KEY_CHECK, Place};
use super::servers::{PASSPHRASE, PASSWORD, PRIVATE_KEY};
use super::{MasterKey, Result, StoreError};

/// Whether the key is the right one, and opens every secret.
pub(super) async fn look(
    connection: &mut SqliteConnection,
    key: Option<&MasterKey>,
    report: &mut CheckReport,
) -> Result<()> {
    if !has_secrets(connection).await? {
        return Ok(());
    }
    let Some(key) = key else {
        report.key = KeyFit::NoKey;
        return Ok(());
    };
    if !key_fits(connection, key).await? {
        report.key = KeyFit::Other;
        return Ok(());
    }
    report.key = KeyFit::Fits;
    for table in ["server", "credential"] {
        let rows = sqlx::query(sqlx::AssertSqlSafe(format!(
            "SELECT id, name, password, private_key, passphrase FROM {table}"
        )))
        .fetch_all(&mut *connection)
        .await?;
        for row in &rows {
            let id = row.try_get("id")?;
            for (column, field) in [
                ("password", PASSWORD),
                ("private_key", PRIVATE_KEY),
                ("passphrase", PASSPHRASE),
            ] {
                let sealed: Option<&[u8]> = row.try_get(column)?;
                let place = Place {
                    table,
                    row: id,
                    field,
                };
                if sealed.is_some_and(|sealed| key.open(&place, sealed).is_none()) {
                    let name: &str = row.try_get("name")?;
                    report.add(
                        ProblemKind::Secret,
                        format!("the {field} of {table} {name} does not open: enter it again"),
                    );
                }
            }
        }
    }
    Ok(())
}

/// Refuses a key that does not open the secrets that are there. Where there are none, the key
/// in hand becomes the database's.
pub(super) async fn check_key(path: &Path, key: &MasterKey, connection: &mut SqliteConnection) -> Result<()> {
    if key_fits(connection, key).await? {
        return Ok(());
    }
    if has_secrets(connection).await? {
        return Err(StoreError::WrongKey {
            path: path.to_owned(),
        });
    }
    let text = serde_json::Value::from(key.seal(&KEY_PLACE, KEY_CHECK)?).to_string();
    put_meta(connection, KEY_PLACE.field, Some(&text)).await
}

/// Where the text stands that only the database's key opens.
const KEY_PLACE: Place = Place {
    table: "meta",
    row: 0,
    field: "store.key_check",
};

/// Whether this is the key that the database's secrets are sealed with.
async fn key_fits(connection: &mut SqliteConnection, key: &MasterKey) -> Result<bool> {
    let kept: Option<String> = sqlx::query_scalar("SELECT value FROM meta WHERE key = ?")
        .bind(KEY_PLACE.field)
        .fetch_optional(connection)
        .await?;
    let sealed = kept.and_then(|text| serde_json::from_str::<Vec<u8>>(&text).ok());
    Ok(sealed
        .and_then(|sealed| key.open(&KEY_PLACE, &sealed))
        .is_some_and(|text| text.expose() == KEY_CHECK))
}

/// Whether anything is sealed in the database.
async fn has_secrets(connection: &mut SqliteConnection) -> Result<bool> {
    Ok(sqlx::query_scalar(
        "SELECT EXISTS (SELECT 1 FROM server
         WHERE password IS NOT NULL OR private_key IS NOT NULL OR passphrase IS NOT NULL)
         OR EXISTS (SELECT 1 FROM credential
         WHERE password IS NOT NULL OR private_key IS NOT NULL OR passphrase IS NOT NULL)
         OR EXISTS (SELECT 1 FROM authority) OR EXISTS (SELECT 1 FROM hub_key)",
    )
    .fetch_one(connection)
    .await?)
}
