//! `MonitorService`: what other programs read, by token and role; health and reflection.

use gander_hub::{
    model::{Actor, Role, Timestamp},
    store::{TokenHash, random_token},
};
use gander_proto::v1::{self, monitor_service_client::MonitorServiceClient, resolve_alerts_request::Which};
use tonic::{
    Code, Request, Status,
    metadata::MetadataValue,
    service::{Interceptor, interceptor::InterceptedService},
    transport::Channel,
};

use crate::{
    agent::Hub,
    support::{reading, seconds_ago, values},
};

/// Sends a token with every call.
#[derive(Clone)]
struct Bearer(String);

impl Interceptor for Bearer {
    fn call(&mut self, mut request: Request<()>) -> Result<Request<()>, Status> {
        let value = MetadataValue::try_from(format!("Bearer {}", self.0)).unwrap();
        request.metadata_mut().insert("authorization", value);
        Ok(request)
    }
}

type Client = MonitorServiceClient<InterceptedService<Channel, Bearer>>;

pub(super) async fn token(hub: &Hub, role: Role) -> String {
    let token = random_token("gdr_").unwrap();
    let hash = TokenHash::of(token.expose());
    hub.pipeline
        .store
        .create_token(role.as_str(), role, hash, None, &Actor::hub(), Timestamp::now())
        .await
        .unwrap();
    token.expose().to_owned()
}

async fn client_with(hub: &Hub, token: &str) -> Client {
    let channel = hub.connect(None).await.unwrap();
    MonitorServiceClient::with_interceptor(channel, Bearer(token.to_owned()))
}

async fn client(hub: &Hub, role: Role) -> Client {
    let token = token(hub, role).await;
    client_with(hub, &token).await
}

#[tokio::test]
async fn nobody_reads_without_a_token_and_only_admins_change() {
    let hub = Hub::start().await;
    let channel = hub.connect(None).await.unwrap();
    let mut stranger = MonitorServiceClient::new(channel);
    let refused = stranger.list_servers(v1::ListServersRequest::default()).await;
    assert_eq!(refused.unwrap_err().code(), Code::Unauthenticated);
    let mut guesser = client_with(&hub, "gdr_guessed").await;
    let refused = guesser.watch(v1::WatchRequest::default()).await;
    assert_eq!(refused.err().unwrap().code(), Code::Unauthenticated);
    let all = || v1::ResolveAlertsRequest {
        which: Some(Which::All(true)),
    };
    let mut viewer = client(&hub, Role::Viewer).await;
    assert_eq!(
        viewer.resolve_alerts(all()).await.unwrap_err().code(),
        Code::PermissionDenied
    );
    let mut admin = client(&hub, Role::Admin).await;
    assert_eq!(
        admin.resolve_alerts(all()).await.unwrap().into_inner().resolved,
        0
    );
    hub.stop().await;
}

#[tokio::test]
async fn servers_values_series_and_alerts_are_read() {
    let hub = Hub::start().await;
    let first = hub.pipeline.enrol("one").await;
    let second = hub.pipeline.enrol("two").await;
    for ago in [30_u16, 20, 10] {
        hub.pipeline
            .send(reading(first, seconds_ago(ago.into()), values(100 + ago, 970)))
            .await;
    }
    hub.pipeline.committed(3).await;
    let mut viewer = client(&hub, Role::Viewer).await;

    let page = |page_token: String| v1::ListServersRequest {
        page_size: 1,
        page_token,
        tag: None,
    };
    let answer = viewer
        .list_servers(page(String::new()))
        .await
        .unwrap()
        .into_inner();
    assert_eq!(answer.servers[0].name, "one");
    assert_eq!(answer.servers[0].status(), v1::Status::Online);
    assert_eq!(answer.servers[0].cpu_usage_permille, Some(110));
    assert_eq!(answer.servers[0].critical_alerts, 1);
    let answer = viewer
        .list_servers(page(answer.next_page_token))
        .await
        .unwrap()
        .into_inner();
    assert_eq!(answer.servers[0].name, "two");
    assert_eq!(answer.servers[0].status(), v1::Status::Unknown);
    assert_eq!(answer.next_page_token, "");

    let request = v1::GetLatestRequest {
        server_ids: vec![first.0, second.0],
    };
    let mut latest = viewer.get_latest(request).await.unwrap().into_inner();
    let values_of_first = latest.message().await.unwrap().unwrap().values;
    let full = values_of_first
        .iter()
        .find(|value| value.metric == "filesystem.usage")
        .unwrap();
    assert_eq!(
        (full.label.as_str(), full.value, full.unit()),
        ("/", 970, v1::Unit::Permille)
    );
    assert!(latest.message().await.unwrap().unwrap().values.is_empty());
    assert!(latest.message().await.unwrap().is_none());

    let request = v1::QuerySeriesRequest {
        server_id: first.0,
        metrics: vec!["cpu.usage".to_owned(), "filesystem.usage".to_owned()],
        labels: vec![String::new()],
        from_ms: seconds_ago(60).as_millis(),
        ..v1::QuerySeriesRequest::default()
    };
    let mut series = viewer.query_series(request.clone()).await.unwrap().into_inner();
    let cpu = series.message().await.unwrap().unwrap();
    assert_eq!(cpu.metric, "cpu.usage");
    assert_eq!(cpu.at_ms.len(), cpu.maximum.len());
    assert_eq!(
        (cpu.minimum.iter().min(), cpu.maximum.iter().max()),
        (Some(&110), Some(&130))
    );
    assert!(
        series.message().await.unwrap().is_none(),
        "the label was filtered"
    );
    let wrong = v1::QuerySeriesRequest {
        metrics: vec!["cpu".to_owned()],
        ..request
    };
    assert_eq!(
        viewer.query_series(wrong).await.err().unwrap().code(),
        Code::InvalidArgument
    );

    let request = v1::ListAlertsRequest {
        resolved: Some(false),
        ..v1::ListAlertsRequest::default()
    };
    let alerts = viewer.list_alerts(request).await.unwrap().into_inner().alerts;
    assert_eq!(alerts.len(), 1);
    assert_eq!(
        (alerts[0].r#type.as_str(), alerts[0].level()),
        ("disk", v1::Level::Critical)
    );
    assert!(alerts[0].message.contains("97.0"), "{}", alerts[0].message);

    let mut admin = client(&hub, Role::Admin).await;
    let request = v1::ResolveAlertsRequest {
        which: Some(Which::Ids(v1::AlertIds {
            ids: vec![alerts[0].id],
        })),
    };
    assert_eq!(
        admin.resolve_alerts(request).await.unwrap().into_inner().resolved,
        1
    );
    hub.stop().await;
}

#[tokio::test]
async fn a_program_that_watches_gets_the_whole_and_then_every_change() {
    let hub = Hub::start().await;
    let server = hub.pipeline.enrol("one").await;
    let mut viewer = client(&hub, Role::Viewer).await;
    let request = v1::WatchRequest {
        server_ids: vec![server.0],
        values: true,
    };
    let mut events = viewer.watch(request).await.unwrap().into_inner();
    let whole = events.message().await.unwrap().unwrap();
    assert!(whole.whole);
    assert_eq!(whole.servers[0].name, "one");
    assert!(
        hub.pipeline.live.focus().borrow().contains(&server),
        "it is read every second now"
    );

    hub.pipeline
        .send(reading(server, Timestamp::now(), values(420, 970)))
        .await;
    let change = events.message().await.unwrap().unwrap();
    assert!(!change.whole);
    assert_eq!(change.servers[0].cpu_usage_permille, Some(420));
    assert_eq!(change.alerts.len(), 1);
    assert!(
        change.values[0]
            .values
            .iter()
            .any(|value| value.metric == "cpu.usage" && value.value == 420)
    );

    let store = &hub.pipeline.store;
    store
        .delete_server(server, &Actor::hub(), Timestamp::now())
        .await
        .unwrap();
    hub.pipeline.handle.servers_changed().await.unwrap();
    let change = events.message().await.unwrap().unwrap();
    assert_eq!(change.removed_server_ids, [server.0]);

    hub.shutdown.cancel();
    assert_eq!(events.message().await.unwrap_err().code(), Code::Unavailable);
    hub.stop().await;
}

#[tokio::test]
async fn health_and_reflection_need_no_token() {
    use tonic_health::pb::{
        HealthCheckRequest, health_check_response::ServingStatus, health_client::HealthClient,
    };
    use tonic_reflection::pb::v1::{
        ServerReflectionRequest, server_reflection_client::ServerReflectionClient,
        server_reflection_request::MessageRequest, server_reflection_response::MessageResponse,
    };
    let hub = Hub::start().await;
    let channel = hub.connect(None).await.unwrap();
    let request = HealthCheckRequest {
        service: "gander.v1.MonitorService".to_owned(),
    };
    let health = HealthClient::new(channel.clone()).check(request).await.unwrap();
    assert_eq!(health.into_inner().status(), ServingStatus::Serving);

    let question = ServerReflectionRequest {
        host: String::new(),
        message_request: Some(MessageRequest::ListServices(String::new())),
    };
    let mut answers = ServerReflectionClient::new(channel)
        .server_reflection_info(tokio_stream::once(question))
        .await
        .unwrap()
        .into_inner();
    let answer = answers.message().await.unwrap().unwrap().message_response;
    let Some(MessageResponse::ListServicesResponse(services)) = answer else {
        panic!("no list of services: {answer:?}");
    };
    let names: Vec<&str> = services
        .service
        .iter()
        .map(|service| service.name.as_str())
        .collect();
    assert!(names.contains(&"gander.v1.MonitorService"), "{names:?}");
    hub.stop().await;
}

#[tokio::test]
async fn a_method_that_is_in_no_table_does_not_exist() {
    let hub = Hub::start().await;
    let channel = hub.connect(None).await.unwrap();
    let mut client = tonic::client::Grpc::new(channel);
    client.ready().await.unwrap();
    let path = "/gander.v1.MonitorService/DropEverything".parse().unwrap();
    let codec: tonic_prost::ProstCodec<v1::WatchRequest, v1::WatchEvent> = tonic_prost::ProstCodec::default();
    let answer = client
        .unary(Request::new(v1::WatchRequest::default()), path, codec)
        .await;
    assert_eq!(answer.err().unwrap().code(), Code::Unimplemented);
    hub.stop().await;
}

#[tokio::test]
async fn lists_are_paged_and_filtered() {
    let hub = Hub::start().await;
    for name in ["one", "two", "three"] {
        let server = hub.pipeline.enrol(name).await;
        hub.pipeline
            .send(reading(server, seconds_ago(1), values(100, 970)))
            .await;
    }
    hub.pipeline.committed(3).await;
    let mut viewer = client(&hub, Role::Viewer).await;
    let request = v1::ListServersRequest {
        tag: Some("nobody has this".to_owned()),
        ..v1::ListServersRequest::default()
    };
    let answer = viewer.list_servers(request).await.unwrap().into_inner();
    assert!(answer.servers.is_empty() && answer.next_page_token.is_empty());

    let mut seen = Vec::new();
    let mut page_token = String::new();
    loop {
        let request = v1::ListAlertsRequest {
            page_size: 2,
            page_token,
            level: Some(v1::Level::Critical.into()),
            ..v1::ListAlertsRequest::default()
        };
        let answer = viewer.list_alerts(request).await.unwrap().into_inner();
        seen.extend(answer.alerts.iter().map(|alert| alert.id));
        page_token = answer.next_page_token;
        if page_token.is_empty() {
            break;
        }
    }
    assert_eq!(seen.len(), 3, "{seen:?}");
    assert!(
        seen.windows(2).all(|pair| pair[0] > pair[1]),
        "newest first: {seen:?}"
    );
    let request = v1::ListAlertsRequest {
        level: Some(v1::Level::Warning.into()),
        ..v1::ListAlertsRequest::default()
    };
    let answer = viewer.list_alerts(request).await.unwrap().into_inner();
    assert!(answer.alerts.is_empty());

    let mut admin = client(&hub, Role::Admin).await;
    let of_one = v1::ResolveAlertsRequest {
        which: Some(Which::ServerId(1)),
    };
    assert_eq!(
        admin.resolve_alerts(of_one).await.unwrap().into_inner().resolved,
        1
    );
    let all = v1::ResolveAlertsRequest {
        which: Some(Which::All(true)),
    };
    assert_eq!(admin.resolve_alerts(all).await.unwrap().into_inner().resolved, 2);
    hub.stop().await;
}

#[tokio::test]
async fn what_cannot_be_answered_is_said() {
    let hub = Hub::start().await;
    let server = hub.pipeline.enrol("one").await;
    let mut viewer = client(&hub, Role::Viewer).await;
    let mut refusals = Vec::new();
    let request = v1::ListServersRequest {
        page_token: "next".to_owned(),
        ..v1::ListServersRequest::default()
    };
    refusals.push(viewer.list_servers(request).await.unwrap_err());
    let request = v1::GetLatestRequest {
        server_ids: vec![server.0; 1_001],
    };
    refusals.push(viewer.get_latest(request).await.err().unwrap());
    let request = v1::QuerySeriesRequest {
        server_id: server.0,
        from_ms: 2,
        to_ms: 1,
        ..v1::QuerySeriesRequest::default()
    };
    refusals.push(viewer.query_series(request).await.err().unwrap());
    let request = v1::ListAlertsRequest {
        level: Some(99),
        ..v1::ListAlertsRequest::default()
    };
    refusals.push(viewer.list_alerts(request).await.unwrap_err());
    let request = v1::WatchRequest {
        values: true,
        ..v1::WatchRequest::default()
    };
    refusals.push(viewer.watch(request).await.err().unwrap());
    let mut admin = client(&hub, Role::Admin).await;
    let nothing = v1::ResolveAlertsRequest { which: None };
    refusals.push(admin.resolve_alerts(nothing).await.unwrap_err());
    let codes: Vec<Code> = refusals.iter().map(Status::code).collect();
    assert_eq!(codes, vec![Code::InvalidArgument; 6], "{refusals:?}");

    let request = v1::GetLatestRequest {
        server_ids: vec![server.0, 77],
    };
    let missing = viewer.get_latest(request).await.err().unwrap();
    assert_eq!(
        (missing.code(), missing.message()),
        (Code::NotFound, "there is no server 77")
    );
    let request = v1::QuerySeriesRequest {
        server_id: 77,
        ..v1::QuerySeriesRequest::default()
    };
    assert_eq!(
        viewer.query_series(request).await.err().unwrap().code(),
        Code::NotFound
    );
    hub.stop().await;
}
