//! How many SSH handshakes may be under way at once: over all servers, and to one address.
//!
//! A handshake costs the hub some CPU and the peer an unauthenticated slot (sshd begins to
//! turn peers away at ten). Servers that failed last time queue at a smaller gate of their
//! own, so that a thousand of them, each silent until its time is up, cost the others nothing. Over a link
//! of 100 ms a handshake is under way for most of a second without any work: the gates are that wide, so
//! that thousands of servers are back a minute after such a link was cut.

use std::{
    collections::HashMap,
    sync::{Arc, Mutex, MutexGuard, PoisonError, Weak},
};

use tokio::sync::{OwnedSemaphorePermit, Semaphore};

use super::{CollectConfig, ssh::GivenUp};

/// Host and port as configured.
type Address = (String, u16);

/// Hands out permits for handshakes.
pub(crate) struct Gate {
    healthy: Arc<Semaphore>,
    suspect: Arc<Semaphore>,
    per_address: usize,
    addresses: Mutex<HashMap<Address, Weak<Semaphore>>>,
    given_up: Arc<GivenUp>,
}

impl Gate {
    pub(crate) fn new(config: &CollectConfig) -> Self {
        let all = config.max_handshakes.max(1);
        Self {
            healthy: Arc::new(Semaphore::new(all)),
            suspect: Arc::new(Semaphore::new(all.div_ceil(4))),
            per_address: config.max_handshakes_per_address.max(1),
            addresses: Mutex::default(),
            given_up: Arc::new(GivenUp::new()),
        }
    }

    /// Waits until one more connection to this address may be opened. Taken before the first
    /// packet, because the peer counts from there; held until the log-in is decided.
    pub(crate) async fn address(&self, host: &str, port: u16) -> AddressPermit {
        let semaphore = {
            let mut addresses = self.lock();
            let key = (host.to_owned(), port);
            match addresses.get(&key).and_then(Weak::upgrade) {
                Some(semaphore) => semaphore,
                None => {
                    addresses.retain(|_, semaphore| semaphore.strong_count() > 0);
                    let semaphore = Arc::new(Semaphore::new(self.per_address));
                    addresses.insert(key, Arc::downgrade(&semaphore));
                    semaphore
                }
            }
        };
        AddressPermit(semaphore.acquire_owned().await.ok())
    }

    /// Waits for a place among all handshakes. Taken once the peer accepted the connection.
    pub(crate) async fn handshake(&self, suspect: bool) -> HandshakePermit {
        let semaphore = if suspect { &self.suspect } else { &self.healthy };
        HandshakePermit(Arc::clone(semaphore).acquire_owned().await.ok())
    }

    /// Who keeps the sockets of sessions that came through this gate and were given up.
    pub(crate) fn given_up(&self) -> Arc<GivenUp> {
        Arc::clone(&self.given_up)
    }

    fn lock(&self) -> MutexGuard<'_, HashMap<Address, Weak<Semaphore>>> {
        self.addresses.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// A place among the connections to one address.
pub(crate) struct AddressPermit(#[expect(dead_code, reason = "held, not read")] Option<OwnedSemaphorePermit>);

/// A place among all handshakes.
pub(crate) struct HandshakePermit(
    #[expect(dead_code, reason = "held, not read")] Option<OwnedSemaphorePermit>,
);

#[cfg(test)]
mod tests {
    use futures_util::FutureExt;

    use super::*;

    fn gate(all: usize, per_address: usize) -> Gate {
        Gate::new(&CollectConfig {
            max_handshakes: all,
            max_handshakes_per_address: per_address,
            ..CollectConfig::default()
        })
    }

    #[tokio::test]
    async fn one_address_does_not_block_another_and_is_forgotten_afterwards() {
        let gate = gate(64, 2);
        let first = gate.address("a", 22).await;
        let second = gate.address("a", 22).await;
        assert!(gate.address("a", 22).now_or_never().is_none(), "the third waits");
        assert!(
            gate.address("a", 23).now_or_never().is_some(),
            "another port does not"
        );
        drop(first);
        assert!(gate.address("a", 22).now_or_never().is_some());
        drop(second);
        let _other = gate.address("b", 22).await;
        assert_eq!(gate.lock().len(), 1, "only the address in use is remembered");
    }

    #[tokio::test]
    async fn handshakes_with_all_servers_together_are_limited() {
        let gate = gate(2, 8);
        let first = gate.handshake(false).await;
        let _second = gate.handshake(false).await;
        assert!(gate.handshake(false).now_or_never().is_none(), "the third waits");
        drop(first);
        assert!(gate.handshake(false).now_or_never().is_some());
    }

    #[tokio::test]
    async fn servers_that_failed_last_time_do_not_crowd_out_the_others() {
        let gate = gate(4, 8);
        let _held = gate.handshake(true).await;
        assert!(
            gate.handshake(true).now_or_never().is_none(),
            "suspects have a quarter"
        );
        assert!(gate.handshake(false).now_or_never().is_some());
    }
}
