//! What would become of each candidate: compared with what is enrolled, each is added, changes some
//! fields, or is skipped for a reason. Pure: the same texts, choices and servers give the same plan.
//!
//! An enrolled server keeps what the texts do not speak of, its log-in and its pinned host key above
//! all: an import brings in what is missing, it takes nothing away.

mod differences;
mod ways;

use std::collections::HashMap;

use serde::Serialize;
use sha2::{Digest, Sha256};

use super::{
    Candidate, Field, Hosts, KeyFile, Place, Remark, RemarkCode,
    remark::short,
    values::{Stated, stated},
};
use crate::model::{HostKey, Secret, Server, ServerId, Transport, server::ServerSpec};

pub use ways::Jump;
use ways::Ways;

/// What a person chose for the hosts whose texts leave it open.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Defaults {
    /// Log-in name.
    pub user: Option<String>,
    /// The chosen log-in brings a name of its own: none is needed.
    pub login_has_user: bool,
    /// Port.
    pub port: u16,
    /// Every new server gets these too.
    pub tags: Vec<String>,
    /// Of new servers without one.
    pub group: Option<String>,
    /// Of new servers without one.
    pub interval_seconds: Option<u32>,
    /// Of new servers without one.
    pub transport: Transport,
    /// The way to new servers whose texts say none.
    pub jump_server_id: Option<ServerId>,
}

impl Default for Defaults {
    fn default() -> Self {
        Self {
            user: None,
            login_has_user: false,
            port: 22,
            tags: Vec::new(),
            group: None,
            interval_seconds: None,
            transport: Transport::Auto,
            jump_server_id: None,
        }
    }
}

/// What happens to a candidate.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, utoipa::ToSchema)]
#[serde(rename_all = "lowercase")]
pub enum Action {
    /// It is enrolled.
    Add,
    /// It is enrolled already, and some fields become what the text says.
    Change,
    /// Nothing.
    Skip,
}

/// What a new server is logged in to with.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Login {
    /// What the person chose for all.
    Chosen,
    /// What the text brings.
    Own {
        /// Password.
        password: Option<Secret>,
        /// Private key; its text is there.
        key: Option<KeyFile>,
        /// Opens the key.
        passphrase: Option<Secret>,
    },
}

/// One field that would change.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, utoipa::ToSchema)]
pub struct FieldChange {
    /// Its name in the REST interface.
    pub field: &'static str,
    /// As it is.
    pub from: String,
    /// As it would be.
    pub to: String,
}

/// What would become of one candidate.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Row {
    /// Where it stands.
    pub place: Place,
    /// What happens to it.
    pub action: Action,
    /// The enrolled server it is.
    pub server_id: Option<ServerId>,
    /// The row that it repeats.
    pub same_as: Option<usize>,
    /// What it would be. `jump_server_id` is not set: see `jump`.
    pub spec: ServerSpec,
    /// The way to it.
    pub jump: Jump,
    /// Of a new server.
    pub login: Login,
    /// The host key that would be pinned.
    pub host_key: Option<HostKey>,
    /// Of an enrolled server.
    pub changes: Vec<FieldChange>,
    /// Why it is skipped, first; and what is remarkable.
    pub remarks: Vec<Remark>,
}

/// What would become of all of them.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Plan {
    /// One for each candidate, in the order of the texts.
    pub rows: Vec<Row>,
    /// What is remarkable about the whole.
    pub remarks: Vec<Remark>,
}

impl Plan {
    /// A word for exactly this plan: whoever agreed to another one has not agreed to this.
    #[must_use]
    pub fn digest(&self) -> String {
        // `Secret` shows nothing in `Debug`; a key is told by the name of its file.
        let hash = Sha256::digest(format!("{:?}", self.rows).as_bytes());
        hash.iter().take(16).map(|byte| format!("{byte:02x}")).collect()
    }

    /// The rows so that each comes after the one it is reached through. Only rows that do something.
    #[must_use]
    pub fn in_order(&self) -> Vec<usize> {
        let mut order: Vec<usize> = (0..self.rows.len())
            .filter(|index| self.rows[*index].action != Action::Skip)
            .collect();
        order.sort_by_key(|index| self.depth(*index));
        order
    }

    fn depth(&self, index: usize) -> usize {
        let mut depth = 0;
        let mut next = index;
        while let Jump::Row(jump) = self.rows[next].jump {
            depth += 1;
            next = jump;
            if depth > self.rows.len() {
                break;
            }
        }
        depth
    }
}

/// Compares candidates with what is enrolled.
#[must_use]
pub fn plan(hosts: &Hosts, enrolled: &[Server], defaults: &Defaults) -> Plan {
    let mut remarks = hosts.remarks.clone();
    let mut candidates = hosts.candidates.clone();
    // Alone, the lines of known_hosts are the hosts; beside others they only lend their keys.
    if candidates.is_empty() {
        let endpoints: Vec<(String, u16)> = enrolled
            .iter()
            .map(|server| (server.spec.ip.clone(), server.spec.ssh_port))
            .collect();
        let from_keys = hosts.known.hosts(&endpoints);
        candidates = from_keys.candidates;
        remarks.extend(from_keys.remarks);
    } else {
        for candidate in &mut candidates {
            lend_keys(candidate, hosts, defaults);
        }
    }
    if candidates.is_empty() {
        remarks.push(Remark::nothing());
    }
    let ways = Ways::find(&mut candidates, enrolled, defaults);
    let mut planner = Planner {
        enrolled: Enrolled::new(enrolled),
        defaults,
        rows: vec![None; candidates.len()],
        seen_names: HashMap::new(),
        seen_endpoints: HashMap::new(),
        seen_servers: HashMap::new(),
    };
    for index in ways.order() {
        let row = planner.row(index, &candidates[index], ways.of(index));
        planner.rows[index] = Some(row);
    }
    Plan {
        rows: planner.rows.into_iter().flatten().collect(),
        remarks,
    }
}

fn lend_keys(candidate: &mut Candidate, hosts: &Hosts, defaults: &Defaults) {
    let port = candidate.port().unwrap_or(defaults.port);
    let (keys, revoked) = hosts.known.keys(&[candidate.address(), &candidate.name], port);
    for key in keys {
        if !candidate.host_keys.contains(&key) {
            candidate.host_keys.push(key);
        }
    }
    if let Some(key) = revoked {
        let remark = Remark::host_key_revoked(&key.fingerprint);
        candidate.remarks.push(remark.at(&candidate.place));
    }
}

/// Address, port and way: two servers of one endpoint are one machine.
type Endpoint = (String, u16, Jump);

struct Enrolled<'a> {
    by_name: HashMap<&'a str, &'a Server>,
    by_endpoint: HashMap<Endpoint, &'a Server>,
}

impl<'a> Enrolled<'a> {
    fn new(servers: &'a [Server]) -> Self {
        let endpoint = |server: &Server| {
            let spec = &server.spec;
            let jump = spec.jump_server_id.map_or(Jump::None, Jump::Server);
            (spec.ip.clone(), spec.ssh_port, jump)
        };
        let over_ssh = servers
            .iter()
            .filter(|server| server.spec.transport != Transport::Local);
        Self {
            by_name: servers
                .iter()
                .map(|server| (server.spec.name.as_str(), server))
                .collect(),
            by_endpoint: over_ssh.map(|server| (endpoint(server), server)).collect(),
        }
    }
}

struct Planner<'a> {
    enrolled: Enrolled<'a>,
    defaults: &'a Defaults,
    rows: Vec<Option<Row>>,
    seen_names: HashMap<String, usize>,
    seen_endpoints: HashMap<Endpoint, usize>,
    seen_servers: HashMap<ServerId, Place>,
}

impl Planner<'_> {
    fn row(&mut self, index: usize, candidate: &Candidate, way: &Result<Option<Jump>, Remark>) -> Row {
        let mut remarks = candidate.remarks.clone();
        let mut row = Row {
            place: candidate.place.clone(),
            action: Action::Skip,
            server_id: None,
            same_as: None,
            spec: ServerSpec::new(
                candidate.name.trim(),
                candidate.address(),
                "",
                self.defaults.transport,
            ),
            jump: Jump::None,
            login: Login::Chosen,
            host_key: None,
            changes: Vec::new(),
            remarks: Vec::new(),
        };
        if candidate.text(Field::SshPort).is_none() {
            row.spec.ssh_port = self.defaults.port;
        } else if let Some(port) = candidate.port() {
            row.spec.ssh_port = port;
        }
        if let Some(user) = candidate.text(Field::SshUser) {
            user.clone_into(&mut row.spec.ssh_user);
        }
        let stated_jump = match way {
            Ok(jump) => *jump,
            Err(remark) => {
                remarks.push(remark.clone());
                None
            }
        };
        // A pattern is no host: nothing else about it is of interest.
        let is_pattern = remarks
            .iter()
            .any(|remark| remark.code == RemarkCode::PatternOnly);
        let stated = if is_pattern {
            None
        } else {
            remarks.extend(name_fault(&row.spec.name, candidate));
            stated(candidate, &mut remarks)
        };
        let jump = self.resolved(stated_jump, &mut remarks);
        if let (Some(stated), false) = (stated, remarks.iter().any(Remark::forbids)) {
            self.decide(index, &mut row, candidate, (&stated, jump), &mut remarks);
        }
        // What keeps it out comes first.
        remarks.sort_by_key(|remark| !remark.forbids());
        if remarks.iter().any(Remark::forbids) {
            row.action = Action::Skip;
            // What is not taken may be anything, of any length: it is only shown.
            let spec = &mut row.spec;
            candidate.name.trim().clone_into(&mut spec.name);
            for text in [&mut spec.name, &mut spec.ip, &mut spec.ssh_user] {
                *text = short(text);
            }
        }
        row.remarks = remarks;
        row
    }

    /// The jump host as it will be: a row that is enrolled is that server, one that is left out is none.
    fn resolved(&self, jump: Option<Jump>, remarks: &mut Vec<Remark>) -> Option<Jump> {
        let Some(Jump::Row(mut index)) = jump else {
            return jump;
        };
        let Some(Some(mut through)) = self.rows.get(index).map(Option::as_ref) else {
            return jump;
        };
        if let Some(same) = through.same_as
            && let Some(Some(row)) = self.rows.get(same).map(Option::as_ref)
        {
            (index, through) = (same, row);
        }
        match (through.server_id, through.action) {
            (Some(id), _) => Some(Jump::Server(id)),
            (None, Action::Skip) => {
                let reason = through
                    .remarks
                    .first()
                    .map_or("it is left out", |remark| &remark.message);
                remarks.push(Remark::bad_jump(&through.spec.name, reason));
                None
            }
            _ => Some(Jump::Row(index)),
        }
    }

    fn decide(
        &mut self,
        index: usize,
        row: &mut Row,
        candidate: &Candidate,
        (stated, jump): (&Stated, Option<Jump>),
        remarks: &mut Vec<Remark>,
    ) {
        let port = stated.ssh_port.unwrap_or(self.defaults.port);
        let default_jump = self.defaults.jump_server_id.map_or(Jump::None, Jump::Server);
        let endpoint = (stated.ip.clone(), port, jump.unwrap_or(default_jump));
        let by_name = self.enrolled.by_name.get(row.spec.name.as_str()).copied();
        let straight = (stated.ip.clone(), port, jump.unwrap_or(Jump::None));
        let by_endpoint = self
            .enrolled
            .by_endpoint
            .get(&endpoint)
            .or_else(|| self.enrolled.by_endpoint.get(&straight))
            .copied();
        if let Some(server) = by_name.or(by_endpoint) {
            row.server_id = Some(server.id);
            row.spec = ServerSpec {
                jump_server_id: None,
                ..server.spec.clone()
            };
            row.jump = server.spec.jump_server_id.map_or(Jump::None, Jump::Server);
            if let Some(place) = self.seen_servers.get(&server.id) {
                remarks.push(Remark::duplicate_of(place));
                return;
            }
            self.seen_servers.insert(server.id, candidate.place.clone());
            let said = by_name.filter(|_| !candidate.is_only_hop).map(|_| (stated, jump));
            self.enrolled_row(row, candidate, said, server, remarks);
            return;
        }
        // One machine may be gone through as another user than it is read as.
        let by_endpoint = self
            .seen_endpoints
            .get(&endpoint)
            .filter(|_| !candidate.is_only_hop);
        if let Some(first) = self.seen_names.get(&row.spec.name).or(by_endpoint).copied() {
            row.same_as = Some(first);
            let place = self.rows[first]
                .as_ref()
                .map_or(&candidate.place, |row| &row.place);
            remarks.push(Remark::duplicate_of(place));
            return;
        }
        self.new_row(row, candidate, stated, &endpoint, remarks);
        if !remarks.iter().any(Remark::forbids) {
            row.action = Action::Add;
            self.seen_names.insert(row.spec.name.clone(), index);
            self.seen_endpoints.entry(endpoint).or_insert(index);
        }
    }

    fn new_row(
        &self,
        row: &mut Row,
        candidate: &Candidate,
        stated: &Stated,
        (ip, port, jump): &Endpoint,
        remarks: &mut Vec<Remark>,
    ) {
        let defaults = self.defaults;
        let mut tags = candidate.tags.clone();
        add_tags(&mut tags, &defaults.tags);
        let transport = stated.transport.unwrap_or(defaults.transport);
        let user = stated.ssh_user.clone().or_else(|| defaults.user.clone());
        if user.is_none() && !defaults.login_has_user && transport != Transport::Agent {
            remarks.push(Remark::no_user().at(&candidate.place));
        }
        row.spec = ServerSpec {
            ssh_port: *port,
            interval_seconds: stated.interval_seconds.or(defaults.interval_seconds),
            tags,
            group: stated
                .group
                .clone()
                .filter(|group| !group.is_empty())
                .or_else(|| defaults.group.clone()),
            enabled: stated.enabled.unwrap_or(true),
            thresholds: stated.thresholds_over(&crate::model::server::Thresholds::default()),
            ..ServerSpec::new(row.spec.name.clone(), ip, user.unwrap_or_default(), transport)
        };
        row.jump = *jump;
        row.host_key = candidate.host_keys.first().cloned();
        let key = candidate.key.clone().filter(|key| key.text.is_some());
        if let (Some(missing), None, None) = (&candidate.key, &key, &candidate.password) {
            remarks.push(Remark::missing_key(&missing.path).at(&candidate.place));
        }
        if key.is_some() || candidate.password.is_some() {
            row.login = Login::Own {
                password: candidate.password.clone(),
                passphrase: candidate.passphrase.clone().filter(|_| key.is_some()),
                key,
            };
        }
    }
}

fn name_fault(name: &str, candidate: &Candidate) -> Option<Remark> {
    let is_fine = (1..=100).contains(&name.chars().count()) && !name.chars().any(char::is_control);
    (!is_fine).then(|| {
        Remark::bad_value("name", name, "write a name of 1 to 100 characters in one line")
            .at(&candidate.place)
    })
}

/// Adds those that are missing, as many as a server may have.
fn add_tags(tags: &mut Vec<String>, more: &[String]) {
    for tag in more {
        let tag: String = tag.chars().filter(|c| !c.is_control()).take(50).collect();
        if tags.len() < 32 && !tag.is_empty() && !tags.contains(&tag) {
            tags.push(tag);
        }
    }
}
