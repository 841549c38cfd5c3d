//! Guessing tokens is slowed down: an address that failed too often waits.

use std::{
    collections::HashMap,
    net::IpAddr,
    sync::{Mutex, PoisonError},
    time::Duration,
};

use tokio::time::Instant;

/// Failures an address may have …
const FAILURES: u32 = 10;
/// … in this time.
const WINDOW: Duration = Duration::from_secs(60);
/// Addresses remembered. When there are more, those whose time is over are forgotten, then all.
const ADDRESSES: usize = 10_000;

/// Failures by address.
#[derive(Default)]
pub(super) struct Failures(Mutex<HashMap<IpAddr, (Instant, u32)>>);

impl Failures {
    /// Whether the address must wait.
    pub(super) fn is_blocked(&self, address: IpAddr, now: Instant) -> bool {
        let failures = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        failures
            .get(&network(address))
            .is_some_and(|(since, count)| *count >= FAILURES && now.duration_since(*since) < WINDOW)
    }

    /// The address failed.
    pub(super) fn note(&self, address: IpAddr, now: Instant) {
        let mut failures = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if failures.len() >= ADDRESSES {
            failures.retain(|_, (since, _)| now.duration_since(*since) < WINDOW);
            if failures.len() >= ADDRESSES {
                failures.clear();
            }
        }
        let (since, count) = failures.entry(network(address)).or_insert((now, 0));
        if now.duration_since(*since) >= WINDOW {
            (*since, *count) = (now, 0);
        }
        *count += 1;
    }
}

/// What one person has: an IPv4 address, or an IPv6 network of 64 bits.
fn network(address: IpAddr) -> IpAddr {
    match address.to_canonical() {
        IpAddr::V6(address) => {
            let mut segments = address.segments();
            segments[4..].fill(0);
            IpAddr::V6(segments.into())
        }
        v4 @ IpAddr::V4(_) => v4,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn who_fails_too_often_waits_a_while() {
        let failures = Failures::default();
        let now = Instant::now();
        let one: IpAddr = "192.0.2.1".parse().unwrap();
        let same: IpAddr = "::ffff:192.0.2.1".parse().unwrap();
        let other: IpAddr = "192.0.2.2".parse().unwrap();
        for _ in 0..FAILURES {
            assert!(!failures.is_blocked(one, now));
            failures.note(same, now);
        }
        assert!(failures.is_blocked(one, now));
        assert!(!failures.is_blocked(other, now));
        let later = now + WINDOW;
        assert!(!failures.is_blocked(one, later));
        failures.note(one, later);
        assert!(!failures.is_blocked(one, later), "it begins anew");
    }

    #[test]
    fn a_network_of_ipv6_addresses_counts_as_one() {
        let failures = Failures::default();
        let now = Instant::now();
        for last in 0..FAILURES {
            failures.note(format!("2001:db8::{last}").parse().unwrap(), now);
        }
        assert!(failures.is_blocked("2001:db8::ffff".parse().unwrap(), now));
        assert!(!failures.is_blocked("2001:db8:0:1::1".parse().unwrap(), now));
    }
}
