//! Shells, noise, forced commands, old and small servers.

use std::cell::Cell;

use gander_e2e::{
    collecting::{Collecting, target},
    sshd::{KeyPair, RealSshd},
};
use gander_hub::{
    collect::{CollectConfig, test},
    model::CollectErrorCode as Code,
};

/// Polls a server until CPU use is known, which takes two answers on one connection; the second has
/// the rare sections, which come in the script's second line.
async fn assert_collected(what: &str, sshd: &RealSshd, user: &str) {
    let mut collecting = Collecting::from(vec![target(1, &sshd.spec("web-1", user))]);
    let reading = collecting.next().await;
    if let Err(error) = &reading.outcome {
        panic!("{what}: {error}\n{}", sshd.log());
    }
    let (cpu, rare) = (Cell::new(false), Cell::new(false));
    collecting
        .until(&format!("CPU use and TCP states over {what}"), |reading| {
            if let Ok(snapshot) = &reading.outcome {
                cpu.set(cpu.get() || (snapshot.cpu.is_some() && snapshot.memory.is_some()));
                rare.set(rare.get() || snapshot.tcp_states.is_some());
            }
            cpu.get() && rare.get()
        })
        .await;
    collecting.stop().await;
}

#[tokio::test]
async fn every_login_shell_will_do() {
    for shell in [
        "/bin/sh",
        "/bin/bash",
        "/bin/ksh",
        "/bin/mksh",
        "/usr/bin/fish",
        "/bin/csh",
        "/bin/tcsh",
        "/usr/bin/zsh",
    ] {
        let sshd = RealSshd::start().with_shell_user("deploy", "secret", shell);
        assert_collected(shell, &sshd, "deploy").await;
    }
}

#[tokio::test]
async fn busybox_ash_with_nothing_but_busybox_will_do() {
    // sshd runs SHELL -c COMMAND: a link called ash makes busybox the shell of that name.
    let dir = tempfile::Builder::new().prefix("gander-ash-").tempdir().unwrap();
    std::os::unix::fs::symlink("/bin/busybox", dir.path().join("ash")).unwrap();
    std::fs::set_permissions(dir.path(), std::os::unix::fs::PermissionsExt::from_mode(0o755)).unwrap();
    let shell = dir.path().join("ash").display().to_string();
    let sshd = RealSshd::start().with_shell_user("deploy", "secret", &shell);
    assert_collected("busybox ash", &sshd, "deploy").await;
}

#[tokio::test]
async fn noise_of_start_up_files_and_banners_does_no_harm() {
    let banner = tempfile::NamedTempFile::new().unwrap();
    std::fs::write(banner.path(), "Unauthorised access is prohibited!\n".repeat(20)).unwrap();
    let rc =
        "echo 'welcome to the machine'\nprintf 'no newline at the end'\necho '@gander but not really' >&2\n";
    let sshd = RealSshd::start_with(&[&format!("Banner {}", banner.path().display())])
        .with_shell_user("deploy", "secret", "/bin/bash")
        .with_home_file("deploy", ".bashrc", rc);
    assert_collected("a noisy .bashrc", &sshd, "deploy").await;
}

#[tokio::test]
async fn a_key_locked_to_the_probe_will_do() {
    let script = tempfile::Builder::new()
        .prefix("gander-probe-")
        .tempfile()
        .unwrap();
    std::fs::write(script.path(), gander_probe::script::SCRIPT).unwrap();
    std::fs::set_permissions(script.path(), std::os::unix::fs::PermissionsExt::from_mode(0o755)).unwrap();
    let key = KeyPair::generate("ed25519");
    let options = format!("restrict,command=\"/bin/sh {}\"", script.path().display());
    let sshd = RealSshd::start().with_restricted_key_user("deploy", &key, &options);
    assert_collected("a forced command", &sshd, "deploy").await;

    let forced = format!("ForceCommand /bin/sh {}", script.path().display());
    let sshd = RealSshd::start_with(&[&forced]).with_password_user("deploy", "secret");
    assert_collected("ForceCommand", &sshd, "deploy").await;
}

#[tokio::test]
async fn a_shell_that_runs_nothing_is_quoted() {
    let sshd = RealSshd::start().with_shell_user("deploy", "secret", "/usr/sbin/nologin");
    let error = test(&CollectConfig::default(), &sshd.spec("web-1", "deploy"))
        .await
        .unwrap_err();
    assert_eq!(error.code, Code::ProbeFailed, "{error}");
    assert!(error.message.contains("not available"), "{error}");
}

#[tokio::test]
async fn an_sshd_as_old_as_centos_7_will_do() {
    let sshd = RealSshd::start_with(&[
        "KexAlgorithms curve25519-sha256,curve25519-sha256@libssh.org,ecdh-sha2-nistp256,diffie-hellman-group-exchange-sha256",
        "Ciphers chacha20-poly1305@openssh.com,aes128-ctr,aes192-ctr,aes256-ctr",
        "MACs umac-64-etm@openssh.com,hmac-sha2-256-etm@openssh.com,hmac-sha2-256,hmac-sha1",
        "HostKeyAlgorithms ecdsa-sha2-nistp256,ssh-ed25519,rsa-sha2-256,ssh-rsa",
    ])
    .with_password_user("deploy", "secret");
    assert_collected("OpenSSH 7.4's algorithms", &sshd, "deploy").await;
}

#[tokio::test]
async fn a_server_that_is_all_fips_and_one_without_aead_will_do() {
    let sshd = RealSshd::start_with(&[
        "KexAlgorithms ecdh-sha2-nistp384",
        "Ciphers aes256-gcm@openssh.com",
    ])
    .with_password_user("deploy", "secret");
    assert_collected("NIST curves", &sshd, "deploy").await;

    let sshd = RealSshd::start_with(&[
        "KexAlgorithms diffie-hellman-group14-sha256",
        "Ciphers aes128-ctr",
        "MACs hmac-sha2-512",
    ])
    .with_password_user("deploy", "secret");
    assert_collected("finite fields and CTR", &sshd, "deploy").await;
}

#[tokio::test]
async fn a_server_without_a_common_algorithm_is_named_with_what_it_offers() {
    let sshd = RealSshd::start_with(&["Ciphers aes128-cbc"]).with_password_user("deploy", "secret");
    let error = test(&CollectConfig::default(), &sshd.spec("web-1", "deploy"))
        .await
        .unwrap_err();
    assert_eq!(error.code, Code::Protocol, "{error}");
    assert!(
        error.message.contains("cipher") && error.message.contains("aes128-cbc"),
        "{error}"
    );
}

#[tokio::test]
async fn dropbear_will_do() {
    let key = KeyPair::generate("rsa");
    let sshd = RealSshd::start_dropbear()
        .with_password_user("deploy", "secret")
        .with_key_user("keyed", &key);
    assert_collected("dropbear", &sshd, "deploy").await;
    assert_collected("dropbear with an RSA key", &sshd, "keyed").await;
}

#[tokio::test]
async fn keys_are_exchanged_anew_without_a_gap() {
    // sshd asks for new keys every few kilobytes: several times in a dozen polls.
    let sshd = RealSshd::start_with(&["RekeyLimit 16K"]).with_password_user("deploy", "secret");
    let mut collecting = Collecting::from(vec![target(1, &sshd.spec("web-1", "deploy"))]);
    assert!(collecting.success(1).await.contact.is_some());
    for _ in 0..30 {
        collecting.refresh(1).await;
        let reading = collecting.next().await;
        assert!(reading.outcome.is_ok(), "{:?}", reading.outcome);
        assert!(reading.contact.is_none(), "the connection was made anew");
    }
    collecting.stop().await;
    assert_eq!(
        sshd.log().matches("Accepted password").count(),
        1,
        "{}",
        sshd.log()
    );
}
