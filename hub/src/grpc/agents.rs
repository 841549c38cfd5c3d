//! `AgentService`: enrolling, renewing, streaming.

use std::{sync::Arc, time::SystemTime};

use futures_util::{StreamExt as _, stream::Map};
use gander_proto::v1::{
    self, AgentMessage, EnrollRequest, EnrollResponse, HubMessage, RenewRequest, RenewResponse,
    agent_service_server::AgentService, enroll_response::Outcome, refused,
};
use tokio::{sync::mpsc, time::Instant};
use tokio_stream::wrappers::ReceiverStream;
use tonic::{Request, Response, Status, Streaming};

use super::{
    Shared, authority,
    incoming::Peer,
    machine,
    report::{DOWN_BACKLOG, Session, Word},
    sessions::End,
};
use crate::{
    model::{
        Agent, Server, Timestamp, Transport,
        agent::{Admission, Applicant, Refusal},
    },
    store::{StoreError, TokenHash},
};

/// A machine that waits for a person asks again after this long.
const ASK_AGAIN_SECONDS: u32 = 30;
/// A token is a word of this many characters at most.
const TOKEN_BYTES: usize = 200;

/// What a stream says.
type Words = Map<ReceiverStream<Word>, fn(Word) -> Result<HubMessage, Status>>;

/// The service.
pub(super) struct Agents(pub(super) Arc<Shared>);

#[tonic::async_trait]
impl AgentService for Agents {
    async fn enroll(&self, request: Request<EnrollRequest>) -> Result<Response<EnrollResponse>, Status> {
        let peer = peer(&request)?;
        let address = peer.ip();
        let hub = &self.0;
        if hub.failures.is_blocked(address, Instant::now()) {
            return Err(Status::resource_exhausted(
                "too many failed tries from this address: wait a minute",
            ));
        }
        let request = request.into_inner();
        let proof = authority::Request::read(&request.csr_der)
            .map_err(|error| Status::invalid_argument(error.to_string()))?;
        if request.token.len() > TOKEN_BYTES {
            return Err(Status::invalid_argument("token is no token"));
        }
        let term = self.term();
        let applicant = Applicant {
            key_hash: proof.key_hash(),
            machine: machine::clean(&request.machine.unwrap_or_default()),
            address: address.to_string(),
        };
        let token = TokenHash::of(request.token.trim());
        let admission = hub
            .store
            .enrol(token, &applicant, moment(term.not_after), Timestamp::now())
            .await
            .map_err(|error| unavailable(&error))?;
        let outcome = match admission {
            Admission::Enrolled(agent, server_name) => {
                tracing::info!(
                    agent.id = agent.id.0,
                    server.name = server_name,
                    %address,
                    "an agent has enrolled"
                );
                // The agent of a server that was there: ingest has to know that it is read by both
                // ways now before the first reading comes, for it leaves out ways nobody asked for.
                // (The agent asks again if this fails, and is known by its key.)
                if hub.live.server(agent.server_id).is_some() {
                    let told = hub.ingest.servers_changed().await;
                    told.map_err(|error| Status::unavailable(error.to_string()))?;
                }
                let chain = self.issue(&agent, &proof, &term)?;
                Outcome::Enrolled(v1::Enrolled {
                    certificate_chain_der: chain,
                    not_after_ms: moment(term.not_after).as_millis(),
                    renew_after_ms: moment(term.renewal).as_millis(),
                    server_name,
                    server_id: agent.server_id.0,
                })
            }
            Admission::Waiting(server_name) => Outcome::Waiting(v1::Waiting {
                reason: format!(
                    "this machine looks like the server {server_name}: say on the hub's page (Agents) whether it is the same one or another"
                ),
                retry_after_seconds: ASK_AGAIN_SECONDS,
            }),
            Admission::Refused(refusal) => {
                if refusal == Refusal::TokenUnknown {
                    hub.failures.note(address, Instant::now());
                }
                tracing::warn!(%address, reason = %refusal, "a machine may not enrol");
                Outcome::Refused(v1::Refused {
                    code: code(refusal).into(),
                    reason: refusal.to_string(),
                })
            }
        };
        Ok(Response::new(EnrollResponse {
            outcome: Some(outcome),
        }))
    }

    async fn renew(&self, request: Request<RenewRequest>) -> Result<Response<RenewResponse>, Status> {
        let (agent, _) = self.who(&request).await?;
        let proof = authority::Request::read(&request.into_inner().csr_der)
            .map_err(|error| Status::invalid_argument(error.to_string()))?;
        let term = self.term();
        let chain = self.issue(&agent, &proof, &term)?;
        self.0
            .store
            .agent_renewed(agent.id, moment(term.not_after))
            .await
            .map_err(|error| unavailable(&error))?;
        Ok(Response::new(RenewResponse {
            certificate_chain_der: chain,
            not_after_ms: moment(term.not_after).as_millis(),
            renew_after_ms: moment(term.renewal).as_millis(),
        }))
    }

    type ReportStream = Words;

    async fn report(
        &self,
        request: Request<Streaming<AgentMessage>>,
    ) -> Result<Response<Self::ReportStream>, Status> {
        let peer = peer(&request)?;
        let (agent, server) = self.who(&request).await?;
        if server.spec.transport == Transport::Ssh {
            return Err(End::SshOnly.status());
        }
        if self.0.shutdown.is_cancelled() {
            return Err(Status::unavailable("the hub stops"));
        }
        self.make_known(&server).await?;
        let (down, messages) = mpsc::channel(DOWN_BACKLOG);
        let id = agent.id;
        let session = Session::open(Arc::clone(&self.0), agent, server, &peer, down);
        // Revoked or set anew between the look and the opening: nobody else would notice.
        let (still, server) = self.who(&request).await?;
        if still.id != id {
            return Err(End::Revoked.status());
        }
        if server.spec.transport == Transport::Ssh {
            return Err(End::SshOnly.status());
        }
        self.0.sessions.refresh(id, &server);
        self.0.streams.spawn(session.run(request.into_inner()));
        let open: fn(Word) -> Result<HubMessage, Status> = |word| *word;
        Ok(Response::new(ReceiverStream::new(messages).map(open)))
    }
}

/// How long a certificate works.
struct Term {
    not_after: SystemTime,
    /// When its agent asks for the next one.
    renewal: SystemTime,
}

impl Agents {
    /// Of a certificate that is issued now.
    fn term(&self) -> Term {
        let (now, lifetime) = (SystemTime::now(), self.0.agent_lifetime);
        Term {
            not_after: now + lifetime,
            renewal: now + lifetime / 3,
        }
    }

    /// A certificate for an agent that proved that it has the key.
    fn issue(&self, agent: &Agent, proof: &authority::Request, term: &Term) -> Result<Vec<Vec<u8>>, Status> {
        let issued = self.0.authority.issue_agent(agent.uid, proof, term.not_after);
        issued.map_err(|error| {
            tracing::error!(%error, "a certificate cannot be issued");
            Status::unavailable("the hub cannot issue a certificate now")
        })
    }

    /// Sees to it that ingest knows the server: it drops readings of servers it does not know, and
    /// one that has enrolled this moment may stream before anybody told.
    async fn make_known(&self, server: &Server) -> Result<(), Status> {
        let hub = &self.0;
        if hub.live.server(server.id).is_some() {
            return Ok(());
        }
        // One of many that enrol at once asks; the others find that it was done for them too.
        let _turn = hub.making_known.lock().await;
        if hub.live.server(server.id).is_none() {
            let told = hub.ingest.servers_changed().await;
            told.map_err(|error| Status::unavailable(error.to_string()))?;
        }
        Ok(())
    }

    /// The agent that the connection's certificate names, and its server.
    async fn who<T>(&self, request: &Request<T>) -> Result<(Agent, Server), Status> {
        let Some((uid, not_after)) = peer(request)?.agent else {
            return Err(Status::unauthenticated(
                "a client certificate of this hub is needed: enrol first",
            ));
        };
        if not_after <= Timestamp::now() {
            return Err(Status::permission_denied(format!(
                "this agent's certificate ended at {not_after}: enrol it again with a new token"
            )));
        }
        let found = self.0.store.agent_by_uid(uid).await;
        let Some((agent, server)) = found.map_err(|error| unavailable(&error))? else {
            return Err(Status::permission_denied(
                "this hub does not know the agent (its server was deleted, or the hub is another one): enrol it again with a new token",
            ));
        };
        if agent.revoked_at.is_some() {
            return Err(End::Revoked.status());
        }
        Ok((agent, server))
    }
}

/// Who is at the other end of the connection.
pub(super) fn peer<T>(request: &Request<T>) -> Result<Peer, Status> {
    let peer = request.extensions().get::<Peer>().copied();
    peer.ok_or_else(|| Status::internal("a request came by no connection"))
}

/// A failing store is no fault of the caller's.
pub(super) fn unavailable(error: &StoreError) -> Status {
    tracing::error!(%error, "a gRPC call failed");
    Status::unavailable("the hub's database does not answer now: try again later")
}

fn moment(time: SystemTime) -> Timestamp {
    let since = time.duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default();
    Timestamp(i64::try_from(since.as_millis()).unwrap_or(i64::MAX))
}

fn code(refusal: Refusal) -> refused::Code {
    match refusal {
        Refusal::TokenUnknown => refused::Code::TokenUnknown,
        Refusal::TokenExpired(_) => refused::Code::TokenExpired,
        Refusal::TokenUsedUp(_) => refused::Code::TokenUsedUp,
        Refusal::Rejected => refused::Code::Rejected,
        Refusal::TooManyWaiting => refused::Code::Full,
    }
}
