//! Logging in: the key first, then the password, each at most once, so that one attempt of
//! the hub never counts as several failures.

use std::sync::Arc;

use russh::{
    MethodKind, MethodSet,
    client::{AuthResult, KeyboardInteractiveAuthResponse as Kbd},
    keys::{HashAlg, PrivateKey, PrivateKeyWithHashAlg},
};

use super::{
    super::{CollectConfig, explain::Stage},
    connect::Session,
    host_key::describe,
    route::Hop,
};
use crate::model::{CollectError, Secret};

/// Rounds of questions a keyboard-interactive log-in may ask.
const MAX_ROUNDS: usize = 8;

/// What there is to log in with, readable.
pub(super) struct Credentials {
    key: Option<Arc<PrivateKey>>,
    password: Option<Secret>,
}

impl Credentials {
    /// The credentials of a hop, with its key read; the hub's own key where it has none.
    pub(super) async fn of(hop: &Hop, config: &CollectConfig) -> Result<Self, CollectError> {
        if hop.spec.credential.is_empty() {
            let own = config
                .hub_key
                .as_ref()
                .ok_or_else(|| hop.about().no_credential())?;
            return Ok(Self {
                key: Some(own.private()),
                password: None,
            });
        }
        Ok(Self {
            key: hop.private_key().await?,
            password: hop.spec.credential.password.clone(),
        })
    }
}

/// What the server said to one attempt.
enum Verdict {
    In,
    Out { next: MethodSet, partial: bool },
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
        Ok(outcome) => outcome,
        // The session ended in the middle; the peer may have said why.
        Err(_) => {
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
    /// The outer error is russh's: the session is over. The inner one is the server's verdict.
    async fn run(mut self, credentials: Credentials) -> Result<Result<(), CollectError>, russh::Error> {
        let about = self.hop.about();
        let Credentials {
            mut key,
            mut password,
        } = credentials;
        // With a key, offering it at once saves a round trip. With a password, ask first which
        // way it is wanted: "none" is no failed attempt for sshd, a wrong method may be one.
        let mut verdict = match key.take() {
            Some(key) => self.offer_key(&key).await?,
            None => self
                .session
                .handle
                .authenticate_none(&self.hop.spec.user)
                .await?
                .into(),
        };
        loop {
            let (next, partial) = match verdict {
                Verdict::In => return Ok(Ok(())),
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
                        _ => about.login_method(&names(&next), partial),
                    };
                    return Ok(Err(error));
                }
            };
        }
    }

    async fn offer_key(&mut self, key: &Arc<PrivateKey>) -> Result<Verdict, russh::Error> {
        let public = describe(key.public_key());
        let algorithm = public.algorithm.strip_prefix("ssh-").unwrap_or(&public.algorithm);
        self.refused = Some(self.hop.about().key_refused(algorithm, &public.fingerprint));
        // An RSA key signs with SHA-2 where the server says it can (OpenSSH from 7.2 on does);
        // a server that says nothing may know SHA-256 (dropbear) or only SHA-1 (very old ones).
        let hashes: &[Option<HashAlg>] = if key.algorithm().is_rsa() {
            match self.session.handle.best_supported_rsa_hash().await? {
                Some(Some(HashAlg::Sha512)) => &[Some(HashAlg::Sha512)],
                Some(Some(_)) => &[Some(HashAlg::Sha256)],
                Some(None) => &[None],
                None => &[Some(HashAlg::Sha256), None],
            }
        } else {
            &[None]
        };
        let mut verdict = Verdict::Out {
            next: MethodSet::empty(),
            partial: false,
        };
        for hash in hashes {
            let signing = PrivateKeyWithHashAlg::new(Arc::clone(key), *hash);
            verdict = self
                .session
                .handle
                .authenticate_publickey(&self.hop.spec.user, signing)
                .await?
                .into();
            match &verdict {
                Verdict::Out { next, partial: false } if next.contains(&MethodKind::PublicKey) => {}
                _ => break,
            }
        }
        if let Verdict::Out { next, partial: false } = &verdict
            && !next.contains(&MethodKind::PublicKey)
        {
            // It was not the key: the server takes none at all.
            self.refused = None;
        }
        Ok(verdict)
    }

    async fn send_password(&mut self, password: &Secret) -> Result<Verdict, russh::Error> {
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
    async fn answer_questions(&mut self, password: &Secret) -> Result<Verdict, russh::Error> {
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
