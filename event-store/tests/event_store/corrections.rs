//! Corrections in batches: each is made once per key, revoked rewards are not handed over, and
//! actions are reversed once.

use crate::support::{Store, TASKS, action, request};
use plaudit_domain::catalogue::definition::Payout;
use plaudit_domain::lane::Lane;
use plaudit_domain::user_tasks::{
    Adjustment, BY_HAND, Change, Correction, Event, HandCommand, Reward, RewardState, Seed,
    UserTasks,
};
use plaudit_event_store::reader::{self, Kinds};
use plaudit_event_store::rewards::{self, Ledger};
use plaudit_event_store::{
    ActionAnswer, ByHand, HandAnswer, HandChange, HandReceipt, Item, RequestKey, StartDeliveries,
    StartedDeliveries, states,
};
use serde_json::json;

const NOON: &str = "2026-03-29T12:00:00Z";

fn correction(store: &Store, change: Change, key: &str, revoked: Option<Reward>) -> Item<ByHand> {
    let user: plaudit_domain::ids::UserId = "u1".parse().unwrap();
    let operation = change.name().to_owned();
    let key = RequestKey { user: user.clone(), operation, key: key.to_owned() };
    let (by, reason) = ("ops".to_owned(), "support case 7".to_owned());
    let at = "2026-03-29T13:00:00Z".parse().unwrap();
    let correction = Correction { user, change, by, reason, at, seed: Seed(1) };
    let command = Box::new(HandCommand::Correct(correction));
    let work = ByHand { key, command, revoked: revoked.map(Box::new) };
    Item { lane: Lane::of("u1", store.lane_count), work, origin: request() }
}

async fn correct(store: &Store, change: Change, key: &str, revoked: Option<Reward>) -> HandAnswer {
    let item = correction(store, change, key, revoked);
    store.answer(item).await.unwrap()
}

fn adjust(task: &str, adjustment: Adjustment) -> Change {
    let task = task.parse().unwrap();
    Change::Adjust { task, period: None, adjustment }
}

fn grant(amount: i64) -> Change {
    let payout = Payout { kind: "currency".to_owned(), code: "coin".to_owned(), amount };
    Change::Grant { line: "case-7".to_owned(), payout }
}

#[track_caller]
fn receipt(answer: HandAnswer) -> HandReceipt {
    match answer {
        HandAnswer::Changed(receipt) => receipt,
        HandAnswer::Rejected(rejection) => panic!("{rejection}"),
    }
}

async fn rewards_of(store: &Store) -> Vec<rewards::RewardRow> {
    let lane = Lane::of("u1", store.lane_count);
    let user = "u1".parse().unwrap();
    let now = jiff::Timestamp::now();
    rewards::load(&store.pool, lane, &user, None, None, 100, now).await.unwrap().rows
}

async fn facts(store: &Store) -> Vec<Event> {
    let lane = Lane::of("u1", store.lane_count);
    let mut connection = store.pool.acquire().await.unwrap();
    let found = reader::users_whole(&[(lane, "u1")], Kinds::All, &mut connection).await.unwrap();
    found.into_iter().flat_map(|user| user.facts).map(|fact| fact.event).collect()
}

/// Checks that the rows equal those that a rebuild makes from the log.
async fn rows_are_as_the_log_has_it(store: &Store) {
    let lane = Lane::of("u1", store.lane_count);
    let user = "u1".parse().unwrap();
    let mut connection = store.pool.acquire().await.unwrap();
    let ledger = Ledger::of_user(lane, &user, &mut connection).await.unwrap();
    assert_eq!(rewards_of(store).await, ledger.granted);
    let (folded, _) = reader::fold_user(lane, &user, None, &mut connection).await.unwrap();
    let needed = folded.tasks.keys().cloned().collect();
    let needed = [((lane, user.clone()), needed)].into();
    let none = std::collections::BTreeSet::new();
    let refold = states::Refold::Lanes(&none);
    let (unremembered, faults) = (std::collections::BTreeSet::new(), states::UserFaults::default());
    let loaded =
        states::load(&needed, refold, None, &unremembered, &faults, &mut connection).await.unwrap();
    let rows = |state: &UserTasks| states::rows(state).collect::<Vec<_>>();
    assert_eq!(rows(&loaded[&user].state), rows(&folded));
}

#[tokio::test]
async fn rule_14_a_grant_by_hand_is_made_once_for_its_key_and_for_its_line() {
    let store = Store::with_tasks(TASKS).await;
    let first = receipt(correct(&store, grant(50), "k1", None).await);
    let HandChange::RewardGranted { reward } = &first.change else { panic!("{first:?}") };
    assert_eq!((reward.task.as_str(), reward.amount), (BY_HAND, 50));
    assert_eq!(receipt(correct(&store, grant(50), "k1", None).await), first);
    // Another request for the same line returns the original grant unchanged.
    let again = receipt(correct(&store, grant(70), "k2", None).await);
    assert_eq!(again.change, first.change);
    let rows = rewards_of(&store).await;
    assert_eq!(rows.len(), 1);
    assert_eq!((rows[0].state, rows[0].reward.amount), (RewardState::Claimed, 50));
    rows_are_as_the_log_has_it(&store).await;
}

#[tokio::test]
async fn a_revoked_reward_is_not_handed_over_and_one_on_its_way_is_not_revoked() {
    let store = Store::with_tasks(TASKS).await;
    let granted = receipt(correct(&store, grant(50), "k1", None).await);
    let HandChange::RewardGranted { reward } = granted.change else { unreachable!() };
    let revoke = Change::Revoke { grant: reward.grant, whole_milestone: false };
    let revoked = correct(&store, revoke, "k1", Some(reward.clone())).await;
    assert_eq!(receipt(revoked).change, HandChange::RewardsRevoked { grants: vec![reward.grant] });
    let start = |reward: &Reward| Item {
        lane: Lane::of("u1", store.lane_count),
        work: StartDeliveries { user: "u1".parse().unwrap(), rewards: vec![reward.clone()] },
        origin: request(),
    };
    let answer = store.answer(start(&reward)).await;
    assert_eq!(answer, Ok(StartedDeliveries { revoked: vec![reward.grant] }));

    // A revoked milestone can no longer be claimed.
    store.act(action("u1", "t1", "team.formed", NOON, &json!({}))).await;
    let team = rewards_of(&store).await.remove(1).reward;
    let revoke = Change::Revoke { grant: team.grant, whole_milestone: false };
    receipt(correct(&store, revoke, "k2", Some(team.clone())).await);
    assert_eq!(rewards_of(&store).await[1].state, RewardState::Revoked);
    rows_are_as_the_log_has_it(&store).await;

    let automatic = action("u1", "g1", "gift.sent", NOON, &json!({ "coins": 100 }));
    store.act(automatic).await;
    let small = rewards_of(&store).await.remove(2).reward;
    let answer = store.answer(start(&small)).await;
    assert_eq!(answer, Ok(StartedDeliveries { revoked: vec![] }));
    let revoke = Change::Revoke { grant: small.grant, whole_milestone: false };
    let refused = correct(&store, revoke, "k3", Some(small)).await;
    assert!(matches!(refused, HandAnswer::Rejected(_)), "{refused:?}");
    rows_are_as_the_log_has_it(&store).await;
}

#[tokio::test]
async fn rule_24_progress_is_corrected_once_for_each_key_and_rows_follow() {
    let store = Store::with_tasks(TASKS).await;
    store.act(action("u1", "t1", "team.formed", NOON, &json!({}))).await;
    store.act(action("u1", "g1", "gift.sent", NOON, &json!({ "coins": 50 }))).await;
    let first = correct(&store, adjust("daily-gifts", Adjustment::By(60)), "k1", None).await;
    let first = receipt(first);
    let HandChange::ProgressCorrected { credited, progress, reached, grants, .. } = &first.change
    else {
        panic!("{first:?}")
    };
    assert_eq!((*credited, *progress, &reached[..], grants.len()), (60, 110, &[100][..], 1));
    let again = correct(&store, adjust("daily-gifts", Adjustment::By(60)), "k1", None).await;
    assert_eq!(receipt(again), first);
    let down = correct(&store, adjust("daily-gifts", Adjustment::By(-30)), "k2", None).await;
    let HandChange::ProgressCorrected { progress, .. } = receipt(down).change else {
        unreachable!()
    };
    assert_eq!(progress, 80);
    rows_are_as_the_log_has_it(&store).await;
    let complete = Change::Complete { task: "sign-in".parse().unwrap(), period: None };
    receipt(correct(&store, complete, "k1", None).await);
    let reset = Change::Reset { task: "sign-in".parse().unwrap(), period: None };
    receipt(correct(&store, reset, "k1", None).await);
    rows_are_as_the_log_has_it(&store).await;
    let commands = store
        .count("select count(distinct metadata->>'command') from events where metadata->>'command' is not null")
        .await;
    assert_eq!(commands, 3);
}

fn reverses(id: &str, target: &str) -> plaudit_domain::action::Action {
    let data = json!({ "source": "/test", "id": target });
    action("u1", id, "plaudit.action.reversed", "2026-03-29T13:00:00Z", &data)
}

/// The progress after each correction, or the reason why it was refused.
async fn reversals(store: &Store) -> Vec<String> {
    let outcome = |event: &Event| match event {
        Event::ProgressCorrected { progress, .. } => Some(progress.to_string()),
        Event::ActionReversed { refused: Some(reason), .. } => Some(reason.clone()),
        _ => None,
    };
    facts(store).await.iter().filter_map(outcome).collect()
}

#[tokio::test]
async fn rule_05_an_action_is_taken_back_once_whether_it_is_stored_or_in_the_same_batch() {
    let store = Store::with_tasks(TASKS).await;
    let gift =
        |id: &str, coins: i64| action("u1", id, "gift.sent", NOON, &json!({ "coins": coins }));
    store.act(action("u1", "t1", "team.formed", NOON, &json!({}))).await;
    store.act(gift("g1", 50)).await;
    store.act(gift("g2", 30)).await;
    store.act(reverses("r1", "g1")).await;
    assert_eq!(reversals(&store).await, ["30"]);
    // Repeated by the same action, and by another one.
    assert_eq!(store.act(reverses("r1", "g1")).await.answer, ActionAnswer::Duplicate);
    store.act(reverses("r2", "g1")).await;
    assert_eq!(reversals(&store).await, ["30", "the action was reversed before"]);
    let batch = [gift("g3", 40), reverses("r3", "g3"), reverses("r4", "g3")];
    let items = batch.map(|action| store.item(action, request())).to_vec();
    store.execute(items).await;
    assert_eq!(reversals(&store).await[2..], ["30", "the action was reversed before"]);
    // An unknown action, and one that moved nothing.
    store.act(reverses("r5", "nothing")).await;
    store.act(gift("g4", 1)).await;
    store.act(reverses("r6", "g4")).await;
    let refused = reversals(&store).await.split_off(4);
    assert!(refused[0].starts_with("no such action of the user is known"), "{refused:?}");
    assert_eq!(refused[1], "the action moved nothing");
    rows_are_as_the_log_has_it(&store).await;
}
