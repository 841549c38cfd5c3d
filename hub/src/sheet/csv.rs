//! CSV (RFC 4180) with a UTF-8 byte order mark, which Excel wants, and neutralised formulas.

use std::{borrow::Cow, io::Write};

use super::{Cell, Column, Rows};

pub(super) fn write(columns: &[Column], rows: &mut Rows, mut output: impl Write) -> std::io::Result<()> {
    output.write_all("\u{feff}".as_bytes())?;
    let mut writer = csv::WriterBuilder::new()
        .terminator(csv::Terminator::CRLF)
        .from_writer(output);
    writer.write_record(columns.iter().map(|column| column.heading))?;
    while let Some(batch) = rows.blocking_recv() {
        for row in batch.map_err(std::io::Error::other)? {
            for cell in &row {
                writer.write_field(text(cell).as_bytes())?;
            }
            writer.write_record(None::<&[u8]>)?;
        }
    }
    writer.flush()
}

fn text(cell: &Cell) -> Cow<'_, str> {
    match cell {
        Cell::Empty => Cow::Borrowed(""),
        Cell::Text(text) => harmless(text),
        Cell::Number(number) => number.to_string().into(),
        Cell::Moment(moment) => moment.to_string().into(),
    }
}

/// A spreadsheet takes a cell that begins so for a formula, and runs it when the file is opened.
/// An apostrophe before it makes it a text. Numbers are cells of their own and stay.
fn harmless(text: &str) -> Cow<'_, str> {
    let first =
        text.trim_start_matches(|character: char| character.is_whitespace() || character.is_control());
    let is_formula =
        first.starts_with(['=', '+', '-', '@', '=', '+', '-', '@']) || text.starts_with(['\t', '\r', '\n']);
    if is_formula {
        format!("'{text}").into()
    } else {
        text.into()
    }
}

#[cfg(test)]
mod tests {
    use tokio::sync::mpsc;

    use super::*;
    use crate::{model::Timestamp, sheet::Kind};

    #[test]
    fn what_looks_like_a_formula_is_made_a_text() {
        for text in [
            "=1+1",
            "+1",
            "-1",
            "@SUM(A1)",
            " =1",
            "\t=1",
            "\n=1",
            "=1",
            "=HYPERLINK(\"http://x\")",
        ] {
            assert!(harmless(text).starts_with('\''), "{text:?}");
        }
        for text in ["web-1", "a=b", "/var", "1.5", ""] {
            assert_eq!(harmless(text), text);
        }
    }

    #[test]
    fn a_sheet_has_a_mark_headings_and_quoted_cells() {
        let (sender, mut rows) = mpsc::channel(1);
        sender
            .try_send(Ok(vec![vec![
                Cell::Text("a \"quoted\", text\nin lines".into()),
                Cell::Number(42.5),
                Cell::Empty,
                Cell::Moment(Timestamp(0)),
            ]]))
            .unwrap();
        drop(sender);
        let columns = ["名称", "Use", "None", "Time"].map(|heading| Column {
            name: "any",
            heading,
            kind: Kind::Text,
            width: 10,
        });
        let mut output = Vec::new();
        write(&columns, &mut rows, &mut output).unwrap();
        assert_eq!(
            String::from_utf8(output).unwrap(),
            "\u{feff}名称,Use,None,Time\r\n\"a \"\"quoted\"\", text\nin lines\",42.5,,1970-01-01T00:00:00.000Z\r\n"
        );
    }
}
