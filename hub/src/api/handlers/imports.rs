//! Bringing in a fleet from texts that other programs use: a preview, a test of what is new, the import.
//! Every request carries the texts: nothing of them is kept between two.

use std::{
    collections::{BTreeMap, BTreeSet},
    time::Duration,
};

use axum::{
    Json,
    body::{Body, Bytes},
    extract::State,
    http::{StatusCode, header},
    response::{IntoResponse, Response},
};
use futures_util::{StreamExt as _, stream};

use crate::{
    api::{
        access::Caller,
        dto::import::{ImportAnswer, ImportPlan, ImportRequest, ImportRow, ImportTestLine, ImportedFile},
        error::{ApiError, ApiResult},
        extract::LargeBody,
        fault::{Fault, FieldCode},
        form::{Form, Given},
        handlers::servers::tell,
        server_form,
        state::ApiState,
    },
    collect::{self, ConnectSpec, parse_private_key},
    import::{
        fleet::{self, ChosenLogin, Refused, Selection},
        ways::Ways,
    },
    model::{
        CollectError, CollectErrorCode, HostKey, Secret, Server, ServerId, Timestamp, Transport,
        server::SshCredential,
    },
    roster::{self, Action, Defaults, File, Format, Hosts, Jump, Login, Plan, Uploaded},
};

/// Texts of one request.
const MOST_FILES: usize = 200;
/// Connection tests of one import under way at once: half of what all may have.
const PARALLEL: usize = 8;
/// A test of one host ends by itself within 10 s; this is for whatever it may have overlooked.
const DEADLINE: Duration = Duration::from_secs(12);

/// What a request says.
struct Import {
    hosts: Hosts,
    defaults: Defaults,
    login: ChosenLogin,
    selection: Selection,
}

async fn read(state: &ApiState, mut form: Form, needs_plan: bool) -> ApiResult<Import> {
    let files = files(&mut form);
    let user = server_form::ssh_user(&mut form).value();
    let secrets = server_form::secrets(&mut form);
    let mut defaults = Defaults {
        user,
        port: form.integer("ssh_port", 1..=65_535).or(22),
        tags: form.texts("tags", 32, 1..=50).or(Vec::new()),
        group: form
            .text("group", 0..=100)
            .value()
            .filter(|group| !group.is_empty()),
        interval_seconds: form.integer("interval_seconds", 1..=86_400).value(),
        transport: form
            .choice(
                "transport",
                &[
                    ("auto", Transport::Auto),
                    ("ssh", Transport::Ssh),
                    ("agent", Transport::Agent),
                ],
            )
            .or(Transport::Auto),
        jump_server_id: form.integer("jump_server_id", 1..=i64::MAX).map(ServerId).value(),
        ..Defaults::default()
    };
    let digest = form.text("plan", 1..=64).value();
    if needs_plan && digest.is_none() && !form.is_refused("plan") {
        form.refuse("plan", Fault::required());
    }
    let rows = form.ids("rows", roster::MOST_HOSTS * 2).value();
    let host_keys = confirmed(&mut form);
    form.finish()?;

    let login = match secrets.credential_over(None) {
        Some(id) => {
            let missing = || ApiError::field("credential_id", Some(id.0.into()), Fault::no_such_credential());
            let credential = state.store.credential(id).await?.ok_or_else(missing)?;
            defaults.login_has_user = !credential.spec.ssh_user.is_empty();
            ChosenLogin::Shared(id)
        }
        None => {
            let mut own = secrets.over(&SshCredential::default());
            server_form::check_key(&own, &secrets).await?;
            if own.private_key.is_none() {
                own.passphrase = None;
            }
            ChosenLogin::Own(own)
        }
    };
    if let Some(id) = defaults.jump_server_id
        && state.store.server(id).await?.is_none()
    {
        return Err(ApiError::field(
            "jump_server_id",
            Some(id.0.into()),
            Fault::no_such_server(),
        ));
    }
    let passphrase = secrets.passphrase.clone().value();
    // Reading may be long, and opening a key with a passphrase is made slow on purpose.
    let hosts = tokio::task::spawn_blocking(move || hosts_of(&files, passphrase.as_ref()))
        .await
        .map_err(|error| ApiError::internal(&error))?;
    Ok(Import {
        hosts,
        defaults,
        login,
        selection: Selection {
            rows: rows.map(|rows| {
                rows.into_iter()
                    .filter_map(|row| usize::try_from(row).ok())
                    .collect()
            }),
            host_keys,
            digest,
        },
    })
}

fn hosts_of(files: &[File], passphrase: Option<&Secret>) -> Hosts {
    let mut hosts = roster::read(files, &Uploaded(files));
    fleet::check_keys(&mut hosts, passphrase, |key, passphrase| {
        parse_private_key(key, passphrase)
            .map(|info| info.public_key)
            .map_err(|error| error.message)
    });
    hosts
}

/// The texts of a request. What is in them is never repeated in an error.
fn files(form: &mut Form) -> Vec<File> {
    let objects = match form.objects("files", MOST_FILES) {
        Given::Value(objects) if !objects.is_empty() => objects,
        Given::Value(_) => {
            form.refuse_secret("files", Fault::empty("must hold at least one text"));
            return Vec::new();
        }
        Given::Null | Given::Absent => {
            if !form.is_refused("files") {
                form.refuse_secret("files", Fault::required());
            }
            return Vec::new();
        }
    };
    let mut files = Vec::with_capacity(objects.len());
    for (index, object) in objects.iter().enumerate() {
        let text_of = |name: &str| object.get(name).and_then(serde_json::Value::as_str);
        let unknown = object
            .keys()
            .find(|key| !matches!(key.as_str(), "name" | "text" | "format"));
        if let Some(unknown) = unknown {
            let field = format!("files[{index}].{}", crate::api::form::excerpt(unknown));
            form.refuse_secret(&field, Fault::unknown("name, text, format"));
        }
        let format = match object.get("format") {
            None | Some(serde_json::Value::Null) => None,
            Some(value) => {
                let found = Format::ALL.iter().find(|(name, _)| value.as_str() == Some(name));
                if found.is_none() {
                    let allowed: Vec<&str> = Format::ALL.iter().map(|(name, _)| *name).collect();
                    let shown = crate::api::form::excerpt(value.as_str().unwrap_or_default());
                    let fault = Fault::not_allowed(&shown, &allowed.join(", "));
                    form.refuse_secret(&format!("files[{index}].format"), fault);
                }
                found.map(|(_, format)| *format)
            }
        };
        match (text_of("name"), text_of("text")) {
            (Some(name), Some(text)) => {
                let name: String = name
                    .trim()
                    .chars()
                    .filter(|c| !c.is_control())
                    .take(200)
                    .collect();
                files.push(File {
                    format,
                    ..File::new(name, text)
                });
            }
            (name, _) => {
                let field = if name.is_none() { "name" } else { "text" };
                form.refuse_secret(&format!("files[{index}].{field}"), Fault::required());
            }
        }
    }
    files
}

/// `5 ssh-ed25519 AAAA…`
fn confirmed(form: &mut Form) -> BTreeMap<usize, HostKey> {
    let mut keys = BTreeMap::new();
    for text in form
        .texts("host_keys", roster::MOST_HOSTS * 2, 1..=16_400)
        .or(Vec::new())
    {
        let parsed = match text.split_once(' ') {
            Some((row, key)) => row
                .parse()
                .map_err(|_| "must begin with the number of a row".to_owned())
                .and_then(|row| Ok((row, HostKey::parse(key)?))),
            None => Err("must be a row and a key, like \"5 ssh-ed25519 AAAA…\"".to_owned()),
        };
        match parsed {
            Ok((row, key)) => {
                keys.insert(row, key);
            }
            Err(reason) => {
                form.refuse_secret("host_keys", Fault::because(FieldCode::HostKey, reason));
                break;
            }
        }
    }
    keys
}

/// Makes a plan off the async threads: hashed names of `known_hosts` are tried one by one.
async fn planned(state: &ApiState, import: Import) -> ApiResult<(Import, Plan, Vec<Server>)> {
    let enrolled = state.store.servers().await?;
    tokio::task::spawn_blocking(move || {
        let plan = roster::plan(&import.hosts, &enrolled, &import.defaults);
        (import, plan, enrolled)
    })
    .await
    .map_err(|error| ApiError::internal(&error))
}

fn view(hosts: &Hosts, plan: &Plan) -> ImportPlan {
    let count = |action| plan.rows.iter().filter(|row| row.action == action).count();
    ImportPlan {
        plan: plan.digest(),
        files: hosts
            .formats
            .iter()
            .map(|(name, format)| ImportedFile {
                name: name.clone(),
                format: *format,
            })
            .collect(),
        rows: plan
            .rows
            .iter()
            .enumerate()
            .map(|(index, row)| row_view(index, row))
            .collect(),
        add: count(Action::Add),
        change: count(Action::Change),
        skip: count(Action::Skip),
        remarks: plan.remarks.clone(),
    }
}

fn row_view(index: usize, row: &roster::Row) -> ImportRow {
    let (key, has_password) = match &row.login {
        Login::Chosen => (None, false),
        Login::Own { key, password, .. } => (
            key.as_ref().map(|key| roster::file_name(&key.path).to_owned()),
            password.is_some(),
        ),
    };
    let spec = &row.spec;
    ImportRow {
        row: index,
        action: row.action,
        place: row.place.clone(),
        server_id: row.server_id,
        name: spec.name.clone(),
        ip: spec.ip.clone(),
        ssh_port: spec.ssh_port,
        ssh_user: spec.ssh_user.clone(),
        tags: spec.tags.clone(),
        group: spec.group.clone(),
        interval_seconds: spec.interval_seconds,
        transport: spec.transport,
        jump_server_id: match row.jump {
            Jump::Server(id) => Some(id),
            _ => None,
        },
        jump_row: match row.jump {
            Jump::Row(jump) => Some(jump),
            _ => None,
        },
        key,
        has_password,
        host_key: row.host_key.clone(),
        changes: row.changes.clone(),
        remarks: row.remarks.clone(),
    }
}

/// What an import would do
///
/// Reads OpenSSH client configurations, `known_hosts`, Ansible inventories (INI and YAML), tables (CSV)
/// and lists of addresses, and compares them with what is enrolled. Nothing is written, nothing is
/// connected to.
#[utoipa::path(post, path = "/api/servers/import/preview", tag = "servers", request_body = ImportRequest,
    responses((status = 200, body = ImportPlan)))]
pub(crate) async fn preview(
    State(state): State<ApiState>,
    LargeBody(form): LargeBody,
) -> ApiResult<Json<ImportPlan>> {
    let import = read(&state, form, false).await?;
    let (import, plan, _) = planned(&state, import).await?;
    Ok(Json(view(&import.hosts, &plan)))
}

/// Import a fleet
///
/// Carries out the plan of a preview: everything that is selected, or nothing. Refused when the plan has
/// become another one since. Log-ins and pinned host keys of enrolled servers stay as they are.
#[utoipa::path(post, path = "/api/servers/import", tag = "servers", request_body = ImportRequest,
    responses((status = 200, body = ImportAnswer),
        (status = 409, description = "The plan is another one by now: ask for a new preview")))]
pub(crate) async fn import(
    State(state): State<ApiState>,
    caller: Caller,
    LargeBody(form): LargeBody,
) -> ApiResult<Json<ImportAnswer>> {
    let Import {
        hosts,
        defaults,
        login,
        selection,
    } = read(&state, form, true).await?;
    let applied = fleet::apply(
        &state.store,
        &hosts,
        (&defaults, &login),
        &selection,
        &caller.actor(),
        Timestamp::now(),
    )
    .await?;
    let receipt = applied.map_err(refused)?;
    tell(&state).await;
    Ok(Json(ImportAnswer {
        added: receipt.added,
        changed: receipt.changed,
        credentials: receipt.credentials,
    }))
}

fn refused(refused: Refused) -> ApiError {
    match refused {
        Refused::Stale(_) => plan_changed(),
        Refused::JumpNotSelected { name, jump } => {
            ApiError::field("rows", None, Fault::jump_not_selected(&name, &jump))
        }
        Refused::Nothing => ApiError::field(
            "rows",
            None,
            Fault::empty("hold nothing to add or change: select some"),
        ),
    }
}

fn plan_changed() -> ApiError {
    ApiError::conflict(
        "plan_changed",
        "the servers, or what was sent, changed since the preview: look at a new preview; nothing was written",
    )
}

/// Test what an import would add
///
/// Connects to each selected row, logs in and runs the probe once. The answer is a stream of
/// server-sent events (`data: {…}`, an `ImportTestLine` each), one for each host as it is done. Whoever
/// closes it ends the test. Nothing is stored: send the host keys that were confirmed with the import.
#[utoipa::path(post, path = "/api/servers/import/test", tag = "servers", request_body = ImportRequest,
    responses((status = 200, content_type = "text/event-stream", body = ImportTestLine),
        (status = 409, description = "The plan is another one by now: ask for a new preview")))]
pub(crate) async fn test(
    State(state): State<ApiState>,
    caller: Caller,
    LargeBody(form): LargeBody,
) -> ApiResult<Response> {
    let import = read(&state, form, true).await?;
    let Ok(turn) = state.fleet_tests.clone().try_acquire_owned() else {
        return Err(ApiError::too_many(
            "busy",
            "another fleet is being tested already: try again when it is done",
            10,
        ));
    };
    let (import, plan, _) = planned(&state, import).await?;
    if import.selection.digest.as_ref() != Some(&plan.digest()) {
        return Err(plan_changed());
    }
    let ways = Ways::load(&state.store, &import.login).await?;
    let selected: Option<&BTreeSet<usize>> = import.selection.rows.as_ref();
    let specs: Vec<(usize, ConnectSpec)> = plan
        .in_order()
        .into_iter()
        .filter(|index| selected.is_none_or(|rows| rows.contains(index)))
        .filter_map(|index| Some((index, ways.spec(&plan, index, &import.login)?)))
        .collect();
    let total = specs.len();
    let ends = state.shutdown.clone();
    let tests = stream::iter(specs)
        .map(move |(row, spec)| one(state.clone(), caller.clone(), row, spec))
        .buffer_unordered(PARALLEL)
        .scan(0, move |done, found| {
            *done += 1;
            let line = found.map(|(row, answer)| ImportTestLine {
                total,
                done: *done,
                row,
                answer: answer.into(),
            });
            // Whoever may not any more is told nothing more.
            std::future::ready(line)
        })
        .map(move |line| {
            let _turn = &turn;
            let text = serde_json::to_string(&line)?;
            Ok::<_, serde_json::Error>(Bytes::from(format!("data: {text}\n\n")))
        })
        .take_until(async move { ends.cancelled().await });
    let headers = [
        (header::CONTENT_TYPE, "text/event-stream"),
        (header::CACHE_CONTROL, "no-store"),
        // nginx would hold the lines back.
        (header::HeaderName::from_static("x-accel-buffering"), "no"),
    ];
    Ok((StatusCode::OK, headers, Body::from_stream(tests)).into_response())
}

type Found = (usize, Result<collect::TestReport, CollectError>);

/// Tests one host; `None`: the caller may not ask any more.
async fn one(state: ApiState, caller: Caller, row: usize, spec: ConnectSpec) -> Option<Found> {
    // Its turn among all tests: those of single servers get through as well.
    let _turn = state.probes.acquire().await.ok()?;
    if !caller.still_holds(&state).await.is_ok_and(|holds| holds) {
        return None;
    }
    let work = Box::pin(collect::test(&state.collect.config, &spec));
    let outcome = tokio::time::timeout(DEADLINE, work).await.unwrap_or_else(|_| {
        Err(CollectError {
            code: CollectErrorCode::Timeout,
            message: format!(
                "{} did not answer within {} seconds",
                spec.name,
                DEADLINE.as_secs()
            ),
            params: BTreeMap::new(),
        })
    });
    Some((row, outcome))
}
