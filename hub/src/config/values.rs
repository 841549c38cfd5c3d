//! From text to values and back. An error says what is wrong with the value where more can be
//! said than the setting's accepted form; an empty one where not.

use std::{fmt::Write as _, path::PathBuf, str::FromStr, time::Duration};

use super::table::Kind;

const UNITS: [(&str, u64); 6] = [
    ("w", 7 * 24 * 3600),
    ("d", 24 * 3600),
    ("h", 3600),
    ("m", 60),
    ("min", 60),
    ("s", 1),
];

pub(super) fn parsed<T: FromStr>(text: &str) -> Result<T, String> {
    text.parse().map_err(|_| String::new())
}

pub(super) fn optional<T>(
    text: &str,
    parse: impl Fn(&str) -> Result<T, String>,
) -> Result<Option<T>, String> {
    if text.is_empty() {
        Ok(None)
    } else {
        parse(text).map(Some)
    }
}

pub(super) fn list<T>(text: &str, parse: impl Fn(&str) -> Result<T, String>) -> Result<Vec<T>, String> {
    text.split(',')
        .map(str::trim)
        .filter(|part| !part.is_empty())
        .map(parse)
        .collect()
}

pub(super) fn text(text: &str) -> Result<String, String> {
    Ok(text.to_owned())
}

pub(super) fn path(text: &str) -> Result<PathBuf, String> {
    if text.is_empty() || text.ends_with('/') {
        Err(String::new())
    } else {
        Ok(text.into())
    }
}

pub(super) fn directory(text: &str) -> Result<PathBuf, String> {
    if text.is_empty() {
        Err(String::new())
    } else {
        Ok(text.into())
    }
}

pub(super) fn number(text: &str, range: std::ops::RangeInclusive<u32>) -> Result<u32, String> {
    parsed(text).and_then(|number| {
        if range.contains(&number) {
            Ok(number)
        } else {
            Err(String::new())
        }
    })
}

pub(super) fn boolean(text: &str) -> Result<bool, String> {
    match text.to_ascii_lowercase().as_str() {
        "true" | "yes" | "on" | "1" => Ok(true),
        "false" | "no" | "off" | "0" => Ok(false),
        _ => Err(String::new()),
    }
}

/// A URL people are sent to; a slash at the end is dropped.
pub(super) fn url(text: &str) -> Result<String, String> {
    let text = text.trim_end_matches('/');
    let rest = text
        .strip_prefix("https://")
        .or_else(|| text.strip_prefix("http://"));
    let host = rest.and_then(|rest| rest.split('/').next()).unwrap_or_default();
    let is_clean = !text.contains(|c: char| c.is_whitespace() || c.is_control() || "?#\"'<>\\@".contains(c));
    if host.is_empty() || !is_clean {
        Err(String::new())
    } else {
        Ok(text.to_owned())
    }
}

/// A host and a port: `gander.example.org:8001`, `[2001:db8::1]:8001`.
pub(super) fn host_and_port(text: &str) -> Result<String, String> {
    let (host, port) = text.rsplit_once(':').ok_or("the port is missing")?;
    let host = match host.strip_prefix('[').and_then(|rest| rest.strip_suffix(']')) {
        Some(address) => address.parse::<std::net::Ipv6Addr>().is_ok(),
        None => {
            !host.is_empty()
                && host
                    .chars()
                    .all(|c| c.is_ascii_alphanumeric() || ".-_".contains(c))
        }
    };
    let port = port.parse::<u16>().is_ok_and(|port| port > 0);
    if host && port {
        Ok(text.to_owned())
    } else {
        Err(String::new())
    }
}

/// Scheme, host and port, as browsers send it in `Origin`.
pub(super) fn origin(text: &str) -> Result<String, String> {
    let refuse = || format!("\"{text}\" is no origin");
    let origin = url(text).map_err(|_| refuse())?;
    if origin.matches('/').count() == 2 {
        Ok(origin)
    } else {
        Err(refuse())
    }
}

pub(super) fn log_filter(text: &str) -> Result<String, String> {
    match tracing_subscriber::EnvFilter::try_new(text) {
        Ok(_) if !text.is_empty() => Ok(text.to_owned()),
        Ok(_) => Err(String::new()),
        Err(error) => Err(error.to_string()),
    }
}

pub(super) fn interval(text: &str) -> Result<Duration, String> {
    let interval = parse_duration(text)?;
    if (1..=24 * 3600).contains(&interval.as_secs()) {
        Ok(interval)
    } else {
        Err("it is too short or too long".into())
    }
}

pub(super) fn certificate_lifetime(text: &str) -> Result<Duration, String> {
    let lifetime = parse_duration(text)?;
    if (6..=10 * 366 * 24 * 3600).contains(&lifetime.as_secs()) {
        Ok(lifetime)
    } else {
        Err("it is too short or too long".into())
    }
}

pub(super) fn backup_interval(text: &str) -> Result<Option<Duration>, String> {
    if text == "off" {
        return Ok(None);
    }
    let interval = parse_duration(text)?;
    if interval.as_secs() < 60 {
        return Err("it is too short".into());
    }
    Ok(Some(interval))
}

pub(super) fn retention(text: &str) -> Result<Option<Duration>, String> {
    if text == "forever" {
        return Ok(None);
    }
    let retention = parse_duration(text)?;
    if retention.as_secs() < 3600 {
        return Err("it is too short".into());
    }
    Ok(Some(retention))
}

/// Reads a time such as `30s`, `5m`, `1h30m`, `30d`.
///
/// # Errors
/// The unit is missing or unknown, or the time is none or more than a hundred years.
pub fn parse_duration(text: &str) -> Result<Duration, String> {
    if !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit()) {
        return Err("the unit is missing: s, m, h, d or w".into());
    }
    let mut seconds: u64 = 0;
    let mut rest = text.trim();
    while !rest.is_empty() {
        let digits = rest.bytes().take_while(u8::is_ascii_digit).count();
        let (number, tail) = rest.split_at(digits);
        let letters = tail.bytes().take_while(u8::is_ascii_alphabetic).count();
        let (unit, tail) = tail.split_at(letters);
        let (_, factor) = UNITS
            .iter()
            .find(|(name, _)| *name == unit)
            .ok_or_else(String::new)?;
        let part = number
            .parse::<u64>()
            .ok()
            .and_then(|number| number.checked_mul(*factor))
            .and_then(|part| part.checked_add(seconds));
        // A hundred years is for ever, and fits wherever milliseconds are counted.
        seconds = part
            .filter(|sum| *sum <= 100 * 366 * 24 * 3600)
            .ok_or_else(String::new)?;
        rest = tail.trim_start();
    }
    if seconds == 0 {
        Err(String::new())
    } else {
        Ok(Duration::from_secs(seconds))
    }
}

/// A time as one would write it in the configuration: `90s` is `1m30s`.
#[must_use]
pub fn format_duration(duration: Duration) -> String {
    let mut rest = duration.as_secs();
    let mut text = String::new();
    for (unit, factor) in [("d", 24 * 3600), ("h", 3600), ("m", 60), ("s", 1)] {
        if rest >= factor {
            let _ = write!(text, "{}{unit}", rest / factor);
            rest %= factor;
        }
    }
    if text.is_empty() { "0s".into() } else { text }
}

/// A value as the TOML file would have it.
pub(super) fn to_toml(kind: Kind, text: &str) -> String {
    match kind {
        Kind::List => {
            let parts = text.split(',').map(str::trim).filter(|part| !part.is_empty());
            toml::Value::Array(parts.map(toml::Value::from).collect()).to_string()
        }
        Kind::Number => text.parse::<i64>().map_or_else(
            |_| toml::Value::from(text).to_string(),
            |number| number.to_string(),
        ),
        Kind::Boolean => boolean(text).unwrap_or_default().to_string(),
        Kind::Text => toml::Value::from(text).to_string(),
    }
}
