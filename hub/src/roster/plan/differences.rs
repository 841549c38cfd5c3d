//! What differs between a candidate and the server that is enrolled already.

use super::{Action, FieldChange, Jump, Planner, Row, add_tags};
use crate::{
    model::{Server, Transport, server::Threshold},
    roster::{Candidate, Field, Remark, values::Stated},
};

impl Planner<'_> {
    /// What differs from an enrolled server. One that only its address was recognised by keeps what it
    /// is; only a host key may be pinned.
    pub(super) fn enrolled_row(
        &self,
        row: &mut Row,
        candidate: &Candidate,
        said: Option<(&Stated, Option<Jump>)>,
        server: &Server,
        remarks: &mut Vec<Remark>,
    ) {
        let is_local = server.spec.transport == Transport::Local;
        if let (Some((stated, jump)), false) = (said, is_local) {
            self.differences(row, candidate, stated, jump);
        }
        let moved = (&row.spec.ip, row.spec.ssh_port) != (&server.spec.ip, server.spec.ssh_port);
        if let (Some(key), false) = (candidate.host_keys.first(), is_local) {
            match &server.host_key {
                Some(pinned) if !moved => {
                    if !candidate.host_keys.contains(pinned) {
                        remarks.push(Remark::host_key_differs(&key.fingerprint).at(&candidate.place));
                    }
                }
                _ => {
                    row.host_key = Some(key.clone());
                    row.changes.push(FieldChange {
                        field: "host_key",
                        from: String::new(),
                        to: key.fingerprint.clone(),
                    });
                }
            }
        }
        if !row.changes.is_empty() {
            row.action = Action::Change;
        } else if said.is_some() || server.spec.name == candidate.name {
            remarks.push(Remark::already_there());
        } else {
            remarks.push(Remark::enrolled_as(&server.spec.name));
        }
    }

    fn differences(&self, row: &mut Row, candidate: &Candidate, stated: &Stated, jump: Option<Jump>) {
        let changes = &mut row.changes;
        let spec = &mut row.spec;
        let mut note = |field, from: String, to: String| {
            let differs = from != to;
            if differs {
                changes.push(FieldChange { field, from, to });
            }
            differs
        };
        let number = |value: Option<u32>| value.map(|value| value.to_string()).unwrap_or_default();
        // A name that stands for the address says nothing about it.
        if candidate.text(Field::Ip).is_some() && note("ip", spec.ip.clone(), stated.ip.clone()) {
            spec.ip.clone_from(&stated.ip);
        }
        if let Some(port) = stated.ssh_port
            && note("ssh_port", spec.ssh_port.to_string(), port.to_string())
        {
            spec.ssh_port = port;
        }
        if let Some(user) = &stated.ssh_user
            && note("ssh_user", spec.ssh_user.clone(), user.clone())
        {
            spec.ssh_user.clone_from(user);
        }
        if let Some(jump) = jump
            && note("jump_server_id", self.name_of(row.jump), self.name_of(jump))
        {
            row.jump = jump;
        }
        if let Some(transport) = stated.transport
            && note(
                "transport",
                spec.transport.as_str().into(),
                transport.as_str().into(),
            )
        {
            spec.transport = transport;
        }
        if let Some(interval) = stated.interval_seconds
            && note(
                "interval_seconds",
                number(spec.interval_seconds),
                interval.to_string(),
            )
        {
            spec.interval_seconds = Some(interval);
        }
        if let Some(group) = &stated.group
            && note("group", spec.group.clone().unwrap_or_default(), group.clone())
        {
            spec.group = Some(group.clone()).filter(|group| !group.is_empty());
        }
        if let Some(enabled) = stated.enabled
            && note("enabled", spec.enabled.to_string(), enabled.to_string())
        {
            spec.enabled = enabled;
        }
        let mut tags = spec.tags.clone();
        add_tags(&mut tags, &candidate.tags);
        if note("tags", spec.tags.join(", "), tags.join(", ")) {
            spec.tags = tags;
        }
        let thresholds = stated.thresholds_over(&spec.thresholds);
        let old = spec.thresholds;
        for (field, from, to) in [
            ("cpu_threshold", old.cpu, thresholds.cpu),
            ("memory_threshold", old.memory, thresholds.memory),
            ("disk_threshold", old.disk, thresholds.disk),
        ] {
            let shown = |pair: Threshold| format!("{}/{}", pair.warning_percent, pair.critical_percent);
            note(field, shown(from), shown(to));
        }
        spec.thresholds = thresholds;
    }

    fn name_of(&self, jump: Jump) -> String {
        match jump {
            Jump::None => String::new(),
            Jump::Server(id) => self
                .enrolled
                .by_name
                .values()
                .find(|server| server.id == id)
                .map_or_else(|| id.to_string(), |server| server.spec.name.clone()),
            Jump::Row(index) => self
                .rows
                .get(index)
                .and_then(Option::as_ref)
                .map_or_else(String::new, |row| row.spec.name.clone()),
        }
    }
}
