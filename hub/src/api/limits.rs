//! How often somebody may try: buckets of attempts that refill with time, in bounded memory.

use std::{
    collections::HashMap,
    hash::Hash,
    net::IpAddr,
    sync::{Mutex, PoisonError},
    time::{Duration, Instant},
};

/// Keys a limiter remembers at most. Beyond it the fullest buckets are forgotten first.
const MOST_KEYS: usize = 10_000;

/// A bucket of attempts for each key: `burst` at once, then one every `refill`.
#[derive(Debug)]
pub(super) struct Limiter<K> {
    burst: u32,
    refill: Duration,
    // When a key's bucket is full again. An absent key has a full bucket.
    full_at: Mutex<HashMap<K, Instant>>,
}

impl<K: Hash + Eq + Clone> Limiter<K> {
    pub(super) fn new(burst: u32, refill: Duration) -> Self {
        Self {
            burst,
            refill,
            full_at: Mutex::default(),
        }
    }

    /// Takes one attempt; when none is left, says after how long there is one.
    pub(super) fn take(&self, key: &K, now: Instant) -> Result<(), Duration> {
        let mut buckets = self.full_at.lock().unwrap_or_else(PoisonError::into_inner);
        let full_at = buckets.get(key).copied().unwrap_or(now).max(now);
        let full_after = full_at.duration_since(now) + self.refill;
        let capacity = self.refill * self.burst;
        if full_after > capacity {
            return Err(full_after - capacity);
        }
        if buckets.len() >= MOST_KEYS && !buckets.contains_key(key) {
            make_room(&mut buckets, now);
        }
        buckets.insert(key.clone(), now + full_after);
        Ok(())
    }

    /// Gives one attempt back, after a success.
    pub(super) fn give_back(&self, key: &K) {
        let mut buckets = self.full_at.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(full_at) = buckets.get_mut(key)
            && let Some(earlier) = full_at.checked_sub(self.refill)
        {
            *full_at = earlier;
        }
    }
}

/// Forgets what is full, and if nothing is, the half that is nearest to it: whoever floods with
/// fresh keys must not push out those who have used theirs up.
fn make_room<K: Hash + Eq + Clone>(buckets: &mut HashMap<K, Instant>, now: Instant) {
    buckets.retain(|_, full_at| *full_at > now);
    if buckets.len() < MOST_KEYS {
        return;
    }
    let mut times: Vec<Instant> = buckets.values().copied().collect();
    let middle = times.len() / 2;
    let (_, median, _) = times.select_nth_unstable(middle);
    let median = *median;
    let mut surplus = buckets.len() - middle;
    buckets.retain(|_, full_at| {
        let goes = *full_at <= median && surplus > 0;
        surplus -= usize::from(goes);
        !goes
    });
}

/// The limits of logging in.
///
/// An account's bucket is shared by all addresses it was never logged in from, so that guessing
/// from many addresses is slow; an address that has succeeded before has a bucket of its own, so
/// that somebody else's guessing does not lock the owner out.
#[derive(Debug)]
pub(super) struct LoginLimits {
    by_network: Limiter<IpAddr>,
    by_account: Limiter<(String, Option<IpAddr>)>,
    known: Mutex<HashMap<(String, IpAddr), Instant>>,
}

impl LoginLimits {
    pub(super) fn new() -> Self {
        Self {
            by_network: Limiter::new(10, Duration::from_secs(6)),
            by_account: Limiter::new(10, Duration::from_secs(30)),
            known: Mutex::default(),
        }
    }

    fn account_key(&self, account: &str, network: IpAddr) -> (String, Option<IpAddr>) {
        let account = account.to_lowercase();
        let known = self.known.lock().unwrap_or_else(PoisonError::into_inner);
        let is_known = known.contains_key(&(account.clone(), network));
        (account, is_known.then_some(network))
    }

    /// Takes one attempt at an account from a network; when there is none, after how long.
    pub(super) fn take(&self, account: &str, network: IpAddr, now: Instant) -> Result<(), Duration> {
        self.by_network.take(&network, now)?;
        self.by_account.take(&self.account_key(account, network), now)
    }

    /// Takes one attempt from a network at something that is no account.
    pub(super) fn take_anonymous(&self, network: IpAddr, now: Instant) -> Result<(), Duration> {
        self.by_network.take(&network, now)
    }

    /// Notes that an attempt succeeded.
    pub(super) fn succeeded(&self, account: &str, network: IpAddr, now: Instant) {
        self.by_network.give_back(&network);
        self.by_account.give_back(&self.account_key(account, network));
        let mut known = self.known.lock().unwrap_or_else(PoisonError::into_inner);
        if known.len() >= MOST_KEYS {
            known.clear();
        }
        known.insert((account.to_lowercase(), network), now);
    }
}

/// At most once every so often, for all together.
#[derive(Debug)]
pub(super) struct Pace {
    every: Duration,
    last: Mutex<Option<Instant>>,
}

impl Pace {
    pub(super) fn new(every: Duration) -> Self {
        Self {
            every,
            last: Mutex::default(),
        }
    }

    /// Whether it is time again.
    pub(super) fn is_due(&self, now: Instant) -> bool {
        let mut last = self.last.lock().unwrap_or_else(PoisonError::into_inner);
        let due = last.is_none_or(|last| now.saturating_duration_since(last) >= self.every);
        if due {
            *last = Some(now);
        }
        due
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SECOND: Duration = Duration::from_secs(1);

    #[test]
    fn a_bucket_empties_and_refills() {
        let limiter = Limiter::new(3, 10 * SECOND);
        let start = Instant::now();
        for _ in 0..3 {
            limiter.take(&"a", start).unwrap();
        }
        assert_eq!(limiter.take(&"a", start), Err(10 * SECOND));
        assert_eq!(limiter.take(&"a", start + 4 * SECOND), Err(6 * SECOND));
        limiter.take(&"b", start).unwrap();
        limiter.take(&"a", start + 10 * SECOND).unwrap();
        assert!(limiter.take(&"a", start + 10 * SECOND).is_err());
        limiter.give_back(&"a");
        limiter.take(&"a", start + 10 * SECOND).unwrap();
    }

    #[test]
    fn a_flood_of_keys_is_bounded_and_does_not_free_the_exhausted() {
        let limiter = Limiter::new(2, 1000 * SECOND);
        let now = Instant::now();
        limiter.take(&0, now).unwrap();
        limiter.take(&0, now).unwrap();
        for key in 1..3 * MOST_KEYS {
            limiter.take(&key, now).unwrap();
        }
        assert!(limiter.full_at.lock().unwrap().len() <= MOST_KEYS);
        assert!(limiter.take(&0, now).is_err());
    }

    #[test]
    fn guessing_elsewhere_does_not_lock_out_a_known_address() {
        let limits = LoginLimits::new();
        let now = Instant::now();
        let (home, mut elsewhere) = ("192.0.2.1".parse().unwrap(), 0u32);
        limits.take("Ann", home, now).unwrap();
        limits.succeeded("Ann", home, now);
        let refused = (0..30).any(|_| {
            elsewhere += 1;
            limits.take("ann", IpAddr::V4(elsewhere.into()), now).is_err()
        });
        assert!(refused, "many addresses together run into the account's limit");
        limits.take("ann", home, now).unwrap();
    }

    #[test]
    fn a_pace_is_kept() {
        let pace = Pace::new(SECOND);
        let start = Instant::now();
        assert!(pace.is_due(start));
        assert!(!pace.is_due(start + SECOND / 2));
        assert!(pace.is_due(start + SECOND));
    }
}
