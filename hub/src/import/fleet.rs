//! Enrols what a roster speaks of: the plan is made on what is enrolled within the transaction that
//! carries it out, so that what is done is what was agreed to, or nothing.

use std::collections::{BTreeMap, BTreeSet, HashMap};

use crate::{
    model::{Actor, CredentialId, HostKey, Secret, Timestamp, server::ServerSpec, server::SshCredential},
    roster::{Action, Defaults, Hosts, Jump, KeyFile, Login, Plan, Row, file_name, plan},
    store::{
        ChangedServer, FleetChange, FleetReceipt, NewCredential, NewLogin, NewServer, Store, StoreError,
        Through,
    },
};

/// What a person chose for new servers that bring no log-in of their own.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum ChosenLogin {
    /// A password or a key for each; empty: the hub's own key.
    Own(SshCredential),
    /// A shared credential.
    Shared(CredentialId),
}

impl Default for ChosenLogin {
    fn default() -> Self {
        Self::Own(SshCredential::default())
    }
}

/// What of a plan is to be carried out.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Selection {
    /// Rows by their position; `None`: all that do something.
    pub rows: Option<BTreeSet<usize>>,
    /// Host keys that a person has seen and confirmed, by row.
    pub host_keys: BTreeMap<usize, HostKey>,
    /// The plan that was agreed to; `None`: whatever it is now.
    pub digest: Option<String>,
}

/// Why nothing was done.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Refused {
    /// Something changed since: this is the plan now.
    Stale(Box<Plan>),
    /// A row is selected, and the one it is reached through is not.
    JumpNotSelected {
        /// Its name.
        name: String,
        /// The name of the other.
        jump: String,
    },
    /// Nothing that is selected does anything.
    Nothing,
}

/// Carries a plan out, all or nothing.
///
/// # Errors
/// The store refused or failed; nothing was done.
pub async fn apply(
    store: &Store,
    hosts: &Hosts,
    (defaults, login): (&Defaults, &ChosenLogin),
    selection: &Selection,
    actor: &Actor,
    now: Timestamp,
) -> Result<Result<FleetReceipt, Refused>, StoreError> {
    let decide = |enrolled: &[crate::model::Server]| {
        let plan = plan(hosts, enrolled, defaults);
        if selection
            .digest
            .as_ref()
            .is_some_and(|digest| *digest != plan.digest())
        {
            return Err(Refused::Stale(Box::new(plan)));
        }
        change_of(&plan, login, selection)
    };
    store.change_fleet(decide, actor, now).await
}

/// What the store is to do for the selected rows.
fn change_of(plan: &Plan, login: &ChosenLogin, selection: &Selection) -> Result<FleetChange, Refused> {
    let is_selected = |index: &usize| selection.rows.as_ref().is_none_or(|rows| rows.contains(index));
    let mut change = FleetChange::default();
    // Where each new row ends up, and each key.
    let mut added: HashMap<usize, usize> = HashMap::new();
    let mut shared: HashMap<String, usize> = HashMap::new();
    for index in plan.in_order().into_iter().filter(is_selected) {
        let row = &plan.rows[index];
        let through = match row.jump {
            Jump::None => None,
            Jump::Server(id) => Some(Through::Server(id)),
            Jump::Row(jump) => match added.get(&jump) {
                Some(place) => Some(Through::New(*place)),
                None => {
                    return Err(Refused::JumpNotSelected {
                        name: row.spec.name.clone(),
                        jump: plan.rows[jump].spec.name.clone(),
                    });
                }
            },
        };
        let host_key = selection.host_keys.get(&index).or(row.host_key.as_ref()).cloned();
        match (row.action, row.server_id) {
            (Action::Add, _) => {
                added.insert(index, change.add.len());
                let new = NewServer {
                    spec: row.spec.clone(),
                    through,
                    login: login_of(row, login, &mut change.credentials, &mut shared),
                    host_key,
                };
                change.add.push(new);
            }
            (Action::Change, Some(id)) => change.change.push(ChangedServer {
                id,
                spec: ServerSpec {
                    jump_server_id: None,
                    ..row.spec.clone()
                },
                through,
                host_key: row.host_key.clone(),
            }),
            _ => {}
        }
    }
    if change.add.is_empty() && change.change.is_empty() {
        return Err(Refused::Nothing);
    }
    Ok(change)
}

/// A key is stored once, whatever number of servers it opens.
fn login_of(
    row: &Row,
    chosen: &ChosenLogin,
    credentials: &mut Vec<NewCredential>,
    shared: &mut HashMap<String, usize>,
) -> NewLogin {
    match &row.login {
        Login::Chosen => match chosen {
            ChosenLogin::Own(own) => NewLogin::Own(own.clone()),
            ChosenLogin::Shared(id) => NewLogin::Shared(*id),
        },
        Login::Own {
            password: None,
            key:
                Some(KeyFile {
                    text: Some(text),
                    public_key: Some(public_key),
                    path,
                }),
            passphrase,
        } => {
            let index = *shared.entry(public_key.public_key.clone()).or_insert_with(|| {
                credentials.push(NewCredential {
                    name: file_name(path).chars().take(90).collect(),
                    private_key: text.clone(),
                    passphrase: passphrase.clone(),
                    public_key: public_key.clone(),
                });
                credentials.len() - 1
            });
            NewLogin::New(index)
        }
        Login::Own { .. } => NewLogin::Own(own_login(row, chosen)),
    }
}

/// What a row is logged in to with, in the clear: for a test of it, too.
#[must_use]
pub fn own_login(row: &Row, chosen: &ChosenLogin) -> SshCredential {
    match (&row.login, chosen) {
        (
            Login::Own {
                password,
                key,
                passphrase,
            },
            _,
        ) => SshCredential {
            password: password.clone(),
            private_key: key.as_ref().and_then(|key| key.text.clone()),
            passphrase: passphrase.clone(),
            ..SshCredential::default()
        },
        (Login::Chosen, ChosenLogin::Own(own)) => own.clone(),
        (Login::Chosen, ChosenLogin::Shared(_)) => SshCredential::default(),
    }
}

/// Looks at every key file of a roster. `parse` is slow where a key has a passphrase.
pub fn check_keys(
    hosts: &mut Hosts,
    passphrase: Option<&Secret>,
    parse: impl Fn(&str, Option<&str>) -> Result<String, String>,
) {
    hosts.check_keys(passphrase, |key, passphrase| {
        let public_key = parse(key.expose(), passphrase.map(Secret::expose))?;
        HostKey::parse(&public_key)
    });
}
