//! Builds the router out of one table in which every route names who may call it.
//!
//! A route gets into the router by no other way, so none can be forgotten: the level stands
//! beside the handler, the guard is laid on here, and the same table writes `security` and
//! `x-access` into `openapi.json` and is walked by a test as anonymous, viewer and admin.

use axum::{
    Router,
    http::Method,
    middleware::from_fn,
    routing::{MethodRouter, get},
};
use utoipa::openapi::{
    OpenApi, RefOr, ResponseBuilder, content::ContentBuilder, extensions::Extensions, path::PathItem,
    schema::Ref, security::SecurityRequirement,
};
use utoipa_axum::router::{OpenApiRouter, UtoipaMethodRouter};

use super::{access, state::ApiState};

/// Who may call a route.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Access {
    /// Everybody, without logging in.
    Open,
    /// Everybody who is logged in, or has any API token.
    Viewer,
    /// Admins only.
    Admin,
}

impl Access {
    fn as_str(self) -> &'static str {
        match self {
            Self::Open => "open",
            Self::Viewer => "viewer",
            Self::Admin => "admin",
        }
    }
}

/// One route of the table.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Entry {
    /// `GET`, `POST`, …
    pub method: Method,
    /// `/api/servers/{id}`
    pub path: String,
    /// Who may call it.
    pub access: Access,
    /// Whether it is in `openapi.json`.
    pub documented: bool,
}

/// The routes so far.
pub(super) struct Table {
    router: OpenApiRouter<ApiState>,
    entries: Vec<Entry>,
}

impl Table {
    pub(super) fn new(document: OpenApi) -> Self {
        Self {
            router: OpenApiRouter::with_openapi(document),
            entries: Vec::new(),
        }
    }

    /// Adds routes everybody may call.
    pub(super) fn open(self, routes: UtoipaMethodRouter<ApiState>) -> Self {
        self.add(Access::Open, routes)
    }

    /// Adds routes for everybody who is logged in.
    pub(super) fn viewer(self, routes: UtoipaMethodRouter<ApiState>) -> Self {
        self.add(Access::Viewer, routes)
    }

    /// Adds routes for admins.
    pub(super) fn admin(self, routes: UtoipaMethodRouter<ApiState>) -> Self {
        self.add(Access::Admin, routes)
    }

    /// Adds an open `GET` that is not part of the documented interface.
    pub(super) fn open_page<H, T>(mut self, path: &str, handler: H) -> Self
    where
        H: axum::handler::Handler<T, ApiState>,
        T: 'static,
    {
        self.entries.push(Entry {
            method: Method::GET,
            path: path.to_owned(),
            access: Access::Open,
            documented: false,
        });
        self.router = self.router.route(path, get(handler));
        self
    }

    fn add(mut self, access: Access, routes: UtoipaMethodRouter<ApiState>) -> Self {
        let (schemas, mut paths, methods) = routes;
        for (path, item) in &mut paths.paths {
            for (method, operation) in operations(item) {
                operation.security = match access {
                    Access::Open => Some(Vec::new()),
                    Access::Viewer | Access::Admin => Some(vec![
                        SecurityRequirement::new::<_, [&str; 0], &str>("session", []),
                        SecurityRequirement::new::<_, [&str; 0], &str>("token", []),
                    ]),
                };
                operation.extensions = Some(Extensions::from_iter([("x-access", access.as_str())]));
                operation.responses.responses.insert(
                    "default".to_owned(),
                    RefOr::T(
                        ResponseBuilder::new()
                            .description("The one error envelope")
                            .content(
                                "application/json",
                                ContentBuilder::new()
                                    .schema(Some(Ref::from_schema_name("ErrorBody")))
                                    .build(),
                            )
                            .build(),
                    ),
                );
                self.entries.push(Entry {
                    method,
                    path: path.clone(),
                    access,
                    documented: true,
                });
            }
        }
        let guarded: MethodRouter<ApiState> = match access {
            Access::Open => methods.route_layer(from_fn(access::open)),
            Access::Viewer => methods.route_layer(from_fn(access::viewer)),
            Access::Admin => methods.route_layer(from_fn(access::admin)),
        };
        self.router = self.router.routes((schemas, paths, guarded));
        self
    }

    /// The router, its document and the table itself.
    pub(super) fn split(self) -> (Router<ApiState>, OpenApi, Vec<Entry>) {
        let (router, document) = self.router.split_for_parts();
        (router, document, self.entries)
    }
}

fn operations(item: &mut PathItem) -> impl Iterator<Item = (Method, &mut utoipa::openapi::path::Operation)> {
    [
        (Method::GET, item.get.as_mut()),
        (Method::PUT, item.put.as_mut()),
        (Method::POST, item.post.as_mut()),
        (Method::DELETE, item.delete.as_mut()),
        (Method::PATCH, item.patch.as_mut()),
    ]
    .into_iter()
    .filter_map(|(method, operation)| Some((method, operation?)))
}
