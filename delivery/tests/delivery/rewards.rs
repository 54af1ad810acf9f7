//! Content, order and number of the published rewards.

use std::collections::BTreeSet;

use plaudit_projections::rebuild::{RebuildOptions, RebuildOutcome, rebuild};
use plaudit_projections::verify::verify;
use serde_json::json;
use tokio_util::sync::CancellationToken;
use uuid::Uuid;

use crate::world::{AT, World};

const USERS: [&str; 6] = ["ann", "ben", "cid", "dan", "eve", "fay"];
/// The rewards of one user for two gifts, in order.
const TWO_GIFTS: [&str; 3] = ["gifts@1/coins", "gifts@1/badge", "gifts@2/coins"];

fn grant(user: &str, task: &str, milestone: i64, line: &str) -> Uuid {
    const NAMESPACE: Uuid = Uuid::from_u128(0x3038_9424_25e7_54ea_a9ab_a6d9_4d9c_68b8);
    let name = [user, task, "once", &milestone.to_string(), line].join("\u{1f}");
    Uuid::new_v5(&NAMESPACE, name.as_bytes())
}

/// Rule 14: the id is derived from the reward's origin. Rule 16: delivery follows the claim.
#[tokio::test]
async fn rule_16_automatic_and_claimed_rewards_are_published_as_cloud_events() {
    let world = World::new().await;
    let deliverer = world.deliver();
    world.gifts(&["ann"], 1).await;
    world.act(&["ann"], "team.formed", 7).await;
    let published = world.until_published(2).await;
    assert_eq!(published.len(), 2, "what is not claimed is not published: {published:?}");
    world.claim("ann", "team").await;
    let published = world.until_published(3).await;
    world.until_caught_up().await;
    deliverer.stop().await;

    let lines = [
        ("gifts", "coins", "currency", "coin", 10),
        ("gifts", "badge", "item", "heart", 1),
        ("team", "gold", "currency", "gold", 5),
    ];
    assert_eq!(published.len(), lines.len());
    for (reward, (task, line, kind, code, amount)) in published.iter().zip(lines) {
        assert_eq!((reward.key.as_str(), reward.id()), ("ann", grant("ann", task, 1, line)));
        assert!(reward.content_type.starts_with("application/cloudevents+json"));
        let event = &reward.event;
        for (name, expected) in [
            ("specversion", "1.0"),
            ("type", "plaudit.reward.granted"),
            ("source", "/plaudit"),
            ("subject", "ann"),
        ] {
            assert_eq!(event[name], expected, "{name}");
        }
        let expected = json!({"task": task, "period": "once", "milestone": 1, "line": line,
            "kind": kind, "code": code, "amount": amount, "reached_at": AT});
        assert_eq!(event["data"], expected);
    }
    let delivering: i64 =
        sqlx::query_scalar("select count(*) from events where event_type = 'delivery_started'")
            .fetch_one(&world.pool)
            .await
            .unwrap();
    assert!(delivering > 0, "the log says that deliveries have begun");
}

#[tokio::test]
async fn a_deliverer_that_starts_again_goes_on_from_its_checkpoint() {
    let world = World::new().await;
    let deliverer = world.deliver();
    world.gifts(&USERS, 1).await;
    world.until_published(12).await;
    deliverer.stop().await;
    world.gifts(&USERS, 2).await;
    assert_eq!(world.published().await.len(), 12, "nobody delivers");

    let deliverer = world.deliver();
    world.until_caught_up().await;
    deliverer.stop().await;
    let published = World::by_user(&world.published().await);
    assert_eq!(published.len(), USERS.len());
    for (user, rewards) in published {
        assert_eq!(rewards, TWO_GIFTS, "{user}");
    }
}

#[tokio::test]
async fn what_was_published_without_a_checkpoint_is_published_again_with_the_same_id() {
    let world = World::new().await;
    let deliverer = world.deliver();
    world.gifts(&["ann"], 1).await;
    world.until_caught_up().await;
    deliverer.stop().await;
    // As if the process had been killed between publishing and storing that.
    sqlx::query("update deliveries set state = 'waiting'").execute(&world.pool).await.unwrap();
    let deliverer = world.deliver();
    let published = world.until_published(4).await;
    deliverer.stop().await;
    assert_eq!(published[..2], published[2..]);
}

#[tokio::test]
async fn two_deliverers_lose_nothing_and_keep_each_users_order() {
    let world = World::new().await;
    let (first, second) = (world.deliver(), world.deliver());
    world.gifts(&USERS, 1).await;
    world.until_caught_up().await;
    first.stop().await;
    world.gifts(&USERS, 2).await;
    world.until_caught_up().await;
    second.stop().await;
    for (user, mut rewards) in World::by_user(&world.published().await) {
        // At least once: an immediate repeat is allowed, another order is not.
        rewards.dedup();
        assert_eq!(rewards, TWO_GIFTS, "{user}");
    }
}

#[tokio::test]
async fn rule_16_a_rebuild_and_a_verification_publish_nothing() {
    let world = World::new().await;
    let deliverer = world.deliver();
    world.gifts(&USERS, 1).await;
    world.act(&["ann"], "team.formed", 7).await;
    world.claim("ann", "team").await;
    world.until_published(13).await;
    for view in ["task_view", "reward_state"] {
        let (options, stop) = (RebuildOptions::default(), CancellationToken::new());
        let outcome = rebuild(&world.pool, view, options, |_| {}, stop).await.unwrap();
        assert!(matches!(outcome, RebuildOutcome::Swapped(_)), "{outcome:?}");
    }
    assert!(verify(&world.pool, None, |_| {}).await.unwrap().is_equal());
    // Events after the rebuild are published right after those before it.
    world.gifts(&["ann"], 2).await;
    let published = world.until_published(14).await;
    world.until_caught_up().await;
    deliverer.stop().await;
    let ids: BTreeSet<Uuid> = published.iter().map(super::world::Published::id).collect();
    assert_eq!((published.len(), ids.len()), (14, 14));
}
