//! The sweeper, when some users in front can't be settled.

use std::time::Duration;

use crate::support::{Store, action};
use plaudit_domain::lane::Lane;
use plaudit_event_store::{CommandQueue, sweeper};
use serde_json::json;
use tokio_util::sync::CancellationToken;

const TASKS: &str = r"
tasks:
  - id: sign-in
    kind: continuous
    every: day
    objective: { on: user.signed_in, target: 1 }
    streak: {}
    milestones:
      - { at: 1, rewards: [ { line: a, kind: currency, code: coin, amount: 1 } ] }
    claim: { expires_after: PT1H }
";

/// Fills the first places of the lane: what one sweep takes from it.
const DUE_BEFORE_ALL_OTHERS: [&str; 2] = [
    "insert into reward_state (lane, user_id, task_id, period_key, milestone, line, grant_id, kind, code, amount,
                               state, granted_at, granted_position, ordinal, version, lapses_at, lapses_as)
     select $1, 'damaged', 'sign-in', n::text, 1, 'a', gen_random_uuid(), 'currency', 'coin', 1,
            'claimable', '2025-01-01', 1000000 + n, 0, 1, '2025-01-02', 'expired'
     from generate_series(1, 120) n",
    "insert into streak_looks (lane, user_id, task_id, due_at)
     select $1, 'damaged', 'task-' || n, '2025-01-02' from generate_series(1, 120) n",
];

/// Rules 21 and 23.
#[tokio::test(flavor = "multi_thread")]
async fn a_user_who_cannot_be_settled_holds_up_no_other_of_the_lane() {
    let store = Store::with_tasks(TASKS).await;
    let lane = Lane::of("damaged", store.lane_count);
    let of_lane = |user: &String| Lane::of(user, store.lane_count) == lane;
    let other = (0..10_000).map(|n| format!("u{n}")).find(of_lane).unwrap();
    for user in ["damaged", &other] {
        let signed_in = action(user, "1", "user.signed_in", "2026-03-01T09:00:00Z", &json!({}));
        store.act(signed_in).await;
    }
    let last = "select max(sequence) from events where aggregate_id = 'damaged'";
    let next = store.count(last).await + 1;
    store.force_event("damaged", next, ("from_the_future", "9.0", "{}")).await;
    for rows in DUE_BEFORE_ALL_OTHERS {
        sqlx::query(rows).bind(lane.0).execute(&store.pool).await.unwrap();
    }
    let stop = CancellationToken::new();
    let queue = CommandQueue::start(store.executor.clone(), 2);
    let running = tokio::spawn(sweeper::run(store.pool.clone(), queue, stop.clone()));
    let recorded = format!(
        "select count(*) from events where aggregate_id = '{other}'
         and event_type in ('rewards_expired', 'streak_broken')"
    );
    let settled = async {
        while store.count(&recorded).await < 2 {
            tokio::task::yield_now().await;
        }
    };
    let settled = tokio::time::timeout(Duration::from_secs(30), settled).await;
    assert!(settled.is_ok(), "the other user is not settled");
    stop.cancel();
    running.await.unwrap();
}
