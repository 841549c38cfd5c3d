//! Where a request comes from: the peer's address, or what a trusted proxy says of it.

use std::net::{IpAddr, Ipv4Addr, SocketAddr};

use axum::{
    extract::{ConnectInfo, Request},
    http::{HeaderMap, header},
};

use crate::model::IpRange;

/// Where a request comes from.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Client {
    /// The client's address; unspecified when the peer is not known.
    pub(super) address: IpAddr,
    /// Whether the client came over HTTPS.
    pub(super) https: bool,
}

impl Client {
    /// Believes `X-Forwarded-For` and `X-Forwarded-Proto` only from a trusted peer.
    pub(super) fn of(request: &Request, trusted: &[IpRange]) -> Self {
        let peer = request
            .extensions()
            .get::<ConnectInfo<SocketAddr>>()
            .map_or(IpAddr::V4(Ipv4Addr::UNSPECIFIED), |ConnectInfo(peer)| {
                peer.ip().to_canonical()
            });
        Self::behind(peer, request.headers(), trusted)
    }

    fn behind(peer: IpAddr, headers: &HeaderMap, trusted: &[IpRange]) -> Self {
        let is_trusted = |address: IpAddr| trusted.iter().any(|range| range.contains(address));
        if !is_trusted(peer) {
            return Self {
                address: peer,
                https: false,
            };
        }
        // Each proxy appends the address it saw, so the list is read from its end: the first
        // address that is no proxy of ours is the client; what stands before it, the client wrote.
        let mut address = peer;
        let hops: Vec<&str> = headers
            .get_all("x-forwarded-for")
            .iter()
            .filter_map(|value| value.to_str().ok())
            .flat_map(|value| value.split(','))
            .collect();
        for hop in hops.iter().rev() {
            let Some(hop) = parse_hop(hop) else { break };
            address = hop;
            if !is_trusted(hop) {
                break;
            }
        }
        let https = headers
            .get_all("x-forwarded-proto")
            .iter()
            .filter_map(|value| value.to_str().ok())
            .flat_map(|value| value.split(','))
            .next_back()
            .is_some_and(|scheme| scheme.trim().eq_ignore_ascii_case("https"));
        Self { address, https }
    }

    /// What log-in limits count by: an IPv4 address, or the /64 that one subscriber has of IPv6.
    pub(super) fn network(&self) -> IpAddr {
        match self.address {
            IpAddr::V4(_) => self.address,
            IpAddr::V6(address) => IpAddr::V6(std::net::Ipv6Addr::from_bits(
                address.to_bits() & (u128::MAX << 64),
            )),
        }
    }
}

/// `192.0.2.1`, `192.0.2.1:1234`, `2001:db8::1` or `[2001:db8::1]:1234`.
fn parse_hop(text: &str) -> Option<IpAddr> {
    let text = text.trim();
    text.parse::<IpAddr>()
        .or_else(|_| text.parse::<SocketAddr>().map(|address| address.ip()))
        .ok()
        .map(|address| address.to_canonical())
}

/// The host and port the client asked for.
pub(super) fn requested_host(request_headers: &HeaderMap, uri: &axum::http::Uri) -> Option<String> {
    uri.authority()
        .map(|authority| authority.as_str().to_owned())
        .or_else(|| Some(request_headers.get(header::HOST)?.to_str().ok()?.to_owned()))
        .map(|host| host.to_ascii_lowercase())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn seen(peer: &str, forwarded: &[&str], proto: Option<&str>) -> (String, bool) {
        let mut headers = HeaderMap::new();
        for value in forwarded {
            headers.append("x-forwarded-for", value.parse().unwrap());
        }
        if let Some(proto) = proto {
            headers.insert("x-forwarded-proto", proto.parse().unwrap());
        }
        let trusted = ["10.0.0.0/8".parse().unwrap(), "::1".parse().unwrap()];
        let client = Client::behind(peer.parse().unwrap(), &headers, &trusted);
        (client.address.to_string(), client.https)
    }

    #[test]
    fn a_stranger_cannot_choose_its_address_or_scheme() {
        assert_eq!(
            seen("192.0.2.9", &["1.1.1.1"], Some("https")),
            ("192.0.2.9".into(), false)
        );
    }

    #[test]
    fn the_last_address_before_the_proxies_is_the_client() {
        assert_eq!(
            seen("10.0.0.1", &["1.1.1.1, 192.0.2.9"], Some("https")),
            ("192.0.2.9".into(), true)
        );
        assert_eq!(
            seen("10.0.0.1", &["6.6.6.6", "192.0.2.9, 10.0.0.2"], None),
            ("192.0.2.9".into(), false)
        );
        assert_eq!(
            seen("::1", &["[2001:db8::7]:5555"], None),
            ("2001:db8::7".into(), false)
        );
        assert_eq!(
            seen("10.0.0.1", &["192.0.2.9, nonsense"], None),
            ("10.0.0.1".into(), false)
        );
        assert_eq!(seen("10.0.0.1", &[], Some("http")), ("10.0.0.1".into(), false));
    }

    #[test]
    fn ipv6_neighbours_share_a_network() {
        let network = |text: &str| {
            Client {
                address: text.parse().unwrap(),
                https: false,
            }
            .network()
            .to_string()
        };
        assert_eq!(network("2001:db8:1:2:3:4:5:6"), "2001:db8:1:2::");
        assert_eq!(network("192.0.2.1"), "192.0.2.1");
    }
}
