//! `MonitorService`: what other programs read, and the little they may do.

use std::{collections::HashMap, sync::Arc};

use gander_proto::v1::{
    self, GetLatestRequest, ListAlertsRequest, ListAlertsResponse, ListServersRequest, ListServersResponse,
    QuerySeriesRequest, ResolveAlertsRequest, ResolveAlertsResponse, Series, ServerValues, WatchEvent,
    WatchRequest, monitor_service_server::MonitorService, resolve_alerts_request::Which,
};
use tokio::sync::{Semaphore, mpsc};
use tokio_stream::wrappers::ReceiverStream;
use tonic::{Request, Response, Status};

use super::{Shared, access::Caller, agents::unavailable, shapes, watch::Watcher};
use crate::{
    ingest::Resolve,
    model::{Actor, AlertId, Level, Metric, Server, ServerId, Timestamp},
    store::{AlertQuery, SeriesQuery, Step},
};

/// Queries for series at a time; others wait for their turn.
const QUERIES: usize = 4;
/// Programs that watch at a time.
const WATCHERS: usize = 256;
/// Servers whose values one program may watch.
const WATCHED_VALUES: usize = 50;
/// Events for a program that wait to be sent; full, the watcher waits, and then starts afresh.
const WATCH_BACKLOG: usize = 4;
/// Messages of an answer that wait to be sent.
const ANSWER_BACKLOG: usize = 4;
/// Ids in one request.
const IDS: usize = 1_000;

/// The service.
pub(super) struct Monitor {
    hub: Arc<Shared>,
    queries: Arc<Semaphore>,
    watchers: Arc<Semaphore>,
}

impl Monitor {
    pub(super) fn new(hub: Arc<Shared>) -> Self {
        Self {
            hub,
            queries: Arc::new(Semaphore::new(QUERIES)),
            watchers: Arc::new(Semaphore::new(WATCHERS)),
        }
    }

    async fn servers(&self) -> Result<Vec<Server>, Status> {
        let servers = self.hub.store.servers().await;
        let mut servers = servers.map_err(|error| unavailable(&error))?;
        servers.sort_by_key(|server| server.id);
        Ok(servers)
    }

    async fn existing(&self, id: i64) -> Result<Server, Status> {
        let server = self.hub.store.server(ServerId(id)).await;
        let server = server.map_err(|error| unavailable(&error))?;
        server.ok_or_else(|| Status::not_found(format!("there is no server {id}")))
    }

    async fn names(&self) -> Result<HashMap<ServerId, String>, Status> {
        let servers = self.servers().await?.into_iter();
        Ok(servers.map(|server| (server.id, server.spec.name)).collect())
    }
}

type Answers<T> = ReceiverStream<Result<T, Status>>;

#[tonic::async_trait]
impl MonitorService for Monitor {
    async fn list_servers(
        &self,
        request: Request<ListServersRequest>,
    ) -> Result<Response<ListServersResponse>, Status> {
        let request = request.into_inner();
        let after = page_token(&request.page_token)?.unwrap_or(0);
        let size = page_size(request.page_size, 500);
        let servers = self.servers().await?;
        let fleet = self.hub.live.snapshot();
        let mut wanted = servers.iter().filter(|server| {
            let tag = request.tag.as_ref();
            server.id.0 > after && tag.is_none_or(|tag| server.spec.tags.contains(tag))
        });
        let page: Vec<&Server> = wanted.by_ref().take(size).collect();
        let next = wanted.next().and(page.last()).map(|last| last.id.0.to_string());
        Ok(Response::new(ListServersResponse {
            servers: page
                .into_iter()
                .map(|server| shapes::server(server, &fleet))
                .collect(),
            next_page_token: next.unwrap_or_default(),
        }))
    }

    type GetLatestStream = Answers<ServerValues>;

    async fn get_latest(
        &self,
        request: Request<GetLatestRequest>,
    ) -> Result<Response<Self::GetLatestStream>, Status> {
        let wanted = ids(&request.into_inner().server_ids)?;
        let fleet = self.hub.live.snapshot();
        let wanted: Vec<ServerId> = if wanted.is_empty() {
            self.servers().await?.iter().map(|server| server.id).collect()
        } else {
            wanted
        };
        if let Some(gone) = wanted.iter().find(|id| fleet.server(**id).is_none()) {
            return Err(Status::not_found(format!("there is no server {gone}")));
        }
        let (sender, answers) = mpsc::channel(ANSWER_BACKLOG);
        let stop = self.hub.shutdown.clone();
        self.hub.streams.spawn(stop.run_until_cancelled_owned(async move {
            for id in wanted {
                let Some(state) = fleet.server(id) else { continue };
                if sender.send(Ok(shapes::values(id, state))).await.is_err() {
                    return;
                }
            }
        }));
        Ok(Response::new(ReceiverStream::new(answers)))
    }

    type QuerySeriesStream = Answers<Series>;

    async fn query_series(
        &self,
        request: Request<QuerySeriesRequest>,
    ) -> Result<Response<Self::QuerySeriesStream>, Status> {
        let request = request.into_inner();
        let to = if request.to_ms == 0 {
            Timestamp::now().plus_millis(1)
        } else {
            Timestamp(request.to_ms)
        };
        if request.from_ms >= to.as_millis() {
            return Err(Status::invalid_argument("from_ms must be before to_ms"));
        }
        let metrics = metrics(&request.metrics)?;
        let server = self.existing(request.server_id).await?;
        let _turn = self
            .queries
            .acquire()
            .await
            .map_err(|_| Status::unavailable("the hub stops"))?;
        let answer = self
            .hub
            .store
            .query(&SeriesQuery {
                server_id: server.id,
                metrics,
                from: Timestamp(request.from_ms),
                to,
                max_points: if request.max_points == 0 {
                    500
                } else {
                    request.max_points.min(5_000)
                },
                step: Step::Auto,
            })
            .await
            .map_err(|error| unavailable(&error))?;
        let (sender, answers) = mpsc::channel(ANSWER_BACKLOG);
        let stop = self.hub.shutdown.clone();
        self.hub.streams.spawn(stop.run_until_cancelled_owned(async move {
            for points in &answer.series {
                if !request.labels.is_empty() && !request.labels.contains(&points.label) {
                    continue;
                }
                let series = shapes::series(answer.step_ms, &answer.times, points);
                if sender.send(Ok(series)).await.is_err() {
                    return;
                }
            }
        }));
        Ok(Response::new(ReceiverStream::new(answers)))
    }

    async fn list_alerts(
        &self,
        request: Request<ListAlertsRequest>,
    ) -> Result<Response<ListAlertsResponse>, Status> {
        let request = request.into_inner();
        let level = match request.level.map(v1::Level::try_from) {
            None => None,
            Some(Ok(v1::Level::Warning)) => Some(Level::Warning),
            Some(Ok(v1::Level::Critical)) => Some(Level::Critical),
            Some(_) => {
                return Err(Status::invalid_argument(
                    "level is LEVEL_WARNING or LEVEL_CRITICAL",
                ));
            }
        };
        let size = page_size(request.page_size, 100);
        let limit = u32::try_from(size).unwrap_or(1_000);
        let mut alerts = self
            .hub
            .store
            .alerts(&AlertQuery {
                resolved: request.resolved,
                server_id: request.server_id.map(ServerId),
                level,
                limit: limit + 1,
                before: page_token(&request.page_token)?.map(AlertId),
            })
            .await
            .map_err(|error| unavailable(&error))?;
        let has_more = alerts.len() > size;
        alerts.truncate(size);
        let next = alerts
            .last()
            .filter(|_| has_more)
            .map(|alert| alert.id.0.to_string());
        let names = self.names().await?;
        Ok(Response::new(ListAlertsResponse {
            alerts: alerts.iter().map(|alert| shapes::alert(alert, &names)).collect(),
            next_page_token: next.unwrap_or_default(),
        }))
    }

    async fn resolve_alerts(
        &self,
        request: Request<ResolveAlertsRequest>,
    ) -> Result<Response<ResolveAlertsResponse>, Status> {
        let by = Actor::token(&caller(&request)?.token.name);
        let which = match request.into_inner().which {
            Some(Which::Ids(list)) => {
                Resolve::Ids(ids(&list.ids)?.into_iter().map(|id| AlertId(id.0)).collect())
            }
            Some(Which::ServerId(id)) => Resolve::Server(self.existing(id).await?.id),
            Some(Which::All(true)) => Resolve::All,
            Some(Which::All(false)) | None => {
                return Err(Status::invalid_argument(
                    "say which: ids, server_id, or all = true",
                ));
            }
        };
        let resolved = self.hub.ingest.resolve_alerts(which, &by).await;
        let resolved = resolved.map_err(|error| Status::unavailable(error.to_string()))?;
        Ok(Response::new(ResolveAlertsResponse {
            resolved: u32::try_from(resolved.len()).unwrap_or(u32::MAX),
        }))
    }

    type WatchStream = Answers<WatchEvent>;

    async fn watch(&self, request: Request<WatchRequest>) -> Result<Response<Self::WatchStream>, Status> {
        let caller = caller(&request)?;
        let request = request.into_inner();
        let wanted = ids(&request.server_ids)?;
        if request.values && !(1..=WATCHED_VALUES).contains(&wanted.len()) {
            return Err(Status::invalid_argument(format!(
                "values are sent of 1 to {WATCHED_VALUES} servers: name them in server_ids"
            )));
        }
        let place = Arc::clone(&self.watchers).try_acquire_owned();
        let place =
            place.map_err(|_| Status::resource_exhausted("too many programs watch: try again later"))?;
        let (sender, events) = mpsc::channel(WATCH_BACKLOG);
        let watcher = Watcher::new(Arc::clone(&self.hub), caller, wanted, request.values, sender);
        self.hub.streams.spawn(async move {
            watcher.run().await;
            drop(place);
        });
        Ok(Response::new(ReceiverStream::new(events)))
    }
}

fn caller<T>(request: &Request<T>) -> Result<Caller, Status> {
    let caller = request.extensions().get::<Caller>().cloned();
    caller.ok_or_else(|| Status::internal("a guarded method was reached past the guard"))
}

fn page_size(asked: u32, usual: usize) -> usize {
    match usize::try_from(asked) {
        Ok(0) | Err(_) => usual,
        Ok(asked) => asked.min(1_000),
    }
}

fn page_token(text: &str) -> Result<Option<i64>, Status> {
    if text.is_empty() {
        return Ok(None);
    }
    let id = text.parse::<i64>().ok().filter(|id| *id > 0);
    id.map(Some)
        .ok_or_else(|| Status::invalid_argument("page_token is not one of an answer"))
}

fn ids(list: &[i64]) -> Result<Vec<ServerId>, Status> {
    if list.len() > IDS {
        return Err(Status::invalid_argument(format!("at most {IDS} ids")));
    }
    Ok(list.iter().copied().map(ServerId).collect())
}

fn metrics(names: &[String]) -> Result<Vec<Metric>, Status> {
    if names.is_empty() {
        return Ok(Metric::ALL.to_vec());
    }
    let mut metrics = Vec::new();
    for name in names.iter().take(IDS) {
        let metric: Metric = name.parse().map_err(Status::invalid_argument)?;
        if !metrics.contains(&metric) {
            metrics.push(metric);
        }
    }
    Ok(metrics)
}
