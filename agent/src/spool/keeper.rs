//! The spool in a thread of its own, so that a disk that is slow, or hangs, never holds up a look.

use std::{
    collections::VecDeque,
    path::Path,
    sync::{
        Arc, Mutex, PoisonError,
        mpsc::{Receiver, RecvTimeoutError, SyncSender, TrySendError, sync_channel},
    },
    thread::JoinHandle,
    time::{Duration, Instant},
};

use tokio::sync::oneshot;

use super::{Limits, Portion, Position, Spool, Status};
use crate::Sample;

/// Orders that may wait. When it is full (the disk hangs), samples wait in [`Keeper::waiting`] and
/// everything else is tried again later by who asked.
const ORDERS: usize = 16;
/// Samples that may wait while the disk hangs; then the oldest are dropped and counted.
const WAITING: usize = 600;
/// How often the thread looks after the spool unasked.
const TEND_EVERY: Duration = Duration::from_secs(5);

enum Order {
    Append(Vec<Sample>),
    Read(usize, oneshot::Sender<Option<Portion>>),
    Acknowledge(Position),
    Rewind,
    Sync(oneshot::Sender<()>),
}

/// A handle on the spool that never blocks.
#[derive(Debug)]
pub struct Keeper {
    orders: Option<SyncSender<Order>>,
    status: Arc<Mutex<Status>>,
    waiting: VecDeque<Sample>,
    dropped: u64,
    thread: Option<JoinHandle<()>>,
}

impl Keeper {
    /// Opens the spool (see [`Spool::open`]) in a thread of its own.
    ///
    /// # Errors
    /// When the system gives no thread.
    pub fn start(directory: &Path, limits: Limits, boot_id: &str) -> std::io::Result<Self> {
        let (orders, inbox) = sync_channel(ORDERS);
        let status = Arc::new(Mutex::new(Status::default()));
        let (shown, directory, boot_id) = (Arc::clone(&status), directory.to_owned(), boot_id.to_owned());
        let (opened, open) = std::sync::mpsc::channel();
        let thread = std::thread::Builder::new()
            .name("gander-spool".into())
            .spawn(move || {
                let spool = Spool::open(&directory, limits, &boot_id, Instant::now());
                show(&spool, &shown);
                let _ = opened.send(());
                keep(spool, &inbox, &shown);
            })?;
        // The first word to the hub says what is in the spool. A disk that hangs is not waited for.
        let _ = open.recv_timeout(Duration::from_secs(2));
        Ok(Self {
            orders: Some(orders),
            status,
            waiting: VecDeque::new(),
            dropped: 0,
            thread: Some(thread),
        })
    }

    /// Puts samples behind all others.
    pub fn append(&mut self, samples: impl IntoIterator<Item = Sample>) {
        self.waiting.extend(samples);
        self.hand_over();
        while self.waiting.len() > WAITING {
            self.waiting.pop_front();
            self.dropped += 1;
        }
    }

    fn hand_over(&mut self) {
        if self.waiting.is_empty() {
            return;
        }
        let Some(orders) = &self.orders else { return };
        match orders.try_send(Order::Append(self.waiting.drain(..).collect())) {
            Ok(()) => {}
            Err(TrySendError::Full(order) | TrySendError::Disconnected(order)) => {
                if let Order::Append(samples) = order {
                    self.waiting.extend(samples);
                }
            }
        }
    }

    fn order(&mut self, order: Order) -> bool {
        self.hand_over();
        self.orders
            .as_ref()
            .is_some_and(|orders| orders.try_send(order).is_ok())
    }

    /// Asks for the next samples (see [`Spool::read`]). The answer may come late, or never.
    pub fn read(&mut self, most: usize) -> Option<oneshot::Receiver<Option<Portion>>> {
        let (answer, portion) = oneshot::channel();
        self.order(Order::Read(most, answer)).then_some(portion)
    }

    /// The hub has everything up to `position`. `false`: not taken, say it again later.
    pub fn acknowledge(&mut self, position: Position) -> bool {
        self.order(Order::Acknowledge(position))
    }

    /// What was handed out and not acknowledged is to be handed out again. `false`: say it again.
    pub fn rewind(&mut self) -> bool {
        self.order(Order::Rewind)
    }

    /// Forces everything to the disk; the answer comes when it is there.
    pub fn sync(&mut self) -> Option<oneshot::Receiver<()>> {
        let (answer, done) = oneshot::channel();
        self.order(Order::Sync(answer)).then_some(done)
    }

    /// What the spool holds, samples that wait for its thread included.
    #[must_use]
    pub fn status(&self) -> Status {
        let mut status = self.status.lock().unwrap_or_else(PoisonError::into_inner).clone();
        status.samples += self.waiting.len() as u64;
        status.dropped += self.dropped;
        if self.waiting.len() > WAITING / 2 {
            status
                .trouble
                .get_or_insert_with(|| "the disk of the spool does not answer".into());
        }
        status
    }

    /// Ends the thread when it has done what it was told. Blocks: for the end of the program, where
    /// a disk that hangs is waited for no longer than `limit`.
    pub fn close(mut self, limit: Duration) {
        self.hand_over();
        self.orders = None;
        let Some(thread) = self.thread.take() else { return };
        let until = Instant::now() + limit;
        while !thread.is_finished() && Instant::now() < until {
            std::thread::sleep(Duration::from_millis(5));
        }
        if thread.is_finished() && thread.join().is_err() {
            tracing::error!("the spool's thread crashed");
        }
    }
}

fn show(spool: &Spool, status: &Mutex<Status>) {
    *status.lock().unwrap_or_else(PoisonError::into_inner) = spool.status();
}

fn keep(mut spool: Spool, inbox: &Receiver<Order>, status: &Mutex<Status>) {
    loop {
        let order = inbox.recv_timeout(TEND_EVERY);
        let now = Instant::now();
        let mut reply: Option<Box<dyn FnOnce()>> = None;
        match order {
            Ok(Order::Append(samples)) => {
                for sample in &samples {
                    spool.append(sample, now);
                }
            }
            Ok(Order::Read(most, answer)) => {
                let portion = spool.read(most, now);
                reply = Some(Box::new(move || {
                    let _ = answer.send(portion);
                }));
            }
            Ok(Order::Acknowledge(position)) => spool.acknowledge(position),
            Ok(Order::Rewind) => spool.rewind(),
            Ok(Order::Sync(answer)) => {
                spool.sync(now);
                reply = Some(Box::new(move || {
                    let _ = answer.send(());
                }));
            }
            Err(RecvTimeoutError::Timeout) => {}
            Err(RecvTimeoutError::Disconnected) => return,
        }
        spool.tend(now);
        // Who gets an answer sees the status that belongs to it.
        show(&spool, status);
        if let Some(reply) = reply {
            reply();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn sample(at: i64) -> Sample {
        Sample {
            taken_at_ms: at,
            ..Sample::default()
        }
    }

    #[tokio::test]
    async fn what_is_appended_is_read_acknowledged_and_gone() {
        let directory = tempfile::tempdir().unwrap();
        let start = || Keeper::start(directory.path(), Limits::default(), "boot").unwrap();
        let mut keeper = start();
        keeper.append((0..10).map(sample));
        let portion = keeper.read(4).unwrap().await.unwrap().unwrap();
        assert_eq!(portion.samples, (0..4).map(sample).collect::<Vec<_>>());
        assert_eq!(keeper.status().samples, 10);
        assert!(keeper.acknowledge(portion.upto));
        keeper.sync().unwrap().await.unwrap();
        assert_eq!(keeper.status().samples, 6);
        keeper.close(Duration::from_secs(60));
        let mut keeper = start();
        assert_eq!(keeper.status().samples, 10, "a segment leaves as a whole");
        let portion = keeper.read(100).unwrap().await.unwrap().unwrap();
        assert_eq!(portion.samples.len(), 10);
        assert_eq!(&*portion.boot_id, "boot");
        keeper.close(Duration::from_secs(60));
    }

    /// A disk that hangs, made of an inbox nobody empties.
    #[test]
    fn a_hanging_disk_costs_the_oldest_samples_and_is_told() {
        let (orders, inbox) = sync_channel(1);
        let mut keeper = Keeper {
            orders: Some(orders),
            status: Arc::default(),
            waiting: VecDeque::new(),
            dropped: 0,
            thread: None,
        };
        for at in 0..1000 {
            keeper.append([sample(at)]);
        }
        let status = keeper.status();
        assert_eq!(keeper.waiting.len(), WAITING);
        assert_eq!(status.dropped, 1000 - 1 - WAITING as u64, "one was handed over");
        assert!(status.trouble.unwrap().contains("does not answer"));
        assert_eq!(keeper.waiting.back().unwrap().taken_at_ms, 999);
        drop(inbox);
    }
}
