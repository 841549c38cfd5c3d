//! `backup`, `restore` and `check` as people call them.

use std::path::PathBuf;

use gander_hub::model::{
    ServerId,
    commit::{Commit, Sample},
};

use super::*;

/// Makes a database with a server that has a password, and this many samples.
pub(super) fn fill(directory: &Path, samples: i64) -> ServerId {
    let runtime = tokio::runtime::Runtime::new().unwrap();
    runtime.block_on(async {
        let key = MasterKey::load_or_create(&directory.join("master.key")).unwrap();
        let store = Store::open(&directory.join("gander.db"), key).await.unwrap();
        let credential = SshCredential {
            password: Some(Secret::new("secret".into())),
            ..SshCredential::default()
        };
        let ada = Actor::user("ada");
        let server = store
            .create_server(&support::spec("web-1"), &credential, None, &ada, Timestamp::now())
            .await
            .unwrap();
        for batch in 0..samples / 500 {
            let samples = (0..500)
                .map(|step| Sample {
                    server_id: server.id,
                    taken_at: support::seconds_ago(samples).plus_millis((batch * 500 + step) * 1000),
                    snapshot: support::values(u16::try_from(step).unwrap(), 500).into(),
                })
                .collect();
            let commit = Commit {
                samples,
                ..Commit::default()
            };
            store.commit(&commit).await.unwrap();
        }
        store.close().await;
        server.id
    })
}

pub(super) fn names(directory: &Path) -> Vec<String> {
    let mut names: Vec<String> = fs::read_dir(directory)
        .unwrap()
        .map(|entry| entry.unwrap().file_name().into_string().unwrap())
        .collect();
    names.sort();
    names
}

fn code(command: &mut Command) -> i32 {
    let output = command
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .status()
        .unwrap();
    output.code().unwrap()
}

#[test]
fn a_backup_made_beside_a_running_hub_comes_back() {
    let directory = tempfile::tempdir().unwrap();
    fill(directory.path(), 1000);
    let hub = Hub::start(gander(directory.path()).env("GANDER_LOCAL_SERVER", "false"));

    let (made, path, remarks) = run(gander(directory.path()).arg("backup"));
    assert!(made, "{remarks}");
    let path = PathBuf::from(path.trim_end());
    assert!(path.starts_with(directory.path().join("backups")), "{path:?}");
    assert!(remarks.contains("master.key"), "{remarks}");
    let (sound, said, _) = run(gander(directory.path()).arg("check").arg(&path));
    assert!(sound && said.contains("1 servers, 1000 samples"), "{said}");
    let (sound, said, complaints) = run(gander(directory.path()).arg("check"));
    assert!(sound && said.contains("is sound"), "{said}{complaints}");

    // Not while the hub runs, and no second hub either.
    for command in [&["restore", "latest"][..], &["check", "--repair"], &["serve"]] {
        let (well, _, complaints) = run(gander(directory.path()).args(command));
        assert!(
            !well && complaints.contains("stop it first") && complaints.contains("process "),
            "{command:?}: {complaints}"
        );
    }
    hub.stop();

    fs::remove_file(directory.path().join("gander.db")).unwrap();
    fill(directory.path(), 0);
    let (well, said, complaints) = run(gander(directory.path()).args(["restore", "latest"]));
    assert!(well, "{complaints}");
    assert!(
        said.contains("1 servers, values up to ") && said.contains("before-restore-"),
        "{said}"
    );
    // The one that was there had a beginning of its own.
    assert!(
        complaints.contains("it is another database") && complaints.contains("Revoke them again"),
        "{complaints}"
    );
    let (_, said, _) = run(gander(directory.path()).arg("check"));
    assert!(said.contains("1000 samples"), "{said}");
    let mut hub = Hub::start(&mut gander(directory.path()));
    hub.line_with("/setup#token=");
    let (well, log) = hub.stop();
    assert!(well, "{log:#?}");
}

#[test]
fn a_backup_whose_key_is_not_there_is_warned_of() {
    let directory = tempfile::tempdir().unwrap();
    fill(directory.path(), 500);
    let elsewhere = tempfile::tempdir().unwrap();
    let file = elsewhere.path().join("mine.db");
    let (made, said, complaints) = run(gander(directory.path()).args(["backup", "--to"]).arg(&file));
    assert!(
        made && said.trim_end() == file.display().to_string(),
        "{complaints}"
    );
    let (again, _, complaints) = run(gander(directory.path()).args(["backup", "--to"]).arg(&file));
    assert!(!again && complaints.contains("exists already"), "{complaints}");

    let restore = |key: Option<&str>| {
        let mut command = gander(elsewhere.path());
        command.arg("restore").arg(&file);
        if let Some(key) = key {
            command.env("GANDER_MASTER_KEY_FILE", key);
        }
        run(&mut command)
    };
    let (well, _, warning) = restore(None);
    assert!(
        well && warning.contains("WARNING: there is no master key") && warning.contains("there is none"),
        "{warning}"
    );
    assert!(!elsewhere.path().join("master.key").exists(), "none is made up");
    MasterKey::load_or_create(&elsewhere.path().join("other.key")).unwrap();
    let (well, _, warning) = restore(Some("other.key"));
    assert!(
        well && warning.contains("WARNING: the master key other.key is not the one"),
        "{warning}"
    );
    let right = directory.path().join("master.key");
    let (well, _, warning) = restore(Some(right.to_str().unwrap()));
    assert!(well && warning.is_empty(), "{warning}");

    // A backup that changed since is refused by its note.
    let mut bytes = fs::read(&file).unwrap();
    *bytes.last_mut().unwrap() ^= 1;
    fs::write(&file, bytes).unwrap();
    let (well, _, complaints) = restore(None);
    assert!(!well && complaints.contains("SHA-256"), "{complaints}");
}

#[test]
fn check_says_what_is_wrong_by_its_exit_code_and_mends_it() {
    let directory = tempfile::tempdir().unwrap();
    fill(directory.path(), 500);
    let file = directory.path().join("gander.db");
    assert_eq!(code(gander(directory.path()).arg("check")), 0);
    let missing = directory.path().join("missing");
    assert_eq!(code(gander(directory.path()).arg("check").arg(&missing)), 1);
    let garbage = directory.path().join("garbage");
    fs::write(&garbage, "garbage ".repeat(1000)).unwrap();
    let (well, said, _) = run(gander(directory.path()).arg("check").arg(&garbage));
    assert!(!well && said.contains("no SQLite database"), "{said}");
    assert_eq!(code(gander(directory.path()).arg("check").arg(&garbage)), 3);
    assert_eq!(code(gander(directory.path()).args(["check", "--rapair"])), 2);

    // The last page belongs to a table or an index: either way it is seen.
    let mut bytes = fs::read(&file).unwrap();
    let end = bytes.len();
    bytes[end - 4096..].fill(0x77);
    fs::write(&file, bytes).unwrap();
    assert_eq!(code(gander(directory.path()).arg("check")), 3);
    let (_, said, _) = run(gander(directory.path()).args(["check", "--repair"]));
    assert!(
        said.contains("kept as ") && said.contains("before-repair-"),
        "{said}"
    );
}

#[test]
fn a_backup_that_is_killed_is_no_backup() {
    let directory = tempfile::tempdir().unwrap();
    fill(directory.path(), 20_000);
    let place = directory.path().join("elsewhere");
    let mut killed = 0;
    for _ in 0..50 {
        let _ = fs::remove_dir_all(&place);
        let mut child = gander(directory.path())
            .args(["backup", "--to", "elsewhere/"])
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .unwrap();
        let pid = Pid::from_child(&child);
        // In the middle of it: there is something of it, and it goes on.
        let begun = || fs::read_dir(&place).is_ok_and(|mut files| files.next().is_some());
        while !begun() && child.try_wait().unwrap().is_none() {
            thread::yield_now();
        }
        let _ = kill_process(pid, Signal::KILL);
        child.wait().unwrap();
        if names(&place).iter().any(|name| name.ends_with(".db")) {
            continue;
        }
        killed += 1;
        if killed == 5 {
            break;
        }
    }
    assert!(killed > 0, "it was always faster than the signal");
    let left = names(&place);
    assert!(left.iter().all(|name| name.starts_with('.')), "{left:?}");
    // And the next one is made.
    let (made, _, complaints) = run(gander(directory.path()).args(["backup", "--to", "elsewhere/"]));
    assert!(made, "{complaints}");
    let whole: Vec<String> = names(&place)
        .into_iter()
        .filter(|name| name.ends_with(".db"))
        .collect();
    assert_eq!(whole.len(), 1);
    let (sound, said, _) = run(gander(directory.path()).arg("check").arg(place.join(&whole[0])));
    assert!(sound && said.contains("20000 samples"), "{said}");
}
