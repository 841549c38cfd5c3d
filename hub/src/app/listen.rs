//! Taking the port, or saying who has to change what.

use std::{collections::BTreeSet, io::ErrorKind, net::SocketAddr};

use tokio::net::TcpListener;

use crate::{api::install::AgentSettings, config::Config, grpc::Authority};

/// How a port is set.
pub(super) struct Port {
    flag: &'static str,
    env: &'static str,
    path: &'static str,
    usual: u16,
}

/// The port of the page.
pub(super) const HTTP: Port = Port {
    flag: "--http-listen",
    env: "GANDER_HTTP_LISTEN",
    path: "http.listen",
    usual: 8000,
};
/// The port of agents.
pub(super) const GRPC: Port = Port {
    flag: "--grpc-listen",
    env: "GANDER_GRPC_LISTEN",
    path: "grpc.listen",
    usual: 8001,
};

/// Binds the address.
///
/// # Errors
/// The port is in use, not allowed, or the address is not of this machine.
pub(super) async fn bind(setting: &Port, address: SocketAddr) -> anyhow::Result<TcpListener> {
    TcpListener::bind(address)
        .await
        .map_err(|error| explain(setting, address, &error))
}

fn explain(setting: &Port, address: SocketAddr, error: &std::io::Error) -> anyhow::Error {
    let Port {
        flag,
        env,
        path,
        usual,
    } = setting;
    let port = address.port();
    let ip = address.ip();
    match error.kind() {
        ErrorKind::AddrInUse => anyhow::anyhow!(
            "port {port} is already in use on {ip}: another gander-hub or another program listens there (`ss -ltnp 'sport = :{port}'` names it); stop it, or choose another port with {flag} {ip}:PORT, {env} or {path}"
        ),
        ErrorKind::PermissionDenied => anyhow::anyhow!(
            "port {port} is reserved: choose one from 1024 on with {flag} {ip}:{usual}, or give the hub CAP_NET_BIND_SERVICE"
        ),
        ErrorKind::AddrNotAvailable => anyhow::anyhow!(
            "{ip} is not an address of this machine: choose one of `ip address`, or 0.0.0.0 for all, with {flag}, {env} or {path}"
        ),
        _ => anyhow::anyhow!("cannot listen on {address}: {error}"),
    }
}

/// The names and addresses that the gRPC port is known to be reached by.
pub(super) fn names(config: &Config) -> BTreeSet<String> {
    let system = rustix::system::uname();
    let mut names = BTreeSet::from([system.nodename().to_string_lossy().into_owned()]);
    let listen = config.grpc_listen.ip();
    if !listen.is_unspecified() {
        names.insert(listen.to_string());
    }
    let url = config.public_url.as_deref().and_then(|url| url.split_once("://"));
    let authority = url.and_then(|(_, rest)| rest.split('/').next());
    names.extend(authority.map(host_of));
    names.extend(config.grpc_address.as_deref().map(host_of));
    names
}

/// What agents are told of this hub, whose gRPC port is `port`.
pub(crate) fn agent_settings(config: &Config, authority: &Authority, port: u16) -> AgentSettings {
    AgentSettings {
        authority_sha256: authority.fingerprint().to_owned(),
        authority: authority.certificate().to_vec(),
        address: config.grpc_address.clone(),
        port,
        directory: config.agent_directory.clone(),
    }
}

/// Where people reach the hub: as configured, or this machine's name and the port of the page.
pub(crate) fn base_url(config: &Config) -> String {
    config.public_url.clone().unwrap_or_else(|| {
        let system = rustix::system::uname();
        let host = system.nodename().to_string_lossy();
        format!("http://{host}:{}", config.http_listen.port())
    })
}

/// The host of `HOST` or `HOST:PORT`.
fn host_of(authority: &str) -> String {
    let host = match authority.strip_prefix('[').and_then(|rest| rest.split_once(']')) {
        Some((address, _)) => address,
        None => authority.split(':').next().unwrap_or(authority),
    };
    host.to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_port_in_use_is_named() {
        let taken = bind(&HTTP, "127.0.0.1:0".parse().unwrap()).await.unwrap();
        let address = taken.local_addr().unwrap();
        let error = bind(&GRPC, address).await.unwrap_err().to_string();
        assert!(
            error.starts_with(&format!("port {} is already in use", address.port())),
            "{error}"
        );
    }

    #[test]
    fn hosts_are_found_in_what_is_configured() {
        for (authority, host) in [
            ("hub.example.org", "hub.example.org"),
            ("hub.example.org:8001", "hub.example.org"),
            ("[2001:db8::1]:8001", "2001:db8::1"),
        ] {
            assert_eq!(host_of(authority), host);
        }
    }

    #[tokio::test]
    async fn an_address_of_another_machine_is_named() {
        let error = bind(&HTTP, "192.0.2.1:0".parse().unwrap())
            .await
            .unwrap_err()
            .to_string();
        assert!(
            error.starts_with("192.0.2.1 is not an address of this machine"),
            "{error}"
        );
    }
}
