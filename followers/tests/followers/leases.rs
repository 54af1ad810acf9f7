//! Sharing of the lanes among processes, and processes that are frozen.

use std::sync::Arc;
use std::sync::atomic::AtomicBool;
use std::sync::mpsc;
use std::time::{Duration, Instant};

use plaudit_embedded::test_cluster;
use plaudit_event_store::pool;
use tokio_util::sync::CancellationToken;

use crate::world::{FOLLOWER, World, eventually, start, start_with};

fn users(prefix: &str) -> impl Iterator<Item = String> {
    (0..100).map(move |n| format!("{prefix}{n}"))
}

#[tokio::test]
async fn every_position_is_handled_once_and_several_processes_share_the_lanes() {
    let world = World::new().await;
    world.append(users("early")).await;
    let (stop, stop_second) = (CancellationToken::new(), CancellationToken::new());
    let first = start(&world.pool, &stop);
    world.until_copied().await;
    let second = start(&world.pool, &stop_second);
    eventually("each has half of the lanes", async || {
        (world.shares().await == [8, 8]).then_some(())
    })
    .await;
    world.append(users("late")).await;
    world.until_copied().await;
    stop_second.cancel();
    second.join().await;
    // The second process gave its lanes back: the first need not wait for them to expire.
    assert_eq!(world.shares().await.iter().sum::<i64>(), 8);
    eventually("the first has all lanes again", async || {
        (world.shares().await == [16]).then_some(())
    })
    .await;
    world.append(users("last")).await;
    world.until_copied().await;
    assert_eq!(first.health().ready(), Ok(()));
    stop.cancel();
    first.join().await;
    assert_eq!(world.shares().await, Vec::<i64>::new());
}

/// A process whose threads all stand still, as after SIGSTOP: its connections stay open.
struct Process {
    freeze: mpsc::Sender<mpsc::Receiver<()>>,
    stop: CancellationToken,
    thread: std::thread::JoinHandle<()>,
}

impl Process {
    fn start(url: String) -> Self {
        let (freeze, frozen) = mpsc::channel::<mpsc::Receiver<()>>();
        let stop = CancellationToken::new();
        let stopped = stop.clone();
        let thread = std::thread::spawn(move || {
            let runtime =
                tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
            runtime.block_on(async {
                let pool = pool::connect(&url, 8).unwrap();
                let runner = start(&pool, &stopped);
                while !stopped.is_cancelled() {
                    if let Ok(until) = frozen.try_recv() {
                        // Blocks the only thread, and with it every task of the process.
                        let _ = until.recv();
                    }
                    tokio::time::sleep(Duration::from_millis(1)).await;
                }
                runner.join().await;
            });
        });
        Self { freeze, stop, thread }
    }

    /// Stands still until the sender is dropped.
    fn freeze(&self) -> mpsc::Sender<()> {
        let (wake, until) = mpsc::channel();
        self.freeze.send(until).unwrap();
        wake
    }
}

#[tokio::test]
async fn a_frozen_process_loses_its_lanes_within_ten_seconds_and_is_fenced_when_it_wakes_up() {
    let world = World::new().await;
    let frozen = Process::start(world.url.clone());
    eventually("the first process has all lanes", async || {
        (world.shares().await == [16]).then_some(())
    })
    .await;
    let wake = frozen.freeze();
    let stop = CancellationToken::new();
    let frozen_at = Instant::now();
    let second = start(&world.pool, &stop);
    eventually("the second process has all lanes", async || {
        (world.count("select count(*) from follower_leases where epoch > 1").await == 16)
            .then_some(())
    })
    .await;
    assert!(frozen_at.elapsed() < Duration::from_secs(10), "{:?}", frozen_at.elapsed());
    world.append(users("meanwhile")).await;
    world.until_copied().await;

    drop(wake);
    world.append(users("after")).await;
    world.until_copied().await;
    eventually("they share the lanes again", async || {
        (world.shares().await == [8, 8]).then_some(())
    })
    .await;
    world.append(users("again")).await;
    world.until_copied().await;
    for stop in [&stop, &frozen.stop] {
        stop.cancel();
    }
    second.join().await;
    frozen.thread.join().unwrap();
}

#[tokio::test]
async fn a_process_frozen_in_a_transaction_keeps_its_locks_for_less_than_a_lease() {
    let world = World::new().await;
    let stop = CancellationToken::new();
    let runner = start(&world.pool, &stop);
    eventually("it has all lanes", async || (world.shares().await == [16]).then_some(())).await;
    stop.cancel();
    runner.join().await;
    let mut frozen = world.pool.acquire().await.unwrap();
    let mut tx = plaudit_followers::bounded::begin(&mut frozen).await.unwrap();
    sqlx::query("select from follower_checkpoints for update").execute(&mut *tx).await.unwrap();

    let waited = Instant::now();
    sqlx::query("select from follower_checkpoints for update").execute(&world.pool).await.unwrap();
    assert!(waited.elapsed() < plaudit_followers::LEASE, "{:?}", waited.elapsed());
}

#[tokio::test]
async fn a_step_under_an_older_epoch_is_refused() {
    let world = World::new().await;
    let stop = CancellationToken::new();
    let runner = start(&world.pool, &stop);
    world.append(users("u")).await;
    world.until_copied().await;
    stop.cancel();
    runner.join().await;
    let (lane, position, epoch): (i16, i64, i64) = sqlx::query_as(
        "select lane, position, epoch from follower_checkpoints
         where follower = $1 and position > 0 limit 1",
    )
    .bind(FOLLOWER)
    .fetch_one(&world.pool)
    .await
    .unwrap();
    let advance = |epoch| plaudit_event_store::CheckpointMove {
        follower: FOLLOWER,
        lane: plaudit_domain::lane::Lane(lane),
        epoch,
        from: position,
        to: position + 1,
    };
    let mut connection = world.pool.acquire().await.unwrap();
    let refused =
        plaudit_event_store::move_checkpoints(&[advance(epoch - 1)], &mut connection).await;
    assert!(refused.is_err());
    plaudit_event_store::move_checkpoints(&[advance(epoch)], &mut connection).await.unwrap();
}

#[tokio::test]
async fn a_handler_that_panics_is_restarted_from_the_checkpoints() {
    let world = World::new().await;
    let stop = CancellationToken::new();
    let is_armed = Arc::new(AtomicBool::new(true));
    let fails_in = Some((world.lane_of("u0"), Arc::clone(&is_armed)));
    world.append(users("u")).await;
    let runner = start_with(&world.pool, &stop, fails_in);
    eventually("the panic makes it unready", async || runner.health().ready().err()).await;
    world.until_copied().await;
    eventually("it is ready again", async || runner.health().ready().ok()).await;
    stop.cancel();
    runner.join().await;
}

#[tokio::test]
async fn connections_that_fall_silent_are_closed_and_replaced() {
    let world = World::new().await;
    let (proxy, through) = test_cluster::fault_proxy(&world.url).await;
    let stop = CancellationToken::new();
    let runner = start(&pool::connect(&through, 8).unwrap(), &stop);
    world.append(users("before")).await;
    world.until_copied().await;
    proxy.freeze();
    let frozen_at = Instant::now();
    world.append(users("after")).await;
    world.until_copied().await;
    let lasted = frozen_at.elapsed();
    assert!(lasted < Duration::from_secs(45), "{lasted:?}");
    eventually("it is ready", async || runner.health().ready().ok()).await;
    stop.cancel();
    runner.join().await;
}
