//! The INI way: `[group]`, `[group:children]`, `[group:vars]`, and lines of hosts with `name=value`.

use super::{Inventory, Variable, place};
use crate::roster::{File, Files, Remark, read::Hosts, shell_words::words};

#[derive(Debug, Clone, Copy)]
enum Section {
    Hosts,
    Children,
    Variables,
    Unknown,
}

/// Reads an inventory in INI.
pub(in crate::roster) fn parse(file: &File, files: &dyn Files) -> Hosts {
    let mut inventory = Inventory::default();
    let mut group = "ungrouped".to_owned();
    let mut section = Section::Hosts;
    for (number, line) in (1..).zip(file.text.trim_start_matches('\u{feff}').lines()) {
        let line = line.trim();
        if line.is_empty() || line.starts_with(['#', ';']) {
            continue;
        }
        let place = place(file, number);
        // A host may begin with a range: a section fills its line.
        let heading = line.split(" #").next().unwrap_or(line).trim();
        if let Some(name) = heading.strip_prefix('[').and_then(|rest| rest.strip_suffix(']'))
            && !name.contains(['[', ']'])
        {
            let (name, kind) = name.split_once(':').unwrap_or((name, ""));
            name.trim().clone_into(&mut group);
            inventory.group(&group);
            section = match kind.trim() {
                "" => Section::Hosts,
                "children" => Section::Children,
                "vars" => Section::Variables,
                other => {
                    let fix = format!(
                        "a section is [group], [group:children] or [group:vars], not [{name}:{other}]"
                    );
                    inventory.refuse(Remark::bad_line(fix), &place);
                    Section::Unknown
                }
            };
            continue;
        }
        match section {
            Section::Unknown => {}
            Section::Children => {
                let child = line.split_whitespace().next().unwrap_or_default().to_owned();
                inventory.group(&child);
                inventory.group(&group).children.insert(child);
            }
            Section::Variables => match line.split_once('=') {
                Some((name, value)) => {
                    let text = unquoted(value.trim()).to_owned();
                    let variables = &mut inventory.group(&group).variables;
                    variables.insert(name.trim().to_owned(), Variable { text, place });
                }
                None => inventory.refuse(Remark::bad_line("a line of variables is name=value"), &place),
            },
            Section::Hosts => host(&mut inventory, &group, line, &place),
        }
    }
    inventory.into_hosts(files)
}

fn host(inventory: &mut Inventory, group: &str, line: &str, place: &crate::roster::Place) {
    let words = match words(line) {
        Ok(words) => words,
        Err(reason) => return inventory.refuse(Remark::bad_line(reason), place),
    };
    let Some((pattern, rest)) = words.split_first() else {
        return;
    };
    let (pattern, port) = with_port(pattern);
    let names = match inventory.expand(pattern) {
        Ok(names) => names,
        Err(reason) => return inventory.refuse(Remark::bad_line(reason), place),
    };
    let mut variables: Vec<(String, String)> = Vec::new();
    variables.extend(port.map(|port| ("ansible_port".to_owned(), port.to_owned())));
    for word in rest {
        match word.split_once('=') {
            Some((name, value)) => variables.push((name.to_owned(), value.to_owned())),
            None => {
                let fix = format!(
                    "after a host stand variables like ansible_host=10.0.0.1, not \"{}\"",
                    word.escape_debug()
                );
                inventory.refuse(Remark::bad_line(fix), place);
            }
        }
    }
    for name in names {
        let Some(host) = inventory.host(&name, group, place) else {
            return;
        };
        for (name, text) in &variables {
            let (text, place) = (text.clone(), place.clone());
            host.variables.insert(name.clone(), Variable { text, place });
        }
    }
}

/// `host:2222`; the colons of a range and of an IPv6 address are none of that.
fn with_port(pattern: &str) -> (&str, Option<&str>) {
    let outside = pattern.rfind(']').map_or(0, |end| end + 1);
    match pattern[outside..].split_once(':') {
        Some((_, port)) if !port.is_empty() && port.bytes().all(|byte| byte.is_ascii_digit()) => {
            (&pattern[..pattern.len() - port.len() - 1], Some(port))
        }
        _ => (pattern, None),
    }
}

fn unquoted(value: &str) -> &str {
    for quote in ['"', '\''] {
        if let Some(inner) = value
            .strip_prefix(quote)
            .and_then(|rest| rest.strip_suffix(quote))
        {
            return inner;
        }
    }
    value
}
