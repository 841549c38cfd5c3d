//! Whether a database file is sound: its pages, its schema, its references, its samples, its secrets.
//!
//! Reads one consistent view through a read-only connection, so it may run beside the hub. What
//! is found is told in sentences; [`super::repair()`] mends what can be mended.

use std::collections::{BTreeMap, HashMap, HashSet};
use std::path::{Path, PathBuf};

use futures_util::TryStreamExt;
use sqlx::sqlite::SqliteConnection;
use sqlx::{Connection, Row};

use super::cells::pick;
use super::copy::open_read_only;
use super::layout::series_of;
use super::open::{MIGRATOR, newest_schema};
use super::{MasterKey, Result, StoreError, secrets, verify};
use crate::model::{ServerId, Timestamp};

/// Lines of SQLite's own check that are shown; a badly damaged file has thousands.
const MOST_LINES: usize = 20;

/// What was found of a file.
#[derive(Debug, Clone)]
pub struct CheckReport {
    /// The file.
    pub path: PathBuf,
    /// Its size in bytes, without its log.
    pub bytes: u64,
    /// Its schema version; `None` where it could not be read.
    pub schema: Option<i64>,
    /// Enrolled servers.
    pub servers: u64,
    /// Samples that were read.
    pub samples: u64,
    /// The newest sample.
    pub newest: Option<Timestamp>,
    /// Whether the master key in hand opens its secrets.
    pub key: KeyFit,
    /// What is wrong, worst first. Empty: the file is sound.
    pub problems: Vec<Problem>,
}

impl CheckReport {
    /// Whether nothing is wrong.
    #[must_use]
    pub fn is_sound(&self) -> bool {
        self.problems.is_empty()
    }

    /// Whether a hub can work with the file: what is wrong concerns single values only.
    #[must_use]
    pub fn is_usable(&self) -> bool {
        !self.problems.iter().any(|problem| problem.kind.is_fatal())
    }

    /// Refuses a file that no hub could work with.
    ///
    /// # Errors
    /// [`StoreError::Unsound`] with what is wrong.
    pub fn usable(self) -> Result<Self> {
        if self.is_usable() {
            return Ok(self);
        }
        let fatal = self
            .problems
            .into_iter()
            .filter(|problem| problem.kind.is_fatal());
        let mut problems: Vec<String> = fatal.map(|problem| problem.what).collect();
        let more = problems.len().saturating_sub(3);
        problems.truncate(3);
        if more > 0 {
            problems.push(format!("and {more} more (gander-hub check names them)"));
        }
        Err(StoreError::Unsound {
            path: self.path,
            problems,
        })
    }
}

/// Whether a master key fits a file.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum KeyFit {
    /// The file holds no secret: any key will do.
    NotNeeded,
    /// It opens the secrets.
    Fits,
    /// The secrets were sealed with another key.
    Other,
    /// There are secrets, and no key to try.
    NoKey,
}

/// One thing that is wrong.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Problem {
    /// What sort of thing.
    pub kind: ProblemKind,
    /// What and where, in a sentence.
    pub what: String,
}

/// The sorts of problem.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum ProblemKind {
    /// The file is no database of a gander that this program knows.
    Schema,
    /// A page of the file is damaged.
    Page,
    /// An index does not agree with its table.
    Index,
    /// A row names another one that is not there.
    Reference,
    /// Values that do not decode.
    Values,
    /// A number that is kept is not the number of what is there.
    Count,
    /// A secret that does not open with the key that opens the others.
    Secret,
}

impl ProblemKind {
    /// Whether a hub cannot work with a file that has it.
    #[must_use]
    pub fn is_fatal(self) -> bool {
        matches!(self, Self::Schema | Self::Page | Self::Index)
    }
}

/// Which cells to read into which slots.
type Cells = Vec<(u32, u32)>;

/// A damaged sample, or one that belongs to nobody.
pub(super) struct BadSample {
    pub(super) server_id: i64,
    pub(super) taken_at: i64,
    pub(super) reason: &'static str,
}

/// Checks a database file. With the master key, its secrets too.
///
/// # Errors
/// The file is not there or cannot be read at all. What is wrong *inside* it is in the report.
pub async fn check(path: &Path, key: Option<&MasterKey>) -> Result<CheckReport> {
    let mut report = CheckReport {
        path: path.to_owned(),
        bytes: std::fs::metadata(path).map_or(0, |metadata| metadata.len()),
        schema: None,
        servers: 0,
        samples: 0,
        newest: None,
        key: KeyFit::NotNeeded,
        problems: Vec::new(),
    };
    let mut connection = match open_read_only(path).await {
        Ok(connection) => connection,
        Err(StoreError::Corrupt { detail, .. }) => {
            report.add(ProblemKind::Page, format!("it is no SQLite database ({detail})"));
            return Ok(report);
        }
        Err(error) => return Err(error),
    };
    let looked = look(&mut connection, key, &mut report).await;
    let _ = connection.close().await;
    match looked {
        Ok(()) => {}
        Err(StoreError::Corrupt { detail, .. }) => {
            // SQLite's check has named the pages already, where it came that far.
            if report.is_usable() {
                report.add(ProblemKind::Page, format!("it cannot be read ({detail})"));
            }
        }
        Err(error) => return Err(error.at(path)),
    }
    report.problems.sort_by_key(|problem| problem.kind);
    Ok(report)
}

impl CheckReport {
    pub(super) fn add(&mut self, kind: ProblemKind, what: impl Into<String>) {
        self.problems.push(Problem {
            kind,
            what: what.into(),
        });
    }
}

async fn look(
    connection: &mut SqliteConnection,
    key: Option<&MasterKey>,
    report: &mut CheckReport,
) -> Result<()> {
    sqlx::query("BEGIN").execute(&mut *connection).await?;
    if !schema_is_known(connection, report).await? {
        return Ok(());
    }
    pages(connection, report).await?;
    references(connection, report).await?;
    // What follows knows the tables of this schema only; an older one is brought up to date at a start.
    if report.schema == Some(newest_schema()) {
        report.servers = count(connection, "SELECT count(*) FROM server").await?;
        samples(connection, report).await?;
        blocks(connection, report).await?;
        tallies(connection, report).await?;
        secrets::look(connection, key, report).await?;
    }
    Ok(())
}

async fn count(connection: &mut SqliteConnection, sql: &'static str) -> Result<u64> {
    let count: i64 = sqlx::query_scalar(sql).fetch_one(connection).await?;
    Ok(count.unsigned_abs())
}

/// Whether this is a gander database that this program knows; says what it is where not.
async fn schema_is_known(connection: &mut SqliteConnection, report: &mut CheckReport) -> Result<bool> {
    let tables: HashSet<String> = sqlx::query_scalar("SELECT name FROM sqlite_schema WHERE type = 'table'")
        .fetch_all(&mut *connection)
        .await?
        .into_iter()
        .collect();
    if tables.is_empty() {
        report.add(ProblemKind::Schema, "it is empty");
        return Ok(false);
    }
    for table in ["_sqlx_migrations", "meta", "server"] {
        if !tables.contains(table) {
            report.add(
                ProblemKind::Schema,
                format!("it is a database, but not gander's: it has no table {table}"),
            );
            return Ok(false);
        }
    }
    let steps: Vec<(i64, bool, Vec<u8>)> =
        sqlx::query_as("SELECT version, success, checksum FROM _sqlx_migrations ORDER BY version")
            .fetch_all(connection)
            .await?;
    let known: BTreeMap<i64, &[u8]> = MIGRATOR
        .iter()
        .map(|step| (step.version, step.checksum.as_ref()))
        .collect();
    report.schema = steps.last().map(|step| step.0);
    if report.schema.is_none() {
        report.add(ProblemKind::Schema, "it has no schema");
    }
    for (version, success, checksum) in &steps {
        let problem = match known.get(version) {
            _ if !success => format!("the change to schema {version} was cut short"),
            None if *version > newest_schema() => {
                format!(
                    "it was written by a newer gander (schema {version}, this one knows {}): use that version",
                    newest_schema()
                )
            }
            None => format!("its schema {version} is not one of this gander's"),
            Some(own) if *own != checksum.as_slice() => {
                format!("its schema {version} is not the one this gander knows by that number")
            }
            Some(_) => continue,
        };
        report.add(ProblemKind::Schema, problem);
    }
    Ok(report.is_usable())
}

/// SQLite's own check of every page, index and constraint.
async fn pages(connection: &mut SqliteConnection, report: &mut CheckReport) -> Result<()> {
    let lines: Vec<String> = sqlx::query_scalar("PRAGMA integrity_check(1000)")
        .fetch_all(connection)
        .await?;
    if lines == ["ok"] {
        return Ok(());
    }
    for line in lines.iter().take(MOST_LINES) {
        report.add(
            kind_of(line),
            line.trim_start_matches("*** in database main ***\n"),
        );
    }
    if let Some(more) = lines.len().checked_sub(MOST_LINES).filter(|more| *more > 0) {
        let kind = lines.iter().skip(MOST_LINES).map(|line| kind_of(line)).min();
        report.add(
            kind.unwrap_or(ProblemKind::Page),
            format!("and {more} more of these"),
        );
    }
    Ok(())
}

/// What a line of `integrity_check` is about.
fn kind_of(line: &str) -> ProblemKind {
    let of_an_index = [
        " missing from index ",
        "wrong # of entries in index ",
        " differ from index ",
        "non-unique entry in index ",
    ];
    if of_an_index.iter().any(|words| line.contains(words)) {
        ProblemKind::Index
    } else {
        ProblemKind::Page
    }
}

/// Rows that name a row that is not there.
async fn references(connection: &mut SqliteConnection, report: &mut CheckReport) -> Result<()> {
    let mut broken: BTreeMap<(String, String), u64> = BTreeMap::new();
    let mut rows = sqlx::query("PRAGMA foreign_key_check").fetch(connection);
    while let Some(row) = rows.try_next().await? {
        *broken.entry((row.try_get(0)?, row.try_get(2)?)).or_default() += 1;
    }
    drop(rows);
    for ((table, parent), rows) in broken {
        let (rows, name) = if rows == 1 {
            ("1 row".to_owned(), "names")
        } else {
            (format!("{rows} rows"), "name")
        };
        report.add(
            ProblemKind::Reference,
            format!("{rows} of table {table} {name} a {parent} that is not there"),
        );
    }
    Ok(())
}

/// Reads every sample, down to its last cell.
async fn samples(connection: &mut SqliteConnection, report: &mut CheckReport) -> Result<()> {
    let mut bad: BTreeMap<(i64, &'static str), (u64, i64, i64)> = BTreeMap::new();
    let (total, newest) = bad_samples(connection, |sample| {
        let (number, first, last) =
            bad.entry((sample.server_id, sample.reason))
                .or_insert((0, sample.taken_at, sample.taken_at));
        *number += 1;
        *first = (*first).min(sample.taken_at);
        *last = (*last).max(sample.taken_at);
    })
    .await?;
    report.samples = total;
    report.newest = newest;
    let names: HashMap<i64, String> = sqlx::query_as("SELECT id, name FROM server")
        .fetch_all(connection)
        .await?
        .into_iter()
        .collect();
    for ((server_id, reason), (number, first, last)) in bad {
        let server = names
            .get(&server_id)
            .map_or_else(|| format!("number {server_id}"), Clone::clone);
        let samples = if number == 1 { "sample" } else { "samples" };
        report.add(
            ProblemKind::Values,
            format!(
                "{number} {samples} of server {server} from {} to {}: {reason}",
                Timestamp(first),
                Timestamp(last)
            ),
        );
    }
    Ok(())
}

/// Calls `visit` for every sample that does not decode or belongs to nobody; answers how many
/// samples there are, and the newest moment.
pub(super) async fn bad_samples(
    connection: &mut SqliteConnection,
    mut visit: impl FnMut(BadSample),
) -> Result<(u64, Option<Timestamp>)> {
    let owners: HashSet<i64> =
        sqlx::query_scalar("SELECT id FROM server UNION SELECT server_id FROM removal")
            .fetch_all(&mut *connection)
            .await?
            .into_iter()
            .collect();
    let removed: HashSet<i64> = sqlx::query_scalar("SELECT server_id FROM removal")
        .fetch_all(&mut *connection)
        .await?
        .into_iter()
        .collect();
    // Of every layout its server, and the cells to read: all of them.
    let mut layouts: HashMap<i64, (i64, Option<Cells>)> = HashMap::new();
    for row in sqlx::query("SELECT id, server_id, series FROM layout")
        .fetch_all(&mut *connection)
        .await?
    {
        let all = series_of(row.try_get("series")?)
            .map(|series| series.iter().zip(0_u32..).map(|(_, cell)| (cell, cell)).collect());
        layouts.insert(row.try_get("id")?, (row.try_get("server_id")?, all));
    }
    let mut total = 0;
    let mut newest = None;
    let mut rows = sqlx::query("SELECT server_id, taken_at, layout_id, cells FROM sample").fetch(connection);
    while let Some(row) = rows.try_next().await? {
        total += 1;
        let server_id: i64 = row.try_get("server_id")?;
        let taken_at: i64 = row.try_get("taken_at")?;
        newest = newest.max(Some(Timestamp(taken_at)));
        let reason = if !owners.contains(&server_id) {
            Some("the server is not there")
        } else if removed.contains(&server_id) {
            // Its layouts went with the server; the sample waits to be swept away.
            None
        } else {
            match layouts.get(&row.try_get("layout_id")?) {
                None => Some("their layout is not there"),
                Some((owner, _)) if *owner != server_id => Some("their layout is another server's"),
                Some((_, None)) => Some("their layout is damaged"),
                Some((_, Some(all))) => pick(row.try_get("cells")?, all, |_, _| ())
                    .err()
                    .map(|_| "the values are damaged"),
            }
        };
        if let Some(reason) = reason {
            visit(BadSample {
                server_id,
                taken_at,
                reason,
            });
        }
    }
    Ok((total, newest))
}

/// Reads every block, down to its last byte.
async fn blocks(connection: &mut SqliteConnection, report: &mut CheckReport) -> Result<()> {
    let found = verify::all_blocks(connection).await?;
    report.samples += found.samples;
    report.newest = report.newest.max(found.newest);
    for fault in found.faults {
        let what = if fault.tier_ms == 0 {
            "samples"
        } else {
            "buckets of a roll-up"
        };
        report.add(
            ProblemKind::Values,
            format!(
                "block {} with {} {what} of server number {} from {} to {}: {}",
                fault.block_id, fault.samples, fault.server_id, fault.first_at, fault.last_at, fault.problem
            ),
        );
    }
    Ok(())
}

/// The numbers of samples that are kept against those that are there.
async fn tallies(connection: &mut SqliteConnection, report: &mut CheckReport) -> Result<()> {
    let wrong: Vec<(i64, i64, i64, i64)> = sqlx::query_as(WRONG_TALLIES).fetch_all(connection).await?;
    for (server_id, kept, there, _) in wrong {
        report.add(
            ProblemKind::Count,
            format!(
                "server number {} is said to have {kept} samples and has {there}",
                ServerId(server_id)
            ),
        );
    }
    Ok(())
}

/// Server, number kept, number there, number in blocks: where what is kept differs.
pub(super) const WRONG_TALLIES: &str = "
    WITH counted AS (
             SELECT server_id, sum(samples) AS samples, sum(folded) AS folded FROM (
                 SELECT server_id, count(*) AS samples, 0 AS folded FROM sample GROUP BY server_id
                 UNION ALL
                 SELECT server_id, samples, samples FROM block WHERE tier = 0)
             GROUP BY server_id),
         ids AS (SELECT server_id FROM counted UNION SELECT server_id FROM tally)
    SELECT ids.server_id, coalesce(tally.samples, 0), coalesce(counted.samples, 0), coalesce(counted.folded, 0)
    FROM ids LEFT JOIN tally USING (server_id) LEFT JOIN counted USING (server_id)
    WHERE coalesce(tally.samples, 0) <> coalesce(counted.samples, 0)
       OR coalesce(tally.folded, 0) <> coalesce(counted.folded, 0)";
