//! A thread for a read that may hang in the kernel (a dead network mount, a dying disk): it cannot be
//! stopped, so it is given up, and there is never a second one beside it.

use std::{
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    thread,
};

/// At most one thread at a time.
#[derive(Debug, Default)]
pub struct Lane {
    busy: Arc<AtomicBool>,
}

/// Why a read was not begun.
#[derive(Debug, thiserror::Error)]
pub enum LaneError {
    /// The one before it has not come back.
    #[error("the read before this one still hangs in the kernel (a dead network mount?)")]
    Busy,
    /// The system gave no thread.
    #[error("no thread could be started ({0})")]
    NoThread(std::io::Error),
}

impl Lane {
    /// Runs `read` in a thread of its own and hands what it answers to `deliver`, in that thread.
    /// `deliver` is dropped uncalled if `read` panics.
    ///
    /// # Errors
    /// [`LaneError::Busy`] while an earlier read has not come back; or there was no thread to be had.
    pub fn start<T: 'static>(
        &self,
        read: impl FnOnce() -> T + Send + 'static,
        deliver: impl FnOnce(T) + Send + 'static,
    ) -> Result<(), LaneError> {
        if self.busy.swap(true, Ordering::AcqRel) {
            return Err(LaneError::Busy);
        }
        let free = FreeOnDrop(Arc::clone(&self.busy));
        let spawned = thread::Builder::new().name("gander-local".into()).spawn(move || {
            let value = read();
            // Free first: who gets the value may start the next read at once.
            drop(free);
            deliver(value);
        });
        // Where no thread was started, the closure was dropped, and the lane is free again.
        spawned.map(drop).map_err(LaneError::NoThread)
    }

    /// Whether a read is under way.
    #[must_use]
    pub fn is_busy(&self) -> bool {
        self.busy.load(Ordering::Acquire)
    }
}

struct FreeOnDrop(Arc<AtomicBool>);

impl Drop for FreeOnDrop {
    fn drop(&mut self) {
        self.0.store(false, Ordering::Release);
    }
}

#[cfg(test)]
mod tests {
    use std::sync::mpsc;

    use super::*;

    #[test]
    fn a_stuck_read_is_not_piled_upon() {
        let lane = Lane::default();
        let (release, stuck) = mpsc::channel::<()>();
        let (done, result) = mpsc::channel();
        lane.start(
            move || stuck.recv().is_ok(),
            move |value| {
                let _ = done.send(value);
            },
        )
        .unwrap();
        assert!(matches!(lane.start(|| (), drop), Err(LaneError::Busy)));
        release.send(()).unwrap();
        assert_eq!(result.recv(), Ok(true));
        assert!(!lane.is_busy(), "free before the value is handed on");
        let (done, result) = mpsc::channel();
        lane.start(
            || 7,
            move |value| {
                let _ = done.send(value);
            },
        )
        .unwrap();
        assert_eq!(result.recv(), Ok(7));
    }

    #[test]
    fn a_crashed_read_frees_its_lane_and_delivers_nothing() {
        let lane = Lane::default();
        let (done, result) = mpsc::channel::<u8>();
        lane.start(
            || panic!("as a broken parser would"),
            move |value| {
                let _ = done.send(value);
            },
        )
        .unwrap();
        assert!(result.recv().is_err());
        while lane.is_busy() {
            std::thread::yield_now();
        }
        lane.start(|| (), drop).unwrap();
    }
}
