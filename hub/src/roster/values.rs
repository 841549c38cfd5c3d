//! The fields of a server out of their texts. The rules are those of the REST interface; a text may say
//! "yes" where JSON says true.

use std::ops::RangeInclusive;

use super::{Candidate, Field, Found, Remark};
use crate::model::{
    Transport, host_of,
    server::{Threshold, Thresholds},
};

/// What a candidate states, each `None` where it states nothing.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Stated {
    pub(super) ip: String,
    pub(super) ssh_port: Option<u16>,
    pub(super) ssh_user: Option<String>,
    pub(super) transport: Option<Transport>,
    pub(super) interval_seconds: Option<u32>,
    pub(super) group: Option<String>,
    pub(super) enabled: Option<bool>,
    /// Warning and critical of CPU, memory and disk.
    thresholds: [(Option<u8>, Option<u8>); 3],
}

impl Stated {
    /// The thresholds laid over others. A critical one that is left out rises with the warning.
    pub(super) fn thresholds_over(&self, base: &Thresholds) -> Thresholds {
        let over = |(warning, critical): (Option<u8>, Option<u8>), base: Threshold| {
            let warning_percent = warning.unwrap_or(base.warning_percent);
            Threshold {
                warning_percent,
                critical_percent: critical.unwrap_or(base.critical_percent).max(warning_percent),
            }
        };
        let [cpu, memory, disk] = self.thresholds;
        Thresholds {
            cpu: over(cpu, base.cpu),
            memory: over(memory, base.memory),
            disk: over(disk, base.disk),
        }
    }
}

/// Reads every field; what is wrong becomes a remark with field, value, place and fix.
pub(super) fn stated(candidate: &Candidate, remarks: &mut Vec<Remark>) -> Option<Stated> {
    let before = remarks.len();
    let mut reader = Reader { candidate, remarks };
    let ip = reader.ip();
    let stated = Stated {
        ip: ip.unwrap_or_default(),
        ssh_port: reader.number(Field::SshPort, 1..=65_535),
        ssh_user: reader.read(
            Field::SshUser,
            "write a log-in name of 1 to 64 characters without spaces",
            |text| {
                let is_fine = (1..=64).contains(&text.chars().count())
                    && !text.chars().any(|c| c.is_whitespace() || c.is_control());
                is_fine.then(|| text.to_owned())
            },
        ),
        transport: reader.read(Field::Transport, "write auto, ssh or agent", |text| {
            match text.to_ascii_lowercase().as_str() {
                "auto" => Some(Transport::Auto),
                "ssh" => Some(Transport::Ssh),
                "agent" => Some(Transport::Agent),
                _ => None,
            }
        }),
        interval_seconds: reader.number(Field::IntervalSeconds, 1..=86_400),
        group: reader.read(Field::Group, "write at most 100 characters in one line", |text| {
            let is_fine = text.chars().count() <= 100 && !text.chars().any(char::is_control);
            is_fine.then(|| text.to_owned())
        }),
        enabled: reader.read(Field::Enabled, "write true or false", |text| {
            match text.to_lowercase().as_str() {
                "true" | "yes" | "y" | "1" | "on" | "是" | "启用" => Some(true),
                "false" | "no" | "n" | "0" | "off" | "否" | "停用" | "禁用" => Some(false),
                _ => None,
            }
        }),
        thresholds: [
            reader.pair(Field::CpuThreshold, Field::CpuCriticalThreshold),
            reader.pair(Field::MemoryThreshold, Field::MemoryCriticalThreshold),
            reader.pair(Field::DiskThreshold, Field::DiskCriticalThreshold),
        ],
    };
    (remarks.len() == before).then_some(stated)
}

struct Reader<'a> {
    candidate: &'a Candidate,
    remarks: &'a mut Vec<Remark>,
}

impl Reader<'_> {
    fn refuse(&mut self, field: Field, found: &Found, fix: &str) {
        let fix = match found.column {
            Some(column) => format!("{fix} (column {column})"),
            None => fix.to_owned(),
        };
        let remark = Remark::bad_value(field.as_str(), &found.text, fix);
        self.remarks.push(remark.at(&found.place));
    }

    fn read<T>(&mut self, field: Field, fix: &str, parse: impl FnOnce(&str) -> Option<T>) -> Option<T> {
        let found = self.candidate.fields.get(&field)?;
        let value = parse(found.text.trim());
        if value.is_none() {
            self.refuse(field, found, fix);
        }
        value
    }

    fn ip(&mut self) -> Option<String> {
        const FIX: &str = "write an IPv4 address (192.0.2.10), an IPv6 address (2001:db8::10) or a host name (web-1.example.org)";
        if self.candidate.fields.contains_key(&Field::Ip) {
            return self.read(Field::Ip, FIX, host_of);
        }
        // Where only a name is given, it is the address.
        let host = host_of(self.candidate.name.trim());
        if host.is_none() {
            let remark = Remark::bad_value(Field::Ip.as_str(), &self.candidate.name, FIX);
            self.remarks.push(remark.at(&self.candidate.place));
        }
        host
    }

    fn number<T>(&mut self, field: Field, range: RangeInclusive<T>) -> Option<T>
    where
        T: std::str::FromStr + PartialOrd + std::fmt::Display,
    {
        let fix = format!("write a whole number from {} to {}", range.start(), range.end());
        self.read(field, &fix, |text| {
            let number = text.strip_suffix('%').unwrap_or(text).trim();
            number.parse().ok().filter(|number| range.contains(number))
        })
    }

    fn pair(&mut self, warning: Field, critical: Field) -> (Option<u8>, Option<u8>) {
        let pair = (self.number(warning, 1..=100u8), self.number(critical, 1..=100u8));
        if let (Some(least), Some(value)) = pair
            && value < least
            && let Some(found) = self.candidate.fields.get(&critical)
        {
            self.refuse(
                critical,
                found,
                &format!("write at least {least}, which is {}", warning.as_str()),
            );
        }
        pair
    }
}
