//! All routes of the hub, with who may call each. The fallback (not in the table) serves the
//! dashboard's files to everybody: they hold no data.

use utoipa::{
    OpenApi,
    openapi::security::{ApiKey, ApiKeyValue, HttpAuthScheme, HttpBuilder, SecurityScheme},
};
use utoipa_axum::routes;

use super::{
    docs,
    dto::{
        system::ErrorBody,
        ws::{Message, WatchRequest},
    },
    handlers::{
        agents, alerts, backups, credentials, events, export, fleet, host_authorities, imports, keys,
        metrics, probes, retention, series, servers, session, setup, system, tokens, users,
    },
    table::Table,
    ws,
};

/// The table of routes.
pub(super) fn table() -> Table {
    Table::new(document())
        // the hub itself
        .open(routes!(system::health))
        .viewer(routes!(system::stats))
        .viewer(routes!(system::storage))
        .admin(routes!(
            retention::get_retention,
            retention::put_retention,
            retention::delete_retention
        ))
        .admin(routes!(backups::list_backups, backups::begin_backup))
        // people
        .open(routes!(setup::setup_state, setup::set_up))
        .open(routes!(session::login))
        .viewer(routes!(session::logout))
        .viewer(routes!(session::session))
        .viewer(routes!(session::change_password))
        .admin(routes!(users::list_users, users::create_user))
        .admin(routes!(users::patch_user, users::delete_user))
        .admin(routes!(tokens::list_tokens, tokens::create_token))
        .admin(routes!(tokens::delete_token))
        // servers
        .viewer(routes!(servers::list_servers))
        .admin(routes!(servers::create_server))
        .viewer(routes!(servers::get_server))
        .admin(routes!(
            servers::replace_server,
            servers::patch_server,
            servers::delete_server
        ))
        .admin(routes!(imports::preview))
        .admin(routes!(imports::test))
        .admin(routes!(imports::import))
        .admin(routes!(probes::test_new))
        .admin(routes!(probes::host_key))
        .admin(routes!(probes::test_server))
        .admin(routes!(probes::accept_host_key))
        .admin(routes!(keys::hub_key))
        .admin(routes!(keys::server_ssh))
        .admin(routes!(keys::ssh_agent))
        .admin(routes!(
            credentials::list_credentials,
            credentials::create_credential
        ))
        .admin(routes!(
            credentials::get_credential,
            credentials::replace_credential,
            credentials::patch_credential,
            credentials::delete_credential
        ))
        .admin(routes!(
            host_authorities::list_host_authorities,
            host_authorities::create_host_authorities
        ))
        .admin(routes!(
            host_authorities::patch_host_authority,
            host_authorities::delete_host_authority
        ))
        .admin(routes!(probes::refresh_server))
        .admin(routes!(probes::refresh_all))
        // agents
        .admin(routes!(agents::list_agent_tokens, agents::create_agent_token))
        .admin(routes!(agents::delete_agent_token))
        .viewer(routes!(agents::agent_authority))
        .viewer(routes!(agents::list_agents))
        .admin(routes!(agents::revoke_agent))
        .admin(routes!(agents::list_pending_agents))
        .admin(routes!(agents::merge_agent))
        .admin(routes!(agents::separate_agent))
        .admin(routes!(agents::reject_agent))
        // what machines install: holds no secret, and is checked by the line that fetches it
        .open_page("/install.sh", agents::install_script)
        .open_page("/agent/{target}", agents::agent_binary)
        // measured values
        .viewer(routes!(series::series))
        .viewer(routes!(series::snapshot))
        .viewer(routes!(fleet::fleet_series))
        .viewer(routes!(metrics::metric_rows))
        .admin(routes!(metrics::delete_metrics))
        .admin(routes!(metrics::count_metrics))
        .viewer(routes!(export::export))
        // what happened
        .viewer(routes!(alerts::list_alerts))
        .admin(routes!(alerts::resolve_alert))
        .admin(routes!(alerts::resolve_alerts))
        .viewer(routes!(events::list_events))
        // live
        .viewer(routes!(ws::upgrade))
        // documentation: describes the interface, holds no data
        .open_page("/api/openapi.json", docs::openapi_json)
        .open_page("/api/docs", docs::redirect)
        .open_page("/api/docs/", docs::page)
        .open_page("/api/docs/{*file}", docs::file)
}

fn document() -> utoipa::openapi::OpenApi {
    #[derive(OpenApi)]
    #[openapi(
        info(
            title = "gander",
            description = "Monitors servers over SSH. Times are RFC 3339 in UTC; percentages are numbers with \
one decimal; null is absent, not zero. Every error is `{\"error\":{\"code\",\"message\",\"details\"?}}`. \
Log in with `POST /api/login` (cookie) or send an API token as `Authorization: Bearer gdr_…`.",
            license(name = "Apache-2.0", identifier = "Apache-2.0")
        ),
        components(schemas(ErrorBody, Message<'static>, WatchRequest)),
        tags(
            (name = "agents", description = "Agents, and enrolling them"),
            (name = "servers", description = "The servers, and trying to reach them"),
            (name = "metrics", description = "Measured values"),
            (name = "alerts", description = "What is wrong, and what happened"),
            (name = "people", description = "Set-up, log-in, users and API tokens"),
            (name = "hub", description = "The hub itself"),
            (name = "live", description = "WebSocket"),
        )
    )]
    struct Document;

    let mut document = Document::openapi();
    document.info.version = env!("CARGO_PKG_VERSION").to_owned();
    let components = document.components.get_or_insert_with(Default::default);
    components.add_security_scheme(
        "session",
        SecurityScheme::ApiKey(ApiKey::Cookie(ApiKeyValue::with_description(
            "gander",
            "Set by POST /api/login; named __Host-gander over HTTPS.",
        ))),
    );
    components.add_security_scheme(
        "token",
        SecurityScheme::Http(
            HttpBuilder::new()
                .scheme(HttpAuthScheme::Bearer)
                .bearer_format("gdr_…")
                .build(),
        ),
    );
    document
}
