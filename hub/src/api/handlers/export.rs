//! Sheets to take away.

use std::{pin::Pin, sync::Arc, task};

use axum::{
    body::{Body, Bytes},
    extract::State,
    http::{HeaderMap, header},
    response::{IntoResponse, Response},
};
use tokio::sync::{OwnedSemaphorePermit, mpsc};

use crate::{
    api::{
        error::{ApiError, ApiResult},
        extract::Query,
        form::given,
        handlers::{
            alerts::server_names,
            metrics::{must_exist, server_field},
            series::metrics_field,
        },
        paging,
        state::ApiState,
        words::{self, Language},
    },
    model::{ServerId, Timestamp},
    sheet::{
        self, Cell, Column, Format, Kind, Layout, Row,
        source::{self, STEPS, Source, What},
        words as sheet_words,
    },
    store::StoreError,
};

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Sheet {
    Metrics,
    Series,
    Alerts,
    Servers,
}

const SHEETS: [(&str, Sheet); 4] = [
    ("metrics", Sheet::Metrics),
    ("series", Sheet::Series),
    ("alerts", Sheet::Alerts),
    ("servers", Sheet::Servers),
];

/// A sheet of metrics, series, alerts or servers
///
/// Excel, CSV (UTF-8 with a byte order mark) or Parquet, streamed. `metrics` has every sample in the
/// columns of `GET /api/metrics`; `series` has any metrics in steps, with minimum, mean and maximum.
/// Texts that a spreadsheet would run as a formula are neutralised in Excel and CSV.
#[utoipa::path(get, path = "/api/export", tag = "metrics",
    params(
        ("kind" = String, Query, description = "metrics, series, alerts or servers"),
        ("format" = Option<String>, Query, description = "xlsx (default), csv or parquet"),
        ("server_id" = Option<i64>, Query, description = "Of one server"),
        ("metrics" = Option<String>, Query, description = "Of series: names separated by commas, e.g. cpu.usage,memory.usage"),
        ("step" = Option<i64>, Query, description = "Of series: seconds of a step, e.g. 300; by default as the time is long"),
        ("hours" = Option<f64>, Query, description = "The last so many hours, instead of from and to"),
        ("from" = Option<String>, Query, description = "First moment, RFC 3339"),
        ("to" = Option<String>, Query, description = "Last moment, RFC 3339; default now"),
        ("lang" = Option<String>, Query, description = "zh or en; default by Accept-Language"),
    ),
    responses((status = 200, description = "The file", content(
        (Vec<u8> = "application/vnd.openxmlformats-officedocument.spreadsheetml.sheet"),
        (String = "text/csv"),
        (Vec<u8> = "application/vnd.apache.parquet"),
    ))))]
pub(crate) async fn export(
    State(state): State<ApiState>,
    headers: HeaderMap,
    Query(mut form): Query,
) -> ApiResult<Response> {
    let now = Timestamp::now();
    let kind = form.choice("kind", &SHEETS);
    let kind = form.require("kind", kind);
    let format = form.choice("format", &Format::ALL).or(Format::Xlsx);
    let server_id = server_field(&mut form);
    let span = paging::span(&mut form, now, None);
    let languages = [("zh", Language::Chinese), ("en", Language::English)];
    let language = form.choice("lang", &languages).or(words::language_of(&headers));
    let what = match kind {
        Some(Sheet::Metrics) => Some(What::Metrics),
        Some(Sheet::Alerts) => Some(What::Alerts),
        Some(Sheet::Series) => {
            let metrics = metrics_field(&mut form);
            let step_seconds = form.integer("step", 1..=86_400).value();
            if step_seconds.is_some_and(|step| !STEPS.contains(&step)) {
                form.refuse("step", format!("must be one of {STEPS:?}"));
            }
            Some(What::Series {
                metrics,
                step_seconds,
            })
        }
        Some(Sheet::Servers) | None => None,
    };
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
    let layout = match what {
        Some(what) => {
            let layout = source::layout(&what, language);
            let source = Source {
                store: state.store.clone(),
                names,
                servers: server_id.into_iter().collect(),
                from: span.from,
                to: span.to,
                language,
            };
            let shutdown = state.shutdown.clone();
            // Ends by itself: the sheet's writer drops the receiver when the client goes away.
            tokio::spawn(async move { shutdown.run_until_cancelled(source.run(what, sender)).await });
            layout
        }
        None => {
            let rows = servers(&state, server_id, language).await?;
            tokio::spawn(async move { sender.send(Ok(rows)).await });
            servers_layout(language)
        }
    };
    let word = SHEETS
        .iter()
        .find(|(_, sheet)| *sheet == kind)
        .map_or("sheet", |(word, _)| word);
    let file = format!("gander-{word}-{}.{}", day(now), format.ending());
    let bytes = sheet::stream(format, layout, rows);
    Ok((
        [
            (header::CONTENT_TYPE, format.media_type().to_owned()),
            (
                header::CONTENT_DISPOSITION,
                format!("attachment; filename=\"{file}\""),
            ),
        ],
        Body::from_stream(Output { bytes, _place: place }),
    )
        .into_response())
}

/// The bytes of a sheet as they are written. Holds the export's place until it ends.
struct Output {
    bytes: mpsc::Receiver<Result<Bytes, std::io::Error>>,
    _place: OwnedSemaphorePermit,
}

impl futures_util::Stream for Output {
    type Item = Result<Bytes, std::io::Error>;

    fn poll_next(
        mut self: Pin<&mut Self>,
        context: &mut task::Context<'_>,
    ) -> task::Poll<Option<Self::Item>> {
        self.bytes.poll_recv(context)
    }
}

/// The day of a moment: `2026-11-22`.
fn day(moment: Timestamp) -> String {
    moment.to_string().chars().take(10).collect()
}

fn servers_layout(language: Language) -> Layout {
    let columns = [
        ("name", "Name", "名称", Kind::Text, 24),
        ("address", "Address", "地址", Kind::Text, 24),
        ("port", "Port", "端口", Kind::Number, 8),
        ("user", "User", "用户", Kind::Text, 14),
        ("group", "Group", "分组", Kind::Text, 16),
        ("tags", "Tags", "标签", Kind::Text, 24),
        ("status", "Status", "状态", Kind::Text, 10),
        ("last_seen", "Last seen (UTC)", "最近在线 (UTC)", Kind::Moment, 20),
        ("cpu_usage", "CPU (%)", "CPU 使用率 (%)", Kind::Number, 14),
        ("memory_usage", "Memory (%)", "内存使用率 (%)", Kind::Number, 14),
        ("disk_usage", "Disk / (%)", "根分区使用率 (%)", Kind::Number, 14),
        ("load_avg", "Load (1 min)", "负载 (1 分钟)", Kind::Number, 12),
        ("operating_system", "Operating system", "操作系统", Kind::Text, 30),
        ("kernel", "Kernel", "内核", Kind::Text, 24),
    ];
    Layout {
        title: sheet_words::pick(language, "Servers", "服务器"),
        columns: columns
            .map(|(name, english, chinese, kind, width)| Column {
                name,
                heading: sheet_words::pick(language, english, chinese),
                kind,
                width,
            })
            .to_vec(),
    }
}

async fn servers(
    state: &ApiState,
    server_id: Option<ServerId>,
    language: Language,
) -> Result<Vec<Row>, StoreError> {
    let mut servers = state.store.servers().await?;
    servers.retain(|server| server_id.is_none_or(|id| server.id == id));
    let rows = servers.iter().map(|server| {
        let view = super::servers::view(state, server);
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
            sheet_words::status_name(view.status, language).into(),
            view.last_success.into(),
            value(|latest| latest.cpu_usage),
            value(|latest| latest.memory_usage),
            value(|latest| latest.disk_usage),
            value(|latest| latest.load_1),
            text(|latest| latest.os.clone()),
            text(|latest| latest.kernel.clone()),
        ]
    });
    Ok(rows.collect())
}
