//! `/ws` over a real connection.

use futures_util::{SinkExt, StreamExt};
use tokio::{
    net::{TcpListener, TcpStream},
    task::JoinHandle,
};
use tokio_tungstenite::{
    MaybeTlsStream, WebSocketStream, connect_async,
    tungstenite::{Error, Message, client::IntoClientRequest},
};

use super::*;
use crate::model::{Transport, server::ServerSpec};

type Socket = WebSocketStream<MaybeTlsStream<TcpStream>>;

/// The app behind a real port.
struct Served {
    app: TestApp,
    address: SocketAddr,
    serving: JoinHandle<anyhow::Result<()>>,
}

impl Served {
    async fn start() -> Self {
        let app = TestApp::start().await;
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let serving = tokio::spawn(crate::api::serve(
            listener,
            app.state.clone(),
            app.shutdown.clone(),
        ));
        Self {
            app,
            address,
            serving,
        }
    }

    async fn try_connect(&self, name: &str, value: &str) -> Result<Socket, Error> {
        let mut request = format!("ws://{}/ws", self.address).into_client_request().unwrap();
        request.headers_mut().insert(
            header::HeaderName::from_bytes(name.as_bytes()).unwrap(),
            value.parse().unwrap(),
        );
        connect_async(request).await.map(|(socket, _)| socket)
    }

    async fn connect(&self, role: Role) -> Socket {
        let token = self.app.token(role).await;
        self.try_connect("authorization", &format!("Bearer {token}"))
            .await
            .unwrap()
    }
}

/// The next message, whole.
async fn next(socket: &mut Socket) -> Message {
    loop {
        let message = tokio::time::timeout(PATIENCE, socket.next()).await;
        match message
            .expect("a message comes in time")
            .expect("the connection is open")
            .unwrap()
        {
            Message::Ping(_) | Message::Pong(_) => {}
            message => return message,
        }
    }
}

async fn next_json(socket: &mut Socket) -> Value {
    serde_json::from_str(next(socket).await.to_text().unwrap()).unwrap()
}

/// The next message of a type; those of other types are passed over.
async fn next_of(socket: &mut Socket, kind: &str) -> Value {
    loop {
        let message = next_json(socket).await;
        if message["type"] == kind {
            return message;
        }
    }
}

async fn say(socket: &mut Socket, text: &str) {
    socket.send(Message::text(text)).await.unwrap();
}

async fn closed_with(socket: &mut Socket) -> u16 {
    loop {
        if let Message::Close(frame) = next(socket).await {
            return frame.expect("a reason").code.into();
        }
    }
}

#[tokio::test]
async fn a_client_gets_the_whole_state_then_what_changes() {
    let hub = Served::start().await;
    let id = hub.app.enrol("web-1").await;
    let mut socket = hub.connect(Role::Viewer).await;
    let initial = next_json(&mut socket).await;
    assert_eq!(initial["type"], "initial");
    assert_eq!(initial["servers"][0]["status"], "unknown");
    assert_eq!(
        (&initial["stats"]["total"], &initial["alerts"]),
        (&json!(1), &json!([]))
    );

    hub.app.read(healthy(id, Timestamp::now(), 920)).await;
    let delta = next_of(&mut socket, "delta").await;
    assert_eq!(delta["servers"][0]["status"], "online");
    assert_eq!(delta["servers"][0]["latest"]["cpu_usage"], 42.5);
    assert_eq!(delta["alerts"][0]["code"], "disk_over_threshold");
    assert_eq!(delta["servers"][0]["active_alerts"]["warning"], 1);
    assert_eq!(delta["stats"]["active_alerts"], 1);

    let second = hub.app.enrol("web-2").await;
    let delta = next_of(&mut socket, "delta").await;
    let names: Vec<&Value> = delta["servers"]
        .as_array()
        .unwrap()
        .iter()
        .map(|server| &server["name"])
        .collect();
    assert_eq!(names, ["web-2"], "only what changed");
    hub.app
        .admin()
        .await
        .delete(&format!("/api/servers/{second}"))
        .await;
    let delta = loop {
        let delta = next_of(&mut socket, "delta").await;
        if delta["removed"] != json!([]) {
            break delta;
        }
    };
    assert_eq!(delta["removed"], json!([second]));

    // Who comes later starts with what is now.
    let mut late = hub.connect(Role::Viewer).await;
    let initial = next_json(&mut late).await;
    assert_eq!(initial["servers"].as_array().unwrap().len(), 1);
    assert_eq!(initial["alerts"][0]["server_name"], "web-1");
}

#[tokio::test]
async fn a_failed_reading_and_its_reason_arrive() {
    let hub = Served::start().await;
    let id = hub.app.enrol("web-1").await;
    let mut socket = hub.connect(Role::Viewer).await;
    next_of(&mut socket, "initial").await;
    hub.app.read(refused(id, Timestamp::now())).await;
    let delta = next_of(&mut socket, "delta").await;
    assert_eq!(delta["servers"][0]["error"]["code"], "connection_refused");
    assert_eq!(delta["servers"][0]["failure_count"], 1);
}

#[tokio::test]
async fn what_is_watched_is_in_focus_until_the_client_goes() {
    let hub = Served::start().await;
    let (id, other) = (hub.app.enrol("web-1").await, hub.app.enrol("web-2").await);
    hub.app.read(healthy(id, Timestamp::now(), 500)).await;
    let focus = hub.app.state.live.focus();
    let mut socket = hub.connect(Role::Viewer).await;
    next_of(&mut socket, "initial").await;

    say(
        &mut socket,
        &json!({"type": "watch", "servers": [id]}).to_string(),
    )
    .await;
    let snapshot = next_of(&mut socket, "snapshot").await;
    assert_eq!(
        (
            &snapshot["server_id"],
            &snapshot["snapshot"]["cpu"]["usage_permille"]
        ),
        (&json!(id), &json!(425))
    );
    assert!(focus.borrow().contains(&id));
    hub.app.read(healthy(id, Timestamp::now(), 510)).await;
    let snapshot = next_of(&mut socket, "snapshot").await;
    assert_eq!(snapshot["snapshot"]["filesystems"][0]["usage_permille"], 510);

    say(
        &mut socket,
        &json!({"type": "watch", "servers": [other]}).to_string(),
    )
    .await;
    eventually("the focus moves on", || {
        *focus.borrow().as_ref() == [other].into()
    })
    .await;
    drop(socket);
    eventually("the focus ends with the client", || focus.borrow().is_empty()).await;
}

#[tokio::test]
async fn requests_are_answered_or_refused_in_words() {
    let mut hub = Served::start().await;
    let mut socket = hub.connect(Role::Viewer).await;
    next_of(&mut socket, "initial").await;
    say(&mut socket, "ping").await;
    assert_eq!(next(&mut socket).await, Message::text("pong"));
    say(&mut socket, "refresh").await;
    assert_eq!(
        tokio::time::timeout(PATIENCE, hub.app.refreshes.recv())
            .await
            .unwrap(),
        Some(Refresh::All)
    );
    let too_many: Vec<u32> = (0..51).collect();
    for (request, code) in [
        ("refresh".to_owned(), "too_many_attempts"),
        ("hello".to_owned(), "invalid_json"),
        ("{\"type\":\"dance\"}".to_owned(), "validation_failed"),
        (
            "{\"type\":\"watch\",\"servers\":[1],\"extra\":1}".to_owned(),
            "validation_failed",
        ),
        ("{\"type\":\"watch\",\"servers\":[4711]}".to_owned(), "not_found"),
        (
            json!({"type": "watch", "servers": too_many}).to_string(),
            "validation_failed",
        ),
    ] {
        say(&mut socket, &request).await;
        assert_eq!(next_of(&mut socket, "error").await["code"], code, "{request}");
    }
    socket.send(Message::binary(vec![1])).await.unwrap();
    assert_eq!(next_of(&mut socket, "error").await["code"], "bad_request");
    let _ = socket.send(Message::text("x".repeat(100_000))).await;
    let ended =
        tokio::time::timeout(PATIENCE, async { while let Some(Ok(_)) = socket.next().await {} }).await;
    assert!(ended.is_ok(), "too large a message ends the connection");
}

#[tokio::test]
async fn strangers_and_pages_of_other_sites_do_not_get_in() {
    let hub = Served::start().await;
    hub.app.user("ada", Role::Viewer).await;
    let cookie = hub.app.logged_in("ada").await.headers["cookie"]
        .to_str()
        .unwrap()
        .to_owned();
    let status = |error: Error| match error {
        Error::Http(response) => response.status().as_u16(),
        other => panic!("{other}"),
    };
    assert_eq!(
        status(hub.try_connect("cookie", "gander=guess").await.unwrap_err()),
        401
    );
    assert_eq!(
        status(
            hub.try_connect("origin", "https://evil.example")
                .await
                .unwrap_err()
        ),
        403
    );
    let mut socket = hub.try_connect("cookie", &cookie).await.unwrap();
    next_of(&mut socket, "initial").await;
}

#[tokio::test]
async fn a_client_is_let_go_when_its_session_ends() {
    let hub = Served::start().await;
    hub.app.user("ada", Role::Viewer).await;
    let ada = hub.app.logged_in("ada").await;
    let cookie = ada.headers["cookie"].to_str().unwrap().to_owned();
    let mut socket = hub.try_connect("cookie", &cookie).await.unwrap();
    let mut other = hub.connect(Role::Viewer).await;
    next_of(&mut socket, "initial").await;
    next_of(&mut other, "initial").await;
    ada.post("/api/logout", json!({})).await;
    assert_eq!(closed_with(&mut socket).await, 1008);
    say(&mut other, "ping").await;
    assert_eq!(next(&mut other).await, Message::text("pong"), "others stay");
}

#[tokio::test]
async fn a_shutdown_says_so_and_does_not_wait_for_ever() {
    let mut hub = Served::start().await;
    let mut socket = hub.connect(Role::Viewer).await;
    next_of(&mut socket, "initial").await;
    hub.app.shutdown.cancel();
    assert_eq!(closed_with(&mut socket).await, 1001);
    tokio::time::timeout(PATIENCE, &mut hub.serving)
        .await
        .unwrap()
        .unwrap()
        .unwrap();
}

#[tokio::test]
async fn one_caller_has_so_many_connections_and_gets_them_back() {
    let hub = Served::start().await;
    let mut sockets = Vec::new();
    for _ in 0..20 {
        sockets.push(hub.connect(Role::Viewer).await);
    }
    let token = hub.app.token(Role::Viewer).await;
    let bearer = format!("Bearer {token}");
    let refused = hub.try_connect("authorization", &bearer).await;
    assert!(matches!(refused, Err(Error::Http(response)) if response.status() == 429));
    let mut admin = hub.connect(Role::Admin).await;
    next_of(&mut admin, "initial").await;
    sockets.clear();
    let give_up = tokio::time::Instant::now() + PATIENCE;
    while hub.try_connect("authorization", &bearer).await.is_err() {
        assert!(tokio::time::Instant::now() < give_up, "places are given back");
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
}

#[tokio::test]
async fn a_client_that_does_not_read_gets_the_whole_state_when_it_does() {
    let hub = Served::start().await;
    let id = hub.app.enrol("web-1").await;
    let mut socket = hub.connect(Role::Viewer).await;
    next_of(&mut socket, "initial").await;
    // Frames broadcast faster than the client's task runs: it is overtaken by its backlog.
    let state = hub.app.state.live.server(id).unwrap();
    for number in 0..200 {
        hub.app.state.live.publish(crate::live::Delta {
            at: Timestamp(number),
            servers: vec![(id, Arc::clone(&state))],
            ..crate::live::Delta::default()
        });
    }
    let initial = next_of(&mut socket, "initial").await;
    assert_eq!(initial["servers"][0]["name"], "web-1");
}

#[tokio::test]
async fn a_client_that_takes_nothing_is_let_go() {
    let hub = Served::start().await;
    let mut servers = Vec::new();
    for number in 0..200 {
        let spec = ServerSpec::new(format!("server-{number}"), "192.0.2.1", "root", Transport::Ssh);
        let credential = crate::model::server::SshCredential::default();
        let (actor, now) = (Actor::hub(), Timestamp::now());
        let made = hub
            .app
            .store
            .create_server(&spec, &credential, None, &actor, now)
            .await;
        servers.push(made.unwrap().id);
    }
    hub.app.state.ingest.servers_changed().await.unwrap();
    let state = hub.app.state.live.server(servers[0]).unwrap();
    let socket = hub.connect(Role::Viewer).await;
    eventually("the client is there", || hub.app.state.connections.count() == 1).await;
    // The kernel holds some megabytes for a peer that does not read; then sending stands still.
    let give_up = tokio::time::Instant::now() + PATIENCE;
    while hub.app.state.connections.count() > 0 {
        assert!(
            tokio::time::Instant::now() < give_up,
            "a client that takes nothing is kept"
        );
        hub.app.state.live.publish(crate::live::Delta {
            servers: servers.iter().map(|id| (*id, Arc::clone(&state))).collect(),
            ..crate::live::Delta::default()
        });
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
    drop(socket);
}
