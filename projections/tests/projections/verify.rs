//! Verification of the served rows against the log.

use crate::support::{Dice, World, action, days_of_work, users};
use plaudit_event_store::Incoming;
use plaudit_projections::{ProjectionError, verify};
use serde_json::json;

async fn busy_world(seed: u64) -> World {
    let world = World::new().await;
    let users = users(30);
    for batch in days_of_work(&world, &users, 1500, &mut Dice(seed)).chunks(100) {
        world.apply(batch.to_vec()).await;
    }
    world.deliver(&users).await;
    world
}

#[tokio::test]
async fn a_row_that_was_tampered_with_is_found_and_shown_with_both_sides() {
    let world = busy_world(10).await;
    world.assert_verified().await;
    for (projection, table, damage, shown) in [
        ("task_view", "task_view", "update task_view set progress = progress + 1", "progress="),
        (
            "task_view",
            "task_view",
            "update task_view set details = (details::text || ' ')::json",
            "details=",
        ),
        ("task_view", "user_view", "delete from user_view", "zones="),
        ("task_view", "task_view", "delete from task_view", "watermark="),
        ("reward_state", "reward_state", "update reward_state set amount = amount + 1", "amount="),
        ("task_view", "task_view", "update task_view set watermark = null", "watermark="),
        (
            "reward_state",
            "reward_state",
            "update reward_state set claimed_at = now()",
            "claimed_at=",
        ),
    ] {
        let mut tx = world.pool.begin().await.unwrap();
        let one = format!(
            "{damage} where (lane, user_id) = (select lane, user_id from {table} where user_id > 'user-1' order by 1, 2 limit 1)"
        );
        let damaged = sqlx::query(&one).execute(&mut *tx).await.unwrap().rows_affected();
        let kept: Vec<String> =
            sqlx::query_scalar(&format!("select t::text from {table} t order by 1"))
                .fetch_all(&mut *tx)
                .await
                .unwrap();
        tx.commit().await.unwrap();
        let report = verify::verify(&world.pool, Some(projection), |_| {}).await.unwrap();
        assert!(!report.is_equal(), "{damage} was not found");
        assert!(report.differences.count <= damaged && !kept.is_empty());
        let first = &report.differences.first[0];
        let sides = [first.live.as_deref(), first.log.as_deref()];
        assert!(sides.iter().flatten().any(|side| side.contains(shown)), "{first:?}");
        assert_eq!(first.table, table);
        let others: Vec<_> =
            verify::VERIFIABLE.iter().filter(|name| **name != projection).collect();
        for other in others.into_iter().filter(|name| **name == "reward_state") {
            let report = verify::verify(&world.pool, Some(*other), |_| {}).await.unwrap();
            assert!(report.is_equal(), "{other} was not touched yet");
        }
        if projection == "task_view" {
            repair_tasks(&world).await;
        }
        if projection == "reward_state" {
            sqlx::query("update reward_state set amount = amount - 1 where (lane, user_id) = (select lane, user_id from reward_state where user_id > 'user-1' order by 1, 2 limit 1)")
                .execute(&world.pool).await.unwrap();
        }
    }
}

async fn repair_tasks(world: &World) {
    let options = plaudit_projections::rebuild::RebuildOptions::default();
    plaudit_projections::rebuild::rebuild(
        &world.pool,
        "task_view",
        options,
        |_| {},
        tokio_util::sync::CancellationToken::new(),
    )
    .await
    .unwrap();
    assert!(verify::verify(&world.pool, Some("task_view"), |_| {}).await.unwrap().is_equal());
}

#[tokio::test]
async fn rows_of_users_the_log_does_not_know_are_found() {
    let world = busy_world(11).await;
    for user in ["", "user-15x", "zzz"] {
        sqlx::query("insert into task_view (lane, user_id, task_id) values (3, $1, 'sign-in')")
            .bind(user)
            .execute(&world.pool)
            .await
            .unwrap();
    }
    let report = verify::verify(&world.pool, None, |_| {}).await.unwrap();
    let users: Vec<_> = report.differences.first.iter().map(|d| d.user.as_str()).collect();
    assert_eq!(users, ["", "user-15x", "zzz"]);
    assert!(report.differences.first.iter().all(|d| d.log.is_none()));
}

#[tokio::test]
async fn a_user_whom_stock_postgres_es_appended_to_is_behind_until_the_next_batch() {
    let world = busy_world(12).await;
    let user = &users(8)[6];
    let event = json!({
        "type": "milestone_reached", "task": "first-team", "version": 1,
        "period": { "key": "once", "starts_at": null, "ends_at": null }, "milestone": 9, "mode": "manual",
        "at": "2026-04-11T00:00:00Z",
        "rewards": [{ "grant": "6f2c9f5e-0000-4000-8000-000000000001", "task": "first-team", "version": 1, "period": "once",
            "milestone": 9, "line": "x", "kind": "item", "code": "c", "amount": 1,
            "reached_at": "2026-04-11T00:00:00Z" }],
    });
    sqlx::query(
        "insert into cqrs_events (aggregate_type, aggregate_id, sequence, event_type, event_version, payload, metadata)
         select 'UserTasks', $1, max(sequence) + 1, 'milestone_reached', '1.0', $2, '{}' from events where aggregate_id = $1",
    )
    .bind(user.as_str())
    .bind(event)
    .execute(&world.pool)
    .await
    .unwrap();
    let report = verify::verify(&world.pool, None, |_| {}).await.unwrap();
    assert_eq!(report.behind, [(world.lane(user), user.to_string())]);
    assert!(report.is_equal(), "{:?}", report.differences);

    let at = "2026-04-12T00:00:00Z".parse().unwrap();
    let signed_in = action(user, 9999, "user.signed_in", at, &json!({}));
    world.apply(vec![world.item(user, Incoming::Action(signed_in))]).await;
    world.assert_verified().await;
}

#[tokio::test]
async fn an_unknown_name_is_refused() {
    let world = World::new().await;
    let refused = verify::verify(&world.pool, Some("events"), |_| {}).await;
    assert!(matches!(refused, Err(ProjectionError::Unknown { .. })));
}
