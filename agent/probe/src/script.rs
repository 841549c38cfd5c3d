//! The script that runs on a node, and the one line that starts it over SSH.

/// The probe as it is read, and as it may lie on a node behind a forced command
/// (`restrict,command="/usr/local/lib/gander/probe"`).
pub const SCRIPT: &str = include_str!("probe.sh");

/// The command of the exec request: one line that any login shell (sh, bash, ash, dash, zsh, ksh,
/// fish, csh, tcsh) hands on unchanged to `/bin/sh`.
///
/// The script stands between single quotes, the one quoting all of them share; within them csh
/// still expands `!` and does not take a newline, and fish takes `\\` for an escape, so the script
/// has none of these.
#[must_use]
pub fn exec_command() -> String {
    format!("exec /bin/sh -c '{}'", one_line(SCRIPT))
}

/// The script without comments and indentation, its lines joined.
fn one_line(script: &str) -> String {
    let mut out = String::with_capacity(script.len());
    for line in script.lines().map(str::trim) {
        if line.is_empty() || line.starts_with('#') {
            continue;
        }
        if !out.is_empty() {
            // A line that ends a command needs a semicolon, one that is inside of something must not have it.
            let goes_on = [";", "{", "(", "|", "&", " do", " then", " in"]
                .iter()
                .any(|end| out.ends_with(end))
                || out.ends_with("else");
            out.push_str(if goes_on { " " } else { "; " });
        }
        out.push_str(line);
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_command_has_nothing_a_login_shell_could_read() {
        let command = exec_command();
        let script = command
            .strip_prefix("exec /bin/sh -c '")
            .and_then(|rest| rest.strip_suffix('\''))
            .unwrap();
        for forbidden in ['\'', '\\', '!', '\n', '\r', '\0'] {
            assert!(
                !script.contains(forbidden),
                "{forbidden:?} at {:?}",
                script.find(forbidden)
            );
        }
        assert!(script.is_ascii());
    }

    #[test]
    fn the_command_fits_what_dropbear_takes() {
        // MAX_CMD_LEN of dropbear is 9000.
        assert!(exec_command().len() < 8500, "{}", exec_command().len());
    }
}
