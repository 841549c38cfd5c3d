//! What to do about each server: made anew from the targets whenever they change, and compared
//! with what is running. Pure.

use std::{
    collections::{HashMap, HashSet},
    sync::Arc,
    time::Duration,
};

use super::{
    ConnectSpec, Target, Targets,
    explain::{About, Stage, about_agent_of, about_this_machine},
    ssh::{Hop, Route},
};
use crate::model::{CollectError, HostKey, ServerId, Transport, server::Endpoint};

/// How one server is collected.
pub(super) struct Plan {
    pub(super) name: String,
    pub(super) interval: Duration,
    /// Where it connects to, to say where a host key was proved.
    pub(super) endpoint: Endpoint,
    /// Whether an agent may read it, which goes before.
    pub(super) follows_agent: bool,
    pub(super) source: Source,
}

/// Where its values come from, as far as collection goes.
pub(super) enum Source {
    /// Over SSH.
    Ssh(Route),
    /// From the hub's own machine.
    Local,
    /// From its agent alone: nothing is looked at, only listened for.
    Agent,
    /// From nowhere: its configuration cannot work.
    Broken(CollectError),
}

/// How a new plan differs from the running one.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Difference {
    /// Not at all.
    None,
    /// Host keys alone, and the running connection proved just those: nothing need be restarted.
    PinnedWhatWasProved,
    /// Start again.
    Other,
}

impl Plan {
    /// That a poll has not been answered for this long.
    pub(super) fn no_answer(&self, waited: Duration) -> CollectError {
        // Whole tenths of a second: this is for a person.
        let waited = Duration::from_millis(u64::try_from(waited.as_millis() / 100 * 100).unwrap_or(u64::MAX));
        match &self.source {
            Source::Ssh(route) => route.target().about().timeout(Stage::Answer, waited),
            Source::Local => {
                about_this_machine(&self.name).local("its values take too long (a dead network mount?)")
            }
            Source::Agent => self.agent_silent(Some(waited)),
            Source::Broken(error) => error.clone(),
        }
    }

    /// That its agent has sent nothing for this long.
    pub(super) fn agent_silent(&self, silence: Option<Duration>) -> CollectError {
        about_agent_of(&self.name, &self.endpoint.ip).agent_silent(silence)
    }

    /// Compares with a newer plan. `proved` are the keys of the running connection, jump hosts first.
    pub(super) fn difference(&self, newer: &Plan, proved: &[HostKey]) -> Difference {
        if self.name != newer.name
            || self.interval != newer.interval
            || self.follows_agent != newer.follows_agent
            || self.endpoint != newer.endpoint
        {
            return Difference::Other;
        }
        let (old, new) = match (&self.source, &newer.source) {
            (Source::Local, Source::Local) | (Source::Agent, Source::Agent) => return Difference::None,
            (Source::Broken(old), Source::Broken(new)) if old == new => return Difference::None,
            (Source::Ssh(old), Source::Ssh(new)) => (old, new),
            _ => return Difference::Other,
        };
        let (old, new): (Vec<_>, Vec<_>) = (old.hops().collect(), new.hops().collect());
        if old.len() != new.len() {
            return Difference::Other;
        }
        let mut difference = Difference::None;
        for (index, (old, new)) in old.iter().zip(&new).enumerate() {
            if !same_login(&old.spec, &new.spec) {
                return Difference::Other;
            }
            let (old, new) = (&old.spec.expected_host_key, &new.spec.expected_host_key);
            if old != new {
                if new.is_none() || new.as_ref() != proved.get(index) {
                    return Difference::Other;
                }
                difference = Difference::PinnedWhatWasProved;
            }
        }
        difference
    }
}

/// Whether two specs mean the same host and credential, whatever key is pinned.
fn same_login(old: &ConnectSpec, new: &ConnectSpec) -> bool {
    old.name == new.name
        && old.host == new.host
        && old.port == new.port
        && old.user == new.user
        && old.credential == new.credential
}

/// Makes plans; remembers the hops, so that an unchanged private key is not read again.
#[derive(Default)]
pub(super) struct Planner {
    hops: HashMap<ServerId, Arc<Hop>>,
}

impl Planner {
    /// A plan for every server that is to be polled.
    pub(super) fn plan(&mut self, targets: &Targets, default_interval: Duration) -> HashMap<ServerId, Plan> {
        let by_id: HashMap<ServerId, &Target> = targets
            .iter()
            .map(|target| (target.server.id, target.as_ref()))
            .collect();
        let mut hops = HashMap::with_capacity(by_id.len());
        let mut plans = HashMap::with_capacity(by_id.len());
        for (id, target) in &by_id {
            let spec = &target.server.spec;
            if !spec.enabled {
                continue;
            }
            let source = match spec.transport {
                // Nobody to log in as: what its agent does not tell, nobody can.
                Transport::Auto if spec.ssh_user.is_empty() => Source::Agent,
                Transport::Agent => Source::Agent,
                Transport::Local => Source::Local,
                Transport::Auto | Transport::Ssh => match self.route(*id, &by_id, &mut hops) {
                    Ok(route) => Source::Ssh(route),
                    Err(error) => Source::Broken(error),
                },
            };
            let interval = spec
                .interval_seconds
                .map_or(default_interval, |seconds| {
                    Duration::from_secs(u64::from(seconds))
                })
                .max(Duration::from_secs(1));
            plans.insert(
                *id,
                Plan {
                    name: spec.name.clone(),
                    interval,
                    endpoint: spec.endpoint(),
                    follows_agent: matches!(spec.transport, Transport::Auto | Transport::Agent),
                    source,
                },
            );
        }
        self.hops = hops;
        plans
    }

    fn route(
        &self,
        id: ServerId,
        by_id: &HashMap<ServerId, &Target>,
        hops: &mut HashMap<ServerId, Arc<Hop>>,
    ) -> Result<Route, CollectError> {
        let chain = chain(id, by_id)?;
        // From the hub outwards: each hop knows the one before it.
        let mut route: Vec<Arc<Hop>> = Vec::with_capacity(chain.len());
        for target in chain.into_iter().rev() {
            let id = target.server.id;
            let hop = match hops.get(&id) {
                Some(hop) => Arc::clone(hop),
                None => {
                    let jump = route.last().map(|before| Box::new(before.spec.clone()));
                    let spec = ConnectSpec {
                        jump,
                        ..spec_of(target)
                    };
                    let hop = Arc::new(match self.hops.get(&id) {
                        Some(old) => old.with_spec(spec),
                        None => Hop::new(spec),
                    });
                    hops.insert(id, Arc::clone(&hop));
                    hop
                }
            };
            route.push(hop);
        }
        match route.pop() {
            Some(target) => Ok(Route::new(route, target)),
            None => Err(super::explain::about_this_machine("").local("a server without an id")),
        }
    }
}

/// The server and its jump hosts, the nearest to the hub last.
fn chain<'a>(id: ServerId, by_id: &HashMap<ServerId, &'a Target>) -> Result<Vec<&'a Target>, CollectError> {
    let mut chain: Vec<&Target> = Vec::new();
    let mut seen = HashSet::new();
    let mut next = Some(id);
    while let Some(id) = next {
        let usable = by_id
            .get(&id)
            .filter(|target| chain.is_empty() || target.server.spec.transport != Transport::Local);
        let Some(target) = usable else {
            return Err(broken(&chain, |about, who| {
                let jump = by_id
                    .get(&id)
                    .map_or_else(|| format!("server {id}"), |jump| jump.server.spec.name.clone());
                about.jump_missing(who, &jump)
            }));
        };
        if !seen.insert(id) {
            let mut names: Vec<String> = chain
                .iter()
                .map(|target| target.server.spec.name.clone())
                .collect();
            names.push(target.server.spec.name.clone());
            return Err(broken(&chain, |about, _| about.jump_cycle(&names)));
        }
        chain.push(target);
        next = target.server.spec.jump_server_id;
    }
    Ok(chain)
}

/// An error about the first server of the chain; `who` is the last one.
fn broken(chain: &[&Target], explain: impl FnOnce(About<'_>, &str) -> CollectError) -> CollectError {
    let name =
        |target: Option<&&Target>| target.map_or(String::new(), |target| target.server.spec.name.clone());
    let who = name(chain.last());
    match chain.first() {
        Some(first) => explain(About::from(&spec_of(first)), &who),
        None => explain(super::explain::about_this_machine(&who), &who),
    }
}

/// How to connect to one server, leaving out the way there.
fn spec_of(target: &Target) -> ConnectSpec {
    let spec = &target.server.spec;
    ConnectSpec {
        name: spec.name.clone(),
        host: spec.ip.clone(),
        port: spec.ssh_port,
        user: spec.ssh_user.clone(),
        credential: target.credential.clone(),
        expected_host_key: target.server.host_key.clone(),
        jump: None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::{
        CollectErrorCode, Secret, Server, Timestamp,
        server::{ServerSpec, SshCredential},
    };

    fn target(id: i64, jump: Option<i64>) -> Target {
        Target {
            server: Server {
                id: ServerId(id),
                spec: ServerSpec {
                    jump_server_id: jump.map(ServerId),
                    ..ServerSpec::new(
                        format!("s{id}"),
                        format!("10.0.0.{id}"),
                        "deploy",
                        Transport::Auto,
                    )
                },
                has_password: true,
                has_key: false,
                host_key: None,
                created_at: Timestamp(0),
                updated_at: Timestamp(0),
            },
            credential: SshCredential {
                password: Some(Secret::new("pw".into())),
                ..SshCredential::default()
            },
        }
    }

    fn key(name: &str) -> HostKey {
        HostKey {
            algorithm: "ssh-ed25519".into(),
            fingerprint: name.into(),
            public_key: name.into(),
        }
    }

    fn plans(targets: Vec<Target>) -> HashMap<ServerId, Plan> {
        let targets: Targets = Arc::new(targets.into_iter().map(Arc::new).collect());
        Planner::default().plan(&targets, Duration::from_secs(30))
    }

    fn names(plan: &Plan) -> Vec<String> {
        match &plan.source {
            Source::Ssh(route) => route.hops().map(|hop| hop.spec.name.clone()).collect(),
            _ => Vec::new(),
        }
    }

    fn error(plan: &Plan) -> &CollectError {
        match &plan.source {
            Source::Broken(error) => error,
            _ => panic!("not broken"),
        }
    }

    #[test]
    fn the_route_begins_at_the_jump_host_nearest_to_the_hub() {
        let plans = plans(vec![target(1, Some(2)), target(2, Some(3)), target(3, None)]);
        assert_eq!(names(&plans[&ServerId(1)]), ["s3", "s2", "s1"]);
        assert_eq!(names(&plans[&ServerId(3)]), ["s3"]);
        let Source::Ssh(route) = &plans[&ServerId(1)].source else {
            panic!()
        };
        assert_eq!(route.target().spec.jump.as_ref().unwrap().name, "s2");
    }

    #[test]
    fn a_circle_of_jump_hosts_is_an_error_that_names_the_circle() {
        let plans = plans(vec![
            target(1, Some(2)),
            target(2, Some(3)),
            target(3, Some(2)),
            target(4, Some(4)),
        ]);
        let circle = error(&plans[&ServerId(1)]);
        assert_eq!(circle.code, CollectErrorCode::JumpHost);
        assert_eq!(circle.params["chain"], "s1 → s2 → s3 → s2");
        assert_eq!(error(&plans[&ServerId(4)]).params["chain"], "s4 → s4");
    }

    #[test]
    fn a_jump_host_that_is_gone_or_no_ssh_server_is_an_error() {
        let mut local = target(2, None);
        local.server.spec.transport = Transport::Local;
        let plans = plans(vec![target(1, Some(2)), local, target(3, Some(9))]);
        assert_eq!(error(&plans[&ServerId(1)]).params["jump"], "s2");
        assert_eq!(error(&plans[&ServerId(3)]).params["jump"], "server 9");
        assert!(matches!(plans[&ServerId(2)].source, Source::Local));
    }

    #[test]
    fn paused_servers_and_those_of_agents_are_not_polled_but_may_be_jumped_through() {
        let mut bare = target(4, None);
        bare.server.spec.ssh_user.clear();
        let mut paused = target(2, None);
        paused.server.spec.enabled = false;
        let mut agent = target(3, None);
        agent.server.spec.transport = Transport::Agent;
        let plans = plans(vec![target(1, Some(2)), paused, agent, bare]);
        assert_eq!(plans.len(), 3);
        assert!(matches!(plans[&ServerId(3)].source, Source::Agent));
        assert!(
            matches!(plans[&ServerId(4)].source, Source::Agent),
            "nobody to log in as"
        );
        assert_eq!(names(&plans[&ServerId(1)]), ["s2", "s1"]);
    }

    #[test]
    fn a_plan_is_restarted_for_what_changes_the_connection_and_for_nothing_else() {
        type Change = fn(&mut Target);
        let table: [(&str, Change, Difference); 10] = [
            ("nothing", |_| {}, Difference::None),
            ("tags", |t| t.server.spec.tags.push("x".into()), Difference::None),
            (
                "thresholds",
                |t| t.server.spec.thresholds.cpu.warning_percent = 1,
                Difference::None,
            ),
            (
                "interval",
                |t| t.server.spec.interval_seconds = Some(5),
                Difference::Other,
            ),
            (
                "address",
                |t| t.server.spec.ip = "10.9.9.9".into(),
                Difference::Other,
            ),
            ("port", |t| t.server.spec.ssh_port = 23, Difference::Other),
            (
                "user",
                |t| t.server.spec.ssh_user = "root".into(),
                Difference::Other,
            ),
            (
                "password",
                |t| t.credential.password = Some(Secret::new("new".into())),
                Difference::Other,
            ),
            (
                "proved key",
                |t| t.server.host_key = Some(key("proved")),
                Difference::PinnedWhatWasProved,
            ),
            (
                "other key",
                |t| t.server.host_key = Some(key("other")),
                Difference::Other,
            ),
        ];
        for (what, change, expected) in table {
            let before = plans(vec![target(1, None)]);
            let mut changed = target(1, None);
            change(&mut changed);
            let after = plans(vec![changed]);
            let difference = before[&ServerId(1)].difference(&after[&ServerId(1)], &[key("proved")]);
            assert_eq!(difference, expected, "{what}");
        }
    }

    #[test]
    fn a_change_of_a_jump_host_restarts_those_behind_it() {
        let before = plans(vec![target(1, Some(2)), target(2, None)]);
        let mut jump = target(2, None);
        jump.credential.password = Some(Secret::new("new".into()));
        let after = plans(vec![target(1, Some(2)), jump]);
        assert_eq!(
            before[&ServerId(1)].difference(&after[&ServerId(1)], &[]),
            Difference::Other
        );
    }
}
