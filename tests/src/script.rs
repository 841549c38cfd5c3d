//! The scripts of `tests/browser/`, run by Node against what a program here has started.

use std::{
    ffi::OsString,
    path::Path,
    process::{Command, ExitCode},
};

use crate::hub::hub_program;

/// Runs `tests/browser/NAME` with `environment`, and the hub program in `GANDER_HUB_BIN`, to its end.
///
/// The exit code is to be returned from `main`, not exited with: what the program started (accounts,
/// servers) goes when it is dropped.
#[must_use]
pub fn run_script(name: &str, environment: &[(&str, OsString)]) -> ExitCode {
    let status = Command::new("node")
        .arg(Path::new(env!("CARGO_MANIFEST_DIR")).join("browser").join(name))
        .env("GANDER_HUB_BIN", hub_program())
        .envs(environment.iter().map(|(key, value)| (key, value)))
        .status()
        .expect("node(1) runs: deploy/check-tools.sh node says what is missing");
    if status.success() {
        ExitCode::SUCCESS
    } else {
        ExitCode::FAILURE
    }
}
