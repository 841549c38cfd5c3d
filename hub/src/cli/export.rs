//! `export`: history as Excel, CSV or Parquet. Works while the hub runs.

use std::{
    collections::HashMap,
    fs::File,
    io::{BufWriter, IsTerminal as _, Write as _},
    path::{Path, PathBuf},
    time::{Duration, Instant},
};

use anyhow::Context as _;
use clap::{Args, ValueEnum};
use tokio::sync::mpsc;

use super::{note, open_store};
use crate::{
    alert::message::Language,
    config::{Config, parse_duration},
    model::{Metric, ServerId, Timestamp},
    sheet::{
        self, Batch, Cell, Format,
        source::{self, STEPS, Source, What},
    },
    store::Store,
};

pub(super) const EXAMPLES: &str = "Examples:
  gander-hub export --from 7d --out week.xlsx                       every sample of the last 7 days
  gander-hub export --format csv --server web-1 --from 2026-11-01 --to 2026-12-01 --out november.csv
  gander-hub export --format parquet --metrics cpu.usage,memory.usage --step 5m --from 365d --out year.parquet
  gander-hub export --kind alerts --format csv --out - | grep critical

Without --metrics, every sample in the columns CPU, memory, root disk, load and processes. With --metrics,
steps of any metrics with minimum, mean and maximum. Excel takes 1,048,576 rows a sheet: more go on further
sheets of the same workbook.";

#[derive(Args)]
pub(super) struct Options {
    /// samples, or alerts
    #[arg(long, default_value = "samples")]
    kind: Kind,
    /// xlsx, csv or parquet; by default what the name of the file says
    #[arg(long)]
    format: Option<Format>,
    /// First moment: RFC 3339, a day in UTC (2026-11-01), or a time ago (7d)
    #[arg(long, value_name = "TIME")]
    from: Option<String>,
    /// First moment after the end, likewise; default now
    #[arg(long, value_name = "TIME")]
    to: Option<String>,
    /// A server by its name; may be given several times
    #[arg(long, value_name = "NAME")]
    server: Vec<String>,
    /// Metrics, separated by commas
    #[arg(long, value_delimiter = ',', value_name = "NAMES")]
    metrics: Vec<Metric>,
    /// Length of a step, such as 5m (with --metrics)
    #[arg(long, value_name = "TIME", requires = "metrics")]
    step: Option<String>,
    /// zh or en
    #[arg(long, default_value = "en")]
    lang: Words,
    /// The file to write, or - for standard output
    #[arg(long, value_name = "FILE")]
    out: PathBuf,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
enum Kind {
    Samples,
    Alerts,
}

#[derive(Debug, Clone, Copy, ValueEnum)]
enum Words {
    En,
    Zh,
}

pub(super) async fn run(config: &Config, options: Options) -> anyhow::Result<()> {
    let now = Timestamp::now();
    let format = format_of(&options)?;
    let what = what_of(&options)?;
    let from = options
        .from
        .as_deref()
        .map(|text| moment("--from", text, now))
        .transpose()?;
    let to = options
        .to
        .as_deref()
        .map(|text| moment("--to", text, now))
        .transpose()?;
    let to = to.unwrap_or_else(|| now.plus_millis(1));
    if from.is_some_and(|from| from >= to) {
        anyhow::bail!("--from is not before --to: there is nothing between them");
    }
    let store = open_store(config).await?;
    let source = Source {
        servers: servers(&store, &options.server).await?,
        names: names(&store).await?,
        store: store.clone(),
        from,
        to,
        language: match options.lang {
            Words::En => Language::English,
            Words::Zh => Language::Chinese,
        },
    };
    let written = write(source, what, format, &options.out).await;
    store.close().await;
    let rows = written?;
    note(&format!("{rows} rows"));
    Ok(())
}

/// Writes the sheet; answers its number of rows.
async fn write(source: Source, what: What, format: Format, out: &Path) -> anyhow::Result<u64> {
    let layout = source::layout(&what, source.language);
    let (sender, read) = mpsc::channel(2);
    let (relay, mut rows) = mpsc::channel(2);
    let out = out.to_owned();
    let writing = tokio::task::spawn_blocking(move || -> std::io::Result<()> {
        if out == Path::new("-") {
            return sheet::write(format, &layout, &mut rows, BufWriter::new(std::io::stdout()));
        }
        // Under its name only when it is whole.
        let part = part_of(&out);
        let _guard = RemoveOnDrop(&part);
        let mut file = BufWriter::new(File::create(&part)?);
        sheet::write(format, &layout, &mut rows, &mut file)?;
        file.into_inner()
            .map_err(std::io::IntoInnerError::into_error)?
            .sync_all()?;
        std::fs::rename(&part, &out)
    });
    let reading = source.run(what, sender);
    let (rows, ()) = tokio::join!(count(read, relay), reading);
    writing.await?.context("the export could not be written")?;
    Ok(rows)
}

/// Hands rows on, and shows on a terminal how far it is.
async fn count(mut read: mpsc::Receiver<Batch>, relay: mpsc::Sender<Batch>) -> u64 {
    let is_watched = std::io::stderr().is_terminal();
    let mut shown = Instant::now();
    let mut total = 0;
    while let Some(batch) = read.recv().await {
        if let Ok(rows) = &batch {
            total += rows.len() as u64;
            if is_watched && shown.elapsed() > Duration::from_millis(500) {
                shown = Instant::now();
                let moment = match rows.last().and_then(|row| row.first()) {
                    Some(Cell::Moment(moment)) => moment.to_string(),
                    _ => String::new(),
                };
                let _ = write!(std::io::stderr(), "\r{total} rows, {moment} ");
            }
        }
        if relay.send(batch).await.is_err() {
            break;
        }
    }
    if is_watched {
        let _ = write!(std::io::stderr(), "\r");
    }
    total
}

fn format_of(options: &Options) -> anyhow::Result<Format> {
    if let Some(format) = options.format {
        return Ok(format);
    }
    options
        .out
        .extension()
        .and_then(|ending| ending.to_str()?.parse().ok())
        .with_context(|| {
            format!(
                "which format {} is to have is not clear: say --format xlsx, csv or parquet",
                options.out.display()
            )
        })
}

fn what_of(options: &Options) -> anyhow::Result<What> {
    if options.kind == Kind::Alerts {
        return Ok(What::Alerts);
    }
    if options.metrics.is_empty() {
        return Ok(What::Metrics);
    }
    let step_seconds = match &options.step {
        None => None,
        Some(text) => {
            let seconds = parse_duration(text).ok().map(|step| step.as_secs().cast_signed());
            let step = seconds.filter(|seconds| STEPS.contains(seconds));
            Some(step.with_context(|| {
                format!("--step is \"{text}\"; it takes 1s, 2s, 5s, 10s, 15s, 30s, 1m, 2m, 5m, 10m, 15m, 30m, 1h, 2h, 3h, 6h, 12h or 1d")
            })?)
        }
    };
    Ok(What::Series {
        metrics: options.metrics.clone(),
        step_seconds,
    })
}

/// A moment as people write it.
fn moment(flag: &str, text: &str, now: Timestamp) -> anyhow::Result<Timestamp> {
    if let Ok(moment) = Timestamp::parse(text) {
        return Ok(moment);
    }
    if let Ok(moment) = Timestamp::parse(&format!("{text}T00:00:00Z")) {
        return Ok(moment);
    }
    let back = parse_duration(text).map_err(|_| {
        anyhow::anyhow!(
            "{flag} is \"{text}\"; it takes 2026-11-01T08:00:00Z, 2026-11-01, or a time ago such as 7d"
        )
    })?;
    Ok(now.plus_millis(-i64::try_from(back.as_millis())?))
}

async fn names(store: &Store) -> anyhow::Result<HashMap<ServerId, String>> {
    let servers = store.servers().await?;
    Ok(servers
        .into_iter()
        .map(|server| (server.id, server.spec.name))
        .collect())
}

async fn servers(store: &Store, wanted: &[String]) -> anyhow::Result<Vec<ServerId>> {
    let servers = store.servers().await?;
    wanted
        .iter()
        .map(|name| {
            let found = servers.iter().find(|server| server.spec.name == *name);
            found.map(|server| server.id).with_context(|| {
                let names: Vec<&str> = servers
                    .iter()
                    .take(20)
                    .map(|server| server.spec.name.as_str())
                    .collect();
                format!("there is no server {name}; there are {}", names.join(", "))
            })
        })
        .collect()
}

fn part_of(out: &Path) -> PathBuf {
    let mut part = out.as_os_str().to_owned();
    part.push(".part");
    part.into()
}

/// Removes a file that was not finished.
struct RemoveOnDrop<'a>(&'a Path);

impl Drop for RemoveOnDrop<'_> {
    fn drop(&mut self) {
        let _ = std::fs::remove_file(self.0);
    }
}
