//! The part of a check that concerns sealed secrets.

use sqlx::Row;
use sqlx::sqlite::SqliteConnection;

use super::check::{CheckReport, KeyFit, ProblemKind};
use super::open::{has_secrets, key_fits};
use super::servers::{PASSPHRASE, PASSWORD, PRIVATE_KEY, place};
use super::{MasterKey, Result};
use crate::model::ServerId;

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
    let rows = sqlx::query("SELECT id, name, password, private_key, passphrase FROM server")
        .fetch_all(connection)
        .await?;
    for row in &rows {
        let id = ServerId(row.try_get("id")?);
        for (column, field) in [
            ("password", PASSWORD),
            ("private_key", PRIVATE_KEY),
            ("passphrase", PASSPHRASE),
        ] {
            let sealed: Option<&[u8]> = row.try_get(column)?;
            if sealed.is_some_and(|sealed| key.open(&place(id, field), sealed).is_none()) {
                let name: &str = row.try_get("name")?;
                report.add(
                    ProblemKind::Secret,
                    format!("the {field} of server {name} does not open: enter it again"),
                );
            }
        }
    }
    Ok(())
}
