//! Logging in, and whom the hub trusts: passwords, keys, certificates, the ssh-agent and host keys.

use super::{About, Code};
use crate::{
    collect::ssh::certificate::Refusal,
    model::{Certificate, CollectError, HostKey},
};

/// What is wrong with the ssh-agent beside the hub.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum AgentTrouble {
    /// The hub was told of none.
    NotSet,
    /// It does not answer.
    Silent {
        /// Where it should listen.
        socket: String,
        /// What happened instead.
        detail: String,
    },
    /// It holds no key at all.
    Empty,
    /// It holds other keys than the chosen one.
    NoSuchKey {
        /// The chosen one.
        fingerprint: String,
        /// The ones it holds.
        held: String,
    },
    /// It would not sign.
    NoSignature {
        /// What it said.
        detail: String,
    },
}

impl About<'_> {
    pub(crate) fn password_refused(&self) -> CollectError {
        let (lead, place, user) = (self.lead(), self.place(), self.user);
        self.error(
            Code::PasswordRefused,
            format!("{lead}{place} refused the password of {user}: correct the password or the user name"),
            &[],
        )
    }

    pub(crate) fn key_refused(&self, algorithm: &str, fingerprint: &str) -> CollectError {
        let Self { name, host, user, .. } = self;
        // The name says where, if it is the address.
        let there = if self.is_nameless() {
            String::new()
        } else {
            format!(" on {host}")
        };
        self.error(
            Code::KeyRefused,
            format!("{name} refused the key ({algorithm} {fingerprint}) for {user}: add it to ~{user}/.ssh/authorized_keys{there}, and check that the file and its directories belong to {user} and are writable by nobody else"),
            &[("algorithm", &algorithm), ("fingerprint", &fingerprint)],
        )
    }

    pub(crate) fn key_unreadable(&self, reason: &str) -> CollectError {
        let name = self.name;
        self.error(
            Code::KeyUnreadable,
            format!("the private key of {name} cannot be used: {reason}"),
            &[("reason", &reason)],
        )
    }

    pub(crate) fn certificate_refused(&self, certificate: &Certificate, why: Refusal) -> CollectError {
        let Self { name, user, .. } = self;
        let (id, authority) = (&certificate.key_id, &certificate.authority);
        let principals = certificate.principals.join(", ");
        let (cause, moment, rest) = match why {
            Refusal::Expired(end) => (
                "expired",
                end.to_string(),
                format!("it expired on {end}: sign a new one and enter it"),
            ),
            Refusal::NotYet(begin) => (
                "not_yet",
                begin.to_string(),
                format!("it is valid only from {begin} on: check the clocks, or sign a new one"),
            ),
            Refusal::Principals if principals.is_empty() => (
                "principals",
                String::new(),
                format!("it names no user: sign one with ssh-keygen -n {user}"),
            ),
            Refusal::Principals => (
                "principals",
                String::new(),
                format!(
                    "it is for {principals}: sign one with ssh-keygen -n {user}, or name them in AuthorizedPrincipalsFile"
                ),
            ),
            Refusal::Authority => (
                "authority",
                String::new(),
                format!(
                    "check that TrustedUserCAKeys in its sshd_config names its authority ({} {})",
                    authority.algorithm, authority.fingerprint
                ),
            ),
        };
        self.error(
            Code::CertificateRefused,
            format!("{name} refused the certificate {id} for {user}: {rest}"),
            &[
                ("key_id", id),
                ("cause", &cause),
                ("moment", &moment),
                ("principals", &principals),
                ("algorithm", &authority.algorithm),
                ("fingerprint", &authority.fingerprint),
            ],
        )
    }

    pub(crate) fn ssh_agent(&self, trouble: &AgentTrouble) -> CollectError {
        let lead = self.lead();
        let (cause, socket, detail, rest) = match trouble {
            AgentTrouble::NotSet => (
                "not_set",
                "",
                String::new(),
                "is not known: set ssh.agent_socket (GANDER_SSH_AGENT_SOCKET) to its socket, or start the hub with SSH_AUTH_SOCK".to_owned(),
            ),
            AgentTrouble::Silent { socket, detail } => (
                "silent",
                socket.as_str(),
                detail.clone(),
                format!("does not answer at {socket} ({detail}): check that it runs, and that the hub's user may open that socket"),
            ),
            AgentTrouble::Empty => (
                "empty",
                "",
                String::new(),
                "holds no key: add one with ssh-add".to_owned(),
            ),
            AgentTrouble::NoSuchKey { fingerprint, held } => (
                "no_such_key",
                "",
                fingerprint.clone(),
                format!("holds no key {fingerprint} (it holds {held}): add it with ssh-add, or choose another"),
            ),
            AgentTrouble::NoSignature { detail } => (
                "no_signature",
                "",
                detail.clone(),
                format!("would not sign ({detail}): check that it is not locked, and that the key needs no confirmation (ssh-add -c)"),
            ),
        };
        self.error(
            Code::SshAgent,
            format!("{lead}the ssh-agent of the hub {rest}"),
            &[("cause", &cause), ("socket", &socket), ("detail", &detail)],
        )
    }

    /// A known authority signed the host's certificate, but it does not count because of `reason`.
    pub(crate) fn host_certificate(&self, certificate: &Certificate, reason: &str) -> CollectError {
        let (lead, place) = (self.lead(), self.place());
        let (id, authority) = (&certificate.key_id, &certificate.authority.fingerprint);
        self.error(
            Code::HostCertificate,
            format!("{lead}the host certificate of {place} ({id}, signed by {authority}) does not count: {reason}; no credential was sent. Sign its host key anew (ssh-keygen -h), or pin its key"),
            &[
                ("cause", &"invalid"),
                ("key_id", id),
                ("authority", authority),
                ("reason", &reason),
                ("fingerprint", &certificate.key.fingerprint),
            ],
        )
    }

    /// An authority counts for the host, but it showed no certificate, and no key of it is pinned.
    pub(crate) fn host_not_vouched_for(&self, key: &HostKey) -> CollectError {
        let (lead, place) = (self.lead(), self.place());
        let (kind, fingerprint) = (&key.algorithm, &key.fingerprint);
        self.error(
            Code::HostCertificate,
            format!("{lead}{place} has neither a certificate of an authority that counts for it nor a pinned key; no credential was sent. Sign its host key (ssh-keygen -h), or accept its key ({kind} {fingerprint})"),
            &[
                ("cause", &"missing"),
                ("algorithm", kind),
                ("fingerprint", fingerprint),
                ("public_key", &key.public_key),
            ],
        )
    }

    pub(crate) fn host_key_revoked(&self, key: &HostKey) -> CollectError {
        let (lead, place) = (self.lead(), self.place());
        let fingerprint = &key.fingerprint;
        self.error(
            Code::HostCertificate,
            format!("{lead}{place} proved itself with a key that is revoked ({} {fingerprint}); no credential was sent. Give that machine another host key", key.algorithm),
            &[
                ("cause", &"revoked"),
                ("algorithm", &key.algorithm),
                ("fingerprint", fingerprint),
            ],
        )
    }

    pub(crate) fn no_credential(&self) -> CollectError {
        let Self { name, user, .. } = self;
        self.error(
            Code::NoCredential,
            format!("{name} has neither a password nor a key stored for {user}: enter one"),
            &[],
        )
    }

    /// `methods` is what the server would take; `partial` that ours was right but not enough.
    pub(crate) fn login_method(&self, methods: &str, partial: bool) -> CollectError {
        let (lead, place, user) = (self.lead(), self.place(), self.user);
        let offered = if methods.is_empty() { "nothing" } else { methods };
        let message = if partial {
            format!(
                "{lead}{place} accepted {user}'s credential but wants one more ({offered}): exempt {user} from the second factor in its sshd_config"
            )
        } else {
            format!(
                "{lead}{place} does not take the kind of credential there is for {user}; it offers {offered}: store a credential of such a kind, or allow the method in its sshd_config"
            )
        };
        self.error(
            Code::LoginMethod,
            message,
            &[("methods", &methods), ("partial", &partial)],
        )
    }

    /// `expected` is the pinned key, or the one it showed when the hub could not log in yet.
    pub(crate) fn host_key_changed(
        &self,
        expected: &HostKey,
        is_pinned: bool,
        offered: &HostKey,
    ) -> CollectError {
        let (lead, place) = (self.lead(), self.place());
        let (old, new) = (&expected.fingerprint, &offered.fingerprint);
        let (old_kind, new_kind) = (&expected.algorithm, &offered.algorithm);
        let before = if is_pinned {
            "the pinned one"
        } else {
            "at the first contact, when the hub could not log in"
        };
        self.error(
            Code::HostKeyChanged,
            format!("{lead}{place} proved another host key ({new_kind} {new}) than {before} ({old_kind} {old}); no credential was sent. If the machine was reinstalled, accept the new key; otherwise somebody may be in between"),
            &[
                ("expected_fingerprint", old),
                ("expected_algorithm", old_kind),
                ("fingerprint", new),
                ("algorithm", new_kind),
                ("public_key", &offered.public_key),
            ],
        )
    }
}
