//! Swaps that do not starve writers.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::{Duration, Instant};

use crate::support::{Dice, World, action, days_of_work, users};
use plaudit_domain::ids::UserId;
use plaudit_event_store::batch::Work;
use plaudit_projections::rebuild::{Phase, RebuildOptions, RebuildOutcome, rebuild, status};
use plaudit_projections::verify;
use serde_json::json;
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;

/// Time limit for waits that take a second or two on an idle machine.
const WAIT_MAX: Duration = Duration::from_secs(180);

/// Maximum time for which a writer may be held up: an attempt's three seconds, and some more on a
/// busy machine.
const HELD_UP_MAX: Duration = Duration::from_secs(4);

async fn fill(world: &World, users: &[UserId], seed: u64) {
    for batch in days_of_work(world, users, 1500, &mut Dice(seed)).chunks(100) {
        world.apply(batch.to_vec()).await;
    }
}

/// Writes for these users until it is stopped. Returns the duration of the slowest write.
async fn write_on(
    world: Arc<World>,
    users: Vec<UserId>,
    written: Arc<AtomicU64>,
    has_ended: Arc<AtomicBool>,
) -> Duration {
    let at = "2026-05-01T00:00:00Z".parse().unwrap();
    let mut slowest = Duration::ZERO;
    while !has_ended.load(Ordering::Relaxed) {
        for user in &users {
            let number = usize::try_from(written.fetch_add(1, Ordering::Relaxed)).unwrap();
            let gift = action(user, number, "gift.sent", at, &json!({ "coins": 50 }));
            let claim = Work::ClaimAll { user: user.clone(), at, idempotency_key: None };
            let begun = Instant::now();
            let items = vec![world.item(user, Work::Action(gift)), world.item(user, claim)];
            world.apply(items).await;
            slowest = slowest.max(begun.elapsed());
        }
    }
    slowest
}

#[tokio::test]
async fn a_pool_of_four_connections_is_enough_for_writers_beside_a_rebuild() {
    let world = Arc::new(World::with_connections(4).await);
    let users = users(40);
    fill(&world, &users, 40).await;
    let (written, has_ended) = (Arc::new(AtomicU64::new(0)), Arc::new(AtomicBool::new(false)));
    let mut writers = JoinSet::new();
    for some in users.chunks(5) {
        let (written, has_ended) = (Arc::clone(&written), Arc::clone(&has_ended));
        writers.spawn(write_on(Arc::clone(&world), some.to_vec(), written, has_ended));
    }
    let begun = Instant::now();
    for view in ["task_view", "reward_state"] {
        let options = RebuildOptions { chunk_events: 50, ..RebuildOptions::default() };
        let outcome =
            rebuild(&world.pool, view, options, |_| {}, CancellationToken::new()).await.unwrap();
        let RebuildOutcome::Swapped(differences) = outcome else { panic!("{outcome:?}") };
        assert_eq!(differences.first, []);
        let done = status(&world.pool, view).await.unwrap().unwrap();
        assert_eq!(done.events, done.events_total, "{view}: all events that came meanwhile count");
    }
    assert!(begun.elapsed() < WAIT_MAX);
    has_ended.store(true, Ordering::Relaxed);
    let slowest = writers.join_all().await.into_iter().max().unwrap();
    assert!(slowest < HELD_UP_MAX, "a writer was held up for {slowest:?}");
    world.assert_verified().await;
}

#[tokio::test]
async fn a_lane_that_somebody_holds_delays_the_swap_and_not_the_writers_of_other_lanes() {
    let world = Arc::new(World::new().await);
    let users = users(40);
    fill(&world, &users, 41).await;
    // A writer of stock postgres-es leaves its transaction open.
    let held = &users[9];
    let mut holder = world.pool.begin().await.unwrap();
    // PostgreSQL would end it in the middle of a rebuild that takes long.
    let unlimited = "set local idle_in_transaction_session_timeout = 0";
    sqlx::query(unlimited).execute(&mut *holder).await.unwrap();
    sqlx::query(
        "insert into cqrs_events select 'UserTasks', $1, max(sequence) + 1, 'user_updated', '1.0', $2, '{}'
         from events where aggregate_id = $1",
    )
    .bind(held.as_str())
    .bind(json!({"type": "user_updated", "at": "2026-05-01T00:00:00Z", "zone": "UTC", "attributes": {}}))
    .execute(&mut *holder)
    .await
    .unwrap();
    let others: Vec<_> =
        users.iter().filter(|user| world.lane(user) != world.lane(held)).cloned().collect();
    let (written, has_ended) = (Arc::new(AtomicU64::new(0)), Arc::new(AtomicBool::new(false)));
    let writer = {
        let (written, has_ended) = (Arc::clone(&written), Arc::clone(&has_ended));
        tokio::spawn(write_on(Arc::clone(&world), others, written, has_ended))
    };
    let rebuilding = {
        let world = Arc::clone(&world);
        tokio::spawn(async move {
            let (options, stop) = (RebuildOptions::default(), CancellationToken::new());
            rebuild(&world.pool, "task_view", options, |_| {}, stop).await
        })
    };
    let begun = Instant::now();
    let mut written_before = None;
    loop {
        let rebuild = status(&world.pool, "task_view").await.unwrap();
        let now = written.load(Ordering::Relaxed);
        if rebuild.is_some_and(|rebuild| rebuild.phase == Phase::Swapping) {
            // Writers go on through several attempts.
            if now > *written_before.get_or_insert(now) + 200 {
                break;
            }
        }
        assert!(begun.elapsed() < WAIT_MAX, "{now} written");
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    holder.commit().await.unwrap();
    let outcome = rebuilding.await.unwrap().unwrap();
    assert!(matches!(outcome, RebuildOutcome::Swapped(_)), "{outcome:?}");
    has_ended.store(true, Ordering::Relaxed);
    let slowest = writer.await.unwrap();
    assert!(slowest < HELD_UP_MAX, "a writer was held up for {slowest:?}");
    let report = verify::verify(&world.pool, None, |_| {}).await.unwrap();
    assert!(report.is_equal(), "{:?}", report.differences);
    assert_eq!(report.behind, [(world.lane(held), held.to_string())]);
}

/// The lock of all lanes, held or waited for: from then on no batch begins.
const GATE_CLOSED: &str = "select exists (select from pg_locks where locktype = 'advisory'
    and classid::bigint = 1347174741 and objid::bigint = 4294967295 and mode = 'ExclusiveLock'
    and database = (select oid from pg_database where datname = current_database()))";

#[tokio::test]
async fn while_a_transaction_holds_a_lane_no_attempt_locks_the_others() {
    let world = Arc::new(World::new().await);
    fill(&world, &users(20), 43).await;
    let mut holder = world.pool.begin().await.unwrap();
    sqlx::raw_sql(
        "set local idle_in_transaction_session_timeout = 0; select pg_advisory_xact_lock(1347174741, 3)",
    )
    .execute(&mut *holder)
    .await
    .unwrap();
    let rebuilding = {
        let world = Arc::clone(&world);
        tokio::spawn(async move {
            let (options, stop) = (RebuildOptions::default(), CancellationToken::new());
            rebuild(&world.pool, "task_view", options, |_| {}, stop).await
        })
    };
    let begun = Instant::now();
    while status(&world.pool, "task_view").await.unwrap().is_none_or(|r| r.phase != Phase::Swapping)
    {
        assert!(begun.elapsed() < WAIT_MAX && !rebuilding.is_finished());
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    // Long enough for several attempts, each of which would lock the lanes for 250 ms or more.
    let swapping = Instant::now();
    while swapping.elapsed() < Duration::from_secs(5) {
        let is_closed: bool = sqlx::query_scalar(GATE_CLOSED).fetch_one(&world.pool).await.unwrap();
        assert!(!is_closed, "an attempt that can't succeed holds all writers up");
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    holder.rollback().await.unwrap();
    let outcome = rebuilding.await.unwrap().unwrap();
    assert!(matches!(outcome, RebuildOutcome::Swapped(_)), "{outcome:?}");
}

/// Makes each change of the new tables slow while its session holds all lanes, for as long as
/// `slow.is_on`. The sequence counts the slow changes, also those that are rolled back.
const SLOW_SWAP: &str = "
    create table slow as select true as is_on;
    create sequence slow_changes;
    create function slow_change() returns trigger language plpgsql as $$ begin
        if (select is_on from slow) and exists (
            select from pg_locks where locktype = 'advisory' and classid::bigint = 1347174741
              and objid::bigint = 4294967295 and mode = 'ExclusiveLock' and granted and pid = pg_backend_pid()
        ) then
            perform nextval('slow_changes'), pg_sleep(0.8);
        end if;
        return null;
    end $$;
    create trigger slow before insert or delete on user_view_new execute function slow_change();
    create trigger slow before insert or delete on task_view_new execute function slow_change();
    create trigger slow before insert or delete on distinct_values_new execute function slow_change();
";

#[tokio::test]
async fn an_attempt_of_slow_steps_is_cut_off_and_holds_no_writer_up_for_longer() {
    let world = Arc::new(World::new().await);
    let users = users(20);
    fill(&world, &users, 42).await;
    let stopped = CancellationToken::new();
    stopped.cancel();
    let options = RebuildOptions::default();
    let begun = rebuild(&world.pool, "task_view", options, |_| {}, stopped).await.unwrap();
    assert_eq!(begun, RebuildOutcome::Interrupted, "the new tables are there");
    sqlx::raw_sql(SLOW_SWAP).execute(&world.pool).await.unwrap();
    let (written, has_ended) = (Arc::new(AtomicU64::new(0)), Arc::new(AtomicBool::new(false)));
    let writer = {
        let (written, has_ended) = (Arc::clone(&written), Arc::clone(&has_ended));
        tokio::spawn(write_on(Arc::clone(&world), users, written, has_ended))
    };
    let rebuilding = {
        let world = Arc::clone(&world);
        tokio::spawn(async move {
            rebuild(&world.pool, "task_view", options, |_| {}, CancellationToken::new()).await
        })
    };
    // The first attempt has no time for more than four slow changes.
    let begun = Instant::now();
    loop {
        let changes: i64 = sqlx::query_scalar("select last_value from slow_changes")
            .fetch_one(&world.pool)
            .await
            .unwrap();
        if changes > 4 || rebuilding.is_finished() {
            break;
        }
        assert!(begun.elapsed() < WAIT_MAX, "{changes} slow changes");
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    sqlx::query("update slow set is_on = false").execute(&world.pool).await.unwrap();
    let outcome = rebuilding.await.unwrap().unwrap();
    assert!(matches!(outcome, RebuildOutcome::Swapped(_)), "{outcome:?}");
    has_ended.store(true, Ordering::Relaxed);
    let slowest = writer.await.unwrap();
    assert!(slowest < HELD_UP_MAX, "a writer was held up for {slowest:?}");
    world.assert_verified().await;
}
