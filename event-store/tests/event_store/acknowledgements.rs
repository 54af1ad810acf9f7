//! Acknowledgements that repeat an identity used before.

use crate::support::{Store, TASKS, action, request};
use jiff::Timestamp;
use plaudit_domain::action::Action;
use plaudit_domain::lane::Lane;
use plaudit_domain::user_tasks::{Reward, RewardState};
use plaudit_event_store::{
    ActionAnswer, Answer, Claim, ClaimAnswer, Item, Origin, Redeliver, RedeliverAnswer, rewards,
};
use serde_json::json;
use uuid::Uuid;

const NOON: &str = "2026-03-29T12:00:00Z";

/// Makes a user reach a milestone without claiming its reward.
async fn reached(store: &Store) -> Reward {
    store.act(action("u1", "t1", "team.formed", NOON, &json!({}))).await;
    row(store).await.reward
}

async fn row(store: &Store) -> rewards::RewardRow {
    let lane = Lane::of("u1", store.lane_count);
    let now = Timestamp::now();
    let page = rewards::load(&store.pool, lane, &"u1".parse().unwrap(), None, None, 9, now).await;
    page.unwrap().rows.remove(0)
}

async fn state(store: &Store) -> RewardState {
    row(store).await.state
}

fn claim(store: &Store) -> Item<Claim> {
    let work = Claim {
        user: "u1".parse().unwrap(),
        task: "first-team".parse().unwrap(),
        period: None,
        milestone: None,
        at: Timestamp::now(),
        idempotency_key: None,
    };
    Item { lane: Lane::of("u1", store.lane_count), work, origin: request() }
}

async fn claimed(store: &Store) {
    let answer = store.answer(claim(store)).await;
    assert!(matches!(answer, Ok(ClaimAnswer::Claimed(_))), "{answer:?}");
}

fn says(verdict: &str, id: &str, reward: &Reward) -> Action {
    let kind = format!("plaudit.reward.{verdict}");
    action("u1", id, &kind, NOON, &json!({ "grant": reward.grant, "reason": "no" }))
}

async fn events(store: &Store) -> i64 {
    store.count("select count(*) from events").await
}

/// A claim made after the moment of a restore is lost. So the payer's acknowledgement is read
/// before the claim is repeated.
#[tokio::test]
async fn rule_05_a_repeated_acknowledgement_that_came_too_early_counts_once() {
    let store = Store::with_tasks(TASKS).await;
    let reward = reached(&store).await;
    let paid = says("delivered", "paid-1", &reward);
    assert_eq!(store.act(paid.clone()).await.answer, ActionAnswer::Accepted);
    let before = events(&store).await;
    assert_eq!(store.act(paid.clone()).await.answer, ActionAnswer::Duplicate);
    assert_eq!((events(&store).await, state(&store).await), (before, RewardState::Claimable));
    claimed(&store).await;
    assert_eq!(store.act(paid.clone()).await.answer, ActionAnswer::Duplicate);
    assert_eq!(state(&store).await, RewardState::Delivered);
    let before = events(&store).await;
    assert_eq!(store.act(paid).await.answer, ActionAnswer::Duplicate);
    assert_eq!(events(&store).await, before, "it counts once");
}

#[tokio::test]
async fn rule_05_a_repeated_acknowledgement_counts_once_within_a_batch_too() {
    let store = Store::with_tasks(TASKS).await;
    let reward = reached(&store).await;
    let paid = || store.item(says("delivered", "paid-1", &reward), request()).mixed();
    let applied = store.execute(vec![paid(), claim(&store).mixed(), paid(), paid()]).await;
    assert_eq!(applied[2].answer, Answer::Incoming(ActionAnswer::Duplicate));
    assert_eq!(state(&store).await, RewardState::Delivered);
    let delivered = "select count(*) from events where event_type = 'reward_delivered'";
    assert_eq!(store.count(delivered).await, 1);
}

/// The first content of an identity wins over any later one.
#[tokio::test]
async fn rule_05_another_content_under_a_known_identity_is_not_decided() {
    let store = Store::with_tasks(TASKS).await;
    let reward = reached(&store).await;
    store.act(says("failed", "answer-1", &reward)).await;
    let other = action("u1", "answer-2", "plaudit.reward.delivered", NOON, &json!({}));
    store.act(other).await;
    store.act(action("u1", "answer-3", "gift.sent", NOON, &json!({}))).await;
    claimed(&store).await;
    let before = events(&store).await;
    for id in ["answer-1", "answer-2", "answer-3"] {
        let paid = says("delivered", id, &reward);
        assert_eq!(store.act(paid).await.answer, ActionAnswer::Duplicate, "{id}");
    }
    assert_eq!((events(&store).await, state(&store).await), (before, RewardState::Claimed));
}

fn again(store: &Store, reward: &Reward) -> Item<Redeliver> {
    let work = Redeliver {
        user: "u1".parse().unwrap(),
        grant: reward.grant,
        by: "ops".to_owned(),
        reason: "the account is open again".to_owned(),
        at: Timestamp::now(),
        even_if_delivered: false,
        keeps_payer: true,
    };
    let origin = Origin::Request(Uuid::new_v4());
    Item { lane: Lane::of("u1", store.lane_count), work, origin }
}

/// As after a commit that was not answered, at any time after it.
#[tokio::test]
async fn rule_14_a_redelivery_that_is_sent_again_is_requested_once() {
    let store = Store::with_tasks(TASKS).await;
    let reward = reached(&store).await;
    claimed(&store).await;
    let request = again(&store, &reward);
    let requested = "select count(*) from events where event_type = 'redelivery_requested'";
    for _ in 0..2 {
        let answer = store.answer(request.clone()).await;
        assert_eq!(answer, Ok(RedeliverAnswer::Accepted));
        assert_eq!(store.count(requested).await, 1);
    }
    store.act(says("delivered", "paid-1", &reward)).await;
    let applied = store.execute(vec![request, again(&store, &reward)]).await;
    assert_eq!(applied[0].answer, Ok(RedeliverAnswer::Accepted), "the first answer");
    let other = &applied[1].answer;
    assert!(matches!(other, Ok(RedeliverAnswer::Rejected(_))), "another request: {applied:?}");
    assert_eq!(store.count(requested).await, 1);
}

/// The failure may concern an attempt before the redelivery.
#[tokio::test]
async fn rule_16_a_repeated_failure_does_not_end_a_reward_that_is_delivered_again() {
    let store = Store::with_tasks(TASKS).await;
    let reward = reached(&store).await;
    claimed(&store).await;
    let failed = says("failed", "failed-1", &reward);
    assert_eq!(store.act(failed.clone()).await.answer, ActionAnswer::Accepted);
    assert_eq!(state(&store).await, RewardState::Failed);
    assert_eq!(store.answer(again(&store, &reward)).await, Ok(RedeliverAnswer::Accepted));
    assert_eq!(store.act(failed).await.answer, ActionAnswer::Duplicate);
    assert_eq!(state(&store).await, RewardState::Claimed);
    store.act(says("failed", "failed-2", &reward)).await;
    assert_eq!(state(&store).await, RewardState::Failed, "a fresh id counts");
}

/// Turns a text of stored events into a NUL, as older programs stored it if a payer sent one. No
/// operator of `json` reads such an event.
async fn store_nul(store: &Store, event: &str, text: &str) {
    let sql = format!(
        "grant update on events to current_user;
         update events set payload = replace(payload::text, '\"{text}\"', '\"\\u0000\"')::json
         where event_type = '{event}';
         revoke update on events from current_user"
    );
    sqlx::raw_sql(&sql).execute(&store.pool).await.unwrap();
    let held = "select count(*) from events where strpos(payload::text, '\\u0000') > 0";
    assert_eq!(store.count(held).await, 1);
}

#[tokio::test]
async fn an_event_that_holds_a_payers_nul_hinders_neither_its_repeat_nor_a_reconciliation() {
    let store = Store::with_tasks(TASKS).await;
    let reward = reached(&store).await;
    let strange =
        action("u1", "paid-1", "plaudit.reward.delivered", NOON, &json!({ "grant": "?" }));
    store.act(strange.clone()).await;
    store_nul(&store, "acknowledgement_ignored", "?").await;
    assert_eq!(store.act(strange).await.answer, ActionAnswer::Duplicate);

    store.act(says("delivered", "paid-2", &reward)).await;
    let known = [(Lane::of("u1", store.lane_count), "u1".parse().unwrap(), reward.grant)];
    let mut connection = store.pool.acquire().await.unwrap();
    let said = rewards::handed_over::said_to_be_paid(&known, &mut connection).await.unwrap();
    assert!(said.contains(&reward.grant), "{said:?}");
}

#[tokio::test]
async fn a_failure_whose_reason_holds_a_nul_says_that_the_payer_had_the_reward() {
    let store = Store::with_tasks(TASKS).await;
    let reward = reached(&store).await;
    claimed(&store).await;
    store.act(says("failed", "failed-1", &reward)).await;
    store_nul(&store, "reward_failed", "no").await;
    let (lane, user) = (Lane::of("u1", store.lane_count), "u1".parse().unwrap());
    let mut connection = store.pool.acquire().await.unwrap();
    let found =
        rewards::handed_over::handed_over(lane, &user, &[reward.grant], &mut connection).await;
    assert_eq!(found.unwrap(), [reward.grant]);
}

#[tokio::test]
async fn a_claim_of_a_period_with_a_nul_is_a_claim_of_no_period() {
    let store = Store::with_tasks(TASKS).await;
    reached(&store).await;
    let mut named = claim(&store);
    named.work.period = Some("once\0".to_owned().into());
    let applied = store.execute(vec![named, claim(&store)]).await;
    assert!(matches!(applied[0].answer, Ok(ClaimAnswer::Rejected(_))), "{applied:?}");
    assert!(matches!(applied[1].answer, Ok(ClaimAnswer::Claimed(_))), "{applied:?}");
}
