//! The way to each candidate: which other one, or which enrolled server, it is reached through.

use std::collections::{BTreeMap, HashMap};

use super::Defaults;
use crate::{
    model::{Server, ServerId},
    roster::{Candidate, Field, Hop, Remark},
};

/// What a server is reached through.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Jump {
    /// Straight.
    None,
    /// An enrolled server.
    Server(ServerId),
    /// Another row of the plan.
    Row(usize),
}

/// Jump hosts behind one another, as the store allows.
const MOST_JUMPS: usize = 8;

pub(super) struct Ways {
    /// Of each candidate; `Ok(None)`: nothing is said.
    ways: Vec<Result<Option<Jump>, Remark>>,
}

impl Ways {
    /// Finds the way to each. Jump hosts that are nowhere else become candidates of their own.
    pub(super) fn find(candidates: &mut Vec<Candidate>, enrolled: &[Server], defaults: &Defaults) -> Self {
        let mut finder = Finder {
            by_name: HashMap::new(),
            enrolled_by_name: enrolled
                .iter()
                .map(|server| (server.spec.name.as_str(), server.id))
                .collect(),
            enrolled_by_endpoint: enrolled
                .iter()
                .map(|server| ((server.spec.ip.as_str(), server.spec.ssh_port), server.id))
                .collect(),
            made: BTreeMap::new(),
            fixed: HashMap::new(),
            default_port: defaults.port,
        };
        for (index, candidate) in candidates.iter().enumerate() {
            finder.by_name.entry(candidate.name.clone()).or_insert(index);
        }
        let mut ways = Vec::new();
        // The list grows while it is walked: a jump host may need one itself.
        while ways.len() < candidates.len() {
            let index = ways.len();
            let way = match (finder.fixed.get(&index), candidates[index].jumps.clone()) {
                (Some(jump), _) => Some(*jump),
                (None, None) => None,
                (None, Some(hops)) => Some(finder.chain(candidates, &hops, index)),
            };
            ways.push(Ok(way));
        }
        let mut found = Self { ways };
        found.refuse_circles(candidates);
        found
    }

    fn refuse_circles(&mut self, candidates: &[Candidate]) {
        for index in 0..self.ways.len() {
            let mut names = vec![candidates[index].name.clone()];
            let mut next = index;
            while let Ok(Some(Jump::Row(jump))) = self.ways[next] {
                names.push(candidates[jump].name.clone());
                if jump == index || names.len() > MOST_JUMPS + 1 {
                    let reason = if jump == index {
                        format!("the way goes in a circle: {}", names.join(" → "))
                    } else {
                        format!("more than {MOST_JUMPS} jump hosts lie one behind the other")
                    };
                    let through = names.get(1).cloned().unwrap_or_default();
                    self.ways[index] = Err(Remark::bad_jump(&through, &reason).at(&candidates[index].place));
                    break;
                }
                next = jump;
            }
        }
    }

    pub(super) fn of(&self, index: usize) -> &Result<Option<Jump>, Remark> {
        &self.ways[index]
    }

    /// So that each comes after the one it is reached through.
    pub(super) fn order(&self) -> Vec<usize> {
        let depth = |index: usize| {
            let mut depth = 0;
            let mut next = index;
            while let Ok(Some(Jump::Row(jump))) = self.ways[next] {
                depth += 1;
                next = jump;
                if depth > MOST_JUMPS + 1 {
                    break;
                }
            }
            depth
        };
        let mut order: Vec<usize> = (0..self.ways.len()).collect();
        order.sort_by_key(|index| depth(*index));
        order
    }
}

struct Finder<'a> {
    by_name: HashMap<String, usize>,
    enrolled_by_name: HashMap<&'a str, ServerId>,
    enrolled_by_endpoint: HashMap<(&'a str, u16), ServerId>,
    /// Jump hosts that were made for a chain, by the hop and what lies before it.
    made: BTreeMap<(Hop, Jump), usize>,
    /// The way to candidates that a chain says it of, and not their own lines.
    fixed: HashMap<usize, Jump>,
    default_port: u16,
}

impl Finder<'_> {
    /// The last hop of a chain, reached through the others.
    fn chain(&mut self, candidates: &mut Vec<Candidate>, hops: &[Hop], of: usize) -> Jump {
        let mut before: Option<(Jump, Hop)> = None;
        for hop in hops {
            let jump = self.one(candidates, hop, before.as_ref(), of);
            before = Some((jump, hop.clone()));
        }
        before.map_or(Jump::None, |(jump, _)| jump)
    }

    fn one(
        &mut self,
        candidates: &mut Vec<Candidate>,
        hop: &Hop,
        before: Option<&(Jump, Hop)>,
        of: usize,
    ) -> Jump {
        let named = self.by_name.get(&hop.host).copied();
        if let Some(index) = named
            && index != of
            && agrees(&candidates[index], hop, self.default_port)
        {
            match (&candidates[index].jumps, before) {
                // The first of a chain is reached as its own lines say.
                (_, None) => return Jump::Row(index),
                (Some(own), Some((_, through))) if own.last() == Some(through) => return Jump::Row(index),
                (None, Some((jump, _)))
                    if candidates[index].is_only_hop
                        && index > of
                        && self.fixed.get(&index).is_none_or(|known| known == jump) =>
                {
                    self.fixed.insert(index, *jump);
                    return Jump::Row(index);
                }
                _ => {}
            }
        }
        if before.is_none() && named.is_none_or(|index| index == of) {
            let port = hop.port.unwrap_or(self.default_port);
            let enrolled = self
                .enrolled_by_name
                .get(hop.host.as_str())
                .or_else(|| self.enrolled_by_endpoint.get(&(hop.host.as_str(), port)));
            if let Some(id) = enrolled {
                return Jump::Server(*id);
            }
        }
        let key = (hop.clone(), before.map_or(Jump::None, |(jump, _)| *jump));
        if let Some(index) = self.made.get(&key) {
            return Jump::Row(*index);
        }
        let mut made = match named.filter(|index| *index != of) {
            Some(index) => candidates[index].clone(),
            None => Candidate::new(&hop.host, candidates[of].place.clone()),
        };
        if made.text(Field::Ip).is_none() {
            made.state(Field::Ip, &hop.host);
        }
        made.place = candidates[of].place.clone();
        made.is_only_hop = true;
        made.name = hop.to_string();
        if let Some(port) = hop.port {
            made.state(Field::SshPort, port.to_string());
        }
        if let Some(user) = &hop.user {
            made.state(Field::SshUser, user);
        }
        let mut way = None;
        if let Some((jump, through)) = before {
            made.name = format!("{hop} via {through}");
            way = Some(*jump);
        } else if self.by_name.contains_key(&made.name) && named.is_none() {
            made.name = format!("{} (jump host)", made.name);
        }
        let index = candidates.len();
        self.by_name.entry(made.name.clone()).or_insert(index);
        candidates.push(made);
        if let Some(way) = way {
            self.fixed.insert(index, way);
        }
        self.made.insert(key, index);
        Jump::Row(index)
    }
}

/// Whether what a hop says fits what is known of the candidate of its name.
fn agrees(candidate: &Candidate, hop: &Hop, default_port: u16) -> bool {
    let user = hop.user.as_deref();
    let own_user = candidate.text(Field::SshUser);
    let own_port = candidate.port().unwrap_or(default_port);
    (user.is_none() || own_user.is_none() || user == own_user) && hop.port.is_none_or(|port| port == own_port)
}
