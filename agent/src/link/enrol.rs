//! A token for a certificate, and a certificate for the next one.

use std::{sync::Arc, time::Duration};

use gander_proto::v1::{self as pb, agent_service_client::AgentServiceClient, enroll_response::Outcome};
use rustls::ClientConfig;
use tokio::time::timeout;

use super::connect::{ConnectError, Connection, Http, connect};
use crate::{
    facts,
    identity::{self, Fingerprint, Identity, Pending},
};

/// How long the hub may take to answer.
const LIMIT: Duration = Duration::from_secs(20);

/// What became of an enrolment.
#[derive(Debug)]
pub enum Enrolment {
    /// Done.
    Enrolled(Box<Identity>),
    /// A person must say something at the hub first.
    Waiting {
        /// For a person.
        reason: String,
        /// When to ask again.
        retry_after: Duration,
    },
    /// The hub does not take this token: another one is needed.
    Refused {
        /// For a person, with the fix.
        reason: String,
    },
}

/// Why there is no answer. The text is for a person.
#[derive(Debug, thiserror::Error)]
pub enum AskError {
    /// No connection.
    #[error(transparent)]
    Connect(#[from] ConnectError),
    /// The hub does not want to, or the connection ended.
    #[error("{0}")]
    Hub(String),
    /// What the hub sent is of no use, or this machine cannot go on.
    #[error("{0:#}")]
    Own(#[from] anyhow::Error),
}

/// Asks the hub once.
///
/// # Errors
/// There is no answer. Asking again does no harm.
pub async fn enrol(pending: &Pending) -> Result<Enrolment, AskError> {
    let config = super::tls_to_enrol(pending.ca)?;
    let connection = connect(&pending.hub, config).await?;
    let request = pb::EnrollRequest {
        token: pending.token.clone(),
        csr_der: identity::request(&pending.key)?,
        machine: Some(facts::machine()),
    };
    let answer = ask(connection.client().enroll(request)).await?;
    match answer.outcome {
        Some(Outcome::Enrolled(enrolled)) => {
            check_chain(&enrolled.certificate_chain_der, pending.ca)?;
            Ok(Enrolment::Enrolled(Box::new(Identity {
                hub: pending.hub.clone(),
                ca: pending.ca,
                server_name: enrolled.server_name,
                server_id: enrolled.server_id,
                not_after_ms: enrolled.not_after_ms,
                renew_after_ms: enrolled.renew_after_ms,
                interval_ms: 0,
                chain: enrolled.certificate_chain_der,
                key: pending.key.clone(),
            })))
        }
        Some(Outcome::Waiting(waiting)) => Ok(Enrolment::Waiting {
            reason: waiting.reason,
            retry_after: Duration::from_secs(u64::from(waiting.retry_after_seconds).clamp(10, 3600)),
        }),
        Some(Outcome::Refused(refused)) => Ok(Enrolment::Refused {
            reason: refused.reason,
        }),
        None => Err(AskError::Hub(
            "the hub's answer is one this agent does not know: is the hub newer? Install the agent it offers"
                .into(),
        )),
    }
}

/// A certificate for a new key, over a connection of the old one.
///
/// # Errors
/// There is none; the old one works on until its end.
pub async fn renew(mut client: AgentServiceClient<Http>, old: Identity) -> Result<Identity, AskError> {
    let key = identity::new_key()?;
    let request = pb::RenewRequest {
        csr_der: identity::request(&key)?,
    };
    let renewed = ask(client.renew(request)).await?;
    check_chain(&renewed.certificate_chain_der, old.ca)?;
    let identity = Identity {
        not_after_ms: renewed.not_after_ms,
        renew_after_ms: renewed.renew_after_ms,
        chain: renewed.certificate_chain_der,
        key,
        ..old
    };
    // A certificate that does not fit the key must not take the place of one that does.
    let _: Arc<ClientConfig> = super::tls_of(&identity)?;
    Ok(identity)
}

/// What the hub thinks of this agent's certificate: the code and the words of its answer to a request
/// it cannot grant.
///
/// # Errors
/// The hub gave no answer.
pub async fn standing(connection: &Connection) -> Result<tonic::Status, AskError> {
    let mut client = connection.client();
    let asked = client.renew(pb::RenewRequest { csr_der: Vec::new() });
    match timeout(LIMIT, asked).await {
        Ok(Err(status)) => Ok(status),
        Ok(Ok(_)) => Ok(tonic::Status::ok("")),
        Err(_) => Err(no_answer()),
    }
}

async fn ask<T>(
    call: impl Future<Output = Result<tonic::Response<T>, tonic::Status>>,
) -> Result<T, AskError> {
    match timeout(LIMIT, call).await {
        Ok(Ok(answer)) => Ok(answer.into_inner()),
        Ok(Err(status)) => Err(AskError::Hub(in_words(&status))),
        Err(_) => Err(no_answer()),
    }
}

fn no_answer() -> AskError {
    AskError::Hub(format!("the hub did not answer within {} s", LIMIT.as_secs()))
}

/// A status of the hub's as a sentence.
#[must_use]
pub fn in_words(status: &tonic::Status) -> String {
    if std::error::Error::source(status).is_some() {
        // Made here: nobody said it.
        "the connection to the hub broke".into()
    } else if status.message().is_empty() {
        format!("the hub answered {:?}", status.code())
    } else {
        format!("the hub says: {}", status.message())
    }
}

fn check_chain(chain: &[Vec<u8>], ca: Fingerprint) -> Result<(), AskError> {
    let from_ca = chain.len() >= 2 && chain.last().is_some_and(|last| Fingerprint::of(last) == ca);
    if from_ca {
        Ok(())
    } else {
        Err(AskError::Hub(
            "the hub sent a certificate that is not of its own authority".into(),
        ))
    }
}
