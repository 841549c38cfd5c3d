//! One program that watches: the whole state, then every change; the whole state again when it
//! could not follow.

use std::{
    collections::{HashMap, HashSet},
    sync::Arc,
    time::Duration,
};

use gander_proto::v1::WatchEvent;
use tokio::{
    sync::{broadcast::error::RecvError, mpsc},
    time::MissedTickBehavior,
};
use tonic::Status;

use super::{Shared, access::Caller, agents::unavailable, shapes};
use crate::{
    live::{Delta, Fleet, FocusGuard},
    model::{Server, ServerId, Timestamp},
};

/// A program that watches is asked for its token this often.
const TOKEN_CHECK: Duration = Duration::from_secs(15);

/// One program that watches.
pub(super) struct Watcher {
    hub: Arc<Shared>,
    caller: Caller,
    /// Empty: all.
    wanted: HashSet<ServerId>,
    values: bool,
    events: mpsc::Sender<Result<WatchEvent, Status>>,
    servers: HashMap<ServerId, Server>,
    names: HashMap<ServerId, String>,
    _focus: Vec<FocusGuard>,
}

impl Watcher {
    pub(super) fn new(
        hub: Arc<Shared>,
        caller: Caller,
        wanted: Vec<ServerId>,
        values: bool,
        events: mpsc::Sender<Result<WatchEvent, Status>>,
    ) -> Self {
        let focus = if values {
            wanted.iter().map(|id| hub.live.watch_server(*id)).collect()
        } else {
            Vec::new()
        };
        Self {
            hub,
            caller,
            wanted: wanted.into_iter().collect(),
            values,
            events,
            servers: HashMap::new(),
            names: HashMap::new(),
            _focus: focus,
        }
    }

    /// Runs until the program goes, its token does, or the hub stops.
    pub(super) async fn run(mut self) {
        if let Err(status) = self.follow().await {
            // A full queue means that nobody reads.
            let _ = self.events.try_send(Err(status));
        }
    }

    async fn follow(&mut self) -> Result<(), Status> {
        let shutdown = self.hub.shutdown.clone();
        let gone = self.events.clone();
        let mut changes = self.hub.live.subscribe();
        let mut check = tokio::time::interval(TOKEN_CHECK);
        check.set_missed_tick_behavior(MissedTickBehavior::Delay);
        let mut seen = self.tell_all().await?;
        loop {
            let change = tokio::select! {
                () = shutdown.cancelled() => return Err(Status::unavailable("the hub stops")),
                () = gone.closed() => return Ok(()),
                _ = check.tick() => {
                    if !self.caller.still_holds(&self.hub).await? {
                        return Err(Status::unauthenticated("the API token was removed, changed or has expired"));
                    }
                    continue;
                }
                change = changes.recv() => change,
            };
            match change {
                // Already in the whole state.
                Ok(delta) if delta.version <= seen => {}
                Ok(delta) => self.tell(&delta).await?,
                Err(RecvError::Lagged(_)) => {
                    changes = changes.resubscribe();
                    seen = self.tell_all().await?;
                }
                Err(RecvError::Closed) => return Err(Status::unavailable("the hub stops")),
            }
        }
    }

    fn is_wanted(&self, id: ServerId) -> bool {
        self.wanted.is_empty() || self.wanted.contains(&id)
    }

    /// Sends the whole state; answers its version.
    async fn tell_all(&mut self) -> Result<u64, Status> {
        self.learn_servers().await?;
        let fleet = self.hub.live.snapshot();
        let mut ids: Vec<ServerId> = self.servers.keys().copied().collect();
        ids.retain(|id| self.is_wanted(*id));
        ids.sort();
        let alerts = fleet.alerts().filter(|alert| self.is_wanted(alert.key.server_id));
        let event = WatchEvent {
            at_ms: Timestamp::now().as_millis(),
            whole: true,
            alerts: alerts.map(|alert| shapes::alert(alert, &self.names)).collect(),
            removed_server_ids: Vec::new(),
            values: self.values_of(&ids, &fleet),
            servers: self.shapes_of(&ids, &fleet),
        };
        self.send(event).await?;
        Ok(fleet.version())
    }

    async fn tell(&mut self, delta: &Delta) -> Result<(), Status> {
        let fleet = self.hub.live.snapshot();
        let mut ids: Vec<ServerId> = delta.servers.iter().map(|(id, _)| *id).collect();
        ids.extend(delta.alerts.iter().map(|alert| alert.key.server_id));
        if delta.servers_changed {
            let before = std::mem::take(&mut self.servers);
            self.learn_servers().await?;
            let changed = self
                .servers
                .values()
                .filter(|now| before.get(&now.id) != Some(now));
            ids.extend(changed.map(|server| server.id));
        }
        ids.retain(|id| self.is_wanted(*id));
        ids.sort();
        ids.dedup();
        let alerts = delta
            .alerts
            .iter()
            .filter(|alert| self.is_wanted(alert.key.server_id));
        let event = WatchEvent {
            at_ms: delta.at.as_millis(),
            whole: false,
            alerts: alerts.map(|alert| shapes::alert(alert, &self.names)).collect(),
            removed_server_ids: delta
                .removed
                .iter()
                .filter(|id| self.is_wanted(**id))
                .map(|id| id.0)
                .collect(),
            values: self.values_of(&ids, &fleet),
            servers: self.shapes_of(&ids, &fleet),
        };
        let is_empty =
            event.servers.is_empty() && event.alerts.is_empty() && event.removed_server_ids.is_empty();
        if is_empty {
            return Ok(());
        }
        self.send(event).await
    }

    fn shapes_of(&self, ids: &[ServerId], fleet: &Fleet) -> Vec<gander_proto::v1::Server> {
        let known = ids.iter().filter_map(|id| self.servers.get(id));
        known.map(|server| shapes::server(server, fleet)).collect()
    }

    fn values_of(&self, ids: &[ServerId], fleet: &Fleet) -> Vec<gander_proto::v1::ServerValues> {
        if !self.values {
            return Vec::new();
        }
        let known = ids.iter().filter_map(|id| Some((*id, fleet.server(*id)?)));
        known.map(|(id, state)| shapes::values(id, state)).collect()
    }

    async fn learn_servers(&mut self) -> Result<(), Status> {
        let servers = self
            .hub
            .store
            .servers()
            .await
            .map_err(|error| unavailable(&error))?;
        self.names = servers
            .iter()
            .map(|server| (server.id, server.spec.name.clone()))
            .collect();
        self.servers = servers.into_iter().map(|server| (server.id, server)).collect();
        Ok(())
    }

    /// Waits for the program to read. Meanwhile changes pile up and are lost: then it gets the whole state.
    async fn send(&self, event: WatchEvent) -> Result<(), Status> {
        tokio::select! {
            () = self.hub.shutdown.cancelled() => Err(Status::unavailable("the hub stops")),
            sent = self.events.send(Ok(event)) => sent.map_err(|_| Status::cancelled("the program has gone")),
        }
    }
}
