//! The direction of dependency, as ARCHITECTURE.md draws it, checked in the sources.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    reason = "a test fails by panicking"
)]

use std::{
    collections::{BTreeMap, BTreeSet},
    fs,
    path::{Path, PathBuf},
};

/// Each part of the hub with the parts it may know.
const MAY_KNOW: &[(&str, &[&str])] = &[
    ("model", &[]),
    ("store", &["model"]),
    ("alert", &["model"]),
    ("collect", &["model"]),
    ("live", &["model"]),
    ("backup", &["model", "store"]),
    ("sheet", &["model", "store", "alert"]),
    ("import", &["model", "store", "collect", "roster"]),
    ("roster", &["model"]),
    ("config", &["model"]),
    ("log", &["config"]),
    ("ingest", &["model", "store", "alert", "live"]),
    (
        "api",
        &[
            "model", "store", "alert", "live", "ingest", "collect", "backup", "sheet", "roster", "import",
        ],
    ),
    ("grpc", &["model", "store", "alert", "live", "ingest", "collect"]),
    (
        "app",
        &[
            "grpc", "model", "store", "alert", "live", "ingest", "collect", "backup", "api", "config", "log",
        ],
    ),
    (
        "cli",
        &[
            "grpc", "model", "store", "alert", "live", "ingest", "collect", "backup", "sheet", "import",
            "roster", "api", "config", "log", "app",
        ],
    ),
];

/// Crates that are known in one place only.
const KNOWN_IN: &[(&str, &str)] = &[
    ("sqlx", "store"),
    ("russh", "collect/ssh"),
    ("axum", "api"),
    ("tonic", "grpc"),
    ("rcgen", "grpc"),
    ("gander_proto", "grpc"),
    ("clap", "cli"),
    ("sd_notify", "app"),
];

/// Files that may be longer than [`LONGEST`], each with its reason.
const LONG_FILES: &[(&str, &str)] = &[(
    "store/servers.rs",
    "every query on servers: their rows, secrets and pins change together",
)];
/// Lines before the tests at the end of a file.
const LONGEST: usize = 500;

fn sources() -> Vec<(String, String)> {
    fn walk(directory: &Path, found: &mut Vec<PathBuf>) {
        for entry in fs::read_dir(directory).unwrap() {
            let path = entry.unwrap().path();
            if path.is_dir() {
                walk(&path, found);
            } else if path.extension().is_some_and(|extension| extension == "rs") {
                found.push(path);
            }
        }
    }
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("src");
    let mut found = Vec::new();
    walk(&root, &mut found);
    found.sort();
    assert!(found.len() > 30, "the sources were not found");
    found
        .iter()
        .map(|path| {
            let name = path.strip_prefix(&root).unwrap().display().to_string();
            (name, fs::read_to_string(path).unwrap())
        })
        .collect()
}

/// The part of the hub a file belongs to: `store/open.rs` and `app.rs` to `store` and `app`.
fn part_of(file: &str) -> &str {
    file.split('/').next().unwrap().trim_end_matches(".rs")
}

/// The text without line comments, so that prose may name what it likes.
fn code(text: &str) -> String {
    let lines = text.lines().map(|line| match line.find("//") {
        // Not the `//` of an address in a string.
        Some(at) if !line[..at].ends_with(':') => &line[..at],
        _ => line,
    });
    lines.collect::<Vec<_>>().join("\n")
}

/// The names that follow a path prefix: of `crate::a::b` it is `a`, of `crate::{a::b, c}` `a` and `c`.
fn names_after(prefix: &str, code: &str) -> BTreeSet<String> {
    let mut names = BTreeSet::new();
    for (at, _) in code.match_indices(prefix) {
        let is_whole = !code[..at].ends_with(|c: char| c.is_alphanumeric() || c == '_' || c == ':');
        if !is_whole {
            continue;
        }
        let rest = &code[at + prefix.len()..];
        let word = |text: &str| -> String {
            text.trim_start()
                .chars()
                .take_while(|c| c.is_alphanumeric() || *c == '_')
                .collect()
        };
        let Some(group) = rest.strip_prefix('{') else {
            names.insert(word(rest));
            continue;
        };
        let mut depth = 0;
        let mut start = 0;
        for (index, character) in group.char_indices() {
            match character {
                '{' => depth += 1,
                ',' if depth == 0 => {
                    names.insert(word(&group[start..index]));
                    start = index + 1;
                }
                '}' if depth == 0 => {
                    names.insert(word(&group[start..index]));
                    break;
                }
                '}' => depth -= 1,
                _ => {}
            }
        }
    }
    names.remove("");
    names
}

/// The parts a file names.
fn known_parts(file: &str, text: &str) -> BTreeSet<String> {
    let parts: BTreeSet<&str> = MAY_KNOW.iter().map(|(part, _)| *part).collect();
    let code = code(text);
    // As many steps up as lead out of the file's own part.
    let depth = file.trim_end_matches("/mod.rs").matches('/').count();
    let way_out = "super::".repeat(depth + 1);
    let mut names = names_after("crate::", &code);
    names.extend(names_after(&way_out, &code));
    names.retain(|name| parts.contains(name.as_str()) && name != part_of(file));
    names
}

#[test]
fn every_part_knows_only_what_it_may() {
    let rules: BTreeMap<&str, &[&str]> = MAY_KNOW.iter().copied().collect();
    let mut wrong = Vec::new();
    for (file, text) in sources() {
        let part = part_of(&file);
        if part == "lib" || part == "main" {
            continue;
        }
        let Some(may) = rules.get(part) else {
            wrong.push(format!(
                "{file}: {part} is a new part of the hub: add it to MAY_KNOW"
            ));
            continue;
        };
        for known in known_parts(&file, &text) {
            if !may.contains(&known.as_str()) {
                wrong.push(format!("{file}: {part} must not know {known}"));
            }
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

#[test]
fn some_crates_are_known_in_one_place_only() {
    let mut wrong = Vec::new();
    for (name, place) in KNOWN_IN {
        let mut is_used = false;
        for (file, text) in sources() {
            let code = code(&text);
            let path = format!("{name}::");
            let names_it = code
                .match_indices(&path)
                .any(|(at, _)| !code[..at].ends_with(|c: char| c.is_alphanumeric() || c == '_'));
            let is_inside = file.starts_with(&format!("{place}/")) || file == format!("{place}.rs");
            is_used |= names_it && is_inside;
            if names_it && !is_inside {
                wrong.push(format!("{file}: {name} belongs to {place}/ only"));
            }
        }
        assert!(
            is_used,
            "{name} is not used in {place} at all: the rule checks nothing"
        );
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

#[test]
fn files_have_one_subject_and_say_it() {
    let reasons: BTreeMap<&str, &str> = LONG_FILES.iter().copied().collect();
    let mut wrong = Vec::new();
    for (file, text) in sources() {
        let is_code = |line: &&str| *line != "#[cfg(test)]";
        let lines = text.lines().take_while(is_code).count();
        let is_test = file.ends_with("tests.rs") || file.contains("tests/");
        if lines > LONGEST && !is_test && !reasons.contains_key(file.as_str()) {
            wrong.push(format!(
                "{file} has {lines} lines: look for its second subject, or give a reason"
            ));
        }
        if lines <= LONGEST && reasons.contains_key(file.as_str()) {
            wrong.push(format!("{file} is short again: take it off the list"));
        }
        if !is_test && !text.starts_with("//!") {
            wrong.push(format!("{file} does not say what it is for in its first line"));
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

/// The probe is pure: what it needs, directly or not, brings no runtime, no SSH and no database.
#[test]
fn the_probe_depends_on_no_runtime() {
    let lock = Path::new(env!("CARGO_MANIFEST_DIR")).join("../Cargo.lock");
    let lock: toml::Table = toml::from_str(&fs::read_to_string(lock).unwrap()).unwrap();
    let mut needs: BTreeMap<&str, Vec<&str>> = BTreeMap::new();
    for package in lock["package"].as_array().unwrap() {
        let list = package.get("dependencies").and_then(toml::Value::as_array);
        let names = list
            .into_iter()
            .flatten()
            // `name` or `name version`
            .map(|entry| entry.as_str().unwrap().split(' ').next().unwrap());
        needs
            .entry(package["name"].as_str().unwrap())
            .or_default()
            .extend(names);
    }
    let mut reached = BTreeSet::new();
    let mut open = vec!["gander-probe"];
    while let Some(name) = open.pop() {
        if reached.insert(name) {
            open.extend(&needs[name]);
        }
    }
    assert!(reached.contains("rustix"), "the lock file was not understood");
    for forbidden in ["tokio", "russh", "sqlx", "axum", "gander-hub"] {
        assert!(
            !reached.contains(forbidden),
            "gander-probe depends on {forbidden}"
        );
    }
}

/// The checks above would find what they look for.
#[test]
fn the_scanner_sees_every_way_to_write_a_path() {
    let text = "use crate::{\n    alert::{Engine, Policy},\n    store::Store,\n};\nfn f() { crate::live::x(); }\n// crate::api\n";
    let found = known_parts("ingest/mod.rs", text);
    let found: Vec<&str> = found.iter().map(String::as_str).collect();
    assert_eq!(found, ["alert", "live", "store"]);
    assert!(known_parts("store/mod.rs", "use super::alert::Engine;").contains("alert"));
    assert!(known_parts("store/open.rs", "use super::super::alert::Engine;").contains("alert"));
    assert!(known_parts("collect/ssh/session.rs", "super::super::super::api::x()").contains("api"));
    assert!(known_parts("store/open.rs", "use super::alerts;").is_empty());
}
