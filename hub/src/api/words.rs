//! The few sentences the hub itself writes for people, in English and Chinese: alert messages
//! and the headings of exported sheets. Everything else is translated in the dashboard by code.

use axum::http::{HeaderMap, header};

use crate::model::{
    Alert, CollectErrorCode, Level, Status,
    alert::{AlertPhase, Rule},
};

/// A language the hub writes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Language {
    /// English.
    #[default]
    English,
    /// 中文.
    Chinese,
}

impl Language {
    /// The language the client prefers by `Accept-Language`, English when it names neither.
    #[must_use]
    pub fn of(headers: &HeaderMap) -> Self {
        let Some(accepted) = headers
            .get(header::ACCEPT_LANGUAGE)
            .and_then(|value| value.to_str().ok())
        else {
            return Self::English;
        };
        let mut best = (Self::English, 0.0);
        for entry in accepted.split(',') {
            let mut parts = entry.split(';');
            let tag = parts.next().unwrap_or_default().trim().to_ascii_lowercase();
            let weight = parts
                .find_map(|part| part.trim().strip_prefix("q=")?.parse::<f32>().ok())
                .unwrap_or(1.0);
            let language = match tag.split('-').next() {
                Some("zh") => Self::Chinese,
                Some("en") => Self::English,
                _ => continue,
            };
            if weight > best.1 {
                best = (language, weight);
            }
        }
        best.0
    }

    /// Picks one of two texts.
    #[must_use]
    pub fn pick<'a>(self, english: &'a str, chinese: &'a str) -> &'a str {
        match self {
            Self::English => english,
            Self::Chinese => chinese,
        }
    }
}

/// Which sentence an alert is, for translation.
#[must_use]
pub fn alert_code(rule: Rule) -> &'static str {
    match rule {
        Rule::Cpu => "cpu_over_threshold",
        Rule::Memory => "memory_over_threshold",
        Rule::Disk => "disk_over_threshold",
        Rule::Unreachable => "unreachable",
    }
}

/// The sentence of an alert: what, how much, and against which threshold or for which cause.
#[must_use]
pub fn alert_message(alert: &Alert, server_name: &str, language: Language) -> String {
    let value = permille(alert, "value_permille");
    let threshold = permille(alert, "threshold_permille");
    let label = &alert.key.label;
    match (alert.key.rule, language) {
        (Rule::Cpu, Language::English) => {
            format!("{server_name}: CPU use is {value} (threshold {threshold})")
        }
        (Rule::Cpu, Language::Chinese) => format!("{server_name}:CPU 使用率 {value}(阈值 {threshold})"),
        (Rule::Memory, Language::English) => {
            format!("{server_name}: memory use is {value} (threshold {threshold})")
        }
        (Rule::Memory, Language::Chinese) => format!("{server_name}:内存使用率 {value}(阈值 {threshold})"),
        (Rule::Disk, Language::English) => {
            format!("{server_name}: {label} is {value} full (threshold {threshold})")
        }
        (Rule::Disk, Language::Chinese) => {
            format!("{server_name}:磁盘 {label} 使用率 {value}(阈值 {threshold})")
        }
        (Rule::Unreachable, _) => unreachable_message(alert, server_name, language),
    }
}

fn unreachable_message(alert: &Alert, server_name: &str, language: Language) -> String {
    let text = |name: &str| alert.params.get(name).and_then(|value| value.as_str());
    match language {
        Language::English => match text("cause_message") {
            Some(cause) => format!("{server_name} does not answer: {cause}"),
            None => format!("{server_name} does not answer"),
        },
        Language::Chinese => {
            let cause = text("cause")
                .and_then(|code| serde_json::from_value::<CollectErrorCode>(code.into()).ok())
                .map(cause_in_chinese);
            match cause {
                Some(cause) => format!("{server_name} 无法连接:{cause}"),
                None => format!("{server_name} 无法连接"),
            }
        }
    }
}

fn cause_in_chinese(code: CollectErrorCode) -> &'static str {
    match code {
        CollectErrorCode::UnknownHost => "无法解析主机名",
        CollectErrorCode::ConnectionRefused => "连接被拒绝",
        CollectErrorCode::NoRoute => "没有到主机的路由",
        CollectErrorCode::Timeout => "连接超时",
        CollectErrorCode::Protocol => "对方不是可用的 SSH 服务",
        CollectErrorCode::PasswordRefused => "密码被拒绝",
        CollectErrorCode::KeyRefused => "密钥被拒绝",
        CollectErrorCode::KeyUnreadable => "私钥无法读取或口令错误",
        CollectErrorCode::NoCredential => "没有保存登录凭据",
        CollectErrorCode::LoginMethod => "没有可用的登录方式",
        CollectErrorCode::HostKeyChanged => "主机密钥已改变",
        CollectErrorCode::JumpHost => "无法通过跳板机",
        CollectErrorCode::Disconnected => "连接中断",
        CollectErrorCode::ProbeFailed => "采集脚本无法运行",
        CollectErrorCode::TooMuchOutput => "输出过多",
        CollectErrorCode::NotLinux => "目标不是 Linux",
        CollectErrorCode::Local => "无法读取本机数据",
    }
}

/// The name of a level in a sheet.
#[must_use]
pub fn level_name(level: Level, language: Language) -> &'static str {
    match level {
        Level::Warning => language.pick("warning", "警告"),
        Level::Critical => language.pick("critical", "严重"),
    }
}

/// The name of a server's status in a sheet.
#[must_use]
pub fn status_name(status: Status, language: Language) -> &'static str {
    match status {
        Status::Unknown => language.pick("unknown", "未知"),
        Status::Online => language.pick("online", "在线"),
        Status::Offline => language.pick("offline", "离线"),
        Status::Paused => language.pick("paused", "已暂停"),
    }
}

/// The name of an alert's phase in a sheet.
#[must_use]
pub fn phase_name(phase: AlertPhase, language: Language) -> &'static str {
    match phase {
        AlertPhase::Resolved => language.pick("resolved", "已解决"),
        AlertPhase::Firing | AlertPhase::Pending => language.pick("open", "未解决"),
    }
}

fn permille(alert: &Alert, name: &str) -> String {
    match alert.params.get(name).and_then(serde_json::Value::as_i64) {
        Some(value) => format!("{}.{} %", value / 10, value % 10),
        None => "?".into(),
    }
}

/// Percent-encodes everything but unreserved characters (RFC 3986).
#[must_use]
pub fn url_encoded(text: &str) -> String {
    use std::fmt::Write;
    text.bytes().fold(String::new(), |mut encoded, byte| {
        if byte.is_ascii_alphanumeric() || b"-._~".contains(&byte) {
            encoded.push(char::from(byte));
        } else {
            let _ = write!(encoded, "%{byte:02X}");
        }
        encoded
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn preferred(accepted: &str) -> Language {
        let mut headers = HeaderMap::new();
        headers.insert(header::ACCEPT_LANGUAGE, accepted.parse().unwrap());
        Language::of(&headers)
    }

    #[test]
    fn the_heavier_language_wins() {
        assert_eq!(preferred("zh-CN,zh;q=0.9,en;q=0.8"), Language::Chinese);
        assert_eq!(preferred("en-GB,en;q=0.9,zh;q=0.8"), Language::English);
        assert_eq!(preferred("de;q=1, zh;q=0.5, en;q=0.7"), Language::English);
        assert_eq!(preferred("fr"), Language::English);
    }
}
