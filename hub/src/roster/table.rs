//! A table with a row of headings: the names of the REST interface, or what people call them in
//! English and Chinese. The delimiter (comma, semicolon, tab) is told from the headings.

use super::{
    Candidate, Field, File, Files, Hop, KeyFile, MOST_HOSTS, Place, Remark, files::is_private_key,
    read::Hosts, shell_words::hops,
};
use crate::model::{HostKey, Secret};

/// What a column holds.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Column {
    Name,
    Field(Field),
    Password,
    Key,
    Passphrase,
    Jump,
    Tags,
    HostKey,
}

/// Headings, as [`folded`] writes them.
const HEADINGS: &[(&[&str], Column)] = &[
    (
        &[
            "name",
            "server",
            "servername",
            "label",
            "名称",
            "名字",
            "服务器",
            "服务器名称",
            "主机名称",
        ],
        Column::Name,
    ),
    (
        &[
            "ip",
            "address",
            "host",
            "hostname",
            "ipaddress",
            "fqdn",
            "地址",
            "主机",
            "主机名",
            "ip地址",
            "服务器地址",
        ],
        Column::Field(Field::Ip),
    ),
    (
        &["sshport", "port", "端口", "ssh端口", "端口号"],
        Column::Field(Field::SshPort),
    ),
    (
        &[
            "sshuser",
            "user",
            "username",
            "login",
            "account",
            "用户",
            "用户名",
            "账号",
            "ssh用户",
            "登录名",
        ],
        Column::Field(Field::SshUser),
    ),
    (
        &["sshpassword", "password", "pass", "密码", "口令", "ssh密码"],
        Column::Password,
    ),
    (
        &[
            "sshkey",
            "key",
            "keyfile",
            "identityfile",
            "privatekey",
            "密钥",
            "私钥",
            "密钥文件",
        ],
        Column::Key,
    ),
    (
        &[
            "sshkeypassphrase",
            "passphrase",
            "keypassphrase",
            "密钥口令",
            "密钥密码",
        ],
        Column::Passphrase,
    ),
    (
        &["transport", "传输", "采集方式"],
        Column::Field(Field::Transport),
    ),
    (
        &["intervalseconds", "interval", "间隔", "间隔秒数", "采集间隔"],
        Column::Field(Field::IntervalSeconds),
    ),
    (
        &["group", "groupname", "组", "分组", "组名"],
        Column::Field(Field::Group),
    ),
    (
        &["enabled", "active", "启用", "是否启用"],
        Column::Field(Field::Enabled),
    ),
    (&["cputhreshold", "cpu阈值"], Column::Field(Field::CpuThreshold)),
    (
        &["cpucriticalthreshold", "cpu严重阈值"],
        Column::Field(Field::CpuCriticalThreshold),
    ),
    (
        &["memorythreshold", "内存阈值"],
        Column::Field(Field::MemoryThreshold),
    ),
    (
        &["memorycriticalthreshold", "内存严重阈值"],
        Column::Field(Field::MemoryCriticalThreshold),
    ),
    (
        &["diskthreshold", "磁盘阈值"],
        Column::Field(Field::DiskThreshold),
    ),
    (
        &["diskcriticalthreshold", "磁盘严重阈值"],
        Column::Field(Field::DiskCriticalThreshold),
    ),
    (
        &[
            "jump",
            "jumphost",
            "jumpserver",
            "proxyjump",
            "via",
            "bastion",
            "跳板机",
            "堡垒机",
            "跳板",
        ],
        Column::Jump,
    ),
    (&["tags", "tag", "labels", "标签"], Column::Tags),
    (&["hostkey", "主机密钥"], Column::HostKey),
];

/// Lower case, without what people put between words.
fn folded(heading: &str) -> String {
    heading
        .trim()
        .chars()
        .filter(|c| !c.is_whitespace() && !matches!(c, '_' | '-' | '.'))
        .flat_map(char::to_lowercase)
        .collect()
}

fn column_of(heading: &str) -> Option<Column> {
    let folded = folded(heading);
    HEADINGS
        .iter()
        .find(|(names, _)| names.contains(&folded.as_str()))
        .map(|(_, column)| *column)
}

fn delimiter_of(line: &str) -> u8 {
    let count = |delimiter: u8| line.bytes().filter(|byte| *byte == delimiter).count();
    // Of as many, the rarer one in a heading.
    [b'\t', b';', b',']
        .into_iter()
        .max_by_key(|delimiter| count(*delimiter))
        .filter(|delimiter| count(*delimiter) > 0)
        .unwrap_or(b',')
}

/// Whether a line reads like a row of headings of servers.
pub(super) fn is_heading(line: &str) -> bool {
    let delimiter = char::from(delimiter_of(line));
    let columns: Vec<Option<Column>> = line
        .split(delimiter)
        .map(|heading| column_of(heading.trim().trim_matches('"')))
        .collect();
    let has = |wanted| columns.contains(&Some(wanted));
    has(Column::Field(Field::Ip)) || (has(Column::Name) && columns.len() > 1)
}

/// Reads a table.
pub(super) fn parse(file: &File, files: &dyn Files) -> Hosts {
    let mut hosts = Hosts::default();
    let text = file.text.trim_start_matches('\u{feff}');
    let first = text
        .lines()
        .find(|line| !line.trim().is_empty())
        .unwrap_or_default();
    let mut reader = csv::ReaderBuilder::new()
        .has_headers(false)
        .flexible(true)
        .delimiter(delimiter_of(first))
        .from_reader(text.as_bytes());
    let place_of = |record: &csv::StringRecord| Place {
        file: file.name.clone(),
        line: record
            .position()
            .and_then(|position| u32::try_from(position.line()).ok())
            .unwrap_or(1),
    };
    let mut columns: Option<Vec<Option<Column>>> = None;
    for record in reader.records() {
        let record = match record {
            Ok(record) => record,
            Err(error) => {
                hosts.remarks.push(Remark::bad_line(error.to_string()));
                break;
            }
        };
        if record.iter().all(|cell| cell.trim().is_empty()) {
            continue;
        }
        let place = place_of(&record);
        let Some(columns) = &columns else {
            columns = Some(headings(&record, &place, &mut hosts));
            continue;
        };
        if hosts.candidates.len() >= MOST_HOSTS {
            hosts.too_many();
            break;
        }
        hosts.candidates.push(row(&record, columns, &place, files));
    }
    let has_address = columns.is_none_or(|columns| {
        columns
            .iter()
            .flatten()
            .any(|column| matches!(column, Column::Field(Field::Ip) | Column::Name))
    });
    if !has_address {
        hosts.candidates.clear();
        let fix = "its first line must name the columns, one of them ip (address, host, 地址)";
        hosts.remarks.push(Remark::bad_line(fix).at(&Place {
            file: file.name.clone(),
            line: 1,
        }));
    }
    hosts
}

fn headings(record: &csv::StringRecord, place: &Place, hosts: &mut Hosts) -> Vec<Option<Column>> {
    let mut columns: Vec<Option<Column>> = Vec::new();
    for heading in record {
        let column = column_of(heading);
        let is_second = column.is_some() && columns.contains(&column);
        if (column.is_none() && !heading.trim().is_empty()) || is_second {
            let option = format!("column \"{}\"", heading.trim());
            hosts.remarks.push(Remark::not_supported(&option).at(place));
        }
        columns.push(column.filter(|_| !is_second));
    }
    columns
}

fn row(
    record: &csv::StringRecord,
    columns: &[Option<Column>],
    place: &Place,
    files: &dyn Files,
) -> Candidate {
    let mut candidate = Candidate::new("", place.clone());
    for (index, (cell, column)) in record.iter().zip(columns).enumerate() {
        let number = u32::try_from(index + 1).ok();
        let text = cell.trim();
        let Some(column) = column else { continue };
        if text.is_empty() {
            continue;
        }
        let mut refuse = |field: &str, value: &str, fix: &str| {
            let fix = match number {
                Some(number) => format!("{fix} (column {number})"),
                None => fix.to_owned(),
            };
            candidate
                .remarks
                .push(Remark::bad_value(field, value, fix).at(place));
        };
        match column {
            Column::Name => text.clone_into(&mut candidate.name),
            Column::Field(field) => candidate.state_at(*field, text, place.clone(), number),
            // A password may begin or end with a space.
            Column::Password => candidate.password = Some(Secret::new(cell.to_owned())),
            Column::Passphrase => candidate.passphrase = Some(Secret::new(cell.to_owned())),
            Column::Key => candidate.key = Some(key(text, files)),
            Column::Tags => {
                let words = text.split([',', ';', '|', ' ']).map(str::trim);
                candidate.tags = words.filter(|word| !word.is_empty()).map(str::to_owned).collect();
            }
            Column::Jump => match jumps(text) {
                Some(hops) => candidate.jumps = Some(hops),
                None => refuse(
                    "jump",
                    text,
                    "write the name of another server, or user@host:port",
                ),
            },
            Column::HostKey => match HostKey::parse(text) {
                Ok(key) => candidate.host_keys.push(key),
                Err(reason) => refuse("host_key", text, &format!("it {reason}")),
            },
        }
    }
    if candidate.name.is_empty() {
        candidate.name = candidate.text(Field::Ip).unwrap_or_default().to_owned();
        if let (Some(port), true) = (candidate.port(), !candidate.name.is_empty())
            && port != 22
        {
            candidate.name = format!("{}:{port}", candidate.name);
        }
    }
    candidate
}

/// A cell with the key itself, or with the name of its file.
fn key(text: &str, files: &dyn Files) -> KeyFile {
    if is_private_key(text) {
        return KeyFile::new("ssh_key", Some(Secret::new(format!("{text}\n"))));
    }
    let found = files.open(text).into_iter().next();
    KeyFile::new(text, found.map(|file| Secret::new(file.text.to_string())))
}

/// A name of a server may hold spaces, which an address may not.
fn jumps(text: &str) -> Option<Vec<Hop>> {
    hops(text).or_else(|| {
        let is_name = !text.contains([',', '@', '/']);
        is_name.then(|| {
            vec![Hop {
                user: None,
                host: text.to_owned(),
                port: None,
            }]
        })
    })
}
