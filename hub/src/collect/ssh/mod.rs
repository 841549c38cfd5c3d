//! Reading a server over SSH: one connection and one channel, on which the probe script
//! answers requests for as long as both sides live.
//!
//! The only place that knows russh. A route (the server and the jump hosts before it) goes
//! in; answers of the probe or a [`CollectError`] come out. Nothing here decides when to look.

pub(crate) mod agent;
mod algorithms;
pub(crate) mod certificate;
mod channel;
mod connect;
mod host_key;
pub(crate) mod key;
mod login;
mod route;
mod socket;
mod wire;

use std::time::{Duration, Instant};

pub(crate) use channel::ProbeChannel;
use gander_probe::{Differ, RawSample, Sections};
pub(crate) use route::{Hop, KeyCell, Route};
pub(crate) use socket::GivenUp;

use super::{Authorities, CollectConfig, ConnectSpec, SeenHostKey, TestReport, gate::Gate};
use crate::model::CollectError;

/// The longest a test may take, whatever the configuration says: a person waits for it.
const TEST_LIMIT: Duration = Duration::from_secs(10);

/// Connects to a host, logs in and runs the probe once; within 10 s in all.
///
/// # Errors
/// Why it could not be read.
pub async fn test(config: &CollectConfig, spec: &ConnectSpec) -> Result<TestReport, CollectError> {
    let started = Instant::now();
    let talk_limit = TEST_LIMIT - channel::CLOSE_LIMIT;
    let config = CollectConfig {
        // Leaves the probe's first answer two seconds even after a slow log-in.
        connect_timeout: config.connect_timeout.min(talk_limit - Duration::from_secs(2)),
        ..config.clone()
    };
    let gate = Gate::new(&config);
    let mut probe = Box::pin(ProbeChannel::open(&Route::of(spec), &gate, &config, false)).await?;
    let left = talk_limit.saturating_sub(started.elapsed());
    let answer = probe
        .ask(Sections::TICK | Sections::FACTS, config.poll_timeout.min(left))
        .await;
    let latency_ms = u64::try_from(started.elapsed().as_millis()).unwrap_or(u64::MAX);
    let host_key = probe.host_key();
    let host_certificate = probe.host_certificate().cloned();
    probe.close().await;
    let snapshot = Differ::new().advance(RawSample::parse(&answer?), 0);
    let system = snapshot.system.unwrap_or_default();
    Ok(TestReport {
        latency_ms,
        host_key,
        host_certificate,
        os: system.os,
        kernel: system.kernel,
        hostname: system.hostname,
    })
}

/// Asks a host for its host key, within 10 s. No credential is sent to it (a jump host is logged in to).
///
/// # Errors
/// Why it could not be reached.
pub async fn fetch_host_key(
    config: &CollectConfig,
    host: &str,
    port: u16,
    jump: Option<&ConnectSpec>,
    authorities: Authorities,
) -> Result<SeenHostKey, CollectError> {
    let spec = ConnectSpec {
        name: super::explain::address(host, port),
        host: host.to_owned(),
        port,
        user: String::new(),
        credential: crate::model::server::SshCredential::default(),
        expected_host_key: None,
        authorities,
        jump: jump.cloned().map(Box::new),
    };
    let limit = config.connect_timeout.min(TEST_LIMIT);
    Box::pin(connect::fetch_host_key(
        &Route::of(&spec),
        &Gate::new(config),
        config,
        limit,
    ))
    .await
}
