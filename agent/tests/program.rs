//! The program as a person types it: its help, its refusals, its unit.
//!
//! (That this file exists also makes every build of the tests build the program, which the
//! end-to-end tests run.)

#![allow(clippy::unwrap_used, clippy::expect_used, reason = "these are tests")]

use std::process::{Command, Output};

fn agent(arguments: &[&str]) -> Output {
    Command::new(env!("CARGO_BIN_EXE_gander-agent"))
        .args(arguments)
        .env_remove("STATE_DIRECTORY")
        .env_remove("GANDER_TOKEN")
        .output()
        .unwrap()
}

fn said(output: &Output) -> String {
    format!(
        "{}{}",
        String::from_utf8_lossy(&output.stdout),
        String::from_utf8_lossy(&output.stderr)
    )
}

#[test]
fn every_command_has_help_with_an_example() {
    for command in ["run", "enroll", "check", "service", "status"] {
        let output = agent(&[command, "--help"]);
        assert!(output.status.success(), "{command}");
        let help = said(&output);
        assert!(
            help.contains(&format!("Example:\n  gander-agent {command}")),
            "{command}: {help}"
        );
    }
    assert!(said(&agent(&["--version"])).starts_with("gander-agent "));
}

#[test]
fn a_wrong_command_line_is_refused() {
    for wrong in [
        &["enrol"][..],
        &["run", "--spool", "0"],
        &["enroll", "--hub", "hub.example:8001"],
    ] {
        let output = agent(wrong);
        assert_eq!(output.status.code(), Some(2), "{wrong:?}: {}", said(&output));
    }
}

#[test]
fn a_machine_that_is_not_enrolled_is_told_so() {
    let state = tempfile::tempdir().unwrap();
    let state = state.path().to_str().unwrap();
    let output = agent(&["check", "--state", state]);
    assert!(!output.status.success());
    assert!(said(&output).contains("enroll"), "{}", said(&output));
}

#[test]
fn the_unit_names_the_program_where_it_is() {
    let unit = said(&agent(&["service", "--program", "/opt/gander-agent"]));
    assert!(unit.contains("ExecStart=/opt/gander-agent run"), "{unit}");
    assert!(
        unit.contains("NoExecPaths=/\nExecPaths=/opt/gander-agent"),
        "{unit}"
    );
    let script = said(&agent(&["service", "--openrc"]));
    assert!(script.starts_with("#!/sbin/openrc-run"), "{script}");
}
