//! How to connect to the rows of a plan before they are enrolled: through other rows, through enrolled
//! servers, with what each would be logged in to with.

use std::collections::HashMap;

use super::fleet::{ChosenLogin, own_login};
use crate::{
    collect::{ConnectSpec, authorities_for},
    model::{HostAuthority, Server, ServerId, Transport, server::SshCredential},
    roster::{Action, Jump, Login, Plan},
    store::{Store, StoreError},
};

/// Jump hosts behind one another, as the store allows.
const MOST_JUMPS: usize = 8;

/// What is enrolled, as far as connecting goes; with secrets.
pub struct Ways {
    targets: HashMap<ServerId, (Server, SshCredential)>,
    authorities: Vec<HostAuthority>,
    /// The shared credential that was chosen, in the clear.
    shared: Option<SshCredential>,
    /// The log-in name it brings.
    shared_user: String,
}

impl Ways {
    /// Reads what is enrolled.
    ///
    /// # Errors
    /// The store cannot be read.
    pub async fn load(store: &Store, login: &ChosenLogin) -> Result<Self, StoreError> {
        let targets = store.targets().await?;
        let (mut shared, mut shared_user) = (None, String::new());
        if let ChosenLogin::Shared(id) = login {
            shared = store.credential_secrets(*id).await?;
            if let Some(credential) = store.credential(*id).await? {
                shared_user = credential.spec.ssh_user;
            }
        }
        Ok(Self {
            targets: targets.into_iter().map(|target| (target.0.id, target)).collect(),
            authorities: store.host_authorities().await?,
            shared,
            shared_user,
        })
    }

    /// How to connect to a row; `None`: it is skipped and not enrolled, or is not read over SSH.
    #[must_use]
    pub fn spec(&self, plan: &Plan, index: usize, login: &ChosenLogin) -> Option<ConnectSpec> {
        self.row(plan, index, login, 0)
    }

    fn row(&self, plan: &Plan, index: usize, login: &ChosenLogin, depth: usize) -> Option<ConnectSpec> {
        let row = plan.rows.get(index).filter(|_| depth <= MOST_JUMPS)?;
        if row.action == Action::Skip {
            return self.enrolled(row.server_id?, depth);
        }
        if matches!(row.spec.transport, Transport::Agent | Transport::Local) {
            return None;
        }
        let jump = match row.jump {
            Jump::None => None,
            Jump::Server(id) => Some(Box::new(self.enrolled(id, depth + 1)?)),
            Jump::Row(jump) => Some(Box::new(self.row(plan, jump, login, depth + 1)?)),
        };
        let stored = row.server_id.and_then(|id| self.targets.get(&id));
        let (credential, mut user) = match (stored, &row.login, &self.shared) {
            (Some((server, credential)), _, _) => (credential.clone(), server.login_name().to_owned()),
            (None, Login::Chosen, Some(shared)) => (shared.clone(), self.shared_user.clone()),
            (None, _, _) => (own_login(row, login), String::new()),
        };
        if !row.spec.ssh_user.is_empty() {
            user.clone_from(&row.spec.ssh_user);
        }
        let pinned = stored.and_then(|(server, _)| {
            let stays = (&server.spec.ip, server.spec.ssh_port) == (&row.spec.ip, row.spec.ssh_port);
            server.host_key.clone().filter(|_| stays)
        });
        Some(ConnectSpec {
            name: row.spec.name.clone(),
            host: row.spec.ip.clone(),
            port: row.spec.ssh_port,
            user,
            credential,
            expected_host_key: row.host_key.clone().or(pinned),
            authorities: authorities_for(&self.authorities, &row.spec.ip, row.spec.ssh_port),
            jump,
        })
    }

    fn enrolled(&self, id: ServerId, depth: usize) -> Option<ConnectSpec> {
        let (server, credential) = self.targets.get(&id).filter(|_| depth <= MOST_JUMPS)?;
        let spec = &server.spec;
        Some(ConnectSpec {
            name: spec.name.clone(),
            host: spec.ip.clone(),
            port: spec.ssh_port,
            user: server.login_name().to_owned(),
            credential: credential.clone(),
            expected_host_key: server.host_key.clone(),
            authorities: authorities_for(&self.authorities, &spec.ip, spec.ssh_port),
            jump: match spec.jump_server_id {
                None => None,
                Some(jump) => Some(Box::new(self.enrolled(jump, depth + 1)?)),
            },
        })
    }
}
