//! What a machine says of itself, cut down to what is worth keeping: it is hostile text.

use gander_proto::v1;

use crate::model::agent::Machine;

/// Characters kept of a text.
const LONGEST: usize = 200;

/// Without control characters, not too long, and ids only where they look like ids.
pub(super) fn clean(said: &v1::Machine) -> Machine {
    Machine {
        machine_id: id(&said.machine_id, 32),
        hostname: text(&said.hostname),
        os: text(&said.os),
        kernel: text(&said.kernel),
        architecture: text(&said.architecture),
        boot_id: id(&said.boot_id, 32),
        agent_version: text(&said.agent_version),
    }
}

fn text(said: &str) -> String {
    let clean = said.chars().filter(|c| !c.is_control()).take(LONGEST);
    clean.collect::<String>().trim().to_owned()
}

/// Hexadecimal digits, with dashes or without; anything else is no id, and neither are all zeros.
fn id(said: &str, digits: usize) -> String {
    let said = said.trim();
    let hex = said.chars().filter(|c| *c != '-');
    let is_id = hex.clone().count() == digits
        && said.len() <= digits + 8
        && hex.clone().all(|c| c.is_ascii_hexdigit())
        && hex.clone().any(|c| c != '0');
    if is_id {
        said.to_ascii_lowercase()
    } else {
        String::new()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_no_id_is_none_and_text_is_tame() {
        let machine = clean(&v1::Machine {
            machine_id: "uninitialized".to_owned(),
            hostname: " web-1\n\u{1b}[31m ".to_owned(),
            os: "x".repeat(10_000),
            boot_id: "9D2F6D1E-6d3a-4f0c-9b53-1f6f6f1b2b3c\n".to_owned(),
            ..v1::Machine::default()
        });
        assert_eq!(machine.machine_id, "");
        assert_eq!(machine.hostname, "web-1[31m");
        assert_eq!(machine.os.len(), LONGEST);
        assert_eq!(machine.boot_id, "9d2f6d1e-6d3a-4f0c-9b53-1f6f6f1b2b3c");
        assert_eq!(id(&"0".repeat(32), 32), "");
        assert_eq!(id(&"ab".repeat(16), 32), "ab".repeat(16));
    }
}
