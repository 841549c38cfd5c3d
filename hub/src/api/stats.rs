//! Figures of the whole fleet, from the configuration and the present.

use crate::{
    live::Fleet,
    model::{Server, ServerState, Status},
};

use super::dto::system::Stats;

/// Counts servers by status and averages the use of those online.
pub(super) fn of<'a>(servers: impl IntoIterator<Item = &'a Server>, fleet: &Fleet) -> Stats {
    let (mut total, mut online, mut offline, mut unknown, mut paused) = (0, 0, 0, 0, 0);
    let (mut cpu, mut memory, mut disk) = (Mean::default(), Mean::default(), Mean::default());
    for server in servers {
        total += 1;
        let state = fleet.server(server.id);
        let status = if server.spec.enabled {
            state.map_or(Status::Unknown, |state| state.status)
        } else {
            Status::Paused
        };
        match status {
            Status::Online => online += 1,
            Status::Offline => offline += 1,
            Status::Unknown => unknown += 1,
            Status::Paused => paused += 1,
        }
        if status == Status::Online
            && let Some(snapshot) =
                state.and_then(|state: &std::sync::Arc<ServerState>| state.snapshot.as_deref())
        {
            cpu.add(snapshot.cpu.as_ref().map(|cpu| cpu.usage_permille));
            memory.add(
                snapshot
                    .memory
                    .as_ref()
                    .and_then(|memory| memory.usage_permille()),
            );
            disk.add(snapshot.root_filesystem().map(|root| root.usage_permille));
        }
    }
    let alerts = fleet.total_alert_counts();
    Stats {
        total,
        online,
        offline,
        unknown,
        paused,
        active_alerts: alerts.total(),
        warning_alerts: alerts.warning,
        critical_alerts: alerts.critical,
        average_cpu_usage: cpu.percent(),
        average_memory_usage: memory.percent(),
        average_disk_usage: disk.percent(),
    }
}

/// A mean of tenths of a percent.
#[derive(Default)]
struct Mean {
    sum: u64,
    count: u64,
}

impl Mean {
    fn add(&mut self, permille: Option<u16>) {
        if let Some(permille) = permille {
            self.sum += u64::from(permille);
            self.count += 1;
        }
    }

    /// In percent with one decimal; absent when there was nothing.
    fn percent(&self) -> Option<f64> {
        let mean = (self.sum + self.count / 2).checked_div(self.count)?;
        u16::try_from(mean).ok().map(super::dto::percent)
    }
}
