//! A plain list: one `user@host:port` a line, a range like `10.0.0.[1:50]`, or an address with a name
//! after it as in `/etc/hosts`.

use super::{
    Candidate, Field, File, MOST_HOSTS, Place, Remark,
    read::Hosts,
    shell_words::{expand, hop},
};

/// Reads a list.
pub(super) fn parse(file: &File) -> Hosts {
    let mut hosts = Hosts::default();
    for (number, line) in (1..).zip(file.text.trim_start_matches('\u{feff}').lines()) {
        let line = line.split('#').next().unwrap_or_default();
        let place = Place {
            file: file.name.clone(),
            line: number,
        };
        let words: Vec<&str> = line
            .split(|c: char| c.is_whitespace() || c == ',' || c == ';')
            .filter(|word| !word.is_empty())
            .collect();
        // `10.0.0.1 web-1 web-1.example.org`
        let is_address = |word: &str| word.parse::<std::net::IpAddr>().is_ok();
        let named = match words.as_slice() {
            [address, name, ..] if is_address(address) && !is_address(name) && hop(name).is_some() => {
                Some((*address, *name))
            }
            _ => None,
        };
        if let Some((address, name)) = named {
            let mut candidate = Candidate::new(name, place.clone());
            candidate.state(Field::Ip, address);
            hosts.candidates.push(candidate);
        } else {
            for word in words {
                one(&mut hosts, word, &place);
            }
        }
        if hosts.candidates.len() > MOST_HOSTS {
            hosts.candidates.truncate(MOST_HOSTS);
            hosts.too_many();
            return hosts;
        }
    }
    hosts
}

fn one(hosts: &mut Hosts, word: &str, place: &Place) {
    let refused = |fix: &str| {
        let mut candidate = Candidate::new(word, place.clone());
        candidate
            .remarks
            .push(Remark::bad_value("ip", word, fix).at(place));
        candidate
    };
    // `[2001:db8::1]:22` is no range.
    let names = if hop(word).is_some_and(|hop| hop.host.contains(':')) {
        vec![word.to_owned()]
    } else {
        match expand(word, MOST_HOSTS) {
            Ok(names) => names,
            Err(reason) => return hosts.candidates.push(refused(&reason)),
        }
    };
    for name in names {
        let Some(hop) = hop(&name) else {
            return hosts
                .candidates
                .push(refused("write user@host:port, host:port or host"));
        };
        let mut candidate = Candidate::new(&hop.host, place.clone());
        candidate.state(Field::Ip, &hop.host);
        if let Some(port) = hop.port {
            // Two ports of one address are two servers, and need two names.
            candidate.name = if hop.host.contains(':') {
                format!("[{}]:{port}", hop.host)
            } else {
                format!("{}:{port}", hop.host)
            };
            candidate.state(Field::SshPort, port.to_string());
        }
        if let Some(user) = hop.user {
            candidate.state(Field::SshUser, user);
        }
        hosts.candidates.push(candidate);
    }
}
