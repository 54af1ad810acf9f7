//! A lane that another writer holds delays its own users and nobody else.

use serde_json::json;

use crate::payer::{Answer, Payer};
use crate::webhooks::webhook;
use crate::world::{World, eventually, user_id};

/// A transaction of stock postgres-es is left open. Topic, webhook and upkeep go on without its
/// lane.
#[tokio::test]
async fn rule_23_a_lane_that_is_held_delays_the_rewards_of_its_users_only() {
    let world = World::new().await;
    let lane = world.lane_of("ann");
    let other = (0..100).map(|n| format!("u{n}")).find(|user| world.lane_of(user) != lane).unwrap();
    let payer = Payer::start(|_| Answer::Paid).await;
    let coins = json!([{"code": "coin"}]);
    let channels = json!([webhook("coins", &payer.url, &coins, &json!({}))]);
    world.gifts(&["ann", &other], 1).await;
    let mut held = world.pool.begin().await.unwrap();
    sqlx::query(
        "insert into cqrs_events (aggregate_type, aggregate_id, sequence, event_type, event_version, payload, metadata)
         select aggregate_type, aggregate_id, sequence + 1, 'user_updated', '1.0', $2, '{}'
         from events where aggregate_id = $1 order by sequence desc limit 1",
    )
    .bind("ann")
    .bind(json!({"type": "user_updated", "at": "2025-03-29T02:00:00Z", "attributes": {"vip": 1}}))
    .execute(&mut *held)
    .await
    .unwrap();

    let deliverer = world.deliver_through(&channels);
    // Both lines of the other user are handed over, one by each channel.
    let state_of = async |user: &str, state: &str| -> i64 {
        sqlx::query_scalar("select count(*) from reward_state where user_id = $1 and state = $2")
            .bind(user_id(user).as_str())
            .bind(state)
            .fetch_one(&world.pool)
            .await
            .unwrap()
    };
    eventually("the other user is paid", async || {
        let paid = state_of(&other, "delivered").await;
        (paid == 1 && state_of(&other, "delivering").await == 1).then_some(())
    })
    .await;
    deliverer.until_problem(&["coins", &format!("rewards of lane {lane} wait")]).await;
    deliverer.until_problem(&["kafka", &format!("rewards of lane {lane} wait")]).await;
    assert_eq!(deliverer.delivery.health().ready(), Ok(()));
    assert_eq!(state_of("ann", "claimed").await, 2, "nothing of the held lane is sent");
    assert_eq!(payer.messages().len(), 1);

    held.rollback().await.unwrap();
    eventually("the user of the held lane is paid", async || {
        let paid = state_of("ann", "delivered").await;
        (paid == 1 && state_of("ann", "delivering").await == 1).then_some(())
    })
    .await;
    deliverer.until_well().await;
    deliverer.stop().await;
    assert_eq!(payer.paid().len(), 2);
}
