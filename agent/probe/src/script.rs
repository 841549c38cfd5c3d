//! The script that runs on a node, and the one line that starts it over SSH.

/// The probe as it is read, and as it may lie on a node behind a forced command
/// (`restrict,command="/usr/local/lib/gander/probe"`).
pub const SCRIPT: &str = include_str!("probe.sh");

/// Before and behind what is left out of the exec request.
const SECOND_LINE: &str = "# ---- the second line ----\n";
/// Where the script waits for it.
const READ_HERE: &str = "# ---- the second line is read here ----\n";
/// How the first line waits. Nothing like it is in the script behind a forced command: there the key
/// can run nothing but what lies on the node.
const READ: &str = "IFS= read -r rest || exit 0\neval \"$rest\"\n";

/// The command of the exec request: one line that any login shell (sh, bash, ash, dash, zsh, ksh,
/// fish, csh, tcsh) hands on unchanged to `/bin/sh`. Its greeting asks for [`second_line`].
///
/// The script stands between single quotes, the one quoting all of them share; within them csh
/// still expands `!` and does not take a newline, and fish takes `\\` for an escape, so this part of
/// the script has none of these.
#[must_use]
pub fn exec_command() -> String {
    let (first, _, last) = parts();
    let last = last.replacen(READ_HERE, READ, 1);
    format!(
        "exec /bin/sh -c '{}'",
        one_line(&format!("{first}rest=\" more\"\n{last}"))
    )
}

/// What is sent to a script that asks for it in its greeting, before the first request, newline
/// included: nearly all of the script. dropbear takes no command that is as long, and a sender would keep
/// buffers of its length; what goes over standard input may go in small pieces.
#[must_use]
pub fn second_line() -> String {
    let (_, second, _) = parts();
    one_line(second) + "\n"
}

/// What is before the second line, the second line, and what is behind it.
fn parts() -> (&'static str, &'static str, &'static str) {
    let mut parts = SCRIPT.splitn(3, SECOND_LINE);
    let mut next = || parts.next().unwrap_or_default();
    (next(), next(), next())
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
    fn only_the_first_line_reads_commands() {
        let (first, second, last) = parts();
        assert!(!first.is_empty() && !second.is_empty() && last.contains(READ_HERE));
        assert!(exec_command().contains("eval "));
        assert!(
            !SCRIPT.contains("eval"),
            "a locked key must not run what it is sent"
        );
        let second = second_line();
        assert_eq!(second.find('\n'), Some(second.len() - 1));
    }

    #[test]
    fn the_command_is_short() {
        // MAX_CMD_LEN of dropbear is 9000; and see `second_line`.
        assert!(exec_command().len() < 1000, "{}", exec_command().len());
    }
}
