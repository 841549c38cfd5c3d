//! Who may call which method: one table, checked before any method is reached.
//!
//! A method that is not in the table does not exist. The certificate of an agent is looked at by
//! the methods that need one; the token of a program is looked up here.

use std::{
    convert::Infallible,
    net::IpAddr,
    pin::Pin,
    sync::Arc,
    task::{Context, Poll},
};

use tokio::time::Instant;
use tonic::{
    Status,
    body::Body,
    codegen::{Service, http},
};

use super::{Shared, agents::unavailable, incoming::Peer};
use crate::{
    model::{Role, Timestamp, user::ApiToken},
    store::TokenHash,
};

/// Who may call a method.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Access {
    /// Everybody.
    Open,
    /// Agents, by their certificate.
    Agent,
    /// Programs with an API token of this role or a higher one.
    Token(Role),
}

/// Every method.
pub(super) const METHODS: &[(&str, Access)] = &[
    ("/gander.v1.AgentService/Enroll", Access::Open),
    ("/gander.v1.AgentService/Renew", Access::Agent),
    ("/gander.v1.AgentService/Report", Access::Agent),
    (
        "/gander.v1.MonitorService/ListServers",
        Access::Token(Role::Viewer),
    ),
    ("/gander.v1.MonitorService/GetLatest", Access::Token(Role::Viewer)),
    (
        "/gander.v1.MonitorService/QuerySeries",
        Access::Token(Role::Viewer),
    ),
    (
        "/gander.v1.MonitorService/ListAlerts",
        Access::Token(Role::Viewer),
    ),
    (
        "/gander.v1.MonitorService/ResolveAlerts",
        Access::Token(Role::Admin),
    ),
    ("/gander.v1.MonitorService/Watch", Access::Token(Role::Viewer)),
    // Whether the hub is well, and what it offers: no data.
    ("/grpc.health.v1.Health/Check", Access::Open),
    ("/grpc.health.v1.Health/List", Access::Open),
    ("/grpc.health.v1.Health/Watch", Access::Open),
    (
        "/grpc.reflection.v1.ServerReflection/ServerReflectionInfo",
        Access::Open,
    ),
    (
        "/grpc.reflection.v1alpha.ServerReflection/ServerReflectionInfo",
        Access::Open,
    ),
];

/// The program that calls, and the hash of the token that proved it.
#[derive(Debug, Clone)]
pub(super) struct Caller {
    pub(super) token: ApiToken,
    proof: TokenHash,
}

impl Caller {
    /// Whether the token still is what it was: asked again by what lasts.
    pub(super) async fn still_holds(&self, hub: &Shared) -> Result<bool, Status> {
        let found = hub.store.token(self.proof, Timestamp::now()).await;
        let found = found.map_err(|error| unavailable(&error))?;
        Ok(found.is_some_and(|now| now.id == self.token.id && now.role == self.token.role))
    }
}

/// Lets a call through to `inner` when the table says so.
#[derive(Clone)]
pub(super) struct Guard<S> {
    pub(super) hub: Arc<Shared>,
    pub(super) inner: S,
}

impl<S> Service<http::Request<Body>> for Guard<S>
where
    S: Service<http::Request<Body>, Response = http::Response<Body>, Error = Infallible>
        + Clone
        + Send
        + 'static,
    S::Future: Send,
{
    type Response = http::Response<Body>;
    type Error = Infallible;
    type Future = Pin<Box<dyn Future<Output = Result<Self::Response, Infallible>> + Send>>;

    fn poll_ready(&mut self, context: &mut Context<'_>) -> Poll<Result<(), Infallible>> {
        self.inner.poll_ready(context)
    }

    fn call(&mut self, mut request: http::Request<Body>) -> Self::Future {
        // The one that was asked whether it is ready, not the fresh clone.
        let fresh = self.inner.clone();
        let mut inner = std::mem::replace(&mut self.inner, fresh);
        let hub = Arc::clone(&self.hub);
        let question = Question::of(&request);
        Box::pin(async move {
            match question.answer(&hub).await {
                Ok(caller) => {
                    if let Some(caller) = caller {
                        request.extensions_mut().insert(caller);
                    }
                    inner.call(request).await
                }
                Err(status) => Ok(status.into_http()),
            }
        })
    }
}

/// What a request says of who may send it.
struct Question {
    access: Option<Access>,
    address: Option<IpAddr>,
    bearer: Option<String>,
}

impl Question {
    fn of(request: &http::Request<Body>) -> Self {
        let path = request.uri().path();
        let listed = METHODS.iter().find(|(method, _)| *method == path);
        let bearer = request
            .headers()
            .get("authorization")
            .and_then(|value| value.to_str().ok())
            .and_then(|value| value.split_once(' '))
            .filter(|(scheme, _)| scheme.eq_ignore_ascii_case("bearer"));
        Self {
            access: listed.map(|(_, access)| *access),
            address: request.extensions().get::<Peer>().map(Peer::ip),
            bearer: bearer.map(|(_, token)| token.trim().to_owned()),
        }
    }

    /// The program that calls, where it must be one.
    async fn answer(self, hub: &Shared) -> Result<Option<Caller>, Status> {
        let Some(access) = self.access else {
            return Err(Status::unimplemented(
                "there is no such method: reflection lists them all",
            ));
        };
        let Access::Token(least) = access else {
            return Ok(None);
        };
        let now = Instant::now();
        if self
            .address
            .is_some_and(|address| hub.failures.is_blocked(address, now))
        {
            return Err(Status::resource_exhausted(
                "too many failed tries from this address: wait a minute",
            ));
        }
        let Some(bearer) = self.bearer else {
            return Err(Status::unauthenticated(
                "send `authorization: Bearer TOKEN` in the metadata (gander-hub token create)",
            ));
        };
        let proof = TokenHash::of(&bearer);
        let token = hub.store.token(proof, Timestamp::now()).await;
        let Some(token) = token.map_err(|error| unavailable(&error))? else {
            if let Some(address) = self.address {
                hub.failures.note(address, now);
            }
            return Err(Status::unauthenticated(
                "this API token is unknown, removed or expired: make a new one",
            ));
        };
        if token.role < least {
            return Err(Status::permission_denied("this needs a token of an admin"));
        }
        Ok(Some(Caller { token, proof }))
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use prost::Message as _;
    use prost_types::FileDescriptorSet;

    use super::*;

    /// Whoever adds a method to a `.proto` file must say here who may call it.
    #[test]
    fn every_method_is_in_the_table_and_no_other() {
        let described: BTreeSet<String> = [
            gander_proto::DESCRIPTORS,
            tonic_health::pb::FILE_DESCRIPTOR_SET,
            tonic_reflection::pb::v1::FILE_DESCRIPTOR_SET,
            tonic_reflection::pb::v1alpha::FILE_DESCRIPTOR_SET,
        ]
        .into_iter()
        .flat_map(|bytes| FileDescriptorSet::decode(bytes).unwrap().file)
        .flat_map(|file| {
            let package = file.package().to_owned();
            file.service.into_iter().flat_map(move |service| {
                let service_path = format!("/{package}.{}", service.name());
                let methods = service.method.into_iter();
                methods.map(move |method| format!("{service_path}/{}", method.name()))
            })
        })
        .collect();
        assert!(described.len() > 10, "{described:?}");
        let listed: BTreeSet<String> = METHODS.iter().map(|(path, _)| (*path).to_owned()).collect();
        let missing: Vec<_> = described.difference(&listed).collect();
        assert!(missing.is_empty(), "not in the table: {missing:?}");
        // A newer method of the health service may be missing from the crate's description.
        let stale: Vec<_> = listed
            .difference(&described)
            .filter(|path| path.starts_with("/gander"))
            .collect();
        assert!(stale.is_empty(), "in the table only: {stale:?}");
        assert_eq!(listed.len(), METHODS.len(), "a method is listed twice");
    }

    #[test]
    fn what_changes_something_is_for_admins() {
        for (path, access) in METHODS {
            if path.starts_with("/gander.v1.MonitorService/Resolve") {
                assert_eq!(*access, Access::Token(Role::Admin), "{path}");
            }
        }
    }
}
