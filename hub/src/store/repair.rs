//! Mending a damaged database file, as far as that is possible without guessing.
//!
//! Only under a [`super::DatabaseLock`]: no hub may be using the file. The file as it was is kept
//! beside it. Indexes are built anew; rows that name what is not there, and values that do not
//! decode, are removed; numbers are counted anew. Damaged pages of a table cannot be mended: what
//! was on them is gone, and a backup is the answer.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

use sqlx::sqlite::{SqliteConnectOptions, SqliteConnection};
use sqlx::{AssertSqlSafe, Connection, Row};

use super::check::{BadSample, CheckReport, ProblemKind, WRONG_TALLIES, bad_samples, check};
use super::copy::{sync, sync_directory};
use super::layout::series_of;
use super::lock::beside;
use super::open::{BUSY_TIMEOUT, explain_io};
use super::restore::{moment_word, settle};
use super::{DatabaseLock, MasterKey, Result, StoreError, chunks, verify};
use crate::model::Timestamp;

/// A removed row may be one that others name.
const ROUNDS: usize = 8;

/// What a repair did.
#[derive(Debug, Clone)]
pub struct Repair {
    /// The file as it was before; `None` where nothing had to be done.
    pub kept: Option<PathBuf>,
    /// What was done, in sentences.
    pub done: Vec<String>,
    /// The file as it is now.
    pub left: CheckReport,
}

/// Checks a database and mends what can be mended.
///
/// # Errors
/// The file cannot be read or written, or there is no room for a copy of it. A damage that
/// cannot be mended is no error: it is in the report.
pub async fn repair(
    path: &Path,
    key: Option<&MasterKey>,
    now: Timestamp,
    _lock: &DatabaseLock,
) -> Result<Repair> {
    let before = check(path, key).await?;
    let has = |kinds: &[ProblemKind]| {
        before
            .problems
            .iter()
            .any(|problem| kinds.contains(&problem.kind))
    };
    // Nothing to do, or nothing that could be done: a file of another program is left alone.
    if before.is_sound() || has(&[ProblemKind::Schema]) {
        return Ok(Repair {
            kept: None,
            done: Vec::new(),
            left: before,
        });
    }
    // Into one file without a log, so that a copy of it is whole.
    settle(path).await?;
    let kept = beside(path, &format!(".before-repair-{}", moment_word(now)));
    std::fs::copy(path, &kept).map_err(|error| explain_io(&kept, &error))?;
    sync(&kept)?;
    sync_directory(&kept)?;

    let mut done = Vec::new();
    let mut connection = open(path).await?;
    if has(&[ProblemKind::Index]) {
        attempt(
            &mut connection,
            "REINDEX",
            "every index was built anew",
            &mut done,
        )
        .await?;
    }
    if has(&[ProblemKind::Page]) {
        // Pages that are in no table or twice on the free list go away with this; damage inside
        // a table stays, and makes it fail.
        attempt(&mut connection, "VACUUM", "the file was written anew", &mut done).await?;
    }
    if has(&[ProblemKind::Reference]) {
        remove_dangling(&mut connection, &mut done).await?;
    }
    if has(&[ProblemKind::Values]) {
        remove_bad_samples(&mut connection, &mut done).await?;
    }
    // What was removed is to be counted too.
    recount(&mut connection, &mut done).await?;
    connection.close().await?;
    sync(path)?;
    Ok(Repair {
        kept: Some(kept),
        done,
        left: check(path, key).await?,
    })
}

async fn open(path: &Path) -> Result<SqliteConnection> {
    let options = SqliteConnectOptions::new()
        .filename(path)
        .busy_timeout(BUSY_TIMEOUT)
        // Rows are removed here that name nothing: a cascade has nothing to follow.
        .foreign_keys(false)
        .pragma("trusted_schema", "off");
    SqliteConnection::connect_with(&options)
        .await
        .map_err(|error| StoreError::from(error).at(path))
}

/// Runs a statement that a damaged page may make fail; the check afterwards names that page.
async fn attempt(
    connection: &mut SqliteConnection,
    sql: &'static str,
    words: &str,
    done: &mut Vec<String>,
) -> Result<()> {
    match sqlx::query(sql)
        .execute(connection)
        .await
        .map_err(StoreError::from)
    {
        Ok(_) => done.push(words.to_owned()),
        Err(StoreError::Corrupt { detail, .. }) => {
            done.push(format!("{sql} was tried and failed: {detail}"));
        }
        Err(error) => return Err(error),
    }
    Ok(())
}

async fn remove_dangling(connection: &mut SqliteConnection, done: &mut Vec<String>) -> Result<()> {
    for _ in 0..ROUNDS {
        let rows = sqlx::query("PRAGMA foreign_key_check")
            .fetch_all(&mut *connection)
            .await?;
        if rows.is_empty() {
            return Ok(());
        }
        sqlx::query("BEGIN IMMEDIATE").execute(&mut *connection).await?;
        let mut tables: std::collections::BTreeMap<String, BTreeSet<Option<i64>>> = Default::default();
        for row in &rows {
            tables.entry(row.try_get(0)?).or_default().insert(row.try_get(1)?);
        }
        for (table, ids) in tables {
            for id in &ids {
                let query = match (table.as_str(), id) {
                    // A server is worth more than the way to it.
                    ("server", Some(_)) => sqlx::query(
                        "UPDATE server SET
                             jump_server_id = iif(jump_server_id IN (SELECT id FROM server), jump_server_id, NULL),
                             credential_id = iif(credential_id IN (SELECT id FROM credential), credential_id, NULL)
                         WHERE rowid = ?",
                    ),
                    ("session", _) => {
                        sqlx::query("DELETE FROM session WHERE user_id NOT IN (SELECT id FROM user)")
                    }
                    (_, Some(_)) => {
                        sqlx::query(AssertSqlSafe(format!("DELETE FROM \"{table}\" WHERE rowid = ?")))
                    }
                    (_, None) => continue,
                };
                let query = if table == "session" {
                    query
                } else {
                    query.bind(*id)
                };
                query.execute(&mut *connection).await?;
            }
            done.push(if table == "server" {
                format!(
                    "{} servers lost a jump host or a credential that was not there",
                    ids.len()
                )
            } else {
                format!(
                    "{} rows of table {table} that named what is not there were removed",
                    ids.len()
                )
            });
        }
        sqlx::query("COMMIT").execute(&mut *connection).await?;
    }
    Ok(())
}

async fn remove_bad_samples(connection: &mut SqliteConnection, done: &mut Vec<String>) -> Result<()> {
    let mut bad: Vec<BadSample> = Vec::new();
    bad_samples(connection, |sample| bad.push(sample)).await?;
    sqlx::query("BEGIN IMMEDIATE").execute(&mut *connection).await?;
    for sample in &bad {
        sqlx::query("DELETE FROM sample WHERE server_id = ? AND taken_at = ?")
            .bind(sample.server_id)
            .bind(sample.taken_at)
            .execute(&mut *connection)
            .await?;
    }
    let layouts = sqlx::query("SELECT id, series FROM layout")
        .fetch_all(&mut *connection)
        .await?;
    for row in &layouts {
        if series_of(row.try_get("series")?).is_none() {
            sqlx::query("DELETE FROM layout WHERE id = ?")
                .bind(row.try_get::<i64, _>("id")?)
                .execute(&mut *connection)
                .await?;
        }
    }
    let faults = verify::all_blocks(&mut *connection).await?.faults;
    let blocks: Vec<i64> = faults.iter().map(|fault| fault.block_id).collect();
    chunks::discard(connection, &blocks).await?;
    while chunks::sweep(connection).await? {}
    sqlx::query("COMMIT").execute(&mut *connection).await?;
    if !blocks.is_empty() {
        done.push(format!(
            "{} blocks that cannot be read were removed",
            blocks.len()
        ));
    }
    if !bad.is_empty() {
        done.push(format!("{} samples that cannot be read were removed", bad.len()));
    }
    Ok(())
}

async fn recount(connection: &mut SqliteConnection, done: &mut Vec<String>) -> Result<()> {
    let wrong: Vec<(i64, i64, i64, i64)> =
        match sqlx::query_as(WRONG_TALLIES).fetch_all(&mut *connection).await {
            Ok(wrong) => wrong,
            // The table of samples itself is damaged: said by the check.
            Err(error) => match StoreError::from(error) {
                StoreError::Corrupt { .. } => return Ok(()),
                error => return Err(error),
            },
        };
    for (server_id, _, there, folded) in &wrong {
        let query = if *there == 0 {
            sqlx::query("DELETE FROM tally WHERE ?2 = 0 AND ?3 = 0 AND server_id = ?1")
        } else {
            sqlx::query(
                "INSERT INTO tally (server_id, samples, folded) VALUES (?, ?, ?)
                 ON CONFLICT (server_id) DO UPDATE SET samples = excluded.samples, folded = excluded.folded",
            )
        };
        query
            .bind(server_id)
            .bind(there)
            .bind(folded)
            .execute(&mut *connection)
            .await?;
    }
    if !wrong.is_empty() {
        done.push(format!(
            "the samples of {} servers were counted anew",
            wrong.len()
        ));
    }
    Ok(())
}
