//! What the texts of the original system mean.

use std::collections::BTreeMap;

use jiff::{civil::DateTime, tz::TimeZone};

use super::report::remark_in;
use crate::{
    model::{
        Metric, Secret, SeriesKey, Timestamp, Transport,
        alert::Rule,
        server::{ServerSpec, SshCredential, Threshold, Thresholds},
    },
    store::monitor::OldRow,
};

/// A key file is some kilobytes.
const MOST_KEY_BYTES: u64 = 64 * 1024;

pub(super) struct Draft {
    pub(super) spec: ServerSpec,
    pub(super) credential: SshCredential,
}

/// A server; or why it cannot be taken. Secrets that cannot be used are remarked on.
pub(super) fn server(row: &OldRow, remarks: &mut Vec<String>) -> Result<Draft, String> {
    let name = row.get("name").ok_or("it has no name")?.to_owned();
    if name.chars().count() > 100 || name.chars().any(char::is_control) {
        return Err("its name is longer than 100 characters or has control characters in it".to_owned());
    }
    let ip = row.get("ip").ok_or("it has no address")?.to_owned();
    if ip.len() > 253 || ip.contains(|c: char| c.is_whitespace() || c.is_control() || "/@".contains(c)) {
        return Err(format!("\"{}\" is no address", ip.escape_debug()));
    }
    let ssh_port = match row.get("ssh_port") {
        None => 22,
        Some(text) => text
            .parse()
            .ok()
            .filter(|port| *port > 0)
            .ok_or_else(|| format!("its port is \"{}\"", text.escape_debug()))?,
    };
    let defaults = Thresholds::default();
    let threshold = |column: &str, default: Threshold| {
        let percent = row.get(column).and_then(number).map(f64::round);
        match percent {
            #[expect(
                clippy::cast_possible_truncation,
                clippy::cast_sign_loss,
                reason = "between 1 and 100"
            )]
            Some(percent) if (1.0..=100.0).contains(&percent) => Threshold {
                warning_percent: percent as u8,
                critical_percent: default.critical_percent.max(percent as u8),
            },
            _ => default,
        }
    };
    let credential = credential(row, &name, remarks);
    if credential.uses_hub_key() {
        remark_in(
            remarks,
            format!("server {name} has no password or key to log in with: enter one in the page"),
        );
    }
    Ok(Draft {
        spec: ServerSpec {
            ssh_port,
            thresholds: Thresholds {
                cpu: threshold("cpu_threshold", defaults.cpu),
                memory: threshold("memory_threshold", defaults.memory),
                disk: threshold("disk_threshold", defaults.disk),
            },
            ..ServerSpec::new(name, ip, row.get("ssh_user").unwrap_or("root"), Transport::Auto)
        },
        credential,
    })
}

fn credential(row: &OldRow, name: &str, remarks: &mut Vec<String>) -> SshCredential {
    let mut credential = SshCredential::default();
    match row.get("ssh_password") {
        // What Python's cryptography makes of a text; its key is not in the file.
        Some(text) if text.starts_with("gAAAAA") => remark_in(
            remarks,
            format!(
                "the password of server {name} is encrypted in the file and cannot be opened: enter it again"
            ),
        ),
        Some(text) => credential.password = Some(Secret::new(text.to_owned())),
        None => {}
    }
    match row.get("ssh_key_path") {
        Some(text) if text.contains("PRIVATE KEY") => {
            credential.private_key = Some(Secret::new(text.to_owned()));
        }
        Some(path) => match key_file(path) {
            Some(key) => credential.private_key = Some(key),
            None => remark_in(
                remarks,
                format!("the key of server {name} could not be read from {path}: enter it in the page"),
            ),
        },
        None => {}
    }
    credential
}

fn key_file(path: &str) -> Option<Secret> {
    let home = path.strip_prefix("~/").and_then(|rest| {
        let home = std::env::var_os("HOME")?;
        Some(std::path::Path::new(&home).join(rest))
    });
    let path = home.unwrap_or_else(|| path.into());
    let metadata = std::fs::metadata(&path).ok()?;
    if !metadata.is_file() || metadata.len() > MOST_KEY_BYTES {
        return None;
    }
    let text = std::fs::read_to_string(path).ok()?;
    text.contains("PRIVATE KEY").then(|| Secret::new(text))
}

/// The values of a row that can be read.
pub(super) fn values(row: &OldRow) -> Vec<(SeriesKey, i64)> {
    let percent = |column: &str| {
        let value = row.get(column).and_then(number)?;
        (0.0..=100.0).contains(&value).then_some(value * 10.0)
    };
    let count = |column: &str, factor: f64| {
        let value = row.get(column).and_then(number)?;
        (0.0..1e9).contains(&value).then_some(value * factor)
    };
    [
        (Metric::CpuUsage, "", percent("cpu_usage")),
        (Metric::MemoryUsage, "", percent("memory_usage")),
        (Metric::FilesystemUsage, "/", percent("disk_usage")),
        (Metric::Load1, "", count("load_avg", 100.0)),
        (Metric::ProcessesTotal, "", count("processes", 1.0)),
    ]
    .into_iter()
    .filter_map(|(metric, label, value)| {
        #[expect(clippy::cast_possible_truncation, reason = "below 10^11")]
        let value = value?.round() as i64;
        let label = label.to_owned();
        Some((SeriesKey { metric, label }, value))
    })
    .collect()
}

/// The first number of a text: `42.5`, `42.5%`, `0.52, 0.58, 0.59`.
pub(super) fn number(text: &str) -> Option<f64> {
    numbers(text).next()
}

fn numbers(text: &str) -> impl Iterator<Item = f64> {
    text.split(|c: char| !c.is_ascii_digit() && !".-+eE".contains(c))
        .filter_map(|part| part.trim_end_matches(['.', 'e', 'E']).parse::<f64>().ok())
        .filter(|number| number.is_finite())
}

/// A moment: `2024-05-01 08:00:00.123`, with `T`, with an offset or without (then in the zone), or
/// seconds since 1970.
pub(super) fn moment(text: &str, zone: &TimeZone) -> Option<Timestamp> {
    if let Ok(moment) = Timestamp::parse(text) {
        return Some(moment);
    }
    if let Ok(local) = text.parse::<DateTime>() {
        let moment = local.to_zoned(zone.clone()).ok()?.timestamp();
        return Some(Timestamp(moment.as_millisecond()));
    }
    let seconds: f64 = text.parse().ok()?;
    // Between 2001 and 2286: anything else is no time.
    #[expect(clippy::cast_possible_truncation, reason = "below 10^13")]
    let moment = Timestamp((seconds * 1000.0) as i64);
    (1e9..1e10).contains(&seconds).then_some(moment)
}

/// What an alert is about.
pub(super) fn rule(row: &OldRow) -> Option<Rule> {
    let word = row.get("type")?.to_ascii_lowercase();
    let is = |parts: &[&str]| parts.iter().any(|part| word.contains(part));
    if is(&["cpu"]) {
        Some(Rule::Cpu)
    } else if is(&["mem"]) {
        Some(Rule::Memory)
    } else if is(&["disk"]) {
        Some(Rule::Disk)
    } else if is(&["offline", "unreach", "connect", "ssh", "down"]) {
        Some(Rule::Unreachable)
    } else {
        None
    }
}

pub(super) fn truth(text: Option<&str>) -> bool {
    matches!(
        text.map(str::to_ascii_lowercase).as_deref(),
        Some("1" | "true" | "yes" | "t" | "1.0")
    )
}

/// Values for the sentence, as far as the old one holds them; and the old one itself.
pub(super) fn params(row: &OldRow, threshold: Option<u64>) -> BTreeMap<String, serde_json::Value> {
    let mut params = BTreeMap::new();
    let Some(message) = row.get("message") else {
        return params;
    };
    params.insert("imported_message".to_owned(), message.into());
    let Some(threshold) = threshold else {
        params.insert("cause_message".to_owned(), message.into());
        return params;
    };
    let is_share = |number: &f64| (0.0..=100.0).contains(number);
    let after = message.split_once([':', '：']).map_or(message, |(_, rest)| rest);
    let mut shares = numbers(after).filter(is_share);
    #[expect(
        clippy::cast_possible_truncation,
        clippy::cast_sign_loss,
        reason = "between 0 and 1000"
    )]
    let permille = |share: f64| (share * 10.0).round() as u64;
    if let Some(value) = shares.next() {
        params.insert("value_permille".to_owned(), permille(value).into());
        let threshold = shares.next().map_or(threshold, permille);
        params.insert("threshold_permille".to_owned(), threshold.into());
    }
    params
}
