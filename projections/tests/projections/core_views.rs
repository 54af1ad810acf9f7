//! The views that are folded in the transaction of each batch.

use crate::support::{Dice, World, action, days_of_work, users};
use jiff::Timestamp;
use plaudit_domain::ids::UserId;
use plaudit_domain::screen::{ScreenRequest, screen};
use plaudit_domain::user_tasks::{RewardState, UserTasks};
use plaudit_event_store::reader;
use plaudit_event_store::rewards;
use plaudit_event_store::{Answer, ClaimAll, ClaimedAll, Clock, Incoming};
use plaudit_projections::task_view;
use serde_json::json;

#[tokio::test]
async fn users_touched_in_many_ways_in_one_batch_get_the_same_rows_as_one_by_one() {
    let (together, apart) = (World::new().await, World::new().await);
    let users = users(12);
    let items = days_of_work(&together, &users, 1200, &mut Dice(1));
    for batch in items.chunks(150) {
        together.apply(batch.to_vec()).await;
    }
    for item in items {
        apart.apply(vec![item]).await;
    }
    let dump = together.dump().await;
    assert_eq!(dump, apart.dump().await);
    for part in ["user ", "task ", "reward ", ",claimable,", ",claimed,"] {
        assert!(dump.iter().any(|row| row.contains(part)), "nothing like {part:?} was tried");
    }
    together.assert_verified().await;
}

/// Rule 20.
#[tokio::test]
async fn a_screen_from_the_rows_is_the_screen_from_the_fold() {
    let world = World::new().await;
    let users = users(20);
    for batch in days_of_work(&world, &users, 2000, &mut Dice(2)).chunks(100) {
        world.apply(batch.to_vec()).await;
    }
    let catalogue = world.executor.catalogue().current();
    let mut connection = world.pool.acquire().await.unwrap();
    let mut streaks = 0;
    for user in &users {
        let lane = world.lane(user);
        let view = task_view::load(&world.pool, lane, user, Timestamp::now()).await.unwrap();
        let (state, _) = reader::fold_user(lane, user, None, &mut connection).await.unwrap();
        assert_eq!(view.state.zones, state.zones);
        let known = world.executor.catalogue().known_as(view.catalogue_identity);
        assert_eq!(known.map(|known| known.revision), Some(catalogue.revision));
        assert_eq!(view.position, world.executor.head(lane).await.unwrap());
        for now in ["2026-04-09T23:59:59Z", "2026-04-10T12:00:00Z", "2026-06-01T00:00:00Z"] {
            let now = now.parse().unwrap();
            let request = ScreenRequest::default();
            let shown = screen(user, &view.state, &catalogue, now, &request);
            assert_eq!(shown, screen(user, &state, &catalogue, now, &request), "{user} at {now}");
        }
        streaks += state.tasks.values().filter(|task| task.streak.is_some()).count();
    }
    assert!(streaks > 0);
}

/// Rules 19 and 20.
#[tokio::test]
async fn a_user_nobody_has_heard_of_is_empty_and_has_a_position() {
    let world = World::new().await;
    let user = "nobody".parse().unwrap();
    let lane = world.lane(&user);
    let view = task_view::load(&world.pool, lane, &user, Timestamp::now()).await.unwrap();
    assert_eq!((view.state, view.position.number), (UserTasks::default(), 0));
    let rewards =
        rewards::load(&world.pool, lane, &user, None, None, 10, Timestamp::now()).await.unwrap();
    assert_eq!((rewards.rows, rewards.position.number, rewards.next), (vec![], 0, None));
}

/// Rule 16.
#[tokio::test]
async fn a_reward_that_is_reached_and_claimed_in_one_batch_is_claimed() {
    let world = World::new().await;
    let user = &users(5)[0];
    let at = "2026-03-29T12:00:00Z".parse().unwrap();
    let formed = action(user, 1, "team.formed", at, &json!({}));
    let applied = world
        .apply(vec![
            world.item(user, Incoming::Action(formed)),
            world.item(user, ClaimAll { user: user.clone(), at, idempotency_key: None }),
        ])
        .await;
    let Answer::ClaimAll(Ok(ClaimedAll { receipts, more: false })) = &applied[1].answer else {
        panic!("{applied:?}")
    };
    assert_eq!(receipts.len(), 1);
    let page = rewards::load(&world.pool, world.lane(user), user, None, None, 10, Timestamp::now())
        .await
        .unwrap();
    let states: Vec<_> = page.rows.iter().map(|row| row.state).collect();
    assert_eq!(states, [RewardState::Claimed]);
    world.assert_verified().await;
}

#[tokio::test]
async fn rewards_come_oldest_first_in_pages_and_by_state() {
    let world = World::new().await;
    let user = &users(1)[0];
    let items = days_of_work(&world, std::slice::from_ref(user), 600, &mut Dice(3));
    for batch in items.chunks(40) {
        world.apply(batch.to_vec()).await;
    }
    world.deliver(std::slice::from_ref(user)).await;
    let lane = world.lane(user);
    let load = |state, after, limit| {
        rewards::load(&world.pool, lane, user, state, after, limit, Timestamp::now())
    };
    let all = load(None, None, 1000).await.unwrap();
    assert!(all.rows.len() > 20 && all.next.is_none());
    assert!(all.rows.is_sorted_by_key(|row| row.place));

    let (mut paged, mut after) = (Vec::new(), None);
    loop {
        let page = load(None, after, 7).await.unwrap();
        assert!(page.rows.len() <= 7);
        paged.extend(page.rows);
        after = page.next.map(|next| next.to_string().parse().unwrap());
        if after.is_none() {
            break;
        }
    }
    assert_eq!(paged, all.rows);

    for state in ["claimable", "claimed", "delivering"] {
        let some = load(Some(state), None, 1000).await.unwrap();
        let expected: Vec<_> =
            all.rows.iter().filter(|row| row.state.as_str() == state).cloned().collect();
        assert!(!expected.is_empty(), "nothing is {state}");
        assert_eq!(some.rows, expected);
    }
    assert_eq!(load(Some("expired"), None, 10).await.unwrap().rows, []);
    world.assert_verified().await;
}

#[tokio::test]
async fn reads_that_come_together_are_each_answered_with_their_own_user() {
    let world = World::new().await;
    let users = users(100);
    world.apply(days_of_work(&world, &users, 600, &mut Dice(4))).await;
    let reads = task_view::BatchingLoader::new(world.pool.clone(), 1, Clock::System);
    let read = |user: &UserId| {
        let (reads, lane, user) = (reads.clone(), world.lane(user), user.clone());
        tokio::spawn(async move { reads.load(lane, &user).await.unwrap() })
    };
    // The lock blocks all readers: the first runs its statement, the others wait for their turn.
    let mut withheld = world.pool.begin().await.unwrap();
    sqlx::query("lock table task_view in access exclusive mode")
        .execute(&mut *withheld)
        .await
        .unwrap();
    let first = read(&users[0]);
    let waits = "select count(*) from pg_stat_activity
                 where datname = current_database() and wait_event_type = 'Lock'";
    let deadline = std::time::Instant::now() + std::time::Duration::from_secs(60);
    while sqlx::query_scalar::<_, i64>(waits).fetch_one(&world.pool).await.unwrap() == 0 {
        assert!(std::time::Instant::now() < deadline, "the first read never came to the table");
        tokio::task::yield_now().await;
    }
    let others: Vec<_> = users[1..].iter().map(|user| (user, read(user))).collect();
    tokio::task::yield_now().await;
    // The reader whose turn it is gives up, and so do some who wait.
    first.abort();
    for (_, reading) in others.iter().step_by(7) {
        reading.abort();
    }
    withheld.rollback().await.unwrap();
    for (index, (user, reading)) in others.into_iter().enumerate() {
        if index % 7 != 0 {
            let alone = task_view::load(&world.pool, world.lane(user), user, Timestamp::now())
                .await
                .unwrap();
            assert_eq!(reading.await.unwrap(), alone);
        }
    }
    // Once nobody waits, the pool has all its connections again.
    let most = world.pool.options().get_max_connections();
    let mut all = Vec::new();
    for _ in 0..most {
        all.push(world.pool.acquire().await.unwrap());
    }
}

#[tokio::test]
async fn rule_21_a_user_whose_rows_cannot_be_read_is_nobody_elses_error() {
    let world = World::new().await;
    let users = users(20);
    world.apply(days_of_work(&world, &users, 200, &mut Dice(5))).await;
    sqlx::query("update task_view set details = '7' where user_id = $1")
        .bind(users[4].as_str())
        .execute(&world.pool)
        .await
        .unwrap();
    let reads = task_view::BatchingLoader::new(world.pool.clone(), 1, Clock::System);
    let all = users.iter().map(|user| reads.load(world.lane(user), user));
    for (user, read) in users.iter().zip(futures::future::join_all(all).await) {
        assert_eq!(read.is_ok(), *user != users[4], "{user}");
    }
}
