//! OpenSSH certificates, of users and of hosts, against a real sshd.

use std::sync::Arc;

use gander_e2e::{
    collecting::{Collecting, target},
    sshd::{KeyPair, RealSshd},
};
use gander_hub::{
    collect::{Authorities, CollectConfig, ConnectSpec, TestReport, fetch_host_key, test},
    model::{CollectError, CollectErrorCode as Code, HostKey, host_authority::HostAuthoritySpec},
};

async fn connect(spec: &ConnectSpec) -> Result<TestReport, CollectError> {
    test(&CollectConfig::default(), spec).await
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

/// A log-in with a key and a certificate of it; the key by itself is let in nowhere.
fn certified(sshd: &RealSshd, key: &KeyPair, authority: &KeyPair, options: &[&str]) -> ConnectSpec {
    let mut spec = sshd.spec("web-1", "deploy");
    spec.credential = key.credential();
    spec.credential.certificate = Some(key.certify(authority, options));
    spec
}

#[tokio::test]
async fn a_user_certificate_lets_keys_of_every_kind_in_where_the_key_by_itself_does_not() {
    let authority = KeyPair::generate("ed25519");
    let sshd = RealSshd::start_trusting(&authority).with_user("deploy");
    let login = sshd.login_name("deploy").to_owned();
    for kind in ["ed25519", "ecdsa", "rsa"] {
        let key = KeyPair::generate(kind);
        let spec = certified(&sshd, &key, &authority, &["-n", &login, "-V", "-1m:+1h"]);
        connect(&spec)
            .await
            .unwrap_or_else(|error| panic!("{kind}: {error}"));
        let mut bare = spec.clone();
        bare.credential.certificate = None;
        assert_refused(connect(&bare).await, Code::KeyRefused, &["web-1"]);
    }
    assert_eq!(
        sshd.log().matches("Accepted publickey").count(),
        3,
        "{}",
        sshd.log()
    );
    // An authority of another kind signs as well.
    let rsa = KeyPair::generate("rsa");
    let sshd = RealSshd::start_trusting(&rsa).with_user("deploy");
    let login = sshd.login_name("deploy").to_owned();
    let key = KeyPair::generate("ed25519");
    let spec = certified(&sshd, &key, &rsa, &["-t", "rsa-sha2-512", "-n", &login]);
    connect(&spec).await.unwrap();
}

#[tokio::test]
async fn a_refused_user_certificate_says_what_is_wrong_with_it() {
    let (authority, stranger) = (KeyPair::generate("ed25519"), KeyPair::generate("ed25519"));
    let sshd = RealSshd::start_trusting(&authority).with_user("deploy");
    let login = sshd.login_name("deploy").to_owned();
    let key = KeyPair::generate("ed25519");
    for (signer, options, needles) in [
        (
            &authority,
            ["-n", &login, "-V", "20200101:20200201"],
            ["a test", "expired on 2020-", "sign a new one"],
        ),
        (
            &authority,
            ["-n", "somebody", "-V", "-1m:+1h"],
            ["for somebody", "ssh-keygen -n", &login],
        ),
        (
            &stranger,
            ["-n", &login, "-V", "-1m:+1h"],
            ["TrustedUserCAKeys", "ssh-ed25519 SHA256:", "a test"],
        ),
    ] {
        let spec = certified(&sshd, &key, signer, &options);
        assert_refused(connect(&spec).await, Code::CertificateRefused, &needles);
    }
    // The certificate of another key is not worth a connection.
    let mut mixed = certified(&sshd, &key, &authority, &["-n", &login]);
    mixed.credential.private_key = KeyPair::generate("ed25519").credential().private_key;
    assert_refused(
        connect(&mixed).await,
        Code::KeyUnreadable,
        &["certificate", "another key"],
    );
}

#[tokio::test]
async fn where_its_certificate_is_refused_the_key_may_still_be_let_in() {
    let (authority, key) = (KeyPair::generate("ed25519"), KeyPair::generate("ed25519"));
    let sshd = RealSshd::start().with_key_user("deploy", &key);
    let mut spec = sshd.spec("web-1", "deploy");
    spec.credential.certificate = Some(key.certify(&authority, &["-n", "deploy"]));
    connect(&spec).await.unwrap();
}

fn authorities(entries: &[(&KeyPair, &str, bool)]) -> Authorities {
    entries
        .iter()
        .map(|(key, patterns, revoked)| {
            let spec = HostAuthoritySpec {
                public_key: HostKey::parse(&key.public).unwrap(),
                patterns: (*patterns).to_owned(),
                revoked: *revoked,
                comment: String::new(),
            };
            Arc::new(spec)
        })
        .filter(|spec| spec.counts_for("127.0.0.1", 22))
        .collect()
}

#[tokio::test]
async fn a_host_certificate_of_a_known_authority_stands_for_a_pinned_key() {
    let (authority, stranger) = (KeyPair::generate("ed25519"), KeyPair::generate("ecdsa"));
    let mut sshd = RealSshd::start().with_password_user("deploy", "secret");
    sshd.certify_host_key(&authority, &["-n", "127.0.0.1", "-V", "-1m:+1h"]);
    let mut spec = sshd.spec("web-1", "deploy");
    let plain = connect(&spec).await.unwrap();
    assert_eq!(plain.host_certificate, None, "nobody was named who may vouch");

    spec.authorities = authorities(&[(&authority, "127.0.*", false)]);
    let report = connect(&spec).await.unwrap();
    let vouched = report.host_certificate.expect("a certificate");
    assert_eq!(vouched.authority, HostKey::parse(&authority.public).unwrap());
    assert_eq!(vouched.key_id, "a test");
    assert_eq!(vouched.principals, ["127.0.0.1"]);
    assert_eq!(vouched.key, sshd.host_key("ed25519"));
    let config = CollectConfig::default();
    let asked = fetch_host_key(
        &config,
        "127.0.0.1",
        sshd.port(),
        None,
        Arc::clone(&spec.authorities),
    );
    assert_eq!(asked.await.unwrap().host_certificate.as_ref(), Some(&vouched));

    // A reinstalled machine with a key of the same authority is the same machine.
    spec.expected_host_key = Some(sshd.host_key("ed25519"));
    sshd.change_host_key();
    sshd.certify_host_key(&authority, &["-n", "127.0.0.1", "-V", "-1m:+1h"]);
    let report = connect(&spec).await.unwrap();
    assert_eq!(report.host_key, sshd.host_key("ed25519"));
    assert!(report.host_certificate.is_some());

    // Whoever is in between cannot just leave the certificate out.
    let mut unknown = spec.clone();
    unknown.expected_host_key = None;
    unknown.authorities = authorities(&[(&stranger, "*", false)]);
    assert_refused(
        connect(&unknown).await,
        Code::HostCertificate,
        &["neither a certificate", "no credential was sent"],
    );

    // Without that authority the pinned key is asked for, as ever: by its kind, past the certificate.
    for others in [Authorities::default(), authorities(&[(&stranger, "*", false)])] {
        spec.authorities = others;
        assert_refused(
            connect(&spec).await,
            Code::HostKeyChanged,
            &["no credential was sent"],
        );
        let mut pinned = spec.clone();
        pinned.expected_host_key = Some(sshd.host_key("ecdsa"));
        assert_eq!(connect(&pinned).await.unwrap().host_certificate, None);
    }
}

#[tokio::test]
async fn a_host_certificate_that_does_not_count_gets_no_credential() {
    let authority = KeyPair::generate("ed25519");
    let mut sshd = RealSshd::start().with_password_user("deploy", "secret");
    let mut spec = sshd.spec("web-1", "deploy");
    spec.authorities = authorities(&[(&authority, "*", false)]);
    for (options, needles) in [
        (
            ["-n", "127.0.0.1", "-V", "20200101:20200201"],
            ["expired on 2020-", "ssh-keygen -h"],
        ),
        (
            ["-n", "web-2.example.org", "-V", "-1m:+1h"],
            ["for web-2.example.org, not for 127.0.0.1", "a test"],
        ),
    ] {
        sshd.certify_host_key(&authority, &options);
        assert_refused(connect(&spec).await, Code::HostCertificate, &needles);
        // Whoever pinned the key does not need the certificate.
        let mut pinned = spec.clone();
        pinned.expected_host_key = Some(sshd.host_key("ed25519"));
        connect(&pinned).await.unwrap();
    }
    let accepted = sshd.log().matches("Accepted password").count();

    sshd.certify_host_key(&authority, &["-n", "127.0.0.1", "-V", "-1m:+1h"]);
    spec.authorities = authorities(&[(&authority, "*", true)]);
    spec.expected_host_key = None;
    // A revoked authority is asked for nothing; its certificate is never shown, and never believed.
    connect(&spec).await.unwrap();
    let host_key = KeyPair {
        private: String::new(),
        public: sshd.host_key("ed25519").public_key,
        passphrase: String::new(),
    };
    spec.authorities = authorities(&[(&authority, "*", false), (&host_key, "*", true)]);
    assert_refused(
        connect(&spec).await,
        Code::HostCertificate,
        &["revoked", &sshd.host_key("ed25519").fingerprint],
    );
    assert_eq!(sshd.log().matches("Accepted password").count(), accepted + 1);
}

#[tokio::test]
async fn what_a_certificate_vouches_for_is_not_pinned_and_the_session_says_who_vouched() {
    let authority = KeyPair::generate("ed25519");
    let mut sshd = RealSshd::start().with_password_user("deploy", "secret");
    sshd.certify_host_key(&authority, &["-n", "127.0.0.1"]);
    let mut spec = sshd.spec("web-1", "deploy");
    spec.authorities = authorities(&[(&authority, "*", false)]);
    let mut collecting = Collecting::from(vec![target(1, &spec)]);
    let reading = collecting.success(1).await;
    let contact = reading.contact.expect("a first reading");
    assert_eq!(contact.host_key, None);
    let session = contact.session.unwrap();
    assert_eq!(
        session.host_certificate.unwrap().authority,
        HostKey::parse(&authority.public).unwrap()
    );
}
