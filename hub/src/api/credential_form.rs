//! Reads the fields of a shared credential from a request, and checks them against one another: the
//! key opens, the certificate is the key's, and nothing is left over from another kind.

use crate::{
    collect::{HubKey, parse_user_certificate},
    model::{
        Credential, HostKey, Secret, Timestamp,
        certificate::Validity,
        credential::{CredentialKind, CredentialSpec},
        server::SshCredential,
    },
    store::{Change, SecretChange},
};

use super::{
    error::{ApiError, ApiResult},
    fault::{Fault, FieldCode},
    form::{Form, Given},
    handlers::keys::read_key,
    server_form::{self, MOST_KEY_BYTES},
};

/// A certificate is a kilobyte or two; many principals make it longer.
const MOST_CERTIFICATE_CHARACTERS: usize = 32_768;

/// How a field that is left out is read.
#[derive(Clone, Copy)]
pub(super) enum Base<'a> {
    /// `POST`: it takes its default; name, kind and what the kind needs are required.
    New,
    /// `PUT`: it takes its default; secrets and the certificate stay.
    Replace(&'a Credential),
    /// `PATCH`: it stays.
    Patch(&'a Credential),
}

impl<'a> Base<'a> {
    fn stored(self) -> Option<&'a Credential> {
        match self {
            Self::New => None,
            Self::Replace(stored) | Self::Patch(stored) => Some(stored),
        }
    }
}

/// What a request says of a credential.
#[derive(Debug)]
pub(super) struct CredentialDraft {
    pub(super) spec: CredentialSpec,
    password: Given<Secret>,
    key: Given<Secret>,
    passphrase: Given<Secret>,
    certificate: Given<String>,
}

/// Reads every field. What is wrong is noted in the form.
pub(super) fn read(form: &mut Form, base: Base<'_>) -> Option<CredentialDraft> {
    let patched = match base {
        Base::Patch(stored) => Some(stored.spec.clone()),
        Base::New | Base::Replace(_) => None,
    };
    let name = form.text("name", 1..=100);
    let name = match &patched {
        Some(before) => form.not_null("name", name).or(Some(before.name.clone())),
        None => form.require("name", name),
    };
    let kind = form.choice("kind", &CredentialKind::ALL);
    let kind = match &patched {
        Some(before) => form.not_null("kind", kind).or(Some(before.kind)),
        None => form.require("kind", kind),
    };
    let user = server_form::ssh_user(form).or_keep(patched.as_ref().map(|before| before.ssh_user.clone()));
    let agent_key = match form.text("agent_key", 0..=100) {
        Given::Value(text) if text.is_empty() => Given::Null,
        Given::Value(text) if !is_fingerprint(&text) => {
            form.refuse("agent_key", Fault::fingerprint());
            Given::Absent
        }
        given => given,
    };
    let stays = patched.as_ref().filter(|before| kind == Some(before.kind));
    let agent_key = agent_key.or_keep(stays.and_then(|before| before.agent_key.clone()));
    let certificate = match form.text("certificate", 0..=MOST_CERTIFICATE_CHARACTERS) {
        Given::Value(text) if text.is_empty() => Given::Null,
        given => given,
    };
    let draft = CredentialDraft {
        spec: CredentialSpec {
            name: name.unwrap_or_default(),
            kind: kind.unwrap_or(CredentialKind::Password),
            ssh_user: user.unwrap_or_default(),
            agent_key,
        },
        password: form.secret("password", 1024),
        key: form.secret("private_key", MOST_KEY_BYTES),
        passphrase: form.secret("passphrase", 1024),
        certificate,
    };
    if form.is_clean() {
        refuse_what_does_not_fit(form, &draft, base.stored());
    }
    form.is_clean().then_some(draft)
}

/// `SHA256:` and 32 bytes in base64.
fn is_fingerprint(text: &str) -> bool {
    text.strip_prefix("SHA256:").is_some_and(|rest| {
        rest.len() == 43
            && rest
                .bytes()
                .all(|byte| byte.is_ascii_alphanumeric() || b"+/".contains(&byte))
    })
}

/// What the kind has no use for, and what it cannot do without.
fn refuse_what_does_not_fit(form: &mut Form, draft: &CredentialDraft, stored: Option<&Credential>) {
    let kind = draft.spec.kind;
    let useless = |name: &str| {
        Fault::not_together(
            "kind",
            &format!(
                "cannot be given together with kind {}: leave {name} out",
                kind.as_str()
            ),
        )
    };
    for (name, is_given) in [
        ("private_key", matches!(draft.key, Given::Value(_))),
        ("passphrase", matches!(draft.passphrase, Given::Value(_))),
    ] {
        if is_given && kind != CredentialKind::Key {
            form.refuse_secret(name, useless(name));
        }
    }
    if matches!(draft.certificate, Given::Value(_)) && kind == CredentialKind::Password {
        form.refuse("certificate", useless("certificate"));
    }
    if draft.spec.agent_key.is_some() && kind != CredentialKind::Agent {
        form.refuse("agent_key", useless("agent_key"));
    }
    let is_kept = |given: &Given<Secret>, has: bool| match given {
        Given::Value(_) => true,
        Given::Null => false,
        Given::Absent => has,
    };
    let has_password = is_kept(&draft.password, stored.is_some_and(|stored| stored.has_password));
    let has_key = is_kept(
        &draft.key,
        stored.is_some_and(|stored| stored.public_key.is_some()),
    );
    if kind == CredentialKind::Password && !has_password && !form.is_refused("password") {
        form.refuse_secret("password", Fault::required());
    }
    if kind == CredentialKind::Key && !has_key && !form.is_refused("private_key") {
        form.refuse_secret("private_key", Fault::required());
    }
}

impl CredentialDraft {
    /// The change for the store, once the key has been opened and the certificate read. `stored` are
    /// the credential and its secrets as they are now.
    pub(super) async fn change(
        &self,
        stored: Option<(&Credential, &SshCredential)>,
        hub_key: Option<&HubKey>,
        now: Timestamp,
    ) -> ApiResult<SecretChange> {
        let mut change = SecretChange {
            password: change_of(&self.password),
            ..SecretChange::default()
        };
        let before = stored.map(|(credential, _)| credential);
        let secrets = stored.map(|(_, secrets)| secrets);
        let is_other_kind = before.is_some_and(|before| before.spec.kind != self.spec.kind);
        let key = match self.spec.kind {
            CredentialKind::Key => self.own_key(before, secrets, &mut change).await?,
            other => {
                change.private_key = Change::Clear;
                change.passphrase = Change::Clear;
                change.public_key = Change::Clear;
                match other {
                    CredentialKind::HubKey => hub_key.map(|key| key.info().fingerprint.clone()),
                    _ => self.spec.agent_key.clone(),
                }
            }
        };
        change.certificate = match &self.certificate {
            Given::Value(text) => {
                check_certificate(text, key.as_deref(), now)?;
                Change::Set(text.clone())
            }
            Given::Null => Change::Clear,
            // A certificate belongs to its key.
            Given::Absent if is_other_kind || matches!(self.key, Given::Value(_)) => Change::Clear,
            Given::Absent => Change::Keep,
        };
        if let (Change::Keep, Some(text), Some(key)) = (
            &change.certificate,
            before.and_then(|before| before.certificate.as_deref()),
            key.as_deref(),
        ) && parse_user_certificate(text, Some(key)).is_err()
        {
            change.certificate = Change::Clear;
        }
        Ok(change)
    }

    /// Notes what becomes of the stored key; answers its fingerprint.
    async fn own_key(
        &self,
        before: Option<&Credential>,
        secrets: Option<&SshCredential>,
        change: &mut SecretChange,
    ) -> ApiResult<Option<String>> {
        change.private_key = change_of(&self.key);
        change.passphrase = match (&self.key, change_of(&self.passphrase)) {
            // A passphrase belongs to its key: a new key without one has none.
            (Given::Value(_), Change::Keep) => Change::Clear,
            (_, passphrase) => passphrase,
        };
        let is_touched = matches!(self.key, Given::Value(_)) || !matches!(self.passphrase, Given::Absent);
        if !is_touched {
            let known = before.and_then(|before| before.public_key.as_ref());
            return Ok(known.map(|key| key.fingerprint.clone()));
        }
        let stored_key = secrets.and_then(|secrets| secrets.private_key.clone());
        let Some(key) = self.key.clone().or_keep(stored_key) else {
            return Err(ApiError::field("private_key", None, Fault::required()));
        };
        let passphrase = match &change.passphrase {
            Change::Set(passphrase) => Some(passphrase.clone()),
            Change::Clear => None,
            Change::Keep => secrets.and_then(|secrets| secrets.passphrase.clone()),
        };
        let info = read_key(key, passphrase).await?.map_err(|error| {
            let field = match self.key {
                Given::Value(_) => "private_key",
                Given::Absent | Given::Null => "passphrase",
            };
            ApiError::field(field, None, Fault::because(FieldCode::PrivateKey, error.message))
        })?;
        let fingerprint = info.fingerprint.clone();
        change.public_key = Change::Set(HostKey {
            algorithm: info.algorithm,
            fingerprint: info.fingerprint,
            public_key: info.public_key,
        });
        Ok(Some(fingerprint))
    }
}

fn change_of(given: &Given<Secret>) -> Change<Secret> {
    match given.clone() {
        Given::Absent => Change::Keep,
        Given::Null => Change::Clear,
        Given::Value(secret) => Change::Set(secret),
    }
}

/// Refuses a certificate that cannot work: now, while the person is here.
fn check_certificate(text: &str, key: Option<&str>, now: Timestamp) -> ApiResult<()> {
    let wrong = |reason: String| {
        ApiError::field(
            "certificate",
            None,
            Fault::because(FieldCode::Certificate, reason),
        )
    };
    let certificate =
        parse_user_certificate(text, key).map_err(|reason| wrong(format!("cannot be used: {reason}")))?;
    match certificate.validity(now) {
        Validity::Valid | Validity::NotYet(_) => Ok(()),
        Validity::Expired(end) => Err(wrong(format!(
            "cannot be used: certificate {} expired on {end}; sign a new one",
            certificate.key_id
        ))),
    }
}
