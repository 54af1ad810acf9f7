//! Transactional producers: markers and aborted records take up offsets, but are never delivered.

use std::sync::Arc;
use std::time::Duration;

use plaudit_embedded::test_cluster;
use plaudit_ingest::GroupProtocol;
use rdkafka::ClientConfig;
use rdkafka::producer::{BaseProducer, BaseRecord, Producer as _};

use crate::world::{World, eventually, gift, metrics, status};

/// Time limit for the broker to end a transaction.
const WAIT_MAX: Duration = Duration::from_secs(30);

/// A transactional producer.
struct Transactional(Arc<BaseProducer>);

impl Transactional {
    async fn new(world: &World) -> Self {
        let config = ClientConfig::new()
            .set("bootstrap.servers", &world.brokers)
            .set("transactional.id", test_cluster::unique_name("producer"))
            .clone();
        blocking(move || {
            let producer: BaseProducer = config.create().unwrap();
            producer.init_transactions(WAIT_MAX).unwrap();
            Self(Arc::new(producer))
        })
        .await
    }

    /// Sends gifts of one coin each in one transaction, and commits or aborts it.
    async fn transaction(
        &self,
        world: &World,
        user: &str,
        ids: std::ops::Range<u32>,
        commit: bool,
    ) {
        let (producer, topic, user) = (Arc::clone(&self.0), world.topic.clone(), user.to_owned());
        blocking(move || {
            producer.begin_transaction().unwrap();
            for id in ids {
                let value = gift(&user, &id.to_string(), 1);
                let record: BaseRecord<'_, (), Vec<u8>> =
                    BaseRecord::to(&topic).partition(0).payload(&value);
                producer.send(record).unwrap();
            }
            // An aborted transaction leaves records in the log only if they were sent.
            producer.flush(WAIT_MAX).unwrap();
            if commit {
                producer.commit_transaction(WAIT_MAX).unwrap();
            } else {
                producer.abort_transaction(WAIT_MAX).unwrap();
            }
        })
        .await;
    }
}

async fn blocking<T: Send + 'static>(work: impl FnOnce() -> T + Send + 'static) -> T {
    tokio::task::spawn_blocking(work).await.unwrap()
}

const PROTOCOLS: [GroupProtocol; 2] = [GroupProtocol::Classic, GroupProtocol::Consumer];

#[tokio::test]
async fn the_lag_behind_transactions_reaches_zero() {
    for protocol in PROTOCOLS {
        let world = World::new(1).await;
        let options = world.with_protocol(protocol);
        let producer = Transactional::new(&world).await;
        let reader = world.read_with(options.clone());
        producer.transaction(&world, "ann", 0..3, true).await;
        producer.transaction(&world, "ann", 3..5, false).await;
        producer.transaction(&world, "ann", 5..9, true).await;
        producer.transaction(&world, "ann", 9..11, false).await;
        world.until_coins(&[("ann", 7)]).await;
        eventually("the lag is 0", async || (reader.lag() == Some(0)).then_some(())).await;
        let gauge =
            format!(r#"plaudit_ingest_lag_records{{topic="{}",partition="0"}} 0"#, world.topic);
        eventually("the gauge is 0", async || reader.lag_metrics().contains(&gauge).then_some(()))
            .await;
        // The lag follows from what was read; the offset is stored a moment later.
        eventually("the end is stored", async || {
            let status = status(&options, &world).await;
            (status.topics[0].partitions[0].committed_offset == Some(15)).then_some(())
        })
        .await;
        reader.stop().await;

        let status = status(&options, &world).await;
        let partition = &status.topics[0].partitions[0];
        assert_eq!(partition.end_offset, 11 + 4, "four markers");
        assert_eq!((partition.committed_offset, partition.next_offset), (Some(15), 15), "{status}");
        assert_eq!((partition.lag, partition.lost), (0, 0));
    }
}

#[tokio::test]
async fn rule_21_removing_markers_and_aborted_records_is_not_a_loss() {
    for protocol in PROTOCOLS {
        let world = World::new(1).await;
        let options = world.with_protocol(protocol);
        let producer = Transactional::new(&world).await;
        let reader = world.read_with(options.clone());
        producer.transaction(&world, "ann", 0..3, true).await;
        producer.transaction(&world, "ann", 3..6, false).await;
        world.until_coins(&[("ann", 3)]).await;
        let read_to = async |reader: &crate::world::Reader, offset: i64| {
            let is_there = async || (reader.next_offset() == Some(offset)).then_some(());
            eventually(&format!("all below {offset} is applied"), is_there).await;
            assert_eq!(reader.lag(), Some(0));
        };
        read_to(&reader, 8).await;

        // Records are removed while the partition is read.
        world.remove_records(0, 8).await;
        producer.transaction(&world, "ann", 6..7, true).await;
        world.until_coins(&[("ann", 4)]).await;
        producer.transaction(&world, "ann", 7..9, false).await;
        read_to(&reader, 8 + 2 + 3).await;
        reader.stop().await;

        // Records are removed while nobody reads.
        world.remove_records(0, 8 + 2 + 3).await;
        let reader = world.read_with(options);
        producer.transaction(&world, "ann", 9..10, true).await;
        world.until_coins(&[("ann", 5)]).await;
        read_to(&reader, 8 + 2 + 3 + 2).await;
        reader.until_ready().await;
        reader.stop().await;
        assert!(world.parked().await.is_empty());
        let none_lost = format!("plaudit_records_lost_total{{topic=\"{}\"}} 0\n", world.topic);
        assert!(metrics().contains(&none_lost));
    }
}
