//! The script that runs on a node, and the one line that starts it over SSH.

/// The probe, as it may also lie in a file behind a forced command.
pub const SCRIPT: &str = include_str!("probe.sh");

/// The command of the exec request: one line that any login shell (sh, bash, ash, dash, zsh, ksh,
/// fish, csh, tcsh) hands on unchanged to `/bin/sh`.
#[must_use]
pub fn exec_command() -> String {
    let body: Vec<&str> = SCRIPT
        .lines()
        .map(str::trim)
        .filter(|line| !line.is_empty() && !line.starts_with('#'))
        .collect();
    format!("exec /bin/sh -c '{}'", body.join(" "))
}
