//! Random rewards: the outcome is stored with the grant and never rolled again.

use plaudit_domain::lane::Lane;
use plaudit_event_store::{
    ActionAnswer, Batch, Claim, ClaimAnswer, Incoming, Item, Origin, SourcePosition,
};
use serde_json::json;

use crate::support::{Store, action, request};

const TASKS: &str = r"
tasks:
  - id: draw
    kind: ordinary
    objective: { on: gift.sent, target: 1 }
    rewards:
      - line: prize
        one_of:
          - { weight: 1, kind: currency, code: coin, amount: 1 }
          - { weight: 1, kind: currency, code: gem, amount: 2 }
";

/// So many that rolling all of them the same way twice is practically impossible.
const USERS: usize = 40;

fn gift(user: &str) -> plaudit_domain::action::Action {
    action(user, "g1", "gift.sent", "2026-03-29T12:00:00Z", &json!({}))
}

/// Reads the prizes by user.
async fn prizes(store: &Store, query: &str) -> Vec<(String, String)> {
    sqlx::query_as(query).fetch_all(&store.pool).await.unwrap()
}

const ROWS: &str = "select user_id, code from reward_state order by 1";

fn events(event_type: &str) -> String {
    format!(
        "select aggregate_id, payload #>> '{{rewards,0,code}}' from events
         where event_type = '{event_type}' order by 1"
    )
}

fn claim(store: &Store, user: &str) -> Item<Claim> {
    let work = Claim {
        user: user.parse().unwrap(),
        task: "draw".parse().unwrap(),
        period: Some("once".to_owned().into()),
        milestone: Some(1),
        at: jiff::Timestamp::now(),
        idempotency_key: None,
    };
    Item { lane: Lane::of(user, store.lane_count), work, origin: request() }
}

#[tokio::test]
async fn rule_15_a_roll_stays_the_same_over_retries_redeliveries_folds_and_claims() {
    let store = Store::with_tasks(TASKS).await;
    let users: Vec<String> = (0..USERS).map(|n| format!("u{n:02}")).collect();
    let items = |origin: fn(usize) -> Origin| -> Batch<Incoming> {
        let item = |(n, user): (usize, &String)| store.item(gift(user), origin(n));
        Batch { items: users.iter().enumerate().map(item).collect(), checkpoints: vec![] }
    };
    let by_http = items(|_| request());
    store.executor.execute(&by_http).await.unwrap();
    let rolled = prizes(&store, &events("milestone_reached")).await;
    assert_eq!(rolled.len(), USERS);
    assert!(["coin", "gem"].iter().all(|code| rolled.iter().any(|(_, rolled)| rolled == code)));
    assert_eq!(prizes(&store, ROWS).await, rolled);

    // Repeated after a lost answer to the commit, by this process and by another one.
    for executor in [&*store.executor, &store.another_executor()] {
        let again = executor.execute(&by_http).await.unwrap();
        assert!(again.iter().all(|applied| applied.answer == ActionAnswer::Duplicate), "{again:?}");
    }
    // Redelivered by Kafka.
    let by_kafka = items(|n| {
        let offset = i64::try_from(n).unwrap();
        let (topic, incarnation) = ("actions".into(), 0);
        Origin::Record(SourcePosition { topic, incarnation, partition: 0, offset })
    });
    store.executor.execute(&by_kafka).await.unwrap();
    // Folded from the log, because the rows are unreadable.
    sqlx::raw_sql("update task_view set details = '{\"x\": 1}'")
        .execute(&store.pool)
        .await
        .unwrap();
    let other = store.another_executor();
    for user in &users {
        let next = action(user, "g2", "gift.sent", "2026-03-29T13:00:00Z", &json!({}));
        let batch = Batch { items: vec![store.item(next, request())], checkpoints: vec![] };
        other.execute(&batch).await.unwrap();
    }
    assert_eq!(prizes(&store, &events("milestone_reached")).await, rolled);
    assert_eq!(prizes(&store, ROWS).await, rolled);

    // The claimed reward, which is also sent to the payer, is the one that was rolled.
    for (user, code) in &rolled {
        for executor in [&*store.executor, &other] {
            let claimed = executor.execute_one(claim(&store, user)).await.unwrap().answer;
            let Ok(ClaimAnswer::Claimed(receipt)) = claimed else { panic!("{claimed:?}") };
            assert_eq!(&receipt.rewards[0].code, code, "{user}");
        }
    }
    assert_eq!(prizes(&store, &events("rewards_claimed")).await, rolled);
    assert_eq!(prizes(&store, ROWS).await, rolled);
}
