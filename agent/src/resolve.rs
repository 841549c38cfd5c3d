//! Names to addresses, without the C library.
//!
//! The agent is one static program, and a static glibc can only look names up by loading parts of the
//! very glibc it was built with from the machine it runs on, which an old or small one does not have.
//! What an agent needs is little: addresses as they are, `/etc/hosts`, and the name servers of
//! `/etc/resolv.conf` (systemd-resolved is one of them).

use std::{
    io::{self, ErrorKind},
    net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr},
    time::Duration,
};

use tokio::{net::UdpSocket, time::timeout};

/// How long one name server may take; each is asked twice.
const PATIENCE: Duration = Duration::from_secs(2);
/// As in the C library.
const MAX_SERVERS: usize = 3;
const A: u16 = 1;
const AAAA: u16 = 28;

/// The addresses of `host`, those of version 4 first; empty where it has none.
///
/// # Errors
/// No name server could be asked.
pub async fn resolve(host: &str, port: u16) -> io::Result<Vec<SocketAddr>> {
    let addresses = if let Ok(address) = host.parse::<IpAddr>() {
        vec![address]
    } else {
        let read = |path| std::fs::read_to_string(path).unwrap_or_default();
        let known = in_hosts(&read("/etc/hosts"), host);
        if known.is_empty() {
            ask_all(&Resolver::parse(&read("/etc/resolv.conf")), host).await?
        } else {
            known
        }
    };
    Ok(addresses
        .into_iter()
        .map(|address| SocketAddr::new(address, port))
        .collect())
}

fn in_hosts(hosts: &str, host: &str) -> Vec<IpAddr> {
    let host = host.trim_end_matches('.');
    hosts
        .lines()
        .filter_map(|line| {
            let line = line.split('#').next()?;
            let mut words = line.split_ascii_whitespace();
            let address = words.next()?.parse().ok()?;
            words
                .any(|name| name.eq_ignore_ascii_case(host))
                .then_some(address)
        })
        .collect()
}

/// What `/etc/resolv.conf` says.
#[derive(Debug, PartialEq, Eq)]
struct Resolver {
    servers: Vec<IpAddr>,
    search: Vec<String>,
    dots: usize,
}

impl Resolver {
    fn parse(text: &str) -> Self {
        let mut resolver = Self {
            servers: Vec::new(),
            search: Vec::new(),
            dots: 1,
        };
        for line in text.lines() {
            let mut words = line.split_ascii_whitespace();
            match words.next() {
                Some("nameserver") => {
                    // An address of the link may name its interface, which is not needed here.
                    let address: Option<IpAddr> =
                        words.next().and_then(|word| word.split('%').next()?.parse().ok());
                    if resolver.servers.len() < MAX_SERVERS {
                        resolver.servers.extend(address);
                    }
                }
                Some("search" | "domain") => {
                    resolver.search = words
                        .map(|word| word.trim_matches('.').to_owned())
                        .filter(|word| !word.is_empty())
                        .take(6)
                        .collect();
                }
                Some("options") => {
                    for word in words {
                        if let Some(dots) = word.strip_prefix("ndots:").and_then(|dots| dots.parse().ok()) {
                            resolver.dots = dots;
                        }
                    }
                }
                _ => {}
            }
        }
        if resolver.servers.is_empty() {
            resolver.servers.push(IpAddr::V4(Ipv4Addr::LOCALHOST));
        }
        resolver
    }

    /// The names to ask for, in order.
    fn candidates(&self, host: &str) -> Vec<String> {
        if let Some(absolute) = host.strip_suffix('.') {
            return vec![absolute.to_owned()];
        }
        let mut names: Vec<String> = self
            .search
            .iter()
            .map(|domain| format!("{host}.{domain}"))
            .collect();
        let as_it_is = host.to_owned();
        if host.matches('.').count() >= self.dots {
            names.insert(0, as_it_is);
        } else {
            names.push(as_it_is);
        }
        names
    }
}

async fn ask_all(resolver: &Resolver, host: &str) -> io::Result<Vec<IpAddr>> {
    for name in resolver.candidates(host) {
        let mut addresses = ask(resolver, &name, A).await?;
        addresses.extend(ask(resolver, &name, AAAA).await?);
        if !addresses.is_empty() {
            return Ok(addresses);
        }
    }
    Ok(Vec::new())
}

/// Asks the servers in turn; the first that knows decides.
async fn ask(resolver: &Resolver, name: &str, kind: u16) -> io::Result<Vec<IpAddr>> {
    let mut last = io::Error::from(ErrorKind::TimedOut);
    for server in resolver.servers.iter().chain(&resolver.servers) {
        match ask_one(SocketAddr::new(*server, 53), name, kind).await {
            Ok(addresses) => return Ok(addresses),
            Err(error) => last = error,
        }
    }
    Err(last)
}

async fn ask_one(server: SocketAddr, name: &str, kind: u16) -> io::Result<Vec<IpAddr>> {
    let any: IpAddr = if server.is_ipv4() {
        Ipv4Addr::UNSPECIFIED.into()
    } else {
        Ipv6Addr::UNSPECIFIED.into()
    };
    // The port is the system's choice, the number random: both must be guessed to forge an answer.
    // What a forged one leads to still has to prove the hub's certificate.
    let number = (crate::chance::next() & 0xffff) as u16;
    let socket = UdpSocket::bind(SocketAddr::new(any, 0)).await?;
    socket.connect(server).await?;
    socket.send(&question(number, name, kind)?).await?;
    let mut buffer = [0; 1500];
    let answer = async {
        loop {
            let length = socket.recv(&mut buffer).await?;
            // What does not answer this question is not for us.
            if let Some(answer) = answer(&buffer[..length], number, kind) {
                return answer;
            }
        }
    };
    timeout(PATIENCE, answer)
        .await
        .unwrap_or_else(|_| Err(ErrorKind::TimedOut.into()))
}

fn question(number: u16, name: &str, kind: u16) -> io::Result<Vec<u8>> {
    let mut bytes = Vec::with_capacity(name.len() + 18);
    bytes.extend_from_slice(&number.to_be_bytes());
    // Recursion desired; one question.
    bytes.extend_from_slice(&[1, 0, 0, 1, 0, 0, 0, 0, 0, 0]);
    for label in name.split('.') {
        let length = u8::try_from(label.len())
            .ok()
            .filter(|length| (1..=63).contains(length))
            .ok_or_else(|| io::Error::new(ErrorKind::InvalidInput, "the name is malformed"))?;
        bytes.push(length);
        bytes.extend_from_slice(label.as_bytes());
    }
    bytes.push(0);
    bytes.extend_from_slice(&kind.to_be_bytes());
    bytes.extend_from_slice(&[0, 1]);
    Ok(bytes)
}

/// `None`: not an answer to this question. An error: the server cannot tell.
fn answer(bytes: &[u8], number: u16, kind: u16) -> Option<io::Result<Vec<IpAddr>>> {
    let mut message = Message { bytes, at: 0 };
    let (id, flags) = (message.short()?, message.short()?);
    if id != number || flags & 0x8000 == 0 {
        return None;
    }
    match flags & 0xf {
        0 => {}
        // No such name: known not to be, which is an answer.
        3 => return Some(Ok(Vec::new())),
        code => {
            return Some(Err(io::Error::other(format!(
                "the name server answered with error {code}"
            ))));
        }
    }
    let (questions, answers) = (message.short()?, message.short()?);
    message.skip(4)?;
    for _ in 0..questions {
        message.skip_name()?;
        message.skip(4)?;
    }
    let mut addresses = Vec::new();
    for _ in 0..answers {
        message.skip_name()?;
        let (found, class) = (message.short()?, message.short()?);
        message.skip(4)?;
        let length = usize::from(message.short()?);
        let data = message.bytes.get(message.at..message.at + length)?;
        message.skip(length)?;
        if (found, class) == (kind, 1) {
            if let Ok(address) = <[u8; 4]>::try_from(data) {
                addresses.push(IpAddr::from(address));
            } else if let Ok(address) = <[u8; 16]>::try_from(data) {
                addresses.push(IpAddr::from(address));
            }
        }
    }
    Some(Ok(addresses))
}

struct Message<'a> {
    bytes: &'a [u8],
    at: usize,
}

impl Message<'_> {
    fn short(&mut self) -> Option<u16> {
        let bytes = self.bytes.get(self.at..self.at + 2)?;
        self.at += 2;
        Some(u16::from_be_bytes(bytes.try_into().ok()?))
    }

    fn skip(&mut self, length: usize) -> Option<()> {
        self.at = self.at.checked_add(length).filter(|at| *at <= self.bytes.len())?;
        Some(())
    }

    fn skip_name(&mut self) -> Option<()> {
        loop {
            match *self.bytes.get(self.at)? {
                0 => return self.skip(1),
                // The rest of the name stands elsewhere.
                pointer if pointer & 0xc0 == 0xc0 => return self.skip(2),
                length => self.skip(usize::from(length) + 1)?,
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn hosts_are_found_by_every_name() {
        let hosts =
            "127.0.0.1 localhost\n10.0.0.7\thub.example HUB # the hub\n::7 hub\nbad hub\n# 9.9.9.9 hub\n";
        assert_eq!(in_hosts(hosts, "hub").len(), 2);
        assert_eq!(
            in_hosts(hosts, "Hub.Example."),
            ["10.0.0.7".parse::<IpAddr>().unwrap()]
        );
        assert!(in_hosts(hosts, "other").is_empty());
    }

    #[test]
    fn names_are_tried_as_the_c_library_does() {
        let resolver = Resolver::parse(
            "search a.example b.example.\noptions ndots:2 rotate\nnameserver fe80::1%eth0\nnameserver 10.0.0.53\nnameserver x\n",
        );
        assert_eq!(
            resolver.servers,
            ["fe80::1".parse::<IpAddr>().unwrap(), "10.0.0.53".parse().unwrap()]
        );
        assert_eq!(
            resolver.candidates("hub.x"),
            ["hub.x.a.example", "hub.x.b.example", "hub.x"]
        );
        assert_eq!(resolver.candidates("hub.x.y")[0], "hub.x.y");
        assert_eq!(resolver.candidates("hub."), ["hub"]);
        assert_eq!(Resolver::parse("").servers, [IpAddr::V4(Ipv4Addr::LOCALHOST)]);
    }

    /// A real name server on loopback, as far as this goes: an alias, then two addresses.
    #[tokio::test]
    async fn a_name_server_is_asked_and_understood() {
        let server = UdpSocket::bind("127.0.0.1:0").await.unwrap();
        let address = server.local_addr().unwrap();
        let serve = async {
            let mut buffer = [0; 512];
            let (length, peer) = server.recv_from(&mut buffer).await.unwrap();
            let question = &buffer[..length];
            // Somebody else's answer first.
            server.send_to(&[0xff; 12], peer).await.unwrap();
            let mut reply = question.to_vec();
            reply[2..8].copy_from_slice(&[0x81, 0x80, 0, 1, 0, 3]);
            reply.extend_from_slice(&[0xc0, 12, 0, 5, 0, 1, 0, 0, 0, 9, 0, 4, 1, b'x', 0xc0, 12]);
            for last in [1, 2] {
                reply.extend_from_slice(&[0xc0, 12, 0, 1, 0, 1, 0, 0, 0, 9, 0, 4, 10, 0, 0, last]);
            }
            server.send_to(&reply, peer).await.unwrap();
            question.to_vec()
        };
        let (asked, question) = tokio::join!(ask_one(address, "hub.example", A), serve);
        assert_eq!(
            asked.unwrap(),
            ["10.0.0.1".parse::<IpAddr>().unwrap(), "10.0.0.2".parse().unwrap()]
        );
        assert_eq!(&question[12..], b"\x03hub\x07example\0\0\x01\0\x01");
    }

    #[test]
    fn a_name_that_is_not_is_no_error_and_a_broken_server_is() {
        let message = |flags: [u8; 2]| [&[0, 7], flags.as_slice(), &[0; 8]].concat();
        assert_eq!(
            answer(&message([0x81, 0x83]), 7, A).unwrap().unwrap(),
            Vec::<IpAddr>::new()
        );
        assert!(answer(&message([0x81, 0x82]), 7, A).unwrap().is_err());
        assert!(answer(&message([0x81, 0x80]), 8, A).is_none());
        assert!(question(1, "a..b", A).is_err());
        assert!(question(1, &"x".repeat(64), A).is_err());
    }

    #[tokio::test]
    async fn addresses_and_localhost_need_no_server() {
        let resolved = resolve("192.0.2.9", 8001).await.unwrap();
        assert_eq!(resolved, ["192.0.2.9:8001".parse::<SocketAddr>().unwrap()]);
        assert!(!resolve("localhost", 1).await.unwrap().is_empty());
    }

    proptest! {
        #[test]
        fn hostile_answers_never_panic(mut bytes in proptest::collection::vec(any::<u8>(), 0..600)) {
            if bytes.len() > 3 {
                bytes[..4].copy_from_slice(&[0, 7, 0x81, 0x80]);
            }
            let _ = answer(&bytes, 7, A);
        }
    }
}
