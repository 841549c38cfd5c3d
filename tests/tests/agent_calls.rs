//! What the agent asks of the kernel, seen by strace from its first call to its last: it runs no program,
//! listens on nothing, writes nowhere but in its state directory, and asks for nothing that the unit's
//! filter forbids (which would break it there).

#![allow(clippy::unwrap_used, clippy::expect_used, reason = "these are tests")]

use std::{
    collections::BTreeSet,
    path::{Path, PathBuf},
    process::Command,
};

use gander_e2e::{
    agent::{TestAgent, hub_for_agents, one_line, server_that},
    eventually,
};
use serde_json::json;

/// One call: its name and all that strace says behind it.
struct Call {
    pid: u32,
    name: String,
    rest: String,
}

/// The calls in what strace wrote; those that were interrupted by another thread's are put together.
fn calls(file: &Path) -> Vec<Call> {
    let text = std::fs::read_to_string(file).unwrap();
    let mut calls: Vec<Call> = Vec::new();
    for line in text.lines() {
        let Some((pid, rest)) = line.split_once(' ') else {
            continue;
        };
        let (pid, rest) = (pid.parse().unwrap(), rest.trim_start());
        if let Some(resumed) = rest.strip_prefix("<... ") {
            let (name, end) = resumed.split_once(" resumed>").unwrap();
            let begun = calls
                .iter_mut()
                .rev()
                .find(|call| call.pid == pid && call.name == name)
                .unwrap();
            begun.rest.push_str(end);
        } else if let Some((name, rest)) = rest.split_once('(')
            && name
                .chars()
                .all(|c| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '_')
        {
            calls.push(Call {
                pid,
                name: name.to_owned(),
                rest: rest.to_owned(),
            });
        }
    }
    calls
}

/// The paths in the arguments of a call.
fn paths(rest: &str) -> Vec<&str> {
    rest.split('"').skip(1).step_by(2).collect()
}

/// The calls that the unit's `SystemCallFilter` lets through.
fn allowed() -> BTreeSet<String> {
    let unit = concat!(env!("CARGO_MANIFEST_DIR"), "/../systemd/gander-agent.service");
    let unit = std::fs::read_to_string(unit).unwrap();
    let mut allowed = BTreeSet::new();
    for filter in unit
        .lines()
        .filter_map(|line| line.strip_prefix("SystemCallFilter="))
    {
        let forbids = filter.starts_with('~');
        for word in filter.trim_start_matches('~').split_whitespace() {
            for call in expanded(word) {
                if forbids {
                    allowed.remove(&call);
                } else {
                    allowed.insert(call);
                }
            }
        }
    }
    assert!(
        allowed.contains("read") && !allowed.contains("listen"),
        "{allowed:?}"
    );
    allowed
}

/// A word of a filter as the calls it stands for, as systemd itself says.
fn expanded(word: &str) -> Vec<String> {
    if !word.starts_with('@') {
        return vec![word.to_owned()];
    }
    let output = Command::new("systemd-analyze")
        .args(["syscall-filter", "--no-pager", word])
        .output()
        .expect("systemd-analyze: deploy/install-packages.sh test");
    assert!(output.status.success(), "{word}");
    String::from_utf8(output.stdout)
        .unwrap()
        .lines()
        .skip(1)
        .map(str::trim)
        .filter(|line| !line.is_empty() && !line.starts_with('#'))
        .flat_map(expanded)
        .collect()
}

/// strace, writing into a file, in front of a program.
fn strace(file: &Path) -> Vec<String> {
    let words = [
        "strace",
        "--follow-forks",
        "--quiet=all",
        "--string-limit=4096",
        "--output",
    ];
    let mut words = words.map(str::to_owned).to_vec();
    words.push(file.to_str().unwrap().to_owned());
    words
}

fn judge(file: &Path, state: &Path) -> BTreeSet<String> {
    let calls = calls(file);
    let mut seen = BTreeSet::new();
    for Call { name, rest, .. } in &calls {
        let line = format!("{name}({rest}");
        assert!(
            ![
                "execveat", "fork", "vfork", "ptrace", "bind", "listen", "accept", "accept4"
            ]
            .contains(&name.as_str()),
            "{line}"
        );
        let creates_thread = rest.contains("CLONE_THREAD");
        assert!(!name.starts_with("clone") || creates_thread, "{line}");
        let opens = ["open", "openat", "openat2", "creat"].contains(&name.as_str());
        let writes = ["O_WRONLY", "O_RDWR", "O_CREAT", "O_TRUNC", "O_APPEND"];
        let changes = [
            "rename",
            "renameat",
            "renameat2",
            "unlink",
            "unlinkat",
            "mkdir",
            "mkdirat",
            "rmdir",
            "link",
            "linkat",
            "symlink",
            "symlinkat",
            "truncate",
            "chmod",
            "fchmodat",
            "chown",
            "lchown",
            "fchownat",
            "mknod",
            "mknodat",
            "utimensat",
            "setxattr",
            "lsetxattr",
        ];
        if name == "creat"
            || opens && writes.iter().any(|flag| rest.contains(flag))
            || changes.contains(&name.as_str())
        {
            let paths = paths(rest);
            assert!(!paths.is_empty(), "{line}");
            for path in paths {
                assert!(
                    Path::new(path).starts_with(state),
                    "outside of the state directory: {line}"
                );
            }
        }
        if name == "socket" {
            let family = rest.split(',').next().unwrap();
            assert!(["AF_UNIX", "AF_INET", "AF_INET6"].contains(&family), "{line}");
        }
        seen.insert(name.clone());
    }
    let started = calls.iter().filter(|call| call.name == "execve").count();
    assert_eq!(started, 1, "its own start, and no other program's");
    assert_eq!(calls[0].name, "execve");
    seen
}

#[tokio::test]
async fn an_agent_asks_the_kernel_for_no_more_than_it_needs() {
    let hub = hub_for_agents("1s").start().await;
    let traces = tempfile::tempdir().unwrap();
    let file = |name: &str| -> PathBuf { traces.path().join(name) };
    let (enrolling, running) = (file("enrol"), file("run"));

    let mut agent = TestAgent::new().under(&strace(&enrolling));
    let line = one_line(&hub, &json!({"name": "traced"})).await;
    let (code, said) = agent.enrol(&line, false).await;
    assert_eq!(
        code, 0,
        "{said}\n(strace must be allowed to trace here: in a container, --cap-add SYS_PTRACE)"
    );

    // A stream, an outage with the spool, what it kept, and an orderly end.
    agent = agent.under(&strace(&running));
    agent.start();
    server_that(&hub, "online").await;
    let stopped = hub.kill().await;
    let spooled = |count: u64| {
        let agent = &agent;
        eventually("samples on the agent's disk", move || async move {
            (agent.spooled() >= count).then_some(())
        })
    };
    spooled(2).await;
    let hub = stopped.start().await;
    eventually("an empty spool", || async {
        (agent.spooled() == 0).then_some(())
    })
    .await;
    let pid = calls(&running)[0].pid;
    let told = Command::new("kill").arg(pid.to_string()).status().unwrap();
    assert!(told.success());
    agent.ends().await;
    drop(hub);

    let mut seen = judge(&enrolling, agent.state());
    seen.append(&mut judge(&running, agent.state()));
    let allowed = allowed();
    let forbidden: Vec<_> = seen
        .iter()
        // systemd itself starts the program, before the filter counts.
        .filter(|call| !allowed.contains(*call) && *call != "execve")
        .collect();
    assert!(
        forbidden.is_empty(),
        "systemd/gander-agent.service forbids calls that the agent makes: {forbidden:?}"
    );
}
