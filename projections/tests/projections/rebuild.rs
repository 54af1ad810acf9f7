//! Rebuilds while the view is served.

use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Once};
use std::time::{Duration, Instant};

use crate::support::{Dice, World, action, days_of_work, users};
use jiff::Timestamp;
use plaudit_embedded::test_cluster;
use plaudit_event_store::catalogue_store::Author;
use plaudit_event_store::pool;
use plaudit_event_store::rewards;
use plaudit_event_store::{ClaimAll, Incoming};
use plaudit_projections::rebuild::{
    Phase, RebuildOptions, RebuildOutcome, RebuildStatus, Start, cancel, drop_old, list, pause,
    rebuild, resume, status,
};
use plaudit_projections::{ProjectionError, task_view};
use serde_json::json;
use tokio_util::sync::CancellationToken;

/// Time limit for waits that take a fraction of a second on an idle machine.
const WAIT_MAX: Duration = Duration::from_secs(180);
const SMALL: RebuildOptions = RebuildOptions {
    workers: 3,
    start: Start::ResumeOrStart,
    chunk_events: 50,
    silence_max: WAIT_MAX,
};

fn ops() -> Author {
    Author { by: "ops".to_owned(), reason: None }
}

async fn busy_world(seed: u64) -> World {
    let world = World::new().await;
    let users = users(40);
    for batch in days_of_work(&world, &users, 2500, &mut Dice(seed)).chunks(100) {
        world.apply(batch.to_vec()).await;
    }
    world.deliver(&users).await;
    world
}

async fn rebuilt(world: &World, name: &str) -> RebuildOutcome {
    rebuild(&world.pool, name, SMALL, |_| {}, CancellationToken::new()).await.unwrap()
}

async fn schema_of(world: &World) -> Vec<String> {
    sqlx::query_scalar(
        "select c.relname || ' ' || coalesce(c.reloptions::text, '') || ' ' || coalesce(pg_get_indexdef(c.oid), '')
                || coalesce((select string_agg(attname || ' ' || format_type(atttypid, atttypmod) || ' ' || attnotnull
                                    || ' ' || attcollation::regcollation, ', ' order by attnum)
                             from pg_attribute where attrelid = c.oid and attnum > 0), '')
         from pg_class c
         where c.relnamespace = 'public'::regnamespace and c.relname !~ '_old' and c.relkind in ('r', 'i')
           and c.relname ~ '^(task_view|user_view|distinct_values|reward_state)'
         order by 1",
    )
    .fetch_all(&world.pool)
    .await
    .unwrap()
}

/// Rule 14: a rebuild grants nothing, and takes nothing away.
#[tokio::test]
async fn a_rebuilt_view_is_the_live_one_however_often() {
    let world = busy_world(20).await;
    let (rows, schema) = (world.dump().await, schema_of(&world).await);
    for _ in 0..3 {
        for name in ["task_view", "reward_state"] {
            let outcome = rebuilt(&world, name).await;
            let RebuildOutcome::Swapped(differences) = outcome else { panic!("{outcome:?}") };
            assert_eq!(differences.first, []);
            assert_eq!(
                (world.dump().await, schema_of(&world).await),
                (rows.clone(), schema.clone())
            );
        }
    }
    world.assert_verified().await;
    let status = status(&world.pool, "task_view").await.unwrap().unwrap();
    assert_eq!((status.state.as_str(), status.phase), ("swapped", Phase::Done));
    assert_eq!(status.events, status.events_total);

    assert!(list(&world.pool).await.unwrap().iter().all(|projection| projection.old_kept));
    drop_old(&world.pool, "task_view", None).await.unwrap();
    let kept: Vec<_> = list(&world.pool).await.unwrap().iter().map(|p| p.old_kept).collect();
    assert_eq!(kept, [false, true]);
    // Batches go on with the new tables and their old statements.
    let user = &users(1)[0];
    let at = "2026-05-01T00:00:00Z".parse().unwrap();
    let gift = action(user, 1, "gift.sent", at, &json!({ "coins": 100 }));
    world.apply(vec![world.item(user, Incoming::Action(gift))]).await;
    world.assert_verified().await;
}

#[tokio::test]
async fn a_rebuild_mends_what_was_tampered_with_and_says_so() {
    let world = busy_world(21).await;
    let rows = world.dump().await;
    for sql in [
        "update task_view set progress = -1 where user_id = 'user-3' and task_id = 'sign-in'",
        "delete from reward_state where user_id = 'user-4'",
        "insert into user_view values (0, 'ghost', '{}')",
    ] {
        assert!(sqlx::query(sql).execute(&world.pool).await.unwrap().rows_affected() > 0, "{sql}");
    }
    for (name, users) in [("task_view", &["ghost", "user-3"][..]), ("reward_state", &["user-4"])] {
        let RebuildOutcome::Swapped(found) = rebuilt(&world, name).await else { panic!() };
        let mut named: Vec<_> = found.first.iter().map(|d| d.user.as_str()).collect();
        named.dedup();
        named.sort_unstable();
        assert_eq!(named, users);
    }
    assert_eq!(world.dump().await, rows);
}

#[tokio::test]
async fn readers_and_writers_go_on_while_views_are_rebuilt() {
    let world = Arc::new(busy_world(22).await);
    let (ended, reads) = (Arc::new(AtomicBool::new(false)), Arc::new(AtomicU64::new(0)));
    let written = Arc::new(AtomicU64::new(0));
    let users = users(40);
    let mut readers = tokio::task::JoinSet::new();
    for reader in 0..3 {
        let (world, ended, reads, users) =
            (world.clone(), ended.clone(), reads.clone(), users.clone());
        readers.spawn(async move {
            let mut dice = Dice(reader);
            while !ended.load(Ordering::Relaxed) {
                let user = &users[dice.roll(users.len())];
                let lane = world.lane(user);
                let view =
                    task_view::load(&world.pool, lane, user, Timestamp::now()).await.unwrap();
                assert!(!view.state.tasks.is_empty());
                let page =
                    rewards::load(&world.pool, lane, user, None, None, 100, Timestamp::now())
                        .await
                        .unwrap();
                assert!(!page.rows.is_empty());
                reads.fetch_add(1, Ordering::Relaxed);
            }
        });
    }
    let writer = {
        let (world, ended, users) = (world.clone(), ended.clone(), users.clone());
        let written = written.clone();
        tokio::spawn(async move {
            let base: jiff::Timestamp = "2026-05-01T00:00:00Z".parse().unwrap();
            let (mut dice, mut n) = (Dice(99), 0_usize);
            while !ended.load(Ordering::Relaxed) {
                let mut items = Vec::new();
                for _ in 0..30 {
                    n += 1;
                    let at = base + jiff::SignedDuration::from_mins(i64::try_from(n).unwrap());
                    let user = &users[dice.roll(users.len())];
                    let data = json!({ "coins": 50 + dice.roll(200) });
                    items.push(
                        world.item(user, Incoming::Action(action(user, n, "gift.sent", at, &data))),
                    );
                    items.push(
                        world
                            .item(user, ClaimAll { user: user.clone(), at, idempotency_key: None }),
                    );
                }
                world.apply(items).await;
                written.fetch_add(30, Ordering::Relaxed);
            }
        })
    };
    let is_enough = || [&written, &reads].iter().all(|n| n.load(Ordering::Relaxed) > 100);
    let (begun, mut rounds) = (Instant::now(), 0);
    while rounds < 4 || !is_enough() {
        assert!(begun.elapsed() < WAIT_MAX, "{written:?} written, {reads:?} read beside rebuilds");
        rounds += 1;
        for name in ["task_view", "reward_state"] {
            let outcome = rebuilt(&world, name).await;
            let RebuildOutcome::Swapped(differences) = outcome else { panic!("{outcome:?}") };
            assert_eq!(differences.first, []);
        }
    }
    ended.store(true, Ordering::Relaxed);
    writer.await.unwrap();
    while let Some(reader) = readers.join_next().await {
        reader.unwrap();
    }
    world.assert_verified().await;
}

/// Runs a rebuild until some of it is loaded, then drops it.
async fn begin_and_drop(world: &World, options: RebuildOptions) -> u64 {
    let (pool, token) = (world.pool.clone(), CancellationToken::new());
    let work =
        tokio::spawn(async move { rebuild(&pool, "task_view", options, |_| {}, token).await });
    let begun = Instant::now();
    loop {
        assert!(begun.elapsed() < WAIT_MAX, "nothing was ever loaded");
        let events = status(&world.pool, "task_view").await.unwrap().map_or(0, |s| s.events);
        if events > 0 {
            work.abort();
            let _ = work.await;
            return events;
        }
        tokio::task::yield_now().await;
    }
}

#[tokio::test]
async fn a_rebuild_that_was_killed_goes_on_where_it_was() {
    let world = busy_world(23).await;
    let rows = world.dump().await;
    let tiny = RebuildOptions { workers: 1, chunk_events: 7, ..SMALL };
    let before = begin_and_drop(&world, tiny).await;
    // In the meantime a loaded user gets events, and a new one comes before all loaded ones.
    let first = "!first".parse().unwrap();
    for user in [&first, &users(5)[4]] {
        let at = "2026-05-01T00:00:00Z".parse().unwrap();
        let gift = action(user, 1, "gift.sent", at, &json!({ "coins": 100 }));
        world.apply(vec![world.item(user, Incoming::Action(gift))]).await;
    }
    let started = status(&world.pool, "task_view").await.unwrap().unwrap();
    assert_eq!(started.state, "running");
    assert!(started.events >= before);
    let outcome = rebuilt(&world, "task_view").await;
    assert!(matches!(&outcome, RebuildOutcome::Swapped(d) if d.count == 0), "{outcome:?}");
    let ended = status(&world.pool, "task_view").await.unwrap().unwrap();
    assert_eq!(ended.started_at, started.started_at, "it restarted");
    assert!(world.dump().await.len() > rows.len());
    world.assert_verified().await;
}

/// A proxy that stops forwarding leaves its connections open, so that nothing tells the rebuild
/// that no answer will come.
#[tokio::test]
async fn a_rebuild_whose_answer_was_lost_fails_and_goes_on_when_it_is_called_again() {
    let world = busy_world(27).await;
    let (proxy, through) = test_cluster::fault_proxy(&world.url).await;
    let proxied = pool::connect(&through, 4).unwrap();
    let tiny = RebuildOptions {
        workers: 2,
        chunk_events: 1,
        silence_max: Duration::from_secs(3),
        ..SMALL
    };
    let once = Once::new();
    // Freezes in the middle of the load, while its connections are in use.
    let freeze = |status: &RebuildStatus| {
        if status.events > 0 {
            once.call_once(|| proxy.freeze());
        }
    };
    let ended = rebuild(&proxied, "task_view", tiny, freeze, CancellationToken::new());
    let error = tokio::time::timeout(WAIT_MAX, ended).await.expect("it ends").unwrap_err();
    assert!(matches!(error, ProjectionError::Silent { .. }), "{error}");
    let failed = status(&world.pool, "task_view").await.unwrap().unwrap();
    assert_eq!((failed.state.as_str(), failed.phase), ("failed", Phase::Loading));
    assert!(failed.error.unwrap().contains("no answer"));
    let outcome = rebuilt(&world, "task_view").await;
    assert!(matches!(outcome, RebuildOutcome::Swapped(_)), "{outcome:?}");
    let ended = status(&world.pool, "task_view").await.unwrap().unwrap();
    assert_eq!(ended.started_at, failed.started_at, "it restarted");
    world.assert_verified().await;
}

#[tokio::test]
async fn a_rebuild_stops_between_chunks_when_its_process_ends() {
    let world = busy_world(24).await;
    let token = CancellationToken::new();
    token.cancel();
    let outcome = rebuild(&world.pool, "reward_state", SMALL, |_| {}, token).await.unwrap();
    assert_eq!(outcome, RebuildOutcome::Interrupted);
    let outcome = rebuilt(&world, "reward_state").await;
    assert!(matches!(outcome, RebuildOutcome::Swapped(_)));
    world.assert_verified().await;
}

#[tokio::test]
async fn one_rebuild_of_a_view_at_a_time_which_can_be_paused_resumed_and_cancelled() {
    let world = busy_world(25).await;
    let none = pause(&world.pool, "task_view", &ops()).await;
    assert!(matches!(none, Err(ProjectionError::NotRunning { .. })));
    let rows = world.dump().await;

    let tiny = RebuildOptions { workers: 1, chunk_events: 3, ..SMALL };
    let pool = world.pool.clone();
    let start = || {
        let pool = pool.clone();
        tokio::spawn(async move {
            rebuild(&pool, "task_view", tiny, |_| {}, CancellationToken::new()).await
        })
    };
    let first = start();
    let begun = Instant::now();
    while let Err(error) = pause(&world.pool, "task_view", &ops()).await {
        assert!(begun.elapsed() < WAIT_MAX, "never caught in its middle: {error}");
        tokio::task::yield_now().await;
    }
    let second = start().await.unwrap();
    assert!(matches!(second, Err(ProjectionError::AlreadyRunning { .. })), "{second:?}");
    let at = status(&world.pool, "task_view").await.unwrap().unwrap();
    assert_eq!(at.state, "paused");
    resume(&world.pool, "task_view", &ops()).await.unwrap();
    assert!(matches!(first.await.unwrap().unwrap(), RebuildOutcome::Swapped(_)));

    let third = start();
    let begun = Instant::now();
    while let Err(error) = cancel(&world.pool, "task_view", &ops()).await {
        assert!(begun.elapsed() < WAIT_MAX, "never caught in its middle: {error}");
        tokio::task::yield_now().await;
    }
    assert_eq!(third.await.unwrap().unwrap(), RebuildOutcome::Cancelled);
    let left: i64 = sqlx::query_scalar("select count(*) from pg_class where relname ~ '_new'")
        .fetch_one(&world.pool)
        .await
        .unwrap();
    assert_eq!(left, 0);
    assert_eq!(world.dump().await, rows);

    // A rebuild that no process works on leaves nothing either.
    begin_and_drop(&world, tiny).await;
    cancel(&world.pool, "task_view", &ops()).await.unwrap();
    assert!(matches!(rebuilt(&world, "task_view").await, RebuildOutcome::Swapped(_)));
}

#[tokio::test]
async fn what_is_only_to_go_on_begins_nothing() {
    let world = busy_world(26).await;
    let only_go_on = RebuildOptions { start: Start::ResumeOnly, ..SMALL };
    let call =
        async |options, token| rebuild(&world.pool, "task_view", options, |_| {}, token).await;
    let go_on = async || call(only_go_on, CancellationToken::new()).await;
    let interrupt = async || {
        let ended = CancellationToken::new();
        ended.cancel();
        assert_eq!(call(SMALL, ended).await.unwrap(), RebuildOutcome::Interrupted);
        status(&world.pool, "task_view").await.unwrap().unwrap().started_at
    };
    let refused = |outcome: &Result<_, _>| {
        assert!(matches!(outcome, Err(ProjectionError::NotRunning { .. })), "{outcome:?}");
    };
    refused(&go_on().await);
    let begun = interrupt().await;
    assert!(matches!(go_on().await, Ok(RebuildOutcome::Swapped(_))));
    let swapped = status(&world.pool, "task_view").await.unwrap().unwrap();
    assert_eq!(swapped.started_at, begun);
    refused(&go_on().await);
    assert_eq!(status(&world.pool, "task_view").await.unwrap(), Some(swapped));

    interrupt().await;
    cancel(&world.pool, "task_view", &ops()).await.unwrap();
    refused(&go_on().await);
    assert_eq!(status(&world.pool, "task_view").await.unwrap().unwrap().state, "cancelled");
}

/// A process that was frozen for the lifetime of its lease finds that another one has it.
#[tokio::test]
async fn a_rebuild_that_lost_its_lease_ends_and_changes_nothing() {
    let world = busy_world(27).await;
    let rows = world.dump().await;
    let tiny = RebuildOptions { workers: 1, chunk_events: 3, ..SMALL };
    let pool = world.pool.clone();
    let first = tokio::spawn(async move {
        rebuild(&pool, "task_view", tiny, |_| {}, CancellationToken::new()).await
    });
    let begun = Instant::now();
    while let Err(error) = pause(&world.pool, "task_view", &ops()).await {
        assert!(begun.elapsed() < WAIT_MAX, "never caught in its middle: {error}");
        tokio::task::yield_now().await;
    }
    sqlx::query("update rebuild_leases set epoch = epoch + 1").execute(&world.pool).await.unwrap();
    let lost = first.await.unwrap();
    assert!(matches!(lost, Err(ProjectionError::AlreadyRunning { .. })), "{lost:?}");
    let left = status(&world.pool, "task_view").await.unwrap().unwrap();
    assert_eq!((left.state.as_str(), left.error), ("paused", None));

    // Nobody renews the lease, so it expires.
    assert!(matches!(rebuilt(&world, "task_view").await, RebuildOutcome::Swapped(_)));
    assert_eq!(world.dump().await, rows);
}
