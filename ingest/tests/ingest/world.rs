//! The fixture of these tests: a database and a topic of their own, and a reader between them.

use std::collections::BTreeMap;
use std::sync::{Arc, LazyLock};
use std::time::Duration;

use metrics_exporter_prometheus::{PrometheusBuilder, PrometheusHandle};
use plaudit_actions::sources::Sources;
use plaudit_domain::lane::LaneCount;
use plaudit_embedded::fault_proxy::FaultProxy;
use plaudit_embedded::{test_cluster, waiting};
use plaudit_event_store::catalogue_store::{self, CatalogueStore};
use plaudit_event_store::parked::{self, Parked};
use plaudit_event_store::{BatchProjection, CommandQueue, Executor, pool, schema};
use plaudit_ingest::status::Status;
use plaudit_ingest::{GroupProtocol, Ingest, IngestOptions};
use rdkafka::ClientConfig;
use rdkafka::admin::{AdminClient, AdminOptions, NewTopic, TopicReplication};
use rdkafka::client::DefaultClientContext;
use rdkafka::message::{Header, OwnedHeaders};
use rdkafka::producer::{FutureProducer, FutureRecord};
use rdkafka::{Offset, TopicPartitionList};
use serde_json::{Value, json};
use sqlx::PgPool;
use sqlx::postgres::{PgConnectOptions, PgPoolOptions};
use tokio::sync::watch;
use tokio_util::sync::CancellationToken;

/// A task that adds up the coins of gifts and never completes.
const TASKS: &str = "
tasks:
  - id: gifts
    kind: ordinary
    text: { en: { title: Gifts } }
    objective: { on: gift.sent, measure: { sum: data.coins }, target: 1000000000 }
";

/// Time limit for any wait, with a margin for a busy machine.
const WAIT_MAX: Duration = Duration::from_secs(60);

/// A database, a topic, and a queue that applies actions.
pub struct World {
    pub brokers: String,
    pub topic: String,
    /// The program's connections.
    pub pool: PgPool,
    /// The test's own connections. They survive a test that ends the program's.
    pub looking: PgPool,
    pub group: String,
    pub sources: watch::Sender<Arc<Sources>>,
    pub queue: CommandQueue,
    producer: FutureProducer,
}

/// A record to be sent.
#[derive(Debug, Clone, Default)]
pub struct Sent<'a> {
    pub partition: i32,
    pub key: Option<&'a [u8]>,
    pub headers: &'a [(&'a str, &'a str)],
    pub value: Option<Vec<u8>>,
    /// In milliseconds since 1970; now if absent.
    pub timestamp: Option<i64>,
}

impl World {
    pub async fn new(partitions: i32) -> Self {
        let topic = test_cluster::create_topic("actions", partitions).await;
        Self::with_topic(topic).await
    }

    /// Creates a world for a topic that need not exist yet.
    pub async fn with_topic(topic: String) -> Self {
        Self::projecting(topic, vec![]).await
    }

    /// Creates a world with projections that run in the transaction of each batch.
    pub async fn projecting(topic: String, projections: Vec<Arc<dyn BatchProjection>>) -> Self {
        metrics();
        // Set RUST_LOG to see the reader's log.
        let filter = tracing_subscriber::EnvFilter::from_default_env();
        let _ = tracing_subscriber::fmt().with_env_filter(filter).with_test_writer().try_init();
        let brokers = test_cluster::kafka_brokers().await;
        let url = test_cluster::create_database("ingest").await;
        let pool = pool::connect(&url, 8).unwrap();
        let looking =
            PgPoolOptions::new().max_connections(2).connect_with(looking_at(&url)).await.unwrap();
        schema::migrate(&pool, LaneCount::try_from(16).unwrap()).await.unwrap();
        let lanes = schema::check(&pool).await.unwrap();
        let tasks = plaudit_task_file::parse(TASKS).unwrap();
        catalogue_store::publish(&pool, &tasks, "test").await.unwrap();
        let catalogue = Arc::new(CatalogueStore::default());
        let executor = Arc::new(Executor::new(pool.clone(), lanes, catalogue, projections));
        let queue = CommandQueue::start(executor, 2);
        let producer = ClientConfig::new()
            .set("bootstrap.servers", &brokers)
            .set("message.max.bytes", "3000000")
            .create()
            .unwrap();
        let group = test_cluster::unique_name("group");
        let sources = watch::Sender::new(Arc::default());
        Self { brokers, topic, pool, looking, group, sources, queue, producer }
    }

    pub fn options(&self) -> IngestOptions {
        let topics = vec![self.topic.clone()];
        IngestOptions { workers: 2, ..IngestOptions::new(&self.brokers, topics, &self.group) }
    }

    pub fn with_protocol(&self, group_protocol: GroupProtocol) -> IngestOptions {
        IngestOptions { group_protocol, ..self.options() }
    }

    pub fn read(&self) -> Reader {
        self.read_with(self.options())
    }

    pub fn read_with(&self, options: IngestOptions) -> Reader {
        self.read_over(options, &self.pool)
    }

    /// Starts a reader whose own queries, apart from the queue's, use the given pool.
    pub fn read_over(&self, options: IngestOptions, pool: &PgPool) -> Reader {
        let stopped = CancellationToken::new();
        let (queue, sources) = (self.queue.clone(), self.sources.subscribe());
        let ingest = Ingest::start(options, queue, pool, sources, stopped.clone()).unwrap();
        Reader { ingest, stopped }
    }

    /// Returns a pool to the same database through a proxy that can fall silent.
    pub async fn through_proxy(&self) -> (FaultProxy, PgPool) {
        let direct = self.pool.connect_options();
        let proxy = FaultProxy::start(format!("{}:{}", direct.get_host(), direct.get_port()));
        let proxy = proxy.await.unwrap();
        let through = direct.as_ref().clone().host("127.0.0.1").port(proxy.address().port());
        (proxy, self.pool.options().clone().connect_lazy_with(through))
    }

    /// Sends a record and returns its offset.
    pub async fn send(&self, record: Sent<'_>) -> i64 {
        let mut headers = OwnedHeaders::new();
        for (key, value) in record.headers {
            headers = headers.insert(Header { key, value: Some(*value) });
        }
        let sent: FutureRecord<'_, [u8], Vec<u8>> =
            FutureRecord::to(&self.topic).partition(record.partition).headers(headers);
        let sent: FutureRecord<'_, [u8], Vec<u8>> = match record.key {
            Some(key) => sent.key(key),
            None => sent,
        };
        let sent = match &record.value {
            Some(value) => sent.payload(value),
            None => sent,
        };
        let sent = match record.timestamp {
            Some(timestamp) => sent.timestamp(timestamp),
            None => sent,
        };
        // The producer may not know a new topic yet, and retries.
        self.producer.send(sent, WAIT_MAX).await.unwrap().offset
    }

    /// Sends gifts of one coin each in structured mode.
    pub async fn gifts(&self, partition: i32, ids: impl IntoIterator<Item = (&str, u32)>) {
        let sent = ids.into_iter().map(|(user, id)| {
            let value = Some(gift(user, &format!("{id}"), 1));
            self.send(Sent { partition, value, ..Sent::default() })
        });
        futures::future::join_all(sent).await;
    }

    /// Returns each user's coins and number of steps.
    pub async fn coins(&self) -> BTreeMap<String, (i64, i64)> {
        let rows: Vec<(String, i64, i64)> = sqlx::query_as(
            "select aggregate_id, count(*), max((payload->>'progress')::bigint) from events
             where event_type = 'progress_recorded' group by 1",
        )
        .fetch_all(&self.looking)
        .await
        .unwrap();
        rows.into_iter().map(|(user, steps, coins)| (user, (coins, steps))).collect()
    }

    /// Waits until the users have these coins, one coin per step.
    pub async fn until_coins(&self, expected: &[(&str, i64)]) {
        let expected: BTreeMap<_, _> =
            expected.iter().map(|(user, coins)| ((*user).to_owned(), (*coins, *coins))).collect();
        let reached = async || (self.coins().await == expected).then_some(());
        let reached = waiting::within(WAIT_MAX, reached).await;
        assert!(reached.is_some(), "expected {expected:?}, got {:?}", self.coins().await);
    }

    pub async fn parked(&self) -> Vec<Parked> {
        parked::page(&self.looking, None, 1000).await.unwrap().parked
    }

    pub async fn until_parked(&self, count: usize) -> Vec<Parked> {
        eventually("records are parked", async || {
            Some(self.parked().await).filter(|parked| parked.len() >= count)
        })
        .await
    }

    /// Removes the records of a partition below an offset, as retention does.
    pub async fn remove_records(&self, partition: i32, below: i64) {
        let mut list = TopicPartitionList::new();
        list.add_partition_offset(&self.topic, partition, Offset::Offset(below)).unwrap();
        self.admin().delete_records(&list, &AdminOptions::new()).await.unwrap();
    }

    /// Creates the topic under its own name.
    pub async fn create_topic(&self, partitions: i32) {
        let topic = NewTopic::new(&self.topic, partitions, TopicReplication::Fixed(1))
            .set("max.message.bytes", "3000000");
        let created = self.admin().create_topics([&topic], &AdminOptions::new()).await.unwrap();
        for created in created {
            created.unwrap();
        }
    }

    fn admin(&self) -> AdminClient<DefaultClientContext> {
        ClientConfig::new().set("bootstrap.servers", &self.brokers).create().unwrap()
    }
}

/// A running reader.
pub struct Reader {
    ingest: Ingest,
    stopped: CancellationToken,
}

impl Reader {
    pub fn ready(&self) -> Result<(), String> {
        self.ingest.health().ready()
    }

    pub fn warnings(&self) -> Vec<String> {
        self.ingest.health().warnings()
    }

    pub fn is_paused(&self) -> bool {
        self.ingest.health().is_paused()
    }

    pub fn partitions(&self) -> usize {
        self.ingest.health().partitions().len()
    }

    /// Returns the number of partitions that this process has of each topic.
    pub fn partitions_by_topic(&self) -> BTreeMap<String, usize> {
        let mut counts = BTreeMap::new();
        for partition in self.ingest.health().partitions() {
            *counts.entry(partition.topic).or_default() += 1;
        }
        counts
    }

    /// Returns the lag as `/metrics` shows it.
    pub fn lag_metrics(&self) -> String {
        self.ingest.health().lag_metrics()
    }

    /// Returns the next offset of the only partition.
    pub fn next_offset(&self) -> Option<i64> {
        self.ingest.health().partitions().first()?.next_offset
    }

    /// Returns the number of records not applied yet; `None` while a partition is not verified.
    pub fn lag(&self) -> Option<i64> {
        self.ingest.health().partitions().iter().map(|partition| partition.lag).sum()
    }

    pub async fn until_ready(&self) {
        eventually("reading is ready", async || self.ready().ok()).await;
    }

    /// Waits until readiness is refused with a reason that contains all these words.
    pub async fn until_refused(&self, words: &[&str]) {
        eventually(&format!("readiness is refused with {words:?}"), async || {
            let reason = self.ready().err()?;
            words.iter().all(|word| reason.contains(word)).then_some(())
        })
        .await;
    }

    pub async fn until_partitions(&self, condition: impl Fn(usize) -> bool) {
        eventually("partitions are divided", async || condition(self.partitions()).then_some(()))
            .await;
    }

    /// Stops the reader in order.
    pub async fn stop(self) {
        self.stopped.cancel();
        self.ingest.join().await;
    }
}

/// The metrics of all tests of this process, in the text format of Prometheus.
pub fn metrics() -> String {
    static METRICS: LazyLock<PrometheusHandle> =
        LazyLock::new(|| PrometheusBuilder::new().install_recorder().unwrap());
    METRICS.render()
}

/// Returns the status of the topics, once the broker has answered.
pub async fn status(options: &IngestOptions, world: &World) -> Status {
    eventually("the broker says how the topics stand", async || {
        plaudit_ingest::status::status(options, &world.pool).await.ok()
    })
    .await
}

fn looking_at(url: &str) -> PgConnectOptions {
    let options: PgConnectOptions = url.parse().unwrap();
    options.application_name("test")
}

/// Returns a gift as a CloudEvent in structured mode.
pub fn gift(user: &str, id: &str, coins: i64) -> Vec<u8> {
    gift_at(user, id, coins, "2025-03-29T01:30:00Z").to_string().into_bytes()
}

pub fn gift_at(user: &str, id: &str, coins: i64, time: &str) -> Value {
    json!({"specversion":"1.0","source":"/gifts","id":id,"type":"gift.sent","subject":user,
        "time":time,"data":{"coins":coins}})
}

/// Waits until `look` returns something.
pub async fn eventually<T>(fact: &str, look: impl AsyncFnMut() -> Option<T>) -> T {
    waiting::eventually(WAIT_MAX, fact, look).await
}
