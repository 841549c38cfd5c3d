//! The task that looks at the machine, at the hub's pace.

use std::time::Duration;

use tokio::{
    sync::{mpsc, watch},
    time::{Instant, sleep_until},
};

use crate::{Sample, chance, link::session::Orders, look::Looker};

/// CPU use needs two looks; the second comes this long after the first.
const SECOND_LOOK: Duration = Duration::from_secs(1);

/// Looks at the machine at the pace that is ordered.
pub(super) async fn keep_looking(mut orders: watch::Receiver<Orders>, samples: mpsc::Sender<Sample>) {
    let mut looker = Looker::new();
    let began = Instant::now();
    // Many machines of one hub look at different moments.
    let seed = chance::next();
    let mut extra = Some(began);
    loop {
        let now = *orders.borrow_and_update();
        let step = if now.focus {
            now.interval.min(gander_probe::pace::FOCUS_STEP)
        } else {
            now.interval
        };
        let phase = gander_probe::pace::phase(seed, step);
        let tick = began + gander_probe::pace::next_tick(began.elapsed(), phase, step);
        let next = extra.map_or(tick, |extra| extra.min(tick));
        tokio::select! {
            () = sleep_until(next) => {}
            changed = orders.changed() => {
                if changed.is_err() {
                    return;
                }
                continue;
            }
        }
        let sample = looker.look(step, now.slow_interval, now.focus).await;
        extra = match extra {
            Some(_) if sample.snapshot.cpu.is_none() => Some(Instant::now() + SECOND_LOOK),
            _ => None,
        };
        tracing::debug!(
            taken_at_ms = sample.taken_at_ms,
            cpu_permille = sample.snapshot.cpu.as_ref().map(|cpu| cpu.usage_permille),
            "looked"
        );
        if samples.send(sample).await.is_err() {
            return;
        }
    }
}
