//! Budgets under concurrency: used up completely, and never exceeded.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;

use crate::support::{Store, action, request, tasks_of};
use plaudit_domain::ids::UserId;
use plaudit_domain::lane::Lane;
use plaudit_domain::user_tasks::{Change, Command, Correction, RewardState, Seed};
use plaudit_event_store::catalogue_store::{self, PublishError};
use plaudit_event_store::rewards::Ledger;
use plaudit_event_store::{
    Batch, CommandQueue, Executor, Item, Outcome, RequestKey, Work, rewards, sweeper,
};
use serde_json::json;
use tokio_util::sync::CancellationToken;
use uuid::Uuid;

const NOON: &str = "2026-03-29T12:00:00Z";

/// A task that pays for one gift: a badge from a budget, and coins without one.
fn badges(limit: i64, amount: i64, at_cap: &str) -> String {
    format!(
        "{{budgets: [{{id: badges, limit: {limit}}}],
          tasks: [{{id: gifts, kind: periodic, every: day, objective: {{on: gift.sent, target: 1}},
                    claim: {{mode: automatic}},
                    rewards: [{{line: coins, kind: currency, code: coin, amount: 5}},
                              {{line: badge, kind: item, code: gold, amount: {amount}, budget: badges,
                                at_cap: {at_cap}}}]}}]}}"
    )
}

const GRANTED: &str = "select coalesce(sum((r->>'amount')::bigint), 0)::bigint from events
    cross join lateral json_array_elements(payload->'rewards') r where r->>'code' = 'gold'";

const USED: &str = "select coalesce(max(used), 0)::bigint from budget_takes";

async fn in_state(store: &Store, state: &str) -> i64 {
    store.count(&format!("select count(*) from reward_state where state = '{state}'")).await
}

/// Makes each user send a gift, through several processes with concurrent batches.
async fn send_gifts(store: &Store, users: std::ops::Range<usize>) {
    let executors: Vec<Arc<Executor>> =
        (0..3).map(|_| Arc::new(store.another_executor())).collect();
    let users: Vec<usize> = users.collect();
    let mut running = tokio::task::JoinSet::new();
    for (n, some) in users.chunks(25).enumerate() {
        let items: Vec<Item> = some
            .iter()
            .map(|user| {
                let gift = action(&format!("u{user}"), "1", "gift.sent", NOON, &json!({}));
                store.item(gift, request())
            })
            .collect();
        let executor = Arc::clone(&executors[n % 3]);
        running.spawn(async move {
            let batch = Batch { items, checkpoints: vec![] };
            // Another batch holds a lane or a budget. A queue would retry, too.
            while let Err(error) = executor.execute(&batch).await {
                assert!(error.is_transient(), "{error}");
            }
        });
    }
    while let Some(ended) = running.join_next().await {
        ended.unwrap();
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_budget_is_never_exceeded_and_used_up() {
    let store = Store::with_tasks(&badges(503, 1, "refuse")).await;
    send_gifts(&store, 0..1_000).await;
    assert_eq!(store.count(GRANTED).await, 503);
    assert_eq!(store.count(USED).await, 503);
    assert_eq!(in_state(&store, "refused").await, 497);
    assert_eq!(in_state(&store, "claimed").await, 1_503, "coins are granted to all");
}

#[tokio::test(flavor = "multi_thread")]
async fn what_does_not_fit_whole_leaves_the_rest_for_who_takes_less() {
    let substitute = "{substitute: {kind: item, code: silver, amount: 1}}";
    let store = Store::with_tasks(&badges(100, 7, substitute)).await;
    send_gifts(&store, 0..200).await;
    assert_eq!((store.count(GRANTED).await, store.count(USED).await), (98, 98));
    let silver = "select count(*) from reward_state where code = 'silver' and line = 'badge'";
    assert_eq!(store.count(silver).await, 186);
}

/// A waiting line is revoked with all lines of its milestone, and stays revoked when the budget has
/// room.
#[tokio::test(flavor = "multi_thread")]
async fn what_waits_can_be_revoked_and_is_never_granted() {
    let store = Store::with_tasks(&badges(0, 2, "wait")).await;
    send_gifts(&store, 1..3).await;
    assert_eq!(in_state(&store, "waiting").await, 4);
    let (user, lane): (UserId, _) = ("u1".parse().unwrap(), Lane::of("u1", store.lane_count));
    let now = jiff::Timestamp::now();
    let rows = rewards::load(&store.pool, lane, &user, None, None, 9, now).await.unwrap().rows;
    let reward = rows[1].reward.clone();
    let change = Change::Revoke { grant: reward.grant, whole_milestone: true };
    let (operation, key) = (change.name().to_owned(), "k1".to_owned());
    let key = RequestKey { user: user.clone(), operation, key };
    let (by, reason) = ("ops".to_owned(), "a fraud".to_owned());
    let correction = Correction { user: user.clone(), change, by, reason, at: now, seed: Seed(1) };
    let command = Box::new(Command::Correct(correction));
    let work = Work::ByHand { key, command, revoked: Some(Box::new(reward)) };
    let applied = store.execute(vec![Item { lane, work, origin: request() }]).await;
    assert!(matches!(applied[0].outcome, Outcome::ChangedByHand(_)), "{applied:?}");
    assert_eq!(in_state(&store, "revoked").await, 2);

    catalogue_store::publish(&store.pool, &tasks_of(&badges(100, 2, "wait")), "test")
        .await
        .unwrap();
    let settle = |user: &str| Item {
        lane: Lane::of(user, store.lane_count),
        work: Work::Settle { user: user.parse().unwrap(), as_of: now, streaks: BTreeSet::new() },
        origin: request(),
    };
    store.execute(vec![settle("u1"), settle("u2")]).await;
    assert_eq!(in_state(&store, "revoked").await, 2);
    assert_eq!(in_state(&store, "claimed").await, 2, "the other user is granted what waited");
    let mut connection = store.pool.acquire().await.unwrap();
    let folded = Ledger::of_user(lane, &user, &mut connection).await.unwrap();
    assert!(folded.granted.iter().all(|row| row.state == RewardState::Revoked), "{folded:?}");
}

async fn until(store: &Store, query: &str, expected: i64) {
    let reached = async {
        while store.count(query).await != expected {
            tokio::task::yield_now().await;
        }
    };
    let reached = tokio::time::timeout(Duration::from_secs(30), reached).await;
    assert!(reached.is_ok(), "{query} is {}, not {expected}", store.count(query).await);
}

#[tokio::test(flavor = "multi_thread")]
async fn who_waits_is_paid_in_order_once_the_limit_is_raised() {
    let store = Store::with_tasks(&badges(10, 1, "wait")).await;
    send_gifts(&store, 0..40).await;
    assert_eq!(store.count(GRANTED).await, 10);
    assert_eq!(in_state(&store, "waiting").await, 60, "thirty milestones wait whole");

    let stop = CancellationToken::new();
    let mut running = tokio::task::JoinSet::new();
    for _ in 0..2 {
        let queue = CommandQueue::start(store.executor.clone(), 2);
        running.spawn(sweeper::run(store.pool.clone(), queue, stop.clone()));
    }
    let raise = async |limit| {
        let tasks = tasks_of(&badges(limit, 1, "wait"));
        catalogue_store::publish(&store.pool, &tasks, "test").await.unwrap();
    };
    raise(25).await;
    until(&store, GRANTED, 25).await;
    raise(1_000).await;
    until(&store, GRANTED, 40).await;
    assert_eq!(in_state(&store, "waiting").await, 0);
    assert_eq!(in_state(&store, "claimed").await, 80);
    assert_eq!(store.count(USED).await, 40);
    stop.cancel();
    while let Some(ended) = running.join_next().await {
        ended.unwrap();
    }
    let user = "u7".parse().unwrap();
    let lane = Lane::of("u7", store.lane_count);
    let now = jiff::Timestamp::now();
    let page = rewards::load(&store.pool, lane, &user, None, None, 10, now).await.unwrap();
    assert!(page.rows.iter().all(|row| row.state == RewardState::Claimed), "{page:?}");
    // A repeated action changes nothing.
    let again = store.act(action("u7", "1", "gift.sent", NOON, &json!({}))).await;
    assert_eq!(again.outcome, Outcome::Duplicate);
    assert_eq!(store.count(USED).await, 40);
}

#[tokio::test]
async fn a_claim_at_the_cap_takes_what_was_granted_and_names_no_more() {
    let manual = badges(0, 1, "refuse").replace("automatic", "manual");
    let store = Store::with_tasks(&manual).await;
    store.act(action("u1", "1", "gift.sent", NOON, &json!({}))).await;
    let claim = |at: &str| Item {
        lane: Lane::of("u1", store.lane_count),
        work: Work::Claim {
            user: "u1".parse().unwrap(),
            task: "gifts".parse().unwrap(),
            period: Some("2026-03-29".to_owned().into()),
            milestone: Some(1),
            at: at.parse().unwrap(),
            idempotency_key: None,
        },
        origin: request(),
    };
    let mut receipts = Vec::new();
    for at in ["2026-03-29T13:00:00Z", "2026-03-29T14:00:00Z"] {
        let Outcome::Claimed(receipt) = store.execute(vec![claim(at)]).await.remove(0).outcome
        else {
            panic!("nothing was claimed")
        };
        assert_eq!(receipt.rewards.iter().map(|r| r.line.as_str()).collect::<Vec<_>>(), ["coins"]);
        receipts.push(receipt);
    }
    assert_eq!(receipts[0], receipts[1], "a repeated claim returns the same receipt");
}

#[tokio::test]
async fn what_waits_can_not_be_claimed() {
    let store = Store::with_tasks(&badges(0, 1, "wait").replace("automatic", "manual")).await;
    store.act(action("u1", "1", "gift.sent", NOON, &json!({}))).await;
    for period in [None, Some("2026-03-29".to_owned().into())] {
        let work = Work::Claim {
            user: "u1".parse().unwrap(),
            task: "gifts".parse().unwrap(),
            period,
            milestone: None,
            at: "2026-03-29T13:00:00Z".parse().unwrap(),
            idempotency_key: None,
        };
        let item = Item { lane: Lane::of("u1", store.lane_count), work, origin: request() };
        let outcome = store.execute(vec![item]).await.remove(0).outcome;
        assert!(matches!(outcome, Outcome::ClaimRejected(_)), "{outcome:?}");
    }
}

#[tokio::test]
async fn tasks_that_share_a_budget_are_published_with_the_same_terms() {
    let store = Store::with_tasks(&badges(10, 1, "wait")).await;
    let other = badges(20, 1, "wait").replace("id: gifts", "id: others");
    let refused = catalogue_store::publish(&store.pool, &tasks_of(&other), "test").await;
    let Err(PublishError::Conflicts(conflicts)) = refused else { panic!("{refused:?}") };
    assert_eq!(conflicts[0].field, "milestones[0].rewards[1]");
    assert!(conflicts[0].reason.contains("other terms in task gifts"), "{}", conflicts[0].reason);
    let together = [tasks_of(&badges(20, 1, "wait")), tasks_of(&other)].concat();
    catalogue_store::publish(&store.pool, &together, "test").await.unwrap();
}

#[tokio::test]
async fn a_batch_without_budgets_asks_for_none() {
    let store = Store::with_tasks(crate::support::TASKS).await;
    sqlx::query("drop table budget_takes").execute(&store.pool).await.unwrap();
    let applied = store.act(action("u1", "1", "team.formed", NOON, &json!({}))).await;
    assert_eq!(applied.outcome, Outcome::Accepted);
}

/// A process that freezes between its last statement and the commit keeps the budget locked until
/// PostgreSQL ends its transaction.
#[tokio::test(flavor = "multi_thread")]
async fn a_held_budget_delays_only_those_who_draw_on_it() {
    let tasks = badges(1_000, 1, "refuse").replace(
        "tasks: [",
        "tasks: [{id: tea, kind: periodic, every: day, objective: {on: tea.drunk, target: 1},
                  rewards: [{line: c, kind: currency, code: coin, amount: 1}]}, ",
    );
    let store = Store::with_tasks(&tasks).await;
    store.act(action("u1", "1", "gift.sent", NOON, &json!({}))).await;
    let window: String = sqlx::query_scalar("select window_key from budget_takes")
        .fetch_one(&store.pool)
        .await
        .unwrap();
    let [a, b, c, d, ..] =
        Uuid::new_v5(&Uuid::nil(), format!("badges\u{1f}{window}").as_bytes()).into_bytes();
    let mut holder = store.pool.begin().await.unwrap();
    sqlx::raw_sql("set local idle_in_transaction_session_timeout = 0")
        .execute(&mut *holder)
        .await
        .unwrap();
    sqlx::query("select pg_advisory_xact_lock(1347174722, $1)")
        .bind(i32::from_be_bytes([a, b, c, d]))
        .execute(&mut *holder)
        .await
        .unwrap();

    // A single worker, which must not wait for the budget.
    let queue = CommandQueue::start(Arc::clone(&store.executor), 1);
    let gift = action("u2", "1", "gift.sent", NOON, &json!({}));
    let drawing = queue.submit(vec![store.item(gift, request())]);
    let others = (3..100)
        .map(|n| format!("u{n}"))
        .filter(|user| Lane::of(user, store.lane_count) != Lane::of("u2", store.lane_count));
    let began = std::time::Instant::now();
    for (n, user) in others.cycle().enumerate() {
        let tea = action(&user, &n.to_string(), "tea.drunk", NOON, &json!({}));
        let drunk = queue.submit(vec![store.item(tea, request())]);
        let drunk = tokio::time::timeout(Duration::from_secs(8), drunk).await;
        drunk.expect("the worker waits for the budget").unwrap();
        if n >= 20 && queue.budget_held().is_some() {
            break;
        }
        assert!(began.elapsed() < Duration::from_secs(60), "the held budget is not reported");
    }
    assert_eq!((queue.failing().map(|(_, why)| why), queue.stalled()), (None, None));
    holder.rollback().await.unwrap();
    let drawn = tokio::time::timeout(Duration::from_secs(30), drawing).await;
    let drawn = drawn.expect("the budget is free").unwrap();
    assert_eq!(drawn[0].outcome, Outcome::Accepted);
    assert_eq!((store.count(USED).await, queue.budget_held()), (2, None));
}
