//! Damaged or lost rows, and unreadable events: other users are not affected.

use crate::support::{Store, TASKS, action, request};
use jiff::Timestamp;
use plaudit_domain::lane::Lane;
use plaudit_event_store::{
    ActionAnswer, Answer, Batch, Claim, ClaimAll, ClaimAnswer, ClaimedAll, Executor, Item,
    deliveries, reader,
};
use serde_json::json;

const NOON: &str = "2026-03-29T12:00:00Z";

fn gift(user: &str, id: &str) -> plaudit_domain::action::Action {
    action(user, id, "gift.sent", NOON, &json!({ "coins": 10 }))
}

fn claim_all(store: &Store, user: &str, key: Option<&str>) -> Item<ClaimAll> {
    let idempotency_key = key.map(str::to_owned);
    let user: plaudit_domain::ids::UserId = user.parse().unwrap();
    Item {
        lane: Lane::of(user.as_str(), store.lane_count),
        work: ClaimAll { user, at: Timestamp::now(), idempotency_key },
        origin: request(),
    }
}

async fn progress(store: &Store, user: &str) -> i64 {
    store
        .count(&format!(
            "select max((payload->>'progress')::bigint) from events
             where event_type = 'progress_recorded' and aggregate_id = '{user}'"
        ))
        .await
}

/// The state of a user is a cache of the log.
#[tokio::test]
async fn a_state_that_is_lost_behind_or_unreadable_is_folded_from_the_log() {
    for damage in [
        "delete from user_view where user_id = 'u1'",
        "update user_view set zones = '{\"x\": 1}' where user_id = 'u1'",
        "update user_view set attributes = '7' where user_id = 'u1'",
        "update task_view set details = '{\"x\": 1}' where user_id = 'u1'",
    ] {
        let store = Store::with_tasks(TASKS).await;
        for id in ["a", "b"] {
            store.act(gift("u1", id)).await;
        }
        sqlx::query(damage).execute(&store.pool).await.unwrap();
        // A process that has the user cached continues from there; any other folds the log and
        // repairs the rows.
        assert_eq!(store.act(gift("u1", "c")).await.answer, ActionAnswer::Accepted, "{damage}");
        assert_eq!(progress(&store, "u1").await, 30, "{damage}");
        sqlx::query(damage).execute(&store.pool).await.unwrap();
        let batch =
            Batch { items: vec![store.item(gift("u1", "d"), request())], checkpoints: vec![] };
        let applied = store.another_executor().execute(&batch).await.unwrap();
        assert_eq!(applied[0].answer, ActionAnswer::Accepted, "{damage}");
        assert_eq!(progress(&store, "u1").await, 40, "{damage}");
        let mended = "select count(*) from user_view u join task_view t using (lane, user_id)
                      where u.user_id = 'u1' and t.progress = 40 and t.details is null";
        assert_eq!(store.count(mended).await, 1, "{damage}");
    }
}

/// A reward without the row of its task shows that the row was lost: the claim takes the reward all
/// the same, and the row is written again.
#[tokio::test]
async fn a_claim_finds_a_task_row_that_was_lost() {
    let store = Store::with_tasks(TASKS).await;
    store.act(action("u1", "t", "team.formed", NOON, &json!({}))).await;
    store.act(action("u1", "s", "user.signed_in", NOON, &json!({}))).await;
    let tasks = "select count(*) from task_view where user_id = 'u1' and task_id in ('first-team', 'sign-in')";
    assert_eq!(store.count(tasks).await, 2);
    let lost = "delete from task_view where user_id = 'u1' and task_id = 'first-team'";
    sqlx::query(lost).execute(&store.pool).await.unwrap();
    let batch = Batch { items: vec![claim_all(&store, "u1", None)], checkpoints: vec![] };
    let applied = store.another_executor().execute(&batch).await.unwrap();
    let Ok(ClaimedAll { receipts, .. }) = &applied[0].answer else { panic!("{applied:?}") };
    let mut claimed: Vec<_> = receipts.iter().map(|receipt| receipt.task.as_str()).collect();
    claimed.sort_unstable();
    assert_eq!(claimed, ["first-team", "sign-in"]);
    assert_eq!(store.count(tasks).await, 2, "the lost row is written again");
}

/// Rule 21: what can't be applied is parked, and other users continue.
#[tokio::test]
async fn actions_of_a_user_whose_log_cannot_be_read_are_parked_and_the_others_go_on() {
    let store = Store::with_tasks(TASKS).await;
    store.act(gift("u1", "a")).await;
    store.act(gift("u2", "a")).await;
    let damage = ("from_the_future", "9.0", r#"{"type": "from_the_future"}"#);
    store.force_event("u1", 2, damage).await;
    let items = vec![
        store.item(gift("u1", "b"), request()).mixed(),
        claim_all(&store, "u1", None).mixed(),
        store.item(gift("u2", "b"), request()).mixed(),
    ];
    let applied = store.execute(items).await;
    let Answer::Incoming(ActionAnswer::Parked { reason, .. }) = &applied[0].answer else {
        panic!("{applied:?}")
    };
    assert!(reason.contains("from_the_future"), "{reason}");
    assert!(matches!(applied[1].answer, Answer::ClaimAll(Err(_))), "{applied:?}");
    assert_eq!(applied[2].answer, Answer::Incoming(ActionAnswer::Accepted));
    assert_eq!(progress(&store, "u2").await, 20);
    // It was not decided, so a repeat is parked again and not a duplicate.
    let again = store.act(gift("u1", "b")).await.answer;
    assert!(matches!(again, ActionAnswer::Parked { .. }), "{again:?}");
}

/// Rule 23. The log of such a user may be long, and is read under the lock of the lane.
#[tokio::test]
async fn a_log_that_cannot_be_read_is_named_and_not_read_again_for_every_batch() {
    let store = Store::with_tasks(TASKS).await;
    store.act(gift("u1", "a")).await;
    let last = "select max(sequence) from events where aggregate_id = 'u1'";
    let next = store.count(last).await + 1;
    let damage = ("from_the_future", "9.0", r#"{"type": "from_the_future"}"#);
    store.force_event("u1", next, damage).await;
    // A row that can't be read makes every process fold the log.
    sqlx::query("update user_view set attributes = '7'").execute(&store.pool).await.unwrap();
    let claim = async |executor: &Executor| {
        let batch = Batch { items: vec![claim_all(&store, "u1", None)], checkpoints: vec![] };
        executor.execute(&batch).await.unwrap().remove(0).answer
    };
    let failed = claim(&store.executor).await;
    assert!(failed.is_err(), "{failed:?}");
    let warnings = store.executor.faults().warnings();
    assert!(warnings[0].contains("user u1 in lane") && warnings[0].contains("from_the_future"));
    // Repaired in place, the log is as long as before.
    sqlx::query("grant update on events to current_user").execute(&store.pool).await.unwrap();
    let repair = r#"update events set event_type = 'user_updated', event_version = '1.0',
        payload = '{"type": "user_updated", "at": "2026-03-29T12:00:00Z", "zone": "UTC"}'
        where event_type = 'from_the_future'"#;
    sqlx::query(repair).execute(&store.pool).await.unwrap();
    let remembered = claim(&store.executor).await;
    assert!(remembered.is_err(), "it is remembered for a while");
    let claimed = claim(&store.another_executor()).await;
    assert!(claimed.is_ok(), "{claimed:?}");
}

/// Metadata that can't be parsed makes only its own row unreadable.
#[tokio::test]
async fn metadata_that_cannot_be_read_hides_no_other_event_of_its_page() {
    let store = Store::with_tasks(TASKS).await;
    store.act(gift("u1", "a")).await;
    let lane = Lane::of("u1", store.lane_count);
    sqlx::query(
        "insert into events (lane, aggregate_type, aggregate_id, sequence, event_type, event_version, payload,
                             metadata, position)
         select e.lane, e.aggregate_type, e.aggregate_id, l.last + 1, e.event_type, e.event_version, e.payload,
                '{\"cause\": 1e400}', next_position
         from events e join lanes using (lane),
              (select max(sequence) as last from events where aggregate_id = 'u1') l
         where e.aggregate_id = 'u1' and e.sequence = 1",
    )
    .execute(&store.pool)
    .await
    .unwrap();
    let mut connection = store.pool.acquire().await.unwrap();
    let user = "u1".parse().unwrap();
    let page = reader::user_page(lane, &user, 0, 100, &mut connection).await.unwrap();
    let (last, others) = page.split_last().unwrap();
    assert!(!others.is_empty() && others.iter().all(Result::is_ok), "{others:?}");
    let unreadable = last.as_ref().unwrap_err();
    assert!(unreadable.reason.contains("metadata"), "{unreadable}");
    assert_eq!(unreadable.raw.metadata, json!("{\"cause\": 1e400}"), "shown as it is stored");
}

/// A row of `deliveries` that can't be read fails, and later ones are sent.
#[tokio::test]
async fn a_delivery_that_cannot_be_read_holds_up_no_other() {
    let store = Store::with_tasks(TASKS).await;
    store.act(action("u1", "t", "team.formed", NOON, &json!({}))).await;
    store.execute(vec![claim_all(&store, "u1", None)]).await;
    let lane = Lane::of("u1", store.lane_count);
    for (name, reward) in [("broken", "'{\"x\": 1e400}'"), ("whole", "payload -> 'rewards' -> 0")] {
        let sql = format!(
            "insert into deliveries (lane, grant_id, channel, pays, user_id, position, ordinal, reward, state, due_at)
             select lane, md5('{name}')::uuid, 'pay', true, aggregate_id, position, 0, {reward}, 'waiting', now()
             from events where event_type = 'rewards_claimed'"
        );
        sqlx::query(&sql).execute(&store.pool).await.unwrap();
    }
    let mut connection = store.pool.acquire().await.unwrap();
    let due = deliveries::next_due("pay", &[lane], 9, &mut connection).await.unwrap();
    assert_eq!(due.len(), 1, "{due:?}");
    let failed = "select count(*) from deliveries
                  where state = 'failed' and grant_id = md5('broken')::uuid and reason like '%can''t be read%'";
    assert_eq!(store.count(failed).await, 1);
}

/// A key belongs to one request: the same key for another task is another claim.
#[tokio::test]
async fn rule_17_a_key_of_one_tasks_claim_is_none_of_anothers() {
    let store = Store::with_tasks(TASKS).await;
    store.act(action("u1", "t", "team.formed", NOON, &json!({}))).await;
    store.act(action("u1", "s", "user.signed_in", NOON, &json!({}))).await;
    for task in ["first-team", "sign-in", "first-team"] {
        let item = Item {
            lane: Lane::of("u1", store.lane_count),
            work: Claim {
                user: "u1".parse().unwrap(),
                task: task.parse().unwrap(),
                period: None,
                milestone: None,
                at: Timestamp::now(),
                idempotency_key: Some("k".to_owned()),
            },
            origin: request(),
        };
        let answer = store.answer(item).await;
        let Ok(ClaimAnswer::Claimed(receipt)) = answer else { panic!("{task}: {answer:?}") };
        assert_eq!(receipt.task.as_str(), task);
    }
}

#[tokio::test]
async fn the_log_takes_no_other_aggregates() {
    let store = Store::with_tasks(TASKS).await;
    let other = "insert into cqrs_events values ('Other', 'u1', 1, 'a', '1.0', '{}', '{}')";
    let refused = sqlx::query(other).execute(&store.pool).await.unwrap_err().to_string();
    assert!(refused.contains("UserTasks only"), "{refused}");
}

#[tokio::test]
async fn rule_17_a_claim_of_everything_is_answered_the_same_under_the_same_key() {
    let store = Store::with_tasks(TASKS).await;
    store.act(action("u1", "t", "team.formed", NOON, &json!({}))).await;
    let first = store.answer(claim_all(&store, "u1", Some("k"))).await.unwrap();
    assert_eq!((first.receipts.len(), first.more), (1, false), "{first:?}");
    store.act(action("u1", "s", "user.signed_in", NOON, &json!({}))).await;
    let items = vec![claim_all(&store, "u1", Some("k")), claim_all(&store, "u1", Some("l"))];
    let outcomes = store.execute(items).await;
    // The receipts are those of the first claim; `more` is as of now.
    let repeated = ClaimedAll { receipts: first.receipts, more: true };
    assert_eq!(outcomes[0].answer, Ok(repeated));
    assert!(
        matches!(&outcomes[1].answer, Ok(ClaimedAll { receipts, more: false }) if receipts.len() == 1)
    );
}
