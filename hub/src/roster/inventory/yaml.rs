//! The YAML way: a tree of groups, each with `hosts`, `children` and `vars`.

use std::{collections::HashMap, rc::Rc};

use saphyr_parser::{Event, Parser, ScanError, Span};

use super::{Inventory, MOST_DEPTH, Variable, place};
use crate::roster::{File, Files, Remark, read::Hosts};

/// Nodes that are looked at: anchors can make a small text a large tree.
const MOST_NODES: usize = 500_000;

const TOO_LARGE: &str = "it is too large, or nested too deeply";

/// A value with the line it begins on.
#[derive(Debug)]
struct Node {
    line: usize,
    /// How many collections lie within one another: anchors add to it without adding to the text.
    depth: usize,
    kind: Kind,
}

#[derive(Debug)]
enum Kind {
    Scalar(String),
    List(Vec<Rc<Node>>),
    Map(Vec<(Rc<Node>, Rc<Node>)>),
}

impl Node {
    fn text(&self) -> Option<&str> {
        match &self.kind {
            Kind::Scalar(text) => Some(text),
            _ => None,
        }
    }

    /// `~`, `null` and nothing at all.
    fn is_nothing(&self) -> bool {
        matches!(&self.kind, Kind::Scalar(text) if matches!(text.as_str(), "" | "~" | "null"))
    }
}

/// Reads an inventory in YAML.
pub(in crate::roster) fn parse(file: &File, files: &dyn Files) -> Hosts {
    let mut inventory = Inventory::default();
    match tree(file.text.trim_start_matches('\u{feff}')) {
        Err((line, reason)) => inventory.refuse(Remark::bad_line(reason), &place(file, line)),
        Ok(None) => {}
        Ok(Some(root)) => {
            let mut walk = Walk {
                inventory,
                file,
                left: MOST_NODES,
            };
            match &root.kind {
                Kind::Map(groups) => {
                    for (name, group) in groups {
                        walk.group(name, group, None, 0);
                    }
                }
                _ => walk.refuse(
                    root.line,
                    "an inventory is groups, each with hosts, children and vars below it",
                ),
            }
            inventory = walk.inventory;
        }
    }
    inventory.into_hosts(files)
}

struct Walk<'a> {
    inventory: Inventory,
    file: &'a File,
    left: usize,
}

impl Walk<'_> {
    fn refuse(&mut self, line: usize, fix: &str) {
        self.inventory
            .refuse(Remark::bad_line(fix), &place(self.file, line));
    }

    /// Whether one more node may be looked at.
    fn may_go_on(&mut self) -> bool {
        self.left = self.left.saturating_sub(1);
        self.left > 0
    }

    fn group(&mut self, name: &Node, node: &Node, parent: Option<&str>, depth: usize) {
        if depth > MOST_DEPTH || !self.may_go_on() {
            return;
        }
        let Some(name) = name.text() else {
            return self.refuse(name.line, "the name of a group is a text");
        };
        self.inventory.group(name);
        if let Some(parent) = parent {
            self.inventory.group(parent).children.insert(name.to_owned());
        }
        let parts = match &node.kind {
            Kind::Map(parts) => parts,
            _ if node.is_nothing() => return,
            _ => return self.refuse(node.line, "below a group stand hosts, children and vars"),
        };
        for (key, value) in parts {
            match key.text() {
                Some("hosts") => self.hosts(name, value),
                Some("children") => match &value.kind {
                    Kind::Map(children) => {
                        for (child, node) in children {
                            self.group(child, node, Some(name), depth + 1);
                        }
                    }
                    _ if value.is_nothing() => {}
                    _ => self.refuse(
                        value.line,
                        "children are groups, each with a colon after its name",
                    ),
                },
                Some("vars") => {
                    for (variable, value) in self.variables(value) {
                        self.inventory.group(name).variables.insert(variable, value);
                    }
                }
                _ => self.refuse(key.line, "below a group stand hosts, children and vars"),
            }
        }
    }

    fn hosts(&mut self, group: &str, node: &Node) {
        let nothing = Rc::new(Node {
            line: node.line,
            depth: 0,
            kind: Kind::Scalar(String::new()),
        });
        let hosts: Vec<(Rc<Node>, Rc<Node>)> = match &node.kind {
            Kind::Map(hosts) => hosts.clone(),
            // Not Ansible's own, but often written.
            Kind::List(names) => names
                .iter()
                .map(|name| (Rc::clone(name), Rc::clone(&nothing)))
                .collect(),
            Kind::Scalar(_) if node.is_nothing() => Vec::new(),
            Kind::Scalar(_) => vec![(
                Rc::new(Node {
                    line: node.line,
                    depth: 0,
                    kind: Kind::Scalar(node.text().unwrap_or_default().to_owned()),
                }),
                nothing,
            )],
        };
        for (key, value) in hosts {
            if !self.may_go_on() {
                return;
            }
            let Some(pattern) = key.text() else {
                self.refuse(key.line, "the name of a host is a text");
                continue;
            };
            let names = match self.inventory.expand(pattern) {
                Ok(names) => names,
                Err(reason) => {
                    self.refuse(key.line, &reason);
                    continue;
                }
            };
            let variables = self.variables(&value);
            let place = place(self.file, key.line);
            for name in names {
                let Some(host) = self.inventory.host(&name, group, &place) else {
                    return;
                };
                host.variables.extend(variables.iter().cloned());
            }
        }
    }

    fn variables(&mut self, node: &Node) -> Vec<(String, Variable)> {
        let mut found = Vec::new();
        self.collect(node, &mut found, 0);
        found
    }

    fn collect(&mut self, node: &Node, found: &mut Vec<(String, Variable)>, depth: usize) {
        let parts = match &node.kind {
            Kind::Map(parts) => parts,
            _ if node.is_nothing() => return,
            _ => return self.refuse(node.line, "variables are name: value, one a line"),
        };
        for (key, value) in parts {
            if !self.may_go_on() {
                return;
            }
            match (key.text(), &value.kind) {
                // `<<: *common` comes before what stands beside it.
                (Some("<<"), Kind::Map(_)) if depth < MOST_DEPTH => {
                    let mut merged = Vec::new();
                    self.collect(value, &mut merged, depth + 1);
                    merged.append(found);
                    *found = merged;
                }
                // Only those of the connection: others are large at times, and none of ours.
                (Some(name), Kind::Scalar(text)) if name.starts_with("ansible_") && !value.is_nothing() => {
                    let variable = Variable {
                        text: text.trim().to_owned(),
                        place: place(self.file, value.line),
                    };
                    found.push((name.to_owned(), variable));
                }
                _ => {}
            }
        }
    }
}

/// A collection that is being read.
struct Open {
    line: usize,
    anchor: usize,
    is_map: bool,
    nodes: Vec<Rc<Node>>,
}

/// The first document of a text; or the line and the reason of what is wrong with it.
fn tree(text: &str) -> Result<Option<Rc<Node>>, (usize, String)> {
    let mut open: Vec<Open> = Vec::new();
    let mut anchors: HashMap<usize, Rc<Node>> = HashMap::new();
    let mut nodes = 0;
    for event in Parser::new_from_str(text) {
        let (event, span): (Event<'_>, Span) =
            event.map_err(|error: ScanError| (error.marker().line(), error.to_string()))?;
        let line = span.start.line();
        nodes += 1;
        if nodes > MOST_NODES || open.len() > 4 * MOST_DEPTH {
            return Err((line, TOO_LARGE.to_owned()));
        }
        let (node, anchor) = match event {
            Event::Scalar(text, _, anchor, _) => {
                let kind = Kind::Scalar(text.into_owned());
                let depth = 0;
                (Rc::new(Node { line, depth, kind }), anchor)
            }
            Event::Alias(anchor) => {
                let known = anchors.get(&anchor).cloned();
                let node = known.ok_or_else(|| (line, "an alias stands within its own anchor".to_owned()))?;
                (node, 0)
            }
            Event::SequenceStart(anchor, _) | Event::MappingStart(anchor, _) => {
                open.push(Open {
                    line,
                    anchor,
                    is_map: matches!(event, Event::MappingStart(..)),
                    nodes: Vec::new(),
                });
                continue;
            }
            Event::SequenceEnd | Event::MappingEnd => {
                let Some(done) = open.pop() else { continue };
                let depth = done.nodes.iter().map(|node| node.depth + 1).max().unwrap_or(1);
                if depth > 4 * MOST_DEPTH {
                    return Err((done.line, TOO_LARGE.to_owned()));
                }
                let kind = if done.is_map {
                    let pairs = done.nodes.chunks_exact(2);
                    Kind::Map(
                        pairs
                            .map(|pair| (Rc::clone(&pair[0]), Rc::clone(&pair[1])))
                            .collect(),
                    )
                } else {
                    Kind::List(done.nodes)
                };
                let line = done.line;
                (Rc::new(Node { line, depth, kind }), done.anchor)
            }
            _ => continue,
        };
        if anchor != 0 {
            anchors.insert(anchor, Rc::clone(&node));
        }
        match open.last_mut() {
            Some(outer) => outer.nodes.push(node),
            None => return Ok(Some(node)),
        }
    }
    Ok(None)
}
