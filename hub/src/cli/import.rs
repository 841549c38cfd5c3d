//! `import`: takes over what the original Python system kept. Refuses while a hub runs: it would
//! not know of the new servers' alerts, and both would write at once.

use std::{
    io::{IsTerminal as _, Write as _},
    path::PathBuf,
};

use anyhow::Context as _;
use clap::Args;
use jiff::tz::TimeZone;

use super::{actor, columns, print};
use crate::{
    config::Config,
    import::{self, Counts, Report, Settings},
    model::Timestamp,
    store::{DatabaseLock, MasterKey, Store},
};

pub(super) const EXAMPLES: &str = "Examples:
  gander-hub import --from-monitor /opt/monitor/monitor.db --dry-run      only say what would be taken over
  gander-hub import --from-monitor /opt/monitor/monitor.db --timezone Asia/Shanghai
  gander-hub import --from-monitor /opt/monitor/monitor.db --json > report.json

Servers come with their passwords (sealed with this hub's master key), every sample and every alert. A server
whose name is taken already stays as it is. Running it twice adds nothing twice. Stop the hub first.";

#[derive(Args)]
pub(super) struct Options {
    /// The original system's database
    #[arg(long, value_name = "FILE")]
    from_monitor: PathBuf,
    /// Only say what would be taken over
    #[arg(long)]
    dry_run: bool,
    /// What its times mean that name no zone: UTC, local, or a name such as Asia/Shanghai
    #[arg(long, value_name = "ZONE", default_value = "UTC")]
    timezone: String,
    /// The report as JSON
    #[arg(long)]
    json: bool,
}

pub(super) async fn run(config: &Config, options: Options) -> anyhow::Result<()> {
    let time_zone = zone(&options.timezone)?;
    if !options.from_monitor.exists() {
        anyhow::bail!("there is no file {}", options.from_monitor.display());
    }
    let _lock = DatabaseLock::take(&config.database_path)?;
    let key = MasterKey::load_or_create(&config.master_key_path())?;
    let store = Store::open(&config.database_path, key).await?;
    let settings = Settings {
        time_zone,
        dry_run: options.dry_run,
    };
    let is_watched = std::io::stderr().is_terminal();
    let progress = |report: &Report| {
        if is_watched {
            let _ = write!(std::io::stderr(), "\r{} samples read ", report.samples.found);
        }
    };
    let path = &options.from_monitor;
    let imported = import::import(&store, path, &settings, &actor(), Timestamp::now(), progress).await;
    store.close().await;
    if is_watched {
        let _ = write!(std::io::stderr(), "\r");
    }
    let report = imported?;
    if options.json {
        print(&serde_json::to_string_pretty(&report)?);
    } else {
        print(&text(&report));
    }
    Ok(())
}

fn zone(text: &str) -> anyhow::Result<TimeZone> {
    match text {
        "UTC" | "utc" => Ok(TimeZone::UTC),
        "local" => Ok(TimeZone::system()),
        name => TimeZone::get(name).with_context(|| {
            format!("--timezone is \"{name}\"; it takes UTC, local, or a name such as Asia/Shanghai or Europe/Berlin")
        }),
    }
}

fn text(report: &Report) -> String {
    let row = |what: &str, counts: &Counts| {
        vec![
            what.to_owned(),
            counts.found.to_string(),
            counts.added.to_string(),
            counts.present.to_string(),
            counts.skipped.values().sum::<u64>().to_string(),
        ]
    };
    let added = if report.dry_run { "WOULD BE ADDED" } else { "ADDED" };
    let mut text = columns(&[
        vec![
            String::new(),
            "IN THE FILE".into(),
            added.into(),
            "THERE ALREADY".into(),
            "LEFT OUT".into(),
        ],
        row("servers", &report.servers),
        row("samples", &report.samples),
        row("alerts", &report.alerts),
    ]);
    let mut line = |line: String| {
        text.push_str(&line);
        text.push('\n');
    };
    if let (Some(oldest), Some(newest)) = (report.oldest, report.newest) {
        line(format!("samples from {oldest} to {newest}"));
    }
    for (what, counts) in [("samples", &report.samples), ("alerts", &report.alerts)] {
        for (reason, number) in &counts.skipped {
            line(format!("{number} {what} left out: {reason}"));
        }
    }
    if report.closed_alerts > 0 {
        line(format!(
            "{} alerts were open there and are closed here: the hub opens its own where the condition still holds",
            report.closed_alerts
        ));
    }
    for remark in &report.remarks {
        line(remark.clone());
    }
    if !report.ignored.is_empty() {
        line(format!("not used: {}", report.ignored.join(", ")));
    }
    if report.dry_run {
        line("nothing was written".to_owned());
    }
    text
}
