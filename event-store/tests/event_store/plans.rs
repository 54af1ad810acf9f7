//! The plans of a batch's statements are made while the tables are empty, and kept. They must hold when a lane has
//! many users: each statement probes keys, and walks no lane.

use std::time::{Duration, Instant};

use crate::support::{Store, TASKS, action, request};
use jiff::Timestamp;
use plaudit_domain::ids::{TaskId, UserId};
use plaudit_domain::lane::Lane;
use plaudit_event_store::{Item, Work};
use serde_json::json;

/// Rows that a scan of an index may read on average: what one user has, and not what a lane has.
const ROWS_PER_SCAN: f64 = 12.0;

const USERS: usize = 150;

/// The index scans of all sessions, once the statistics have arrived.
async fn scans(store: &Store) -> Vec<(String, i64, i64)> {
    let deadline = Instant::now() + Duration::from_secs(60);
    loop {
        let rows: Vec<(String, i64, i64)> = sqlx::query_as(
            "select indexrelname::text, idx_scan, idx_tup_read from pg_stat_user_indexes
             where idx_scan > 0 and (relname in ('events', 'task_view', 'user_view', 'reward_state', 'claim_keys')
                                     or relname like 'seen_actions%')",
        )
        .fetch_all(&store.pool)
        .await
        .unwrap();
        if rows.iter().any(|(index, ..)| index == "task_view_pkey") {
            return rows;
        }
        assert!(Instant::now() < deadline, "no statistics have arrived");
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
}

#[tokio::test]
async fn every_statement_of_a_batch_probes_keys_also_when_it_was_planned_on_empty_tables() {
    let store = Store::with_tasks(TASKS).await;
    let lane = Lane::of("u", store.lane_count);
    let users: Vec<String> = (0..)
        .map(|n| format!("user-{n}"))
        .filter(|user| Lane::of(user, store.lane_count) == lane)
        .take(USERS)
        .collect();
    for day in 1..=4 {
        for kind in ["team.formed", "gift.sent", "user.signed_in"] {
            let time = format!("2026-03-{day:02}T12:00:00Z");
            let items = users.iter().map(|user| {
                let data = json!({ "coins": 600 });
                store.item(action(user, &format!("{kind}-{day}"), kind, &time, &data), request())
            });
            store.execute(items.collect()).await;
        }
        let task: TaskId = "sign-in".parse().unwrap();
        let claims = users.iter().map(|user| {
            let user: UserId = user.parse().unwrap();
            let work = Work::Claim {
                user,
                task: task.clone(),
                period: None,
                milestone: None,
                at: Timestamp::now(),
                idempotency_key: Some(format!("claim-{day}")),
            };
            Item { lane, work, origin: request() }
        });
        store.execute(claims.collect()).await;
    }
    for (index, scans, read) in scans(&store).await {
        #[expect(clippy::cast_precision_loss, reason = "an average for people")]
        let average = read as f64 / scans as f64;
        assert!(average <= ROWS_PER_SCAN, "{index}: {scans} scans read {read} rows");
    }
}
