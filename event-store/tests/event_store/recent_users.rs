//! The cache of recently changed users is never outdated.

use crate::support::{Store, TASKS, action, request};
use plaudit_domain::lane::Lane;
use plaudit_event_store::{ActionAnswer, Batch, Executor};
use serde_json::json;

/// Counts a gift through `executor`, and returns the day's progress from the row.
async fn gift(store: &Store, executor: &Executor, id: &str) -> i64 {
    let gift = action("u1", id, "gift.sent", "2026-03-24T10:00:00Z", &json!({ "coins": 10 }));
    let items = vec![store.item(gift, request())];
    let batch = Batch { items, checkpoints: vec![] };
    let applied = executor.execute(&batch).await.unwrap();
    assert_eq!(applied[0].answer, ActionAnswer::Accepted);
    store.count("select progress from task_view where task_id = 'daily-gifts'").await
}

#[tokio::test]
async fn what_another_process_wrote_meanwhile_is_seen() {
    let store = Store::with_tasks(TASKS).await;
    let other = store.another_executor();
    let mut expected = 0;
    for round in 0..4 {
        for (name, executor) in [("own", &*store.executor), ("other", &other), ("again", &other)] {
            expected += 10;
            let progress = gift(&store, executor, &format!("{name}-{round}")).await;
            assert_eq!(progress, expected, "{name} in round {round}");
        }
    }
}

#[tokio::test]
async fn tables_that_were_put_in_the_place_of_others_are_read() {
    let store = Store::with_tasks(TASKS).await;
    assert_eq!(gift(&store, &store.executor, "a").await, 10);
    // Like a rebuild, but with different content to make it visible.
    sqlx::raw_sql(
        "create table task_view_new (like task_view including all);
         insert into task_view_new select * from task_view;
         update task_view_new set progress = 500;
         drop table task_view; alter table task_view_new rename to task_view",
    )
    .execute(&store.pool)
    .await
    .unwrap();
    assert_eq!(gift(&store, &store.executor, "b").await, 510);
}

#[tokio::test]
async fn nothing_is_read_again_while_a_process_is_alone() {
    let store = Store::with_tasks(TASKS).await;
    assert_eq!(gift(&store, &store.executor, "a").await, 10);
    sqlx::raw_sql("update task_view set progress = 500").execute(&store.pool).await.unwrap();
    assert_eq!(gift(&store, &store.executor, "b").await, 20, "the row was not read");
    assert_eq!(gift(&store, &store.another_executor(), "c").await, 30, "and it was written whole");
}

/// A damaged user whom no batch can catch up with keeps such a mark for ever.
#[tokio::test]
async fn a_user_who_is_behind_costs_the_others_of_the_lane_nothing() {
    let store = Store::with_tasks(TASKS).await;
    assert_eq!(gift(&store, &store.executor, "a").await, 10);
    let lane = Lane::of("u1", store.lane_count);
    sqlx::query("insert into external_appends (lane, user_id) values ($1, 'damaged')")
        .bind(lane.0)
        .execute(&store.pool)
        .await
        .unwrap();
    sqlx::raw_sql("update task_view set progress = 500").execute(&store.pool).await.unwrap();
    assert_eq!(gift(&store, &store.executor, "b").await, 20, "the row was not read");
}

#[tokio::test]
async fn a_batch_that_was_rolled_back_leaves_no_trace() {
    let store = Store::with_tasks(TASKS).await;
    assert_eq!(gift(&store, &store.executor, "a").await, 10);
    sqlx::raw_sql("alter table seen_actions add constraint refused check (false) not valid")
        .execute(&store.pool)
        .await
        .unwrap();
    let refused = action("u1", "b", "gift.sent", "2026-03-24T10:00:00Z", &json!({ "coins": 10 }));
    let batch = Batch { items: vec![store.item(refused, request())], checkpoints: vec![] };
    assert!(store.executor.execute(&batch).await.is_err());
    sqlx::raw_sql("alter table seen_actions drop constraint refused")
        .execute(&store.pool)
        .await
        .unwrap();
    assert_eq!(gift(&store, &store.executor, "c").await, 20);
}
