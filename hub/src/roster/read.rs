//! Reads some texts together: tells what each is, and brings them into one list of candidates.

use std::collections::HashMap;

use super::{
    Candidate, File, Files, Format, MOST_HOSTS, Remark, detect::format_of, files::glob, files::last_part,
    inventory, known_hosts::KnownHosts, list, ssh_config, table,
};
use crate::model::{HostKey, Secret};

/// What was read out of some texts.
#[derive(Debug, Default)]
pub struct Hosts {
    /// The hosts, in the order they stand.
    pub candidates: Vec<Candidate>,
    /// What is remarkable and about no one host.
    pub remarks: Vec<Remark>,
    /// What each text was taken for, by its name.
    pub formats: Vec<(String, Format)>,
    pub(super) known: KnownHosts,
}

impl Hosts {
    pub(super) fn too_many(&mut self) {
        self.remarks.push(Remark::too_many(MOST_HOSTS));
    }

    fn take(&mut self, other: Self) {
        self.candidates.extend(other.candidates);
        self.remarks.extend(other.remarks);
    }

    /// Looks at every private key once. `check` tells the public half of a key, or what is wrong with it
    /// and its passphrase; `passphrase` opens those that none stands beside.
    pub fn check_keys(
        &mut self,
        passphrase: Option<&Secret>,
        mut check: impl FnMut(&Secret, Option<&Secret>) -> Result<HostKey, String>,
    ) {
        // By text and passphrase: the public half and whether the common passphrase opened it.
        type Outcome = Result<(HostKey, bool), String>;
        let mut known: HashMap<(String, Option<String>), Outcome> = HashMap::new();
        for candidate in &mut self.candidates {
            let Some(key) = &mut candidate.key else { continue };
            let Some(text) = &key.text else { continue };
            let of = |secret: &Option<Secret>| secret.as_ref().map(|secret| secret.expose().to_owned());
            let own = candidate.passphrase.clone();
            let outcome = known
                .entry((text.expose().to_owned(), of(&own)))
                .or_insert_with(|| match check(text, own.as_ref()) {
                    Ok(public_key) => Ok((public_key, false)),
                    Err(reason) => match passphrase.filter(|_| own.is_none()) {
                        Some(common) => check(text, Some(common)).map(|public_key| (public_key, true)),
                        None => Err(reason),
                    },
                });
            match outcome {
                Ok((public_key, is_common)) => {
                    key.public_key = Some(public_key.clone());
                    if *is_common {
                        candidate.passphrase = passphrase.cloned();
                    }
                }
                Err(reason) => {
                    let remark = Remark::bad_key(&key.path, reason);
                    candidate.remarks.push(remark.at(&candidate.place));
                }
            }
        }
    }
}

/// Reads texts that were given together. What they refer to is asked of `files`.
#[must_use]
pub fn read(texts: &[File], files: &dyn Files) -> Hosts {
    let mut hosts = Hosts::default();
    let formats: Vec<Format> = texts
        .iter()
        .map(|file| file.format.unwrap_or_else(|| format_of(&file.name, &file.text)))
        .collect();
    let included = included(texts, &formats);
    for (index, (file, format)) in texts.iter().zip(&formats).enumerate() {
        hosts.formats.push((file.name.clone(), *format));
        if included[index] {
            continue;
        }
        match format {
            Format::SshConfig => hosts.take(ssh_config::parse(file, files)),
            Format::AnsibleIni => hosts.take(inventory::parse_ini(file, files)),
            Format::AnsibleYaml => hosts.take(inventory::parse_yaml(file, files)),
            Format::Csv => hosts.take(table::parse(file, files)),
            Format::List => hosts.take(list::parse(file)),
            Format::KnownHosts => hosts.known.read(file),
            Format::PrivateKey => {}
        }
    }
    let remarks = std::mem::take(&mut hosts.known.remarks);
    hosts.remarks.extend(remarks);
    hosts
}

/// Which of the texts is included by another one, and so is no beginning of its own.
fn included(texts: &[File], formats: &[Format]) -> Vec<bool> {
    let mut included = vec![false; texts.len()];
    for (from, _) in formats
        .iter()
        .enumerate()
        .filter(|(_, format)| **format == Format::SshConfig)
    {
        let patterns = texts[from].text.lines().filter_map(|line| {
            let line = line.trim();
            let rest = line
                .get(..7)
                .filter(|word| word.eq_ignore_ascii_case("include"))?;
            line.strip_prefix(rest)
        });
        let patterns: Vec<&str> = patterns
            .flat_map(|rest| rest.split(|c: char| c.is_whitespace() || c == '=' || c == '"'))
            .filter(|pattern| !pattern.is_empty())
            .collect();
        for (to, file) in texts.iter().enumerate() {
            let fits =
                |pattern: &&str| glob(pattern, &file.name) || glob(last_part(pattern), last_part(&file.name));
            if to != from && patterns.iter().any(fits) {
                included[to] = true;
            }
        }
    }
    // Two that include one another: the first is the beginning.
    if !included.is_empty() && included.iter().all(|is| *is) {
        included[0] = false;
    }
    included
}
