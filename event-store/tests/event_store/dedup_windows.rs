//! Identities stay known for their time, and housekeeping blocks nobody.

use crate::support::{Store, TASKS, action};
use plaudit_event_store::ActionAnswer;
use plaudit_event_store::seen_actions::windows;
use serde_json::json;

const NOON: &str = "2026-03-29T12:00:00Z";

fn gift(id: &str) -> plaudit_domain::action::Action {
    action("u1", id, "gift.sent", NOON, &json!({"coins": 10}))
}

async fn run(store: &Store, sql: &str) {
    sqlx::query(sql).execute(&store.pool).await.unwrap();
}

/// Lets some days pass with upkeep running all the time.
async fn days_pass(store: &Store, days: u32) {
    run(store, &format!("update dedup_window set opened_at = opened_at - interval '{days} days'"))
        .await;
}

/// Makes the database's clock jump ahead by some days between two looks.
async fn clock_jumps(store: &Store, days: u32) {
    let ago = format!("interval '{days} days'");
    run(
        store,
        &format!(
            "update dedup_window set opened_at = opened_at - {ago}, looked_at = looked_at - {ago}"
        ),
    )
    .await;
}

async fn window_opened_now(store: &Store) {
    run(store, "update dedup_window set opened_at = now()").await;
}

/// Rule 5: for at least seven days, but not for ever, so that the space is bounded.
#[tokio::test]
async fn an_identity_is_known_for_seven_days_and_forgotten_after_fourteen() {
    let store = Store::with_tasks(TASKS).await;
    window_opened_now(&store).await;
    assert_eq!(store.act(gift("g")).await.answer, ActionAnswer::Accepted);
    days_pass(&store, 6).await;
    assert!(!windows::upkeep(&store.pool).await.unwrap().opened);
    days_pass(&store, 1).await;
    let first = windows::upkeep(&store.pool).await.unwrap();
    assert!(first.opened);
    assert_eq!(store.act(gift("g")).await.answer, ActionAnswer::Duplicate, "in the week after");
    days_pass(&store, 7).await;
    assert!(windows::upkeep(&store.pool).await.unwrap().opened);
    assert_eq!(
        store.act(gift("g")).await.answer,
        ActionAnswer::Accepted,
        "after two weeks it is as new"
    );
    let old = format!(
        "select count(*) from pg_class where relname = 'seen_actions_{}'",
        first.current - 1
    );
    assert_eq!(store.count(&old).await, 0, "its partition is gone, with its space on the disk");
}

/// Rule 5: an identity of two days ago stays known, though its window is no longer the open one.
#[tokio::test]
async fn a_clock_that_jumps_ahead_by_weeks_drops_no_live_window() {
    let store = Store::with_tasks(TASKS).await;
    window_opened_now(&store).await;
    days_pass(&store, 6).await;
    assert_eq!(store.act(gift("g")).await.answer, ActionAnswer::Accepted);
    days_pass(&store, 1).await;
    assert!(windows::upkeep(&store.pool).await.unwrap().opened);
    days_pass(&store, 1).await;
    for _ in 0..3 {
        clock_jumps(&store, 40).await;
        assert!(!windows::upkeep(&store.pool).await.unwrap().opened);
    }
    assert_eq!(store.act(gift("g")).await.answer, ActionAnswer::Duplicate);
    days_pass(&store, 6).await;
    assert!(windows::upkeep(&store.pool).await.unwrap().opened, "the days that passed count");
}

/// Rule 23: a session that waits for an exclusive lock on a table blocks everyone who comes after
/// it.
#[tokio::test]
async fn upkeep_under_a_dump_holds_up_batches_for_moments_only() {
    const LOOKS: usize = 10;
    let store = Store::with_tasks(TASKS).await;
    for _ in 0..3 {
        days_pass(&store, 7).await;
        windows::make_and_open(&store.pool).await.unwrap();
    }
    let mut dump = store.pool.begin().await.unwrap();
    sqlx::query("lock table seen_actions in access share mode").execute(&mut *dump).await.unwrap();
    let began = std::time::Instant::now();
    let upkeep = async {
        for _ in 0..LOOKS {
            windows::upkeep(&store.pool).await.unwrap();
        }
    };
    let batches = async {
        for n in 0..LOOKS {
            let applied = store.act(gift(&format!("during-{n}"))).await;
            assert_eq!(applied.answer, ActionAnswer::Accepted);
        }
    };
    tokio::join!(upkeep, batches);
    // With a lock timeout of 2 s, each round would block batches for that long.
    assert!(began.elapsed() < std::time::Duration::from_secs(15), "{:?}", began.elapsed());
    dump.rollback().await.unwrap();
}

/// Rule 23: a dump holds every table for its whole duration.
#[tokio::test]
async fn a_dump_holds_up_no_batch_no_upkeep_and_no_migration() {
    let store = Store::with_tasks(TASKS).await;
    for _ in 0..3 {
        days_pass(&store, 7).await;
        windows::make_and_open(&store.pool).await.unwrap();
    }
    let mut dump = store.pool.begin().await.unwrap();
    sqlx::query("lock table seen_actions in access share mode").execute(&mut *dump).await.unwrap();
    days_pass(&store, 7).await;
    let began = std::time::Instant::now();
    assert!(
        windows::upkeep(&store.pool).await.unwrap().opened,
        "making and opening needs no dump to end"
    );
    plaudit_event_store::schema::migrate(&store.pool, store.lane_count).await.unwrap();
    let restarted = store.another_executor();
    let batch = plaudit_event_store::Batch {
        items: vec![store.item(gift("g"), crate::support::request())],
        checkpoints: vec![],
    };
    assert_eq!(restarted.execute(&batch).await.unwrap()[0].answer, ActionAnswer::Accepted);
    assert!(began.elapsed() < std::time::Duration::from_secs(8), "{:?}", began.elapsed());
    let partitions = "select count(*) from pg_inherits where inhparent = 'seen_actions'::regclass";
    let before = store.count(partitions).await;
    dump.rollback().await.unwrap();
    windows::upkeep(&store.pool).await.unwrap();
    assert_eq!(
        store.count(partitions).await,
        3,
        "dropped once nobody holds it; there were {before}"
    );
}
