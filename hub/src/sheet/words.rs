//! The few words of sheets, in English and Chinese.

use crate::{
    alert::message::Language,
    model::{Level, Status, alert::AlertPhase},
};

/// Picks one of two texts.
#[must_use]
pub fn pick<'a>(language: Language, english: &'a str, chinese: &'a str) -> &'a str {
    match language {
        Language::English => english,
        Language::Chinese => chinese,
    }
}

/// The name of a level in a sheet.
#[must_use]
pub fn level_name(level: Level, language: Language) -> &'static str {
    match level {
        Level::Warning => pick(language, "warning", "警告"),
        Level::Critical => pick(language, "critical", "严重"),
    }
}

/// The name of a server's status in a sheet.
#[must_use]
pub fn status_name(status: Status, language: Language) -> &'static str {
    match status {
        Status::Unknown => pick(language, "unknown", "未知"),
        Status::Online => pick(language, "online", "在线"),
        Status::Offline => pick(language, "offline", "离线"),
        Status::Paused => pick(language, "paused", "已暂停"),
    }
}

/// The name of an alert's phase in a sheet.
#[must_use]
pub fn phase_name(phase: AlertPhase, language: Language) -> &'static str {
    match phase {
        AlertPhase::Resolved => pick(language, "resolved", "已解决"),
        AlertPhase::Firing | AlertPhase::Pending => pick(language, "open", "未解决"),
    }
}
