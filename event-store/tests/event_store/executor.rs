//! The batch transaction against a real PostgreSQL.

use crate::support::{Store, TASKS, action, request};
use jiff::Timestamp;
use plaudit_domain::catalogue::Status;
use plaudit_domain::ids::UserId;
use plaudit_domain::lane::Lane;
use plaudit_event_store::catalogue_store::{self, PublishError, set_status};
use plaudit_event_store::{
    ActionAnswer, Batch, Claim, ClaimAll, ClaimAnswer, ClaimedAll, ExecuteError, Incoming, Item,
    Origin, ParkedRecord, SourcePosition,
};
use serde_json::json;

fn record(partition: i32, offset: i64) -> Origin {
    Origin::Record(SourcePosition { topic: "actions".into(), incarnation: 0, partition, offset })
}

const NOON: &str = "2026-03-29T12:00:00Z";

fn team(user: &str, id: &str) -> plaudit_domain::action::Action {
    action(user, id, "team.formed", NOON, &json!({}))
}

/// Rule 5: neither as another request, nor at another offset, nor through another interface.
#[tokio::test]
async fn the_same_action_never_counts_twice() {
    let store = Store::with_tasks(TASKS).await;
    assert_eq!(store.act(team("u1", "a")).await.answer, ActionAnswer::Accepted);
    assert_eq!(store.act(team("u1", "a")).await.answer, ActionAnswer::Duplicate);
    let again = store.item(team("u1", "a"), record(0, 5));
    assert_eq!(store.execute(vec![again]).await[0].answer, ActionAnswer::Duplicate);
    let other_user = store.item(team("u2", "a"), record(0, 6));
    let twice = store.item(team("u2", "a"), record(0, 7));
    let outcomes = store.execute(vec![other_user, twice]).await;
    assert_eq!(outcomes[0].answer, ActionAnswer::Accepted);
    assert_eq!(outcomes[1].answer, ActionAnswer::Duplicate);
    assert_eq!(
        store.count("select count(*) from events where event_type = 'progress_recorded'").await,
        2
    );
}

/// Rule 5: a topic read again from its beginning, including records that made no event.
#[tokio::test]
async fn a_record_below_the_lanes_offset_is_never_decided_again() {
    let store = Store::with_tasks(TASKS).await;
    let unheard = store.item(action("u1", "x", "later.task", NOON, &json!({})), record(0, 0));
    store.execute(vec![unheard.clone()]).await;
    sqlx::query("truncate seen_actions").execute(&store.pool).await.unwrap();
    let later = TASKS.replace("team.formed", "later.task").replace("first-team", "later");
    let later = crate::support::tasks_of(&later);
    catalogue_store::publish(&store.pool, &later[..1], "test").await.unwrap();
    assert_eq!(store.execute(vec![unheard]).await[0].answer, ActionAnswer::AlreadyApplied);
    assert_eq!(store.count("select count(*) from events").await, 0);
}

/// Rule 19: positions in a lane are contiguous and in order of commit.
#[tokio::test]
async fn positions_in_a_lane_have_no_gaps() {
    let store = Store::with_tasks(TASKS).await;
    let mut writers = tokio::task::JoinSet::new();
    for writer in 0..8 {
        let executor = store.executor.clone();
        let items: Vec<_> = (0..40)
            .map(|n| store.item(team(&format!("u{}", n % 20), &format!("{writer}-{n}")), request()))
            .collect();
        writers.spawn(async move {
            for chunk in items.chunks(5) {
                let batch = Batch { items: chunk.to_vec(), checkpoints: vec![] };
                // A batch that timed out waiting for its lanes may be sent again.
                while let Err(error) = executor.execute(&batch).await {
                    assert!(matches!(error, ExecuteError::LanesBusy(_)), "{error}");
                }
            }
        });
    }
    while let Some(done) = writers.join_next().await {
        done.unwrap();
    }
    let gaps = "select count(*) from (select position - row_number() over (partition by lane order by position) as gap from events) g where gap <> 0";
    assert_eq!(store.count(gaps).await, 0);
    let heads = "select count(*) from lanes l where next_position <> 1 + (select count(*) from events e where e.lane = l.lane)";
    assert_eq!(store.count(heads).await, 0);
    assert_eq!(
        store.count("select count(*) from events where event_type = 'task_completed'").await,
        20
    );
}

/// Also rule 16.
#[tokio::test]
async fn rule_17_a_repeated_claim_returns_the_same_receipt() {
    let store = Store::with_tasks(TASKS).await;
    store.act(team("u1", "a")).await;
    let user: UserId = "u1".parse().unwrap();
    let claim = |milestone, key: Option<&str>| Item {
        lane: Lane::of("u1", store.lane_count),
        work: Claim {
            user: user.clone(),
            task: "first-team".parse().unwrap(),
            period: Some("once".to_owned().into()),
            milestone,
            at: Timestamp::now(),
            idempotency_key: key.map(str::to_owned),
        },
        origin: request(),
    };
    let answer = store.answer(claim(Some(1), Some("k"))).await;
    let Ok(ClaimAnswer::Claimed(receipt)) = answer else { panic!("{answer:?}") };
    assert_eq!(receipt.rewards.len(), 1);
    for again in [claim(Some(1), Some("k")), claim(Some(1), None), claim(None, Some("k"))] {
        assert_eq!(store.answer(again).await, Ok(ClaimAnswer::Claimed(receipt.clone())));
    }
    let nothing = store.answer(claim(None, None)).await;
    assert!(matches!(nothing, Ok(ClaimAnswer::Rejected(_))), "{nothing:?}");
    assert_eq!(
        store.count("select count(*) from events where event_type = 'rewards_claimed'").await,
        1
    );
}

/// Rules 21 and 22: a record is parked once, however often it is read. It names no user, so it
/// blocks nobody.
#[tokio::test]
async fn a_parked_record_is_kept_with_its_bytes() {
    let store = Store::with_tasks(TASKS).await;
    let parked = ParkedRecord {
        id: ParkedRecord::id_of("actions/0/3"),
        reason: "not JSON".to_owned(),
        repairable: false,
        user: None,
        headers: json!({"k": "v"}),
        bytes: b"\xff\x00garbage".to_vec(),
    };
    let item = Item { lane: Lane(5), work: Incoming::Park(parked.clone()), origin: record(0, 3) };
    store.execute(vec![item.clone(), store.item(team("u1", "a"), record(0, 4))]).await;
    store.execute(vec![item]).await;
    let kept = plaudit_event_store::parked::page(&store.pool, None, 10).await.unwrap().parked;
    assert_eq!(kept.len(), 1);
    assert_eq!(kept[0].bytes, parked.bytes);
    assert_eq!((kept[0].topic.as_deref(), kept[0].offset), (Some("actions"), Some(3)));
    assert_eq!(store.count("select count(*) from events").await, 3);
}

/// The role of the server can't rewrite history.
#[tokio::test]
async fn events_are_append_only() {
    let store = Store::with_tasks(TASKS).await;
    store.act(team("u1", "a")).await;
    for statement in [
        "update events set payload = '{}'",
        "delete from events",
        "truncate events",
        "delete from task_versions",
    ] {
        let refused = sqlx::query(statement).execute(&store.pool).await.unwrap_err();
        assert_eq!(
            refused.as_database_error().and_then(sqlx::error::DatabaseError::code).as_deref(),
            Some("42501"),
            "{statement}"
        );
    }
}

fn claim_all(store: &Store, user: &str) -> Item<ClaimAll> {
    let user: UserId = user.parse().unwrap();
    Item {
        lane: Lane::of(user.as_str(), store.lane_count),
        work: ClaimAll { user, at: Timestamp::now(), idempotency_key: None },
        origin: request(),
    }
}

/// Completes the task for `before` while it is active, and for `after` in the given status.
/// Afterwards `before` can claim, and `after` has not moved.
async fn stops_progress_and_not_claims(store: &Store, status: Status) {
    let id = "first-team".parse().unwrap();
    store.act(team("before", "a")).await;
    set_status(&store.pool, &id, status, "test").await.unwrap();
    store.act(team("after", "b")).await;
    let moved = "select count(*) from events where aggregate_id = 'after'";
    assert_eq!(store.count(moved).await, 0);
    let answer = store.answer(claim_all(store, "before")).await;
    assert!(
        matches!(&answer, Ok(ClaimedAll { receipts, more: false }) if receipts.len() == 1),
        "{answer:?}"
    );
}

/// Rule 10.
#[tokio::test]
async fn a_paused_task_stops_progress_and_not_claims_until_it_is_resumed() {
    let store = Store::with_tasks(TASKS).await;
    stops_progress_and_not_claims(&store, Status::Paused).await;
    let id = "first-team".parse().unwrap();
    set_status(&store.pool, &id, Status::Active, "test").await.unwrap();
    store.act(team("after", "c")).await;
    let completed = "select count(*) from events where aggregate_id = 'after' and event_type = 'task_completed'";
    assert_eq!(store.count(completed).await, 1);
}

/// Rules 9 and 10.
#[tokio::test]
async fn a_retired_task_stops_progress_and_not_claims_and_never_comes_back() {
    let store = Store::with_tasks(TASKS).await;
    stops_progress_and_not_claims(&store, Status::Retired).await;
    let tasks = crate::support::tasks_of(TASKS);
    let reused = catalogue_store::publish(&store.pool, &tasks, "test").await.unwrap_err();
    assert!(
        matches!(&reused, PublishError::Conflicts(conflicts) if conflicts.len() == 1),
        "{reused}"
    );
    let id = "first-team".parse().unwrap();
    let resumed = set_status(&store.pool, &id, Status::Active, "test").await;
    assert!(matches!(resumed, Err(PublishError::Retired(_))));
}

/// Two concurrent requests in one batch get the same receipt.
#[tokio::test]
async fn rule_17_a_claim_that_is_repeated_in_one_batch_returns_the_same_receipt() {
    let store = Store::with_tasks(TASKS).await;
    store.act(team("u1", "a")).await;
    let claim = || Item {
        lane: Lane::of("u1", store.lane_count),
        work: Claim {
            user: "u1".parse().unwrap(),
            task: "first-team".parse().unwrap(),
            period: Some("once".to_owned().into()),
            milestone: Some(1),
            at: Timestamp::now(),
            idempotency_key: None,
        },
        origin: request(),
    };
    let applied = store.execute(vec![claim(), claim()]).await;
    assert!(matches!(applied[0].answer, Ok(ClaimAnswer::Claimed(_))), "{applied:?}");
    assert_eq!(applied[0].answer, applied[1].answer);
}
