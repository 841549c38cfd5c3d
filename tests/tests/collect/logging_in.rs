//! Every way to log in, every way to be refused, and what the hub says about it.

use gander_e2e::sshd::{KeyPair, RealSshd};
use gander_hub::{
    collect::{Authorities, CollectConfig, ConnectSpec, TestReport, fetch_host_key, parse_private_key, test},
    model::{CollectError, CollectErrorCode as Code, Secret, server::SshCredential},
};

async fn connect(spec: &ConnectSpec) -> Result<TestReport, CollectError> {
    test(&CollectConfig::default(), spec).await
}

/// Connects, and checks that the report is about this machine.
#[track_caller]
fn assert_reached(outcome: Result<TestReport, CollectError>) -> TestReport {
    let report = outcome.unwrap_or_else(|error| panic!("{:?}: {error}", error.code));
    let kernel = std::fs::read_to_string("/proc/sys/kernel/osrelease").unwrap();
    let hostname = std::fs::read_to_string("/proc/sys/kernel/hostname").unwrap();
    assert_eq!(report.kernel.as_deref(), Some(kernel.trim()));
    assert_eq!(report.hostname.as_deref(), Some(hostname.trim()));
    report
}

#[track_caller]
fn assert_refused(outcome: Result<TestReport, CollectError>, code: Code, needles: &[&str]) {
    let error = outcome.expect_err("a refusal");
    assert_eq!(error.code, code, "{error}");
    for needle in needles {
        assert!(
            error.message.contains(needle),
            "{needle:?} is not in {:?}",
            error.message
        );
    }
}

#[tokio::test]
async fn by_password() {
    let sshd = RealSshd::start().with_password_user("deploy", "pa ss'wörd");
    let report = assert_reached(connect(&sshd.spec("web-1", "deploy")).await);
    assert_eq!(report.host_key, sshd.host_key("ed25519"));
    let os_release = std::fs::read_to_string("/etc/os-release").unwrap();
    assert!(
        os_release.contains(report.os.as_deref().unwrap()),
        "{:?}",
        report.os
    );
}

#[tokio::test]
async fn by_keys_of_every_kind_and_format_locked_or_not() {
    let mut sshd = RealSshd::start();
    let mut names = Vec::new();
    for kind in ["ed25519", "ecdsa", "rsa"] {
        for format in ["RFC4716", "PEM", "PKCS8"] {
            if kind == "ed25519" && format != "RFC4716" {
                // ssh-keygen writes these keys in its own format whatever it is told.
                continue;
            }
            for passphrase in ["", "open sesame"] {
                let key = KeyPair::generate_as(kind, format, passphrase);
                let name = format!("{kind} {format} {passphrase:?}");
                if (kind, format, passphrase.is_empty()) == ("ecdsa", "PEM", false) {
                    // The one kind of file the hub cannot open; it says how to make it one it can.
                    let error = parse_private_key(&key.private, Some(passphrase)).expect_err(&name);
                    assert!(error.message.contains("ssh-keygen -p"), "{error}");
                    continue;
                }
                let info = parse_private_key(&key.private, Some(passphrase))
                    .unwrap_or_else(|error| panic!("{name}: {error}"));
                assert_eq!(info.public_key, key.public.trim_end(), "{name}");
                sshd = sshd.with_key_user(&name.replace(|letter: char| !letter.is_alphanumeric(), "-"), &key);
                names.push(name);
            }
        }
    }
    for name in names {
        let user = name.replace(|letter: char| !letter.is_alphanumeric(), "-");
        let outcome = connect(&sshd.spec(&name, &user)).await;
        assert_reached(outcome);
    }
}

#[tokio::test]
async fn by_keyboard_interactive() {
    let sshd = RealSshd::start_with(&["PasswordAuthentication no", "KbdInteractiveAuthentication yes"])
        .with_password_user("deploy", "secret");
    assert_reached(connect(&sshd.spec("web-1", "deploy")).await);

    let mut wrong = sshd.spec("web-1", "deploy");
    wrong.credential.password = Some(Secret::new("wrong".into()));
    assert_refused(connect(&wrong).await, Code::PasswordRefused, &["web-1"]);
}

#[tokio::test]
async fn by_key_and_password_together() {
    let key = KeyPair::generate("ed25519");
    let sshd = RealSshd::start_with(&["AuthenticationMethods publickey,password"])
        .with_shell_user("deploy", "secret", "/bin/sh")
        .with_key_for("deploy", &key, "");
    let mut spec = sshd.spec("web-1", "deploy");
    spec.credential.password = Some(Secret::new("secret".into()));
    assert_reached(connect(&spec).await);

    spec.credential.password = None;
    assert_refused(connect(&spec).await, Code::LoginMethod, &["one more", "password"]);
}

#[tokio::test]
async fn a_wrong_password_is_shown_once_and_named() {
    let sshd = RealSshd::start().with_password_user("deploy", "secret");
    let mut spec = sshd.spec("web-1", "deploy");
    spec.credential.password = Some(Secret::new("wrong".into()));
    let address = format!("127.0.0.1:{}", sshd.port());
    assert_refused(
        connect(&spec).await,
        Code::PasswordRefused,
        &["web-1", &address, sshd.login_name("deploy")],
    );
    assert_eq!(sshd.log().matches("Failed password").count(), 1, "{}", sshd.log());
}

#[tokio::test]
async fn a_refused_key_is_named_with_its_fingerprint_and_the_file_to_put_it_in() {
    let (known, other) = (KeyPair::generate("ed25519"), KeyPair::generate("ed25519"));
    let sshd = RealSshd::start().with_key_user("deploy", &known);
    let mut spec = sshd.spec("web-1", "deploy");
    spec.credential = other.credential();
    let info = parse_private_key(&other.private, None).unwrap();
    let login = sshd.login_name("deploy");
    let file = format!("~{login}/.ssh/authorized_keys on 127.0.0.1");
    assert_refused(
        connect(&spec).await,
        Code::KeyRefused,
        &["web-1", &info.fingerprint, login, &file],
    );
}

#[tokio::test]
async fn a_method_the_server_does_not_take_is_named() {
    let sshd = RealSshd::start_with(&["PasswordAuthentication no"]).with_password_user("deploy", "secret");
    assert_refused(
        connect(&sshd.spec("web-1", "deploy")).await,
        Code::LoginMethod,
        &["web-1", "publickey"],
    );

    let key = KeyPair::generate("ed25519");
    let sshd = RealSshd::start_with(&["PubkeyAuthentication no"]).with_key_user("deploy", &key);
    assert_refused(
        connect(&sshd.spec("web-1", "deploy")).await,
        Code::LoginMethod,
        &["web-1", "password"],
    );
}

#[tokio::test]
async fn what_cannot_work_is_not_even_tried() {
    let sshd = RealSshd::start().with_password_user("deploy", "secret");
    let mut spec = sshd.spec("web-1", "deploy");
    spec.credential = SshCredential::default();
    assert_refused(connect(&spec).await, Code::NoCredential, &["web-1"]);

    let locked = KeyPair::generate_locked("ed25519", "right");
    spec.credential = SshCredential {
        passphrase: Some(Secret::new("wrong".into())),
        ..locked.credential()
    };
    assert_refused(
        connect(&spec).await,
        Code::KeyUnreadable,
        &["web-1", "passphrase is wrong"],
    );
    assert!(!sshd.log().contains(sshd.login_name("deploy")), "{}", sshd.log());
}

#[test]
fn unusable_private_keys_are_told_apart() {
    let plain = KeyPair::generate("ed25519");
    let locked = KeyPair::generate_locked("ed25519", "right");
    let locked_pem = KeyPair::generate_as("rsa", "PEM", "right");
    let cut: String = plain.private.lines().take(3).collect::<Vec<_>>().join("\n");
    let cases: [(&str, Option<&str>, &str); 8] = [
        (&plain.public, None, "this is a public key"),
        ("hello", None, "this is no private key"),
        ("", None, "this is no private key"),
        (&cut, None, "its end is missing"),
        (&locked.private, None, "protected by a passphrase"),
        (&locked.private, Some("wrong"), "passphrase is wrong"),
        (&locked_pem.private, None, "protected by a passphrase"),
        (&locked_pem.private, Some("wrong"), "passphrase is wrong"),
    ];
    for (key, passphrase, expected) in cases {
        let error = parse_private_key(key, passphrase).expect_err(expected);
        assert_eq!(error.code, Code::KeyUnreadable);
        assert!(
            error.message.contains(expected),
            "{:?} does not contain {expected:?}",
            error.message
        );
    }
    let pasted = format!("\r\n   {}\r\n\r\n", plain.private.replace('\n', "\r\n  "));
    assert!(
        parse_private_key(&pasted, None).is_ok(),
        "white space around is no mistake"
    );
    assert!(
        parse_private_key(&plain.private, Some("needless")).is_ok(),
        "nor is a needless passphrase"
    );
}

#[tokio::test]
async fn a_changed_host_key_gets_no_credential_and_both_fingerprints_are_named() {
    let mut sshd = RealSshd::start().with_password_user("deploy", "secret");
    let old = sshd.host_key("ed25519");
    let mut spec = sshd.spec("web-1", "deploy");
    spec.expected_host_key = Some(old.clone());
    assert_reached(connect(&spec).await);

    sshd.change_host_key();
    let new = sshd.host_key("ed25519");
    let before = sshd.log().matches("Accepted password").count();
    assert_refused(
        connect(&spec).await,
        Code::HostKeyChanged,
        &[
            "web-1",
            &old.fingerprint,
            &new.fingerprint,
            "no credential was sent",
        ],
    );
    assert_eq!(sshd.log().matches("Accepted password").count(), before);
    assert!(!sshd.log().contains("Failed"), "{}", sshd.log());
}

#[tokio::test]
async fn the_pinned_kind_of_key_is_asked_for() {
    let sshd = RealSshd::start().with_password_user("deploy", "secret");
    for kind in ["rsa", "ecdsa", "ed25519"] {
        let mut spec = sshd.spec("web-1", "deploy");
        spec.expected_host_key = Some(sshd.host_key(kind));
        let report = assert_reached(connect(&spec).await);
        assert_eq!(report.host_key, sshd.host_key(kind));
    }
}

#[tokio::test]
async fn the_host_key_can_be_asked_for_without_logging_in() {
    let sshd = RealSshd::start().with_password_user("deploy", "secret");
    let key = fetch_host_key(
        &CollectConfig::default(),
        "127.0.0.1",
        sshd.port(),
        None,
        Authorities::default(),
    )
    .await
    .unwrap();
    assert_eq!(key.host_certificate, None);
    assert_eq!(key.host_key, sshd.host_key("ed25519"));
    assert!(!sshd.log().contains("Accepted"), "{}", sshd.log());

    let through = fetch_host_key(
        &CollectConfig::default(),
        "127.0.0.1",
        sshd.port(),
        Some(&sshd.spec("bastion", "deploy")),
        Authorities::default(),
    )
    .await;
    assert_eq!(through.unwrap().host_key, sshd.host_key("ed25519"));
}

#[tokio::test]
async fn through_jump_hosts_whose_keys_are_checked_too() {
    let key = KeyPair::generate("ed25519");
    let outer = RealSshd::start().with_key_user("jump", &key);
    let inner = RealSshd::start().with_password_user("jump", "hop");
    let target = RealSshd::start().with_password_user("deploy", "secret");
    let mut first = outer.spec("outer", "jump");
    first.expected_host_key = Some(outer.host_key("ed25519"));
    let mut second = inner.spec("inner", "jump");
    second.jump = Some(Box::new(first));
    let mut spec = target.spec("web-1", "deploy");
    spec.jump = Some(Box::new(second));
    let report = assert_reached(connect(&spec).await);
    assert_eq!(report.host_key, target.host_key("ed25519"));

    let first = spec.jump.as_mut().unwrap().jump.as_mut().unwrap();
    first.expected_host_key = Some(inner.host_key("ed25519"));
    let error = connect(&spec).await.unwrap_err();
    assert_eq!(error.code, Code::JumpHost);
    assert_eq!(error.params["cause"], "host_key_changed");
    assert!(
        error.message.contains("web-1") && error.message.contains("outer"),
        "{error}"
    );
}

#[tokio::test]
async fn a_jump_host_that_cannot_help_is_told_apart_from_one_that_will_not() {
    let dead_port = std::net::TcpListener::bind(("127.0.0.1", 0))
        .unwrap()
        .local_addr()
        .unwrap()
        .port();
    let jump = RealSshd::start().with_password_user("jump", "hop");
    let target = RealSshd::start().with_password_user("deploy", "secret");
    let mut spec = target.spec("web-1", "deploy");
    spec.jump = Some(Box::new(jump.spec("bastion", "jump")));
    spec.port = dead_port;
    assert_refused(
        connect(&spec).await,
        Code::JumpHost,
        &["bastion", "web-1", "cannot connect"],
    );

    let strict = RealSshd::start_with(&["AllowTcpForwarding no"]).with_password_user("jump", "hop");
    spec.port = target.port();
    spec.jump = Some(Box::new(strict.spec("bastion", "jump")));
    assert_refused(
        connect(&spec).await,
        Code::JumpHost,
        &["bastion", "AllowTcpForwarding"],
    );

    spec.jump.as_mut().unwrap().credential.password = Some(Secret::new("wrong".into()));
    let error = connect(&spec).await.unwrap_err();
    assert_eq!(
        (error.code, error.params["cause"].as_str()),
        (Code::JumpHost, "password_refused")
    );
}
