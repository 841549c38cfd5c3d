//! The guards.
use axum::{extract::Request, middleware::Next, response::Response};

pub(super) async fn open(request: Request, next: Next) -> Response {
    next.run(request).await
}
pub(super) async fn viewer(request: Request, next: Next) -> Response {
    next.run(request).await
}
pub(super) async fn admin(request: Request, next: Next) -> Response {
    next.run(request).await
}
