//! What happens while something is away, full or damaged.

use plaudit_delivery::{Delivery, DeliveryOptions};
use plaudit_embedded::test_cluster;
use tokio_util::sync::CancellationToken;

use crate::world::World;

#[tokio::test]
async fn a_missing_topic_is_named_and_waited_for() {
    let world = World::with_topic(test_cluster::unique_name("rewards-missing")).await;
    let deliverer = world.deliver();
    world.gifts(&["ann"], 1).await;
    world.gifts(&["ann"], 2).await;
    deliverer.until_problem(&[&world.topic, "does not exist"]).await;
    assert_eq!(deliverer.delivery.health().ready(), Ok(()), "others are served meanwhile");
    world.create_topic().await;
    world.until_caught_up().await;
    deliverer.until_well().await;
    deliverer.stop().await;
    let published = World::by_user(&world.published().await);
    assert_eq!(published["ann"], ["gifts@1/coins", "gifts@1/badge", "gifts@2/coins"]);
}

#[tokio::test]
async fn a_broker_that_does_not_answer_is_told_and_keeps_no_one_from_being_served() {
    let world = World::new().await;
    // Nobody listens on the discard port.
    let nowhere = DeliveryOptions { brokers: "127.0.0.1:9".into(), ..world.options() };
    let deliverer = world.deliver_with(&nowhere);
    deliverer.until_problem(&[&world.topic, "can't be published"]).await;
    assert_eq!(deliverer.delivery.health().ready(), Ok(()));
    deliverer.stop().await;
}

#[tokio::test]
async fn settings_that_the_client_refuses_are_an_error_of_the_start() {
    let world = World::new().await;
    let mut options = world.options();
    options.properties.insert("no.such.property".into(), "1".into());
    let (executor, pool) = (world.executor.clone(), world.pool.clone());
    let refused = Delivery::start(&options, executor, pool, CancellationToken::new()).unwrap_err();
    assert!(refused.to_string().contains("no.such.property"), "{refused}");
}

/// More than one round takes, through a client that holds few: all arrive, in order.
#[tokio::test]
async fn a_flood_of_rewards_is_published_in_rounds() {
    let world = World::new().await;
    let users: Vec<String> = (0..2_000).map(|n| format!("u{n}")).collect();
    let users: Vec<&str> = users.iter().map(String::as_str).collect();
    world.gifts(&users, 1).await;
    world.gifts(&users, 2).await;
    let mut options = world.options();
    options.properties.insert("queue.buffering.max.messages".into(), "50".into());
    let deliverer = world.deliver_with(&options);
    world.until_caught_up().await;
    deliverer.until_well().await;
    deliverer.stop().await;
    let published = World::by_user(&world.published().await);
    assert_eq!(published.len(), users.len());
    for (user, rewards) in published {
        // On a machine that is too busy a round may be repeated; nothing is ever left out.
        let wanted = ["gifts@1/coins", "gifts@1/badge", "gifts@2/coins"];
        let mut reached = 0;
        for reward in &rewards {
            let at = wanted.iter().position(|wanted| wanted == reward).unwrap();
            assert!(at <= reached, "{user}: {rewards:?}");
            reached = reached.max(at + 1);
        }
        assert_eq!(reached, wanted.len(), "{user}: {rewards:?}");
    }
}

#[tokio::test]
async fn an_event_that_cannot_be_read_holds_up_its_own_lane_only() {
    let world = World::new().await;
    let (damaged, other) = ("ann", "ben");
    let lane = world.lane_of(damaged);
    assert_ne!(lane, world.lane_of(other));
    world.gifts(&[damaged], 1).await;
    let mut tx = world.pool.begin().await.unwrap();
    let position: i64 = sqlx::query_scalar("select next_position from lanes where lane = $1")
        .bind(lane.0)
        .fetch_one(&mut *tx)
        .await
        .unwrap();
    let damage = r#"insert into events (lane, aggregate_type, aggregate_id, sequence, event_type, event_version, payload, metadata, position)
        values ($1, 'UserTasks', 'nobody', 1, 'rewards_claimed', '1.0', '{"rewards": "none"}', '{}', $2)"#;
    sqlx::query(damage).bind(lane.0).bind(position).execute(&mut *tx).await.unwrap();
    tx.commit().await.unwrap();
    world.gifts(&[damaged], 2).await;

    let deliverer = world.deliver();
    deliverer.until_problem(&[&format!("lane {lane}"), "event 1 of user nobody"]).await;
    world.gifts(&[other], 1).await;
    let published = World::by_user(&world.until_published(4).await);
    deliverer.stop().await;
    // What lies before the damage is delivered as well.
    assert_eq!(published[damaged], ["gifts@1/coins", "gifts@1/badge"]);
    assert_eq!(published[other], ["gifts@1/coins", "gifts@1/badge"]);
}
