//! Waiting for a position.

use std::sync::Arc;
use std::time::Duration;

use plaudit_domain::lane::Position;
use plaudit_embedded::test_cluster;
use plaudit_event_store::pool;
use plaudit_followers::{HeadWatch, NotReached};
use tokio::task::JoinSet;
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

use crate::world::World;

#[tokio::test]
async fn whoever_waits_is_woken_when_the_log_has_come_that_far() {
    let world = World::new().await;
    let stop = CancellationToken::new();
    let watch = HeadWatch::start(&world.pool, stop.clone());
    let lane = world.lane_of("ann");
    let next = Position { lane, number: world.head_of(lane).await.number + 1 };
    let at_once = watch.wait_for(next, Instant::now()).await;
    assert_eq!(at_once, Err(NotReached::Behind(next)));
    let mut waiting = JoinSet::new();
    for _ in 0..1_000 {
        let watch = Arc::clone(&watch);
        let deadline = Instant::now() + Duration::from_secs(60);
        waiting.spawn(async move { watch.wait_for(next, deadline).await });
    }
    world.append(["ann".to_owned()].into_iter()).await;
    for waited in waiting.join_all().await {
        assert_eq!(waited, Ok(()));
    }
    assert_eq!(watch.heads().of(lane), next.number);
    // A position that was read is known: no wait, no further read.
    assert_eq!(watch.wait_for(next, Instant::now()).await, Ok(()));
    stop.cancel();
}

#[tokio::test]
async fn a_thousand_waiters_cost_as_many_readings_as_one() {
    let world = World::new().await;
    let stop = CancellationToken::new();
    let (proxy, through) = test_cluster::fault_proxy(&world.url).await;
    let watch = HeadWatch::start(&pool::connect(&through, 4).unwrap(), stop.clone());
    let never = Position { lane: world.lane_of("ann"), number: i64::MAX };
    let deadline = Instant::now() + Duration::from_secs(1);
    let mut waiting = JoinSet::new();
    for _ in 0..1_000 {
        let watch = Arc::clone(&watch);
        waiting.spawn(async move { watch.wait_for(never, deadline).await });
    }
    for waited in waiting.join_all().await {
        assert_eq!(waited, Err(NotReached::Behind(never)));
    }
    // A single task reads, on a single connection.
    assert_eq!(proxy.accepted(), 1);
    stop.cancel();
}

#[tokio::test]
async fn a_silent_database_is_an_error_by_the_deadline_and_heads_are_read_again_later() {
    let world = World::new().await;
    let stop = CancellationToken::new();
    let (proxy, through) = test_cluster::fault_proxy(&world.url).await;
    let watch = HeadWatch::start(&pool::connect(&through, 1).unwrap(), stop.clone());
    world.append(["ann".to_owned()].into_iter()).await;
    let lane = world.lane_of("ann");
    let first = world.head_of(lane).await;
    watch.wait_for(first, Instant::now() + Duration::from_secs(60)).await.unwrap();
    proxy.freeze();
    world.append(["ann".to_owned()].into_iter()).await;
    let second = world.head_of(lane).await;
    let begun = Instant::now();
    watch.wait_for(second, begun + Duration::from_secs(30)).await.unwrap();
    assert!(begun.elapsed() < Duration::from_secs(20), "{:?}", begun.elapsed());
    stop.cancel();
}
