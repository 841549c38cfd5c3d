//! What to do with a commit that can never succeed.
//!
//! The work is forgotten: its servers are put back to what they were, and the alert engine to
//! what the database holds. Its readings are judged again in two halves, and so on, until the
//! reading that is refused stands alone. That one is left out; all others are stored, in order.
//! Finding one offender among n readings takes about 2 log n commits; later readings of
//! its server stand alone from the beginning, until one of them is stored.

use super::{Ingest, Refusal, Unsaved};
use crate::{
    model::{Reading, Timestamp},
    store::StoreError,
};

impl Ingest {
    /// Takes the unsaved work apart, since the database refuses it with `error` for good.
    ///
    /// # Errors
    /// The database cannot be read; the work is still unsaved then.
    pub(super) async fn set_aside(&mut self, error: &StoreError) -> Result<(), StoreError> {
        let open = self.store.load_open_alerts().await?;
        let next_alert_id = self.store.next_alert_id().await?;
        let Some(Unsaved { mut work, .. }) = self.unsaved.take() else {
            return Ok(());
        };
        self.desk.take_back(&mut work, open, next_alert_id);
        match work.judged.len() {
            0 => {
                // Servers that came or went stay so; the change of state is what was refused.
                tracing::error!(%error, "servers that were switched on or off cannot be stored so");
                self.tell(std::mem::take(&mut work.delta));
            }
            1 => work
                .into_readings()
                .into_iter()
                .for_each(|reading| self.refuse(reading, error)),
            count => {
                let mut first = work.into_readings();
                let second = first.split_off(count / 2);
                self.apart.push_front(second);
                self.apart.push_front(first);
            }
        }
        Ok(())
    }

    /// Puts the readings of servers that had one refused apart, each alone.
    pub(super) fn without_suspects(&mut self, batch: Vec<Reading>) -> Vec<Reading> {
        if self.refused.is_empty() {
            return batch;
        }
        let mut others = Vec::with_capacity(batch.len());
        for reading in batch {
            if self.refused.contains(&reading.server_id) {
                self.apart.push_back(vec![reading]);
            } else {
                others.push(reading);
            }
        }
        others
    }

    /// Leaves a reading out. The first one of a server is an error in the log.
    fn refuse(&mut self, reading: Reading, error: &StoreError) {
        let server_id = reading.server_id;
        let server = self.desk.name_of(server_id);
        if self.refused.insert(server_id) {
            tracing::error!(
                server,
                server.id = server_id.0,
                %error,
                "the database refuses the readings of {server}; they are left out until it takes one again"
            );
        } else {
            tracing::debug!(server, %error, "another reading was refused and left out");
        }
        self.change_progress(|progress| {
            progress.refused_readings += 1;
            progress.last_refusal = Some(Refusal {
                server_id,
                at: Timestamp::now(),
                reason: error.to_string(),
            });
        });
        if let Some(receipt) = reading.receipt {
            receipt.refused();
        }
    }
}
