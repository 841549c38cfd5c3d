//! One commit of the pipeline: samples, states, pins, alerts and events, whole or not at all.

use std::collections::HashMap;

use super::events::insert_event;
use super::layout::{MAX_SERIES, Values};
use super::samples::SampleRow;
use super::servers::pin_first;
use super::states::put_states;
use super::{CommitReceipt, Result, Store, alerts, late, samples};
use crate::model::commit::{AlertChange, Commit};
use crate::model::{Event, EventKind, ServerId};

impl Store {
    /// Makes a commit durable in one transaction. A sample that is already there is ignored;
    /// what belongs to a server deleted meanwhile is dropped (events stay: they are the record).
    ///
    /// # Errors
    /// [`StoreError::Full`](super::StoreError::Full) and others; nothing was written then, and
    /// the same commit may be tried again.
    pub async fn commit(&self, commit: &Commit) -> Result<CommitReceipt> {
        let mut receipt = CommitReceipt::default();
        let mut write = self.write().await?;
        let (cache, connection) = write.parts()?;
        let servers = cache.servers(connection).await?;

        let mut rows = Vec::with_capacity(commit.samples.len() + commit.bare_samples.len());
        let whole = commit
            .samples
            .iter()
            .map(|sample| (sample.server_id, sample.taken_at, Values::Of(&sample.snapshot)));
        let bare = commit
            .bare_samples
            .iter()
            .map(|sample| (sample.server_id, sample.taken_at, Values::Bare(&sample.values)));
        for (server_id, taken_at, values) in whole.chain(bare) {
            if !servers.contains(&server_id) {
                receipt.orphans += 1;
                continue;
            }
            if late::is_folded(&mut cache.folded, connection, server_id, taken_at).await? {
                receipt.duplicates += 1;
                continue;
            }
            let placed = cache.place(connection, server_id, taken_at, values).await?;
            receipt.values += placed.values;
            if placed.dropped > 0 {
                *receipt.dropped_values.entry(server_id).or_default() += placed.dropped;
            }
            if placed.newly_limited {
                let event = Event {
                    at: taken_at,
                    kind: EventKind::SeriesLimited,
                    server_id: Some(server_id),
                    actor: None,
                    details: serde_json::json!({ "limit": MAX_SERIES, "dropped": placed.dropped }),
                };
                insert_event(connection, &event).await?;
            }
            rows.push(SampleRow {
                server_id,
                taken_at,
                placed,
            });
        }
        receipt.samples = samples::insert(connection, &rows).await?;
        receipt.duplicates += rows.len() as u64 - receipt.samples;

        let mut states = Vec::with_capacity(commit.states.len());
        for (id, state) in &commit.states {
            if servers.contains(id) {
                states.push((*id, state.as_ref()));
            } else {
                receipt.orphans += 1;
            }
        }
        put_states(connection, &states).await?;
        let mut pinned = false;
        for pin in &commit.pins {
            pinned |= pin_first(connection, pin).await?;
        }
        for change in &commit.alerts {
            match change {
                AlertChange::Put(alert) if !servers.contains(&alert.key.server_id) => receipt.orphans += 1,
                change => alerts::apply(connection, change).await?,
            }
        }
        for event in &commit.events {
            insert_event(connection, event).await?;
        }
        write.commit().await?;

        self.inner.recall.arrived(&rows);
        if pinned {
            self.servers_changed();
        }
        self.count_dropped(&receipt.dropped_values);
        Ok(receipt)
    }

    fn count_dropped(&self, dropped: &HashMap<ServerId, u64>) {
        if dropped.is_empty() {
            return;
        }
        let mut totals = self.dropped_values();
        for (id, values) in dropped {
            *totals.entry(*id).or_default() += values;
        }
    }
}
