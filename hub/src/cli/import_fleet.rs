//! `import` of a fleet from files that other programs use. The hub may run meanwhile: it notices what
//! was written with its next commit.

use std::{
    collections::{BTreeMap, BTreeSet},
    io::{IsTerminal as _, Write as _},
    path::{Path, PathBuf},
};

use anyhow::Context as _;
use clap::Args;
use futures_util::{StreamExt as _, stream};
use serde_json::json;

use super::{actor, columns, note, open_store, print};
use crate::{
    app,
    collect::{self, CollectConfig, ConnectSpec, parse_private_key},
    config::Config,
    import::{
        fleet::{self, ChosenLogin, Refused, Selection},
        ways::Ways,
    },
    model::{HostKey, Secret, Timestamp, Transport, server::SshCredential},
    roster::{self, Action, Defaults, File, Files, Format, Hosts, Jump, Plan, glob},
    store::Store,
};

/// A roster of 10,000 hosts has some megabytes.
const MOST_FILE_BYTES: u64 = 16 * 1024 * 1024;
/// Connection tests under way at once.
const PARALLEL: usize = 8;

#[derive(Args)]
pub(super) struct FleetOptions {
    /// What to bring in; several are read together
    #[arg(value_name = "FILE", required_unless_present = "from_monitor")]
    pub(super) files: Vec<PathBuf>,
    /// What the files are, where that is not told from their contents
    #[arg(long, value_name = "FORMAT", value_parser = ["ssh_config", "known_hosts", "ansible_ini", "ansible_yaml", "csv", "list"])]
    format: Option<String>,
    /// Log-in name where the files say none
    #[arg(long, value_name = "NAME")]
    user: Option<String>,
    /// Port where the files say none
    #[arg(long, value_name = "PORT", default_value_t = 22, value_parser = clap::value_parser!(u16).range(1..))]
    port: u16,
    /// Private key where the files say none; without one, the hub's own key
    #[arg(long, value_name = "FILE")]
    key: Option<PathBuf>,
    /// A file with the passphrase of private keys
    #[arg(long, value_name = "FILE")]
    key_passphrase_file: Option<PathBuf>,
    /// A file with the password where the files say none
    #[arg(long, value_name = "FILE", conflicts_with = "key")]
    password_file: Option<PathBuf>,
    /// A tag for every new server; may be given several times
    #[arg(long = "tag", value_name = "TAG")]
    tags: Vec<String>,
    /// Group where the files say none
    #[arg(long, value_name = "GROUP")]
    group: Option<String>,
    /// Poll interval in seconds where the files say none
    #[arg(long = "poll-interval", value_name = "SECONDS", value_parser = clap::value_parser!(u32).range(1..=86_400))]
    interval: Option<u32>,
    /// Enrolled server to go through where the files say no way
    #[arg(long, value_name = "NAME")]
    jump: Option<String>,
    /// Connect and log in to each new server first; only those that answer are added, their host keys pinned
    #[arg(long)]
    test: bool,
    /// Do it without asking
    #[arg(long, short = 'y')]
    yes: bool,
}

pub(super) async fn run(
    config: &Config,
    options: &FleetOptions,
    dry_run: bool,
    json: bool,
) -> anyhow::Result<()> {
    let store = open_store(config).await?;
    let outcome = with_store(config, &store, options, dry_run, json).await;
    store.close().await;
    outcome
}

async fn with_store(
    config: &Config,
    store: &Store,
    options: &FleetOptions,
    dry_run: bool,
    json: bool,
) -> anyhow::Result<()> {
    let hosts = read(options)?;
    let enrolled = store.servers().await?;
    let jump_server_id = match &options.jump {
        None => None,
        Some(name) => Some(
            enrolled
                .iter()
                .find(|server| server.spec.name == *name)
                .with_context(|| format!("--jump is \"{name}\"; no enrolled server has that name"))?
                .id,
        ),
    };
    let defaults = Defaults {
        user: options.user.clone(),
        login_has_user: false,
        port: options.port,
        tags: options.tags.clone(),
        group: options.group.clone(),
        interval_seconds: options.interval,
        transport: Transport::Auto,
        jump_server_id,
    };
    let login = ChosenLogin::Own(login(options)?);
    let plan = roster::plan(&hosts, &enrolled, &defaults);
    let is_quiet = json && !dry_run;
    if json && dry_run {
        print(&serde_json::to_string_pretty(&as_json(&plan))?);
    } else if !is_quiet {
        print(&as_text(&plan));
    }
    let mut selection = Selection {
        digest: Some(plan.digest()),
        ..Selection::default()
    };
    if options.test {
        let proved = test_all(config, store, &plan, &login).await?;
        selection.rows = Some(reachable(&plan, &proved));
        selection.host_keys = proved;
    }
    if dry_run {
        note("nothing was written");
        return Ok(());
    }
    let does = |index: &usize| plan.rows[*index].action != Action::Skip;
    let number = match &selection.rows {
        Some(rows) => rows.iter().filter(|index| does(index)).count(),
        None => (0..plan.rows.len()).filter(does).count(),
    };
    if number == 0 {
        note("there is nothing to do");
        return Ok(());
    }
    if !options.yes && !agreed(number)? {
        note("nothing was written");
        return Ok(());
    }
    let applied = fleet::apply(
        store,
        &hosts,
        (&defaults, &login),
        &selection,
        &actor(),
        Timestamp::now(),
    )
    .await?;
    match applied {
        Ok(receipt) if json => print(&serde_json::to_string_pretty(&json!({
            "added": receipt.added.len(),
            "changed": receipt.changed,
            "credentials": receipt.credentials,
        }))?),
        Ok(receipt) => print(&format!(
            "{} added, {} changed, {} shared credentials made",
            receipt.added.len(),
            receipt.changed,
            receipt.credentials
        )),
        Err(Refused::Stale(_)) => {
            anyhow::bail!("the servers changed meanwhile: nothing was written; run the import again")
        }
        Err(Refused::JumpNotSelected { name, jump }) => {
            anyhow::bail!("{name} is reached through {jump}, which is left out: nothing was written")
        }
        Err(Refused::Nothing) => note("there is nothing to do"),
    }
    Ok(())
}

fn agreed(number: usize) -> anyhow::Result<bool> {
    if !std::io::stdin().is_terminal() {
        anyhow::bail!("nobody is there to be asked: give --yes to do it, or --dry-run to only look");
    }
    let mut out = std::io::stderr();
    write!(out, "Carry it out for {number} servers? [y/N] ")?;
    out.flush()?;
    let mut answer = String::new();
    std::io::stdin().read_line(&mut answer)?;
    Ok(matches!(answer.trim().to_lowercase().as_str(), "y" | "yes"))
}

fn read(options: &FleetOptions) -> anyhow::Result<Hosts> {
    let format = options.format.as_deref().and_then(|wanted| {
        Format::ALL
            .iter()
            .find(|(name, _)| *name == wanted)
            .map(|(_, format)| *format)
    });
    let mut texts = Vec::new();
    for path in &options.files {
        let mut file = open(path).with_context(|| format!("{} cannot be read", path.display()))?;
        file.format = format.filter(|_| !roster::is_private_key(&file.text));
        texts.push(file);
    }
    let first = options
        .files
        .first()
        .and_then(|path| path.parent())
        .unwrap_or(Path::new("."));
    let disk = Disk {
        directory: first.to_owned(),
        home: std::env::var_os("HOME").map(PathBuf::from),
    };
    let mut hosts = roster::read(&texts, &disk);
    let passphrase = options
        .key_passphrase_file
        .as_deref()
        .map(secret_in)
        .transpose()?;
    fleet::check_keys(&mut hosts, passphrase.as_ref(), |key, passphrase| {
        parse_private_key(key, passphrase)
            .map(|info| info.public_key)
            .map_err(|error| error.message)
    });
    Ok(hosts)
}

fn open(path: &Path) -> anyhow::Result<File> {
    let size = std::fs::metadata(path)?.len();
    if size > MOST_FILE_BYTES {
        anyhow::bail!("it has {size} bytes; at most {MOST_FILE_BYTES} are allowed");
    }
    let text = String::from_utf8_lossy(&std::fs::read(path)?).into_owned();
    Ok(File::new(path.to_string_lossy(), text))
}

/// The first line of a file.
fn secret_in(path: &Path) -> anyhow::Result<Secret> {
    let text = std::fs::read_to_string(path).with_context(|| format!("{} cannot be read", path.display()))?;
    Ok(Secret::new(text.lines().next().unwrap_or_default().to_owned()))
}

fn login(options: &FleetOptions) -> anyhow::Result<SshCredential> {
    let passphrase = options
        .key_passphrase_file
        .as_deref()
        .map(secret_in)
        .transpose()?;
    let mut login = SshCredential {
        password: options.password_file.as_deref().map(secret_in).transpose()?,
        ..SshCredential::default()
    };
    if let Some(path) = &options.key {
        let file = open(path).with_context(|| format!("{} cannot be read", path.display()))?;
        let opens =
            |passphrase: Option<&Secret>| parse_private_key(&file.text, passphrase.map(Secret::expose));
        if opens(None).is_err() {
            opens(passphrase.as_ref())
                .map_err(|error| anyhow::anyhow!("--key {}: {}", path.display(), error.message))?;
            login.passphrase = passphrase;
        }
        login.private_key = Some(Secret::new(file.text.to_string()));
    }
    Ok(login)
}

/// The files of this machine, as `ssh` finds them: below the home, or below the directory of the first file.
struct Disk {
    directory: PathBuf,
    home: Option<PathBuf>,
}

impl Files for Disk {
    fn open(&self, pattern: &str) -> Vec<File> {
        let path = match (pattern.strip_prefix("~/"), &self.home) {
            (Some(rest), Some(home)) => home.join(rest),
            _ => self.directory.join(pattern),
        };
        let mut found = vec![PathBuf::new()];
        for part in path.components() {
            let part = part.as_os_str();
            let text = part.to_string_lossy();
            if !text.contains(['*', '?']) {
                for path in &mut found {
                    path.push(part);
                }
                continue;
            }
            let mut fitting = Vec::new();
            for directory in &found {
                let Ok(entries) = std::fs::read_dir(directory) else {
                    continue;
                };
                for entry in entries.flatten() {
                    let name = entry.file_name();
                    let name = name.to_string_lossy();
                    // As the shell does: a star does not stand for what is hidden.
                    if glob(&text, &name) && (!name.starts_with('.') || text.starts_with('.')) {
                        fitting.push(entry.path());
                    }
                }
            }
            fitting.sort();
            found = fitting;
        }
        found.retain(|path| path.is_file());
        found.iter().filter_map(|path| open(path).ok()).collect()
    }
}

/// Connects to every new server; what it proved itself with, by row. What failed is said.
async fn test_all(
    config: &Config,
    store: &Store,
    plan: &Plan,
    login: &ChosenLogin,
) -> anyhow::Result<BTreeMap<usize, HostKey>> {
    let collecting = CollectConfig {
        hub_key: Some(app::hub_key(store).await?),
        agent_socket: config.ssh_agent_socket.clone(),
        ..CollectConfig::default()
    };
    let ways = Ways::load(store, login).await?;
    let rows: Vec<usize> = plan
        .in_order()
        .into_iter()
        .filter(|index| plan.rows[*index].action == Action::Add)
        .collect();
    let total = rows.len();
    let specs: Vec<(usize, ConnectSpec)> = rows
        .into_iter()
        .filter_map(|index| Some((index, ways.spec(plan, index, login)?)))
        .collect();
    let collecting = &collecting;
    let mut tests = stream::iter(specs)
        .map(|(index, spec)| async move { (index, collect::test(collecting, &spec).await) })
        .buffer_unordered(PARALLEL);
    let mut proved = BTreeMap::new();
    let mut done = 0;
    while let Some((index, outcome)) = tests.next().await {
        done += 1;
        let name = &plan.rows[index].spec.name;
        match outcome {
            Ok(report) => {
                note(&format!(
                    "{done}/{total}  {name}  answers in {} ms  {}",
                    report.latency_ms, report.host_key.fingerprint
                ));
                proved.insert(index, report.host_key);
            }
            Err(error) => note(&format!("{done}/{total}  {name}  left out: {}", error.message)),
        }
    }
    Ok(proved)
}

/// The rows that may be added: those that answered, and are not reached through one that did not;
/// and every change of an enrolled server.
fn reachable(plan: &Plan, proved: &BTreeMap<usize, HostKey>) -> BTreeSet<usize> {
    let mut rows = BTreeSet::new();
    for index in plan.in_order() {
        let row = &plan.rows[index];
        let through_is_there = match row.jump {
            Jump::Row(jump) => rows.contains(&jump),
            _ => true,
        };
        // A server of an agent alone is not connected to.
        let answers = proved.contains_key(&index) || row.spec.transport == Transport::Agent;
        if through_is_there && (row.action == Action::Change || answers) {
            rows.insert(index);
        }
    }
    rows
}

/// The plan as a table.
fn as_text(plan: &Plan) -> String {
    let mut rows = vec![vec![
        "".to_owned(),
        "NAME".into(),
        "ADDRESS".into(),
        "THROUGH".into(),
        "WHY, OR WHAT".into(),
    ]];
    for row in &plan.rows {
        let spec = &row.spec;
        let address = if spec.ssh_user.is_empty() {
            format!("{}:{}", spec.ip, spec.ssh_port)
        } else {
            format!("{}@{}:{}", spec.ssh_user, spec.ip, spec.ssh_port)
        };
        let mut notes: Vec<String> = row
            .changes
            .iter()
            .map(|change| {
                format!(
                    "{}: {} → {}",
                    change.field,
                    shown(&change.from),
                    shown(&change.to)
                )
            })
            .collect();
        notes.extend(row.remarks.iter().map(|remark| match &remark.place {
            Some(place) => format!("{} ({}:{})", remark.message, place.file, place.line),
            None => remark.message.clone(),
        }));
        rows.push(vec![
            match row.action {
                Action::Add => "add",
                Action::Change => "change",
                Action::Skip => "skip",
            }
            .to_owned(),
            spec.name.clone(),
            address,
            through(plan, row.jump),
            notes.join("; "),
        ]);
    }
    let mut text = columns(&rows);
    let count = |action| plan.rows.iter().filter(|row| row.action == action).count();
    for remark in &plan.remarks {
        if let Some(place) = &remark.place {
            text.push_str(&format!("{}:{}: ", place.file, place.line));
        }
        text.push_str(&remark.message);
        text.push('\n');
    }
    text.push_str(&format!(
        "{} to add, {} to change, {} to skip\n",
        count(Action::Add),
        count(Action::Change),
        count(Action::Skip)
    ));
    text
}

fn shown(value: &str) -> &str {
    if value.is_empty() { "-" } else { value }
}

fn through(plan: &Plan, jump: Jump) -> String {
    match jump {
        Jump::None => String::new(),
        Jump::Server(id) => format!("server {id}"),
        Jump::Row(index) => plan.rows[index].spec.name.clone(),
    }
}

fn as_json(plan: &Plan) -> serde_json::Value {
    let rows: Vec<serde_json::Value> = plan
        .rows
        .iter()
        .map(|row| {
            json!({
                "action": row.action,
                "name": row.spec.name,
                "ip": row.spec.ip,
                "ssh_port": row.spec.ssh_port,
                "ssh_user": row.spec.ssh_user,
                "through": through(plan, row.jump),
                "place": row.place,
                "changes": row.changes,
                "remarks": row.remarks,
            })
        })
        .collect();
    json!({ "rows": rows, "remarks": plan.remarks })
}
