//! Parquet: typed, compressed columns for programs (pandas, DuckDB, Spark). Times are UTC
//! milliseconds; every column may hold nulls. Texts are taken as they are: nothing runs them.

use std::{io::Write, sync::Arc};

use parquet::{
    basic::{Compression, LogicalType, Repetition, TimeUnit, Type as Physical},
    data_type::{ByteArray, ByteArrayType, DoubleType, Int64Type},
    errors::ParquetError,
    file::{
        properties::WriterProperties,
        writer::{SerializedFileWriter, SerializedRowGroupWriter},
    },
    schema::types::Type,
};

use super::{Cell, Column, Kind, Row, Rows};

/// Rows that are held back until they are written together: what memory the writer takes.
const GROUP_ROWS: usize = 32_768;

pub(super) fn write(columns: &[Column], rows: &mut Rows, output: impl Write + Send) -> std::io::Result<()> {
    write_groups(columns, rows, GROUP_ROWS, output)
}

fn write_groups(
    columns: &[Column],
    rows: &mut Rows,
    group_rows: usize,
    mut output: impl Write + Send,
) -> std::io::Result<()> {
    let properties = WriterProperties::builder()
        .set_compression(Compression::SNAPPY)
        .set_created_by(concat!("gander ", env!("CARGO_PKG_VERSION")).to_owned())
        .build();
    let schema = schema(columns).map_err(other)?;
    let mut writer = SerializedFileWriter::new(&mut output, schema, Arc::new(properties)).map_err(other)?;
    let mut held: Vec<Row> = Vec::new();
    while let Some(batch) = rows.blocking_recv() {
        held.append(&mut batch.map_err(std::io::Error::other)?);
        while held.len() >= group_rows {
            let rest = held.split_off(group_rows);
            write_group(columns, &held, &mut writer)?;
            held = rest;
        }
    }
    if !held.is_empty() {
        write_group(columns, &held, &mut writer)?;
    }
    writer.close().map_err(other)?;
    output.flush()
}

fn schema(columns: &[Column]) -> Result<Arc<Type>, ParquetError> {
    let fields = columns
        .iter()
        .map(|column| {
            let (physical, logical) = match column.kind {
                Kind::Text => (Physical::BYTE_ARRAY, Some(LogicalType::String)),
                Kind::Number => (Physical::DOUBLE, None),
                Kind::Moment => (
                    Physical::INT64,
                    Some(LogicalType::timestamp(true, TimeUnit::MILLIS)),
                ),
            };
            let field = Type::primitive_type_builder(column.name, physical)
                .with_repetition(Repetition::OPTIONAL)
                .with_logical_type(logical)
                .build()?;
            Ok(Arc::new(field))
        })
        .collect::<Result<Vec<_>, ParquetError>>()?;
    let root = Type::group_type_builder("gander").with_fields(fields).build()?;
    Ok(Arc::new(root))
}

fn write_group<W: Write + Send>(
    columns: &[Column],
    rows: &[Row],
    writer: &mut SerializedFileWriter<W>,
) -> std::io::Result<()> {
    let mut group = writer.next_row_group().map_err(other)?;
    for (index, column) in columns.iter().enumerate() {
        write_column(column, rows.iter().map(|row| row.get(index)), &mut group).map_err(other)?;
    }
    group.close().map_err(other)?;
    Ok(())
}

fn write_column<'a, W: Write + Send>(
    column: &Column,
    cells: impl Iterator<Item = Option<&'a Cell>>,
    group: &mut SerializedRowGroupWriter<'_, W>,
) -> Result<(), ParquetError> {
    // 1: there is a value; 0: there is none.
    let mut levels = Vec::new();
    let mut texts = Vec::new();
    let mut numbers = Vec::new();
    let mut moments = Vec::new();
    for cell in cells {
        let level = match (column.kind, cell) {
            (Kind::Text, Some(Cell::Text(text))) => {
                texts.push(ByteArray::from(text.as_str()));
                1
            }
            (Kind::Number, Some(Cell::Number(number))) => {
                numbers.push(*number);
                1
            }
            (Kind::Moment, Some(Cell::Moment(moment))) => {
                moments.push(moment.as_millis());
                1
            }
            _ => 0,
        };
        levels.push(level);
    }
    let mut writer = group
        .next_column()?
        .ok_or_else(|| ParquetError::General(format!("no column {}", column.name)))?;
    match column.kind {
        Kind::Text => writer
            .typed::<ByteArrayType>()
            .write_batch(&texts, Some(&levels), None)?,
        Kind::Number => writer
            .typed::<DoubleType>()
            .write_batch(&numbers, Some(&levels), None)?,
        Kind::Moment => writer
            .typed::<Int64Type>()
            .write_batch(&moments, Some(&levels), None)?,
    };
    writer.close()
}

#[expect(clippy::needless_pass_by_value, reason = "for map_err")]
fn other(error: ParquetError) -> std::io::Error {
    std::io::Error::other(error.to_string())
}

#[cfg(test)]
mod tests {
    use bytes::Bytes;
    use parquet::{
        file::reader::{FileReader as _, SerializedFileReader},
        record::RowAccessor as _,
    };
    use tokio::sync::mpsc;

    use super::*;
    use crate::model::Timestamp;

    #[test]
    fn what_was_written_is_read_back_over_many_groups() {
        let (sender, mut rows) = mpsc::channel(16);
        for batch in 0..10_i64 {
            let rows = (0..7)
                .map(|row| {
                    let number = batch * 7 + row;
                    let is_known = number % 3 > 0;
                    vec![
                        Cell::Moment(Timestamp(1_795_348_800_000 + number)),
                        Cell::Text(format!("=web-{}", number % 2)),
                        is_known.then_some(number as f64 / 10.0).into(),
                    ]
                })
                .collect();
            sender.try_send(Ok(rows)).unwrap();
        }
        drop(sender);
        let column = |name, kind| Column {
            name,
            heading: "",
            kind,
            width: 1,
        };
        let columns = [
            column("time", Kind::Moment),
            column("server", Kind::Text),
            column("cpu_usage", Kind::Number),
        ];
        let mut output = Vec::new();
        write_groups(&columns, &mut rows, 16, &mut output).unwrap();

        let reader = SerializedFileReader::new(Bytes::from(output)).unwrap();
        assert_eq!(reader.num_row_groups(), 5);
        assert_eq!(reader.metadata().file_metadata().num_rows(), 70);
        let names: Vec<&str> = reader
            .metadata()
            .file_metadata()
            .schema_descr()
            .columns()
            .iter()
            .map(|column| column.name())
            .collect();
        assert_eq!(names, ["time", "server", "cpu_usage"]);
        for (number, row) in (0_i64..).zip(reader.get_row_iter(None).unwrap()) {
            let row = row.unwrap();
            assert_eq!(row.get_timestamp_millis(0).unwrap(), 1_795_348_800_000 + number);
            assert_eq!(row.get_string(1).unwrap(), &format!("=web-{}", number % 2));
            match number % 3 {
                0 => assert!(row.get_double(2).is_err(), "a null"),
                _ => assert_eq!(row.get_double(2).unwrap(), number as f64 / 10.0),
            }
        }
    }

    #[test]
    fn a_sheet_without_rows_is_a_file_all_the_same_and_one_that_fails_is_none() {
        let (sender, mut rows) = mpsc::channel(1);
        drop(sender);
        let columns = [Column {
            name: "time",
            heading: "",
            kind: Kind::Moment,
            width: 1,
        }];
        let mut output = Vec::new();
        write(&columns, &mut rows, &mut output).unwrap();
        let reader = SerializedFileReader::new(Bytes::from(output)).unwrap();
        assert_eq!(reader.metadata().file_metadata().num_rows(), 0);

        let (sender, mut rows) = mpsc::channel(1);
        sender.try_send(Err("the disk failed".to_owned())).unwrap();
        let mut output = Vec::new();
        let error = write(&columns, &mut rows, &mut output).unwrap_err();
        assert!(error.to_string().contains("the disk failed"));
        assert!(SerializedFileReader::new(Bytes::from(output)).is_err());
    }
}
