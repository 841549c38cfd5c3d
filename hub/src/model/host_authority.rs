//! Keys that vouch for hosts: the certificate authorities of host keys, and keys that are revoked,
//! with the patterns of `known_hosts`. Pure.

use std::sync::Arc;

use serde::{Deserialize, Serialize};

use super::{HostKey, Timestamp};

/// Row id of a host authority.
#[derive(
    Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize, utoipa::ToSchema,
)]
#[serde(transparent)]
pub struct HostAuthorityId(pub i64);

/// What a person entered: a line of `known_hosts` that begins with `@cert-authority` or `@revoked`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct HostAuthoritySpec {
    /// The authority's public key, or the key that is revoked.
    pub public_key: HostKey,
    /// Hosts it counts for, as in `known_hosts`: `*.example.org,10.0.*,!bastion.example.org`.
    pub patterns: String,
    /// `true`: neither this key nor a certificate signed by it is trusted, whatever else says so.
    pub revoked: bool,
    /// What it is, for people.
    pub comment: String,
}

/// A host authority as stored.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct HostAuthority {
    /// Row id.
    pub id: HostAuthorityId,
    /// What a person entered; shared with every server it counts for.
    pub spec: Arc<HostAuthoritySpec>,
    /// When it was entered.
    pub created_at: Timestamp,
    /// When it was last changed.
    pub updated_at: Timestamp,
}

/// Patterns of one authority at most, in bytes.
pub const MOST_PATTERN_BYTES: usize = 2_000;

impl HostAuthoritySpec {
    /// Whether it counts for a host. As OpenSSH does for certificates, a host on another port than
    /// 22 is matched as `[host]:port` and by its bare name.
    #[must_use]
    pub fn counts_for(&self, host: &str, port: u16) -> bool {
        let host = host.to_ascii_lowercase();
        match matches(&self.patterns, &host) {
            Some(counts) if port == 22 => counts,
            bare => {
                let with_port = matches(&self.patterns, &format!("[{host}]:{port}"));
                // A pattern that excludes the host wins over any that includes it.
                with_port.unwrap_or(true) && bare.unwrap_or(true) && (with_port.is_some() || bare.is_some())
            }
        }
    }

    /// Reads the lines of a `known_hosts` file that begin with `@cert-authority` or `@revoked`; the
    /// others, and comments, are passed over.
    ///
    /// # Errors
    /// Which line is wrong, and why, for a person.
    pub fn parse_known_hosts(text: &str) -> Result<Vec<Self>, String> {
        let mut found = Vec::new();
        for (number, line) in (1..).zip(text.lines()) {
            let line = line.trim();
            let (revoked, rest) = if let Some(rest) = line.strip_prefix("@cert-authority") {
                (false, rest)
            } else if let Some(rest) = line.strip_prefix("@revoked") {
                (true, rest)
            } else if line.starts_with('@') {
                return Err(format!(
                    "line {number} begins with a marker that is neither @cert-authority nor @revoked"
                ));
            } else {
                continue;
            };
            let mut words = rest.split_whitespace();
            let patterns = words.next().unwrap_or_default();
            let key: Vec<&str> = words.by_ref().take(2).collect();
            let comment: Vec<&str> = words.collect();
            check_patterns(patterns).map_err(|reason| format!("line {number}: the host pattern {reason}"))?;
            let public_key = HostKey::parse(&key.join(" "))
                .map_err(|reason| format!("line {number}: the key {reason}"))?;
            found.push(Self {
                public_key,
                patterns: patterns.to_ascii_lowercase(),
                revoked,
                comment: comment.join(" "),
            });
        }
        Ok(found)
    }

    /// The line of `known_hosts` that says the same.
    #[must_use]
    pub fn known_hosts_line(&self) -> String {
        let marker = if self.revoked {
            "@revoked"
        } else {
            "@cert-authority"
        };
        let line = format!(
            "{marker} {} {} {}",
            self.patterns, self.public_key.public_key, self.comment
        );
        line.trim_end().to_owned()
    }
}

/// Checks a list of patterns; the error follows the name of its field.
///
/// # Errors
/// What is wrong with it.
pub fn check_patterns(patterns: &str) -> Result<(), String> {
    if patterns.is_empty() {
        return Err("is missing: say which hosts it counts for, such as *.example.org, or * for all".into());
    }
    if patterns.len() > MOST_PATTERN_BYTES {
        return Err(format!(
            "has {} bytes; at most {MOST_PATTERN_BYTES} are allowed",
            patterns.len()
        ));
    }
    if patterns.starts_with("|1|") {
        return Err("is hashed, and a hash fits one host only: write the name or pattern itself".into());
    }
    for pattern in patterns.split(',') {
        let bare = pattern.strip_prefix('!').unwrap_or(pattern);
        let is_fine = |byte: u8| byte.is_ascii_alphanumeric() || b"*?.-_:[]%".contains(&byte);
        if bare.is_empty() || !bare.bytes().all(is_fine) {
            return Err(format!(
                "\"{}\" is none of known_hosts: names, addresses, * and ? are, with commas between and ! before what is excluded",
                pattern.escape_debug()
            ));
        }
    }
    if patterns.split(',').all(|pattern| pattern.starts_with('!')) {
        return Err("only excludes hosts: add what it counts for, such as *".into());
    }
    Ok(())
}

/// Whether a list of patterns holds a name (`Some(true)`), excludes it (`Some(false)`), or says nothing of it.
fn matches(patterns: &str, name: &str) -> Option<bool> {
    let mut held = None;
    for pattern in patterns.split(',') {
        match pattern.strip_prefix('!') {
            Some(excluded) if glob(excluded, name) => return Some(false),
            None if glob(pattern, name) => held = Some(true),
            _ => {}
        }
    }
    held
}

/// Whether a name fits a pattern with `*` and `?`, as `ssh_config(5)` means them.
#[must_use]
pub fn glob(pattern: &str, name: &str) -> bool {
    let (pattern, name) = (pattern.as_bytes(), name.as_bytes());
    let (mut at, mut matched) = (0, 0);
    // Where to go on when what follows the last star does not fit.
    let mut retry: Option<(usize, usize)> = None;
    while matched < name.len() {
        match pattern.get(at) {
            Some(b'*') => {
                retry = Some((at, matched));
                at += 1;
            }
            Some(letter) if *letter == b'?' || letter.eq_ignore_ascii_case(&name[matched]) => {
                at += 1;
                matched += 1;
            }
            _ => match retry {
                Some((star, from)) => {
                    at = star + 1;
                    matched = from + 1;
                    retry = Some((star, matched));
                }
                None => return false,
            },
        }
    }
    pattern[at..].iter().all(|letter| *letter == b'*')
}

#[cfg(test)]
mod tests {
    use super::*;

    const KEY: &str = "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIOMqqnkVzrm0SdG6UOoqKLsabgH5C9okWi0dh2l9GKJl";

    fn authority(patterns: &str) -> HostAuthoritySpec {
        HostAuthoritySpec {
            public_key: HostKey::parse(KEY).unwrap(),
            patterns: patterns.into(),
            revoked: false,
            comment: String::new(),
        }
    }

    #[test]
    fn patterns_hold_what_known_hosts_would() {
        for (patterns, host, port, expected) in [
            ("*", "web-1", 22, true),
            ("*.example.org", "web-1.example.org", 22, true),
            ("*.example.org", "WEB-1.Example.ORG", 22, true),
            ("*.example.org", "example.org", 22, false),
            ("*.example.org", "web-1.example.org.evil", 22, false),
            ("web-?.a,10.0.*", "10.0.3.4", 22, true),
            ("web-?.a", "web-12.a", 22, false),
            ("*.a,!db.a", "web.a", 22, true),
            ("*.a,!db.a", "db.a", 22, false),
            ("!db.a,*.a", "db.a", 22, false),
            ("!db.a,*", "db.a", 2222, false),
            ("*.a", "web.a", 2222, true),
            ("[web.a]:2222", "web.a", 2222, true),
            ("[web.a]:2222", "web.a", 22, false),
            ("*,![web.a]:2222", "web.a", 2222, false),
            ("a*b*c", "aXbXbYc", 22, true),
            ("a*b*c", "aXbXbYd", 22, false),
            ("2001:db8::*", "2001:db8::7", 22, true),
        ] {
            assert_eq!(
                authority(patterns).counts_for(host, port),
                expected,
                "{patterns} for {host}:{port}"
            );
        }
    }

    #[test]
    fn marked_lines_of_known_hosts_are_read_and_the_others_passed_over() {
        let text = format!(
            "# mine\n\nweb-1 {KEY}\n@cert-authority *.Example.org,10.* {KEY} fleet CA 2026\n  @revoked * {KEY}\n"
        );
        let read = HostAuthoritySpec::parse_known_hosts(&text).unwrap();
        assert_eq!(read.len(), 2);
        assert_eq!(
            (read[0].patterns.as_str(), read[0].comment.as_str()),
            ("*.example.org,10.*", "fleet CA 2026")
        );
        assert!(!read[0].revoked && read[1].revoked);
        assert_eq!(
            read[0].known_hosts_line(),
            format!("@cert-authority *.example.org,10.* {KEY} fleet CA 2026")
        );
        assert_eq!(
            HostAuthoritySpec::parse_known_hosts(&read[1].known_hosts_line()).unwrap(),
            read[1..]
        );
    }

    #[test]
    fn a_wrong_line_is_named_with_what_is_wrong() {
        for (line, reason) in [
            ("@cert-authority", "line 1: the host pattern is missing"),
            ("@cert-authority *", "line 1: the key must be a public key"),
            (&format!("@cert-authority !a {KEY}"), "only excludes"),
            (&format!("@cert-authority |1|abc= {KEY}"), "is hashed"),
            (&format!("@cert-authority a;b {KEY}"), "none of known_hosts"),
            (&format!("@trust * {KEY}"), "neither @cert-authority nor @revoked"),
        ] {
            let error = HostAuthoritySpec::parse_known_hosts(line).unwrap_err();
            assert!(error.contains(reason), "{line}: {error}");
        }
    }
}
