//! The counting state of a period is stored in rows, and each batch continues from it.

use crate::support::{Store, action};
use plaudit_event_store::ActionAnswer;
use serde_json::{Value, json};

const TASKS: &str = r"
tasks:
  - id: rooms
    kind: periodic
    every: week
    objective: { on: watched, measure: { distinct: data.room }, target: 3 }
  - id: level
    kind: ordinary
    objective: { on: watched, measure: { latest: data.level }, target: 9 }
  - id: best
    kind: ordinary
    objective: { on: watched, measure: { max: data.level }, target: 9 }
  - id: days
    kind: periodic
    every: week
    objective: { on: watched, measure: days, target: 3 }
  - id: minutes
    kind: periodic
    every: day
    objective: { on: watched, measure: { sum: data.minutes }, carry_over: true, target: 10 }
  - id: both
    kind: ordinary
    objective: { completions_of: [ rooms, minutes, days ], target: 3 }
  - id: for-vips
    kind: ordinary
    objective: { on: watched, target: 9 }
    audience: { where: user.vip == true }
";

async fn progress(store: &Store) -> Value {
    let sql = "select coalesce(jsonb_object_agg(task_id, progress), '{}') from task_view where user_id = 'u1'";
    sqlx::query_scalar(sql).fetch_one(&store.pool).await.unwrap()
}

/// Each action is a separate batch, so that every state comes from its row.
#[tokio::test]
async fn what_a_period_has_counted_lasts_from_batch_to_batch() {
    let store = Store::with_tasks(TASKS).await;
    let watched = |day: u8, hour: u8, room: Value, level: i64, minutes: i64| {
        let id = format!("{day}-{hour}-{room}");
        let time = format!("2026-03-{day:02}T{hour:02}:00:00Z");
        let data = json!({ "room": room, "level": level, "minutes": minutes });
        action("u1", &id, "watched", &time, &data)
    };
    let steps = [
        (
            watched(24, 10, json!(1), 5, 7),
            json!({ "rooms": 1, "level": 5, "best": 5, "days": 1, "minutes": 7 }),
        ),
        // The same room in another spelling, on the same day, earlier than the action above.
        (
            watched(24, 9, json!(1.0), 7, 8),
            json!({ "rooms": 1, "level": 5, "best": 7, "days": 1, "minutes": 10, "both": 1 }),
        ),
        // Five minutes were carried over; the level falls.
        (
            watched(25, 10, json!("1"), 2, 1),
            json!({ "rooms": 2, "level": 2, "best": 7, "days": 2, "minutes": 6, "both": 1 }),
        ),
        // `minutes` is completed on a second day, which `both` does not count again; `rooms` and
        // `days` are completed.
        (
            watched(26, 10, json!([1]), 3, 25),
            json!({ "rooms": 3, "level": 3, "best": 7, "days": 3, "minutes": 10, "both": 3 }),
        ),
    ];
    for (action, expected) in steps {
        assert_eq!(store.act(action).await.answer, ActionAnswer::Accepted);
        assert_eq!(progress(&store).await, expected);
    }
    // The fold of the log, which replaces unreadable rows, gives the same result.
    sqlx::query("update task_view set details = '{\"unknown\": 1}'")
        .execute(&store.pool)
        .await
        .unwrap();
    store.act(watched(27, 10, json!("new"), 4, 1)).await;
    let expected =
        json!({ "rooms": 3, "level": 4, "best": 7, "days": 3, "minutes": 10, "both": 3 });
    assert_eq!(progress(&store).await, expected);
    let vip = json!({ "attributes": { "vip": true } });
    store.act(action("u1", "vip", "plaudit.user.updated", "2026-03-27T11:00:00Z", &vip)).await;
    store.act(watched(27, 12, json!("new"), 4, 1)).await;
    assert_eq!(progress(&store).await["for-vips"], 1);
}
