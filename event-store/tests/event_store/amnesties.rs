//! Amnesties: in force with the next batch of every process, recorded with author and reason, never
//! changed.

use crate::support::{Store, TASKS, action};
use jiff::Timestamp;
use plaudit_domain::screen::{ScreenRequest, screen};
use plaudit_domain::user_tasks::UserTasks;
use plaudit_domain::user_tasks::{Event, evolve};
use plaudit_event_store::catalogue_store::{
    AmnestyError, AmnestyScope, TaskChangeKind, amnesties, changes_of, declare_amnesty,
};
use plaudit_event_store::{Batch, Executor, Origin, reader};
use serde_json::json;

fn at(text: &str) -> Timestamp {
    text.parse().unwrap()
}

/// An amnesty for the 4th of March.
fn the_fourth(tasks: Option<&[&str]>) -> AmnestyScope {
    let tasks = tasks.map(|ids| ids.iter().map(|id| id.parse().unwrap()).collect());
    let (from, until) = (at("2026-03-04T00:00:00Z"), at("2026-03-05T00:00:00Z"));
    AmnestyScope { from, until, tasks }
}

/// Signs in on a day of March.
async fn sign_in(executor: &Executor, store: &Store, day: u8) {
    let time = format!("2026-03-{day:02}T09:00:00Z");
    let signed_in = action("ann", &time, "user.signed_in", &time, &json!({}));
    let items =
        vec![store.item(signed_in, Origin::Request(uuid::Uuid::from_u128(u128::from(day))))];
    executor.execute(&Batch { items, checkpoints: vec![] }).await.unwrap();
}

async fn folded(store: &Store) -> (UserTasks, Vec<Event>) {
    let user = "ann".parse().unwrap();
    let lane = plaudit_domain::lane::Lane::of("ann", store.lane_count);
    let mut connection = store.pool.acquire().await.unwrap();
    let (state, _) = reader::fold_user(lane, &user, None, &mut connection).await.unwrap();
    let rows: Vec<sqlx::types::Json<Event>> = sqlx::query_scalar(
        "select payload from events where aggregate_id = 'ann' order by sequence",
    )
    .fetch_all(&mut *connection)
    .await
    .unwrap();
    (state, rows.into_iter().map(|row| row.0).collect())
}

fn lengths(events: &[Event]) -> Vec<i64> {
    let length = |event: &Event| match event {
        Event::StreakAdvanced { current, .. } => Some(*current),
        _ => None,
    };
    events.iter().filter_map(length).collect()
}

#[tokio::test]
async fn an_amnesty_holds_in_every_process_and_a_replay_gives_the_same() {
    let store = Store::with_tasks(TASKS).await;
    let other = store.another_executor();
    for day in [1, 2] {
        sign_in(&store.executor, &store, day).await;
    }
    sign_in(&other, &store, 3).await;
    let catalogue = store.executor.catalogue().newest(&store.pool).await.unwrap();
    let current = |state: &UserTasks, catalogue: &plaudit_domain::catalogue::Catalogue| {
        let (user, now) = ("ann".parse().unwrap(), at("2026-03-05T08:00:00Z"));
        let shown = screen(&user, state, catalogue, now, &ScreenRequest::default());
        shown.iter().find_map(|task| task.streak).unwrap().current
    };
    assert_eq!(current(&folded(&store).await.0, &catalogue), 0);

    let declared =
        declare_amnesty(&store.pool, the_fourth(None), "ops", "an outage").await.unwrap();
    assert_eq!((declared.by.as_str(), declared.reason.as_str()), ("ops", "an outage"));
    let catalogue = store.executor.catalogue().newest(&store.pool).await.unwrap();
    assert_eq!(current(&folded(&store).await.0, &catalogue), 3);
    // The other process has not been notified.
    sign_in(&other, &store, 5).await;
    let (state, events) = folded(&store).await;
    assert_eq!(lengths(&events), [1, 2, 3, 4]);
    let mut replayed = UserTasks::default();
    events.iter().for_each(|event| evolve(&mut replayed, event));
    assert_eq!(replayed.tasks, state.tasks, "the fold asks no catalogue");
}

#[tokio::test]
async fn an_amnesty_is_declared_once_and_tells_who_and_why() {
    let store = Store::with_tasks(TASKS).await;
    let scope = the_fourth(Some(&["sign-in"]));
    let first = declare_amnesty(&store.pool, scope.clone(), "ops", "an outage").await.unwrap();
    let again = declare_amnesty(&store.pool, scope, "ann", "sent again").await.unwrap();
    assert_eq!(first, again);
    assert_eq!(amnesties(&store.pool).await.unwrap(), std::slice::from_ref(&first));
    let changes = changes_of(&store.pool, &"sign-in".parse().unwrap()).await.unwrap();
    let last = changes.last().unwrap();
    assert_eq!((last.change, last.by.as_str()), (TaskChangeKind::Amnesty, "ops"));
    assert_eq!((last.from, last.until), (Some(first.scope.from), Some(first.scope.until)));
    let of_others = changes_of(&store.pool, &"first-team".parse().unwrap()).await.unwrap();
    assert_eq!(of_others.len(), 1, "its publication");
    let rewritten =
        sqlx::query("update streak_amnesties set reason = 'x'").execute(&store.pool).await;
    assert!(rewritten.is_err(), "the owner has given up the right to");
}

#[tokio::test]
async fn what_can_be_no_amnesty_is_refused() {
    let store = Store::with_tasks(TASKS).await;
    let declare = async |scope| declare_amnesty(&store.pool, scope, "ops", "a test").await;
    let refused = declare(the_fourth(Some(&["none"]))).await;
    assert!(matches!(refused, Err(AmnestyError::UnknownTask(_))), "{refused:?}");
    let refused = declare(the_fourth(Some(&["daily-gifts"]))).await;
    assert!(matches!(refused, Err(AmnestyError::NotContinuous(_))), "{refused:?}");
    let refused = declare(the_fourth(Some(&[]))).await;
    assert!(matches!(refused, Err(AmnestyError::NoTask)), "{refused:?}");
    let backwards = the_fourth(None);
    let backwards = AmnestyScope { from: backwards.until, until: backwards.from, tasks: None };
    let refused = declare(backwards).await;
    assert!(matches!(refused, Err(AmnestyError::EmptySpan { .. })), "{refused:?}");
    assert_eq!(amnesties(&store.pool).await.unwrap(), []);
}
