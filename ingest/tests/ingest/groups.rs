//! Consumer groups: their members, and the records that each reads.

use plaudit_embedded::test_cluster;
use plaudit_ingest::{GroupProtocol, IngestOptions};

use crate::world::{Reader, Sent, World, eventually, gift, status};

const USERS: [&str; 6] = ["ann", "ben", "cid", "dan", "eve", "fay"];

/// Sends gifts for all users. Each user's gifts go to one partition, as with a key.
async fn gifts_of_all(world: &World, partitions: i32, ids: std::ops::Range<u32>) {
    for (partition, user) in (0..partitions).cycle().zip(USERS) {
        world.gifts(partition, ids.clone().map(|id| (user, id))).await;
    }
}

fn all(coins: i64) -> Vec<(&'static str, i64)> {
    USERS.iter().map(|user| (*user, coins)).collect()
}

#[tokio::test]
async fn rule_05_reading_a_topic_again_from_its_beginning_changes_nothing() {
    let mut world = World::new(2).await;
    gifts_of_all(&world, 2, 0..20).await;
    let reader = world.read();
    world.until_coins(&all(20)).await;
    reader.stop().await;

    // Without the seen identities, repeats are recognised by source position alone.
    sqlx::query("delete from seen_actions").execute(&world.pool).await.unwrap();
    world.group.push_str("-again");
    let reader = world.read();
    gifts_of_all(&world, 2, 20..21).await;
    world.until_coins(&all(21)).await;
    reader.stop().await;
}

#[tokio::test]
async fn an_orderly_stop_commits_what_is_applied() {
    for protocol in [GroupProtocol::Classic, GroupProtocol::Consumer] {
        let world = World::new(1).await;
        world.gifts(0, (0..50).map(|id| ("ann", id))).await;
        let options = world.with_protocol(protocol);
        let reader = world.read_with(options.clone());
        world.until_coins(&[("ann", 50)]).await;
        reader.stop().await;
        let status = status(&options, &world).await;
        assert!(status.is_fine(), "{status}");
        let partition = &status.topics[0].partitions[0];
        assert_eq!(
            (partition.committed_offset, partition.next_offset, partition.lag),
            (Some(50), 50, 0)
        );
    }
}

#[tokio::test]
async fn rule_05_what_was_applied_and_never_committed_is_not_applied_again() {
    let world = World::new(2).await;
    let mut forgetful = world.options();
    forgetful.properties.insert("enable.auto.commit".into(), "false".into());
    gifts_of_all(&world, 2, 0..20).await;
    let reader = world.read_with(forgetful.clone());
    world.until_coins(&all(20)).await;
    drop(reader);

    sqlx::query("delete from seen_actions").execute(&world.pool).await.unwrap();
    sqlx::query("delete from source_partitions").execute(&world.pool).await.unwrap();
    let reader = world.read_with(forgetful);
    gifts_of_all(&world, 2, 20..25).await;
    world.until_coins(&all(25)).await;
    reader.stop().await;
}

async fn members_come_and_go(protocol: GroupProtocol, instance: bool) {
    let world = World::new(4).await;
    let member = |name: &str| {
        let instance_id = instance.then(|| name.to_owned());
        IngestOptions { instance_id, ..world.with_protocol(protocol) }
    };
    let first = world.read_with(member("first"));
    gifts_of_all(&world, 4, 0..50).await;
    first.until_partitions(|n| n == 4).await;
    let second = world.read_with(member("second"));
    gifts_of_all(&world, 4, 50..100).await;
    second.until_partitions(|n| n == 2).await;
    let series = |reader: &Reader| {
        let text = reader.lag_metrics();
        text.lines().filter(|line| line.starts_with("plaudit_ingest_lag_records{")).count()
    };
    // Neither shows the partitions that the other one reads.
    eventually("each has its own lag series", async || {
        (series(&first) == 2 && series(&second) == 2).then_some(())
    })
    .await;
    gifts_of_all(&world, 4, 100..150).await;
    first.stop().await;
    gifts_of_all(&world, 4, 150..200).await;
    second.until_partitions(|n| n == 4).await;
    world.until_coins(&all(200)).await;
    second.stop().await;
    assert!(world.parked().await.is_empty());
}

#[tokio::test]
async fn rule_05_members_of_a_classic_group_come_and_go_and_nothing_is_lost_or_doubled() {
    members_come_and_go(GroupProtocol::Classic, false).await;
}

#[tokio::test]
async fn rule_05_static_members_come_and_go_and_nothing_is_lost_or_doubled() {
    members_come_and_go(GroupProtocol::Classic, true).await;
}

#[tokio::test]
async fn rule_05_members_of_a_group_of_the_broker_come_and_go_and_nothing_is_lost_or_doubled() {
    members_come_and_go(GroupProtocol::Consumer, false).await;
}

#[tokio::test]
async fn rule_05_two_groups_that_read_the_same_topic_at_once_apply_it_once() {
    let world = World::new(2).await;
    let first = world.read();
    let second =
        world.read_with(IngestOptions { group: format!("{}-two", world.group), ..world.options() });
    gifts_of_all(&world, 2, 0..100).await;
    world.until_coins(&all(100)).await;
    first.stop().await;
    second.stop().await;
}

#[tokio::test]
async fn a_static_member_has_its_partitions_again_at_once() {
    let world = World::new(1).await;
    let member = || IngestOptions { instance_id: Some("one".into()), ..world.options() };
    let reader = world.read_with(member());
    world.gifts(0, [("ann", 1)]).await;
    world.until_coins(&[("ann", 1)]).await;
    reader.stop().await;
    let began = std::time::Instant::now();
    let reader = world.read_with(member());
    world.send(Sent { value: Some(gift("ann", "2", 1)), ..Sent::default() }).await;
    world.until_coins(&[("ann", 2)]).await;
    println!("from start to the first applied record: {:?}", began.elapsed());
    let partitions =
        eventually("it has its partition", async || Some(reader.partitions()).filter(|n| *n == 1));
    partitions.await;
    reader.stop().await;
}

/// An assignor that only balances the number of partitions would leave all eight of the first topic
/// on one process.
#[tokio::test]
async fn two_processes_share_the_partitions_of_every_topic() {
    for protocol in [GroupProtocol::Classic, GroupProtocol::Consumer] {
        let world = World::new(8).await;
        let mut topics = vec![world.topic.clone()];
        for partitions in [5, 3] {
            topics.push(test_cluster::create_topic("actions", partitions).await);
        }
        let options = IngestOptions { topics, ..world.with_protocol(protocol) };
        let first = world.read_with(options.clone());
        first.until_partitions(|n| n == 16).await;
        let second = world.read_with(options.clone());
        let shares = async || {
            let (first, second) = (first.partitions_by_topic(), second.partitions_by_topic());
            let is_even = |(topic, all): (&String, usize)| {
                let has = [&first, &second].map(|of| of.get(topic).copied().unwrap_or(0));
                has[0] + has[1] == all && has[0].abs_diff(has[1]) <= 1
            };
            options.topics.iter().zip([8, 5, 3]).all(is_even).then_some(())
        };
        eventually(&format!("every topic is shared with {protocol:?}"), shares).await;
        first.stop().await;
        second.stop().await;
    }
}
