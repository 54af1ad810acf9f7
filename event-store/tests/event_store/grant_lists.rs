//! Lists of grants.

use crate::support::{Store, TASKS, action, request};
use jiff::Timestamp;
use plaudit_domain::lane::Lane;
use plaudit_event_store::deliveries::{self, Filter};
use plaudit_event_store::{Claim, ClaimAnswer, Item};
use serde_json::json;
use uuid::Uuid;

const NOON: &str = "2026-03-29T12:00:00Z";

/// Lets a user claim the reward of `first-team`. Returns its grant.
async fn claimed(store: &Store, user: &str) -> Uuid {
    store.act(action(user, "t1", "team.formed", NOON, &json!({}))).await;
    let work = Claim {
        user: user.parse().unwrap(),
        task: "first-team".parse().unwrap(),
        period: None,
        milestone: None,
        at: Timestamp::now(),
        idempotency_key: None,
    };
    let item = Item { lane: Lane::of(user, store.lane_count), work, origin: request() };
    let answer = store.answer(item).await;
    let Ok(ClaimAnswer::Claimed(receipt)) = answer else { panic!("{answer:?}") };
    receipt.rewards[0].grant
}

/// A resync after a restore reads these, not every grant ever made.
#[tokio::test]
async fn undelivered_grants_are_those_on_their_way_to_the_payer() {
    let store = Store::with_tasks(TASKS).await;
    let grants =
        [claimed(&store, "u1").await, claimed(&store, "u2").await, claimed(&store, "u3").await];
    store.act(action("u4", "t1", "team.formed", NOON, &json!({}))).await;
    for (user, verdict, grant) in [("u2", "failed", grants[1]), ("u3", "delivered", grants[2])] {
        let kind = format!("plaudit.reward.{verdict}");
        store.act(action(user, "a1", &kind, NOON, &json!({ "grant": grant }))).await;
    }
    let list = async |filter: Filter| {
        let page = deliveries::list(&store.pool, &Filter { limit: 10, ..filter }).await.unwrap();
        page.unwrap().grants.iter().map(|entry| entry.user.to_string()).collect::<Vec<_>>()
    };
    let mut undelivered = list(Filter { is_undelivered: true, ..Filter::default() }).await;
    undelivered.sort();
    assert_eq!(undelivered, ["u1", "u2"]);
    assert_eq!(list(Filter::default()).await.len(), 4);
}
