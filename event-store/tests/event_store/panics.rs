//! A panic in the rules, the fold or a read model affects only the items that cause it.

use std::sync::Arc;

use async_trait::async_trait;
use jiff::Timestamp;
use plaudit_domain::ids::UserId;
use plaudit_domain::lane::Lane;
use plaudit_event_store::{
    ActionAnswer, Answer, Batch, BatchProjection, Changes, ClaimAll, ClaimedAll, CommandQueue,
    Executor, Incoming, Item, NotApplied, Origin, SourcePosition,
};
use serde_json::json;
use sqlx::PgConnection;

use crate::support::{Store, TASKS, action, request};

const INTERNAL: &str = "an internal error while applying it";

fn forms_a_team(store: &Store, user: &str, offset: i64) -> Item {
    let id = format!("team-{offset}");
    let action = action(user, &id, "team.formed", "2026-03-29T12:00:00Z", &json!({}));
    let at = SourcePosition { topic: "actions".into(), incarnation: 0, partition: 0, offset };
    store.item(action, Origin::Record(at)).mixed()
}

fn claim(store: &Store, user: &str) -> Item {
    let user: UserId = user.parse().unwrap();
    let lane = Lane::of(user.as_str(), store.lane_count);
    let work = ClaimAll { user, at: Timestamp::now(), idempotency_key: None }.into();
    Item { lane, work, origin: request() }
}

/// A user whose next sequence exceeds 64 bits: assigning it panics in a debug build, which tests
/// are.
async fn user_without_room(store: &Store, user: &str) {
    store.act(action(user, "0", "team.formed", "2026-03-29T12:00:00Z", &json!({}))).await;
    let event = r#"{"type": "user_updated", "at": "2026-03-29T09:12:00Z", "zone": "Europe/Paris"}"#;
    store.force_event(user, i64::MAX, ("user_updated", "1.0", event)).await;
}

#[tokio::test]
async fn a_panic_while_an_event_is_folded_meets_its_own_item_only() {
    let store = Store::with_tasks(TASKS).await;
    store.act(action("claimer", "0", "team.formed", "2026-03-29T12:00:00Z", &json!({}))).await;
    user_without_room(&store, "bad").await;
    let signs_in = |user: &str, offset| {
        let item = forms_a_team(&store, user, offset);
        let action = action(
            user,
            &format!("s{offset}"),
            "user.signed_in",
            "2026-03-29T12:00:00Z",
            &json!({}),
        );
        Item { work: Incoming::Action(action).into(), ..item }
    };
    // Offset 2 is one record for three users.
    let items = vec![
        forms_a_team(&store, "u1", 1),
        forms_a_team(&store, "first of three", 2),
        signs_in("bad", 2),
        forms_a_team(&store, "last of three", 2),
        claim(&store, "bad"),
        claim(&store, "claimer"),
        forms_a_team(&store, "u2", 3),
    ];
    let batch = Batch { items, checkpoints: vec![] };
    let applied = store.executor.execute(&batch).await.unwrap();
    for (index, applied) in applied.iter().enumerate() {
        match (index, &applied.answer) {
            (2, Answer::Incoming(ActionAnswer::Parked { reason, .. }))
            | (4, Answer::ClaimAll(Err(NotApplied(reason)))) => {
                assert_eq!(reason, INTERNAL);
            }
            (5, Answer::ClaimAll(Ok(ClaimedAll { receipts, more: false }))) => {
                assert_eq!(receipts.len(), 1);
            }
            (0 | 1 | 3 | 6, Answer::Incoming(ActionAnswer::Accepted)) => {}
            (index, answer) => panic!("{index}: {answer:?}"),
        }
    }
    assert_eq!(applied.len(), 7);
    assert_eq!(store.count("select count(*) from parked where repairable").await, 1);
    // The offsets have moved past all records.
    let again = store.executor.execute(&batch).await.unwrap();
    assert_eq!(again[2].answer, Answer::Incoming(ActionAnswer::AlreadyApplied));
    assert_eq!(again[3].answer, Answer::Incoming(ActionAnswer::AlreadyApplied));
}

/// A read model that panics for one user.
struct Panicking;

#[async_trait]
impl BatchProjection for Panicking {
    async fn apply(&self, changes: &Changes, _: &mut PgConnection) -> sqlx::Result<()> {
        assert!(!changes.users.iter().any(|user| user.user.as_str() == "bad"), "over this user");
        Ok(())
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn rule_23_a_panic_over_one_user_fails_no_other_request_and_leaves_the_process_ready() {
    let store = Store::with_tasks(TASKS).await;
    store.execute(vec![forms_a_team(&store, "bad", 0), forms_a_team(&store, "good", 1)]).await;
    let projections: Vec<Arc<dyn BatchProjection>> = vec![Arc::new(Panicking)];
    let executor = Executor::new(store.pool.clone(), store.lane_count, Arc::default(), projections);
    let queue = CommandQueue::start(Arc::new(executor), 1);
    let items = vec![
        claim(&store, "good"),
        claim(&store, "bad"),
        forms_a_team(&store, "bad", 2),
        forms_a_team(&store, "other", 3),
    ];
    let applied = queue.submit(items).await.unwrap();
    assert!(
        matches!(&applied[0].answer, Answer::ClaimAll(Ok(claimed)) if claimed.receipts.len() == 1)
    );
    let failed = NotApplied(INTERNAL.to_owned());
    assert_eq!(applied[1].answer, Answer::ClaimAll(Err(failed)));
    // The action moves nothing, so nothing is projected.
    assert_eq!(applied[2].answer, Answer::Incoming(ActionAnswer::Accepted));
    assert_eq!(applied[3].answer, Answer::Incoming(ActionAnswer::Accepted));
    assert!(queue.failing().is_none(), "{:?}", queue.failing());
}

/// Rule 23: an unreadable row of one user does not fail the claims of others.
#[tokio::test(flavor = "multi_thread")]
async fn rule_23_a_damaged_reward_of_one_user_fails_no_other_claim() {
    let store = Store::with_tasks(TASKS).await;
    store.execute(vec![forms_a_team(&store, "bad", 0), forms_a_team(&store, "good", 1)]).await;
    let damage = "update reward_state set task_id = 'NO TASK' where user_id = 'bad'";
    sqlx::raw_sql(damage).execute(&store.pool).await.unwrap();
    let queue = CommandQueue::start(Arc::clone(&store.executor), 1);
    let items = vec![claim(&store, "good"), claim(&store, "bad")];
    let applied = queue.submit(items).await.unwrap();
    assert!(
        matches!(&applied[0].answer, Answer::ClaimAll(Ok(claimed)) if claimed.receipts.len() == 1)
    );
    let Answer::ClaimAll(Err(NotApplied(reason))) = &applied[1].answer else {
        panic!("{:?}", applied[1])
    };
    assert!(reason.contains("can't be read"), "{reason}");
    assert!(queue.failing().is_none(), "{:?}", queue.failing());
}
