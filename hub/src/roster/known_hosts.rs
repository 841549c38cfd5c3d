//! `known_hosts`, as `sshd(8)` describes it: names, addresses and the keys they prove themselves with.
//! Hashed names can only be tried against names that are known already.

use std::{
    collections::HashMap,
    sync::atomic::{AtomicU32, Ordering},
};

use base64::{Engine, prelude::BASE64_STANDARD};
use hmac::{Hmac, KeyInit, Mac};
use sha1::Sha1;

use super::{Candidate, Field, File, MOST_HOSTS, Place, Remark, files::glob, read::Hosts, shell_words::hop};
use crate::model::HostKey;

/// One line with a key.
#[derive(Debug)]
struct Entry {
    names: Names,
    key: HostKey,
    is_revoked: bool,
    place: Place,
}

#[derive(Debug)]
enum Names {
    Plain(Vec<String>),
    Hashed { salt: Vec<u8>, hash: Vec<u8> },
}

/// Hashes that are tried at most: each is an HMAC, and nothing else can be done with a hashed name.
const MOST_TRIALS: u32 = 1_000_000;

/// The keys of one or more files.
#[derive(Debug, Default)]
pub(super) struct KnownHosts {
    entries: Vec<Entry>,
    /// Entries of a plain name.
    of_name: HashMap<String, Vec<usize>>,
    /// Entries with patterns, and those with a hashed name.
    patterns: Vec<usize>,
    hashed: Vec<usize>,
    trials: AtomicU32,
    pub(super) remarks: Vec<Remark>,
}

impl KnownHosts {
    /// Reads one more file.
    pub(super) fn read(&mut self, file: &File) {
        for (number, line) in (1..).zip(file.text.trim_start_matches('\u{feff}').lines()) {
            let line = line.trim();
            if line.is_empty() || line.starts_with('#') {
                continue;
            }
            let place = Place {
                file: file.name.clone(),
                line: number,
            };
            if self.entries.len() >= 8 * MOST_HOSTS {
                self.remarks.push(Remark::too_many(MOST_HOSTS));
                return;
            }
            match entry(line, place.clone()) {
                Ok(entry) => self.add(entry),
                Err(remark) => self.remarks.push(remark.at(&place)),
            }
        }
    }

    fn add(&mut self, entry: Entry) {
        let index = self.entries.len();
        match &entry.names {
            Names::Hashed { .. } => self.hashed.push(index),
            Names::Plain(names) if names.iter().any(|name| name.contains(['*', '?', '!'])) => {
                self.patterns.push(index);
            }
            Names::Plain(names) => {
                for name in names {
                    self.of_name.entry(name.clone()).or_default().push(index);
                }
            }
        }
        self.entries.push(entry);
    }

    /// The entries that hold a host.
    fn of(&self, name: &str, port: u16) -> Vec<usize> {
        let name = name.to_ascii_lowercase();
        let full = if port == 22 {
            name
        } else {
            format!("[{name}]:{port}")
        };
        let mut found: Vec<usize> = self.of_name.get(&full).cloned().unwrap_or_default();
        let fits = |index: &&usize| self.entries[**index].holds(&full);
        found.extend(self.patterns.iter().filter(fits));
        let more = u32::try_from(self.hashed.len()).unwrap_or(u32::MAX);
        let trials = self.trials.load(Ordering::Relaxed).saturating_add(more);
        if trials <= MOST_TRIALS {
            self.trials.store(trials, Ordering::Relaxed);
            found.extend(self.hashed.iter().filter(fits));
        }
        found
    }

    /// The keys of a host, best first, by any of its names; and the one that is revoked.
    pub(super) fn keys(&self, names: &[&str], port: u16) -> (Vec<HostKey>, Option<HostKey>) {
        let mut indices: Vec<usize> = names.iter().flat_map(|name| self.of(name, port)).collect();
        indices.sort_unstable();
        indices.dedup();
        let (revoked, good): (Vec<&Entry>, Vec<&Entry>) = indices
            .into_iter()
            .map(|index| &self.entries[index])
            .partition(|entry| entry.is_revoked);
        let mut keys: Vec<HostKey> = Vec::new();
        let mut bad = None;
        for entry in good {
            if revoked.iter().any(|revoked| revoked.key == entry.key) {
                bad = Some(entry.key.clone());
            } else if !keys.contains(&entry.key) {
                keys.push(entry.key.clone());
            }
        }
        keys.sort_by_key(|key| rank(&key.algorithm));
        (keys, bad)
    }

    /// The hosts of the lines that say plainly who they are. `known` are names that hashed lines are
    /// tried against: those that fit none are remarked on.
    pub(super) fn hosts(&self, known: &[(String, u16)]) -> Hosts {
        let mut hosts = Hosts::default();
        let mut seen = std::collections::BTreeSet::new();
        let mut unknown_hashes = Vec::new();
        // Which of the known hosts a hashed line is about.
        let mut hashed: HashMap<usize, &(String, u16)> = HashMap::new();
        if !self.hashed.is_empty() {
            for host in known {
                for index in self.of(&host.0, host.1) {
                    hashed.entry(index).or_insert(host);
                }
            }
        }
        for (index, entry) in self.entries.iter().enumerate() {
            let names = match &entry.names {
                Names::Plain(names) => names,
                Names::Hashed { .. } => {
                    match hashed.get(&index) {
                        Some((name, port)) if seen.insert((name.clone(), *port)) => {
                            hosts
                                .candidates
                                .push(self.candidate(&[(name.clone(), *port)], entry));
                        }
                        Some(_) => {}
                        None => unknown_hashes.push(Remark::hashed_host().at(&entry.place)),
                    }
                    continue;
                }
            };
            if entry.is_revoked {
                continue;
            }
            let endpoints: Vec<(String, u16)> = names
                .iter()
                .filter(|name| !name.starts_with('!') && !name.contains(['*', '?']))
                .filter_map(|name| {
                    let hop = hop(name)?;
                    Some((hop.host, hop.port.unwrap_or(22)))
                })
                .collect();
            if endpoints.is_empty() {
                let mut pattern = Candidate::new(names.join(","), entry.place.clone());
                pattern.remarks.push(Remark::pattern_only().at(&entry.place));
                hosts.candidates.push(pattern);
                continue;
            }
            // `web-1,10.0.0.1` is one machine; the second line with another key of it is too.
            let is_new = endpoints.iter().all(|endpoint| !seen.contains(endpoint));
            seen.extend(endpoints.iter().cloned());
            if is_new {
                if hosts.candidates.len() >= MOST_HOSTS {
                    hosts.too_many();
                    break;
                }
                hosts.candidates.push(self.candidate(&endpoints, entry));
            }
        }
        // ssh writes two or three lines for each host.
        unknown_hashes.truncate(100);
        hosts.remarks = unknown_hashes;
        hosts
    }

    fn candidate(&self, endpoints: &[(String, u16)], entry: &Entry) -> Candidate {
        let is_address = |name: &str| name.parse::<std::net::IpAddr>().is_ok();
        let named = endpoints.iter().find(|(name, _)| !is_address(name));
        let (name, port) = named.or(endpoints.first()).cloned().unwrap_or_default();
        let mut candidate = Candidate::new(&name, entry.place.clone());
        candidate.state(Field::Ip, &name);
        if port != 22 {
            candidate.state(Field::SshPort, port.to_string());
        }
        let names: Vec<&str> = endpoints.iter().map(|(name, _)| name.as_str()).collect();
        let (keys, revoked) = self.keys(&names, port);
        candidate.host_keys = keys;
        if let Some(key) = revoked {
            let remark = Remark::host_key_revoked(&key.fingerprint);
            candidate.remarks.push(remark.at(&entry.place));
        }
        candidate
    }
}

/// The key that is pinned first: the shortest of the safe ones.
fn rank(algorithm: &str) -> u8 {
    match algorithm {
        "ssh-ed25519" => 0,
        name if name.starts_with("ecdsa-") => 1,
        "ssh-rsa" => 2,
        _ => 3,
    }
}

impl Entry {
    /// `full` is `name`, or `[name]:port`.
    fn holds(&self, full: &str) -> bool {
        match &self.names {
            Names::Plain(patterns) => {
                let mut held = false;
                for pattern in patterns {
                    match pattern.strip_prefix('!') {
                        Some(excluded) if glob(excluded, full) => return false,
                        None if glob(pattern, full) => held = true,
                        _ => {}
                    }
                }
                held
            }
            // `HashKnownHosts`: HMAC-SHA1 of the name, with the salt for a key.
            Names::Hashed { salt, hash } => Hmac::<Sha1>::new_from_slice(salt)
                .is_ok_and(|mac| mac.chain_update(full.as_bytes()).verify_slice(hash).is_ok()),
        }
    }
}

fn entry(line: &str, place: Place) -> Result<Entry, Remark> {
    let mut words = line.split_whitespace();
    let mut first = words.next().unwrap_or_default();
    let mut is_revoked = false;
    if first.starts_with('@') {
        let marker = first;
        first = words.next().unwrap_or_default();
        match marker {
            "@cert-authority" => return Err(Remark::cert_authority(first)),
            "@revoked" => is_revoked = true,
            _ => {
                return Err(Remark::bad_line(
                    "its marker is neither @cert-authority nor @revoked",
                ));
            }
        }
    }
    let key: Vec<&str> = words.take(2).collect();
    let key = HostKey::parse(&key.join(" ")).map_err(|reason| {
        Remark::bad_line(format!("a line is \"name ssh-ed25519 AAAA…\"; the key {reason}"))
    })?;
    let names = match first.strip_prefix("|1|") {
        None => Names::Plain(first.split(',').map(str::to_ascii_lowercase).collect()),
        Some(hashed) => {
            let decode = |text: &str| BASE64_STANDARD.decode(text).ok();
            let parts = hashed.split_once('|');
            let (salt, hash) = parts
                .and_then(|(salt, hash)| Some((decode(salt)?, decode(hash)?)))
                .ok_or_else(|| Remark::bad_line("a hashed name is |1|salt|hash, both in base64"))?;
            Names::Hashed { salt, hash }
        }
    };
    Ok(Entry {
        names,
        key,
        is_revoked,
        place,
    })
}
