//! A client of the hub's REST interface that reads like the documentation of it.

use std::{fmt::Display, sync::Once};

use gander_hub::{collect::ConnectSpec, model::Secret};
use reqwest::{
    Method, RequestBuilder,
    header::{ACCEPT_LANGUAGE, HeaderMap},
};
use serde_json::{Value, json};

use crate::{Log, eventually::Deadline};

/// Speaks to one hub, with a bearer token or without one.
#[derive(Debug, Clone)]
pub struct Api {
    base: String,
    token: Option<String>,
    client: reqwest::Client,
    log: Log,
}

/// An answer of any status.
#[derive(Debug, Clone)]
pub struct Answer {
    /// HTTP status code.
    pub status: u16,
    /// The headers.
    pub headers: HeaderMap,
    /// The body as sent.
    pub body: Vec<u8>,
    asked: String,
    log: Log,
}

impl Answer {
    /// The body as JSON.
    #[must_use]
    pub fn json(&self) -> Value {
        serde_json::from_slice(&self.body)
            .unwrap_or_else(|error| panic!("{} answered no JSON ({error}): {}", self.asked, self.text()))
    }

    /// The body as text.
    #[must_use]
    pub fn text(&self) -> String {
        String::from_utf8_lossy(&self.body).into_owned()
    }

    /// The JSON body of a success; panics on any other status.
    #[must_use]
    pub fn ok(&self) -> Value {
        self.succeeded();
        if self.body.is_empty() {
            Value::Null
        } else {
            self.json()
        }
    }

    /// Panics, with the hub's last log lines, unless the status is 2xx.
    pub fn succeeded(&self) {
        assert!(
            (200..300).contains(&self.status),
            "{} answered {}: {}\n--- the hub's last lines:\n{}",
            self.asked,
            self.status,
            self.text(),
            self.log.tail(20),
        );
    }

    /// The `error` object of a refusal; panics unless the status is this one.
    pub fn refused(&self, status: u16) -> Refusal {
        assert_eq!(
            self.status,
            status,
            "{} answered {}: {}",
            self.asked,
            self.status,
            self.text()
        );
        let error = self.json()["error"].clone();
        assert!(
            error.is_object(),
            "{}: no error object in {}",
            self.asked,
            self.text()
        );
        Refusal(error)
    }
}

/// The `error` object of the hub's one JSON envelope for errors.
#[derive(Debug, Clone)]
pub struct Refusal(pub Value);

impl Refusal {
    /// The stable code.
    #[must_use]
    pub fn code(&self) -> &str {
        self.0["code"].as_str().expect("every error has a code")
    }

    /// The sentence for a person.
    #[must_use]
    pub fn message(&self) -> &str {
        self.0["message"].as_str().expect("every error has a message")
    }

    /// What is said of one field of the body; panics when nothing is.
    pub fn field(&self, name: &str) -> String {
        let fields = self.0["details"]["fields"].as_array();
        let said = fields.into_iter().flatten().find(|field| field["field"] == name);
        let said = said.unwrap_or_else(|| panic!("nothing is said of the field {name}: {}", self.0));
        said["message"]
            .as_str()
            .expect("every field has a message")
            .to_owned()
    }
}

impl Api {
    /// A client without a log-in for the hub at `base` (`http://127.0.0.1:PORT`).
    #[must_use]
    pub fn new(base: &str, log: &Log) -> Self {
        use_the_one_crypto_provider();
        Self {
            base: base.trim_end_matches('/').to_owned(),
            token: None,
            client: reqwest::Client::builder()
                .no_proxy()
                // The tests' own nginx shows a certificate that nobody signed.
                .tls_danger_accept_invalid_certs(true)
                .build()
                .expect("an HTTP client"),
            log: log.clone(),
        }
    }

    /// The same hub through another address, for example that of a proxy.
    #[must_use]
    pub fn at(&self, base: &str) -> Self {
        Self {
            base: base.trim_end_matches('/').to_owned(),
            ..self.clone()
        }
    }

    /// The same hub with this token.
    #[must_use]
    pub fn with_token(&self, token: &str) -> Self {
        Self {
            token: Some(token.to_owned()),
            ..self.clone()
        }
    }

    /// The same hub without a log-in.
    #[must_use]
    pub fn anonymous(&self) -> Self {
        Self {
            token: None,
            ..self.clone()
        }
    }

    /// The token in use.
    #[must_use]
    pub fn token(&self) -> Option<&str> {
        self.token.as_deref()
    }

    /// The address in use.
    #[must_use]
    pub fn base(&self) -> &str {
        &self.base
    }

    /// A request to be sent by [`Api::send`]; for what the short forms below do not do.
    pub fn request(&self, method: Method, path: &str) -> RequestBuilder {
        let request = self
            .client
            .request(method, format!("{}{path}", self.base))
            .header(ACCEPT_LANGUAGE, "en");
        match &self.token {
            Some(token) => request.bearer_auth(token),
            None => request,
        }
    }

    /// Sends it and takes the whole answer in, whatever its status.
    pub async fn send(&self, request: RequestBuilder) -> Answer {
        let (_, request) = request.build_split();
        let request = request.expect("a request that can be built");
        let asked = format!("{} {}", request.method(), request.url());
        let response = self.client.execute(request).await.unwrap_or_else(|error| {
            panic!(
                "{asked}: {error:?}\n--- the hub's last lines:\n{}",
                self.log.tail(20)
            );
        });
        let (status, headers) = (response.status().as_u16(), response.headers().clone());
        let body = response.bytes().await.expect("the whole body").to_vec();
        Answer {
            status,
            headers,
            body,
            asked,
            log: self.log.clone(),
        }
    }

    /// `GET`, any status.
    pub async fn try_get(&self, path: &str) -> Answer {
        self.send(self.request(Method::GET, path)).await
    }

    /// `GET` that must succeed.
    pub async fn get(&self, path: &str) -> Value {
        self.try_get(path).await.ok()
    }

    /// `POST`, any status.
    pub async fn try_post(&self, path: &str, body: &Value) -> Answer {
        self.send(self.request(Method::POST, path).json(body)).await
    }

    /// `POST` that must succeed.
    pub async fn post(&self, path: &str, body: &Value) -> Value {
        self.try_post(path, body).await.ok()
    }

    /// `PATCH` that must succeed.
    pub async fn patch(&self, path: &str, body: &Value) -> Value {
        self.send(self.request(Method::PATCH, path).json(body)).await.ok()
    }

    /// `DELETE` that must succeed.
    pub async fn delete(&self, path: &str) -> Value {
        self.send(self.request(Method::DELETE, path)).await.ok()
    }

    /// Enrols a server and returns its id.
    pub async fn enrol(&self, server: &Value) -> i64 {
        self.post("/api/servers", server).await["id"]
            .as_i64()
            .expect("a new server has an id")
    }

    /// Enrols a node as a person would, under the name in `spec`, and returns its id.
    pub async fn enrol_node(&self, spec: &ConnectSpec) -> i64 {
        self.enrol(&enrolment(spec)).await
    }

    /// Waits until the server is as `wanted` says, and returns it.
    pub async fn server_when(&self, id: i64, what: &str, wanted: impl Fn(&Value) -> bool) -> Value {
        let (path, deadline) = (format!("/api/servers/{id}"), Deadline::start());
        loop {
            let server = self.get(&path).await;
            if wanted(&server) {
                return server;
            }
            assert!(
                deadline.another_look().await,
                "server {id} never was {what}: {server:#}\n--- the hub's last lines:\n{}",
                self.log.tail(20)
            );
        }
    }

    /// Waits until the server has this status.
    pub async fn server_is(&self, id: i64, status: &str) -> Value {
        self.server_when(id, status, |server| server["status"] == status)
            .await
    }

    /// The alerts that a query (`resolved=false&server_id=2`) names.
    pub async fn alerts(&self, query: impl Display) -> Vec<Value> {
        let found = self.get(&format!("/api/alerts?{query}")).await;
        found.as_array().expect("alerts are an array").clone()
    }
}

/// The body of `POST /api/servers` for a node.
#[must_use]
pub fn enrolment(spec: &ConnectSpec) -> Value {
    let expose = |secret: &Option<Secret>| secret.as_ref().map(|secret| secret.expose().to_owned());
    json!({
        "name": spec.name,
        "ip": spec.host,
        "ssh_port": spec.port,
        "ssh_user": spec.user,
        "ssh_password": expose(&spec.credential.password),
        "ssh_key": expose(&spec.credential.private_key),
        "ssh_key_passphrase": expose(&spec.credential.passphrase),
    })
}

/// reqwest and the WebSocket client come without a provider of their own.
pub(crate) fn use_the_one_crypto_provider() {
    static ONCE: Once = Once::new();
    ONCE.call_once(|| {
        rustls::crypto::aws_lc_rs::default_provider()
            .install_default()
            .expect("nobody else installs one");
    });
}
