//! Claims of everything take up to 500 milestones each, and batches of them load no more than they
//! take.

use jiff::{Timestamp, ToSpan as _};
use plaudit_domain::ids::UserId;
use plaudit_domain::lane::Lane;
use plaudit_event_store::{ClaimAll, ClaimedAll, Item};
use serde_json::json;

use crate::support::{Store, action, request};

const TASKS: &str = r"
tasks:
  - id: daily
    kind: periodic
    every: day
    objective: { on: user.signed_in, target: 1 }
    rewards: [ { line: coins, kind: currency, code: coin, amount: 1 } ]
";

fn claim_all(store: &Store, user: &str) -> Item<ClaimAll> {
    let user: UserId = user.parse().unwrap();
    let lane = Lane::of(user.as_str(), store.lane_count);
    let work = ClaimAll { user, at: Timestamp::now(), idempotency_key: None };
    Item { lane, work, origin: request() }
}

async fn earn(store: &Store, user: &str, days: i64) {
    let first: Timestamp = "2020-01-01T12:00:00Z".parse().unwrap();
    let signs_in = |day: i64| {
        let at = (first + (24 * day).hours()).to_string();
        store.item(action(user, &format!("d{day}"), "user.signed_in", &at, &json!({})), request())
    };
    store.execute((0..days).map(signs_in).collect()).await;
}

#[tokio::test]
async fn claims_of_one_user_in_one_batch_take_what_those_before_have_left() {
    let store = Store::with_tasks(TASKS).await;
    earn(&store, "rich", 1_100).await;
    earn(&store, "poor", 2).await;
    let items = ["rich", "rich", "poor", "rich", "rich", "poor"];
    let items = items.iter().map(|user| claim_all(&store, user)).collect();
    let applied = store.execute(items).await;
    let taken: Vec<(usize, bool)> = applied
        .iter()
        .map(|applied| match &applied.answer {
            Ok(ClaimedAll { receipts, more }) => (receipts.len(), *more),
            Err(why) => panic!("{why}"),
        })
        .collect();
    let expected = [(500, true), (500, true), (2, false), (100, false), (0, false), (0, false)];
    assert_eq!(taken, expected);
}
