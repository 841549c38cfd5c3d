//! Alerts: what the engine decided, and what a person asks for.

use sqlx::sqlite::{SqliteConnection, SqliteRow};
use sqlx::{QueryBuilder, Row, Sqlite};

use super::words::{from_json, from_word, to_json, to_word};
use super::{AlertQuery, Result, Store};
use crate::model::alert::{AlertKey, AlertPhase};
use crate::model::commit::AlertChange;
use crate::model::{Alert, AlertId, ServerId, Timestamp};

const COLUMNS: &str = "id, server_id, rule, label, phase, level, pending_since, created_at, resolved_at, \
     resolved_by, held, clearing_since, level_change_since, evidence_at, evidence_count, params";

fn alert_of(row: &SqliteRow) -> Result<Alert> {
    let moment = |column| Ok::<_, sqlx::Error>(row.try_get::<Option<i64>, _>(column)?.map(Timestamp));
    Ok(Alert {
        id: AlertId(row.try_get("id")?),
        key: AlertKey {
            server_id: ServerId(row.try_get("server_id")?),
            rule: from_word(row.try_get("rule")?)?,
            label: row.try_get("label")?,
        },
        phase: from_word(row.try_get("phase")?)?,
        level: from_word(row.try_get("level")?)?,
        pending_since: Timestamp(row.try_get("pending_since")?),
        created_at: Timestamp(row.try_get("created_at")?),
        resolved_at: moment("resolved_at")?,
        resolved_by: row.try_get("resolved_by")?,
        held: row.try_get("held")?,
        clearing_since: moment("clearing_since")?,
        level_change_since: moment("level_change_since")?,
        evidence_at: Timestamp(row.try_get("evidence_at")?),
        evidence_count: row.try_get("evidence_count")?,
        params: from_json(row.try_get("params")?)?,
    })
}

/// Whether an alert counts against "one open alert per (rule, server, label)". The same words
/// as the unique index `alert_open`.
fn is_open(alert: &Alert) -> bool {
    alert.phase != AlertPhase::Resolved || alert.held
}

/// Applies one change inside a transaction.
pub(super) async fn apply(connection: &mut SqliteConnection, change: &AlertChange) -> Result<()> {
    let alert = match change {
        AlertChange::Put(alert) => alert,
        AlertChange::Forget(id) => {
            sqlx::query("DELETE FROM alert WHERE id = ?")
                .bind(id.0)
                .execute(connection)
                .await?;
            return Ok(());
        }
    };
    if is_open(alert) {
        // A second open alert of the same identity must never block the whole pipeline: the
        // newer decision stands and the older alert is closed.
        let closed = sqlx::query(
            "UPDATE alert SET phase = 'resolved', held = 0, resolved_at = coalesce(resolved_at, ?)
             WHERE server_id = ? AND rule = ? AND label = ? AND (phase <> 'resolved' OR held = 1) AND id <> ?",
        )
        .bind(alert.created_at.0)
        .bind(alert.key.server_id.0)
        .bind(alert.key.rule.as_str())
        .bind(&alert.key.label)
        .bind(alert.id.0)
        .execute(&mut *connection)
        .await?;
        if closed.rows_affected() > 0 {
            tracing::debug!(
                alert.id = alert.id.0,
                "an older open alert of the same identity was closed"
            );
        }
    }
    sqlx::query(
        "INSERT INTO alert (id, server_id, rule, label, phase, level, pending_since, created_at, resolved_at,
             resolved_by, held, clearing_since, level_change_since, evidence_at, evidence_count, params)
         VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)
         ON CONFLICT (id) DO UPDATE SET server_id = excluded.server_id, rule = excluded.rule,
             label = excluded.label, phase = excluded.phase, level = excluded.level,
             pending_since = excluded.pending_since, created_at = excluded.created_at,
             resolved_at = excluded.resolved_at, resolved_by = excluded.resolved_by, held = excluded.held,
             clearing_since = excluded.clearing_since, level_change_since = excluded.level_change_since,
             evidence_at = excluded.evidence_at, evidence_count = excluded.evidence_count,
             params = excluded.params",
    )
    .bind(alert.id.0)
    .bind(alert.key.server_id.0)
    .bind(alert.key.rule.as_str())
    .bind(&alert.key.label)
    .bind(to_word(&alert.phase)?)
    .bind(alert.level.as_str())
    .bind(alert.pending_since.0)
    .bind(alert.created_at.0)
    .bind(alert.resolved_at.map(Timestamp::as_millis))
    .bind(alert.resolved_by.as_deref())
    .bind(alert.held)
    .bind(alert.clearing_since.map(Timestamp::as_millis))
    .bind(alert.level_change_since.map(Timestamp::as_millis))
    .bind(alert.evidence_at.0)
    .bind(alert.evidence_count)
    .bind(to_json(&alert.params)?)
    .execute(connection)
    .await?;
    Ok(())
}

impl Store {
    /// Firing and resolved alerts, newest first. Pending ones are never shown.
    ///
    /// # Errors
    /// The database cannot be read.
    pub async fn alerts(&self, query: &AlertQuery) -> Result<Vec<Alert>> {
        self.fetch_alerts(alerts_sql(query)).await
    }

    /// One alert that is not pending.
    ///
    /// # Errors
    /// The database cannot be read.
    pub async fn alert(&self, id: AlertId) -> Result<Option<Alert>> {
        let mut sql = QueryBuilder::new("SELECT ");
        sql.push(COLUMNS)
            .push(" FROM alert WHERE phase <> 'pending' AND id = ")
            .push_bind(id.0);
        Ok(self.fetch_alerts(sql).await?.pop())
    }

    /// What the engine needs to go on after a restart: pending, firing and held alerts.
    ///
    /// # Errors
    /// The database cannot be read.
    pub async fn load_open_alerts(&self) -> Result<Vec<Alert>> {
        let mut sql = QueryBuilder::new("SELECT ");
        sql.push(COLUMNS)
            .push(" FROM alert WHERE phase <> 'resolved' OR held = 1 ORDER BY id");
        self.fetch_alerts(sql).await
    }

    /// The first id no alert has had so far.
    ///
    /// # Errors
    /// The database cannot be read.
    pub async fn next_alert_id(&self) -> Result<i64> {
        Ok(sqlx::query_scalar(
            "SELECT coalesce((SELECT seq FROM sqlite_sequence WHERE name = 'alert'), 0) + 1",
        )
        .fetch_one(&self.inner.readers)
        .await?)
    }

    async fn fetch_alerts(&self, mut sql: QueryBuilder<Sqlite>) -> Result<Vec<Alert>> {
        sql.build()
            .fetch_all(&self.inner.readers)
            .await?
            .iter()
            .map(alert_of)
            .collect()
    }
}

pub(super) fn alerts_sql(query: &AlertQuery) -> QueryBuilder<Sqlite> {
    let mut sql = QueryBuilder::new("SELECT ");
    sql.push(COLUMNS).push(" FROM alert WHERE ");
    sql.push(match query.resolved {
        Some(true) => "phase = 'resolved'",
        Some(false) => "phase = 'firing'",
        None => "phase <> 'pending'",
    });
    if let Some(server_id) = query.server_id {
        sql.push(" AND server_id = ").push_bind(server_id.0);
    }
    if let Some(level) = query.level {
        sql.push(" AND level = ").push_bind(level.as_str());
    }
    if let Some(before) = query.before {
        sql.push(" AND id < ").push_bind(before.0);
    }
    sql.push(" ORDER BY id DESC LIMIT ")
        .push_bind(i64::from(query.limit));
    sql
}
