//! A collector without the rest of the hub: targets in, readings out.

use std::{collections::HashSet, sync::Arc, time::Duration};

use gander_hub::{
    collect::{AgentPresence, CollectConfig, Collector, ConnectSpec, Refresh, Target, Targets},
    model::{CollectErrorCode, Reading, Server, ServerId, Timestamp, Transport, server::ServerSpec},
};
use tokio::{
    sync::{mpsc, watch},
    task::JoinHandle,
    time::timeout,
};
use tokio_util::sync::CancellationToken;

use crate::eventually::PATIENCE;

/// A running collector.
pub struct Collecting {
    targets: watch::Sender<Targets>,
    focus: watch::Sender<Arc<HashSet<ServerId>>>,
    refresh: mpsc::Sender<Refresh>,
    readings: mpsc::Receiver<Reading>,
    shutdown: CancellationToken,
    task: JoinHandle<anyhow::Result<()>>,
    /// Which agents stream.
    pub agents: AgentPresence,
}

/// A server as the store would hand it to the collector. Its pinned key is the spec's.
#[must_use]
pub fn target(id: i64, spec: &ConnectSpec) -> Target {
    Target {
        server: Server {
            id: ServerId(id),
            spec: ServerSpec {
                ssh_port: spec.port,
                interval_seconds: Some(1),
                ..ServerSpec::new(
                    spec.name.clone(),
                    spec.host.clone(),
                    spec.user.clone(),
                    Transport::Auto,
                )
            },
            has_password: spec.credential.password.is_some(),
            has_key: spec.credential.private_key.is_some(),
            credential: None,
            host_key: spec.expected_host_key.clone(),
            created_at: Timestamp(0),
            updated_at: Timestamp(0),
        },
        credential: spec.credential.clone(),
        authorities: Arc::clone(&spec.authorities),
    }
}

impl Collecting {
    /// Starts collecting from these targets, with short time limits.
    #[must_use]
    pub fn from(targets: Vec<Target>) -> Self {
        let config = CollectConfig {
            connect_timeout: Duration::from_secs(5),
            poll_timeout: Duration::from_secs(5),
            ..CollectConfig::default()
        };
        Self::with_config(config, targets)
    }

    /// The same with a configuration.
    #[must_use]
    pub fn with_config(config: CollectConfig, targets: Vec<Target>) -> Self {
        let (targets, targets_out) = watch::channel(share(targets));
        let (focus, focus_out) = watch::channel(Arc::default());
        let (refresh, refresh_out) = mpsc::channel(16);
        let (readings_in, readings) = mpsc::channel(1024);
        let shutdown = CancellationToken::new();
        let agents = AgentPresence::new();
        let collector = Collector::new(
            config,
            targets_out,
            focus_out,
            refresh_out,
            readings_in,
            agents.clone(),
        );
        let task = tokio::spawn(collector.run(shutdown.clone()));
        Self {
            targets,
            agents,
            focus,
            refresh,
            readings,
            shutdown,
            task,
        }
    }

    /// Replaces all targets, as the store does after a change.
    pub fn set_targets(&self, targets: Vec<Target>) {
        self.targets.send_replace(share(targets));
    }

    /// Somebody watches these servers, and no others.
    pub fn watch(&self, ids: &[i64]) {
        self.focus
            .send_replace(Arc::new(ids.iter().copied().map(ServerId).collect()));
    }

    /// Looks at a server at once.
    pub async fn refresh(&self, id: i64) {
        self.refresh.send(Refresh::One(ServerId(id))).await.unwrap();
    }

    /// Looks at every server at once.
    pub async fn refresh_all(&self) {
        self.refresh.send(Refresh::All).await.unwrap();
    }

    /// The next reading of any server.
    ///
    /// # Panics
    /// None comes within [`PATIENCE`].
    pub async fn next(&mut self) -> Reading {
        let reading = timeout(PATIENCE, self.readings.recv()).await;
        reading
            .expect("a reading within a minute")
            .expect("a collector that runs")
    }

    /// The next reading for which `wanted` holds; those before it are dropped.
    ///
    /// # Panics
    /// None comes within [`PATIENCE`]; the message names `what` and the last reading.
    pub async fn until(&mut self, what: &str, wanted: impl Fn(&Reading) -> bool) -> Reading {
        let mut last = None;
        let search = async {
            loop {
                let reading = self.readings.recv().await.expect("a collector that runs");
                if wanted(&reading) {
                    return reading;
                }
                last = Some(reading);
            }
        };
        match timeout(PATIENCE, search).await {
            Ok(reading) => reading,
            Err(_) => panic!("waited {PATIENCE:?} in vain for {what}; the last reading was {last:?}"),
        }
    }

    /// The next success of a server.
    pub async fn success(&mut self, id: i64) -> Reading {
        self.until(&format!("a success of server {id}"), |reading| {
            reading.server_id == ServerId(id) && reading.outcome.is_ok()
        })
        .await
    }

    /// The next failure of a server with this code.
    pub async fn failure(&mut self, id: i64, code: CollectErrorCode) -> Reading {
        self.until(&format!("{code:?} of server {id}"), |reading| {
            reading.server_id == ServerId(id)
                && reading.outcome.as_ref().is_err_and(|error| error.code == code)
        })
        .await
    }

    /// Readings that came already, without waiting.
    pub fn drain(&mut self) -> Vec<Reading> {
        std::iter::from_fn(|| self.readings.try_recv().ok()).collect()
    }

    /// Throws the reader of the readings away, and answers how the collector takes it.
    pub async fn run_without_reader(self) -> anyhow::Result<()> {
        drop(self.readings);
        timeout(PATIENCE, self.task).await.expect("an end").unwrap()
    }

    /// Stops it in good order.
    pub async fn stop(self) {
        let Self {
            shutdown,
            task,
            readings,
            ..
        } = self;
        shutdown.cancel();
        timeout(PATIENCE, task)
            .await
            .expect("an end")
            .unwrap()
            .expect("a good end");
        drop(readings);
    }
}

fn share(targets: Vec<Target>) -> Targets {
    Arc::new(targets.into_iter().map(Arc::new).collect())
}
