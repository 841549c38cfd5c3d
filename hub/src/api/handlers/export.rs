//! Sheets to take away.

use std::{collections::HashMap, sync::Arc};

use axum::{
    body::Body,
    extract::State,
    http::{HeaderMap, header},
    response::{IntoResponse, Response},
};
use tokio::sync::mpsc;

use crate::{
    alert::message,
    api::{
        error::{ApiError, ApiResult},
        extract::Query,
        form::given,
        handlers::{
            alerts::{name_of, server_names},
            metrics::{must_exist, row as metric_row, server_field},
        },
        paging::{self, Span},
        sheet::{self, Cell, Column, Output, Row},
        state::ApiState,
        words::{self, Language},
    },
    model::{AlertId, ServerId, Timestamp},
    store::{AlertQuery, MetricsQuery, StoreError},
};

#[derive(Debug, Clone, Copy)]
enum Kind {
    Metrics,
    Alerts,
    Servers,
}

#[derive(Debug, Clone, Copy)]
enum Format {
    Xlsx,
    Csv,
}

/// Rows that are read and written together.
const BATCH: u32 = 2000;

type Batch = Result<Vec<Row>, String>;

/// A sheet of metrics, alerts or servers
///
/// Excel or CSV (UTF-8 with a byte order mark), streamed. Texts that a spreadsheet would run as
/// a formula are neutralised.
#[utoipa::path(get, path = "/api/export", tag = "metrics",
    params(
        ("kind" = String, Query, description = "metrics, alerts or servers"),
        ("format" = Option<String>, Query, description = "xlsx (default) or csv"),
        ("server_id" = Option<i64>, Query, description = "Of one server"),
        ("hours" = Option<f64>, Query, description = "The last so many hours, instead of from and to"),
        ("from" = Option<String>, Query, description = "First moment, RFC 3339"),
        ("to" = Option<String>, Query, description = "Last moment, RFC 3339; default now"),
        ("lang" = Option<String>, Query, description = "zh or en; default by Accept-Language"),
    ),
    responses((status = 200, description = "The file", content(
        (Vec<u8> = "application/vnd.openxmlformats-officedocument.spreadsheetml.sheet"),
        (String = "text/csv"),
    ))))]
pub(crate) async fn export(
    State(state): State<ApiState>,
    headers: HeaderMap,
    Query(mut form): Query,
) -> ApiResult<Response> {
    let now = Timestamp::now();
    let kinds = [
        ("metrics", Kind::Metrics),
        ("alerts", Kind::Alerts),
        ("servers", Kind::Servers),
    ];
    let kind = form.choice("kind", &kinds);
    let kind = form.require("kind", kind);
    let format = form
        .choice("format", &[("xlsx", Format::Xlsx), ("csv", Format::Csv)])
        .or(Format::Xlsx);
    let server_id = server_field(&mut form);
    let span = paging::span(&mut form, now, None);
    let languages = [("zh", Language::Chinese), ("en", Language::English)];
    let language = form.choice("lang", &languages).or(words::language_of(&headers));
    form.finish()?;
    let kind = given(kind)?;
    must_exist(&state, server_id).await?;

    let place = Arc::clone(&state.exports).try_acquire_owned().map_err(|_| {
        ApiError::too_many(
            "busy",
            "two exports are running already: try again when one has ended",
            10,
        )
    })?;
    let names = server_names(&state).await?;
    let (sender, rows) = mpsc::channel(2);
    let source = Source {
        state,
        names,
        server_id,
        span,
        language,
        rows: sender,
    };
    // Ends by itself: the sheet's writer drops the receiver when the client goes away.
    tokio::spawn(source.run(kind));

    let (name, columns) = layout(kind, language);
    let (mime, ending, bytes) = match format {
        Format::Xlsx => (
            "application/vnd.openxmlformats-officedocument.spreadsheetml.sheet",
            "xlsx",
            sheet::write_xlsx(name, columns, rows),
        ),
        Format::Csv => ("text/csv; charset=utf-8", "csv", sheet::write_csv(columns, rows)),
    };
    let file = format!("gander-{}-{}.{ending}", kind.word(), day(now));
    Ok((
        [
            (header::CONTENT_TYPE, mime.to_owned()),
            (
                header::CONTENT_DISPOSITION,
                format!("attachment; filename=\"{file}\""),
            ),
        ],
        Body::from_stream(Output::new(bytes, place)),
    )
        .into_response())
}

impl Kind {
    fn word(self) -> &'static str {
        match self {
            Self::Metrics => "metrics",
            Self::Alerts => "alerts",
            Self::Servers => "servers",
        }
    }
}

/// The day of a moment: `2026-11-22`.
fn day(moment: Timestamp) -> String {
    moment.to_string().chars().take(10).collect()
}

/// The sheet's name and its columns.
fn layout(kind: Kind, language: Language) -> (&'static str, Vec<Column>) {
    let columns = |list: &[(&'static str, &'static str, u16)]| {
        list.iter()
            .map(|(english, chinese, width)| Column {
                heading: words::pick(language, english, chinese),
                width: *width,
            })
            .collect()
    };
    match kind {
        Kind::Metrics => (
            words::pick(language, "Metrics", "监控数据"),
            columns(&[
                ("Time (UTC)", "时间 (UTC)", 20),
                ("Server", "服务器", 24),
                ("CPU (%)", "CPU 使用率 (%)", 14),
                ("Memory (%)", "内存使用率 (%)", 14),
                ("Disk / (%)", "根分区使用率 (%)", 14),
                ("Load (1 min)", "负载 (1 分钟)", 12),
                ("Processes", "进程数", 11),
            ]),
        ),
        Kind::Alerts => (
            words::pick(language, "Alerts", "告警"),
            columns(&[
                ("Started (UTC)", "开始时间 (UTC)", 20),
                ("Server", "服务器", 24),
                ("Level", "级别", 10),
                ("Message", "内容", 70),
                ("State", "状态", 10),
                ("Ended (UTC)", "结束时间 (UTC)", 20),
                ("Ended by", "处理人", 18),
            ]),
        ),
        Kind::Servers => (
            words::pick(language, "Servers", "服务器"),
            columns(&[
                ("Name", "名称", 24),
                ("Address", "地址", 24),
                ("Port", "端口", 8),
                ("User", "用户", 14),
                ("Group", "分组", 16),
                ("Tags", "标签", 24),
                ("Status", "状态", 10),
                ("Last seen (UTC)", "最近在线 (UTC)", 20),
                ("CPU (%)", "CPU 使用率 (%)", 14),
                ("Memory (%)", "内存使用率 (%)", 14),
                ("Disk / (%)", "根分区使用率 (%)", 14),
                ("Load (1 min)", "负载 (1 分钟)", 12),
                ("Operating system", "操作系统", 30),
                ("Kernel", "内核", 24),
            ]),
        ),
    }
}

/// Reads the rows of a sheet, batch by batch.
struct Source {
    state: ApiState,
    names: HashMap<ServerId, String>,
    server_id: Option<ServerId>,
    span: Span,
    language: Language,
    rows: mpsc::Sender<Batch>,
}

impl Source {
    async fn run(self, kind: Kind) {
        let result = match kind {
            Kind::Metrics => self.metrics().await,
            Kind::Alerts => self.alerts().await,
            Kind::Servers => self.servers().await,
        };
        if let Err(error) = result {
            let _ = self.rows.send(Err(error.to_string())).await;
        }
    }

    /// Hands a batch on; says whether somebody still wants more.
    async fn hand_on(&self, rows: Vec<Row>) -> bool {
        self.rows.send(Ok(rows)).await.is_ok() && !self.state.shutdown.is_cancelled()
    }

    fn name(&self, id: ServerId) -> &str {
        self.names.get(&id).map_or("?", String::as_str)
    }

    async fn metrics(&self) -> Result<(), StoreError> {
        let mut after = None;
        loop {
            let page = self
                .state
                .store
                .metric_rows(&MetricsQuery {
                    server_id: self.server_id,
                    from: self.span.from,
                    to: Some(self.span.to),
                    limit: BATCH,
                    after,
                })
                .await?;
            after = page.next;
            let rows = page.rows.iter().map(|stored| {
                let row = metric_row(stored);
                vec![
                    row.timestamp.into(),
                    self.name(row.server_id).into(),
                    row.cpu_usage.into(),
                    row.memory_usage.into(),
                    row.disk_usage.into(),
                    row.load_avg.into(),
                    count(row.processes),
                ]
            });
            if !self.hand_on(rows.collect()).await || after.is_none() {
                return Ok(());
            }
        }
    }

    async fn alerts(&self) -> Result<(), StoreError> {
        let mut before: Option<AlertId> = None;
        loop {
            let alerts = self
                .state
                .store
                .alerts(&AlertQuery {
                    server_id: self.server_id,
                    limit: BATCH,
                    before,
                    ..AlertQuery::default()
                })
                .await?;
            before = alerts.last().map(|alert| alert.id);
            let rows = alerts
                .iter()
                .filter(|alert| {
                    alert.created_at < self.span.to
                        && self.span.from.is_none_or(|from| alert.created_at >= from)
                })
                .map(|alert| {
                    let name = name_of(&self.names, alert);
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
            if !self.hand_on(rows.collect()).await || before.is_none() {
                return Ok(());
            }
        }
    }

    async fn servers(&self) -> Result<(), StoreError> {
        let mut servers = self.state.store.servers().await?;
        servers.retain(|server| self.server_id.is_none_or(|id| server.id == id));
        let rows = servers.iter().map(|server| {
            let view = super::servers::view(&self.state, server);
            let latest = view.latest;
            let value = |pick: fn(&crate::api::dto::server::Latest) -> Option<f64>| -> Cell {
                latest.as_ref().and_then(pick).into()
            };
            let text = |pick: fn(&crate::api::dto::server::Latest) -> Option<String>| -> Cell {
                latest.as_ref().and_then(pick).into()
            };
            vec![
                view.name.into(),
                view.ip.into(),
                f64::from(view.ssh_port).into(),
                view.ssh_user.into(),
                view.group.into(),
                view.tags.join(", ").into(),
                words::status_name(view.status, self.language).into(),
                view.last_success.into(),
                value(|latest| latest.cpu_usage),
                value(|latest| latest.memory_usage),
                value(|latest| latest.disk_usage),
                value(|latest| latest.load_1),
                text(|latest| latest.os.clone()),
                text(|latest| latest.kernel.clone()),
            ]
        });
        self.hand_on(rows.collect()).await;
        Ok(())
    }
}

fn count(value: Option<u64>) -> Cell {
    value
        .and_then(|value| u32::try_from(value).ok())
        .map(f64::from)
        .into()
}
