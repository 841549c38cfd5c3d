//! What a text is, told from the text and its name.

use super::{Format, files::is_private_key, files::last_part, table};

/// The most likely format; a list of addresses is what remains.
pub(super) fn format_of(name: &str, text: &str) -> Format {
    let text = text.trim_start_matches('\u{feff}');
    if is_private_key(text) {
        return Format::PrivateKey;
    }
    let lines = || {
        text.lines()
            .map(str::trim)
            .filter(|line| !line.is_empty() && !line.starts_with('#'))
    };
    if lines().take(50).any(is_known_host) {
        return Format::KnownHosts;
    }
    if lines().any(is_ssh_block) {
        return Format::SshConfig;
    }
    let file = last_part(name).to_ascii_lowercase();
    let ending = file.rsplit_once('.').map_or("", |(_, ending)| ending);
    match ending {
        "yml" | "yaml" => return Format::AnsibleYaml,
        "csv" | "tsv" => return Format::Csv,
        "ini" => return Format::AnsibleIni,
        _ => {}
    }
    if lines().any(is_section) || lines().any(|line| line.contains(" ansible_")) {
        return Format::AnsibleIni;
    }
    let first = lines().next().unwrap_or_default();
    let is_yaml_key = |line: &str| line.ends_with(':') && !line.contains(char::is_whitespace);
    if first == "---" || (is_yaml_key(first) && lines().skip(1).any(is_yaml_key)) {
        return Format::AnsibleYaml;
    }
    if table::is_heading(first) {
        return Format::Csv;
    }
    if file == "config" || file == "ssh_config" {
        return Format::SshConfig;
    }
    Format::List
}

/// `Host web-1`, `Match all`, `Include conf.d/*`.
fn is_ssh_block(line: &str) -> bool {
    let mut words = line
        .split(|c: char| c.is_whitespace() || c == '=')
        .filter(|word| !word.is_empty());
    let keyword = words.next().unwrap_or_default().to_ascii_lowercase();
    matches!(keyword.as_str(), "host" | "match" | "include")
        && words.next().is_some()
        && !line.contains([',', ';'])
        || keyword == "match" && words.next().is_some()
}

/// `name ssh-ed25519 AAAA…`, with or without a marker.
fn is_known_host(line: &str) -> bool {
    let mut words = line.split_whitespace();
    let first = words.next().unwrap_or_default();
    let algorithm = if first.starts_with('@') {
        words.nth(1)
    } else {
        words.next()
    };
    let key = words.next().unwrap_or_default();
    algorithm
        .is_some_and(|word| word.starts_with("ssh-") || word.starts_with("ecdsa-") || word.starts_with("sk-"))
        && key.starts_with("AAAA")
}

fn is_section(line: &str) -> bool {
    line.strip_prefix('[')
        .and_then(|rest| rest.split_once(']'))
        .is_some_and(|(name, after)| {
            let after = after.trim();
            !name.is_empty()
                && (after.is_empty() || after.starts_with('#'))
                && name.parse::<std::net::IpAddr>().is_err()
        })
}
