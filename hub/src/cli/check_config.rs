//! `check-config`: the effective configuration, as a TOML file that says where values come from.

use std::fmt::Write as _;

use crate::config::Effective;

pub(super) fn text(effective: &[Effective]) -> String {
    let lines: Vec<(String, String)> = effective
        .iter()
        .map(|value| {
            let line = format!("{} = {}", value.setting.path, value.shown());
            (line, value.origin.to_string())
        })
        .collect();
    let width = lines
        .iter()
        .map(|(line, _)| line.chars().count())
        .max()
        .unwrap_or(0);
    let mut text = String::from("# the configuration is sound; this holds:\n");
    for (line, origin) in lines {
        let _ = writeln!(text, "{line:<width$}  # {origin}");
    }
    text
}
