//! Behind nginx: agents through a plain TCP pass-through, with the PROXY protocol and without, programs
//! through `grpc_pass`.

use std::{
    net::SocketAddr,
    path::Path,
    process::{Child, Command, Stdio},
};

use gander_hub::model::Role;
use gander_proto::v1::{
    self, enroll_response::Outcome, monitor_service_client::MonitorServiceClient, refused,
};
use rcgen::KeyPair;
use tokio::{
    io::AsyncWriteExt as _,
    net::{TcpSocket, TcpStream},
};
use tonic::{
    Request,
    metadata::MetadataValue,
    transport::{Channel, Endpoint},
};

use super::monitor::token;
use crate::{
    agent::{Agent, Hub, Identity, ask_over, connect, connect_by, machine},
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

/// nginx in front of the hub that passes connections through as they are, with more words in its `server`.
async fn pass_through(hub: &Hub, directory: &Path, more: &str) -> (Nginx, SocketAddr) {
    let front = free_port();
    let module = std::env::var("NGINX_STREAM_MODULE").unwrap_or_else(|_| STREAM_MODULE.to_owned());
    let body = format!(
        "stream {{ server {{ listen {front}; proxy_pass {}; {more} }} }}",
        hub.address
    );
    let load = format!("load_module {module};");
    (nginx(directory, &load, &body, front).await, front)
}

/// A connection to `front` from an address of this machine.
async fn connect_from(
    from: &str,
    front: SocketAddr,
    hub: &Hub,
    identity: Option<&Identity>,
) -> Result<Channel, tonic::transport::Error> {
    let from: SocketAddr = format!("{from}:0").parse().unwrap();
    let dial = move || async move {
        let socket = TcpSocket::new_v4()?;
        socket.bind(from)?;
        socket.connect(front).await
    };
    connect_by(dial, hub.authority.certificate(), identity).await
}

/// A connection to the hub with these bytes in front of its TLS.
async fn connect_after(
    words: &[u8],
    hub: &Hub,
    identity: Option<&Identity>,
) -> Result<Channel, tonic::transport::Error> {
    let (address, words) = (hub.address, words.to_vec());
    let dial = move || {
        let words = words.clone();
        async move {
            let mut stream = TcpStream::connect(address).await?;
            stream.write_all(&words).await?;
            Ok(stream)
        }
    };
    connect_by(dial, hub.authority.certificate(), identity).await
}

#[tokio::test]
async fn guesses_behind_a_pass_through_count_for_who_guesses() {
    let hub = Hub::start_behind(&["127.0.0.1"]).await;
    let directory = tempfile::tempdir().unwrap();
    let (_nginx, front) = pass_through(&hub, directory.path(), "proxy_protocol on;").await;
    let (guesser, other) = ("127.0.0.2", "127.0.0.3");
    let key = KeyPair::generate().unwrap();
    let channel = connect_from(guesser, front, &hub, None).await.unwrap();
    for guess in 0..10 {
        let outcome = ask_over(channel.clone(), &format!("gde_{guess}"), &key, machine(1)).await;
        let Outcome::Refused(refused) = outcome.unwrap() else {
            panic!("a guess was right");
        };
        assert_eq!(refused.code(), refused::Code::TokenUnknown);
    }
    let token = hub.token(1).await;
    let blocked = ask_over(channel, &token, &key, machine(1)).await.unwrap_err();
    assert_eq!(blocked.code(), tonic::Code::ResourceExhausted);

    let channel = connect_from(other, front, &hub, None).await.unwrap();
    let Outcome::Enrolled(enrolled) = ask_over(channel, &token, &key, machine(1)).await.unwrap() else {
        panic!("who did not guess waits for who did");
    };
    let identity = Identity::new(&enrolled.certificate_chain_der, key);
    let channel = connect_from(other, front, &hub, Some(&identity)).await.unwrap();
    let mut agent = Agent::open(channel).await.unwrap();
    agent.greet().await.unwrap();
    assert_eq!(hub.board.all()[0].1.address, other);
    hub.stop().await;
}

#[tokio::test]
async fn a_proxy_is_believed_where_it_is_named_and_nowhere_else() {
    let second = [
        b"\r\n\r\n\0\r\nQUIT\n".as_slice(),
        &[
            0x21, 0x11, 0, 12, 192, 0, 2, 77, 192, 0, 2, 1, 0xdc, 0x04, 0x1f, 0x41,
        ],
    ]
    .concat();
    let first = b"PROXY TCP6 2001:db8::77 2001:db8::1 56324 8001\r\n";

    let hub = Hub::start_behind(&["192.0.2.0/24", "127.0.0.0/8"]).await;
    let token = hub.token(1).await;
    let key = KeyPair::generate().unwrap();
    let channel = connect_after(&second, &hub, None).await.unwrap();
    let Outcome::Enrolled(enrolled) = ask_over(channel, &token, &key, machine(1)).await.unwrap() else {
        panic!("not enrolled");
    };
    let identity = Identity::new(&enrolled.certificate_chain_der, key);
    for (words, address) in [(second.as_slice(), "192.0.2.77"), (first, "2001:db8::77")] {
        let channel = connect_after(words, &hub, Some(&identity)).await.unwrap();
        let mut agent = Agent::open(channel).await.unwrap();
        agent.greet().await.unwrap();
        assert_eq!(hub.board.all()[0].1.address, address);
    }
    // Without its words a proxy of ours is none: who went round it could call himself anybody.
    assert!(hub.connect(Some(&identity)).await.is_err());
    hub.stop().await;

    let hub = Hub::start_behind(&["192.0.2.0/24"]).await;
    assert!(connect_after(first, &hub, None).await.is_err());
    assert!(connect_after(&second, &hub, None).await.is_err());
    assert!(
        hub.connect(None).await.is_ok(),
        "without such words all is as it was"
    );
    hub.stop().await;
}

#[tokio::test]
async fn an_agent_streams_through_a_plain_pass_through() {
    let hub = Hub::start().await;
    let directory = tempfile::tempdir().unwrap();
    let (_nginx, front) = pass_through(&hub, directory.path(), "").await;
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
