//! What the agent is doing, in one sentence: for the log, for systemd, and for `gander-agent status`.

use std::cell::RefCell;

use crate::{look::wall_ms, platform::systemd, state::StateDir};

/// Says it where people look, each change once.
#[derive(Debug)]
pub struct Board {
    state: StateDir,
    said: RefCell<String>,
}

impl Board {
    /// Nothing said yet.
    #[must_use]
    pub fn new(state: StateDir) -> Self {
        Self {
            state,
            said: RefCell::default(),
        }
    }

    /// What the agent is doing from now on.
    pub fn say(&self, what: &str) {
        if *self.said.borrow() == what {
            return;
        }
        what.clone_into(&mut self.said.borrow_mut());
        tracing::info!("{what}");
        systemd::status(what);
        let text = format!("since_ms = {}\n{what}\n", wall_ms());
        if let Err(error) = self.state.put_status(&text) {
            tracing::debug!("{error}");
        }
    }
}
