//! Large sets of distinct values are verified, rebuilt and compared like every other row.

use std::ops::Range;
use std::sync::Arc;

use crate::support::{World, action, users};
use plaudit_domain::ids::UserId;
use plaudit_event_store::Incoming;
use plaudit_event_store::catalogue_store;
use plaudit_projections::rebuild::{RebuildOptions, RebuildOutcome, rebuild};
use plaudit_projections::verify;
use serde_json::json;
use tokio_util::sync::CancellationToken;

const ROOMS: &str = "
tasks:
  - id: rooms
    kind: periodic
    every: day
    objective: { on: room.seen, measure: { distinct: data.room }, target: 5000, lateness: P1D }
";

async fn see(world: &World, user: &UserId, day: u8, rooms: Range<usize>) {
    let at = format!("2026-03-{day:02}T12:00:00Z").parse().unwrap();
    let seen = |room| {
        let id = usize::from(day) * 10_000 + room;
        Incoming::Action(action(user, id, "room.seen", at, &json!({ "room": room })))
    };
    world.apply(rooms.map(|room| world.item(user, seen(room))).collect()).await;
}

/// Users with large sets in two open periods, and one with a small set in the newer.
async fn world_with_sets() -> World {
    let world = World::new().await;
    let tasks = plaudit_task_file::parse(ROOMS).unwrap();
    catalogue_store::publish(&world.pool, &tasks, "test").await.unwrap();
    for (place, user) in users(4).iter().enumerate() {
        see(&world, user, 28, 0..290 + 10 * place).await;
        see(&world, user, 29, 0..205 + 100 * place).await;
    }
    world
}

async fn rebuilt(world: &World) -> RebuildOutcome {
    let options = RebuildOptions { workers: 2, chunk_events: 300, ..RebuildOptions::default() };
    rebuild(&world.pool, "task_view", options, |_| {}, CancellationToken::new()).await.unwrap()
}

#[tokio::test]
async fn a_chunk_that_was_tampered_with_is_found_and_mended_by_a_rebuild() {
    let world = world_with_sets().await;
    world.assert_verified().await;
    let rows = world.dump().await;
    for (damage, shown) in [
        ("update distinct_values set hashes = hashes || hashes where chunk = 5", "hashes="),
        ("delete from distinct_values where chunk = 6", "period_key=2026-03-2"),
        ("update distinct_values set chunk = 200 where chunk = 7", "chunk=200"),
    ] {
        let damaged = sqlx::query(damage).execute(&world.pool).await.unwrap().rows_affected();
        assert!(damaged > 0, "{damage}");
        let report = verify::verify(&world.pool, Some("task_view"), |_| {}).await.unwrap();
        assert!(report.differences.count >= damaged, "{damage}: {report:?}");
        assert!(report.differences.first.iter().all(|found| found.table == "distinct_values"));
        let sides = report.differences.first.iter().flat_map(|found| [&found.live, &found.log]);
        assert!(sides.flatten().any(|side| side.contains(shown)), "{report:?}");
        let outcome = rebuilt(&world).await;
        let RebuildOutcome::Swapped(found) = outcome else { panic!("{outcome:?}") };
        assert!(found.first.iter().all(|found| found.table == "distinct_values"), "{found:?}");
        assert_eq!(found.count, report.differences.count, "{damage}");
        assert_eq!(world.dump().await, rows, "{damage}");
    }
    let outcome = rebuilt(&world).await;
    let RebuildOutcome::Swapped(found) = outcome else { panic!("{outcome:?}") };
    assert_eq!(found.first, []);
    world.assert_verified().await;
}

#[tokio::test]
async fn a_set_that_an_earlier_version_left_in_the_row_is_no_difference_and_is_moved_by_a_rebuild()
{
    let world = world_with_sets().await;
    let rows = world.dump().await;
    let inline = r#"
        update task_view t
        set details = replace(t.details::text, v.counted, v.hashes)::json
        from (select lane, user_id, period_key,
                     '"values":' || (sum(octet_length(hashes)) / 12)::text as counted,
                     '"values":"' || translate(encode(string_agg(hashes, ''::bytea order by chunk), 'base64'), E'+/=\n', '-_')
                         || '"' as hashes
              from distinct_values where period_key = '2026-03-28' group by 1, 2, 3) v
        where t.lane = v.lane and t.user_id = v.user_id and t.task_id = 'rooms';
        delete from distinct_values where period_key = '2026-03-28' and chunk < 64;
        update distinct_values set hashes = '' where period_key = '2026-03-28'"#;
    sqlx::raw_sql(inline).execute(&world.pool).await.unwrap();
    assert_ne!(world.dump().await, rows);
    world.assert_verified().await;
    assert!(matches!(rebuilt(&world).await, RebuildOutcome::Swapped(_)));
    assert_eq!(world.dump().await, rows);
    world.assert_verified().await;
}

#[tokio::test]
async fn sets_grow_and_are_forgotten_while_they_are_rebuilt() {
    let world = Arc::new(world_with_sets().await);
    let rebuilding = tokio::spawn({
        let world = Arc::clone(&world);
        async move { rebuilt(&world).await }
    });
    for step in 0..10 {
        for user in &users(4) {
            see(&world, user, 29, 700 + 40 * step..740 + 40 * step).await;
        }
    }
    // For two users both days end, and so do their sets.
    for user in &users(2) {
        see(&world, user, 31, 0..1).await;
    }
    let outcome = rebuilding.await.unwrap();
    let RebuildOutcome::Swapped(found) = outcome else { panic!("{outcome:?}") };
    assert_eq!(found.first, []);
    world.assert_verified().await;
    assert!(matches!(rebuilt(&world).await, RebuildOutcome::Swapped(_)));
    world.assert_verified().await;
}
