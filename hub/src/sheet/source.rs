//! The rows of a sheet: measured values or alerts, read batch by batch.

use std::collections::HashMap;

use tokio::sync::mpsc;

use super::{Batch, Cell, Column, Kind, Layout, Row, words};
use crate::{
    alert::message::{self, Language},
    model::{Alert, AlertId, Metric, ServerId, Timestamp},
    store::{AlertQuery, MetricsQuery, SeriesQuery, Step, Store, StoreError},
};

/// Rows that are read and written together.
const BATCH: u32 = 2000;
/// Buckets of one query: what a batch of a series takes in memory.
const BUCKETS: u32 = 500;
/// Points of a series over the whole time, where nobody asked for a step.
const POINTS: i64 = 5000;
/// Steps of a series that can be asked for, in seconds.
pub const STEPS: [i64; 18] = [
    1, 2, 5, 10, 15, 30, 60, 120, 300, 600, 900, 1_800, 3_600, 7_200, 10_800, 21_600, 43_200, 86_400,
];

/// What is wanted.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum What {
    /// Every sample in the original system's columns.
    Metrics,
    /// Any metrics, stepped: minimum, mean and maximum of each step.
    Series {
        /// Which metrics, every label of each.
        metrics: Vec<Metric>,
        /// Length of a step in seconds, one of [`STEPS`]; `None`: by the length of the time.
        step_seconds: Option<i64>,
    },
    /// Alerts, newest first.
    Alerts,
}

/// Whose values, and of which time.
#[derive(Debug, Clone)]
pub struct Source {
    /// Where they are.
    pub store: Store,
    /// Names of all servers.
    pub names: HashMap<ServerId, String>,
    /// These servers, one after the other; empty: all (samples by time, series by server).
    pub servers: Vec<ServerId>,
    /// First moment; `None`: from the beginning.
    pub from: Option<Timestamp>,
    /// First moment after the end.
    pub to: Timestamp,
    /// Language of texts.
    pub language: Language,
}

/// Title and columns of a sheet.
#[must_use]
pub fn layout(what: &What, language: Language) -> Layout {
    let columns = |list: &[(&'static str, &'static str, &'static str, Kind, u16)]| {
        list.iter()
            .map(|(name, english, chinese, kind, width)| Column {
                name,
                heading: words::pick(language, english, chinese),
                kind: *kind,
                width: *width,
            })
            .collect()
    };
    let (title, columns) = match what {
        What::Metrics => (
            words::pick(language, "Metrics", "监控数据"),
            columns(&[
                ("time", "Time (UTC)", "时间 (UTC)", Kind::Moment, 20),
                ("server", "Server", "服务器", Kind::Text, 24),
                ("cpu_usage", "CPU (%)", "CPU 使用率 (%)", Kind::Number, 14),
                ("memory_usage", "Memory (%)", "内存使用率 (%)", Kind::Number, 14),
                ("disk_usage", "Disk / (%)", "根分区使用率 (%)", Kind::Number, 14),
                ("load_avg", "Load (1 min)", "负载 (1 分钟)", Kind::Number, 12),
                ("processes", "Processes", "进程数", Kind::Number, 11),
            ]),
        ),
        What::Series { .. } => (
            words::pick(language, "Series", "指标序列"),
            columns(&[
                ("time", "Time (UTC)", "时间 (UTC)", Kind::Moment, 20),
                ("server", "Server", "服务器", Kind::Text, 24),
                ("metric", "Metric", "指标", Kind::Text, 24),
                ("label", "Part", "对象", Kind::Text, 16),
                ("unit", "Unit", "单位", Kind::Text, 16),
                ("min", "Minimum", "最小值", Kind::Number, 14),
                ("avg", "Mean", "平均值", Kind::Number, 14),
                ("max", "Maximum", "最大值", Kind::Number, 14),
            ]),
        ),
        What::Alerts => (
            words::pick(language, "Alerts", "告警"),
            columns(&[
                ("started", "Started (UTC)", "开始时间 (UTC)", Kind::Moment, 20),
                ("server", "Server", "服务器", Kind::Text, 24),
                ("level", "Level", "级别", Kind::Text, 10),
                ("message", "Message", "内容", Kind::Text, 70),
                ("state", "State", "状态", Kind::Text, 10),
                ("ended", "Ended (UTC)", "结束时间 (UTC)", Kind::Moment, 20),
                ("ended_by", "Ended by", "处理人", Kind::Text, 18),
            ]),
        ),
    };
    Layout { title, columns }
}

/// Whether somebody still wants rows.
type Wanted = Result<bool, StoreError>;

impl Source {
    /// Reads until the end, or until nobody takes the rows any more. An error is the last batch.
    pub async fn run(self, what: What, rows: mpsc::Sender<Batch>) {
        let servers: Vec<Option<ServerId>> = if self.servers.is_empty() {
            vec![None]
        } else {
            self.servers.iter().copied().map(Some).collect()
        };
        for server_id in servers {
            let read = match &what {
                What::Metrics => self.metrics(server_id, &rows).await,
                What::Alerts => self.alerts(server_id, &rows).await,
                What::Series {
                    metrics,
                    step_seconds,
                } => self.series(server_id, metrics, *step_seconds, &rows).await,
            };
            match read {
                Ok(true) => {}
                Ok(false) => return,
                Err(error) => {
                    let _ = rows.send(Err(error.to_string())).await;
                    return;
                }
            }
        }
    }

    fn name(&self, id: ServerId) -> &str {
        self.names.get(&id).map_or("?", String::as_str)
    }

    async fn metrics(&self, server_id: Option<ServerId>, rows: &mpsc::Sender<Batch>) -> Wanted {
        let mut after = None;
        loop {
            let query = MetricsQuery {
                server_id,
                from: self.from,
                to: Some(self.to),
                limit: BATCH,
                after,
            };
            let page = self.store.metric_rows(&query).await?;
            after = page.next;
            let batch = page
                .rows
                .iter()
                .map(|row| {
                    vec![
                        row.taken_at.into(),
                        self.name(row.server_id).into(),
                        divided(row.cpu_usage_permille, 10.0),
                        divided(row.memory_usage_permille, 10.0),
                        divided(row.disk_usage_permille, 10.0),
                        divided(row.load_1_hundredths, 100.0),
                        divided(row.processes, 1.0),
                    ]
                })
                .collect();
            if rows.send(Ok(batch)).await.is_err() {
                return Ok(false);
            }
            if after.is_none() {
                return Ok(true);
            }
        }
    }

    async fn series(
        &self,
        server_id: Option<ServerId>,
        metrics: &[Metric],
        step_seconds: Option<i64>,
        rows: &mpsc::Sender<Batch>,
    ) -> Wanted {
        let stats = self.store.storage_stats().await?;
        for server in stats.per_server {
            if server_id.is_some_and(|wanted| wanted != server.server_id) {
                continue;
            }
            // Nothing is read where there is nothing.
            let (Some(oldest), Some(newest)) = (server.oldest, server.newest) else {
                continue;
            };
            let from = self.from.unwrap_or(oldest);
            let step_ms = 1000 * step_seconds.unwrap_or_else(|| step_for(from, self.to));
            let end = self.to.min(newest.plus_millis(1)).0;
            let mut start = from.max(oldest).0.div_euclid(step_ms) * step_ms;
            while start < end {
                let next = start.saturating_add(step_ms * i64::from(BUCKETS));
                let window = (Timestamp(start.max(from.0)), Timestamp(next.min(end)));
                let batch = self.window(server.server_id, metrics, window, step_ms).await?;
                if rows.send(Ok(batch)).await.is_err() {
                    return Ok(false);
                }
                start = next;
            }
        }
        Ok(true)
    }

    async fn window(
        &self,
        server_id: ServerId,
        metrics: &[Metric],
        (from, to): (Timestamp, Timestamp),
        step_ms: i64,
    ) -> Result<Vec<Row>, StoreError> {
        let answer = self
            .store
            .query(&series_query(server_id, metrics, from, to, step_ms))
            .await?;
        let mut rows = Vec::new();
        for (index, time) in answer.times.iter().enumerate() {
            for points in &answer.series {
                // A gap is no row.
                let Some(avg) = points.avg.get(index).copied().flatten() else {
                    continue;
                };
                let (unit, divisor) = points.unit.shown();
                let at = |values: &[Option<i64>]| divided(values.get(index).copied().flatten(), divisor);
                rows.push(vec![
                    (*time).into(),
                    self.name(server_id).into(),
                    points.metric.name().into(),
                    points.label.as_str().into(),
                    unit.into(),
                    at(&points.min),
                    Cell::Number((avg / divisor * 1000.0).round() / 1000.0),
                    at(&points.max),
                ]);
            }
        }
        Ok(rows)
    }

    async fn alerts(&self, server_id: Option<ServerId>, rows: &mpsc::Sender<Batch>) -> Wanted {
        let mut before: Option<AlertId> = None;
        loop {
            let alerts = self
                .store
                .alerts(&AlertQuery {
                    server_id,
                    limit: BATCH,
                    before,
                    ..AlertQuery::default()
                })
                .await?;
            before = alerts.last().map(|alert| alert.id);
            let is_wanted = |alert: &&Alert| {
                alert.created_at < self.to && self.from.is_none_or(|from| alert.created_at >= from)
            };
            let batch = alerts.iter().filter(is_wanted).map(|alert| {
                let name = self.name(alert.key.server_id);
                vec![
                    alert.created_at.into(),
                    name.into(),
                    words::level_name(alert.level, self.language).into(),
                    message::render(alert, name, self.language).into(),
                    words::phase_name(alert.phase, self.language).into(),
                    alert.resolved_at.into(),
                    alert.resolved_by.clone().into(),
                ]
            });
            if rows.send(Ok(batch.collect())).await.is_err() {
                return Ok(false);
            }
            if before.is_none() {
                return Ok(true);
            }
        }
    }
}

fn series_query(
    server_id: ServerId,
    metrics: &[Metric],
    from: Timestamp,
    to: Timestamp,
    step_ms: i64,
) -> SeriesQuery {
    SeriesQuery {
        server_id,
        metrics: metrics.to_vec(),
        from,
        to,
        max_points: 2 * BUCKETS,
        step: Step::Fixed(step_ms),
    }
}

/// The smallest step that makes no more than [`POINTS`] of a time.
fn step_for(from: Timestamp, to: Timestamp) -> i64 {
    let seconds = to.millis_since(from) / 1000;
    STEPS
        .into_iter()
        .find(|step| seconds / step <= POINTS)
        .unwrap_or(STEPS[STEPS.len() - 1])
}

#[expect(
    clippy::cast_precision_loss,
    reason = "above 2^53 (9 PB) a sheet loses the last bytes anyway"
)]
fn divided(value: Option<i64>, divisor: f64) -> Cell {
    value.map(|value| value as f64 / divisor).into()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_step_follows_from_the_time() {
        let hours = |hours: i64| step_for(Timestamp(0), Timestamp(hours * 3_600_000));
        assert_eq!(hours(1), 1);
        assert_eq!(hours(24), 30);
        assert_eq!(hours(24 * 365), 7200);
        assert_eq!(hours(24 * 365 * 100), 86_400);
    }
}
