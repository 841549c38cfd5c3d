//! The PROXY protocol, versions 1 and 2: what a proxy that passes connections through as they are says in
//! front of each, so that the hub knows who is at the other end.
//! <https://www.haproxy.org/download/2.8/doc/proxy-protocol.txt>
//!
//! It is wanted of the proxies that the settings name, and believed of nobody else: a stranger's words
//! are no TLS, and so the end of his connection.

use std::{
    io,
    net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr},
    sync::atomic::{AtomicBool, Ordering},
};

use tokio::{
    io::{AsyncRead, AsyncReadExt as _},
    net::TcpStream,
};

use crate::model::IpRange;

/// How version 2 begins. Version 1 is never shorter.
const SIGNATURE: &[u8; 12] = b"\r\n\r\n\0\r\nQUIT\n";
/// How version 1 begins.
const WORD: &[u8] = b"PROXY ";
/// The longest line of version 1, its end included.
const LONGEST_LINE: usize = 107;
/// The most that may follow the first 16 bytes of version 2: addresses, and what else a proxy tells.
const LONGEST_BLOCK: usize = 4096;

/// Proxies in front of the port.
#[derive(Debug, Default)]
pub(super) struct Fronts {
    ranges: Vec<IpRange>,
    told: AtomicBool,
}

/// What stands in front of a connection is no header of the protocol.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
struct Malformed(&'static str);

impl Fronts {
    pub(super) fn new(ranges: Vec<IpRange>) -> Self {
        Self {
            ranges,
            told: AtomicBool::new(false),
        }
    }

    /// Who is at the other end of a connection that came from `address`: that address, or the one that
    /// a proxy of ours tells. Takes the proxy's words off the stream, and not a byte more.
    ///
    /// # Errors
    /// The stream ends, or a proxy of ours says something else.
    pub(super) async fn address_of(
        &self,
        stream: &mut TcpStream,
        address: SocketAddr,
    ) -> io::Result<SocketAddr> {
        if self.ranges.iter().any(|range| range.contains(address.ip())) {
            return match read(stream).await {
                Ok(told) => Ok(told.unwrap_or(address)),
                Err(error) if error.kind() == io::ErrorKind::InvalidData => {
                    self.tell_once(|| {
                        tracing::warn!(
                            %address,
                            %error,
                            "a proxy that grpc.proxy_protocol names does not speak the PROXY protocol: let it (nginx: `proxy_protocol on;` beside proxy_pass), or take it out of the setting"
                        );
                    });
                    Err(error)
                }
                Err(error) => Err(error),
            };
        }
        // Only for a word to a person: the TLS handshake that follows will fail.
        let mut beginning = [0; WORD.len()];
        if stream.peek(&mut beginning).await? == WORD.len()
            && (beginning == *WORD || beginning == SIGNATURE[..WORD.len()])
        {
            self.tell_once(|| {
                tracing::warn!(
                    %address,
                    "somebody speaks the PROXY protocol and is not believed: if it is a proxy of yours, name it in grpc.proxy_protocol"
                );
            });
        }
        Ok(address)
    }

    /// Strangers can be the cause, so the log hears it once.
    fn tell_once(&self, tell: impl FnOnce()) {
        if !self.told.swap(true, Ordering::Relaxed) {
            tell();
        }
    }
}

/// Reads a header. `None`: the connection is the proxy's own, or of a kind that has no IP address.
async fn read(stream: &mut (impl AsyncRead + Unpin)) -> io::Result<Option<SocketAddr>> {
    let wrong = |malformed: Malformed| io::Error::new(io::ErrorKind::InvalidData, malformed);
    let mut beginning = [0; SIGNATURE.len()];
    stream.read_exact(&mut beginning).await?;
    if beginning == *SIGNATURE {
        let mut rest = [0; 4];
        stream.read_exact(&mut rest).await?;
        let [version_and_command, family, ..] = rest;
        let length = usize::from(u16::from_be_bytes([rest[2], rest[3]]));
        if length > LONGEST_BLOCK {
            return Err(wrong(Malformed("its header is too long")));
        }
        let mut block = vec![0; length];
        stream.read_exact(&mut block).await?;
        return version_2(version_and_command, family, &block).map_err(wrong);
    }
    if !beginning.starts_with(WORD) {
        return Err(wrong(Malformed("it does not begin with a header")));
    }
    // Byte by byte, for what follows the line is not ours.
    let mut line = beginning.to_vec();
    while !line.ends_with(b"\r\n") {
        if line.len() >= LONGEST_LINE {
            return Err(wrong(Malformed("its line has no end")));
        }
        line.push(stream.read_u8().await?);
    }
    version_1(&line).map_err(wrong)
}

/// `PROXY TCP4 192.0.2.1 192.0.2.2 56324 8001\r\n`: from whom, to whom, from which port, to which.
fn version_1(line: &[u8]) -> Result<Option<SocketAddr>, Malformed> {
    let line = line
        .strip_suffix(b"\r\n")
        .and_then(|line| std::str::from_utf8(line).ok())
        .ok_or(Malformed("its line is no text"))?;
    let words: Vec<&str> = line.split(' ').collect();
    match words[..] {
        ["PROXY", "UNKNOWN", ..] => Ok(None),
        ["PROXY", family @ ("TCP4" | "TCP6"), from, to, from_port, to_port] => {
            let address = |text: &str| {
                let address: IpAddr = text.parse().ok()?;
                (address.is_ipv4() == (family == "TCP4")).then_some(address)
            };
            let (Some(from), Some(_), Ok(port), Ok(_)) = (
                address(from),
                address(to),
                from_port.parse(),
                to_port.parse::<u16>(),
            ) else {
                return Err(Malformed("its line has no addresses"));
            };
            Ok(Some(SocketAddr::new(from, port)))
        }
        _ => Err(Malformed("its line is not understood")),
    }
}

/// The 13th and 14th byte of a header of version 2, and the block behind the 16th.
fn version_2(version_and_command: u8, family: u8, block: &[u8]) -> Result<Option<SocketAddr>, Malformed> {
    match version_and_command {
        // Its own, for it looks whether the hub is well.
        0x20 => return Ok(None),
        0x21 => {}
        _ => return Err(Malformed("its version or command is not known")),
    }
    let short = || Malformed("its addresses are cut off");
    match family {
        // TCP over IPv4: from, to, from port, to port.
        0x11 => {
            let (from, rest) = block.split_first_chunk::<4>().ok_or_else(short)?;
            let port = rest.get(4..8).ok_or_else(short)?;
            let port = u16::from_be_bytes([port[0], port[1]]);
            Ok(Some((Ipv4Addr::from(*from), port).into()))
        }
        // The same over IPv6.
        0x21 => {
            let (from, rest) = block.split_first_chunk::<16>().ok_or_else(short)?;
            let port = rest.get(16..20).ok_or_else(short)?;
            let port = u16::from_be_bytes([port[0], port[1]]);
            Ok(Some((Ipv6Addr::from(*from), port).into()))
        }
        _ => Ok(None),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    async fn told(header: &[u8]) -> io::Result<Option<SocketAddr>> {
        let mut bytes = header.to_vec();
        bytes.extend(b"what follows");
        let mut stream = bytes.as_slice();
        let told = read(&mut stream).await?;
        assert_eq!(stream, b"what follows", "not a byte more than the header");
        Ok(told)
    }

    fn second(command: u8, family: u8, block: &[u8]) -> Vec<u8> {
        let mut header = SIGNATURE.to_vec();
        header.extend([command, family]);
        header.extend(u16::try_from(block.len()).unwrap().to_be_bytes());
        header.extend(block);
        header
    }

    #[tokio::test]
    async fn both_versions_tell_who_is_there() {
        let four = "192.0.2.1:56324".parse().unwrap();
        let six = "[2001:db8::1]:65535".parse().unwrap();
        let line = b"PROXY TCP4 192.0.2.1 192.0.2.2 56324 8001\r\n";
        assert_eq!(told(line).await.unwrap(), Some(four));
        let line = b"PROXY TCP6 2001:db8::1 ::1 65535 8001\r\n";
        assert_eq!(told(line).await.unwrap(), Some(six));

        let mut block = vec![192, 0, 2, 1, 192, 0, 2, 2];
        block.extend(56324_u16.to_be_bytes());
        block.extend(8001_u16.to_be_bytes());
        assert_eq!(told(&second(0x21, 0x11, &block)).await.unwrap(), Some(four));
        // With more than addresses: what else a proxy knows.
        block.extend([0x01, 0, 2, b'h', b'2']);
        assert_eq!(told(&second(0x21, 0x11, &block)).await.unwrap(), Some(four));
        let mut block = "2001:db8::1".parse::<Ipv6Addr>().unwrap().octets().to_vec();
        block.extend(Ipv6Addr::LOCALHOST.octets());
        block.extend([0xff, 0xff, 0x1f, 0x41]);
        assert_eq!(told(&second(0x21, 0x21, &block)).await.unwrap(), Some(six));
    }

    #[tokio::test]
    async fn a_proxy_may_call_by_itself_or_not_know() {
        for header in [
            b"PROXY UNKNOWN\r\n".to_vec(),
            b"PROXY UNKNOWN ffff::1 ffff::2 1 2\r\n".to_vec(),
            second(0x20, 0x00, &[]),
            second(0x20, 0x11, &[0; 12]),
            second(0x21, 0x00, &[]),
            second(0x21, 0x31, &[0; 216]),
        ] {
            assert_eq!(told(&header).await.unwrap(), None, "{header:?}");
        }
    }

    #[tokio::test]
    async fn everything_else_is_refused() {
        let endless = [b"PROXY UNKNOWN ".as_slice(), &[b'x'; 200]].concat();
        for header in [
            b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03\x00\x00\x00".to_vec(),
            b"GET / HTTP/1.1\r\n".to_vec(),
            b"PROXY TCP4 192.0.2.1 192.0.2.2 56324\r\n".to_vec(),
            b"PROXY TCP4 2001:db8::1 192.0.2.2 56324 8001\r\n".to_vec(),
            b"PROXY TCP6 192.0.2.1 192.0.2.2 56324 8001\r\n".to_vec(),
            b"PROXY TCP4 192.0.2.1 192.0.2.2 66000 8001\r\n".to_vec(),
            b"PROXY UDP4 192.0.2.1 192.0.2.2 56324 8001\r\n".to_vec(),
            b"PROXY  TCP4 192.0.2.1 192.0.2.2 1 2\r\n".to_vec(),
            endless,
            second(0x11, 0x11, &[0; 12]),
            second(0x22, 0x11, &[0; 12]),
            second(0x21, 0x11, &[0; 11]),
            second(0x21, 0x21, &[0; 35]),
            second(0x21, 0x11, &[0; LONGEST_BLOCK + 1]),
        ] {
            let refused = told(&header).await.unwrap_err();
            assert_eq!(refused.kind(), io::ErrorKind::InvalidData, "{header:?}");
        }
        let cut = read(&mut &SIGNATURE[..4]).await.unwrap_err();
        assert_eq!(cut.kind(), io::ErrorKind::UnexpectedEof);
    }
}
