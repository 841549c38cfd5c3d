//! An OpenSSH client's configuration, as `ssh_config(5)` means it: for each host, the first value that
//! is found for a keyword holds, in the blocks that match the host, from top to bottom.
//!
//! Every name of a `Host` line that is no pattern is a host. Patterns give values to those. Of `Match`
//! only `all`, `host` and `originalhost` are asked; a block with anything else counts as not matching,
//! and is remarked on, because what it asks (a command, a user, a network) is not known here.

use std::{
    collections::{BTreeSet, HashMap},
    rc::Rc,
};

use super::{
    Candidate, Field, File, Files, Hop, KeyFile, MOST_HOSTS, Place, Remark,
    files::{glob, is_private_key},
    read::Hosts,
    shell_words::{hops, jump_of_command, words},
};
use crate::model::Secret;

/// `Include` within `Include`, as in OpenSSH.
const MOST_DEPTH: usize = 16;
/// Lines over all included files.
const MOST_LINES: usize = 200_000;
/// Jump hosts behind one another.
const MOST_HOPS: usize = 8;

/// What a block asks of a host.
#[derive(Debug)]
enum Condition {
    /// The patterns of a `Host` line.
    Host(Vec<String>),
    /// The criteria of a `Match` line: whether it is about the name as given, negated, the patterns.
    Match(Vec<(bool, bool, Vec<String>)>),
    /// Something that is not known here.
    Never,
}

/// A run of lines under one condition.
#[derive(Debug)]
struct Block {
    /// Those of the blocks it was included from as well: all must hold.
    conditions: Vec<Rc<Condition>>,
    lines: Vec<Line>,
}

#[derive(Debug)]
struct Line {
    keyword: String,
    words: Vec<String>,
    place: Place,
}

/// Reads a configuration and everything it includes.
pub(super) fn parse(file: &File, files: &dyn Files) -> Hosts {
    let mut reader = Reader {
        files,
        blocks: Vec::new(),
        names: Vec::new(),
        seen: BTreeSet::new(),
        hosts: Hosts::default(),
        lines: 0,
    };
    reader.read(file, &[], 0);
    let Reader {
        blocks,
        names,
        mut hosts,
        ..
    } = reader;
    let config = Config::new(&blocks, files);
    let mut wanted: Vec<(String, Place)> = Vec::new();
    for (name, place) in &names {
        let candidate = config.candidate(name, place.clone());
        wanted.extend(hop_names(&candidate));
        hosts.candidates.push(candidate);
    }
    // Jump hosts may lie behind others, and be described by patterns alone.
    let mut known: BTreeSet<String> = names.into_iter().map(|(name, _)| name).collect();
    while let Some((name, place)) = wanted.pop() {
        if hosts.candidates.len() >= 2 * MOST_HOSTS || !known.insert(name.clone()) {
            continue;
        }
        let mut candidate = config.candidate(&name, place);
        candidate.is_only_hop = true;
        wanted.extend(hop_names(&candidate));
        hosts.candidates.push(candidate);
    }
    hosts
}

fn hop_names(candidate: &Candidate) -> impl Iterator<Item = (String, Place)> {
    let hops = candidate.jumps.iter().flatten();
    hops.map(|hop| (hop.host.clone(), candidate.place.clone()))
        .collect::<Vec<_>>()
        .into_iter()
}

struct Reader<'a> {
    files: &'a dyn Files,
    blocks: Vec<Block>,
    names: Vec<(String, Place)>,
    seen: BTreeSet<String>,
    hosts: Hosts,
    lines: usize,
}

impl Reader<'_> {
    fn read(&mut self, file: &File, outer: &[Rc<Condition>], depth: usize) {
        let begin = |conditions: Vec<Rc<Condition>>| Block {
            conditions,
            lines: Vec::new(),
        };
        let mut block = begin(outer.to_vec());
        for (number, text) in (1..).zip(file.text.trim_start_matches('\u{feff}').lines()) {
            self.lines += 1;
            if self.lines > MOST_LINES {
                break;
            }
            let place = Place {
                file: file.name.clone(),
                line: number,
            };
            let Some((keyword, arguments)) = split(text) else {
                continue;
            };
            let words = match words(arguments) {
                Ok(words) if !words.is_empty() => words,
                Ok(_) => {
                    let remark = Remark::bad_line(format!("{keyword} has no value"));
                    self.hosts.remarks.push(remark.at(&place));
                    continue;
                }
                Err(reason) => {
                    self.hosts.remarks.push(Remark::bad_line(reason).at(&place));
                    continue;
                }
            };
            match keyword.as_str() {
                "host" | "match" => {
                    let condition = if keyword == "host" {
                        self.host(&words, &place);
                        Condition::Host(words)
                    } else {
                        self.condition(&words, &place)
                    };
                    let mut conditions = outer.to_vec();
                    conditions.push(Rc::new(condition));
                    self.blocks.push(std::mem::replace(&mut block, begin(conditions)));
                }
                "include" => {
                    // What is included stands in the place of the line, under the conditions there.
                    let conditions = block.conditions.clone();
                    self.blocks
                        .push(std::mem::replace(&mut block, begin(conditions.clone())));
                    for pattern in &words {
                        self.include(pattern, &conditions, depth, &place);
                    }
                }
                _ => block.lines.push(Line {
                    keyword,
                    words,
                    place,
                }),
            }
        }
        self.blocks.push(block);
    }

    fn include(&mut self, pattern: &str, conditions: &[Rc<Condition>], depth: usize, place: &Place) {
        if depth + 1 >= MOST_DEPTH {
            let remark = Remark::bad_line(format!("more than {MOST_DEPTH} files include one another"));
            self.hosts.remarks.push(remark.at(place));
            return;
        }
        let found = self.files.open(pattern);
        // A pattern that fits nothing is no mistake, as with OpenSSH.
        if found.is_empty() && !pattern.contains(['*', '?']) {
            self.hosts.remarks.push(Remark::missing_file(pattern).at(place));
        }
        for file in found {
            if !is_private_key(&file.text) {
                self.read(&file, conditions, depth + 1);
            }
        }
    }

    /// Notes the hosts of a `Host` line.
    fn host(&mut self, words: &[String], place: &Place) {
        let mut has_name = false;
        for word in words {
            if word.contains(['*', '?']) || word.starts_with('!') {
                continue;
            }
            has_name = true;
            if !self.seen.insert(word.clone()) {
                continue;
            }
            if self.names.len() >= MOST_HOSTS {
                self.hosts.too_many();
                return;
            }
            self.names.push((word.clone(), place.clone()));
        }
        if !has_name {
            let mut pattern = Candidate::new(words.join(" "), place.clone());
            pattern.remarks.push(Remark::pattern_only().at(place));
            self.hosts.candidates.push(pattern);
        }
    }

    fn condition(&mut self, words: &[String], place: &Place) -> Condition {
        let mut criteria = Vec::new();
        let mut words = words.iter();
        while let Some(word) = words.next() {
            let (is_negated, name) = match word.strip_prefix('!') {
                Some(name) => (true, name),
                None => (false, word.as_str()),
            };
            let (name, inline) = match name.split_once('=') {
                Some((name, value)) => (name, Some(value.to_owned())),
                None => (name, None),
            };
            match name.to_ascii_lowercase().as_str() {
                "all" if !is_negated => {}
                kind @ ("host" | "originalhost") => {
                    let Some(patterns) = inline.or_else(|| words.next().cloned()) else {
                        self.hosts
                            .remarks
                            .push(Remark::bad_line(format!("Match {name} has no pattern")).at(place));
                        return Condition::Never;
                    };
                    let patterns = patterns.split(',').map(str::to_owned).collect();
                    criteria.push((kind == "originalhost", is_negated, patterns));
                }
                _ => {
                    self.hosts
                        .remarks
                        .push(Remark::not_supported(&format!("Match {word}")).at(place));
                    return Condition::Never;
                }
            }
        }
        Condition::Match(criteria)
    }
}

/// Keyword (lower case) and the rest of a line; `None` for a comment or an empty one.
fn split(line: &str) -> Option<(String, &str)> {
    let line = line.trim();
    if line.is_empty() || line.starts_with('#') {
        return None;
    }
    let end = line
        .find(|c: char| c.is_whitespace() || c == '=' || c == '"')
        .unwrap_or(line.len());
    let (keyword, rest) = line.split_at(end);
    let rest = rest.trim_start();
    let rest = rest.strip_prefix('=').unwrap_or(rest);
    Some((keyword.to_ascii_lowercase(), rest.trim_start()))
}

/// Whether a list of patterns holds a name: one fits, and none with `!` does.
fn holds(patterns: &[String], name: &str) -> bool {
    let mut held = false;
    for pattern in patterns {
        match pattern.strip_prefix('!') {
            Some(excluded) if glob(excluded, name) => return false,
            None if glob(pattern, name) => held = true,
            _ => {}
        }
    }
    held
}

struct Config<'a> {
    blocks: &'a [Block],
    /// Blocks that only hosts of these names can match, by name.
    of_name: HashMap<&'a str, Vec<usize>>,
    /// Blocks that others may match too.
    others: Vec<usize>,
    files: &'a dyn Files,
}

impl<'a> Config<'a> {
    fn new(blocks: &'a [Block], files: &'a dyn Files) -> Self {
        let mut of_name: HashMap<&str, Vec<usize>> = HashMap::new();
        let mut others = Vec::new();
        for (index, block) in blocks.iter().enumerate() {
            if block.lines.is_empty() {
                continue;
            }
            // A fleet's configuration is mostly blocks of one name: those are looked up, not tried.
            let names = block.conditions.iter().find_map(|condition| match &**condition {
                Condition::Host(words) if !words.iter().any(|word| word.contains(['*', '?', '!'])) => {
                    Some(words)
                }
                _ => None,
            });
            match names {
                Some(names) => {
                    for name in names {
                        of_name.entry(name).or_default().push(index);
                    }
                }
                None => others.push(index),
            }
        }
        Self {
            blocks,
            of_name,
            others,
            files,
        }
    }

    /// What the configuration says of a host.
    fn candidate(&self, name: &str, place: Place) -> Candidate {
        let mut indices = self.others.clone();
        indices.extend(self.of_name.get(name).into_iter().flatten());
        indices.sort_unstable();
        indices.dedup();

        let mut first: HashMap<&str, &Line> = HashMap::new();
        let mut identities: Vec<&Line> = Vec::new();
        let mut proxy: Option<&Line> = None;
        for block in indices.into_iter().map(|index| &self.blocks[index]) {
            let host = first
                .get("hostname")
                .map_or_else(|| name.to_owned(), |line| expand_host(&line.words[0], name));
            let is_met = |condition: &Rc<Condition>| match &**condition {
                Condition::Host(patterns) => holds(patterns, name),
                Condition::Match(criteria) => criteria.iter().all(|(is_original, is_negated, patterns)| {
                    holds(patterns, if *is_original { name } else { &host }) != *is_negated
                }),
                Condition::Never => false,
            };
            if !block.conditions.iter().all(is_met) {
                continue;
            }
            for line in &block.lines {
                match line.keyword.as_str() {
                    "identityfile" => identities.push(line),
                    // Whichever comes first rules the other out.
                    "proxyjump" | "proxycommand" => proxy = proxy.or(Some(line)),
                    keyword => {
                        first.entry(keyword).or_insert(line);
                    }
                }
            }
        }

        let mut candidate = Candidate::new(name, place);
        let mut state = |field, keyword: &str, text: fn(&str, &str) -> String| {
            if let Some(line) = first.get(keyword) {
                candidate.state_at(field, text(&line.words[0], name), line.place.clone(), None);
            }
        };
        state(Field::Ip, "hostname", expand_host);
        state(Field::SshPort, "port", |word, _| word.to_owned());
        state(Field::SshUser, "user", |word, _| word.to_owned());
        if let Some(line) = proxy {
            self.way(&mut candidate, line);
        }
        self.key(&mut candidate, &identities);
        candidate
    }

    fn way(&self, candidate: &mut Candidate, line: &Line) {
        let text = line.words.join(" ");
        let found = if line.keyword == "proxyjump" {
            hops(&text).map(Some)
        } else {
            jump_of_command(&text)
        };
        match found {
            Some(Some(mut hops)) => {
                if hops.len() > MOST_HOPS {
                    let remark = Remark::bad_jump(&text, "it is a chain of more than 8");
                    candidate.remarks.push(remark.at(&line.place));
                    hops.clear();
                }
                // A host of a pattern like `*` is not gone to through itself.
                let is_itself = |hop: &Hop| hop.host == candidate.name;
                if !hops.iter().any(is_itself) {
                    candidate.jumps = Some(hops);
                }
            }
            Some(None) => {}
            None if line.keyword == "proxyjump" => {
                let remark = Remark::bad_value(
                    "ProxyJump",
                    &text,
                    "write user@host:port, several with commas between",
                );
                candidate.remarks.push(remark.at(&line.place));
            }
            None => {
                let remark = Remark::bad_value(
                    "ProxyCommand",
                    &text,
                    "only ssh -W %h:%p HOST can be followed; write ProxyJump HOST",
                );
                candidate.remarks.push(remark.at(&line.place));
            }
        }
    }

    /// The first key file that is there.
    fn key(&self, candidate: &mut Candidate, identities: &[&Line]) {
        let mut missing = None;
        for line in identities {
            let Some(path) = expand_path(&line.words[0], candidate) else {
                candidate
                    .remarks
                    .push(Remark::not_supported(&format!("IdentityFile {}", line.words[0])).at(&line.place));
                continue;
            };
            if path.eq_ignore_ascii_case("none") {
                continue;
            }
            match self.files.open(&path).into_iter().next() {
                Some(file) => {
                    let text = Some(Secret::new(file.text.to_string()));
                    candidate.key = Some(KeyFile::new(path, text));
                    return;
                }
                None => {
                    missing.get_or_insert(path);
                }
            }
        }
        candidate.key = missing.map(|path| KeyFile::new(path, None));
    }
}

/// `%h` is the name as given, `%%` a percent sign.
fn expand_host(text: &str, name: &str) -> String {
    text.replace("%%", "\0").replace("%h", name).replace('\0', "%")
}

/// The tokens of a path that can be known here; `None`: it holds another.
fn expand_path(text: &str, candidate: &Candidate) -> Option<String> {
    let mut path = String::new();
    let mut characters = text.chars();
    while let Some(character) = characters.next() {
        if character != '%' {
            path.push(character);
            continue;
        }
        match characters.next()? {
            '%' => path.push('%'),
            'd' => path.push('~'),
            'h' => path.push_str(candidate.address()),
            'n' => path.push_str(&candidate.name),
            'p' => path.push_str(candidate.text(Field::SshPort).unwrap_or("22")),
            'r' => path.push_str(candidate.text(Field::SshUser)?),
            _ => return None,
        }
    }
    (!path.contains("${")).then_some(path)
}
