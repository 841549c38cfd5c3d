//! What a person runs on a server so that it takes a key, and so that this key can do nothing
//! there but read: pure text.
//!
//! The lock is a forced command of `authorized_keys`: whatever the key's owner asks for (a command,
//! a shell, SFTP), sshd runs the probe, which lies in a file on the server and takes no orders but
//! "which values". `restrict` forbids terminals and every kind of forwarding; `from` refuses other
//! addresses than the hub's.

use std::{fmt::Write as _, net::IpAddr};

use gander_probe::script::SCRIPT;

/// The probe's file, from the home directory, where sshd starts a command.
const PROBE_FILE: &str = ".gander/probe";

/// How dropbear calls itself.
pub const DROPBEAR: &str = "SSH-2.0-dropbear";

/// One line for any shell that lets a public key log in.
#[must_use]
pub fn authorise_command(public_key: &str) -> String {
    format!(
        "sh -c 'umask 077; mkdir -p ~/.ssh && grep -qsF \"{key}\" ~/.ssh/authorized_keys || echo \"{public_key} gander\" >>~/.ssh/authorized_keys'",
        key = body(public_key),
    )
}

/// The line of `authorized_keys` that lets a key run the probe and nothing else. `from`: the
/// hub's address as the server sees it. `software`: the server's first words.
#[must_use]
pub fn locked_line(public_key: &str, from: Option<IpAddr>, software: &str) -> String {
    let command = format!("command=\"exec /bin/sh {PROBE_FILE}\"");
    // dropbear knows no addresses, older ones no `restrict`, and a line with a word it does not
    // know is no line.
    if software.starts_with(DROPBEAR) {
        return format!(
            "no-port-forwarding,no-agent-forwarding,no-X11-forwarding,no-pty,{command} {public_key} gander"
        );
    }
    let from = from.map_or_else(String::new, |address| format!("from=\"{address}\","));
    format!("restrict,{from}{command} {public_key} gander")
}

/// The script that locks a key: writes the probe's file and puts `line` in the place of every
/// line of this key. To be run on the server by the user the hub logs in as.
#[must_use]
pub fn lock_script(public_key: &str, line: &str) -> String {
    let mut script = String::with_capacity(SCRIPT.len() + 1024);
    let _ = write!(
        script,
        r#"#!/bin/sh
# Locks gander's key on this machine: it may run the probe below, and nothing else.
set -eu
umask 077
cd
mkdir -p .ssh .gander
cat >{PROBE_FILE}.new <<'GANDER_PROBE'
{probe}
GANDER_PROBE
mv -f {PROBE_FILE}.new {PROBE_FILE}
touch .ssh/authorized_keys
cp -p .ssh/authorized_keys .ssh/authorized_keys.gander
{{ grep -vF '{key}' .ssh/authorized_keys || :; echo '{line}'; }} >.ssh/authorized_keys.gander
mv -f .ssh/authorized_keys.gander .ssh/authorized_keys
echo "gander's key is locked to ~/{PROBE_FILE}"
"#,
        probe = SCRIPT.trim_end(),
        key = body(public_key),
    );
    script
}

/// The key itself, without its kind and comment.
fn body(public_key: &str) -> &str {
    public_key.split(' ').nth(1).unwrap_or(public_key)
}

#[cfg(test)]
mod tests {
    use super::*;

    const KEY: &str = "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIK";

    #[test]
    fn a_line_locks_a_key_to_the_probe_and_the_hubs_address() {
        let hub = Some("192.0.2.1".parse().unwrap());
        for (from, software, line) in [
            (
                hub,
                "SSH-2.0-OpenSSH_9.2p1",
                "restrict,from=\"192.0.2.1\",command=\"exec /bin/sh .gander/probe\" ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIK gander",
            ),
            (
                None,
                "",
                "restrict,command=\"exec /bin/sh .gander/probe\" ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIK gander",
            ),
            (
                hub,
                "SSH-2.0-dropbear_2022.83",
                "no-port-forwarding,no-agent-forwarding,no-X11-forwarding,no-pty,command=\"exec /bin/sh .gander/probe\" ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIK gander",
            ),
        ] {
            assert_eq!(locked_line(KEY, from, software), line);
        }
    }

    #[test]
    fn the_scripts_quoting_holds() {
        assert!(!SCRIPT.contains("GANDER_PROBE"));
        let line = locked_line(KEY, None, "");
        assert!(!line.contains('\''));
        assert!(lock_script(KEY, &line).contains(SCRIPT.trim_end()));
        assert!(authorise_command(KEY).lines().count() == 1);
    }
}
