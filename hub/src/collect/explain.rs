//! Every sentence a failed collection can say, in one place: which server, what happened,
//! and what to do about it.
//!
//! In goes what was observed, out comes a [`CollectError`]: a code for programs, an English
//! sentence for people, and the values of the sentence for other languages. No I/O here.

use std::{collections::BTreeMap, fmt::Display, time::Duration};

use super::ConnectSpec;
use crate::model::{CollectError, CollectErrorCode as Code};

mod login;

pub(crate) use login::AgentTrouble;

/// How far a connection had come when it failed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Stage {
    /// Reaching the port.
    Connect,
    /// Exchanging keys.
    Handshake,
    /// Logging in.
    Login,
    /// Starting the probe.
    Probe,
    /// Answering a poll.
    Answer,
}

impl Stage {
    fn as_str(self) -> &'static str {
        match self {
            Self::Connect => "connect",
            Self::Handshake => "handshake",
            Self::Login => "login",
            Self::Probe => "probe",
            Self::Answer => "answer",
        }
    }
}

/// Speaks about one server.
#[derive(Clone, Copy)]
pub(crate) struct About<'a> {
    name: &'a str,
    host: &'a str,
    port: u16,
    user: &'a str,
    jump: Option<&'a str>,
}

impl<'a> From<&'a ConnectSpec> for About<'a> {
    fn from(spec: &'a ConnectSpec) -> Self {
        Self {
            name: &spec.name,
            host: &spec.host,
            port: spec.port,
            user: &spec.user,
            jump: spec.jump.as_deref().map(|jump| jump.name.as_str()),
        }
    }
}

impl About<'_> {
    fn error(&self, code: Code, message: String, extra: &[(&str, &dyn Display)]) -> CollectError {
        let mut params = BTreeMap::from([
            ("name".to_owned(), self.name.to_owned()),
            ("host".to_owned(), self.host.to_owned()),
            ("port".to_owned(), self.port.to_string()),
            ("user".to_owned(), self.user.to_owned()),
        ]);
        if let Some(jump) = self.jump {
            params.insert("jump".to_owned(), jump.to_owned());
        }
        for (key, value) in extra {
            params.insert((*key).to_owned(), value.to_string());
        }
        CollectError {
            code,
            message,
            params,
        }
    }

    /// Whether its name is no more than its address: it is tried before it is enrolled.
    fn is_nameless(&self) -> bool {
        self.name == self.host || self.name == address(self.host, self.port)
    }

    /// `web-1: ` before a sentence, unless the sentence says as much by itself.
    fn lead(&self) -> String {
        if self.is_nameless() {
            String::new()
        } else {
            format!("{}: ", self.name)
        }
    }

    /// `10.0.0.5:22`, `[fe80::1]:22`, with the jump host if there is one.
    fn place(&self) -> String {
        let address = address(self.host, self.port);
        match self.jump {
            Some(jump) => format!("{address} (through {jump})"),
            None => address,
        }
    }

    pub(crate) fn unknown_host(&self, detail: &str) -> CollectError {
        let (lead, host) = (self.lead(), self.host);
        self.error(
            Code::UnknownHost,
            format!("{lead}the host name {host} has no address ({detail}): correct the name or enter the address itself"),
            &[("detail", &detail)],
        )
    }

    pub(crate) fn connection_refused(&self) -> CollectError {
        let (lead, place) = (self.lead(), self.place());
        self.error(
            Code::ConnectionRefused,
            format!("{lead}nothing listens on {place} (connection refused): check that sshd runs there and that the port is right"),
            &[],
        )
    }

    pub(crate) fn no_route(&self, detail: &str) -> CollectError {
        let (lead, place) = (self.lead(), self.place());
        self.error(
            Code::NoRoute,
            format!("{lead}the hub cannot reach {place} ({detail}): check the address, the routes and the firewalls in between"),
            &[("detail", &detail)],
        )
    }

    pub(crate) fn timeout(&self, stage: Stage, limit: Duration) -> CollectError {
        let (lead, place, user) = (self.lead(), self.place(), self.user);
        let limit = seconds(limit);
        let message = match stage {
            Stage::Connect => format!(
                "{lead}no answer from {place} within {limit}: check that the machine is up and that no firewall drops the hub's packets"
            ),
            Stage::Handshake => format!(
                "{lead}{place} takes connections but did not finish the SSH handshake within {limit}: check that it is sshd's port and that the machine is not overloaded"
            ),
            Stage::Login => format!(
                "{lead}{place} did not decide about the log-in of {user} within {limit}: check PAM, LDAP or DNS on that machine (UseDNS)"
            ),
            Stage::Probe => format!(
                "{lead}{user} is logged in on {place}, but the probe did not start within {limit}: check {user}'s login shell and its start-up files"
            ),
            Stage::Answer => format!(
                "{lead}{place} stopped answering: no reply to a poll within {limit}; the machine hangs, is overloaded, or was cut off"
            ),
        };
        self.error(
            Code::Timeout,
            message,
            &[("stage", &stage.as_str()), ("limit", &limit)],
        )
    }

    pub(crate) fn protocol(&self, detail: &str) -> CollectError {
        let (lead, place) = (self.lead(), self.place());
        self.error(
            Code::Protocol,
            format!(
                "{lead}{place} does not speak SSH as the hub does ({detail}): check that it is sshd's port"
            ),
            &[("detail", &detail)],
        )
    }

    pub(crate) fn no_common_algorithm(&self, kind: &str, theirs: &str) -> CollectError {
        let (lead, place) = (self.lead(), self.place());
        self.error(
            Code::Protocol,
            format!("{lead}{place} and the hub share no {kind} algorithm (it offers {theirs}): update its sshd, or allow a modern one in its sshd_config"),
            &[("kind", &kind), ("offered", &theirs)],
        )
    }

    /// The way to this server fails at the jump host `jump`, because of `cause`.
    pub(crate) fn jump_host(&self, jump: &str, cause: &CollectError) -> CollectError {
        let name = self.name;
        self.error(
            Code::JumpHost,
            format!(
                "{name} cannot be reached through its jump host {jump}: {}",
                cause.message
            ),
            &[
                ("jump", &jump),
                ("cause", &cause.code.as_str()),
                ("cause_message", &cause.message),
            ],
        )
    }

    /// The jump host is fine, but would not or could not connect to this server.
    pub(crate) fn jump_forward(&self, jump: &str, forbidden: bool, detail: &str) -> CollectError {
        let (lead, address) = (self.lead(), address(self.host, self.port));
        let (cause, message) = if forbidden {
            (
                "forbidden",
                format!(
                    "{lead}the jump host {jump} forbids forwarding to {address}: set AllowTcpForwarding (and PermitOpen) in its sshd_config"
                ),
            )
        } else {
            (
                "unreachable",
                format!(
                    "{lead}the jump host {jump} cannot connect to {address} ({detail}): check that it is up and reachable from {jump}"
                ),
            )
        };
        self.error(
            Code::JumpHost,
            message,
            &[("jump", &jump), ("cause", &cause), ("detail", &detail)],
        )
    }

    /// The chain of jump hosts comes back to a server it already passed.
    pub(crate) fn jump_cycle(&self, chain: &[String]) -> CollectError {
        let (lead, chain) = (self.lead(), chain.join(" → "));
        self.error(
            Code::JumpHost,
            format!(
                "{lead}its jump hosts form a circle ({chain}): give one of them another jump host or none"
            ),
            &[("cause", &"cycle"), ("chain", &chain)],
        )
    }

    /// A jump host was deleted, or is no SSH server.
    pub(crate) fn jump_missing(&self, who: &str, jump: &str) -> CollectError {
        let lead = self.lead();
        self.error(
            Code::JumpHost,
            format!("{lead}the jump host of {who} ({jump}) is not a server the hub can log in to over SSH: choose another one or none"),
            &[("cause", &"missing"), ("jump", &jump)],
        )
    }

    pub(crate) fn disconnected(&self, stage: Stage, detail: &str) -> CollectError {
        let (lead, place, user) = (self.lead(), self.place(), self.user);
        let detail = if detail.is_empty() {
            "without a word"
        } else {
            detail
        };
        let message = match stage {
            Stage::Connect | Stage::Handshake => format!(
                "{lead}{place} closed the connection before the SSH handshake ended ({detail}): MaxStartups, PerSourcePenalties, fail2ban or hosts.deny may be turning the hub away"
            ),
            Stage::Login => format!(
                "{lead}{place} closed the connection while {user} logged in ({detail}): check MaxAuthTries, AllowUsers and the log of its sshd"
            ),
            Stage::Probe => format!(
                "{lead}{place} closed the connection before the probe started ({detail}): check that {user} may open sessions (PAM, limits, MaxSessions)"
            ),
            Stage::Answer => format!("{lead}the connection to {place} ended ({detail})"),
        };
        self.error(
            Code::Disconnected,
            message,
            &[("stage", &stage.as_str()), ("detail", &detail)],
        )
    }

    /// `excerpt` is what came instead of the probe's hello.
    pub(crate) fn probe_failed(&self, reason: &str, excerpt: &str) -> CollectError {
        let (lead, user, host) = (self.lead(), self.user, self.host);
        let said = if excerpt.is_empty() {
            "it printed nothing".to_owned()
        } else {
            format!("it printed: {excerpt}")
        };
        self.error(
            Code::ProbeFailed,
            format!("{lead}the shell of {user} on {host} did not run the probe ({reason}; {said}): {user} needs a working login shell with /bin/sh, or the probe as its forced command"),
            &[("reason", &reason), ("excerpt", &excerpt)],
        )
    }

    pub(crate) fn too_much_output(&self, limit_bytes: usize) -> CollectError {
        let (lead, limit) = (self.lead(), bytes(limit_bytes));
        self.error(
            Code::TooMuchOutput,
            format!("{lead}it sent more than {limit} in one poll and was cut off: look for a login script that never stops printing, or for thousands of mounts or devices"),
            &[("limit_bytes", &limit_bytes)],
        )
    }

    pub(crate) fn not_linux(&self, system: &str) -> CollectError {
        let (lead, host) = (self.lead(), self.host);
        self.error(
            Code::NotLinux,
            format!("{lead}{host} runs {system}; gander reads Linux only: remove this server"),
            &[("system", &system)],
        )
    }

    /// `silence` is how long nothing has come; `None`: nothing since the hub started.
    pub(crate) fn agent_silent(&self, silence: Option<Duration>) -> CollectError {
        let lead = self.lead();
        let silence = silence.map(|silence| seconds(Duration::from_secs(silence.as_secs())));
        let since = silence.as_ref().map_or_else(
            || "since the hub started".to_owned(),
            |span| format!("for {span}"),
        );
        self.error(
            Code::AgentSilent,
            format!("{lead}its agent has sent nothing {since}: check that the machine is up, that gander-agent runs there (systemctl status gander-agent), and that it reaches the hub's gRPC port"),
            &[("silence", &silence.as_deref().unwrap_or_default())],
        )
    }

    pub(crate) fn local(&self, reason: &str) -> CollectError {
        let lead = self.lead();
        self.error(
            Code::Local,
            format!("{lead}the hub's own machine got in the way: {reason}"),
            &[("reason", &reason)],
        )
    }
}

/// The same error with what the hub does about it by itself: true of regular collection, not of
/// a test that somebody runs.
pub(crate) fn while_collecting(mut error: CollectError) -> CollectError {
    match error.code {
        Code::PasswordRefused => error
            .message
            .push_str("; the hub tries again only rarely, so as not to be banned"),
        Code::Disconnected if error.params.get("stage").is_some_and(|stage| stage == "answer") => {
            error.message.push_str("; the hub connects again by itself");
        }
        _ => {}
    }
    error
}

/// About a server that its agent reads.
pub(crate) fn about_agent_of<'a>(name: &'a str, host: &'a str) -> About<'a> {
    About {
        name,
        host,
        port: 0,
        user: "",
        jump: None,
    }
}

/// About the ssh-agent beside the hub, whatever it is asked for.
pub(crate) fn about_the_agent() -> About<'static> {
    About {
        name: "localhost",
        host: "localhost",
        port: 0,
        user: "",
        jump: None,
    }
}

/// About the machine the hub itself runs on.
pub(crate) fn about_this_machine(name: &str) -> About<'_> {
    About {
        name,
        host: "localhost",
        port: 0,
        user: "",
        jump: None,
    }
}

/// `host:port`, an IPv6 address in brackets.
pub(crate) fn address(host: &str, port: u16) -> String {
    if host.contains(':') {
        format!("[{host}]:{port}")
    } else {
        format!("{host}:{port}")
    }
}

fn seconds(duration: Duration) -> String {
    if duration.subsec_millis() == 0 {
        format!("{} s", duration.as_secs())
    } else {
        format!("{:.1} s", duration.as_secs_f64())
    }
}

fn bytes(count: usize) -> String {
    if count >= 1024 && count.is_multiple_of(1024) {
        format!("{} KiB", count / 1024)
    } else {
        format!("{count} bytes")
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;
    use crate::{
        collect::ssh::certificate::Refusal,
        model::{Certificate, HostKey, Timestamp, server::SshCredential},
    };

    fn spec() -> ConnectSpec {
        ConnectSpec {
            name: "web-1".into(),
            host: "10.0.0.5".into(),
            port: 2222,
            user: "deploy".into(),
            credential: SshCredential::default(),
            expected_host_key: None,
            authorities: std::sync::Arc::default(),
            jump: None,
        }
    }

    fn certificate() -> Certificate {
        Certificate {
            key_id: "fleet-2026".into(),
            serial: 0,
            principals: vec!["root".into()],
            valid_after: None,
            valid_before: None,
            key: key("SHA256:subject"),
            authority: key("SHA256:authority"),
        }
    }

    fn key(fingerprint: &str) -> HostKey {
        HostKey {
            algorithm: "ssh-ed25519".into(),
            fingerprint: fingerprint.into(),
            public_key: "ssh-ed25519 AAAA".into(),
        }
    }

    /// One row per sentence: the error, and what a person must find in it besides the server's name.
    fn table(about: About<'_>) -> Vec<(CollectError, Vec<&'static str>)> {
        let ten = Duration::from_secs(10);
        let refused = about.connection_refused();
        vec![
            (
                about.unknown_host("no such name"),
                vec!["10.0.0.5", "no such name", "correct the name"],
            ),
            (
                about.connection_refused(),
                vec!["10.0.0.5:2222", "connection refused", "sshd runs"],
            ),
            (
                about.no_route("network unreachable"),
                vec!["10.0.0.5:2222", "network unreachable", "firewalls"],
            ),
            (
                about.timeout(Stage::Connect, ten),
                vec!["10.0.0.5:2222", "10 s", "firewall"],
            ),
            (about.timeout(Stage::Handshake, ten), vec!["handshake", "10 s"]),
            (
                about.timeout(Stage::Login, Duration::from_millis(2500)),
                vec!["deploy", "2.5 s", "PAM"],
            ),
            (about.timeout(Stage::Probe, ten), vec!["login shell"]),
            (about.timeout(Stage::Answer, ten), vec!["poll", "10 s"]),
            (about.protocol("got HTTP"), vec!["10.0.0.5:2222", "got HTTP"]),
            (
                about.no_common_algorithm("key exchange", "dh-1"),
                vec!["key exchange", "dh-1", "sshd_config"],
            ),
            (
                about.password_refused(),
                vec!["deploy", "10.0.0.5:2222", "correct the password"],
            ),
            (
                about.key_refused("ed25519", "SHA256:abc"),
                vec!["ed25519 SHA256:abc", "~deploy/.ssh/authorized_keys on 10.0.0.5"],
            ),
            (about.key_unreadable("wrong passphrase"), vec!["wrong passphrase"]),
            (
                about.certificate_refused(&certificate(), Refusal::Expired(Timestamp(0))),
                vec!["fleet-2026", "expired on 1970-01-01", "sign a new one"],
            ),
            (
                about.certificate_refused(&certificate(), Refusal::NotYet(Timestamp(0))),
                vec!["only from 1970-01-01", "check the clocks"],
            ),
            (
                about.certificate_refused(&certificate(), Refusal::Principals),
                vec!["for root", "ssh-keygen -n deploy"],
            ),
            (
                about.certificate_refused(&certificate(), Refusal::Authority),
                vec!["TrustedUserCAKeys", "SHA256:authority"],
            ),
            (about.ssh_agent(&AgentTrouble::NotSet), vec!["ssh.agent_socket"]),
            (
                about.ssh_agent(&AgentTrouble::Silent {
                    socket: "/run/agent".into(),
                    detail: "no such file".into(),
                }),
                vec!["/run/agent", "no such file", "check that it runs"],
            ),
            (about.ssh_agent(&AgentTrouble::Empty), vec!["ssh-add"]),
            (
                about.ssh_agent(&AgentTrouble::NoSuchKey {
                    fingerprint: "SHA256:a".into(),
                    held: "SHA256:b".into(),
                }),
                vec!["SHA256:a", "it holds SHA256:b", "ssh-add"],
            ),
            (
                about.ssh_agent(&AgentTrouble::NoSignature {
                    detail: "refused".into(),
                }),
                vec!["refused", "not locked"],
            ),
            (
                about.host_certificate(&certificate(), "it expired"),
                vec![
                    "fleet-2026",
                    "SHA256:authority",
                    "it expired",
                    "no credential was sent",
                    "ssh-keygen -h",
                ],
            ),
            (
                about.host_not_vouched_for(&key("SHA256:bare")),
                vec![
                    "SHA256:bare",
                    "nor a pinned key",
                    "no credential was sent",
                    "ssh-keygen -h",
                ],
            ),
            (
                about.host_key_revoked(&key("SHA256:gone")),
                vec!["SHA256:gone", "revoked", "another host key"],
            ),
            (about.no_credential(), vec!["deploy", "enter one"]),
            (
                about.login_method("publickey", false),
                vec!["publickey", "store a credential"],
            ),
            (
                about.login_method("keyboard-interactive", true),
                vec!["one more", "second factor"],
            ),
            (
                about.host_key_changed(&key("SHA256:old"), true, &key("SHA256:new")),
                vec![
                    "SHA256:old",
                    "SHA256:new",
                    "the pinned one",
                    "no credential was sent",
                    "accept the new key",
                ],
            ),
            (
                about.host_key_changed(&key("SHA256:old"), false, &key("SHA256:new")),
                vec!["at the first contact", "SHA256:old", "no credential was sent"],
            ),
            (
                about.jump_host("bastion", &refused),
                vec!["bastion", "connection refused"],
            ),
            (
                about.jump_forward("bastion", true, ""),
                vec!["bastion", "AllowTcpForwarding"],
            ),
            (
                about.jump_forward("bastion", false, "refused"),
                vec!["bastion", "reachable"],
            ),
            (
                about.jump_cycle(&["a".into(), "b".into(), "a".into()]),
                vec!["a → b → a", "circle"],
            ),
            (
                about.jump_missing("web-1", "server 7"),
                vec!["server 7", "choose another"],
            ),
            (
                about.disconnected(Stage::Handshake, ""),
                vec!["MaxStartups", "fail2ban"],
            ),
            (
                about.disconnected(Stage::Login, "Too many failures"),
                vec!["Too many failures", "MaxAuthTries"],
            ),
            (about.disconnected(Stage::Probe, ""), vec!["sessions"]),
            (
                about.disconnected(Stage::Answer, "end of stream"),
                vec!["end of stream"],
            ),
            (
                about.probe_failed("exit status 1", "no shell"),
                vec!["exit status 1", "no shell", "/bin/sh"],
            ),
            (about.too_much_output(524_288), vec!["512 KiB", "cut off"]),
            (about.not_linux("FreeBSD"), vec!["FreeBSD", "Linux only"]),
            (
                about.agent_silent(Some(Duration::from_millis(60_400))),
                vec!["for 60 s", "gander-agent runs"],
            ),
            (about.agent_silent(None), vec!["since the hub started"]),
            (about.local("too many open files"), vec!["too many open files"]),
        ]
    }

    #[test]
    fn every_code_has_a_sentence_that_names_the_server_the_cause_and_the_fix() {
        let spec = spec();
        let mut seen = BTreeSet::new();
        for (error, needles) in table(About::from(&spec)) {
            for needle in needles.iter().chain(&["web-1"]) {
                assert!(
                    error.message.contains(needle),
                    "{needle:?} is not in {:?}",
                    error.message
                );
            }
            for key in ["name", "host", "port", "user"] {
                assert!(
                    error.params.contains_key(key),
                    "{key} is not in the params of {:?}",
                    error.code
                );
            }
            assert!(
                !error.message.ends_with('.'),
                "sentences end without a full stop: {:?}",
                error.message
            );
            seen.insert(error.code);
        }
        assert_eq!(seen, Code::ALL.into_iter().collect::<BTreeSet<_>>());
    }

    #[test]
    fn a_server_without_a_name_of_its_own_is_named_once() {
        for name in ["10.0.0.5", "10.0.0.5:2222"] {
            let spec = ConnectSpec {
                name: name.into(),
                ..spec()
            };
            let about = About::from(&spec);
            for error in [
                about.connection_refused(),
                about.password_refused(),
                about.key_refused("ed25519", "SHA256:abc"),
                about.login_method("publickey", true),
                about.timeout(Stage::Login, Duration::from_secs(10)),
            ] {
                let mentions = error.message.matches("10.0.0.5").count();
                assert_eq!(mentions, 1, "{}", error.message);
            }
        }
    }

    #[test]
    fn only_collection_says_what_the_hub_goes_on_to_do() {
        let spec = spec();
        let about = About::from(&spec);
        for (error, promise) in [
            (about.password_refused(), "only rarely"),
            (about.disconnected(Stage::Answer, ""), "connects again"),
        ] {
            assert!(!error.message.contains(promise), "{}", error.message);
            let told = while_collecting(error);
            assert!(told.message.ends_with("banned") || told.message.contains(promise));
        }
        let other = about.no_credential();
        assert_eq!(while_collecting(other.clone()), other);
    }

    #[test]
    fn codes_are_called_the_same_everywhere() {
        for code in Code::ALL {
            assert_eq!(serde_json::to_value(code).unwrap(), code.as_str());
        }
    }
}
