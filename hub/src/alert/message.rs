//! An alert in words, English and Chinese. The alert itself holds a code and values only.

use std::collections::BTreeMap;

use serde_json::Value;

use crate::model::{Alert, alert::Rule};

/// The languages alerts are told in.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
pub enum Language {
    /// English.
    #[default]
    English,
    /// Chinese, simplified characters.
    Chinese,
}

impl Language {
    /// The best of an `Accept-Language` header: the first language of the highest weight that
    /// is known; English when there is none.
    #[must_use]
    pub fn from_accept_language(header: &str) -> Self {
        let mut best = (0.0_f32, Self::English);
        for part in header.split(',') {
            let mut pieces = part.split(';');
            let tag = pieces.next().unwrap_or_default().trim().to_ascii_lowercase();
            let weight = pieces
                .find_map(|piece| piece.trim().strip_prefix("q=")?.parse::<f32>().ok())
                .unwrap_or(1.0);
            let language = match tag.split('-').next() {
                Some("zh") => Self::Chinese,
                Some("en") => Self::English,
                _ => continue,
            };
            if weight > best.0 {
                best = (weight, language);
            }
        }
        best.1
    }
}

/// The stable code of what an alert says, for programs and translations.
#[must_use]
pub fn code(alert: &Alert) -> &'static str {
    match alert.key.rule {
        Rule::Cpu => "cpu_over_threshold",
        Rule::Memory => "memory_over_threshold",
        Rule::Disk => "disk_over_threshold",
        Rule::Unreachable => "unreachable",
    }
}

/// One sentence about an alert, without a full stop.
#[must_use]
pub fn render(alert: &Alert, server_name: &str, language: Language) -> String {
    // Of another system: its own words, in its own language.
    if let Some(message) = text(&alert.params, "imported_message") {
        return if message.contains(server_name) {
            message.to_owned()
        } else {
            format!("{server_name}: {message}")
        };
    }
    let value = percent(&alert.params, "value_permille");
    let threshold = percent(&alert.params, "threshold_permille");
    let label = &alert.key.label;
    match (language, alert.key.rule) {
        (Language::English, Rule::Cpu) => {
            format!("{server_name}: CPU use is {value}, at or over the threshold of {threshold}")
        }
        (Language::English, Rule::Memory) => {
            format!("{server_name}: memory use is {value}, at or over the threshold of {threshold}")
        }
        (Language::English, Rule::Disk) => {
            format!("{server_name}: {label} is {value} full, at or over the threshold of {threshold}")
        }
        (Language::English, Rule::Unreachable) => match text(&alert.params, "cause_message") {
            Some(cause) => format!("{server_name} cannot be read: {cause}"),
            None => format!("{server_name} cannot be read"),
        },
        (Language::Chinese, Rule::Cpu) => format!("{server_name}：CPU 使用率 {value}，达到阈值 {threshold}"),
        (Language::Chinese, Rule::Memory) => {
            format!("{server_name}：内存使用率 {value}，达到阈值 {threshold}")
        }
        (Language::Chinese, Rule::Disk) => {
            format!("{server_name}：磁盘 {label} 使用率 {value}，达到阈值 {threshold}")
        }
        (Language::Chinese, Rule::Unreachable) => {
            let cause = text(&alert.params, "cause_code").map_or("原因未知", chinese_cause);
            format!("{server_name} 无法采集：{cause}")
        }
    }
}

/// Why a server cannot be read, by the code of the failure. Unknown codes are shown as such.
fn chinese_cause(code: &str) -> &str {
    match code {
        "unknown_host" => "主机名无法解析",
        "connection_refused" => "连接被拒绝，端口上没有服务在监听",
        "no_route" => "没有到该主机的路由",
        "timeout" => "连接超时",
        "protocol" => "对方不是 SSH 服务，或没有共同支持的算法",
        "password_refused" => "密码被拒绝",
        "key_refused" => "密钥被拒绝，请将公钥加入 authorized_keys",
        "key_unreadable" => "私钥无法读取，或密码短语错误",
        "certificate_refused" => "用户证书被拒绝，可能已过期或不适用于该用户",
        "ssh_agent" => "监控中枢的 ssh-agent 没有应答，或没有所需的密钥",
        "no_credential" => "没有保存登录凭据",
        "login_method" => "对方不接受所保存凭据的登录方式",
        "host_key_changed" => "主机密钥已改变，请核对指纹后再接受",
        "host_certificate" => "主机证书无效，或其密钥已被吊销",
        "jump_host" => "无法通过跳板机",
        "disconnected" => "连接中断",
        "probe_failed" => "探针脚本无法运行",
        "too_much_output" => "服务器返回的数据过多",
        "not_linux" => "该服务器不是 Linux 系统",
        "local" => "无法读取本机数据",
        "agent_silent" => "代理程序没有上报数据",
        other => other,
    }
}

fn percent(params: &BTreeMap<String, Value>, key: &str) -> String {
    match params.get(key).and_then(Value::as_u64) {
        Some(permille) => format!("{}.{} %", permille / 10, permille % 10),
        None => "?".into(),
    }
}

fn text<'a>(params: &'a BTreeMap<String, Value>, key: &str) -> Option<&'a str> {
    params.get(key).and_then(Value::as_str)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        alert::tests::{alert_with, failing_with},
        model::CollectErrorCode,
    };

    #[test]
    fn sentences_in_both_languages() {
        let disk = alert_with(Rule::Disk, "/var", 932, 900);
        assert_eq!(
            render(&disk, "web-1", Language::English),
            "web-1: /var is 93.2 % full, at or over the threshold of 90.0 %"
        );
        assert_eq!(
            render(&disk, "web-1", Language::Chinese),
            "web-1：磁盘 /var 使用率 93.2 %，达到阈值 90.0 %"
        );
        let cpu = alert_with(Rule::Cpu, "", 1000, 800);
        assert_eq!(
            render(&cpu, "web-1", Language::English),
            "web-1: CPU use is 100.0 %, at or over the threshold of 80.0 %"
        );
    }

    /// Every cause has its Chinese sentence: a code that falls through would show itself.
    #[test]
    fn every_cause_is_told_in_chinese() {
        for code in CollectErrorCode::ALL {
            let alert = failing_with(code);
            let sentence = render(&alert, "db-1", Language::Chinese);
            let code = alert.params["cause_code"].as_str().unwrap().to_owned();
            assert!(!sentence.ends_with(&code), "{sentence}");
            assert!(sentence.starts_with("db-1 无法采集："), "{sentence}");
        }
    }

    #[test]
    fn the_header_picks_the_language() {
        for (header, language) in [
            ("", Language::English),
            ("zh-CN,zh;q=0.9,en;q=0.8", Language::Chinese),
            ("en-US,en;q=0.9,zh;q=0.8", Language::English),
            ("de,zh;q=0.5", Language::Chinese),
            ("fr", Language::English),
            ("en;q=0.1, zh-Hans;q=0.2", Language::Chinese),
            ("zh;q=0", Language::English),
            (";;q=x,", Language::English),
        ] {
            assert_eq!(Language::from_accept_language(header), language, "{header}");
        }
    }
}
