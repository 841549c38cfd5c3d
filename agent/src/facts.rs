//! What this machine says of itself when it meets the hub.

use gander_probe::Sections;
use gander_proto::v1 as pb;

use crate::platform::{self, Machine};

/// The facts, read now.
#[must_use]
pub fn machine() -> pb::Machine {
    let system = Machine::default()
        .read(Sections::FACTS, 0)
        .system
        .unwrap_or_default();
    pb::Machine {
        machine_id: platform::machine_id(),
        hostname: system.hostname.unwrap_or_default(),
        os: system.os.unwrap_or_default(),
        kernel: system.kernel.unwrap_or_default(),
        architecture: system.architecture.unwrap_or_default(),
        boot_id: platform::boot_id(),
        agent_version: env!("CARGO_PKG_VERSION").to_owned(),
    }
}
