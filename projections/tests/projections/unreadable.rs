//! An event that can't be read concerns its user only.

use crate::support::{Dice, World, days_of_work, users};
use plaudit_domain::ids::UserId;
use plaudit_projections::rebuild::{RebuildOptions, RebuildOutcome, rebuild, skipped, status};
use plaudit_projections::verify;
use tokio_util::sync::CancellationToken;

/// A world in which one user has an event that no version of Plaudit wrote.
async fn damaged_world(seed: u64) -> (World, UserId) {
    let world = World::new().await;
    let users = users(40);
    for batch in days_of_work(&world, &users, 2000, &mut Dice(seed)).chunks(100) {
        world.apply(batch.to_vec()).await;
    }
    let damaged = users[17].clone();
    world.append_raw(&damaged, "rewards_claimed", "2.0").await;
    (world, damaged)
}

#[tokio::test]
async fn verify_names_the_user_and_compares_all_others() {
    let (world, damaged) = damaged_world(30).await;
    let report = verify::verify(&world.pool, None, |_| {}).await.unwrap();
    assert!(report.is_equal(), "{:?}", report.differences);
    let named: Vec<_> = report.unreadable.first.iter().map(|u| u.user.as_str()).collect();
    assert_eq!((report.unreadable.count, named), (1, vec![damaged.as_str()]));
    assert!(report.unreadable.first[0].reason.contains("2.0"), "{:?}", report.unreadable);

    // Changes rows before and after that user, in the same lane and in others.
    let tampered = sqlx::query("update reward_state set amount = amount + 1 where user_id <> $1")
        .bind(damaged.as_str())
        .execute(&world.pool)
        .await
        .unwrap();
    let report = verify::verify(&world.pool, Some("reward_state"), |_| {}).await.unwrap();
    assert_eq!(report.differences.count, tampered.rows_affected());
}

#[tokio::test]
async fn a_rebuild_names_the_user_keeps_their_rows_and_mends_all_others() {
    let (world, damaged) = damaged_world(31).await;
    let before = world.dump().await;
    for (view, damage) in [
        ("task_view", "update task_view set progress = -1 where user_id <> $1"),
        ("reward_state", "delete from reward_state where user_id <> $1"),
    ] {
        sqlx::query(damage).bind(damaged.as_str()).execute(&world.pool).await.unwrap();
        let options = RebuildOptions { chunk_events: 50, ..RebuildOptions::default() };
        let outcome =
            rebuild(&world.pool, view, options, |_| {}, CancellationToken::new()).await.unwrap();
        let RebuildOutcome::Swapped(differences) = outcome else { panic!("{outcome:?}") };
        assert!(differences.count > 0);
        assert!(differences.first.iter().all(|d| d.user != damaged.as_str()), "{differences:?}");
        let skipped = skipped(&world.pool, view).await.unwrap();
        assert_eq!((skipped.count, skipped.first[0].user.as_str()), (1, damaged.as_str()));
        assert_eq!(status(&world.pool, view).await.unwrap().unwrap().skipped, 1);
    }
    assert_eq!(world.dump().await, before);
}
