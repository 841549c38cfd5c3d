//! Series out of `*.prom` files: lines `FILE:NUMBER:TEXT`, the text as in Prometheus' text format
//! (`name{label="value",…} value [timestamp]`), which node_exporter's textfile collector reads too.
//! A line that is not of that form is named; the others count.

use std::collections::HashSet;

use super::{Listed, MAX_LABEL, ParseError};
use crate::snapshot::Custom;

/// Series after the first 200 are left out: a server may have a thousand in all.
const MAX_SERIES: usize = 200;

/// Parses the lines. Values that are no number (`NaN`, `+Inf`) are absent; a series told twice counts
/// once, as it was told first.
#[must_use]
pub fn parse(text: &str) -> Listed<Custom> {
    let mut listed = Listed::new();
    let mut seen = HashSet::new();
    for line in text.lines() {
        let Some((place, sample)) = split_place(line) else {
            listed.note(ParseError::at("not a line of a file", line));
            continue;
        };
        match series(sample.trim()) {
            Ok(Some(custom)) if seen.insert(custom.series.clone()) => listed.add(MAX_SERIES, Ok(custom)),
            Ok(_) => {}
            Err(what) => listed.note(ParseError::new(format!(
                "{}: {what}",
                crate::wire::sanitise(place.as_bytes())
            ))),
        }
    }
    listed
}

/// `FILE:NUMBER` and the rest.
fn split_place(line: &str) -> Option<(&str, &str)> {
    let path = line.find(".prom:")? + ".prom:".len();
    let number = line[path..].find(':')?;
    let end = path + number;
    super::number(&line[path..end])?;
    Some((&line[..end], &line[end + 1..]))
}

/// The series and its value; `None` for a value that is no number.
fn series(sample: &str) -> Result<Option<Custom>, &'static str> {
    let name_end = sample
        .find(|character: char| !(character.is_ascii_alphanumeric() || matches!(character, '_' | ':')))
        .ok_or("a name without a value")?;
    let (name, rest) = sample.split_at(name_end);
    if name.is_empty() || name.starts_with(|character: char| character.is_ascii_digit()) {
        return Err("it does not begin with a name");
    }
    let mut series = name.to_owned();
    let rest = match rest.trim_start().strip_prefix('{') {
        Some(labels) => take_labels(labels, &mut series)?,
        None => rest,
    };
    if series.len() > MAX_LABEL {
        return Err("its name and labels are longer than 255 bytes");
    }
    let mut words = rest.split_ascii_whitespace();
    let value: f64 = words
        .next()
        .and_then(|word| word.parse().ok())
        .ok_or("its value is no number")?;
    // A timestamp in milliseconds may follow; it is the file's age that would count.
    if words.next().is_some_and(|word| word.parse::<i64>().is_err()) || words.next().is_some() {
        return Err("there is something behind the value");
    }
    Ok(thousandths(value).map(|value_thousandths| Custom {
        series,
        value_thousandths,
    }))
}

/// Copies the labels without the spaces between them; answers what is behind them.
fn take_labels<'a>(text: &'a str, series: &mut String) -> Result<&'a str, &'static str> {
    const UNFINISHED: &str = "its labels do not end";
    series.push('{');
    let (mut in_quotes, mut is_escaped) = (false, false);
    for (position, character) in text.char_indices() {
        if character.is_control() {
            return Err("there is a control character in its labels");
        }
        if in_quotes {
            in_quotes = is_escaped || character != '"';
            is_escaped = !is_escaped && character == '\\';
        } else {
            match character {
                '"' => in_quotes = true,
                '}' => {
                    if series.ends_with(',') {
                        series.pop();
                    }
                    if series.ends_with('{') {
                        series.pop();
                    } else {
                        series.push('}');
                    }
                    return Ok(&text[position + 1..]);
                }
                ' ' => continue,
                '_' | '=' | ',' => {}
                _ if character.is_ascii_alphanumeric() => {}
                _ => return Err("its labels are not of the form name=\"value\""),
            }
        }
        series.push(character);
    }
    Err(UNFINISHED)
}

#[expect(
    clippy::cast_possible_truncation,
    reason = "a float is cut to the nearest integer there is"
)]
fn thousandths(value: f64) -> Option<i64> {
    value.is_finite().then(|| (value * 1000.0).round() as i64)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parsed(text: &str) -> (Vec<(String, i64)>, Option<String>) {
        let listed = parse(text);
        let items = listed.items.into_iter();
        (
            items
                .map(|custom| (custom.series, custom.value_thousandths))
                .collect(),
            listed.fault.map(|fault| fault.to_string()),
        )
    }

    #[test]
    fn what_prometheus_reads_is_read() {
        let text = "/t/a.prom:1:backup_age_seconds{ job = \"db\", path=\"C:\\\\x \\\"y\\\" }\",} 12.5\n\
                    /t/a.prom:2:up 1 1700000000000\n\
                    /t/b.prom:1:load{} -1e3\n\
                    /t/b.prom:2:broken NaN\n\
                    /t/b.prom:3:up 7\n";
        let (items, fault) = parsed(text);
        assert_eq!(fault, None);
        assert_eq!(
            items,
            [
                (
                    r#"backup_age_seconds{job="db",path="C:\\x \"y\" }"}"#.to_owned(),
                    12_500
                ),
                ("up".to_owned(), 1000),
                ("load".to_owned(), -1_000_000)
            ]
        );
    }

    #[test]
    fn a_bad_line_is_named_and_spoils_no_other() {
        for (line, why) in [
            ("$(reboot) 1", "does not begin with a name"),
            ("9lives 1", "does not begin with a name"),
            ("a{b=\"c\" 1", "do not end"),
            ("a{b=`c`} 1", "not of the form"),
            ("a one", "no number"),
            ("a", "without a value"),
            ("a 1 2 3", "behind the value"),
            ("a 1 ; rm -rf /", "behind the value"),
        ] {
            let (items, fault) = parsed(&format!("/t/a.prom:7:{line}\n/t/a.prom:8:good 1\n"));
            assert_eq!(items, [("good".to_owned(), 1000)], "{line}");
            let fault = fault.unwrap();
            assert!(
                fault.starts_with("/t/a.prom:7: ") && fault.contains(why),
                "{fault}"
            );
        }
        let long = format!("/t/a.prom:1:a{{b=\"{}\"}} 1\n", "x".repeat(300));
        assert!(parsed(&long).1.unwrap().contains("longer than 255"));
    }

    #[test]
    fn no_file_fills_a_servers_series() {
        let text: String = (0..1000).map(|n| format!("/t/a.prom:{n}:m{n} 1\n")).collect();
        let (items, fault) = parsed(&text);
        assert_eq!(items.len(), MAX_SERIES);
        assert!(fault.unwrap().contains("the rest is left out"));
    }
}
