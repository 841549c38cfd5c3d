//! What questions about the whole fleet have read already, so that the next one reads what has come since.
//!
//! A page that shows a line of a thousand servers asks the same again and again, and nearly all
//! of an answer is as it was. Remembered are the buckets of the last few questions (metric, label
//! and step). Samples of a server only ever come after its newest, but for two cases, and both are
//! counted: one that came late makes the server be read anew, a deletion all of them. The counts
//! are taken before the reader's view begins and raised after the commit, so what is remembered
//! never lacks what its counts say it has.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use super::Store;
use super::buckets::Buckets;
use super::plan::Slot;
use super::samples::SampleRow;
use crate::model::{Metric, ServerId};

/// Questions remembered.
const QUESTIONS: usize = 4;
/// Buckets of one question that are remembered at most (64 bytes each).
const MOST_BUCKETS: usize = 300_000;

/// See the module.
#[derive(Debug, Default)]
pub(super) struct Recall {
    /// The one asked last is last.
    answers: Mutex<Vec<Arc<Answer>>>,
    arrivals: Mutex<Arrivals>,
}

#[derive(Debug, Default)]
struct Arrivals {
    newest: HashMap<ServerId, i64>,
    /// Samples that came after a newer one, by server.
    late: HashMap<ServerId, u64>,
}

/// What has happened so far that makes remembered buckets wrong.
#[derive(Debug, Clone, Default)]
pub(super) struct Marks {
    deletions: u64,
    late: HashMap<ServerId, u64>,
}

/// What is asked of every server.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Question {
    pub(super) metric: Metric,
    pub(super) label: Option<String>,
    pub(super) step: i64,
}

/// The buckets a question was answered with.
#[derive(Debug)]
pub(super) struct Answer {
    pub(super) question: Question,
    /// Ordered by server, metric and label, as the buckets are.
    pub(super) slots: Vec<Slot>,
    pub(super) buckets: Buckets,
    pub(super) marks: Marks,
}

/// What is still to be read: servers, and from when on.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct Rest {
    /// Servers nothing is remembered of.
    pub(super) whole: Vec<(i64, i64)>,
    /// Servers of which only samples after the newest are missing.
    pub(super) newer: Vec<(i64, i64)>,
}

impl Recall {
    fn answers(&self) -> MutexGuard<'_, Vec<Arc<Answer>>> {
        self.answers.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn arrivals(&self) -> MutexGuard<'_, Arrivals> {
        self.arrivals.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// To be called once samples are committed.
    pub(super) fn arrived(&self, rows: &[SampleRow]) {
        let mut arrivals = self.arrivals();
        let Arrivals { newest, late } = &mut *arrivals;
        for row in rows {
            let at = row.taken_at.0;
            match newest.get_mut(&row.server_id) {
                Some(newest) if at > *newest => *newest = at,
                Some(_) => *late.entry(row.server_id).or_default() += 1,
                // The first since the start: what came before it is not known.
                None => {
                    newest.insert(row.server_id, at);
                    *late.entry(row.server_id).or_default() += 1;
                }
            }
        }
    }

    /// Fills in what is remembered, and says what is not. `buckets` are empty ones for `slots`.
    pub(super) fn resume(
        &self,
        question: &Question,
        marks: &Marks,
        slots: &[Slot],
        buckets: &mut Buckets,
    ) -> Rest {
        let from = buckets.span().0;
        let known = self
            .answers()
            .iter()
            .rev()
            .find(|known| known.serves(question, marks, from))
            .cloned();
        let mut rest = Rest::default();
        let mut slot = 0;
        while let Some(server_id) = slots.get(slot).map(|slot| slot.server_id) {
            let own = slot..slots.partition_point(|slot| slot.server_id <= server_id);
            slot = own.end;
            let known = known
                .as_ref()
                .filter(|known| known.marks.late(server_id) == marks.late(server_id));
            let newest = known.and_then(|known| known.hand_over(&slots[own.clone()], own.start, buckets));
            match newest {
                Some(newest) => rest.newer.push((server_id.0, from.max(newest.saturating_add(1)))),
                None => rest.whole.push((server_id.0, from)),
            }
        }
        rest
    }

    /// Remembers an answer in the place of the one before, unless that has much more: a page that asks
    /// for the last minute only, or for a few servers, leaves the hour of all for the next.
    pub(super) fn keep(&self, answer: Arc<Answer>) {
        if answer.buckets.len() > MOST_BUCKETS {
            return;
        }
        let mut answers = self.answers();
        let much_more = |known: &Arc<Answer>| {
            known.serves(&answer.question, &answer.marks, answer.buckets.span().0)
                && known.buckets.len() / 2 > answer.buckets.len()
        };
        if answers.iter().any(much_more) {
            return;
        }
        answers.retain(|known| known.question != answer.question);
        answers.push(answer);
        let surplus = answers.len().saturating_sub(QUESTIONS);
        answers.drain(..surplus);
    }
}

impl Marks {
    fn late(&self, server_id: ServerId) -> u64 {
        self.late.get(&server_id).copied().unwrap_or(0)
    }
}

impl Answer {
    fn serves(&self, question: &Question, marks: &Marks, from: i64) -> bool {
        self.question == *question && self.marks.deletions == marks.deletions && self.buckets.span().0 <= from
    }

    /// Copies one server's buckets to where its slots are now; answers the moment of its newest
    /// value, if there is any.
    fn hand_over(&self, slots: &[Slot], first: usize, to: &mut Buckets) -> Option<i64> {
        let mut newest = None;
        for (index, slot) in slots.iter().enumerate() {
            let place = |known: &Slot| (known.server_id, &known.key).cmp(&(slot.server_id, &slot.key));
            // A series that was not there then had nothing to tell.
            if let Ok(known) = self.slots.binary_search_by(place) {
                newest = newest.max(self.buckets.newest(known));
                to.copy_from(first + index, &self.buckets, known);
            }
        }
        newest
    }
}

impl Store {
    /// To be taken before the reader's view begins.
    pub(super) fn marks(&self) -> Marks {
        Marks {
            deletions: self.deletions(),
            late: self.inner.recall.arrivals().late.clone(),
        }
    }
}
