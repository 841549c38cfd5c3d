//! Reads the database of the original Python system (`monitor.db`), whatever its version.
//!
//! Columns are looked up by name; those that are missing are empty, those that are not known are
//! named. Everything comes as text: what it means is decided in `import`. The file is opened for
//! reading only.

use std::collections::BTreeMap;
use std::path::Path;

use sqlx::sqlite::{SqliteConnection, SqliteRow};
use sqlx::{AssertSqlSafe, Row};

use super::copy::open_read_only;
use super::{Result, StoreError};

/// A table of the original system: its columns, each with the names it may have.
#[derive(Debug, Clone, Copy)]
pub struct OldTable {
    /// Its name.
    pub name: &'static str,
    /// Its columns; the first name is the one rows are asked by.
    pub columns: &'static [&'static [&'static str]],
}

/// Monitored machines.
pub const SERVERS: OldTable = OldTable {
    name: "servers",
    columns: &[
        &["id"],
        &["name", "hostname"],
        &["ip", "ip_address", "host", "address"],
        &["ssh_user", "ssh_username", "username"],
        &["ssh_password", "password"],
        &["ssh_key_path", "ssh_key", "private_key_path", "key_path"],
        &["ssh_port", "port"],
        &["cpu_threshold"],
        &["memory_threshold"],
        &["disk_threshold"],
    ],
};

/// Measured values.
pub const METRICS: OldTable = OldTable {
    name: "metrics",
    columns: &[
        &["server_id"],
        &["timestamp", "created_at", "time"],
        &["cpu_usage", "cpu"],
        &["memory_usage", "memory", "mem_usage"],
        &["disk_usage", "disk"],
        &["load_avg", "load_average", "load"],
        &["processes", "process_count"],
    ],
};

/// What was wrong.
pub const ALERTS: OldTable = OldTable {
    name: "alerts",
    columns: &[
        &["server_id"],
        &["type", "alert_type"],
        &["message"],
        &["level", "severity"],
        &["resolved", "is_resolved"],
        &["resolved_at"],
        &["created_at", "timestamp"],
    ],
};

const TABLES: [OldTable; 3] = [SERVERS, METRICS, ALERTS];

/// A row of the original system: texts by the first name of their column; empty ones are absent.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct OldRow {
    /// Its place in the table.
    pub number: i64,
    values: BTreeMap<&'static str, String>,
}

impl OldRow {
    /// The text of a column.
    #[must_use]
    pub fn get(&self, column: &str) -> Option<&str> {
        self.values.get(column).map(String::as_str)
    }
}

/// The file, open.
pub struct OldDatabase {
    connection: SqliteConnection,
    /// For each table there is, what to select.
    selects: BTreeMap<&'static str, String>,
    /// Tables and columns that nothing is taken from.
    pub ignored: Vec<String>,
}

impl OldDatabase {
    /// Opens it.
    ///
    /// # Errors
    /// It is not there, no database, or has no table `servers` with names and addresses.
    pub async fn open(path: &Path) -> Result<Self> {
        let mut connection = open_read_only(path).await?;
        let fail = |error: sqlx::Error| StoreError::from(error).at(path);
        let tables: Vec<String> = sqlx::query_scalar(
            "SELECT name FROM sqlite_schema WHERE type = 'table' AND name NOT LIKE 'sqlite\\_%' ESCAPE '\\'
             ORDER BY name",
        )
        .fetch_all(&mut connection)
        .await
        .map_err(fail)?;
        let mut selects = BTreeMap::new();
        let mut ignored = Vec::new();
        for name in tables {
            let Some(table) = TABLES.iter().find(|table| table.name == name) else {
                ignored.push(format!("table {name}"));
                continue;
            };
            let there: Vec<String> = sqlx::query_scalar("SELECT name FROM pragma_table_info(?)")
                .bind(table.name)
                .fetch_all(&mut connection)
                .await
                .map_err(fail)?;
            let mut wanted = vec!["rowid AS \"number\"".to_owned()];
            let mut taken = Vec::new();
            for names in table.columns {
                if let Some(column) = names
                    .iter()
                    .find(|name| there.iter().any(|there| there == **name))
                {
                    wanted.push(format!("CAST(\"{column}\" AS TEXT) AS \"{}\"", names[0]));
                    taken.push(*column);
                }
            }
            for column in &there {
                if !taken.contains(&column.as_str()) && column != "id" {
                    ignored.push(format!("column {name}.{column}"));
                }
            }
            selects.insert(
                table.name,
                format!("SELECT {} FROM \"{}\"", wanted.join(", "), table.name),
            );
        }
        let servers = selects.get(SERVERS.name).map_or("", String::as_str);
        if !servers.contains("\"name\"") || !servers.contains("\"ip\"") {
            return Err(StoreError::Unsound {
                path: path.to_owned(),
                problems: vec![
                    "it is no database of the original system: it has no table servers with the columns name and ip"
                        .to_owned(),
                ],
            });
        }
        Ok(Self {
            connection,
            selects,
            ignored,
        })
    }

    /// Whether there is such a table.
    #[must_use]
    pub fn has(&self, table: &OldTable) -> bool {
        self.selects.contains_key(table.name)
    }

    /// Rows of a table in its own order, after a place in it.
    ///
    /// # Errors
    /// The file cannot be read.
    pub async fn rows(&mut self, table: &OldTable, after: i64, limit: u32) -> Result<Vec<OldRow>> {
        let Some(select) = self.selects.get(table.name) else {
            return Ok(Vec::new());
        };
        let sql = format!("{select} WHERE rowid > ? ORDER BY rowid LIMIT ?");
        let rows = sqlx::query(AssertSqlSafe(sql))
            .bind(after)
            .bind(limit)
            .fetch_all(&mut self.connection)
            .await?;
        rows.iter().map(|row| row_of(table, row)).collect()
    }
}

fn row_of(table: &OldTable, row: &SqliteRow) -> Result<OldRow> {
    let mut values = BTreeMap::new();
    for names in table.columns {
        // A column that is not there was not selected.
        if let Ok(Some(text)) = row.try_get::<Option<String>, _>(names[0]) {
            let text = text.trim();
            if !text.is_empty() {
                values.insert(names[0], text.to_owned());
            }
        }
    }
    Ok(OldRow {
        number: row.try_get("number")?,
        values,
    })
}
