//! Random numbers good enough to spread retries and number questions; nothing secret is made of them.

use std::hash::{BuildHasher as _, RandomState};

/// A random number.
#[must_use]
pub fn next() -> u64 {
    RandomState::new().hash_one(std::time::Instant::now())
}

/// A random share, from 0 up to and not including 1.
#[must_use]
pub fn share() -> f64 {
    (next() >> 11) as f64 / (1_u64 << 53) as f64
}
