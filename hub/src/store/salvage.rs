//! What can be read of a file with damaged pages, brought into a new one, table by table.
//!
//! A table is walked by its key from the front until a damaged page is met, then from the back; what
//! lies between is searched from points in its middle, ever finer ones, so that a good page between
//! two damaged ones is found. Rows whose values the schema does not take were damaged too. What was
//! not found is named by table and span.

use std::path::Path;

use futures_util::TryStreamExt as _;
use sqlx::sqlite::{SqliteAutoVacuum, SqliteConnectOptions, SqliteConnection};
use sqlx::{AssertSqlSafe, Connection, Row};

use super::open::MIGRATOR;
use super::{Result, StoreError};
use crate::model::Timestamp;

/// Keys that are read and copied at once.
const STEP: u16 = 500;
/// How often a span between two damages is halved: 4,096 points are tried.
const DEPTH: u32 = 12;

/// The rows of a table, or of one server in it, by an integer that orders them.
struct Rows<'a> {
    table: &'a str,
    columns: String,
    key: &'static str,
    /// Only the rows of this server.
    server_id: Option<i64>,
}

/// What is being salvaged: the new file, with the old one attached as `old`.
struct Salvage<'a> {
    connection: &'a mut SqliteConnection,
    rows: u64,
    /// Spans of keys that could not be read, of the table at hand.
    lost: Vec<(i64, i64)>,
    /// Rows that were read and are no rows of this schema, of the table at hand.
    spoilt: u64,
}

/// Writes what can be read of `old` into the new file `new`. Answers what was saved and what was not, in
/// sentences.
///
/// # Errors
/// `new` cannot be written, or nothing of `old` can be read. What is damaged in it is no error.
pub(super) async fn salvage(old: &Path, new: &Path) -> Result<Vec<String>> {
    let options = SqliteConnectOptions::new()
        .filename(new)
        .create_if_missing(true)
        .auto_vacuum(SqliteAutoVacuum::Incremental)
        .foreign_keys(false)
        // Nobody reads it before it is whole and forced to the disk.
        .pragma("journal_mode", "memory")
        .pragma("synchronous", "off")
        .pragma("trusted_schema", "off");
    let mut connection = SqliteConnection::connect_with(&options)
        .await
        .map_err(|error| StoreError::from(error).at(new))?;
    MIGRATOR
        .run(&mut connection)
        .await
        .map_err(|error| StoreError::Open {
            path: new.to_owned(),
            reason: error.to_string(),
        })?;
    let name = old.to_str().ok_or_else(|| StoreError::Open {
        path: old.to_owned(),
        reason: "its name is not UTF-8".to_owned(),
    })?;
    sqlx::query("ATTACH ? AS old")
        .bind(name)
        .execute(&mut connection)
        .await?;
    sqlx::query("BEGIN").execute(&mut connection).await?;
    let mut done = Vec::new();
    tables(&mut connection, &mut done).await?;
    adopt_orphans(&mut connection, &mut done).await?;
    sqlx::query("COMMIT").execute(&mut connection).await?;
    sqlx::query("DETACH old").execute(&mut connection).await?;
    connection.close().await?;
    Ok(done)
}

async fn tables(connection: &mut SqliteConnection, done: &mut Vec<String>) -> Result<()> {
    let tables: Vec<(String, String)> = sqlx::query_as(
        "SELECT name, sql FROM main.sqlite_schema
         WHERE type = 'table' AND name NOT LIKE 'sqlite\\_%' ESCAPE '\\' ORDER BY name = 'sample', rowid",
    )
    .fetch_all(&mut *connection)
    .await?;
    for (table, sql) in &tables {
        let columns: Vec<String> =
            sqlx::query_scalar("SELECT '\"' || name || '\"' FROM pragma_table_info(?)")
                .bind(table)
                .fetch_all(&mut *connection)
                .await?;
        let columns = columns.join(", ");
        let mut salvage = Salvage {
            connection: &mut *connection,
            rows: 0,
            lost: Vec::new(),
            spoilt: 0,
        };
        match table.as_str() {
            "sample" => {
                for (server_id, name) in salvage.servers().await? {
                    let rows = Rows {
                        table,
                        columns: columns.clone(),
                        key: "taken_at",
                        server_id: Some(server_id),
                    };
                    salvage.bring(&rows).await?;
                    for (from, to) in std::mem::take(&mut salvage.lost) {
                        done.push(format!(
                            "samples of {name} {} could not be read",
                            span(from, to, |at| Timestamp(at).to_string())
                        ));
                    }
                }
            }
            // Small ones, without numbers for their rows: from both ends.
            _ if sql.contains("WITHOUT ROWID") => salvage.both_ends(table, &columns).await?,
            _ => {
                let rows = Rows {
                    table,
                    columns,
                    key: "rowid",
                    server_id: None,
                };
                salvage.bring(&rows).await?;
            }
        }
        let Salvage {
            rows, lost, spoilt, ..
        } = salvage;
        for (from, to) in &lost {
            done.push(format!(
                "rows of table {table} {} could not be read",
                span(*from, *to, |id| format!("number {id}"))
            ));
        }
        if spoilt > 0 {
            done.push(format!(
                "{spoilt} rows of table {table} were damaged and left out"
            ));
        }
        if rows > 0 || !lost.is_empty() {
            done.push(format!("{rows} rows of table {table} were saved"));
        }
    }
    // No id is ever given again.
    let last: Vec<(String, i64)> = all(connection, "SELECT name, seq FROM old.sqlite_sequence").await?;
    for (table, last) in last {
        sqlx::query("UPDATE main.sqlite_sequence SET seq = max(seq, ?) WHERE name = ?")
            .bind(last)
            .bind(&table)
            .execute(&mut *connection)
            .await?;
        sqlx::query(
            "INSERT INTO main.sqlite_sequence (name, seq)
             SELECT ?1, ?2 WHERE NOT EXISTS (SELECT 1 FROM main.sqlite_sequence WHERE name = ?1)",
        )
        .bind(&table)
        .bind(last)
        .execute(&mut *connection)
        .await?;
    }
    Ok(())
}

fn span(from: i64, to: i64, word: impl Fn(i64) -> String) -> String {
    match (from == i64::MIN, to == i64::MAX) {
        (true, true) => "(all)".to_owned(),
        (true, false) => format!("up to {}", word(to)),
        (false, true) => format!("from {} on", word(from)),
        (false, false) => format!("from {} to {}", word(from), word(to)),
    }
}

/// Rows up to where a damage ends them.
async fn all<T>(connection: &mut SqliteConnection, sql: &'static str) -> Result<Vec<T>>
where
    T: for<'r> sqlx::FromRow<'r, sqlx::sqlite::SqliteRow> + Send + Unpin,
{
    let mut found = Vec::new();
    let mut rows = sqlx::query_as(sql).fetch(connection);
    loop {
        match rows.try_next().await {
            Ok(Some(row)) => found.push(row),
            Ok(None) => return Ok(found),
            Err(error) => return is_damage(error).map(|()| found),
        }
    }
}

/// `Ok` for an error that is about the old file's contents.
fn is_damage(error: sqlx::Error) -> Result<()> {
    let of_a_value = error
        .as_database_error()
        .and_then(|error| error.code())
        // SQLITE_CONSTRAINT, SQLITE_MISMATCH, SQLITE_TOOBIG, and their extended codes.
        .and_then(|code| code.parse::<u32>().ok())
        .is_some_and(|code| matches!(code & 0xff, 18..=20));
    match StoreError::from(error) {
        StoreError::Corrupt { .. } => Ok(()),
        _ if of_a_value => Ok(()),
        error => Err(error),
    }
}

impl Salvage<'_> {
    /// Servers that may have samples, and what to call them.
    async fn servers(&mut self) -> Result<Vec<(i64, String)>> {
        // A server whose row is lost is known by its series.
        let known = "SELECT id, name FROM main.server";
        let mut servers: Vec<(i64, String)> = all(self.connection, known).await?;
        let others = "SELECT server_id, 'server number ' || server_id FROM (
            SELECT server_id FROM main.series UNION SELECT server_id FROM main.block
            UNION SELECT server_id FROM main.tally UNION SELECT server_id FROM main.layout)
            WHERE server_id NOT IN (SELECT id FROM main.server)";
        servers.extend(all::<(i64, String)>(self.connection, others).await?);
        Ok(servers)
    }

    async fn bring(&mut self, rows: &Rows<'_>) -> Result<()> {
        self.between(rows, i64::MIN, i64::MAX, DEPTH).await
    }

    /// Everything from `from` to `to`, both included.
    async fn between(&mut self, rows: &Rows<'_>, from: i64, to: i64, depth: u32) -> Result<()> {
        // The spans to look at, with how often they may still be halved.
        let mut open = vec![(from, to, depth)];
        while let Some((from, to, depth)) = open.pop() {
            let Some(front) = self.walk(rows, from, to, false).await? else {
                continue;
            };
            let Some(back) = self.walk(rows, front, to, true).await? else {
                continue;
            };
            // Between `front` and `back`, both included, neither way leads on.
            if depth == 0 || back <= front {
                self.lost.push((front, back));
                continue;
            }
            let middle = front.midpoint(back);
            open.push((middle.saturating_add(1), back, depth - 1));
            open.push((front, middle, depth - 1));
        }
        self.lost.sort_unstable();
        self.lost.dedup_by(|next, before| {
            let touches = next.0 <= before.1.saturating_add(1);
            if touches {
                before.1 = before.1.max(next.1);
            }
            touches
        });
        Ok(())
    }

    /// Copies rows from one end until the other (`None`) or a damaged page: then the first key, from
    /// here, that was not reached.
    async fn walk(&mut self, rows: &Rows<'_>, from: i64, to: i64, backwards: bool) -> Result<Option<i64>> {
        let (mut from, mut to) = (from, to);
        loop {
            let (keys, is_damaged) = self.keys(rows, from, to, backwards).await?;
            if let Some(last) = keys.last() {
                self.copy(rows, &keys).await?;
                let next = if backwards {
                    last.checked_sub(1)
                } else {
                    last.checked_add(1)
                };
                // The very last key there can be.
                let Some(next) = next else { return Ok(None) };
                if backwards {
                    to = next;
                } else {
                    from = next;
                }
            }
            if is_damaged {
                return Ok((from <= to).then_some(if backwards { to } else { from }));
            }
            if keys.len() < usize::from(STEP) || from > to {
                return Ok(None);
            }
        }
    }

    /// The next keys, and whether a damaged page ended them.
    async fn keys(
        &mut self,
        rows: &Rows<'_>,
        from: i64,
        to: i64,
        backwards: bool,
    ) -> Result<(Vec<i64>, bool)> {
        let Rows { table, key, .. } = rows;
        let of_server = rows
            .server_id
            .map_or_else(String::new, |id| format!("server_id = {id} AND "));
        let order = if backwards { "DESC" } else { "ASC" };
        let sql = format!(
            "SELECT {key} FROM old.\"{table}\" NOT INDEXED WHERE {of_server}{key} BETWEEN ? AND ? ORDER BY {key} {order} LIMIT ?"
        );
        let mut found = sqlx::query(AssertSqlSafe(sql))
            .bind(from)
            .bind(to)
            .bind(i64::from(STEP))
            .fetch(&mut *self.connection);
        let mut keys: Vec<i64> = Vec::new();
        loop {
            match found.try_next().await {
                Ok(Some(row)) => {
                    // A damaged page that passes for one gives keys out of order, or none.
                    let Ok(key) = row.try_get::<i64, _>(0) else {
                        return Ok((keys, true));
                    };
                    let in_order = keys
                        .last()
                        .is_none_or(|last| if backwards { key < *last } else { key > *last });
                    if !in_order || !(from..=to).contains(&key) {
                        return Ok((keys, true));
                    }
                    keys.push(key);
                }
                Ok(None) => return Ok((keys, false)),
                Err(error) => return is_damage(error).map(|()| (keys, true)),
            }
        }
    }

    /// Copies rows by their keys: together, or one by one where that fails.
    async fn copy(&mut self, rows: &Rows<'_>, keys: &[i64]) -> Result<()> {
        let (Some(first), Some(last)) = (keys.iter().min(), keys.iter().max()) else {
            return Ok(());
        };
        if let Some(copied) = self.copy_range(rows, *first, *last).await? {
            self.rows += copied;
            return Ok(());
        }
        for key in keys {
            match self.copy_range(rows, *key, *key).await? {
                Some(copied) => self.rows += copied,
                None => self.spoilt += 1,
            }
        }
        Ok(())
    }

    /// The rows copied; `None` where they cannot be.
    async fn copy_range(&mut self, rows: &Rows<'_>, from: i64, to: i64) -> Result<Option<u64>> {
        let Rows {
            table, columns, key, ..
        } = rows;
        let of_server = rows
            .server_id
            .map_or_else(String::new, |id| format!("server_id = {id} AND "));
        // Where the key is no column of the table, it goes along: other rows name it.
        let (into, what) = if *key == "rowid" && !self.has_key_column(table).await? {
            (format!("rowid, {columns}"), format!("rowid, {columns}"))
        } else {
            (columns.clone(), columns.clone())
        };
        // The steps of the schema are there already, with the moment of this repair: theirs is the old one.
        let or = if *table == "_sqlx_migrations" {
            "REPLACE"
        } else {
            "IGNORE"
        };
        let sql = format!(
            "INSERT OR {or} INTO main.\"{table}\" ({into})
             SELECT {what} FROM old.\"{table}\" NOT INDEXED WHERE {of_server}{key} BETWEEN ? AND ?"
        );
        match sqlx::query(AssertSqlSafe(sql))
            .bind(from)
            .bind(to)
            .execute(&mut *self.connection)
            .await
        {
            Ok(copied) => Ok(Some(copied.rows_affected())),
            Err(error) => is_damage(error).map(|()| None),
        }
    }

    async fn has_key_column(&mut self, table: &str) -> Result<bool> {
        Ok(sqlx::query_scalar(
            "SELECT EXISTS (SELECT 1 FROM pragma_table_info(?) WHERE pk = 1 AND upper(type) = 'INTEGER')",
        )
        .bind(table)
        .fetch_one(&mut *self.connection)
        .await?)
    }

    /// A table without row numbers, from its front and from its back, row by row.
    async fn both_ends(&mut self, table: &str, columns: &str) -> Result<()> {
        let key: Vec<String> = sqlx::query_scalar(
            "SELECT '\"' || name || '\"' FROM pragma_table_info(?) WHERE pk > 0 ORDER BY pk",
        )
        .bind(table)
        .fetch_all(&mut *self.connection)
        .await?;
        for order in ["ASC", "DESC"] {
            let order = key
                .iter()
                .map(|column| format!("{column} {order}"))
                .collect::<Vec<_>>()
                .join(", ");
            let mut at = 0_i64;
            loop {
                let sql = format!(
                    "INSERT OR IGNORE INTO main.\"{table}\" ({columns})
                     SELECT {columns} FROM old.\"{table}\" ORDER BY {order} LIMIT 1 OFFSET ?"
                );
                let copied = sqlx::query(AssertSqlSafe(sql))
                    .bind(at)
                    .execute(&mut *self.connection)
                    .await;
                match copied.map(|copied| copied.rows_affected()) {
                    Ok(0) => return self.count(table).await,
                    Ok(_) => at += 1,
                    Err(error) => {
                        is_damage(error)?;
                        break;
                    }
                }
            }
        }
        // Both ways ended at a damage.
        self.lost.push((i64::MIN, i64::MAX));
        self.count(table).await
    }

    async fn count(&mut self, table: &str) -> Result<()> {
        let rows: i64 = sqlx::query_scalar(AssertSqlSafe(format!("SELECT count(*) FROM main.\"{table}\"")))
            .fetch_one(&mut *self.connection)
            .await?;
        self.rows = rows.unsigned_abs();
        Ok(())
    }
}

/// Gives servers that were lost a row, switched off, so that what was measured of them stays.
async fn adopt_orphans(connection: &mut SqliteConnection, done: &mut Vec<String>) -> Result<()> {
    let orphans: Vec<i64> = sqlx::query_scalar(
        "SELECT server_id FROM (SELECT server_id FROM sample UNION SELECT server_id FROM block
             UNION SELECT server_id FROM series)
         WHERE server_id > 0 AND server_id NOT IN (SELECT id FROM server)
           AND server_id NOT IN (SELECT server_id FROM removal)",
    )
    .fetch_all(&mut *connection)
    .await?;
    for id in orphans {
        sqlx::query(
            "INSERT INTO server (id, name, ip, ssh_port, ssh_user, transport, tags, cpu_warning_percent,
                 cpu_critical_percent, memory_warning_percent, memory_critical_percent, disk_warning_percent,
                 disk_critical_percent, enabled, created_at, updated_at)
             VALUES (?1, 'recovered-' || ?1, 'unknown.invalid', 22, 'root', 'ssh', '[]', 80, 90, 85, 90, 90, 95, 0, 0, 0)",
        )
        .bind(id)
        .execute(&mut *connection)
        .await?;
        done.push(format!(
            "server number {id} was lost and is now recovered-{id}, switched off: enter its name, address and credential"
        ));
    }
    Ok(())
}
