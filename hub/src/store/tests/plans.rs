//! No query of the hot paths reads a whole table or sorts it.

use sqlx::{Execute, QueryBuilder, Row, Sqlite};

use super::*;
use crate::model::EventKind;
use crate::store::alerts::alerts_sql;
use crate::store::chunks::FIND;
use crate::store::events::events_sql;
use crate::store::remove::BATCH;
use crate::store::rows::{ROWS, blocks_sql};
use crate::store::source::SCAN;
use crate::store::spacing::NEWEST_BLOCKS;
use crate::store::stats::PER_SERVER;
use crate::store::{AlertQuery, EventQuery, MetricsQuery};

async fn plan(test: &TestStore, sql: &str) -> String {
    let sql = sqlx::AssertSqlSafe(format!("EXPLAIN QUERY PLAN {sql}"));
    let mut writer = test.store.inner.writer.lock().await;
    let rows = sqlx::query(sql)
        .fetch_all(writer.connection.as_mut().unwrap())
        .await
        .unwrap();
    rows.iter()
        .map(|row| row.get::<String, _>("detail"))
        .collect::<Vec<_>>()
        .join("; ")
}

fn text(mut sql: QueryBuilder<Sqlite>) -> String {
    sql.build().sql().as_str().to_owned()
}

fn assert_cheap(sql: &str, plan: &str, index: &str) {
    assert!(plan.contains(index), "{sql}\n{plan}");
    assert!(!plan.contains("TEMP B-TREE"), "{sql}\n{plan}");
}

#[tokio::test]
async fn the_first_block_of_a_server_is_not_looked_for_among_all_blocks() {
    let test = TestStore::new().await;
    let plan = plan(&test, PER_SERVER).await;
    let own = "SEARCH block USING COVERING INDEX block_by_server (server_id=? AND tier=?)";
    assert_eq!(plan.matches(own).count(), 2, "{plan}");
    assert!(!plan.contains("block_by_time"), "{plan}");
}

#[tokio::test]
async fn samples_are_found_by_their_key_and_in_order() {
    let test = TestStore::new().await;
    let cheap = async |sql: String, index: &str| assert_cheap(&sql, &plan(&test, &sql).await, index);
    cheap(
        SCAN.to_owned(),
        "SEARCH sample USING PRIMARY KEY (server_id=? AND taken_at>? AND taken_at<?)",
    )
    .await;
    cheap(
        FIND.to_owned(),
        "SEARCH block USING INDEX block_by_server (server_id=? AND tier=? AND last_at>?)",
    )
    .await;
    cheap(
        NEWEST_BLOCKS.to_owned(),
        "SEARCH block USING INDEX block_by_server (server_id=? AND tier=? AND last_at>?)",
    )
    .await;
    cheap(
        ROWS.to_owned(),
        "SEARCH sample USING PRIMARY KEY (server_id=? AND taken_at>? AND taken_at<?)",
    )
    .await;
    cheap(
        text(blocks_sql(&MetricsQuery::default(), (0, NOW.0))),
        "SEARCH block USING INDEX block_by_time (tier=? AND first_at<?)",
    )
    .await;
    for part in ["(server_id=? AND taken_at<?)", "(server_id=? AND taken_at=?)"] {
        cheap(
            BATCH.to_owned(),
            &format!("SEARCH sample USING PRIMARY KEY {part}"),
        )
        .await;
    }
}

#[tokio::test]
async fn alerts_and_events_are_listed_by_an_index() {
    let test = TestStore::new().await;
    let cheap = async |sql: String, index| assert_cheap(&sql, &plan(&test, &sql).await, index);
    let server_id = Some(ServerId(1));
    let before = Some(AlertId(5));
    let all = AlertQuery {
        before,
        ..AlertQuery::default()
    };
    cheap(
        text(alerts_sql(&all)),
        "SEARCH alert USING INTEGER PRIMARY KEY (rowid<?)",
    )
    .await;
    let firing = AlertQuery {
        resolved: Some(false),
        ..AlertQuery::default()
    };
    cheap(text(alerts_sql(&firing)), "USING INDEX alert_firing").await;
    let one = AlertQuery { server_id, ..all };
    cheap(
        text(alerts_sql(&one)),
        "SEARCH alert USING INDEX alert_by_server (server_id=? AND id<?)",
    )
    .await;
    let events = EventQuery {
        before: Some(9),
        ..EventQuery::default()
    };
    cheap(
        text(events_sql(&events).unwrap()),
        "SEARCH event USING INTEGER PRIMARY KEY (rowid<?)",
    )
    .await;
    let kind = EventQuery {
        kind: Some(EventKind::LoggedIn),
        ..events.clone()
    };
    cheap(
        text(events_sql(&kind).unwrap()),
        "SEARCH event USING INDEX event_by_kind (kind=? AND id<?)",
    )
    .await;
    let both = EventQuery { server_id, ..kind };
    cheap(
        text(events_sql(&both).unwrap()),
        "SEARCH event USING INDEX event_by_server (server_id=?",
    )
    .await;
}
