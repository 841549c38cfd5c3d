//! The collector: keeps one task per server in step with the targets, and passes on who is
//! watched and what shall be looked at now.

use std::{
    collections::{HashMap, HashSet, hash_map::Entry},
    sync::Arc,
    time::Duration,
};

use tokio::{
    sync::{mpsc, watch},
    task::{Id, JoinSet},
    time::{Instant, timeout},
};
use tokio_util::sync::CancellationToken;

use super::{
    CollectConfig, Refresh, Targets,
    gate::Gate,
    node::{Node, Shared, Signals},
    plan::{Difference, Plan, Planner},
    presence::AgentPresence,
};
use crate::model::{Reading, ServerId};

/// Tasks that are started together begin at no more than this rate, so that a start of the hub with
/// thousands of servers is no storm of connections: in the hub, and in a firewall on the way.
const STARTS_PER_SECOND: u32 = 500;
/// How long all connections together may take to say goodbye.
const GOODBYE: Duration = Duration::from_secs(3);

/// Collects from every target until it is told to stop.
pub struct Collector {
    config: CollectConfig,
    targets: watch::Receiver<Targets>,
    focus: watch::Receiver<Arc<HashSet<ServerId>>>,
    refresh: mpsc::Receiver<Refresh>,
    readings: mpsc::Sender<Reading>,
    agents: AgentPresence,
}

impl Collector {
    /// Takes what it needs; nothing runs before [`Collector::run`].
    #[must_use]
    pub fn new(
        config: CollectConfig,
        targets: watch::Receiver<Targets>,
        focus: watch::Receiver<Arc<HashSet<ServerId>>>,
        refresh: mpsc::Receiver<Refresh>,
        readings: mpsc::Sender<Reading>,
        agents: AgentPresence,
    ) -> Self {
        Self {
            config,
            targets,
            focus,
            refresh,
            readings,
            agents,
        }
    }

    /// Collects until `shutdown`, then closes every connection within a bounded time.
    ///
    /// # Errors
    /// The receiver of the readings is gone before `shutdown`.
    pub async fn run(self, shutdown: CancellationToken) -> anyhow::Result<()> {
        let Self {
            config,
            mut targets,
            mut focus,
            mut refresh,
            readings,
            agents,
        } = self;
        let mut tasks = Tasks {
            shared: Arc::new(Shared {
                gate: Gate::new(&config),
                config,
                readings: readings.clone(),
                agents,
                origin: Instant::now(),
            }),
            planner: Planner::default(),
            running: HashMap::new(),
            by_task: HashMap::new(),
            join: JoinSet::new(),
            focus: HashSet::new(),
        };
        targets.mark_changed();
        focus.mark_changed();
        let outcome = loop {
            // A sender that is gone will bring nothing new; what is known stays valid.
            tokio::select! {
                biased;
                () = shutdown.cancelled() => break Ok(()),
                () = readings.closed() => break Err(anyhow::anyhow!("nobody takes readings any more")),
                Ok(()) = focus.changed() => {
                    let watched = focus.borrow_and_update().as_ref().clone();
                    tasks.set_focus(watched);
                }
                Ok(()) = targets.changed() => {
                    let targets = Targets::clone(&targets.borrow_and_update());
                    tasks.reconcile(&targets);
                }
                Some(refresh) = refresh.recv() => tasks.refresh(refresh),
                Some(ended) = tasks.join.join_next_with_id() => tasks.reap(&ended),
                else => {
                    shutdown.cancelled().await;
                    break Ok(());
                }
            }
        };
        tasks.stop().await;
        outcome
    }
}

/// A server being collected.
struct Running {
    signals: Arc<Signals>,
    cancel: CancellationToken,
}

struct Tasks {
    shared: Arc<Shared>,
    planner: Planner,
    running: HashMap<ServerId, Running>,
    by_task: HashMap<Id, ServerId>,
    join: JoinSet<()>,
    focus: HashSet<ServerId>,
}

impl Tasks {
    /// Starts, restarts and stops tasks until they are what the targets ask for.
    fn reconcile(&mut self, targets: &Targets) {
        let mut plans = self.planner.plan(targets, self.shared.config.default_interval);
        self.running.retain(|id, running| {
            let keep = plans.contains_key(id);
            if !keep {
                running.cancel.cancel();
            }
            keep
        });
        plans.retain(|id, plan| match self.running.get(id) {
            None => true,
            Some(running) => {
                running.signals.plan().difference(plan, &running.signals.proved()) != Difference::None
            }
        });
        let together = u32::try_from(plans.len()).unwrap_or(u32::MAX);
        let spread = Duration::from_secs(1) * together / STARTS_PER_SECOND;
        for (id, plan) in plans {
            if let Entry::Occupied(running) = self.running.entry(id) {
                let signals = &running.get().signals;
                if signals.plan().difference(&plan, &signals.proved()) == Difference::Later {
                    signals.replace_plan(plan);
                    continue;
                }
                running.remove().cancel.cancel();
            }
            self.start(id, plan, spread);
        }
    }

    /// Starts the task of a server, which begins within `spread` (or a moment, if that is longer).
    fn start(&mut self, id: ServerId, plan: Plan, spread: Duration) {
        let signals = Arc::new(Signals::new(plan, self.focus.contains(&id)));
        let cancel = CancellationToken::new();
        let node = Node::new(id, Arc::clone(&self.shared), Arc::clone(&signals), spread);
        let task = self.join.spawn(node.run(cancel.clone()));
        self.by_task.insert(task.id(), id);
        self.running.insert(id, Running { signals, cancel });
    }

    fn set_focus(&mut self, watched: HashSet<ServerId>) {
        for id in self.focus.symmetric_difference(&watched) {
            if let Some(running) = self.running.get(id) {
                running.signals.set_focus(watched.contains(id));
            }
        }
        self.focus = watched;
    }

    fn refresh(&self, refresh: Refresh) {
        match refresh {
            Refresh::All => self
                .running
                .values()
                .for_each(|running| running.signals.refresh()),
            Refresh::One(id) => {
                if let Some(running) = self.running.get(&id) {
                    running.signals.refresh();
                }
            }
        }
    }

    /// A task is over: because it was cancelled, or by a bug, which must not cost the server
    /// its supervision.
    fn reap(&mut self, ended: &Result<(Id, ()), tokio::task::JoinError>) {
        let (task, panicked) = match ended {
            Ok((task, ())) => (*task, None),
            Err(error) => (error.id(), Some(error)),
        };
        let Some(id) = self.by_task.remove(&task) else {
            return;
        };
        let Some(error) = panicked else {
            return;
        };
        tracing::error!(server.id = id.0, %error, "the task of a server crashed; it is started again at its next interval");
        if let Some(running) = self.running.get(&id)
            && !running.cancel.is_cancelled()
        {
            let signals = Arc::clone(&running.signals);
            let cancel = running.cancel.clone();
            let pause = signals.plan().interval;
            let node = Node::new(id, Arc::clone(&self.shared), signals, Duration::ZERO);
            let task = self.join.spawn(async move {
                tokio::select! {
                    () = cancel.cancelled() => {}
                    () = tokio::time::sleep(pause) => node.run(cancel.clone()).await,
                }
            });
            self.by_task.insert(task.id(), id);
        }
    }

    async fn stop(&mut self) {
        for running in self.running.values() {
            running.cancel.cancel();
        }
        let goodbye = async { while self.join.join_next().await.is_some() {} };
        if timeout(GOODBYE, goodbye).await.is_err() {
            tracing::warn!(
                connections = self.join.len(),
                "some connections did not close in time and were dropped"
            );
            self.join.abort_all();
        }
    }
}
