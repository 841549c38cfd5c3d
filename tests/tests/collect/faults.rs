//! Peers that misbehave: each gets its own explanation, and none gets the hub's memory or time.

use std::time::Duration;

use gander_e2e::{
    collecting::{Collecting, target},
    eventually,
    fake_ssh::{FakeSsh, Misbehaviour},
};
use gander_hub::{
    collect::{CollectConfig, ConnectSpec, test},
    model::{CollectError, CollectErrorCode as Code},
};

fn quick() -> CollectConfig {
    CollectConfig {
        connect_timeout: Duration::from_secs(3),
        poll_timeout: Duration::from_secs(3),
        ..CollectConfig::default()
    }
}

/// For what is no question of time, however busy this machine is.
fn patient() -> CollectConfig {
    CollectConfig {
        connect_timeout: Duration::from_secs(30),
        poll_timeout: Duration::from_secs(30),
        ..CollectConfig::default()
    }
}

async fn error_of(config: &CollectConfig, spec: &ConnectSpec) -> CollectError {
    test(config, spec).await.expect_err("a failure")
}

#[tokio::test]
async fn each_misbehaviour_has_its_explanation() {
    let table: [(Misbehaviour, Code, &str); 11] = [
        (
            Misbehaviour::SilentAfterConnect,
            Code::Timeout,
            "did not finish the SSH handshake",
        ),
        (
            Misbehaviour::SilentInKeyExchange,
            Code::Timeout,
            "did not finish the SSH handshake",
        ),
        (
            Misbehaviour::HangsUpInKeyExchange,
            Code::Disconnected,
            "before the SSH handshake ended",
        ),
        (
            Misbehaviour::SpeaksHttp,
            Code::Protocol,
            "it says \"HTTP/1.1 400 Bad Request\"",
        ),
        (Misbehaviour::SpeaksGarbage, Code::Protocol, "does not speak SSH"),
        (
            Misbehaviour::SilentAfterLogin,
            Code::Timeout,
            "the probe did not start",
        ),
        (Misbehaviour::SilentProbe, Code::Timeout, "stopped answering"),
        (Misbehaviour::HangsUpInAnswer, Code::Disconnected, "enough"),
        (Misbehaviour::Floods, Code::TooMuchOutput, "cut off"),
        (Misbehaviour::FloodsBeforeGreeting, Code::ProbeFailed, "xxxx"),
        (Misbehaviour::OtherSystem("FreeBSD"), Code::NotLinux, "FreeBSD"),
    ];
    for (misbehaviour, code, words) in table {
        let fake = FakeSsh::start(misbehaviour.clone()).await;
        let config = if code == Code::Timeout { quick() } else { patient() };
        let error = error_of(&config, &fake.spec("web-1")).await;
        assert_eq!(error.code, code, "{misbehaviour:?}: {error}");
        assert!(error.message.contains(words), "{misbehaviour:?}: {error}");
        assert!(error.message.contains("web-1"), "{misbehaviour:?}: {error}");
        eventually(
            &format!("the connection is given up: {misbehaviour:?}"),
            async || (fake.open_connections() == 0).then_some(()),
        )
        .await;
    }
}

#[tokio::test]
async fn nobody_at_home() {
    let port = std::net::TcpListener::bind(("127.0.0.1", 0))
        .unwrap()
        .local_addr()
        .unwrap()
        .port();
    let fake = FakeSsh::start(Misbehaviour::None).await;
    let mut spec = fake.spec("web-1");
    spec.port = port;
    let refused = error_of(&patient(), &spec).await;
    assert_eq!(refused.code, Code::ConnectionRefused);
    assert!(
        refused.message.contains(&format!("127.0.0.1:{port}")),
        "{refused}"
    );

    spec.host = "no-such-host.invalid".into();
    let unknown = error_of(&patient(), &spec).await;
    assert_eq!(unknown.code, Code::UnknownHost, "{unknown}");
    assert!(unknown.message.contains("no-such-host.invalid"), "{unknown}");
}

#[tokio::test]
async fn a_flood_is_cut_off_while_memory_stays_flat() {
    let fake = FakeSsh::start(Misbehaviour::Floods).await;
    let mut collecting = Collecting::from(vec![target(1, &fake.spec("web-1"))]);
    let error = collecting
        .failure(1, Code::TooMuchOutput)
        .await
        .outcome
        .unwrap_err();
    assert!(error.message.contains("512 KiB"), "{error}");
    eventually("the flood's connection is closed", async || {
        (fake.open_connections() == 0).then_some(())
    })
    .await;
    // What the peer could get rid of before it was cut off: the hub's windows and the kernel's
    // buffers, far from its hundred megabytes.
    assert!(
        fake.bytes_sent() < 16 * 1024 * 1024,
        "{} bytes went out",
        fake.bytes_sent()
    );
    fake.become_like(Misbehaviour::None);
    collecting.success(1).await;
    collecting.stop().await;
}

#[tokio::test]
async fn noise_before_the_probe_is_skipped_within_bounds() {
    let mut noise = b"Last login: never\r\n\x1b[31mred\x1b[0m \xff\xfe\n@gander\n@ gander hello\n".to_vec();
    noise.extend(std::iter::repeat_n(b'.', 40 * 1024));
    let fake = FakeSsh::start(Misbehaviour::Noisy(noise)).await;
    let report = test(&quick(), &fake.spec("web-1")).await.unwrap();
    assert!(report.kernel.is_some());

    let fake = FakeSsh::start(Misbehaviour::Noisy(vec![b'.'; 80 * 1024])).await;
    let error = error_of(&patient(), &fake.spec("web-1")).await;
    assert_eq!(error.code, Code::ProbeFailed, "{error}");
}

#[tokio::test]
async fn a_node_that_falls_silent_is_noticed_and_a_new_connection_tried() {
    let fake = FakeSsh::start(Misbehaviour::SilentAfterPolls(2)).await;
    let mut collecting = Collecting::with_config(quick(), vec![target(1, &fake.spec("web-1"))]);
    collecting.success(1).await;
    collecting.success(1).await;
    fake.become_like(Misbehaviour::SilentAfterLogin);
    let error = collecting.failure(1, Code::Timeout).await.outcome.unwrap_err();
    assert!(error.message.contains("web-1"), "{error}");
    eventually("a new connection is tried", async || {
        (fake.connections() >= 2).then_some(())
    })
    .await;
    fake.become_like(Misbehaviour::None);
    assert!(collecting.success(1).await.contact.is_some());
    collecting.stop().await;
}

#[tokio::test]
async fn silence_is_told_in_time_whatever_a_new_connection_takes() {
    let fake = FakeSsh::start(Misbehaviour::SilentAfterPolls(2)).await;
    let mut collecting = Collecting::with_config(
        CollectConfig {
            connect_timeout: Duration::from_secs(3600),
            poll_timeout: Duration::from_secs(3600),
            ..CollectConfig::default()
        },
        vec![target(1, &fake.spec("web-1"))],
    );
    collecting.success(1).await;
    collecting.success(1).await;
    fake.become_like(Misbehaviour::SilentInKeyExchange);
    // No time limit ends the poll or the new connection: only the silence itself can be told.
    let error = collecting.failure(1, Code::Timeout).await.outcome.unwrap_err();
    assert!(error.message.contains("stopped answering"), "{error}");
    collecting.stop().await;
}

#[tokio::test]
async fn stopping_does_not_wait_for_the_silent() {
    let silent = FakeSsh::start(Misbehaviour::SilentAfterConnect).await;
    let mute = FakeSsh::start(Misbehaviour::SilentAfterPolls(1)).await;
    let mut collecting = Collecting::with_config(
        CollectConfig {
            connect_timeout: Duration::from_secs(3600),
            poll_timeout: Duration::from_secs(3600),
            ..quick()
        },
        vec![target(1, &silent.spec("silent")), target(2, &mute.spec("mute"))],
    );
    collecting.success(2).await;
    eventually("both are waited for", async || {
        (silent.open_connections() == 1).then_some(())
    })
    .await;
    collecting.stop().await;
    eventually("both are let go", async || {
        (silent.open_connections() == 0 && mute.open_connections() == 0).then_some(())
    })
    .await;
}
