//! Logging in: the certificate first, then its key, then the password, each at most once, so that
//! one attempt of the hub never counts as several failures.

use std::sync::Arc;

use russh::{
    AgentAuthError, MethodKind, MethodSet, Signer,
    client::{AuthResult, KeyboardInteractiveAuthResponse as Kbd},
    keys::{
        self, HashAlg, PrivateKey, PrivateKeyWithHashAlg,
        agent::AgentIdentity,
        signature::Signer as _,
        ssh_encoding::Encode as _,
        ssh_key::{self, private::KeypairData},
    },
};

use super::{
    super::{
        CollectConfig,
        explain::{AgentTrouble, Stage},
    },
    agent::{Agent, is_rsa},
    certificate::{Refusal, UserCertificate},
    connect::Session,
    host_key::describe,
    route::{Hop, OwnKey},
};
use crate::model::{Certificate, CollectError, Secret, Timestamp, credential::KeySource};

/// Rounds of questions a keyboard-interactive log-in may ask.
const MAX_ROUNDS: usize = 8;

/// What there is to log in with, readable.
pub(super) struct Credentials {
    keys: Keys,
    password: Option<Secret>,
}

/// The keys of a log-in.
enum Keys {
    None,
    /// One the hub holds itself.
    Own(OwnKey),
    /// Those in the ssh-agent.
    Agent(Box<Agent>),
}

impl Credentials {
    /// The credentials of a hop, with its key read; the hub's own key where it has none. Asks the
    /// ssh-agent where the key lies there.
    pub(super) async fn of(hop: &Hop, config: &CollectConfig) -> Result<Self, CollectError> {
        let credential = &hop.spec.credential;
        let keys = match &credential.key_source {
            KeySource::Agent { fingerprint } => {
                Keys::Agent(Box::new(Agent::open(hop, config, fingerprint.as_deref()).await?))
            }
            _ if credential.uses_hub_key() => {
                let own = config.hub_key.as_ref();
                let key = own.ok_or_else(|| hop.about().no_credential())?.private();
                let own = OwnKey::new(key, credential.certificate.as_deref());
                Keys::Own(own.map_err(|reason| hop.about().key_unreadable(&reason))?)
            }
            KeySource::Stored | KeySource::Hub => match hop.own_key().await? {
                Some(own) => Keys::Own(own),
                None => Keys::None,
            },
        };
        Ok(Self {
            keys,
            password: credential.password.clone(),
        })
    }
}

/// What the server said to one attempt.
enum Verdict {
    In,
    Out { next: MethodSet, partial: bool },
}

impl Verdict {
    /// Whether another key is worth a try: this one was refused, and the server takes keys.
    fn leaves_room_for_a_key(&self) -> bool {
        matches!(self, Self::Out { next, partial: false } if next.contains(&MethodKind::PublicKey))
    }
}

impl From<AuthResult> for Verdict {
    fn from(result: AuthResult) -> Self {
        match result {
            AuthResult::Success => Self::In,
            AuthResult::Failure {
                remaining_methods: next,
                partial_success: partial,
            } => Self::Out { next, partial },
        }
    }
}

/// Why a log-in ended without success.
enum End {
    /// The session is over.
    Session,
    /// For this reason.
    Because(CollectError),
}

impl From<russh::Error> for End {
    fn from(_: russh::Error) -> Self {
        Self::Session
    }
}

/// Logs in to a host whose key is known to be right.
pub(super) async fn log_in(
    hop: &Hop,
    credentials: Credentials,
    session: &mut Session,
) -> Result<(), CollectError> {
    let outcome = Attempt {
        hop,
        session,
        refused: None,
    }
    .run(credentials)
    .await;
    match outcome {
        Ok(()) => Ok(()),
        Err(End::Because(error)) => Err(error),
        // The session ended in the middle; the peer may have said why.
        Err(End::Session) => {
            let words = session.farewell().await;
            Err(hop.about().disconnected(Stage::Login, &words))
        }
    }
}

struct Attempt<'a> {
    hop: &'a Hop,
    session: &'a mut Session,
    /// The error of the credential refused last.
    refused: Option<CollectError>,
}

impl Attempt<'_> {
    async fn run(mut self, credentials: Credentials) -> Result<(), End> {
        let Credentials { keys, mut password } = credentials;
        // With a key, offering it at once saves a round trip. With a password, ask first which
        // way it is wanted: "none" is no failed attempt for sshd, a wrong method may be one.
        let mut verdict = match keys {
            Keys::Own(own) => self.offer_own(&own).await?,
            Keys::Agent(agent) => self.offer_agent(*agent).await?,
            Keys::None => self
                .session
                .handle
                .authenticate_none(&self.hop.spec.user)
                .await?
                .into(),
        };
        loop {
            let (next, partial) = match verdict {
                Verdict::In => return Ok(()),
                Verdict::Out { next, partial } => (next, partial),
            };
            let by_password = next.contains(&MethodKind::Password);
            let by_questions = next.contains(&MethodKind::KeyboardInteractive);
            verdict = match password.take() {
                Some(secret) if by_password => self.send_password(&secret).await?,
                Some(secret) if by_questions => self.answer_questions(&secret).await?,
                _ => {
                    let error = match self.refused.take() {
                        Some(error) if !partial => error,
                        _ => self.hop.about().login_method(&names(&next), partial),
                    };
                    return Err(End::Because(error));
                }
            };
        }
    }

    /// A key the hub holds: its certificate, if it has one, then the key by itself.
    async fn offer_own(&mut self, own: &OwnKey) -> Result<Verdict, End> {
        let Some(certificate) = &own.certificate else {
            return self.offer_key(&own.key).await;
        };
        let verdict = self.offer_certificate(certificate, &own.key).await?;
        if !verdict.leaves_room_for_a_key() {
            return Ok(verdict);
        }
        // Who was given a certificate wants to hear of that, not of the key in it.
        let refused = self.refused.take();
        let verdict = self.offer_key(&own.key).await?;
        if verdict.leaves_room_for_a_key() {
            self.refused = refused;
        }
        Ok(verdict)
    }

    async fn offer_certificate(
        &mut self,
        certificate: &UserCertificate,
        key: &PrivateKey,
    ) -> Result<Verdict, End> {
        let mut verdict = out_of_methods();
        for hash in self.hashes(key.algorithm().is_rsa()).await? {
            let outcome = self
                .session
                .handle
                .authenticate_certificate_with(
                    &self.hop.spec.user,
                    certificate.wire.clone(),
                    hash,
                    &mut KeySigner(key),
                )
                .await;
            verdict = self.signed(outcome)?;
            if !verdict.leaves_room_for_a_key() {
                break;
            }
        }
        self.note_refused(&verdict, self.certificate_refused(&certificate.says));
        Ok(verdict)
    }

    fn certificate_refused(&self, certificate: &Certificate) -> CollectError {
        let why = Refusal::of(certificate, &self.hop.spec.user, Timestamp::now());
        self.hop.about().certificate_refused(certificate, why)
    }

    async fn offer_key(&mut self, key: &Arc<PrivateKey>) -> Result<Verdict, End> {
        let mut verdict = out_of_methods();
        for hash in self.hashes(key.algorithm().is_rsa()).await? {
            let signing = PrivateKeyWithHashAlg::new(Arc::clone(key), hash);
            verdict = self
                .session
                .handle
                .authenticate_publickey(&self.hop.spec.user, signing)
                .await?
                .into();
            if !verdict.leaves_room_for_a_key() {
                break;
            }
        }
        let (kind, fingerprint) = kind_and_fingerprint(key.public_key());
        self.note_refused(&verdict, self.hop.about().key_refused(&kind, &fingerprint));
        Ok(verdict)
    }

    /// The keys of the ssh-agent, one after the other, until one is taken.
    async fn offer_agent(&mut self, mut agent: Agent) -> Result<Verdict, End> {
        let mut verdict = out_of_methods();
        let mut keys: Vec<String> = Vec::new();
        let mut of_certificate = None;
        for identity in std::mem::take(&mut agent.identities) {
            for hash in self.hashes(is_rsa(&identity)).await? {
                let (handle, user) = (&mut self.session.handle, &self.hop.spec.user);
                let outcome = match identity.clone() {
                    AgentIdentity::PublicKey { key, .. } => {
                        handle
                            .authenticate_publickey_with(user, key, hash, &mut agent)
                            .await
                    }
                    AgentIdentity::Certificate { certificate, .. } => {
                        handle
                            .authenticate_certificate_with(user, certificate, hash, &mut agent)
                            .await
                    }
                };
                verdict = self.signed(outcome)?;
                if !verdict.leaves_room_for_a_key() {
                    break;
                }
            }
            match &identity {
                AgentIdentity::Certificate { certificate, .. } => {
                    let says = super::certificate::tell(certificate);
                    of_certificate = Some(self.certificate_refused(&says));
                }
                AgentIdentity::PublicKey { key, .. } => {
                    let (kind, fingerprint) = kind_and_fingerprint(key);
                    keys.push(format!("{kind} {fingerprint}"));
                }
            }
            if !verdict.leaves_room_for_a_key() {
                break;
            }
        }
        let error = of_certificate.unwrap_or_else(|| {
            let all = keys.join(", ");
            let (kind, fingerprints) = all.split_once(' ').unwrap_or(("", &all));
            self.hop.about().key_refused(kind, fingerprints)
        });
        self.note_refused(&verdict, error);
        Ok(verdict)
    }

    /// The error to tell, if it was the key that was refused: not if the server takes none at all.
    fn note_refused(&mut self, verdict: &Verdict, error: CollectError) {
        self.refused = verdict.leaves_room_for_a_key().then_some(error);
    }

    /// What a log-in with a signer of ours came to.
    fn signed(&self, outcome: Result<AuthResult, AgentAuthError>) -> Result<Verdict, End> {
        match outcome {
            // russh answers so when the session has ended.
            Ok(AuthResult::Failure {
                remaining_methods,
                partial_success: false,
            }) if remaining_methods.is_empty() && self.session.handle.is_closed() => Err(End::Session),
            Ok(result) => Ok(result.into()),
            Err(AgentAuthError::Send(_)) => Err(End::Session),
            Err(AgentAuthError::Key(error)) => Err(End::Because(self.hop.about().ssh_agent(
                &AgentTrouble::NoSignature {
                    detail: error.to_string(),
                },
            ))),
        }
    }

    /// The hashes to sign with, in the order to try them. An RSA key signs with SHA-2 where the
    /// server says it can (OpenSSH from 7.2 on does); a server that says nothing may know SHA-256
    /// (dropbear) or only SHA-1 (very old ones).
    async fn hashes(&self, is_rsa: bool) -> Result<Vec<Option<HashAlg>>, End> {
        if !is_rsa {
            return Ok(vec![None]);
        }
        Ok(match self.session.handle.best_supported_rsa_hash().await? {
            Some(Some(HashAlg::Sha512)) => vec![Some(HashAlg::Sha512)],
            Some(Some(_)) => vec![Some(HashAlg::Sha256)],
            Some(None) => vec![None],
            None => vec![Some(HashAlg::Sha256), None],
        })
    }

    async fn send_password(&mut self, password: &Secret) -> Result<Verdict, End> {
        self.refused = Some(self.hop.about().password_refused());
        let user = &self.hop.spec.user;
        Ok(self
            .session
            .handle
            .authenticate_password(user, password.expose())
            .await?
            .into())
    }

    /// Keyboard-interactive: the password is the answer to the first hidden question, and only to that.
    async fn answer_questions(&mut self, password: &Secret) -> Result<Verdict, End> {
        self.refused = Some(self.hop.about().password_refused());
        let user = self.hop.spec.user.clone();
        let mut answered = false;
        let mut response = self
            .session
            .handle
            .authenticate_keyboard_interactive_start(user.clone(), None)
            .await?;
        for _ in 0..MAX_ROUNDS {
            let prompts = match response {
                Kbd::Success => return Ok(Verdict::In),
                Kbd::Failure {
                    remaining_methods: next,
                    partial_success: partial,
                } => {
                    return Ok(Verdict::Out { next, partial });
                }
                Kbd::InfoRequest { prompts, .. } => prompts,
            };
            let mut answers = Vec::with_capacity(prompts.len());
            for prompt in &prompts {
                if prompt.echo {
                    answers.push(user.clone());
                } else if answered {
                    // A second hidden question: a one-time code, or a new password. Not ours to answer.
                    let methods = MethodSet::from(&[MethodKind::KeyboardInteractive][..]);
                    return Ok(Verdict::Out {
                        next: methods,
                        partial: true,
                    });
                } else {
                    answers.push(password.expose().to_owned());
                    answered = true;
                }
            }
            response = self
                .session
                .handle
                .authenticate_keyboard_interactive_respond(answers)
                .await?;
        }
        Ok(Verdict::Out {
            next: MethodSet::empty(),
            partial: false,
        })
    }
}

fn names(methods: &MethodSet) -> String {
    methods.iter().map(<&str>::from).collect::<Vec<_>>().join(", ")
}

/// Before anything was tried.
fn out_of_methods() -> Verdict {
    Verdict::Out {
        next: MethodSet::empty(),
        partial: false,
    }
}

/// `ed25519` and `SHA256:…`.
fn kind_and_fingerprint(key: &ssh_key::PublicKey) -> (String, String) {
    let key = describe(key);
    let kind = key.algorithm.strip_prefix("ssh-").unwrap_or(&key.algorithm);
    (kind.to_owned(), key.fingerprint)
}

/// Signs with a key in hand. russh's own way for certificates knows no SHA-2 for RSA keys.
struct KeySigner<'a>(&'a PrivateKey);

impl Signer for KeySigner<'_> {
    type Error = AgentAuthError;

    async fn auth_sign(
        &mut self,
        _: &AgentIdentity,
        hash: Option<HashAlg>,
        mut to_sign: Vec<u8>,
    ) -> Result<Vec<u8>, Self::Error> {
        append_signature(self.0, hash, &mut to_sign).map_err(keys::Error::SshKey)?;
        Ok(to_sign)
    }
}

/// RFC 4252, 7: the signature follows what it is of, as a string.
fn append_signature(key: &PrivateKey, hash: Option<HashAlg>, to_sign: &mut Vec<u8>) -> ssh_key::Result<()> {
    let signature: ssh_key::Signature = match key.key_data() {
        KeypairData::Rsa(pair) => (pair, hash).try_sign(to_sign)?,
        other => other.try_sign(to_sign)?,
    };
    let mut blob = Vec::new();
    signature.encode(&mut blob)?;
    blob.encode(to_sign)?;
    Ok(())
}
