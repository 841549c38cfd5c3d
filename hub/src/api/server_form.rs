//! Reads the fields of a server from a request: their rules, their defaults, and what `POST`,
//! `PUT` and `PATCH` make of a field that is left out.

use crate::{
    collect::parse_private_key,
    model::{
        CredentialId, HostKey, Secret, Server, ServerId, Transport, host_of,
        server::{ServerSpec, SshCredential, Threshold, Thresholds},
    },
    store::{Change, CredentialChange},
};

use super::{
    error::{ApiError, ApiResult},
    fault::{Fault, FieldCode},
    form::{Form, Given},
};

/// A private key is some kilobytes; RSA of 16384 bits is 13.
pub(super) const MOST_KEY_BYTES: usize = 64 * 1024;

/// What a request says of a server.
#[derive(Debug)]
pub(super) struct ServerDraft {
    pub(super) spec: ServerSpec,
    pub(super) secrets: Secrets,
    pub(super) host_key: Option<HostKey>,
}

/// What a request says of the secrets.
#[derive(Debug)]
pub(super) struct Secrets {
    pub(super) password: Given<Secret>,
    pub(super) key: Given<Secret>,
    pub(super) passphrase: Given<Secret>,
    /// The hub's own key is to be used, and nothing else.
    pub(super) hub_key: bool,
    /// A shared credential is to be used, and nothing else; null: none any more.
    pub(super) credential: Given<CredentialId>,
}

/// How a field that is left out is read.
pub(super) enum Base<'a> {
    /// `POST`: it takes its default; name, ip, user and a secret are required.
    New,
    /// `PUT`: it takes its default; the log-in and the host key stay.
    Replace(&'a Server),
    /// `PATCH`: it stays.
    Patch(&'a Server),
}

/// Reads every field of a server. What is wrong is noted in the form.
pub(super) fn read(form: &mut Form, base: &Base<'_>) -> Option<ServerDraft> {
    let mut spec = match base {
        Base::Patch(server) => server.spec.clone(),
        Base::New => blank(Transport::Auto),
        Base::Replace(server) if server.spec.transport == Transport::Local => ServerSpec {
            ip: server.spec.ip.clone(),
            ssh_user: server.spec.ssh_user.clone(),
            ..blank(Transport::Local)
        },
        Base::Replace(_) => blank(Transport::Auto),
    };
    let is_local = spec.transport == Transport::Local;
    let must = |name: &str| match base {
        Base::Patch(_) => false,
        Base::New => true,
        Base::Replace(_) => name == "name" || !is_local,
    };

    let secrets = secrets(form);
    let shared = secrets.credential_over(base.shared_before());
    spec.credential_id = shared;

    let name = form.text("name", 1..=100);
    set_required(form, "name", name, must("name"), &mut spec.name);
    let ip = form.text("ip", 1..=253);
    let ip = check_host(form, "ip", ip);
    set_required(form, "ip", ip, must("ip"), &mut spec.ip);
    // A shared credential may bring the name; null and nothing then mean that one.
    let user = match ssh_user(form) {
        Given::Null if shared.is_some() => Given::Value(String::new()),
        user => user,
    };
    let must_name = must("ssh_user") && shared.is_none();
    set_required(form, "ssh_user", user, must_name, &mut spec.ssh_user);
    if shared.is_none() && base.shared_before().is_some() && spec.ssh_user.is_empty() && !is_local {
        form.refuse_once("ssh_user", Fault::required());
    }
    let port = form.integer("ssh_port", 1..=65535);
    set_required(form, "ssh_port", port, false, &mut spec.ssh_port);

    transport(form, &mut spec);
    spec.interval_seconds = form
        .integer("interval_seconds", 1..=86_400)
        .or_keep(spec.interval_seconds);
    spec.jump_server_id = form
        .integer("jump_server_id", 1..=i64::MAX)
        .map(ServerId)
        .or_keep(spec.jump_server_id);
    let tags = form.texts("tags", 32, 1..=50);
    set_required(form, "tags", tags, false, &mut spec.tags);
    // An empty group of a form is no group.
    let group = form.text("group", 0..=100);
    spec.group = group.or_keep(spec.group.take()).filter(|group| !group.is_empty());
    let enabled = form.boolean("enabled");
    set_required(form, "enabled", enabled, false, &mut spec.enabled);
    thresholds(form, &mut spec.thresholds);

    let is_secret_needed =
        matches!(base, Base::New) && matches!(spec.transport, Transport::Auto | Transport::Ssh);
    if is_secret_needed
        && !secrets.hub_key
        && shared.is_none()
        && secrets.password.clone().value().is_none()
        && secrets.key.clone().value().is_none()
        && !["ssh_password", "ssh_key", "credential_id"]
            .iter()
            .any(|name| form.is_refused(name))
    {
        form.refuse_secret(
            "ssh_password",
            Fault::required_unless(
                "ssh_key",
                "there is an ssh_key or a credential_id, or hub_key is true",
            ),
        );
    }
    let host_key = host_key(form, "host_key");
    form.is_clean().then_some(ServerDraft {
        spec,
        secrets,
        host_key,
    })
}

impl Base<'_> {
    /// The shared credential that is in use so far: a log-in that is left out stays.
    fn shared_before(&self) -> Option<CredentialId> {
        match self {
            Self::New => None,
            Self::Replace(server) | Self::Patch(server) => server.spec.credential_id,
        }
    }
}

fn blank(transport: Transport) -> ServerSpec {
    ServerSpec::new("", "", "", transport)
}

fn set_required<T>(form: &mut Form, name: &'static str, given: Given<T>, is_required: bool, field: &mut T) {
    let value = if is_required {
        form.require(name, given)
    } else {
        form.not_null(name, given)
    };
    if let Some(value) = value {
        *field = value;
    }
}

fn transport(form: &mut Form, spec: &mut ServerSpec) {
    const CHOICES: [(&str, Transport); 4] = [
        ("auto", Transport::Auto),
        ("ssh", Transport::Ssh),
        ("agent", Transport::Agent),
        ("local", Transport::Local),
    ];
    if spec.transport != Transport::Local {
        // Only the hub itself makes a local server.
        let given = form.choice("transport", &CHOICES[..3]);
        set_required(form, "transport", given, false, &mut spec.transport);
        return;
    }
    let given = form.choice("transport", &CHOICES);
    if form
        .not_null("transport", given)
        .is_some_and(|chosen| chosen != Transport::Local)
    {
        form.refuse("transport", Fault::local_server());
    }
}

/// A critical threshold that is left out rises with the warning, so that a script that only
/// knows the warning can set it to any value.
fn thresholds(form: &mut Form, thresholds: &mut Thresholds) {
    for (warning_name, critical_name, threshold) in [
        ("cpu_threshold", "cpu_critical_threshold", &mut thresholds.cpu),
        (
            "memory_threshold",
            "memory_critical_threshold",
            &mut thresholds.memory,
        ),
        ("disk_threshold", "disk_critical_threshold", &mut thresholds.disk),
    ] {
        let warning = form.integer(warning_name, 1..=100u8);
        let warning = form
            .not_null(warning_name, warning)
            .unwrap_or(threshold.warning_percent);
        let critical = form.integer(critical_name, 1..=100u8);
        let critical = form.not_null(critical_name, critical);
        if let Some(critical) = critical
            && critical < warning
        {
            form.refuse(critical_name, Fault::below_other(warning_name, warning));
        }
        *threshold = Threshold {
            warning_percent: warning,
            critical_percent: critical.unwrap_or(threshold.critical_percent).max(warning),
        };
    }
}

/// The log-in name of a request.
pub(super) fn ssh_user(form: &mut Form) -> Given<String> {
    let user = form.text("ssh_user", 1..=64);
    if let Given::Value(name) = &user
        && name.chars().any(char::is_whitespace)
    {
        form.refuse("ssh_user", Fault::white_space());
        return Given::Absent;
    }
    user
}

/// An IPv4 or IPv6 address, or a host name (RFC 1123, with underscores, which occur).
pub(super) fn check_host(form: &mut Form, name: &'static str, given: Given<String>) -> Given<String> {
    let Given::Value(host) = given else { return given };
    if let Some(host) = host_of(&host) {
        return Given::Value(host);
    }
    form.refuse(name, Fault::host());
    Given::Absent
}

/// The secrets of a request. `hub_key` and `credential_id` take the place of all that is stored.
pub(super) fn secrets(form: &mut Form) -> Secrets {
    let secrets = Secrets {
        password: form.secret("ssh_password", 1024),
        key: form.secret("ssh_key", MOST_KEY_BYTES),
        passphrase: form.secret("ssh_key_passphrase", 1024),
        hub_key: form.boolean("hub_key").or(false),
        credential: form.integer("credential_id", 1..=i64::MAX).map(CredentialId),
    };
    let is_shared = matches!(secrets.credential, Given::Value(_));
    if secrets.hub_key && is_shared {
        form.refuse(
            "credential_id",
            Fault::not_together(
                "hub_key",
                "cannot be given together with hub_key: send one of them",
            ),
        );
    }
    if !secrets.hub_key && !is_shared {
        return secrets;
    }
    let (other, message) = if secrets.hub_key {
        (
            "hub_key",
            "cannot be given together with hub_key: send one of them",
        )
    } else {
        (
            "credential_id",
            "cannot be given together with credential_id: send one of them",
        )
    };
    let given = [("ssh_password", &secrets.password), ("ssh_key", &secrets.key)];
    for (name, secret) in given {
        if matches!(secret, Given::Value(_)) {
            form.refuse_secret(name, Fault::not_together(other, message));
        }
    }
    Secrets {
        password: Given::Null,
        key: Given::Null,
        passphrase: Given::Null,
        ..secrets
    }
}

/// The public host key of a request.
pub(super) fn host_key(form: &mut Form, name: &'static str) -> Option<HostKey> {
    let text = form.text(name, 1..=16_384).value()?;
    match HostKey::parse(&text) {
        Ok(key) => Some(key),
        Err(reason) => {
            form.refuse(name, Fault::because(FieldCode::HostKey, reason));
            None
        }
    }
}

impl Secrets {
    /// The shared credential after this request: a log-in of its own takes its place.
    pub(super) fn credential_over(&self, before: Option<CredentialId>) -> Option<CredentialId> {
        let own =
            self.hub_key || matches!(self.password, Given::Value(_)) || matches!(self.key, Given::Value(_));
        match &self.credential {
            Given::Value(id) => Some(*id),
            Given::Null => None,
            Given::Absent if own => None,
            Given::Absent => before,
        }
    }

    /// What to log in with, laid over what is stored of the server's own.
    pub(super) fn over(&self, stored: &SshCredential) -> SshCredential {
        let key = self.key.clone();
        // A passphrase belongs to its key: a new key without one has none.
        let stored_passphrase = match key {
            Given::Absent => stored.passphrase.clone(),
            Given::Null | Given::Value(_) => None,
        };
        SshCredential {
            password: self.password.clone().or_keep(stored.password.clone()),
            private_key: key.or_keep(stored.private_key.clone()),
            passphrase: self.passphrase.clone().or_keep(stored_passphrase),
            ..SshCredential::default()
        }
    }

    /// The same as a change for the store.
    pub(super) fn change(&self, host_key: Option<HostKey>) -> CredentialChange {
        let change = |given: &Given<Secret>| match given.clone() {
            Given::Absent => Change::Keep,
            Given::Null => Change::Clear,
            Given::Value(secret) => Change::Set(secret),
        };
        let passphrase = match (&self.key, change(&self.passphrase)) {
            (Given::Value(_) | Given::Null, Change::Keep) => Change::Clear,
            (_, change) => change,
        };
        CredentialChange {
            password: change(&self.password),
            private_key: change(&self.key),
            passphrase,
            host_key,
        }
    }

    /// Whether the private key must be looked at again.
    pub(super) fn touches_key(&self) -> bool {
        !matches!((&self.key, &self.passphrase), (Given::Absent, Given::Absent))
    }
}

/// Refuses a private key that cannot be read: now, while the person is here.
pub(super) async fn check_key(credential: &SshCredential, secrets: &Secrets) -> ApiResult<()> {
    let Some(key) = credential.private_key.clone() else {
        return Ok(());
    };
    let passphrase = credential.passphrase.clone();
    // Opening a key with a passphrase is made slow on purpose.
    let outcome = tokio::task::spawn_blocking(move || {
        parse_private_key(key.expose(), passphrase.as_ref().map(Secret::expose))
    })
    .await
    .map_err(|error| ApiError::internal(&error))?;
    let Err(error) = outcome else { return Ok(()) };
    let field = match (&secrets.key, &secrets.passphrase) {
        (Given::Absent, _) => "ssh_key_passphrase",
        _ => "ssh_key",
    };
    let fault = Fault::because(FieldCode::PrivateKey, error.message);
    Err(ApiError::field(field, None, fault))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn host(text: &str) -> Option<String> {
        let mut form = Form::from_json(serde_json::json!({ "ip": text }).to_string().as_bytes()).unwrap();
        let given = form.text("ip", 1..=253);
        check_host(&mut form, "ip", given).value()
    }

    #[test]
    fn addresses_and_host_names_are_told_from_nonsense() {
        for (text, read) in [
            ("192.0.2.10", "192.0.2.10"),
            (" 192.0.2.10 ", "192.0.2.10"),
            ("2001:DB8::1", "2001:db8::1"),
            ("[::1]", "::1"),
            ("fe80::1%eth0", "fe80::1%eth0"),
            ("localhost", "localhost"),
            ("Web-1.Example.ORG", "web-1.example.org"),
            ("my_host", "my_host"),
            ("1password.com", "1password.com"),
            ("host.example.", "host.example."),
        ] {
            assert_eq!(host(text).as_deref(), Some(read), "{text}");
        }
        for text in [
            "",
            "256.1.1.1",
            "1.2.3",
            "1.2.3.4.5",
            "a b",
            "-a.example",
            "a..b",
            "http://a",
            "a:22",
            "ü.example",
            "a;rm",
            &"a".repeat(64),
        ] {
            assert_eq!(host(text), None, "{text}");
        }
    }
}
