//! What was revoked after a backup was made stays revoked when that backup is restored.
//!
//! The database that is about to be replaced is asked: agents that were revoked, tokens and accounts
//! that were removed, passwords that were changed, roles that were lowered, sessions that ended, keys
//! that no longer vouch for hosts. Only
//! where it is the same database as the backup's, and only what its record says came later: a backup may
//! also be newer than what it replaces.

use std::collections::{HashMap, HashSet};
use std::path::Path;

use sqlx::sqlite::SqliteConnection;
use sqlx::{Connection, Row};

use super::Result;
use super::copy::open_read_only;
use super::words::to_word;
use crate::model::{EventKind, HostKey, Timestamp};

/// What of the revocations came over.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Carried {
    /// What stays revoked, in sentences.
    pub done: Vec<String>,
    /// Why the database that was there could not be asked; `None` when it was.
    pub missed: Option<String>,
    /// The last thing the backup knows of: what was revoked later is not revoked in it.
    pub known_to: Option<Timestamp>,
}

/// Brings the revocations of `old` into `new`, the copy of a backup. Where `old` cannot be asked, only
/// the sessions of people end.
pub(super) async fn carry_over(new: &mut SqliteConnection, old: &Path) -> Result<Carried> {
    let mut carried = Carried {
        known_to: newest_event(new).await?.map(Timestamp),
        ..Carried::default()
    };
    let missed = if old.exists() {
        match ask(new, old, carried.known_to, &mut carried.done).await {
            Ok(None) => return Ok(carried),
            Ok(Some(why)) => why,
            Err(error) => format!("it cannot be read ({error})"),
        }
    } else {
        "there is none".to_owned()
    };
    carried.missed = Some(missed);
    carried.done.clear();
    sqlx::query("DELETE FROM session").execute(new).await?;
    Ok(carried)
}

/// Answers why nothing can be learned from it; all or nothing is carried over.
async fn ask(
    new: &mut SqliteConnection,
    old: &Path,
    since: Option<Timestamp>,
    done: &mut Vec<String>,
) -> Result<Option<String>> {
    let mut old = open_read_only(old).await?;
    let answer = async {
        if origin(&mut old).await? != origin(new).await? {
            return Ok(Some(
                "it is another database, with a beginning of its own".to_owned(),
            ));
        }
        sqlx::query("SAVEPOINT carry").execute(&mut *new).await?;
        let since = since.map_or(i64::MIN, |since| since.0);
        let carried = bring(new, &mut old, since, done).await;
        let end = if carried.is_ok() {
            "RELEASE carry"
        } else {
            "ROLLBACK TO carry"
        };
        sqlx::query(sqlx::AssertSqlSafe(end)).execute(&mut *new).await?;
        if carried.is_err() {
            sqlx::query("RELEASE carry").execute(&mut *new).await?;
        }
        carried.map(|()| None)
    }
    .await;
    let _ = old.close().await;
    answer
}

/// When a database was made, to the nanosecond: no other one has it.
async fn origin(connection: &mut SqliteConnection) -> Result<String> {
    Ok(sqlx::query_scalar(
        "SELECT CAST(installed_on AS TEXT) || ' ' || execution_time FROM _sqlx_migrations ORDER BY version LIMIT 1",
    )
    .fetch_one(connection)
    .await?)
}

async fn newest_event(connection: &mut SqliteConnection) -> Result<Option<i64>> {
    Ok(sqlx::query_scalar("SELECT max(at) FROM event")
        .fetch_one(connection)
        .await?)
}

async fn bring(
    new: &mut SqliteConnection,
    old: &mut SqliteConnection,
    since: i64,
    done: &mut Vec<String>,
) -> Result<()> {
    agents(new, old, done).await?;
    tokens(new, old, since, done).await?;
    accounts(new, old, since, done).await?;
    host_authorities(new, old, since, done).await?;
    sessions(new, old, done).await
}

/// What the record says was changed about things of a kind after a moment: (change, name).
async fn changes(
    old: &mut SqliteConnection,
    kind: EventKind,
    since: i64,
) -> Result<HashSet<(String, String)>> {
    let rows: Vec<(String, String)> = sqlx::query_as(
        "SELECT coalesce(json_extract(details, '$.change'), ''), coalesce(json_extract(details, '$.name'), '')
         FROM event WHERE kind = ? AND at > ?",
    )
    .bind(to_word(&kind)?)
    .bind(since)
    .fetch_all(old)
    .await?;
    Ok(rows.into_iter().collect())
}

async fn agents(
    new: &mut SqliteConnection,
    old: &mut SqliteConnection,
    done: &mut Vec<String>,
) -> Result<()> {
    let revoked = sqlx::query("SELECT uid, revoked_at, revoked_by FROM agent WHERE revoked_at IS NOT NULL")
        .fetch_all(old)
        .await?;
    for row in revoked {
        let number: Option<(i64, String)> = sqlx::query_as(
            "UPDATE agent SET revoked_at = ?, revoked_by = ? WHERE uid = ? AND revoked_at IS NULL
             RETURNING id, coalesce(json_extract(machine, '$.hostname'), '')",
        )
        .bind(row.try_get::<i64, _>("revoked_at")?)
        .bind(row.try_get::<Option<String>, _>("revoked_by")?)
        .bind(row.try_get::<Vec<u8>, _>("uid")?)
        .fetch_optional(&mut *new)
        .await?;
        if let Some((id, host)) = number {
            done.push(format!("agent {id} on {host} stays revoked"));
        }
    }
    Ok(())
}

/// Tokens of programs, and those that machines enrol with.
async fn tokens(
    new: &mut SqliteConnection,
    old: &mut SqliteConnection,
    since: i64,
    done: &mut Vec<String>,
) -> Result<()> {
    for (table, what, kind) in [
        ("api_token", "API token", EventKind::TokenChanged),
        ("agent_token", "enrolment token", EventKind::AgentTokenChanged),
    ] {
        let changed = changes(old, kind, since).await?;
        let alive: HashSet<Vec<u8>> =
            sqlx::query_scalar(sqlx::AssertSqlSafe(format!("SELECT token_hash FROM {table}")))
                .fetch_all(&mut *old)
                .await?
                .into_iter()
                .collect();
        let here: Vec<(i64, String, Vec<u8>)> = sqlx::query_as(sqlx::AssertSqlSafe(format!(
            "SELECT id, name, token_hash FROM {table}"
        )))
        .fetch_all(&mut *new)
        .await?;
        for (id, name, hash) in here {
            let removed = changed.contains(&("deleted".to_owned(), name.clone()));
            if removed && !alive.contains(&hash) {
                // What waits by an enrolment token goes with it.
                if table == "agent_token" {
                    sqlx::query("DELETE FROM agent_pending WHERE token_id = ?")
                        .bind(id)
                        .execute(&mut *new)
                        .await?;
                }
                sqlx::query(sqlx::AssertSqlSafe(format!("DELETE FROM {table} WHERE id = ?")))
                    .bind(id)
                    .execute(&mut *new)
                    .await?;
                done.push(format!("{what} {name} stays removed"));
            }
        }
    }
    let used: Vec<(Vec<u8>, i64)> = sqlx::query_as("SELECT token_hash, used FROM agent_token")
        .fetch_all(old)
        .await?;
    for (hash, used) in used {
        sqlx::query("UPDATE agent_token SET used = max(used, min(?, uses)) WHERE token_hash = ?")
            .bind(used)
            .bind(hash)
            .execute(&mut *new)
            .await?;
    }
    Ok(())
}

async fn accounts(
    new: &mut SqliteConnection,
    old: &mut SqliteConnection,
    since: i64,
    done: &mut Vec<String>,
) -> Result<()> {
    let changed = changes(old, EventKind::UserChanged, since).await?;
    let there: HashMap<(i64, i64), (String, String)> =
        sqlx::query("SELECT id, created_at, password_hash, role FROM user")
            .fetch_all(old)
            .await?
            .iter()
            .map(|row| {
                let key = (row.try_get("id")?, row.try_get("created_at")?);
                Ok((key, (row.try_get("password_hash")?, row.try_get("role")?)))
            })
            .collect::<Result<_>>()?;
    let here: Vec<(i64, i64, String, String, String)> =
        sqlx::query_as("SELECT id, created_at, username, password_hash, role FROM user")
            .fetch_all(&mut *new)
            .await?;
    for (id, created_at, name, hash, role) in here {
        let was = |change: &str| changed.contains(&(change.to_owned(), name.clone()));
        let Some((newer_hash, newer_role)) = there.get(&(id, created_at)) else {
            if was("deleted") {
                sqlx::query("DELETE FROM session WHERE user_id = ?")
                    .bind(id)
                    .execute(&mut *new)
                    .await?;
                sqlx::query("DELETE FROM user WHERE id = ?")
                    .bind(id)
                    .execute(&mut *new)
                    .await?;
                done.push(format!("account {name} stays removed"));
            }
            continue;
        };
        if was("password") && *newer_hash != hash {
            sqlx::query("UPDATE user SET password_hash = ? WHERE id = ?")
                .bind(newer_hash)
                .bind(id)
                .execute(&mut *new)
                .await?;
            done.push(format!("account {name} keeps its newer password"));
        }
        if was(newer_role) && role == "admin" && newer_role != "admin" {
            sqlx::query("UPDATE user SET role = ? WHERE id = ?")
                .bind(newer_role)
                .bind(id)
                .execute(&mut *new)
                .await?;
            done.push(format!("account {name} stays {newer_role}"));
        }
    }
    Ok(())
}

/// Keys that were removed or revoked must not vouch for hosts again, and revoked ones not be forgotten.
async fn host_authorities(
    new: &mut SqliteConnection,
    old: &mut SqliteConnection,
    since: i64,
    done: &mut Vec<String>,
) -> Result<()> {
    let revoked = sqlx::query(
        "SELECT public_key, patterns, comment, created_at, updated_at FROM host_authority
         WHERE revoked = 1 AND updated_at > ?",
    )
    .bind(since)
    .fetch_all(&mut *old)
    .await?;
    for row in revoked {
        let patterns: String = row.try_get("patterns")?;
        let changed = sqlx::query(
            "INSERT INTO host_authority (public_key, patterns, revoked, comment, created_at, updated_at)
             VALUES (?1, ?2, 1, ?3, ?4, ?5)
             ON CONFLICT (public_key) DO UPDATE SET patterns = ?2, revoked = 1, updated_at = ?5 WHERE revoked = 0",
        )
        .bind(row.try_get::<String, _>("public_key")?)
        .bind(&patterns)
        .bind(row.try_get::<String, _>("comment")?)
        .bind(row.try_get::<i64, _>("created_at")?)
        .bind(row.try_get::<i64, _>("updated_at")?)
        .execute(&mut *new)
        .await?;
        if changed.rows_affected() > 0 {
            done.push(format!("the host key or authority for {patterns} stays revoked"));
        }
    }
    let removed: HashSet<String> = sqlx::query_scalar(
        "SELECT json_extract(details, '$.fingerprint') FROM event
         WHERE kind = ? AND at > ? AND json_extract(details, '$.change') = 'deleted'",
    )
    .bind(to_word(&EventKind::HostAuthorityChanged)?)
    .bind(since)
    .fetch_all(&mut *old)
    .await?
    .into_iter()
    .collect();
    let alive: HashSet<String> = sqlx::query_scalar("SELECT public_key FROM host_authority")
        .fetch_all(old)
        .await?
        .into_iter()
        .collect();
    let here: Vec<(i64, String, String)> =
        sqlx::query_as("SELECT id, public_key, patterns FROM host_authority WHERE revoked = 0")
            .fetch_all(&mut *new)
            .await?;
    for (id, public_key, patterns) in here {
        let is_removed = HostKey::parse(&public_key).is_ok_and(|key| removed.contains(&key.fingerprint));
        if is_removed && !alive.contains(&public_key) {
            sqlx::query("DELETE FROM host_authority WHERE id = ?")
                .bind(id)
                .execute(&mut *new)
                .await?;
            done.push(format!("the host authority for {patterns} stays removed"));
        }
    }
    Ok(())
}

async fn sessions(
    new: &mut SqliteConnection,
    old: &mut SqliteConnection,
    done: &mut Vec<String>,
) -> Result<()> {
    let alive: HashSet<Vec<u8>> = sqlx::query_scalar("SELECT token_hash FROM session")
        .fetch_all(old)
        .await?
        .into_iter()
        .collect();
    let here: Vec<Vec<u8>> = sqlx::query_scalar("SELECT token_hash FROM session")
        .fetch_all(&mut *new)
        .await?;
    let ended = here.iter().filter(|hash| !alive.contains(*hash));
    let mut count = 0;
    for hash in ended {
        sqlx::query("DELETE FROM session WHERE token_hash = ?")
            .bind(hash)
            .execute(&mut *new)
            .await?;
        count += 1;
    }
    if count > 0 {
        done.push(format!("{count} sessions that had ended stay ended"));
    }
    Ok(())
}
