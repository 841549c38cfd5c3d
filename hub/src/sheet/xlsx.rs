//! Excel workbooks with typed cells, a bold frozen heading and a filter; rows go to disk as they
//! come (constant memory), the finished file leaves as a stream.

use std::io::Write;

use rust_xlsxwriter::{Format, FormatAlign, Workbook, Worksheet, XlsxError};

use super::{Cell, Column, Layout, Row, Rows};

/// Rows an Excel sheet holds, the heading included; more go on another sheet.
const MOST_ROWS: u32 = 1_048_576;
/// Characters an Excel cell holds.
const MOST_CHARACTERS: usize = 32_767;

pub(super) fn write(layout: &Layout, rows: &mut Rows, output: impl Write + Send) -> std::io::Result<()> {
    write_all(layout.title, &layout.columns, rows, MOST_ROWS, output)
}

fn write_all(
    name: &str,
    columns: &[Column],
    rows: &mut Rows,
    most_rows: u32,
    mut output: impl Write + Send,
) -> std::io::Result<()> {
    let mut workbook = Workbook::new();
    let moment = Format::new().set_num_format("yyyy-mm-dd hh:mm:ss");
    let mut sheets = 0;
    let mut pending: std::vec::IntoIter<Row> = Vec::new().into_iter();
    loop {
        sheets += 1;
        let title = if sheets == 1 {
            name.to_owned()
        } else {
            format!("{name} {sheets}")
        };
        let sheet = workbook.add_worksheet_with_constant_memory().map_err(other)?;
        start_sheet(sheet, &title, columns).map_err(other)?;
        let mut line = 1;
        let is_complete = loop {
            if line == most_rows {
                break false;
            }
            let Some(row) = pending.next() else {
                match rows.blocking_recv() {
                    Some(batch) => pending = batch.map_err(std::io::Error::other)?.into_iter(),
                    None => break true,
                }
                continue;
            };
            write_row(sheet, line, row, &moment).map_err(other)?;
            line += 1;
        };
        let last_column = u16::try_from(columns.len().saturating_sub(1)).unwrap_or(u16::MAX);
        sheet.autofilter(0, 0, line - 1, last_column).map_err(other)?;
        if is_complete {
            break;
        }
    }
    workbook.save_to_writer(&mut output).map_err(other)?;
    output.flush()
}

fn start_sheet(sheet: &mut Worksheet, title: &str, columns: &[Column]) -> Result<(), XlsxError> {
    let heading = Format::new().set_bold().set_align(FormatAlign::Left);
    sheet.set_name(title)?;
    // Widths come before rows: rows are written to disk as they come.
    for (index, column) in (0u16..).zip(columns) {
        sheet.set_column_width(index, column.width)?;
    }
    sheet.set_freeze_panes(1, 0)?;
    for (index, column) in (0u16..).zip(columns) {
        sheet.write_string_with_format(0, index, column.heading, &heading)?;
    }
    Ok(())
}

fn write_row(sheet: &mut Worksheet, line: u32, row: Row, moment_format: &Format) -> Result<(), XlsxError> {
    for (column, cell) in (0u16..).zip(row) {
        match cell {
            Cell::Empty => {}
            // A text cell is a text whatever it begins with: Excel runs formula cells only.
            Cell::Text(text) => {
                let text = match text.char_indices().nth(MOST_CHARACTERS) {
                    Some((end, _)) => text[..end].to_owned(),
                    None => text,
                };
                sheet.write_string(line, column, text)?;
            }
            Cell::Number(number) => {
                sheet.write_number(line, column, number)?;
            }
            Cell::Moment(moment) => {
                sheet.write_number_with_format(
                    line,
                    column,
                    serial_date(moment.as_millis()),
                    moment_format,
                )?;
            }
        }
    }
    Ok(())
}

/// Excel's day count: days since 1899-12-30, with the time of day as their fraction.
fn serial_date(millis: i64) -> f64 {
    const UNIX_EPOCH_DAY: f64 = 25_569.0;
    #[expect(
        clippy::cast_precision_loss,
        reason = "milliseconds since 1970 are far below 2^53"
    )]
    let millis = millis as f64;
    UNIX_EPOCH_DAY + millis / 86_400_000.0
}

#[expect(clippy::needless_pass_by_value, reason = "for map_err")]
fn other(error: XlsxError) -> std::io::Error {
    std::io::Error::other(error.to_string())
}

#[cfg(test)]
mod tests {
    use tokio::sync::mpsc;

    use super::*;
    use crate::sheet::Kind;

    #[test]
    fn a_day_count_is_excels() {
        assert!((serial_date(0) - 25_569.0).abs() < 1e-9);
        // 2026-11-22T12:00:00Z
        assert!((serial_date(1_795_348_800_000) - 46_348.5).abs() < 1e-9);
    }

    #[test]
    fn rows_beyond_a_sheet_go_on_the_next_one() {
        let (sender, mut rows) = mpsc::channel(8);
        for batch in 0..3 {
            let rows = (0..3)
                .map(|row| vec![Cell::Number(f64::from(batch * 3 + row))])
                .collect();
            sender.try_send(Ok(rows)).unwrap();
        }
        drop(sender);
        let columns = [Column {
            name: "n",
            heading: "n",
            kind: Kind::Number,
            width: 8,
        }];
        let mut output = Vec::new();
        write_all("Rows", &columns, &mut rows, 5, &mut output).unwrap();
        assert_eq!(&output[..2], b"PK");
        let names = String::from_utf8_lossy(&output)
            .matches("xl/worksheets/sheet")
            .count();
        // Each of the three sheets (4 + 4 + 1 rows) is named in its header and in the directory.
        assert_eq!(names, 6);
    }
}
