use std::{collections::BTreeSet, path::Path};

use super::*;

fn sources(file: Option<&Path>, environment: &[(&str, &str)]) -> Sources {
    Sources {
        file: file.map(Path::to_owned),
        environment: environment
            .iter()
            .map(|(name, value)| ((*name).to_owned(), (*value).to_owned()))
            .collect(),
        flags: Vec::new(),
    }
}

fn from_environment(environment: &[(&str, &str)]) -> Result<Loaded, ConfigErrors> {
    load(&sources(None, environment))
}

fn from_file(text: &str) -> (tempfile::TempDir, PathBuf, Result<Loaded, ConfigErrors>) {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("hub.toml");
    std::fs::write(&path, text).unwrap();
    let loaded = load(&sources(Some(&path), &[]));
    (directory, path, loaded)
}

fn errors(result: Result<Loaded, ConfigErrors>) -> Vec<String> {
    result.err().expect("it must be refused").0
}

#[test]
fn without_any_source_the_defaults_hold() {
    let loaded = from_environment(&[]).unwrap();
    let config = loaded.config;
    assert_eq!(config.http_listen.to_string(), "0.0.0.0:8000");
    assert_eq!(config.database_path, Path::new("./data/gander.db"));
    assert_eq!(config.master_key_path(), Path::new("./data/master.key"));
    assert_eq!(config.interval, Duration::from_secs(30));
    assert_eq!(config.retention, Some(Duration::from_secs(30 * 24 * 3600)));
    assert!(config.local_server);
    assert!(
        loaded
            .effective
            .iter()
            .all(|value| value.origin == Origin::Default)
    );
}

#[test]
fn flags_win_over_the_environment_which_wins_over_the_file() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("hub.toml");
    std::fs::write(
        &path,
        "[http]\nlisten = \"127.0.0.1:1\"\ntrusted_proxies = [\"10.0.0.0/8\", \"::1\"]\n[collect]\ninterval = \"10s\"\nlocal_server = false\n[database]\nretention = \"7d\"",
    )
    .unwrap();
    let mut sources = sources(None, &[("GANDER_INTERVAL", "20s"), ("GANDER_RETENTION", "8d")]);
    sources
        .environment
        .insert("GANDER_CONFIG".into(), path.display().to_string());
    sources.flags.push(("database.retention", "9d".into()));
    let loaded = load(&sources).unwrap();
    assert_eq!(loaded.config.http_listen.port(), 1);
    assert_eq!(loaded.config.trusted_proxies.len(), 2);
    assert!(!loaded.config.local_server);
    assert_eq!(loaded.config.interval.as_secs(), 20);
    assert_eq!(loaded.config.retention, Some(Duration::from_secs(9 * 24 * 3600)));
    let origin = |path: &str| {
        let value = loaded
            .effective
            .iter()
            .find(|value| value.setting.path == path)
            .unwrap();
        value.origin.clone()
    };
    assert_eq!(origin("http.listen"), Origin::File(path));
    assert_eq!(
        origin("collect.interval"),
        Origin::Environment("GANDER_INTERVAL".into())
    );
    assert_eq!(origin("database.retention"), Origin::Flag("retention".into()));
    assert_eq!(origin("log.format"), Origin::Default);
}

#[test]
fn unknown_keys_are_named_with_their_path_and_file() {
    let (_directory, path, loaded) = from_file(
        "[htpp]\nlisten = \"x\"\n[http]\nlisen = \"127.0.0.1:1\"\n[collect]\nretention = \"1d\"\nfoo = 1",
    );
    let errors = errors(loaded);
    let file = path.display();
    assert_eq!(errors.len(), 4, "{errors:?}");
    assert!(errors.contains(&format!(
        "unknown key http.lisen in {file}: did you mean http.listen?"
    )));
    assert!(errors.contains(&format!(
        "unknown key collect.retention in {file}: did you mean database.retention?"
    )));
    assert!(
        errors
            .iter()
            .any(|error| error.starts_with(&format!("unknown key htpp in {file}")))
    );
    assert!(
        errors
            .iter()
            .any(|error| error.starts_with(&format!("unknown key collect.foo in {file}")))
    );
}

#[test]
fn bad_values_name_field_value_place_and_form() {
    let cases = [
        ("GANDER_HTTP_LISTEN", "8000"),
        ("GANDER_HTTP_LISTEN", "localhost:8000"),
        ("GANDER_INTERVAL", "30"),
        ("GANDER_INTERVAL", "0s"),
        ("GANDER_INTERVAL", "2d"),
        ("GANDER_INTERVAL", "fast"),
        ("GANDER_INTERVAL", "99999999999999999999s"),
        ("GANDER_RETENTION", "5m"),
        ("GANDER_LOCAL_SERVER", "maybe"),
        ("GANDER_TRUSTED_PROXIES", "10.0.0.0/8,nginx"),
        ("GANDER_CORS_ORIGINS", "https://a.example/path"),
        ("GANDER_PUBLIC_URL", "gander.example.org"),
        ("GANDER_LOG_FORMAT", "xml"),
        ("GANDER_LOG", "gander_hub=loud"),
        ("DATABASE_PATH", "/var/lib/"),
    ];
    for (name, value) in cases {
        let errors = errors(from_environment(&[(name, value)]));
        assert_eq!(errors.len(), 1, "{name}={value}: {errors:?}");
        let setting = table::SETTINGS
            .iter()
            .find(|setting| setting.env.contains(&name))
            .unwrap();
        for part in [setting.path, value, name, setting.accepted] {
            assert!(errors[0].contains(part), "{name}={value}: {}", errors[0]);
        }
    }
}

#[test]
fn a_value_of_the_wrong_kind_is_refused() {
    let (_directory, _, loaded) = from_file("[http]\nlisten = { port = 1 }\n[collect]\ninterval = 30");
    let wrong = errors(loaded);
    assert_eq!(wrong.len(), 1);
    assert!(wrong[0].starts_with("http.listen in "), "{wrong:?}");
    let (_directory, _, loaded) = from_file("[collect]\ninterval = 30");
    assert!(errors(loaded)[0].contains("the unit is missing"));
    let (_directory, path, loaded) = from_file("[http\n");
    assert!(errors(loaded)[0].starts_with(&format!("{} is not TOML", path.display())));
}

#[test]
fn a_missing_file_is_told() {
    let errors = errors(from_environment(&[("GANDER_CONFIG", "/nowhere/hub.toml")]));
    assert!(errors[0].contains("/nowhere/hub.toml"), "{errors:?}");
}

#[test]
fn times_are_read_as_people_write_them() {
    for (text, seconds) in [
        ("30s", 30),
        ("5m", 300),
        ("5min", 300),
        ("1h30m", 5400),
        ("1h 30m", 5400),
        ("1d", 86400),
    ] {
        let loaded = from_environment(&[("GANDER_INTERVAL", text)]).unwrap();
        assert_eq!(loaded.config.interval.as_secs(), seconds, "{text}");
        let again = format_duration(loaded.config.interval);
        let loaded = from_environment(&[("GANDER_INTERVAL", &again)]).unwrap();
        assert_eq!(loaded.config.interval.as_secs(), seconds, "{text} -> {again}");
    }
    assert_eq!(
        from_environment(&[("GANDER_RETENTION", "forever")])
            .unwrap()
            .config
            .retention,
        None
    );
}

#[test]
fn a_secret_may_stand_in_a_file_and_is_never_shown() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("password");
    std::fs::write(&path, "correct horse\n").unwrap();
    let path = path.display().to_string();
    let loaded = from_environment(&[
        ("GANDER_ADMIN_USER", "ada"),
        ("GANDER_ADMIN_PASSWORD_FILE", &path),
    ])
    .unwrap();
    assert_eq!(
        loaded.config.admin_password,
        Some(Secret::new("correct horse".into()))
    );
    for value in &loaded.effective {
        assert!(!value.shown().contains("horse"));
    }
    assert!(!format!("{:?}", loaded.config).contains("horse"));

    let both = [
        ("GANDER_ADMIN_USER", "ada"),
        ("GANDER_ADMIN_PASSWORD", "other"),
        ("GANDER_ADMIN_PASSWORD_FILE", path.as_str()),
    ];
    assert!(errors(from_environment(&both))[0].contains("both set and differ"));
    let missing = [
        ("GANDER_ADMIN_USER", "ada"),
        ("GANDER_ADMIN_PASSWORD_FILE", "/nowhere"),
    ];
    assert!(errors(from_environment(&missing))[0].contains("/nowhere"));
}

#[test]
fn the_first_account_needs_both_name_and_password() {
    assert!(
        errors(from_environment(&[("GANDER_ADMIN_USER", "ada")]))[0].contains("GANDER_ADMIN_PASSWORD_FILE")
    );
    assert!(errors(from_environment(&[("GANDER_ADMIN_PASSWORD", "x")]))[0].contains("GANDER_ADMIN_USER"));
}

#[test]
fn an_empty_variable_is_not_set() {
    let loaded = from_environment(&[("GANDER_PUBLIC_URL", ""), ("GANDER_INTERVAL", "")]).unwrap();
    assert_eq!(loaded.config.interval.as_secs(), 30);
}

#[test]
fn unknown_variables_are_warned_of_with_the_nearest_name() {
    let loaded =
        from_environment(&[("GANDER_INTERVALL", "1s"), ("GANDER_HUB_BIN", "x"), ("HOME", "/")]).unwrap();
    assert_eq!(
        loaded.warnings,
        ["GANDER_INTERVALL in the environment is not a setting: did you mean GANDER_INTERVAL?"]
    );
    let loaded = from_environment(&[("GANDER_NOTHING_LIKE_IT_AT_ALL", "1s")]).unwrap();
    assert!(loaded.warnings[0].contains("no effect"));
}

#[test]
fn names_do_not_clash() {
    let flags: BTreeSet<String> = table::SETTINGS.iter().map(table::Setting::flag).collect();
    assert_eq!(flags.len(), table::SETTINGS.len());
    let paths: BTreeSet<&str> = table::SETTINGS.iter().map(|setting| setting.path).collect();
    assert_eq!(paths.len(), table::SETTINGS.len());
}

/// What `check-config` shows is a file that means the same.
#[test]
fn what_is_shown_can_be_read_again() {
    let loaded = from_environment(&[
        ("GANDER_TRUSTED_PROXIES", "10.0.0.0/8, 127.0.0.1"),
        ("DATABASE_PATH", "/tmp/a \"b\".db"),
    ])
    .unwrap();
    let mut text = String::new();
    for value in &loaded.effective {
        let (section, key) = table::split(value.setting.path);
        text.push_str(&format!("{section}.{key} = {}\n", value.shown()));
    }
    let (_directory, _, again) = from_file(&text);
    assert_eq!(again.unwrap().config, loaded.config);
}

/// The sample file is made from the table: `UPDATE_SAMPLES=1 cargo test sample` writes it anew.
#[test]
fn the_sample_file_is_up_to_date() {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../deploy/gander-hub.toml");
    if std::env::var_os("UPDATE_SAMPLES").is_some() {
        std::fs::write(&path, sample_file()).unwrap();
    }
    let committed = std::fs::read_to_string(&path).unwrap_or_default();
    assert_eq!(
        committed,
        sample_file(),
        "UPDATE_SAMPLES=1 cargo test -p gander-hub sample"
    );
    // With every line in force it says what holds anyway (but for the secret's file).
    let in_force: String = committed
        .lines()
        .map(|line| {
            line.strip_prefix('#')
                .filter(|rest| !rest.starts_with(' '))
                .unwrap_or(line)
        })
        .filter(|line| !line.starts_with("password_file") && !line.starts_with("s3_secret_key_file"))
        .map(|line| format!("{line}\n"))
        .collect();
    let (_directory, _, loaded) = from_file(&in_force);
    assert_eq!(loaded.unwrap().config, from_environment(&[]).unwrap().config);
}

#[test]
fn a_directory_may_end_in_a_slash_and_a_file_may_not() {
    let loaded = from_environment(&[("GANDER_AGENT_DIRECTORY", "/usr/lib/gander/agents/")]).unwrap();
    assert_eq!(
        loaded.config.agent_directory,
        Some(PathBuf::from("/usr/lib/gander/agents/"))
    );
    let refused = errors(from_environment(&[("DATABASE_PATH", "/var/lib/gander/")]));
    assert!(refused[0].contains("database.path"), "{refused:?}");
}

#[test]
fn the_ssh_agent_is_the_one_of_the_environment_unless_gander_is_told_better() {
    let socket =
        |environment: &[(&str, &str)]| from_environment(environment).unwrap().config.ssh_agent_socket;
    assert_eq!(socket(&[]), None);
    let usual = ("SSH_AUTH_SOCK", "/tmp/agent.1");
    assert_eq!(socket(&[usual]), Some("/tmp/agent.1".into()));
    let own = ("GANDER_SSH_AGENT_SOCKET", "/run/gander/agent");
    assert_eq!(socket(&[usual, own]), Some("/run/gander/agent".into()));
}
