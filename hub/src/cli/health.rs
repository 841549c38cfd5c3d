//! `health`: asks the running hub over HTTP, for container health checks and scripts.

use std::{
    net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr},
    process::ExitCode,
    time::Duration,
};

use anyhow::Context as _;
use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::TcpStream,
};

use crate::config::Config;

/// Docker gives a health check 5 s.
const PATIENCE: Duration = Duration::from_secs(4);
/// The answer is small; more is not read.
const LONGEST_ANSWER: u64 = 64 * 1024;

pub(super) async fn run(config: &Config) -> anyhow::Result<ExitCode> {
    let address = reachable(config.http_listen);
    let answer = tokio::time::timeout(PATIENCE, ask(address)).await.map_err(|_| {
        anyhow::anyhow!(
            "the hub at {address} did not answer within {} seconds",
            PATIENCE.as_secs()
        )
    })??;
    let (head, body) = answer.split_once("\r\n\r\n").unwrap_or((&answer, ""));
    super::print(body.trim());
    let is_well = head.split(' ').nth(1) == Some("200");
    Ok(if is_well {
        ExitCode::SUCCESS
    } else {
        ExitCode::FAILURE
    })
}

async fn ask(address: SocketAddr) -> anyhow::Result<String> {
    let mut stream = TcpStream::connect(address)
        .await
        .with_context(|| format!("no hub listens on {address}"))?;
    // HTTP/1.0: the answer is whole when the connection ends, and never chunked.
    let request = format!("GET /api/health HTTP/1.0\r\nHost: {address}\r\n\r\n");
    stream.write_all(request.as_bytes()).await?;
    let mut answer = Vec::new();
    stream
        .take(LONGEST_ANSWER)
        .read_to_end(&mut answer)
        .await
        .with_context(|| format!("the hub at {address} hung up"))?;
    Ok(String::from_utf8_lossy(&answer).into_owned())
}

/// An address to connect to: a hub that listens everywhere is asked on the loopback.
fn reachable(listen: SocketAddr) -> SocketAddr {
    let ip = match listen.ip() {
        IpAddr::V4(ip) if ip.is_unspecified() => Ipv4Addr::LOCALHOST.into(),
        IpAddr::V6(ip) if ip.is_unspecified() => Ipv6Addr::LOCALHOST.into(),
        ip => ip,
    };
    SocketAddr::new(ip, listen.port())
}
