//! Parquet and stepped series over HTTP; the other sheets are tested with the data they show.

use parquet::{
    file::reader::{FileReader as _, SerializedFileReader},
    record::{Row, RowAccessor as _},
};

use super::*;

fn rows(answer: &Answer) -> Vec<Row> {
    let reader = SerializedFileReader::new(answer.body.clone()).unwrap();
    let rows = reader.get_row_iter(None).unwrap().map(Result::unwrap);
    rows.collect()
}

#[tokio::test]
async fn parquet_holds_what_was_measured() {
    let app = TestApp::start().await;
    let viewer = app.viewer().await;
    let id = app.enrol("web-1").await;
    // Whole minutes, so that steps of a minute hold one reading each.
    let start = Timestamp(Timestamp::now().0 / 60_000 * 60_000 - 600_000);
    for minute in 0..5 {
        app.read(healthy(id, start.plus_millis(minute * 60_000), 500))
            .await;
    }
    let answer = viewer.get("/api/export?kind=metrics&format=parquet").await;
    assert_eq!(answer.status, StatusCode::OK, "{}", answer.text());
    assert_eq!(answer.header("content-type"), "application/vnd.apache.parquet");
    assert!(answer.header("content-disposition").ends_with(".parquet\""));
    let samples = rows(&answer);
    assert_eq!(samples.len(), 5);
    assert_eq!(samples[4].get_timestamp_millis(0).unwrap(), start.0 + 240_000);
    assert_eq!(samples[0].get_string(1).unwrap(), "web-1");
    assert_eq!(samples[0].get_double(2).unwrap(), 42.5);
    assert_eq!(samples[0].get_double(5).unwrap(), 1.42);

    let path = format!(
        "/api/export?kind=series&format=parquet&metrics=cpu.usage,memory.usage&step=60&server_id={id}&from={start}"
    );
    let answer = viewer.get(&path).await;
    assert_eq!(answer.status, StatusCode::OK, "{}", answer.text());
    let steps = rows(&answer);
    assert_eq!(steps.len(), 10, "five steps of two metrics: {steps:?}");
    let first = &steps[0];
    assert_eq!(first.get_timestamp_millis(0).unwrap(), start.0);
    assert_eq!(first.get_string(2).unwrap(), "cpu.usage");
    assert_eq!(first.get_string(4).unwrap(), "percent");
    for column in 5..8 {
        assert_eq!(first.get_double(column).unwrap(), 42.5);
    }

    let csv = viewer.get(&path.replace("parquet", "csv")).await.text();
    assert!(csv.contains(",web-1,memory.usage,,percent,50,50,50"), "{csv}");
    for (kind, expected) in [("alerts", 0), ("servers", 1)] {
        let answer = viewer
            .get(&format!("/api/export?kind={kind}&format=parquet"))
            .await;
        assert_eq!(rows(&answer).len(), expected, "{kind}");
    }
    for (query, field) in [
        ("kind=series", "metrics"),
        ("kind=series&metrics=cpu", "metrics"),
        ("kind=series&metrics=cpu.usage&step=7", "step"),
    ] {
        viewer.get(&format!("/api/export?{query}")).await.field(field);
    }
}
