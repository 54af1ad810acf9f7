//! Delivery while something is down, full or damaged.

use plaudit_delivery::Delivery;
use plaudit_embedded::test_cluster;
use plaudit_followers::HeadWatch;
use serde_json::json;
use tokio_util::sync::CancellationToken;

use crate::webhooks::{entries, until_states};
use crate::world::{AT, World, eventually};

#[tokio::test]
async fn a_missing_topic_is_named_and_waited_for() {
    let world = World::with_topic(test_cluster::unique_name("rewards-missing")).await;
    let deliverer = world.deliver();
    deliverer.until_problem(&[&world.topic, "does not exist"]).await;
    assert_eq!(deliverer.delivery.health().ready(), Ok(()), "nothing is due yet");
    world.gifts(&["ann"], 1).await;
    world.gifts(&["ann"], 2).await;
    let reason = deliverer.until_unready().await;
    assert!(reason.contains(&world.topic) && reason.contains("does not exist"), "{reason}");
    world.create_topic().await;
    world.until_caught_up().await;
    deliverer.until_well().await;
    assert_eq!(deliverer.delivery.health().ready(), Ok(()));
    deliverer.stop().await;
    let published = World::by_user(&world.published().await);
    assert_eq!(published["ann"], ["gifts@1/coins", "gifts@1/badge", "gifts@2/coins"]);
}

#[tokio::test]
async fn a_broker_that_does_not_answer_is_named_and_makes_unready_while_rewards_are_due() {
    let world = World::new().await;
    // Nobody listens on the discard port.
    let mut nowhere = world.options();
    nowhere.topic.brokers = "127.0.0.1:9".into();
    let deliverer = world.deliver_with(&nowhere);
    deliverer.until_problem(&[&world.topic, "can't be published"]).await;
    assert_eq!(deliverer.delivery.health().ready(), Ok(()), "nothing is due yet");
    world.gifts(&["ann"], 1).await;
    let reason = deliverer.until_unready().await;
    assert!(reason.contains("broker") || reason.contains("can't be published"), "{reason}");
    deliverer.stop().await;
}

/// A proxy that stops forwarding and closes nothing, with rewards on the way.
#[tokio::test]
async fn connections_to_the_database_that_fall_silent_do_not_stop_delivery() {
    let world = World::new().await;
    let (deliverer, proxy) = world.deliver_through_proxy().await;
    world.gifts(&["ann"], 1).await;
    world.until_published(2).await;
    proxy.freeze();
    world.gifts(&["ann"], 2).await;
    world.until_caught_up().await;
    deliverer.until_well().await;
    deliverer.stop().await;
    let mut published = World::by_user(&world.published().await);
    let rewards = published.get_mut("ann").unwrap();
    rewards.dedup();
    assert_eq!(*rewards, ["gifts@1/coins", "gifts@1/badge", "gifts@2/coins"]);
}

#[tokio::test]
async fn settings_that_the_client_refuses_are_an_error_of_the_start() {
    let world = World::new().await;
    let mut options = world.options();
    options.topic.properties.insert("no.such.property".into(), "1".into());
    let (executor, pool) = (world.executor.clone(), world.pool.clone());
    let stop = CancellationToken::new();
    let heads = HeadWatch::start(&pool, stop.clone());
    let refused = Delivery::start(&options, &executor, &pool, heads, &stop).unwrap_err();
    assert!(refused.to_string().contains("no.such.property"), "{refused}");
}

/// More rewards than fit in a round, through a client with a small queue: all arrive, in order.
#[tokio::test]
async fn a_flood_of_rewards_is_published_in_rounds() {
    let world = World::new().await;
    let users: Vec<String> = (0..2_000).map(|n| format!("u{n}")).collect();
    let users: Vec<&str> = users.iter().map(String::as_str).collect();
    world.gifts(&users, 1).await;
    world.gifts(&users, 2).await;
    let mut options = world.options();
    options.topic.properties.insert("queue.buffering.max.messages".into(), "50".into());
    let deliverer = world.deliver_with(&options);
    world.until_caught_up().await;
    deliverer.until_well().await;
    deliverer.stop().await;
    let published = World::by_user(&world.published().await);
    assert_eq!(published.len(), users.len());
    for (user, rewards) in published {
        // On a very busy machine a round may be repeated; nothing is ever left out.
        let expected = ["gifts@1/coins", "gifts@1/badge", "gifts@2/coins"];
        let mut reached = 0;
        for reward in &rewards {
            let at = expected.iter().position(|expected| expected == reward).unwrap();
            assert!(at <= reached, "{user}: {rewards:?}");
            reached = reached.max(at + 1);
        }
        assert_eq!(reached, expected.len(), "{user}: {rewards:?}");
    }
}

#[tokio::test]
async fn an_event_that_cannot_be_read_concerns_its_user_only() {
    let world = World::new().await;
    let lane = world.lane_of("ann");
    let mut others = (0..1_000).map(|n| format!("damaged-{n}"));
    let damaged = others.find(|user| world.lane_of(user) == lane).unwrap();
    world.gifts(&["ann", &damaged], 1).await;
    world.append_raw(&damaged, "rewards_claimed", "2.0", &json!({})).await;
    world.gifts(&["ann"], 2).await;

    let deliverer = world.deliver();
    // The user is named, and everybody in the lane is paid, before and after.
    deliverer.until_problem(&[&format!("user {damaged}"), &format!("lane {lane}"), "2.0"]).await;
    world.until_caught_up().await;
    assert_eq!(deliverer.delivery.health().ready(), Ok(()));
    deliverer.stop().await;
    let published = World::by_user(&world.published().await);
    assert_eq!(published["ann"], ["gifts@1/coins", "gifts@1/badge", "gifts@2/coins"]);
    assert_eq!(published[&damaged], ["gifts@1/coins", "gifts@1/badge"]);

    // A process that starts later still names the user. Once the event can be read, its reward is
    // paid.
    let deliverer = world.deliver();
    deliverer.until_problem(&[&format!("user {damaged}")]).await;
    deliverer.stop().await;
    world.make_readable(&damaged).await;
    let deliverer = world.deliver_in_new_process();
    let published = world.until_published(6).await;
    deliverer.until_well().await;
    deliverer.stop().await;
    assert_eq!(World::by_user(&published)[&damaged][2..], ["team@1/gold"]);
    let skipped: i64 = sqlx::query_scalar("select count(*) from follower_skipped")
        .fetch_one(&world.pool)
        .await
        .unwrap();
    assert_eq!(skipped, 0);
}

/// An older program stored the reason as its payer sent it, and PostgreSQL can't hold NUL in text.
#[tokio::test]
async fn a_stored_reason_with_a_nul_stops_no_delivery_of_its_lane() {
    let world = World::new().await;
    let deliverer = world.deliver();
    world.act(&["ann"], "team.formed", 1).await;
    world.claim("ann", "team").await;
    until_states(&world, &["delivering"]).await;
    let reward = entries(&world).await.remove(0).row.reward;
    let failed = json!({"type": "reward_failed", "reward": reward, "reason": "no\0", "at": AT});
    world.append_raw("ann", "reward_failed", "1.0", &failed).await;
    let lane = world.lane_of("ann");
    let mut names = (0..).map(|n| format!("u{n}"));
    let neighbour = names.find(|user| world.lane_of(user) == lane).unwrap();
    world.act(&[&neighbour], "team.formed", 2).await;
    world.claim(&neighbour, "team").await;
    let found = eventually("both have reached their channel", async || {
        let mut found = entries(&world).await;
        found.sort_by_key(|entry| entry.user.as_str() != "ann");
        let states: Vec<_> =
            found.iter().map(|e| Some(e.deliveries.first()?.state.clone())).collect();
        let states: Vec<_> = states.iter().map(Option::as_deref).collect();
        (states == [Some("failed"), Some("sent")]).then_some(found)
    })
    .await;
    assert_eq!(found[0].deliveries[0].reason.as_deref(), Some("no\u{fffd}"));
    deliverer.stop().await;
}
