//! Taking the port, or saying who has to change what.

use std::{io::ErrorKind, net::SocketAddr};

use tokio::net::TcpListener;

/// Binds the address.
///
/// # Errors
/// The port is in use, not allowed, or the address is not of this machine.
pub(super) async fn bind(address: SocketAddr) -> anyhow::Result<TcpListener> {
    TcpListener::bind(address)
        .await
        .map_err(|error| explain(address, &error))
}

fn explain(address: SocketAddr, error: &std::io::Error) -> anyhow::Error {
    let port = address.port();
    let ip = address.ip();
    match error.kind() {
        ErrorKind::AddrInUse => anyhow::anyhow!(
            "port {port} is already in use on {ip}: another gander-hub or another program listens there (`ss -ltnp 'sport = :{port}'` names it); stop it, or choose another port with --http-listen {ip}:PORT, GANDER_HTTP_LISTEN or http.listen"
        ),
        ErrorKind::PermissionDenied => anyhow::anyhow!(
            "port {port} is reserved: choose one from 1024 on with --http-listen {ip}:8000, or give the hub CAP_NET_BIND_SERVICE"
        ),
        ErrorKind::AddrNotAvailable => anyhow::anyhow!(
            "{ip} is not an address of this machine: choose one of `ip address`, or 0.0.0.0 for all, with --http-listen, GANDER_HTTP_LISTEN or http.listen"
        ),
        _ => anyhow::anyhow!("cannot listen on {address}: {error}"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_port_in_use_is_named() {
        let taken = bind("127.0.0.1:0".parse().unwrap()).await.unwrap();
        let address = taken.local_addr().unwrap();
        let error = bind(address).await.unwrap_err().to_string();
        assert!(
            error.starts_with(&format!("port {} is already in use", address.port())),
            "{error}"
        );
    }

    #[tokio::test]
    async fn an_address_of_another_machine_is_named() {
        let error = bind("192.0.2.1:0".parse().unwrap())
            .await
            .unwrap_err()
            .to_string();
        assert!(
            error.starts_with("192.0.2.1 is not an address of this machine"),
            "{error}"
        );
    }
}
