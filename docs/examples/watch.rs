//! Reads gander over gRPC: the servers, and then every change, one line each. The same as `watch.py`.
//!
//! ```text
//! curl -H "Authorization: Bearer $TOKEN" https://HUB/api/agents/authority | jq -r .certificate_pem > ca.pem
//! TOKEN=gdr_… cargo run -p gander-e2e --bin watch -- HUB:8001 ca.pem [--once]
//! ```

#![allow(clippy::print_stdout, reason = "it prints what it reads")]

use std::sync::Arc;

use anyhow::{Context as _, bail};
use gander_proto::v1::{ListServersRequest, WatchRequest, monitor_service_client::MonitorServiceClient};
use hyper_util::rt::TokioIo;
use rustls::{
    ClientConfig, RootCertStore,
    pki_types::{CertificateDer, ServerName, pem::PemObject as _},
};
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;
use tonic::{
    Request, Status,
    metadata::{Ascii, MetadataValue},
    transport::{Channel, Endpoint},
};

/// A connection to a hub that proves itself by this authority, whatever address it has.
async fn connect(hub: String, authority: &str) -> anyhow::Result<Channel> {
    let mut roots = RootCertStore::empty();
    roots.add(CertificateDer::from_pem_file(authority).context("the hub's authority")?)?;
    let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
    let mut config = ClientConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()?
        .with_root_certificates(roots)
        .with_no_client_auth();
    config.alpn_protocols = vec![b"h2".to_vec()];
    let tls = TlsConnector::from(Arc::new(config));
    let dial = tower::service_fn(move |_: http::Uri| {
        let (tls, hub) = (tls.clone(), hub.clone());
        async move {
            let stream = TcpStream::connect(hub).await?;
            let name = ServerName::try_from("gander-hub").map_err(std::io::Error::other)?;
            Ok::<_, std::io::Error>(TokioIo::new(tls.connect(name, stream).await?))
        }
    });
    Ok(Endpoint::from_static("http://gander-hub")
        .connect_with_connector(dial)
        .await?)
}

#[tokio::main(flavor = "current_thread")]
async fn main() -> anyhow::Result<()> {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let [hub, authority, options @ ..] = arguments.as_slice() else {
        bail!("usage: TOKEN=… watch HUB:PORT CA-FILE [--once]");
    };
    let token =
        std::env::var("TOKEN").context("TOKEN: gander-hub token create --name watch --role viewer")?;
    let bearer: MetadataValue<Ascii> = format!("Bearer {token}").parse()?;
    let with_token = move |mut request: Request<()>| -> Result<_, Status> {
        request.metadata_mut().insert("authorization", bearer.clone());
        Ok(request)
    };
    let channel = connect(hub.clone(), authority).await?;
    let mut monitor = MonitorServiceClient::with_interceptor(channel, with_token);

    let page = monitor
        .list_servers(ListServersRequest::default())
        .await?
        .into_inner();
    println!("{} servers", page.servers.len());
    let mut events = monitor.watch(WatchRequest::default()).await?.into_inner();
    while let Some(event) = events.message().await? {
        for server in event.servers {
            let cpu = server.cpu_usage_permille.map_or_else(
                || "unknown".to_owned(),
                |permille| format!("{}.{} %", permille / 10, permille % 10),
            );
            println!("{}: status {}, cpu {cpu}", server.name, server.status);
        }
        for alert in event.alerts {
            let what = if alert.resolved { "resolved" } else { "alert" };
            println!("{what}: {}", alert.message);
        }
        if options.iter().any(|option| option == "--once") {
            break;
        }
    }
    Ok(())
}
