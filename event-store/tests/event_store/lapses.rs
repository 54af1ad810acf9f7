//! Unclaimed rewards: a due change is shown in time, and recorded once, by whichever process comes
//! first.

use std::time::Duration;

use crate::support::{Store, action, request};
use jiff::Timestamp;
use plaudit_domain::lane::Lane;
use plaudit_domain::user_tasks::RewardState;
use plaudit_event_store::{
    Claim, ClaimAll, ClaimAnswer, CommandQueue, Item, NotApplied, rewards, sweeper,
};
use serde_json::json;
use tokio_util::sync::CancellationToken;

const NOON: &str = "2026-03-29T12:00:00Z";

/// Three tasks whose rewards lapse in different ways, and one that keeps them.
const TASKS: &str = r"
tasks:
  - id: expiring
    kind: periodic
    every: day
    objective: { on: gift.sent, target: 1 }
    rewards: [ { line: a, kind: currency, code: coin, amount: 1 }, { line: b, kind: item, code: badge, amount: 1 } ]
    claim: { expires_after: PT1H }
  - id: forfeited
    kind: periodic
    every: day
    objective: { on: gift.sent, target: 1 }
    rewards: [ { line: a, kind: currency, code: coin, amount: 2 } ]
    claim: { at_period_end: forfeit }
  - id: granted
    kind: periodic
    every: day
    objective: { on: gift.sent, target: 1 }
    rewards: [ { line: a, kind: currency, code: coin, amount: 3 } ]
    claim: { at_period_end: grant }
  - id: kept
    kind: periodic
    every: day
    objective: { on: gift.sent, target: 1 }
    rewards: [ { line: a, kind: currency, code: coin, amount: 4 } ]
";

async fn states(store: &Store, user: &str, now: Timestamp) -> Vec<(String, RewardState)> {
    let lane = Lane::of(user, store.lane_count);
    let user = user.parse().unwrap();
    let page = rewards::load(&store.pool, lane, &user, None, None, 100, now).await.unwrap();
    let mut states: Vec<_> = page
        .rows
        .iter()
        .filter(|row| row.reward.line == "a")
        .map(|row| (row.reward.task.to_string(), row.state_as_of(now)))
        .collect();
    states.sort_by(|a, b| a.0.cmp(&b.0));
    states
}

async fn claim(store: &Store, task: &str, at: &str) -> Result<ClaimAnswer, NotApplied> {
    let item = Item {
        lane: Lane::of("u1", store.lane_count),
        work: Claim {
            user: "u1".parse().unwrap(),
            task: task.parse().unwrap(),
            period: None,
            milestone: None,
            at: at.parse().unwrap(),
            idempotency_key: None,
        },
        origin: request(),
    };
    store.answer(item).await
}

/// Runs sweepers, each as if in another process, until nothing is due.
async fn sweep(store: &Store, sweepers: usize) {
    let stop = CancellationToken::new();
    let mut running = tokio::task::JoinSet::new();
    for _ in 0..sweepers {
        let queue = CommandQueue::start(store.executor.clone(), 2);
        running.spawn(sweeper::run(store.pool.clone(), queue, stop.clone()));
    }
    let due = "select count(*) from reward_state where state = 'claimable' and lapses_at <= now()";
    let settled = async {
        while store.count(due).await > 0 {
            tokio::task::yield_now().await;
        }
    };
    tokio::time::timeout(Duration::from_secs(30), settled).await.expect("all is settled");
    stop.cancel();
    while let Some(ended) = running.join_next().await {
        ended.unwrap();
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn rule_18_what_is_due_is_recorded_once_by_several_sweepers() {
    let store = Store::with_tasks(TASKS).await;
    let users: Vec<String> = (0..40).map(|n| format!("u{n}")).collect();
    for user in &users {
        store.act(action(user, "1", "gift.sent", NOON, &json!({}))).await;
    }
    sweep(&store, 3).await;
    for (event, at) in [
        ("rewards_expired", "2026-03-29T13:00:00Z"),
        ("rewards_forfeited", "2026-03-30T00:00:00Z"),
        ("rewards_granted", "2026-03-30T00:00:00Z"),
    ] {
        let events = format!(
            "select count(*) from events where event_type = '{event}' and payload->>'at' = '{at}'"
        );
        assert_eq!(store.count(&events).await, 40, "{event}");
    }
    let others = "select count(*) from events where event_type like 'rewards_%'";
    assert_eq!(store.count(others).await, 120);
    let unclaimed = "select sum(unclaimed_count)::bigint from task_view";
    assert_eq!(store.count(unclaimed).await, 40, "what is kept can still be claimed");
}

/// The transactions that wrote the rows of the users and their tasks. Folding a user from the log
/// writes all of them again.
async fn written_by(store: &Store) -> Vec<String> {
    let written =
        "select xmin::text from user_view union all select xmin::text from task_view order by 1";
    sqlx::query_scalar(written).fetch_all(&store.pool).await.unwrap()
}

/// A claim is decided as of its arrival, not as of the time at which the database reads rows.
#[tokio::test(flavor = "multi_thread")]
async fn rule_18_a_claim_that_arrived_in_time_takes_what_has_lapsed_since() {
    for task in [Some("expiring"), None] {
        let store = Store::with_tasks(TASKS).await;
        store.act(action("u1", "1", "gift.sent", NOON, &json!({}))).await;
        let in_time = "2026-03-29T12:59:59Z";
        let Some(task) = task else {
            let work = ClaimAll {
                user: "u1".parse().unwrap(),
                at: in_time.parse().unwrap(),
                idempotency_key: None,
            };
            let lane = Lane::of("u1", store.lane_count);
            let all = store.answer(Item { lane, work, origin: request() }).await.unwrap();
            assert_eq!((all.receipts.len(), all.more), (4, false));
            continue;
        };
        let taken = claim(&store, task, in_time).await;
        assert!(matches!(taken, Ok(ClaimAnswer::Claimed(_))), "{taken:?}");
    }
}

/// Rule 13, for rewards: the display does not depend on the sweeper.
#[tokio::test(flavor = "multi_thread")]
async fn rule_18_what_is_due_is_shown_and_refused_before_it_is_recorded() {
    let store = Store::with_tasks(TASKS).await;
    store.act(action("u1", "1", "gift.sent", NOON, &json!({}))).await;
    let early = "2026-03-29T12:59:59Z".parse().unwrap();
    let all = |expiring, forfeited, granted| {
        vec![
            ("expiring".to_owned(), expiring),
            ("forfeited".to_owned(), forfeited),
            ("granted".to_owned(), granted),
            ("kept".to_owned(), RewardState::Claimable),
        ]
    };
    let claimable = RewardState::Claimable;
    assert_eq!(states(&store, "u1", early).await, all(claimable, claimable, claimable));
    let shown = all(RewardState::Expired, RewardState::Forfeited, RewardState::Claimed);
    assert_eq!(states(&store, "u1", Timestamp::now()).await, shown);
    let before = written_by(&store).await;
    for task in ["expiring", "forfeited", "granted"] {
        let refused = claim(&store, task, &Timestamp::now().to_string()).await;
        assert!(matches!(refused, Ok(ClaimAnswer::Rejected(_))), "{task}: {refused:?}");
    }
    assert_eq!(written_by(&store).await, before, "no user was folded from the log");
    sweep(&store, 1).await;
    assert_eq!(states(&store, "u1", Timestamp::now()).await, shown, "and after it is");
    // Rewards granted at the end of the period have no receipt.
    let refused = claim(&store, "granted", &Timestamp::now().to_string()).await;
    assert!(matches!(refused, Ok(ClaimAnswer::Rejected(_))), "{refused:?}");
    assert!(matches!(
        claim(&store, "kept", &Timestamp::now().to_string()).await,
        Ok(ClaimAnswer::Claimed(_))
    ));
}
