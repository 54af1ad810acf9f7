//! Backfills in the executor: the boundary of the past is exact, and nothing counts twice.

use std::sync::Arc;

use crate::support::{Store, action, tasks_of};
use plaudit_domain::action::Action;
use plaudit_domain::ids::{TaskId, UserId};
use plaudit_domain::lane::Lane;
use plaudit_event_store::backfills::changes::{BackfillChange, BackfillChangeError, change};
use plaudit_event_store::backfills::{self, BackfillState, bounds, lease};
use plaudit_event_store::catalogue_store::{self, Author};
use plaudit_event_store::states::users_with_held_rewards;
use plaudit_event_store::{
    Applied, Item, Origin, Outcome, ParkedRecord, PastOutcome, SourcePosition, Work,
};
use serde_json::json;
use uuid::Uuid;

const BEFORE: &str = r"
tasks:
  - id: first-gift
    kind: ordinary
    objective: { on: gift.sent, target: 9 }
";

fn five_gifts(rewards: &str) -> String {
    format!(
        r"
tasks:
  - id: five-gifts
    kind: ordinary
    objective: {{ on: gift.sent, target: 5 }}
    rewards: [ {{ line: coins, kind: currency, code: coin, amount: 100 }} ]
    backfill: {{ from: 2026-03-01T00:00:00Z, rewards: {rewards} }}
"
    )
}

fn gift(id: &str) -> Action {
    action("u1", id, "gift.sent", "2026-03-10T10:00:00Z", &json!({}))
}

fn at(offset: i64) -> SourcePosition {
    SourcePosition { topic: Arc::from("t"), incarnation: 0, partition: 0, offset }
}

fn task() -> TaskId {
    "five-gifts".parse().unwrap()
}

/// A record as read live.
fn live(store: &Store, id: &str, offset: i64) -> Item {
    store.item(gift(id), Origin::Record(at(offset)))
}

/// The same record as read by a backfill.
fn past(store: &Store, id: &str, offset: i64) -> Item {
    let action = gift(id);
    let lane = Lane::of("u1", store.lane_count);
    let parked_as = vec![(lane, ParkedRecord::id_of_action(&action))];
    Item {
        lane,
        work: Work::CountPast { task: task(), action, parked_as },
        origin: Origin::Backfill { task: task(), from: Some(at(offset)) },
    }
}

async fn outcomes(store: &Store, items: Vec<Item>) -> Vec<Outcome> {
    store.execute(items).await.into_iter().map(|Applied { outcome, .. }| outcome).collect()
}

async fn publish(store: &Store, file: &str) {
    catalogue_store::publish(&store.pool, &tasks_of(file), "ops").await.unwrap();
}

async fn progress(store: &Store) -> i64 {
    let sql = "select coalesce(max(progress), 0) from task_view where task_id = 'five-gifts'";
    store.count(sql).await
}

const MOVED: Outcome = Outcome::Past(PastOutcome::Moved);
const KNOWN: Outcome = Outcome::Past(PastOutcome::Known);
const LIVE: Outcome = Outcome::Past(PastOutcome::Live);

#[tokio::test]
async fn rule_05_the_past_ends_where_the_first_batch_with_the_task_began() {
    let store = Store::with_tasks(BEFORE).await;
    outcomes(&store, vec![live(&store, "a", 0), live(&store, "b", 1)]).await;
    publish(&store, &five_gifts("grant")).await;
    // In flight during the publication, and decided with the task.
    outcomes(&store, vec![live(&store, "c", 2)]).await;
    assert_eq!(progress(&store).await, 1);
    let read = vec![past(&store, "a", 0), past(&store, "b", 1), past(&store, "c", 2)];
    assert_eq!(outcomes(&store, read.clone()).await, [MOVED, MOVED, LIVE]);
    assert_eq!(progress(&store).await, 3);
    assert_eq!(outcomes(&store, read).await, [KNOWN, KNOWN, LIVE], "a resumed reading");
    assert_eq!(progress(&store).await, 3);
    let others = "select count(*) from task_view where task_id = 'first-gift' and progress <> 3";
    assert_eq!(store.count(others).await, 0, "the other task hears of nothing");
}

#[tokio::test]
async fn rule_05_a_process_that_knows_an_older_catalogue_settles_the_boundary_too() {
    let store = Store::with_tasks(BEFORE).await;
    let other = store.another_executor();
    outcomes(&store, vec![live(&store, "a", 0)]).await;
    publish(&store, &five_gifts("grant")).await;
    let batch = |items| plaudit_event_store::Batch { items, checkpoints: vec![] };
    other.execute(&batch(vec![live(&store, "b", 1)])).await.unwrap();
    outcomes(&store, vec![live(&store, "c", 2)]).await;
    let read = vec![past(&store, "a", 0), past(&store, "b", 1), past(&store, "c", 2)];
    assert_eq!(outcomes(&store, read).await, [MOVED, LIVE, LIVE]);
    assert_eq!(progress(&store).await, 3);
}

#[tokio::test]
async fn rule_05_repeats_in_the_topic_and_repeats_that_came_live_count_once() {
    let store = Store::with_tasks(BEFORE).await;
    let forget = || sqlx::query("delete from seen_actions").execute(&store.pool);
    outcomes(&store, vec![live(&store, "a", 0), live(&store, "b", 1)]).await;
    // Its identity has expired, so a repeat counts as new.
    forget().await.unwrap();
    outcomes(&store, vec![live(&store, "a", 2)]).await;
    publish(&store, &five_gifts("grant")).await;
    forget().await.unwrap();
    outcomes(&store, vec![live(&store, "b", 3)]).await;
    let read = vec![past(&store, "a", 0), past(&store, "b", 1), past(&store, "a", 2)];
    assert_eq!(outcomes(&store, read).await, [MOVED, KNOWN, KNOWN]);
    assert_eq!(progress(&store).await, 2);
    // A past action that was counted is known to live traffic as long as any action decided now.
    assert_eq!(outcomes(&store, vec![live(&store, "a", 4)]).await, [Outcome::Duplicate]);
}

fn reverses(id: &str, target: &str) -> Action {
    let data = json!({ "source": "/test", "id": target });
    action("u1", id, "plaudit.action.reversed", "2026-03-11T10:00:00Z", &data)
}

/// The number of events of this type.
async fn events(store: &Store, event_type: &str) -> i64 {
    store.count(&format!("select count(*) from events where event_type = '{event_type}'")).await
}

#[tokio::test]
async fn rule_05_an_action_that_was_taken_back_is_not_counted_however_long_ago() {
    let store = Store::with_tasks(BEFORE).await;
    outcomes(&store, vec![live(&store, "a", 0), live(&store, "b", 1), live(&store, "c", 2)]).await;
    store.act(reverses("r1", "a")).await;
    // Moved nothing, so that its reversal is refused; it is taken back all the same.
    let other = action("u1", "d", "gift.seen", "2026-03-10T10:00:00Z", &json!({}));
    store.execute(vec![store.item(other, Origin::Record(at(3)))]).await;
    store.act(reverses("r2", "d")).await;
    // The identities have expired, and with them the marker of the reversal.
    sqlx::query("delete from seen_actions").execute(&store.pool).await.unwrap();
    publish(&store, &five_gifts("grant")).await;
    let reversed = Outcome::Past(PastOutcome::Reversed);
    let read = |ids: &[(&str, i64)]| -> Vec<Item> {
        ids.iter().map(|(id, offset)| past(&store, id, *offset)).collect()
    };
    let got = outcomes(&store, read(&[("a", 0), ("b", 1), ("d", 3)])).await;
    assert_eq!(got, [reversed.clone(), MOVED, reversed.clone()]);
    // Taken back in the batch of the backfill.
    let reversal = store.item(reverses("r3", "c"), Origin::Request(Uuid::from_u128(3)));
    let got = outcomes(&store, vec![reversal, past(&store, "c", 2)]).await;
    assert_eq!(got[1], reversed);
    assert_eq!(progress(&store).await, 1);
}

#[tokio::test]
async fn rule_05_a_later_reversal_takes_back_what_a_backfill_counted_and_only_once() {
    let store = Store::with_tasks(BEFORE).await;
    outcomes(&store, vec![live(&store, "a", 0), live(&store, "b", 1), live(&store, "c", 2)]).await;
    publish(&store, &five_gifts("grant")).await;
    outcomes(&store, vec![past(&store, "a", 0), past(&store, "b", 1)]).await;
    assert_eq!(progress(&store).await, 2);
    store.act(reverses("r1", "a")).await;
    let taken = "select count(*) from task_view where progress = 1 and task_id = 'five-gifts'
                 or progress = 2 and task_id = 'first-gift'";
    assert_eq!(store.count(taken).await, 2, "both the live credit and the backfilled one");
    store.act(reverses("r2", "a")).await;
    assert_eq!((progress(&store).await, events(&store, "progress_corrected").await), (1, 2));
    // Known only to the backfill, and counted and taken back in one batch.
    sqlx::query("delete from seen_actions").execute(&store.pool).await.unwrap();
    let reversal = store.item(reverses("r3", "c"), Origin::Request(Uuid::from_u128(3)));
    outcomes(&store, vec![past(&store, "c", 2), reversal]).await;
    assert_eq!((progress(&store).await, events(&store, "progress_corrected").await), (1, 3));
    store.act(reverses("r4", "b")).await;
    assert_eq!(progress(&store).await, 1, "its identity is forgotten");
}

#[tokio::test]
async fn rule_22_what_is_parked_counts_once_it_is_released_and_not_before() {
    let store = Store::with_tasks(BEFORE).await;
    let parked = ParkedRecord::of_action(&gift("a"), "a test", false);
    let lane = Lane::of("u1", store.lane_count);
    let park = Item { lane, work: Work::Park(parked), origin: Origin::Record(at(0)) };
    outcomes(&store, vec![park]).await;
    publish(&store, &five_gifts("grant")).await;
    let read = || vec![past(&store, "a", 0)];
    let is_parked = Outcome::Past(PastOutcome::Parked);
    assert_eq!(outcomes(&store, read()).await, [is_parked]);
    let release = store.item(gift("a"), Origin::Request(Uuid::from_u128(1)));
    assert_eq!(outcomes(&store, vec![release]).await, [Outcome::Accepted]);
    assert_eq!(outcomes(&store, read()).await, [KNOWN]);
    assert_eq!(progress(&store).await, 1);
}

#[tokio::test]
async fn held_rewards_are_found_and_released() {
    let store = Store::with_tasks(BEFORE).await;
    let ids = ["a", "b", "c", "d", "e"];
    let each = |item: fn(&Store, &str, i64) -> Item| -> Vec<Item> {
        ids.iter().zip(0..).map(|(id, offset)| item(&store, id, offset)).collect()
    };
    outcomes(&store, each(live)).await;
    publish(&store, &five_gifts("hold")).await;
    outcomes(&store, each(past)).await;
    let lane = Lane::of("u1", store.lane_count);
    let users = users_with_held_rewards(&store.pool, lane, &task(), "", 10).await.unwrap();
    assert_eq!(users.iter().map(UserId::as_str).collect::<Vec<_>>(), ["u1"]);
    assert_eq!(store.count("select count(*) from reward_state").await, 0);
    let item = Item {
        lane,
        work: Work::ReleaseBackfill {
            user: users[0].clone(),
            task: task(),
            by: "ops".to_owned(),
            reason: None,
            at: "2026-03-20T10:00:00Z".parse().unwrap(),
        },
        origin: Origin::Backfill { task: task(), from: None },
    };
    assert_eq!(outcomes(&store, vec![item.clone()]).await, [MOVED]);
    assert_eq!(store.count("select count(*) from reward_state where state = 'claimable'").await, 1);
    assert_eq!(users_with_held_rewards(&store.pool, lane, &task(), "", 10).await.unwrap(), []);
    assert_eq!(outcomes(&store, vec![item]).await, [Outcome::Past(PastOutcome::Unmoved)]);
}

#[tokio::test]
async fn held_rewards_are_found_in_every_open_period_however_the_row_is_written() {
    let store = Store::with_tasks(BEFORE).await;
    let rows = [
        ("a", Some(r#"{"held":true}"#)),
        ("b", Some(r#"{"carried":1,"held" : true}"#)),
        ("c", Some(r#"{"earlier":[{"key":"2026-03-01"},{"key":"2026-03-02","held":true}]}"#)),
        ("d", Some(r#"{"held":false,"earlier":[{"key":"2026-03-01"}]}"#)),
        ("e", Some(r#"{"seen":{"values":"\"held\":true"},"streak":{"held":true}}"#)),
        ("f", None),
    ];
    for (user, details) in rows {
        let insert =
            "insert into task_view (lane, user_id, task_id, details) values (5, $1, $2, $3::json)";
        let insert = sqlx::query(insert).bind(user).bind(task().as_str().to_owned()).bind(details);
        insert.execute(&store.pool).await.unwrap();
    }
    let found = async |after: &str, limit: i64| {
        let users = users_with_held_rewards(&store.pool, Lane(5), &task(), after, limit).await;
        users.unwrap().iter().map(ToString::to_string).collect::<Vec<_>>()
    };
    assert_eq!(found("", 10).await, ["a", "b", "c"]);
    assert_eq!(found("a", 1).await, ["b"]);
}

#[tokio::test]
async fn a_backfill_that_is_over_counts_nothing_and_its_lease_is_fenced() {
    let store = Store::with_tasks(BEFORE).await;
    outcomes(&store, vec![live(&store, "a", 0)]).await;
    publish(&store, &five_gifts("grant")).await;
    let taken = lease::take(&store.pool, Uuid::from_u128(1)).await.unwrap().unwrap();
    assert_eq!((&taken.task, taken.is_planned), (&task(), false));
    assert_eq!(lease::take(&store.pool, Uuid::from_u128(2)).await.unwrap(), None, "one at a time");
    let settle = Item {
        lane: Lane::of("u1", store.lane_count),
        work: Work::SettleBackfills,
        origin: Origin::Backfill { task: task(), from: None },
    };
    let unsettled = bounds::unsettled_lanes(&store.pool, &task()).await.unwrap();
    assert_eq!(unsettled.len(), 64);
    outcomes(&store, vec![settle]).await;
    assert_eq!(bounds::unsettled_lanes(&store.pool, &task()).await.unwrap().len(), 63);
    let ends = bounds::ends(&store.pool, &task()).await.unwrap();
    assert_eq!(ends.into_iter().collect::<Vec<_>>(), [(("t".to_owned(), 0, 0), 1)]);
    // The process is frozen, and another one takes over.
    let expire = "update backfills set leased_until = now() - interval '1 s'";
    sqlx::query(expire).execute(&store.pool).await.unwrap();
    let other = lease::take(&store.pool, Uuid::from_u128(2)).await.unwrap().unwrap();
    assert_eq!(taken.renew(&store.pool).await.unwrap(), None);
    assert_eq!(other.renew(&store.pool).await.unwrap(), Some(BackfillState::Running));
    assert!(!taken.plan(&store.pool, &[]).await.unwrap());
    let ops = Author::from("ops");
    let released = change(&store.pool, &task(), BackfillChange::Release, &ops).await;
    assert!(matches!(released, Err(BackfillChangeError::HoldsNothing(_))), "{released:?}");
    change(&store.pool, &task(), BackfillChange::Cancel, &ops).await.unwrap();
    let read = vec![past(&store, "a", 0)];
    assert_eq!(outcomes(&store, read).await, [Outcome::Past(PastOutcome::Closed)]);
    let status = backfills::find(&store.pool, &task()).await.unwrap().unwrap();
    assert_eq!((status.state, status.records), (BackfillState::Cancelled, None));
    let resumed = change(&store.pool, &task(), BackfillChange::Resume, &ops).await;
    assert!(matches!(resumed, Err(BackfillChangeError::Over { .. })), "{resumed:?}");
}

#[tokio::test]
async fn only_a_new_task_counts_past_actions_and_not_from_too_far_back() {
    let store = Store::with_tasks(BEFORE).await;
    let refused = async |file: String| {
        catalogue_store::publish(&store.pool, &tasks_of(&file), "ops")
            .await
            .unwrap_err()
            .to_string()
    };
    let known = BEFORE.to_owned() + "    backfill: { from: 2026-03-01T00:00:00Z }\n";
    assert!(refused(known).await.contains("only a new task"));
    let daily = "
tasks:
  - { id: daily, kind: periodic, every: day, objective: { on: gift.sent, target: 1 },
      backfill: { from: 2025-01-01T00:00:00Z } }
";
    assert!(refused(daily.to_owned()).await.contains("100 periods"));
    publish(&store, &five_gifts("grant")).await;
    let changed = five_gifts("grant").replace("amount: 100", "amount: 101");
    publish(&store, &changed).await;
    assert_eq!(store.count("select count(*) from backfills").await, 1);
    assert!(refused(five_gifts("none")).await.contains("only a new task"));
}
