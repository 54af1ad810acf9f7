//! A catalogue of an earlier time is restored under a running process.

use plaudit_domain::lane::Lane;
use plaudit_event_store::{Claim, ClaimAnswer, Item, Receipt, catalogue_store};
use serde_json::json;

use crate::support::{Store, action, request, tasks_of};

const NOON: &str = "2026-03-29T12:00:00Z";

/// A task that pays this amount for one gift.
fn paying(amount: i64) -> String {
    format!(
        "tasks: [{{id: gifts, kind: periodic, every: day, objective: {{on: gift.sent, target: 1}},
                   rewards: [{{line: coins, kind: currency, code: coin, amount: {amount}}}]}}]"
    )
}

async fn publish(store: &Store, amount: i64) -> i64 {
    catalogue_store::publish(&store.pool, &tasks_of(&paying(amount)), "test").await.unwrap();
    store.count("select revision from catalogue").await
}

/// A dump that is restored brings back the tables as they were, identities included.
const DUMP: &str = "
    grant delete, update on task_versions to current_user;
    create table dumped_catalogue as table catalogue;
    create table dumped_tasks as table tasks;
    create table dumped_versions as table task_versions";
const RESTORE: &str = "
    delete from task_versions; delete from tasks; delete from catalogue;
    insert into catalogue select * from dumped_catalogue;
    insert into tasks select * from dumped_tasks;
    insert into task_versions select * from dumped_versions";

async fn claim(store: &Store, user: &str) -> Receipt {
    let work = Claim {
        user: user.parse().unwrap(),
        task: "gifts".parse().unwrap(),
        period: None,
        milestone: None,
        at: "2026-03-29T13:00:00Z".parse().unwrap(),
        idempotency_key: None,
    };
    let lane = Lane::of(user, store.lane_count);
    let applied = store.execute(vec![Item { lane, work, origin: request() }]).await;
    let Ok(ClaimAnswer::Claimed(receipt)) = applied[0].answer.clone() else {
        panic!("{applied:?}")
    };
    receipt
}

#[tokio::test]
async fn a_claim_pays_what_was_promised_and_new_actions_follow_the_catalogue_that_is_there() {
    let store = Store::with_tasks(&paying(7)).await;
    let act = async |user: &str| store.act(action(user, "1", "gift.sent", NOON, &json!({}))).await;
    act("before").await;
    sqlx::raw_sql(DUMP).execute(&store.pool).await.unwrap();
    // The process has decided by a version that the restore takes away.
    let lost = publish(&store, 1_000).await;
    act("between").await;
    sqlx::raw_sql(RESTORE).execute(&store.pool).await.unwrap();
    act("restored").await;
    // The same revision and version again, with another content.
    assert_eq!(publish(&store, 9).await, lost);
    act("after").await;
    let paid = async |user: &str| claim(&store, user).await.rewards[0].amount;
    assert_eq!(
        (paid("before").await, paid("restored").await, paid("after").await),
        (7, 7, 9),
        "never by the lost version"
    );
    assert_eq!(paid("between").await, 1_000, "what an event promised is paid");
}
