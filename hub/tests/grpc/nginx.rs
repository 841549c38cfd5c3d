//! Behind nginx: agents through a plain TCP pass-through, programs through `grpc_pass`.

use std::{
    net::SocketAddr,
    path::Path,
    process::{Child, Command, Stdio},
};

use gander_hub::model::Role;
use gander_proto::v1::{self, monitor_service_client::MonitorServiceClient};
use tonic::{Request, metadata::MetadataValue, transport::Endpoint};

use super::monitor::token;
use crate::{
    agent::{Agent, Hub, connect, machine},
    support::{eventually, values},
};

/// Where Debian keeps it; another place can be named.
const STREAM_MODULE: &str = "/usr/lib/nginx/modules/ngx_stream_module.so";

struct Nginx(Child);

impl Drop for Nginx {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

fn free_port() -> SocketAddr {
    let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    listener.local_addr().unwrap()
}

/// Starts nginx with what stands beside `events`, listening at this address.
async fn nginx(directory: &Path, load: &str, body: &str, address: SocketAddr) -> Nginx {
    let place = directory.display();
    let file = directory.join("nginx.conf");
    let text = format!(
        "{load}\ndaemon off;\nmaster_process off;\npid {place}/pid;\nerror_log {place}/error.log;\nevents {{}}\n{body}\n"
    );
    std::fs::write(&file, text).unwrap();
    let command = || {
        let mut command = Command::new("nginx");
        command
            .arg("-c")
            .arg(&file)
            .arg("-p")
            .arg(directory)
            .stdout(Stdio::null())
            .stderr(Stdio::null());
        command
    };
    let tried = command().arg("-t").stderr(Stdio::piped()).output();
    let tried = tried.expect("nginx, and libnginx-mod-stream: deploy/install-packages.sh test");
    assert!(
        tried.status.success(),
        "nginx cannot be set up so (deploy/install-packages.sh test installs it): {}",
        String::from_utf8_lossy(&tried.stderr)
    );
    let child = Nginx(command().spawn().unwrap());
    eventually("nginx listens", async || {
        tokio::net::TcpStream::connect(address).await.is_ok()
    })
    .await;
    child
}

#[tokio::test]
async fn an_agent_streams_through_a_plain_pass_through() {
    let hub = Hub::start().await;
    let directory = tempfile::tempdir().unwrap();
    let front = free_port();
    let module = std::env::var("NGINX_STREAM_MODULE").unwrap_or_else(|_| STREAM_MODULE.to_owned());
    let body = format!(
        "stream {{ server {{ listen {front}; proxy_pass {}; }} }}",
        hub.address
    );
    let load = format!("load_module {module};");
    let _nginx = nginx(directory.path(), &load, &body, front).await;
    let (identity, enrolled) = hub.enrol(&hub.token(1).await, machine(1)).await;
    let channel = connect(front, hub.authority.certificate(), Some(&identity))
        .await
        .unwrap();
    let mut agent = Agent::open(channel).await.unwrap();
    let welcome = agent.greet().await.unwrap();
    assert_eq!(
        welcome.server_id, enrolled.server_id,
        "the certificate came through"
    );
    agent.send(&[(agent.now_ms(), values(100, 500))], None).await;
    agent.acknowledged().await;
    hub.stop().await;
}

#[tokio::test]
async fn a_program_reads_through_grpc_pass_and_an_agent_cannot() {
    let hub = Hub::start().await;
    hub.pipeline.enrol("one").await;
    let directory = tempfile::tempdir().unwrap();
    let place = directory.path().display();
    std::fs::write(directory.path().join("ca.pem"), hub.authority_pem()).unwrap();
    let front = free_port();
    let body = format!(
        "http {{
            access_log off;
            client_body_temp_path {place}/body; proxy_temp_path {place}/proxy;
            fastcgi_temp_path {place}/fastcgi; uwsgi_temp_path {place}/uwsgi; scgi_temp_path {place}/scgi;
            server {{
                listen {front} http2;
                location / {{
                    grpc_pass grpcs://{};
                    grpc_ssl_trusted_certificate {place}/ca.pem;
                    grpc_ssl_verify on;
                    grpc_ssl_name gander-hub;
                }}
            }}
        }}",
        hub.address
    );
    let _nginx = nginx(directory.path(), "", &body, front).await;
    let channel = Endpoint::from_shared(format!("http://{front}"))
        .unwrap()
        .connect()
        .await
        .unwrap();
    let bearer = format!("Bearer {}", token(&hub, Role::Viewer).await);
    let mut client = MonitorServiceClient::new(channel.clone());
    let mut request = Request::new(v1::WatchRequest::default());
    let value = MetadataValue::try_from(bearer).unwrap();
    request.metadata_mut().insert("authorization", value);
    let mut events = client.watch(request).await.unwrap().into_inner();
    assert_eq!(events.message().await.unwrap().unwrap().servers[0].name, "one");
    drop(events);
    // nginx ended the TLS of whoever calls: there is no certificate to be known by.
    let refused = Agent::open(channel).await.err().unwrap();
    assert_eq!(refused.code(), tonic::Code::Unauthenticated);
    hub.stop().await;
}
