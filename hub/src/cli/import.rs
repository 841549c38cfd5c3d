//! `import`: takes over what the original Python system kept (refused while a hub runs: it would not
//! know of the new servers' alerts, and both would write at once), or a fleet that another program
//! knows ([`import_fleet`]).

use std::{
    io::{IsTerminal as _, Read as _, Write as _},
    path::{Path, PathBuf},
};

use anyhow::Context as _;
use clap::Args;
use jiff::tz::TimeZone;

use super::{actor, columns, import_fleet, print};
use crate::{
    config::Config,
    import::{self, Counts, Report, Settings},
    model::Timestamp,
    store::{DatabaseLock, MasterKey, Store},
};

pub(super) const EXAMPLES: &str = "Examples:
  gander-hub import ~/.ssh/config --dry-run                       what would be added, changed or skipped, and why
  gander-hub import ~/.ssh/config ~/.ssh/known_hosts --test --yes      with the host keys that are known already
  gander-hub import inventory.yml --user deploy --key ~/.ssh/id_fleet --tag prod
  gander-hub import fleet.csv --group web --poll-interval 15
  gander-hub import /opt/monitor/monitor.db --dry-run             the original system's servers, samples and alerts
  gander-hub import --from-monitor /opt/monitor/monitor.db --timezone Asia/Shanghai --json > report.json

What a file is, is told from its contents: an OpenSSH client configuration, known_hosts, an Ansible inventory (INI or
YAML), a table (CSV), a list of addresses, or the original system's database. Servers are added and changed all
together or not at all; log-ins and pinned host keys of enrolled servers stay as they are. The hub may run meanwhile,
except for the original system's database: stop it for that. Running it twice adds nothing twice.";

#[derive(Args)]
pub(super) struct Options {
    #[command(flatten)]
    fleet: import_fleet::FleetOptions,
    /// The original system's database
    #[arg(long, value_name = "FILE", conflicts_with = "files")]
    from_monitor: Option<PathBuf>,
    /// Only say what would be done
    #[arg(long)]
    dry_run: bool,
    /// What times of the original system mean that name no zone: UTC, local, or a name such as Asia/Shanghai
    #[arg(long, value_name = "ZONE", default_value = "UTC")]
    timezone: String,
    /// The report as JSON
    #[arg(long)]
    json: bool,
}

pub(super) async fn run(config: &Config, options: Options) -> anyhow::Result<()> {
    let path = match (&options.from_monitor, options.fleet.files.as_slice()) {
        (Some(path), _) => path.clone(),
        (None, [path]) if is_database(path) => path.clone(),
        _ => return import_fleet::run(config, &options.fleet, options.dry_run, options.json).await,
    };
    from_monitor(config, &path, &options).await
}

/// Whether a file is an SQLite database, by its first bytes.
fn is_database(path: &Path) -> bool {
    const MAGIC: &[u8; 16] = b"SQLite format 3\0";
    let mut first = [0; 16];
    std::fs::File::open(path).is_ok_and(|mut file| file.read_exact(&mut first).is_ok()) && first == *MAGIC
}

async fn from_monitor(config: &Config, path: &Path, options: &Options) -> anyhow::Result<()> {
    let time_zone = zone(&options.timezone)?;
    if !path.exists() {
        anyhow::bail!("there is no file {}", path.display());
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
