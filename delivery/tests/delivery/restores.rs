//! A restore to an earlier moment, in the order of `docs/backup.md`: a payer that honours the grant
//! id pays nothing twice, and revoked rewards are not sent.

use std::collections::BTreeSet;
use std::sync::Arc;

use plaudit_domain::action::{Action, Parts};
use plaudit_embedded::test_cluster;
use plaudit_event_store::catalogue_store::CatalogueStore;
use plaudit_event_store::rewards::grants;
use plaudit_event_store::{
    ActionAnswer, Executor, HandAnswer, Incoming, Item, Origin, pool, schema,
};
use serde_json::json;
use uuid::Uuid;

use crate::revocations::{grant, revoke};
use crate::world::{AT, Published, World, user_id};

/// A world on an existing database, with the topic of another world.
async fn over(url: &str, other: &World) -> World {
    let pool = pool::connect(url, 12).unwrap();
    let lanes = schema::check(&pool).await.unwrap();
    let catalogue = Arc::new(CatalogueStore::default());
    let executor = Arc::new(Executor::new(pool.clone(), lanes, catalogue, vec![]));
    let (brokers, topic) = (other.brokers.clone(), other.topic.clone());
    World { url: url.to_owned(), pool, brokers, topic, executor }
}

/// The payer says that it paid a grant, under the id that `docs/payers.md` recommends.
async fn confirm(world: &World, user: &str, grant: Uuid) -> ActionAnswer {
    let data = json!({ "grant": grant }).as_object().unwrap().clone();
    let id = format!("paid-{grant}");
    let (source, kind) = ("/payer", "plaudit.reward.delivered");
    let parts = Parts { user, source, id: &id, kind, time: AT, data };
    let work = Incoming::Action(Action::new(parts).unwrap());
    let item = Item { lane: world.lane_of(user), work, origin: Origin::Request(Uuid::new_v4()) };
    world.executor.execute_one(item).await.unwrap().answer
}

async fn state_of(world: &World, user: &str, grant: Uuid) -> String {
    let mut connection = world.pool.acquire().await.unwrap();
    let (lane, owner) = grants::owner(grant, &mut connection).await.unwrap().unwrap();
    assert_eq!(owner, user_id(user));
    let states = grants::states(&[(lane, grant)], &mut connection).await.unwrap();
    states[&grant].as_str().to_owned()
}

fn ids(published: &[Published]) -> BTreeSet<Uuid> {
    published.iter().map(Published::id).collect()
}

#[tokio::test]
async fn after_a_restore_nothing_is_paid_twice_and_what_was_revoked_is_not_sent() {
    let before = World::new().await;
    before.gifts(&["ann"], 1).await;
    before.act(&["cid"], "team.formed", 1).await;
    let mistake = grant(&before, "mistake").await;
    before.pool.close().await;
    let backup =
        test_cluster::create_database_from(test_cluster::database_name(&before.url), "backup");
    let backup = backup.await;

    // Everything after the moment of the backup is lost.
    let lost = over(&before.url, &before).await;
    revoke(&lost, &mistake).await;
    lost.claim("cid", "team").await;
    let amends = grant(&lost, "amends").await;
    let deliverer = lost.deliver();
    let paid = lost.until_published(4).await;
    deliverer.stop().await;
    let paid = ids(&paid);
    assert!(paid.contains(&amends.grant) && !paid.contains(&mistake.grant), "{paid:?}");
    let gold = lost.published().await.into_iter().find(|sent| sent.key == "cid").unwrap().id();
    assert_eq!(confirm(&lost, "cid", gold).await, ActionAnswer::Accepted);
    assert_eq!(state_of(&lost, "cid", gold).await, "delivered");

    // The restored database, in the documented order: payers' reports are read again, operators and
    // users repeat what they did, and then the delivery starts.
    let restored = over(&backup, &before).await;
    assert_eq!(confirm(&restored, "cid", gold).await, ActionAnswer::Accepted);
    assert_eq!(state_of(&restored, "cid", gold).await, "claimable", "it came too early");
    let outcome = revoke(&restored, &mistake).await;
    assert!(matches!(outcome, HandAnswer::Changed(_)), "{outcome:?}");
    assert_eq!(grant(&restored, "amends").await.grant, amends.grant, "the line makes the id");
    restored.claim("cid", "team").await;
    let deliverer = restored.deliver();
    let all = restored.until_published(8).await;
    restored.until_caught_up().await;
    // Later rewards are sent after earlier ones.
    restored.gifts(&["ann"], 2).await;
    let all = restored.until_published(all.len() + 1).await;
    deliverer.stop().await;
    let new: BTreeSet<Uuid> = ids(&all).difference(&paid).copied().collect();
    assert_eq!(new.len(), 1, "the gift that came later: {all:?}");
    assert!(!ids(&all).contains(&mistake.grant), "{all:?}");

    // The payer knows the grant, and repeats its report.
    assert_eq!(confirm(&restored, "cid", gold).await, ActionAnswer::Duplicate);
    assert_eq!(state_of(&restored, "cid", gold).await, "delivered");
}
