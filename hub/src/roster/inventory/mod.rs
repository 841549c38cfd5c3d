//! An Ansible inventory, in INI or YAML: groups within groups, variables that the inner ones override,
//! ranges of hosts. Only what says where a host is and how to log in is taken.

mod ini;
mod yaml;

use std::collections::{BTreeMap, BTreeSet, HashMap};

use super::{
    Candidate, Field, File, Files, KeyFile, MOST_HOSTS, Place, Remark,
    read::Hosts,
    remark::short,
    shell_words::{expand, jumps_of_arguments},
};
use crate::model::Secret;

pub(super) use ini::parse as parse_ini;
pub(super) use yaml::parse as parse_yaml;

/// Groups within groups.
const MOST_DEPTH: usize = 32;
/// Names that ranges may stand for, over all lines: a host may be named in many groups.
const MOST_NAMES: usize = 40 * MOST_HOSTS;
/// Tags of one server.
const MOST_TAGS: usize = 32;

/// The value of a variable, and where it stands.
#[derive(Debug, Clone)]
struct Variable {
    text: String,
    place: Place,
}

type Variables = BTreeMap<String, Variable>;

#[derive(Debug, Default)]
struct Group {
    children: BTreeSet<String>,
    variables: Variables,
}

/// One host with what stands beside it.
#[derive(Debug)]
struct Host {
    name: String,
    place: Place,
    variables: Variables,
    /// In the order they are named.
    groups: Vec<String>,
}

/// What both ways of writing it come to.
#[derive(Debug, Default)]
struct Inventory {
    groups: BTreeMap<String, Group>,
    hosts: Vec<Host>,
    by_name: HashMap<String, usize>,
    remarks: Vec<Remark>,
    is_full: bool,
    expanded: usize,
}

impl Inventory {
    /// The names a pattern stands for.
    fn expand(&mut self, pattern: &str) -> Result<Vec<String>, String> {
        let names = expand(pattern, MOST_HOSTS)?;
        self.expanded += names.len();
        if self.expanded > MOST_NAMES {
            return Err(format!("ranges stand for more than {MOST_NAMES} names by here"));
        }
        Ok(names)
    }

    fn group(&mut self, name: &str) -> &mut Group {
        self.groups.entry(name.to_owned()).or_default()
    }

    /// Notes a host in a group; `None`: there are too many.
    fn host(&mut self, name: &str, group: &str, place: &Place) -> Option<&mut Host> {
        let index = match self.by_name.get(name) {
            Some(index) => *index,
            None if self.hosts.len() >= MOST_HOSTS => {
                self.is_full = true;
                return None;
            }
            None => {
                self.by_name.insert(name.to_owned(), self.hosts.len());
                self.hosts.push(Host {
                    name: name.to_owned(),
                    place: place.clone(),
                    variables: Variables::new(),
                    groups: Vec::new(),
                });
                self.hosts.len() - 1
            }
        };
        let host = self.hosts.get_mut(index)?;
        if !matches!(group, "all" | "ungrouped") && !host.groups.iter().any(|known| known == group) {
            host.groups.push(group.to_owned());
        }
        Some(host)
    }

    fn refuse(&mut self, remark: Remark, place: &Place) {
        if self.remarks.len() < 1_000 {
            self.remarks.push(remark.at(place));
        }
    }

    /// Groups that a group lies in, with how deep each lies below `all`.
    fn depths(&self) -> BTreeMap<&str, usize> {
        let mut depths: BTreeMap<&str, usize> = self.groups.keys().map(|name| (name.as_str(), 1)).collect();
        depths.insert("all", 0);
        // A circle only ends at the bound.
        for _ in 0..MOST_DEPTH {
            let mut changed = false;
            for (name, group) in self.groups.iter().filter(|(name, _)| *name != "all") {
                let below = depths.get(name.as_str()).copied().unwrap_or(1) + 1;
                for child in &group.children {
                    if let Some(depth) = depths.get_mut(child.as_str())
                        && *depth < below
                        && below <= MOST_DEPTH
                    {
                        *depth = below;
                        changed = true;
                    }
                }
            }
            if !changed {
                break;
            }
        }
        depths
    }

    fn into_hosts(self, files: &dyn Files) -> Hosts {
        let depths = self.depths();
        let mut parents: BTreeMap<&str, Vec<&str>> = BTreeMap::new();
        for (name, group) in &self.groups {
            for child in &group.children {
                parents.entry(child).or_default().push(name);
            }
        }
        let mut hosts = Hosts {
            remarks: self.remarks.clone(),
            ..Hosts::default()
        };
        if self.is_full {
            hosts.too_many();
        }
        for host in &self.hosts {
            let mut groups: BTreeSet<&str> = BTreeSet::new();
            let mut next: Vec<&str> = host.groups.iter().map(String::as_str).collect();
            while let Some(group) = next.pop() {
                if groups.insert(group) {
                    next.extend(
                        parents
                            .get(group)
                            .into_iter()
                            .flatten()
                            .filter(|name| **name != "all"),
                    );
                }
            }
            // The deeper group overrides, and of equal ones the later by name, as in Ansible.
            let mut order: Vec<&str> = groups.iter().copied().collect();
            order.sort_by_key(|name| (depths.get(name).copied().unwrap_or(1), *name));
            let mut variables = Variables::new();
            for group in std::iter::once("all").chain(order.iter().copied()) {
                if let Some(group) = self.groups.get(group) {
                    variables.extend(group.variables.clone());
                }
            }
            variables.extend(host.variables.clone());
            let deepest = host
                .groups
                .iter()
                .rev()
                .max_by_key(|name| depths.get(name.as_str()).copied().unwrap_or(1));
            let mut candidate = candidate(host, &variables, files);
            if let Some(group) = deepest {
                candidate.state(Field::Group, group);
            }
            candidate.tags = order
                .iter()
                .take(MOST_TAGS)
                .map(|name| (*name).to_owned())
                .collect();
            hosts.candidates.push(candidate);
        }
        hosts
    }
}

/// Variables whose values are secrets: never repeated in a remark.
fn is_secret(name: &str) -> bool {
    name.contains("pass")
}

fn candidate(host: &Host, variables: &Variables, files: &dyn Files) -> Candidate {
    let mut candidate = Candidate::new(&host.name, host.place.clone());
    // `ansible_ssh_host` and the like are the names of before 2.0, and still taken.
    let find = |names: &[&str]| -> Option<(String, Variable)> {
        names.iter().find_map(|name| {
            let variable = variables.get(*name)?;
            Some(((*name).to_owned(), variable.clone()))
        })
    };
    let mut templates = Vec::new();
    let mut plain = |names: &[&str]| {
        let (name, variable) = find(names)?;
        if variable.text.contains("{{") || variable.text.contains("$ANSIBLE_VAULT") {
            templates.push((name, variable));
            return None;
        }
        Some(variable)
    };
    for (field, names) in [
        (Field::Ip, ["ansible_host", "ansible_ssh_host"]),
        (Field::SshPort, ["ansible_port", "ansible_ssh_port"]),
        (Field::SshUser, ["ansible_user", "ansible_ssh_user"]),
    ] {
        if let Some(variable) = plain(&names) {
            candidate.state_at(field, variable.text, variable.place, None);
        }
    }
    if let Some(variable) = plain(&["ansible_password", "ansible_ssh_pass", "ansible_ssh_password"]) {
        candidate.password = Some(Secret::new(variable.text));
    }
    if let Some(variable) = plain(&[
        "ansible_ssh_private_key_passphrase",
        "ansible_private_key_passphrase",
    ]) {
        candidate.passphrase = Some(Secret::new(variable.text));
    }
    if let Some(variable) = plain(&["ansible_ssh_private_key_file", "ansible_private_key_file"]) {
        let found = files.open(&variable.text).into_iter().next();
        let text = found.map(|file| Secret::new(file.text.to_string()));
        candidate.key = Some(KeyFile::new(variable.text, text));
    }
    for name in ["ansible_ssh_common_args", "ansible_ssh_extra_args"] {
        if candidate.jumps.is_some() {
            break;
        }
        let Some(variable) = plain(&[name]) else { continue };
        match jumps_of_arguments(&variable.text) {
            Ok(hops) => candidate.jumps = hops,
            Err(option) => {
                let fix = "only -J, -o ProxyJump=… and -o ProxyCommand=\"ssh -W %h:%p …\" can be followed";
                candidate
                    .remarks
                    .push(Remark::bad_value(name, &option, fix).at(&variable.place));
            }
        }
    }
    if let Some(variable) = plain(&["ansible_connection"])
        && !matches!(
            variable.text.as_str(),
            "ssh" | "smart" | "paramiko" | "paramiko_ssh" | ""
        )
    {
        candidate
            .remarks
            .push(Remark::other_connection(&variable.text).at(&variable.place));
    }
    for (name, variable) in templates {
        let shown = if is_secret(&name) {
            "…".to_owned()
        } else {
            short(&variable.text)
        };
        let fix = "a template or a vault is filled in by Ansible alone; write the value (ansible-inventory --list shows it)";
        let remark = Remark::bad_value(&name, &shown, fix).at(&variable.place);
        candidate.remarks.push(remark);
    }
    candidate
}

fn place(file: &File, line: usize) -> Place {
    Place {
        file: file.name.clone(),
        line: u32::try_from(line).unwrap_or(u32::MAX),
    }
}
