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
    ssh::{Hop, KeyCell, Route},
};
use crate::model::{
    CollectError, CredentialId, HostKey, ServerId, Transport,
    server::{Endpoint, SshCredential},
};

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
    /// In what counts for the next connection alone: host keys that the running one proved, somebody
    /// more who may vouch for hosts. Nothing need be restarted.
    Later,
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
            let (before, after) = (&old.spec.authorities, &new.spec.authorities);
            if before != after {
                // Whoever vouched must still be there, and no key may be revoked in a running session.
                let lost = before.iter().any(|one| !after.contains(one));
                let revoked = after.iter().any(|one| one.revoked && !before.contains(one));
                if lost || revoked {
                    return Difference::Other;
                }
                difference = Difference::Later;
            }
            let (old, new) = (&old.spec.expected_host_key, &new.spec.expected_host_key);
            if old != new {
                if new.is_none() || new.as_ref() != proved.get(index) {
                    return Difference::Other;
                }
                difference = Difference::Later;
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
    /// The keys of shared credentials, each opened once for all its servers.
    keys: HashMap<CredentialId, (SshCredential, Arc<KeyCell>)>,
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
                Transport::Auto if target.server.login_name().is_empty() => Source::Agent,
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
        let used: HashSet<CredentialId> = targets
            .iter()
            .filter_map(|target| target.server.spec.credential_id)
            .collect();
        self.keys.retain(|id, _| used.contains(id));
        plans
    }

    /// The key of a server's shared credential.
    fn shared_key(&mut self, target: &Target) -> Option<Arc<KeyCell>> {
        let id = target.server.spec.credential_id?;
        let known = self.keys.get(&id);
        if let Some((credential, key)) = known
            && *credential == target.credential
        {
            return Some(Arc::clone(key));
        }
        let key = Arc::<KeyCell>::default();
        self.keys
            .insert(id, (target.credential.clone(), Arc::clone(&key)));
        Some(key)
    }

    fn route(
        &mut self,
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
                    let hop = match self.hops.get(&id) {
                        Some(old) => old.with_spec(spec),
                        None => Hop::new(spec),
                    };
                    let hop = Arc::new(match self.shared_key(target) {
                        Some(key) => hop.sharing(key),
                        None => hop,
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
        user: target.server.login_name().to_owned(),
        credential: target.credential.clone(),
        expected_host_key: target.server.host_key.clone(),
        authorities: Arc::clone(&target.authorities),
        jump: None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::{
        CollectErrorCode, Secret, Server, Timestamp,
        host_authority::HostAuthoritySpec,
        server::{CredentialUse, ServerSpec},
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
                credential: None,
                host_key: None,
                created_at: Timestamp(0),
                updated_at: Timestamp(0),
            },
            credential: SshCredential {
                password: Some(Secret::new("pw".into())),
                ..SshCredential::default()
            },
            authorities: Arc::default(),
        }
    }

    fn authority(letter: char, revoked: bool) -> Arc<HostAuthoritySpec> {
        Arc::new(HostAuthoritySpec {
            public_key: key(&letter.to_string()),
            patterns: "*".into(),
            revoked,
            comment: String::new(),
        })
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
        let table: [(&str, Change, Difference); 13] = [
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
                Difference::Later,
            ),
            (
                "one more authority",
                |t| t.authorities = [authority('a', false), authority('b', false)].into(),
                Difference::Later,
            ),
            (
                "an authority less",
                |t| t.authorities = Arc::default(),
                Difference::Other,
            ),
            (
                "a revoked key",
                |t| t.authorities = [authority('a', false), authority('b', true)].into(),
                Difference::Other,
            ),
            (
                "other key",
                |t| t.server.host_key = Some(key("other")),
                Difference::Other,
            ),
        ];
        let vouched = || Target {
            authorities: [authority('a', false)].into(),
            ..target(1, None)
        };
        for (what, change, expected) in table {
            let before = plans(vec![vouched()]);
            let mut changed = vouched();
            change(&mut changed);
            let after = plans(vec![changed]);
            let difference = before[&ServerId(1)].difference(&after[&ServerId(1)], &[key("proved")]);
            assert_eq!(difference, expected, "{what}");
        }
    }

    #[test]
    fn a_shared_key_is_opened_once_for_all_its_servers_and_anew_when_it_is_rotated() {
        let shared = |id, password: &str| {
            let mut one = target(id, None);
            one.server.spec.ssh_user.clear();
            one.server.spec.credential_id = Some(CredentialId(7));
            one.server.credential = Some(CredentialUse {
                id: CredentialId(7),
                name: "fleet".into(),
                kind: crate::model::credential::CredentialKind::Key,
                ssh_user: "gander".into(),
            });
            one.credential.password = Some(Secret::new(password.into()));
            Arc::new(one)
        };
        let interval = Duration::from_secs(30);
        let mut planner = Planner::default();
        let mut key_of = |password: &str| {
            let targets: Targets = Arc::new(vec![shared(1, password), shared(2, password)]);
            let plans = planner.plan(&targets, interval);
            for plan in plans.values() {
                let Source::Ssh(route) = &plan.source else {
                    panic!("nobody to log in as")
                };
                assert_eq!(route.target().spec.user, "gander");
            }
            let keys: Vec<_> = planner.keys.values().map(|(_, key)| Arc::clone(key)).collect();
            assert_eq!(keys.len(), 1);
            // The planner's, this one, and one a hop.
            assert_eq!(Arc::strong_count(&keys[0]), 4);
            Arc::clone(&keys[0])
        };
        let first = key_of("old");
        drop(first.clone());
        let weak = Arc::downgrade(&first);
        drop(first);
        let again = key_of("old");
        assert!(std::ptr::eq(Arc::as_ptr(&again), weak.as_ptr()));
        drop(again);
        assert!(!std::ptr::eq(Arc::as_ptr(&key_of("new")), weak.as_ptr()));
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
