//! What systemd is told: ready, alive, what the agent is doing, stopping. Without systemd nothing
//! happens.

use std::time::Duration;

#[cfg(target_os = "linux")]
use sd_notify::NotifyState;

/// The agent runs, whether the hub is there or not.
pub fn ready() {
    #[cfg(target_os = "linux")]
    tell(&[NotifyState::Ready]);
}

/// What the agent is doing, for `systemctl status`.
pub fn status(text: &str) {
    #[cfg(target_os = "linux")]
    tell(&[NotifyState::Status(text)]);
    #[cfg(not(target_os = "linux"))]
    let _ = text;
}

/// The agent works.
pub fn alive() {
    #[cfg(target_os = "linux")]
    tell(&[NotifyState::Watchdog]);
}

/// The agent was told to stop.
pub fn stopping() {
    #[cfg(target_os = "linux")]
    tell(&[NotifyState::Stopping]);
}

/// How often systemd wants to hear that the agent works; `None` when it does not ask.
#[must_use]
pub fn watchdog() -> Option<Duration> {
    #[cfg(target_os = "linux")]
    return sd_notify::watchdog_enabled().map(|limit| limit / 3);
    #[cfg(not(target_os = "linux"))]
    None
}

#[cfg(target_os = "linux")]
fn tell(state: &[NotifyState<'_>]) {
    if let Err(error) = sd_notify::notify(state) {
        tracing::debug!(%error, "systemd could not be told");
    }
}
