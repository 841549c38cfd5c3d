//! Files with damaged pages, and what a repair saves of them.

use std::path::Path;

use super::*;
use crate::store::{DatabaseLock, MetricRow, MetricsQuery, check, repair};

const PAGE: usize = 4096;

/// Every row that can be read, by its moment.
async fn rows(path: &Path, test: &TestStore, server: ServerId) -> Vec<MetricRow> {
    let store = crate::store::Store::open(path, test.key.clone()).await.unwrap();
    let query = MetricsQuery {
        server_id: Some(server),
        limit: 10_000,
        ..MetricsQuery::default()
    };
    let rows = store.metric_rows(&query).await.unwrap().rows;
    store.close().await;
    rows
}

#[tokio::test]
async fn whatever_page_is_damaged_the_rest_is_saved_and_the_loss_is_named() {
    let (test, server) = keeping::filled().await;
    test.store.close().await;
    let whole = std::fs::read(test.path()).unwrap();
    let original = rows(&test.path(), &test, server).await;
    let path = test.directory.path().join("damaged.db");
    let mut saved = 0;
    let mut tried = 0;
    // The first page says what the file is: without it there is nothing to begin with.
    for page in (1..whole.len() / PAGE).step_by(5) {
        let mut bytes = whole.clone();
        let noise = (0..PAGE).map(|at| (at * 7 + page * 13) as u8 ^ 0x5a);
        bytes.splice(page * PAGE..(page + 1) * PAGE, noise);
        std::fs::write(&path, bytes).unwrap();
        if check(&path, Some(&test.key)).await.unwrap().is_sound() {
            // Nothing is on it.
            continue;
        }
        tried += 1;
        let lock = DatabaseLock::take(&path).unwrap();
        let mended = repair(&path, Some(&test.key), NOW, &lock).await.unwrap();
        assert!(
            mended.left.is_usable(),
            "page {page}: {:#?}",
            mended.left.problems
        );
        assert!(!mended.done.is_empty());
        std::fs::remove_file(mended.kept.unwrap()).unwrap();
        drop(lock);
        let left = rows(&path, &test, server).await;
        saved += left.len();
        for row in &left {
            assert!(
                original.contains(row),
                "page {page}: a value that never was: {row:?}"
            );
        }
        let said = mended.done.join("\n");
        assert!(
            left.len() == original.len() || said.contains("samples of ") || said.contains("left out"),
            "page {page}: {} rows of {} and no word of it: {said}",
            left.len(),
            original.len()
        );
    }
    assert!(tried >= 5, "{tried}");
    // A page holds some forty samples; the root of a table takes all of it along.
    let kept = saved * 100 / (tried * original.len());
    assert!(kept >= 80, "{kept} % of the samples were saved");
}
