//! The TOML file: from its text to (setting, value) pairs, and errors for everything else.

use std::path::Path;

use super::{
    load::nearest,
    table::{SETTINGS, Setting, split},
};

/// A value of the file: of a setting, or the path of a file that holds it.
pub(super) struct FileValue {
    pub(super) setting: &'static Setting,
    pub(super) text: String,
    pub(super) is_path_of_secret: bool,
}

/// Reads the file's text. All that is wrong with it is told, not just the first thing.
pub(super) fn parse(path: &Path, text: &str) -> Result<Vec<FileValue>, Vec<String>> {
    let file = path.display();
    let table: toml::Table = match toml::from_str(text) {
        Ok(table) => table,
        Err(error) => {
            return Err(vec![format!(
                "{file} is not TOML: {}",
                error.to_string().trim_end()
            )]);
        }
    };
    let mut values = Vec::new();
    let mut errors = Vec::new();
    for (section, content) in &table {
        let toml::Value::Table(content) = content else {
            errors.push(unknown(path, section));
            continue;
        };
        if !SETTINGS.iter().any(|setting| split(setting.path).0 == section) {
            errors.push(unknown(path, section));
            continue;
        }
        for (key, value) in content {
            let full = format!("{section}.{key}");
            let own = SETTINGS.iter().find(|setting| setting.path == full);
            let of_file = || {
                let base = full.strip_suffix("_file")?;
                SETTINGS
                    .iter()
                    .find(|setting| setting.secret && setting.path == base)
            };
            let Some((setting, is_path_of_secret)) = own
                .map(|setting| (setting, false))
                .or_else(|| of_file().map(|setting| (setting, true)))
            else {
                errors.push(unknown(path, &full));
                continue;
            };
            match scalar(value) {
                Some(text) => values.push(FileValue {
                    setting,
                    text,
                    is_path_of_secret,
                }),
                None => errors.push(format!(
                    "{full} in {file} is {} {}; it takes {}",
                    article(value),
                    value.type_str(),
                    setting.accepted
                )),
            }
        }
    }
    if errors.is_empty() {
        Ok(values)
    } else {
        Err(errors)
    }
}

/// The text of a value, as the environment would have it; a list is joined by commas.
fn scalar(value: &toml::Value) -> Option<String> {
    match value {
        toml::Value::String(text) => Some(text.clone()),
        toml::Value::Integer(number) => Some(number.to_string()),
        toml::Value::Boolean(truth) => Some(truth.to_string()),
        toml::Value::Array(items) => {
            let items: Option<Vec<&str>> = items.iter().map(toml::Value::as_str).collect();
            Some(items?.join(","))
        }
        _ => None,
    }
}

fn article(value: &toml::Value) -> &'static str {
    if matches!(value, toml::Value::Array(_)) {
        "an"
    } else {
        "a"
    }
}

fn unknown(path: &Path, key: &str) -> String {
    let known = SETTINGS.iter().map(|setting| setting.path);
    let hint = nearest(key, known).map_or_else(
        || "see deploy/gander-hub.toml for every setting".to_owned(),
        |near| format!("did you mean {near}?"),
    );
    format!("unknown key {key} in {}: {hint}", path.display())
}
