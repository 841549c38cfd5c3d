//! Word back to the sender of readings: what became of them.
//!
//! Who sends a batch makes a [`ReceiptBook`], gives every reading of the batch a leaf of it
//! ([`ReceiptBook::leaf`]) and waits on [`Settled`]. Ingest settles each leaf once the database
//! has said yes or no for good; a leaf that is dropped before that tells "lost". The sender is
//! told once, when the last leaf and the book are gone, with the worst that happened.

use std::sync::{
    Arc,
    atomic::{AtomicU8, Ordering},
};

use tokio::sync::oneshot;

/// What became of readings, from good to bad.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Fate {
    /// Durable: what they said survives a power cut (a reading that was there already, or of a
    /// server that is switched off, counts as such: nothing more will ever come of it).
    Committed,
    /// Refused for good, by the database or because they are of a time that has not come: sending
    /// them again would change nothing.
    Refused,
    /// Not stored, for a reason that passes (the hub stops): to be sent again.
    Lost,
}

impl Fate {
    fn from_rank(rank: u8) -> Self {
        match rank {
            0 => Self::Committed,
            1 => Self::Refused,
            _ => Self::Lost,
        }
    }

    /// Whether the sender may forget what it sent.
    #[must_use]
    pub fn is_settled(self) -> bool {
        self != Self::Lost
    }
}

/// The receipts of one batch of readings.
#[derive(Debug)]
pub struct ReceiptBook(Arc<Shared>);

#[derive(Debug)]
struct Shared {
    /// The worst fate so far, by its rank.
    worst: AtomicU8,
    tell: Option<oneshot::Sender<Fate>>,
}

impl Drop for Shared {
    fn drop(&mut self) {
        // The last owner is here, so everything that was noted is seen.
        if let Some(tell) = self.tell.take() {
            // Who sent the batch may be gone; then nobody misses the answer.
            let _ = tell.send(Fate::from_rank(*self.worst.get_mut()));
        }
    }
}

impl ReceiptBook {
    /// A book without leaves, and the other end. A book dropped without leaves tells "committed":
    /// there was nothing to store.
    #[must_use]
    pub fn new() -> (Self, Settled) {
        let (tell, fate) = oneshot::channel();
        let shared = Shared {
            worst: AtomicU8::new(Fate::Committed as u8),
            tell: Some(tell),
        };
        (Self(Arc::new(shared)), Settled(fate))
    }

    /// One more receipt, to go with one reading.
    pub fn leaf(&self) -> Receipt {
        Receipt(Some(Arc::clone(&self.0)))
    }
}

/// The receipt of one reading. Dropped unsettled it tells that the reading was lost.
#[derive(Debug)]
#[must_use = "a receipt that is dropped tells that its reading was lost"]
pub struct Receipt(Option<Arc<Shared>>);

impl Receipt {
    /// The reading is durable.
    pub fn committed(mut self) {
        self.0 = None;
    }

    /// The database refuses the reading for good.
    pub fn refused(mut self) {
        self.settle(Fate::Refused);
    }

    fn settle(&mut self, fate: Fate) {
        if let Some(shared) = self.0.take() {
            shared.worst.fetch_max(fate as u8, Ordering::Relaxed);
        }
    }
}

impl Drop for Receipt {
    fn drop(&mut self) {
        self.settle(Fate::Lost);
    }
}

/// Where the sender learns what became of its batch.
#[derive(Debug)]
pub struct Settled(oneshot::Receiver<Fate>);

impl Settled {
    /// Waits until every reading of the batch is settled or lost; the worst counts. Dropping the
    /// future asks for nothing to be undone.
    pub async fn fate(self) -> Fate {
        self.0.await.unwrap_or(Fate::Lost)
    }

    /// The same without waiting; `None` while something is still under way.
    #[must_use]
    pub fn try_fate(&mut self) -> Option<Fate> {
        match self.0.try_recv() {
            Ok(fate) => Some(fate),
            Err(oneshot::error::TryRecvError::Empty) => None,
            Err(oneshot::error::TryRecvError::Closed) => Some(Fate::Lost),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_worst_of_a_batch_is_told_when_the_last_is_settled() {
        type Settle = fn(Receipt);
        let fates: [(Settle, Fate); 3] = [
            (Receipt::committed, Fate::Committed),
            (Receipt::refused, Fate::Refused),
            (drop, Fate::Lost),
        ];
        for (first, first_fate) in fates {
            for (second, second_fate) in fates {
                let (book, mut settled) = ReceiptBook::new();
                let leaves = (book.leaf(), book.leaf());
                drop(book);
                first(leaves.0);
                assert_eq!(settled.try_fate(), None, "one is still under way");
                second(leaves.1);
                assert_eq!(settled.try_fate(), Some(first_fate.max(second_fate)));
            }
        }
    }

    #[test]
    fn nothing_is_told_while_more_leaves_may_come() {
        let (book, mut settled) = ReceiptBook::new();
        book.leaf().committed();
        assert_eq!(settled.try_fate(), None);
        drop(book);
        assert_eq!(settled.try_fate(), Some(Fate::Committed));
    }

    #[test]
    fn only_what_was_lost_is_sent_again() {
        assert!(Fate::Committed.is_settled() && Fate::Refused.is_settled());
        assert!(!Fate::Lost.is_settled());
    }
}
