//! A database and a topic for each test, users who earn rewards, and a reader of the topic.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use jiff::Timestamp;
use plaudit_delivery::{Channels, DeliveryOptions, Topic};
use plaudit_domain::action::{Action, Parts};
use plaudit_domain::ids::{TaskId, UserId};
use plaudit_domain::lane::{Lane, LaneCount};
use plaudit_embedded::fault_proxy::FaultProxy;
use plaudit_embedded::{test_cluster, waiting};
use plaudit_event_store::catalogue_store;
use plaudit_event_store::{
    ActionAnswer, Batch, Claim, ClaimAnswer, Executor, Incoming, Item, Origin, Redeliver,
    RedeliverAnswer, pool, schema,
};
use rdkafka::ClientConfig;
use rdkafka::admin::{AdminClient, AdminOptions, NewTopic, TopicReplication};
use rdkafka::client::DefaultClientContext;
use serde_json::{Value, json};
use sqlx::PgPool;
use uuid::Uuid;

pub use crate::deliverer::{Deliverer, Doomed, executor};
pub use crate::published::Published;
use crate::published::read_all;

/// The first two milestones of `gifts` are automatic, two lines each; `team` is claimed.
const TASKS: &str = "
tasks:
  - id: gifts
    kind: ordinary
    text: { en: { title: Gifts } }
    objective: { on: gift.sent }
    claim: { mode: automatic }
    milestones:
      - { at: 1, rewards: [ { line: coins, kind: currency, code: coin, amount: 10 },
                            { line: badge, kind: item, code: heart, amount: 1 } ] }
      - { at: 2, rewards: [ { line: coins, kind: currency, code: coin, amount: 20 } ] }
  - id: team
    kind: ordinary
    text: { en: { title: Team } }
    objective: { on: team.formed, target: 1 }
    rewards: [ { line: gold, kind: currency, code: gold, amount: 5 } ]
";

pub const PARTITIONS: i32 = 4;

/// Time limit for every wait, on a busy machine.
pub const WAIT_MAX: Duration = Duration::from_secs(60);

/// Time of everything that happens; well before the clock of any machine that runs the tests.
pub const AT: &str = "2025-03-29T01:30:00Z";

/// A database and a topic.
pub struct World {
    pub url: String,
    pub pool: PgPool,
    pub brokers: String,
    pub topic: String,
    pub executor: Arc<Executor>,
}

impl World {
    pub async fn new() -> Self {
        let topic = test_cluster::create_topic("rewards", PARTITIONS).await;
        Self::with_topic(topic).await
    }

    /// Makes a world whose topic need not exist.
    pub async fn with_topic(topic: String) -> Self {
        // RUST_LOG shows the log of the delivery.
        let filter = tracing_subscriber::EnvFilter::from_default_env();
        let _ = tracing_subscriber::fmt().with_env_filter(filter).with_test_writer().try_init();
        let brokers = test_cluster::kafka_brokers().await;
        let url = test_cluster::create_database("delivery").await;
        let pool = pool::connect(&url, 12).unwrap();
        schema::migrate(&pool, LaneCount::try_from(16).unwrap()).await.unwrap();
        let lanes = schema::check(&pool).await.unwrap();
        catalogue_store::publish(&pool, &plaudit_task_file::parse(TASKS).unwrap(), "test")
            .await
            .unwrap();
        let executor = executor(&pool, lanes);
        Self { url, pool, brokers, topic, executor }
    }

    pub fn options(&self) -> DeliveryOptions {
        DeliveryOptions {
            topic: Topic {
                brokers: self.brokers.clone(),
                name: self.topic.clone(),
                properties: BTreeMap::new(),
            },
            channels: Channels::default(),
            refused_for: plaudit_delivery::REFUSED_FOR,
        }
    }

    pub fn deliver(&self) -> Deliverer {
        self.deliver_with(&self.options())
    }

    /// Delivers by these channels.
    pub fn deliver_through(&self, channels: &Value) -> Deliverer {
        // The program installs its TLS provider before it delivers.
        let _ = rustls::crypto::ring::default_provider().install_default();
        let channels = Channels::parse(&channels.to_string()).unwrap();
        self.deliver_with(&DeliveryOptions { channels, ..self.options() })
    }

    /// Delivers by these channels, in a process that can be killed.
    pub async fn deliver_to_be_killed(&self, channels: &Value) -> Doomed {
        let channels = Channels::parse(&channels.to_string()).unwrap();
        let options = DeliveryOptions { channels, ..self.options() };
        let (url, lanes) = (self.url.clone(), self.executor.lane_count());
        let start = move || {
            let runtime = tokio::runtime::Builder::new_multi_thread()
                .worker_threads(1)
                .enable_all()
                .build()
                .unwrap();
            runtime.block_on(async {
                let pool = pool::connect(&url, 8).unwrap();
                let executor = executor(&pool, lanes);
                drop(Deliverer::start(&options, &executor, &pool));
            });
            Doomed(runtime)
        };
        tokio::task::spawn_blocking(start).await.unwrap()
    }

    pub fn deliver_with(&self, options: &DeliveryOptions) -> Deliverer {
        Deliverer::start(options, &self.executor, &self.pool)
    }

    /// Delivers in another process, which knows nothing of what the one before met.
    pub fn deliver_in_new_process(&self) -> Deliverer {
        let executor = executor(&self.pool, self.executor.lane_count());
        Deliverer::start(&self.options(), &executor, &self.pool)
    }

    /// Delivers through a proxy to the database.
    pub async fn deliver_through_proxy(&self) -> (Deliverer, FaultProxy) {
        let (proxy, through) = test_cluster::fault_proxy(&self.url).await;
        let pool = pool::connect(&through, 8).unwrap();
        let executor = executor(&pool, self.executor.lane_count());
        (Deliverer::start(&self.options(), &executor, &pool), proxy)
    }

    pub fn lane_of(&self, user: &str) -> Lane {
        Lane::of(user, self.executor.lane_count())
    }

    /// Users send their n-th gift, all in one batch.
    pub async fn gifts(&self, users: &[&str], number: u32) {
        self.act(users, "gift.sent", number).await;
    }

    pub async fn act(&self, users: &[&str], kind: &str, number: u32) {
        let id = number.to_string();
        let item = |user: &&str| {
            let parts = Parts {
                user,
                source: "/test",
                id: &id,
                kind,
                time: AT,
                data: serde_json::Map::new(),
            };
            self.item(user, Incoming::Action(Action::new(parts).unwrap()))
        };
        let items: Vec<Item<Incoming>> = users.iter().map(item).collect();
        let applied = self.executor.execute(&Batch { items, checkpoints: vec![] }).await.unwrap();
        assert!(
            applied.iter().all(|applied| applied.answer == ActionAnswer::Accepted),
            "{applied:?}"
        );
    }

    /// Claims the rewards that `user` has earned by `task`.
    pub async fn claim(&self, user: &str, task: &str) {
        let work = Claim {
            user: user_id(user),
            task: TaskId::try_from(task.to_owned()).unwrap(),
            period: None,
            milestone: None,
            at: AT.parse::<Timestamp>().unwrap(),
            idempotency_key: None,
        };
        let items = vec![self.item(user, work)];
        let applied = self.executor.execute(&Batch { items, checkpoints: vec![] }).await.unwrap();
        assert!(matches!(applied[0].answer, Ok(ClaimAnswer::Claimed(_))), "{applied:?}");
    }

    /// An operator requests the redelivery of a grant.
    pub async fn redeliver(&self, user: &str, grant: Uuid) {
        self.redeliver_with(user, grant, (false, true)).await;
    }

    /// An operator requests a redelivery by the current settings, even if another payer was asked
    /// before.
    pub async fn redeliver_to_new_payer(&self, user: &str, grant: Uuid) {
        self.redeliver_with(user, grant, (false, false)).await;
    }

    /// An operator requests the redelivery of a delivered grant, because the payer forgot it.
    pub async fn redeliver_delivered(&self, user: &str, grant: Uuid) {
        self.redeliver_with(user, grant, (true, true)).await;
    }

    async fn redeliver_with(
        &self,
        user: &str,
        grant: Uuid,
        (even_if_delivered, keeps_payer): (bool, bool),
    ) {
        let work = Redeliver {
            user: user_id(user),
            grant,
            by: "olga".to_owned(),
            reason: "it is mended".to_owned(),
            at: AT.parse::<Timestamp>().unwrap(),
            even_if_delivered,
            keeps_payer,
        };
        let items = vec![self.item(user, work)];
        let applied = self.executor.execute(&Batch { items, checkpoints: vec![] }).await.unwrap();
        assert_eq!(applied[0].answer, Ok(RedeliverAnswer::Accepted));
    }

    /// The payer of a grant confirms it by an action.
    pub async fn confirm(&self, user: &str, grant: Uuid) {
        self.say(user, grant, "plaudit.reward.delivered").await;
    }

    /// The payer reports on a grant by an action of this type.
    pub async fn say(&self, user: &str, grant: Uuid, kind: &str) {
        let data = json!({ "grant": grant });
        let parts = Parts {
            user,
            source: "/payer",
            id: &Uuid::new_v4().to_string(),
            kind,
            time: AT,
            data: data.as_object().unwrap().clone(),
        };
        let items = vec![self.item(user, Incoming::Action(Action::new(parts).unwrap()))];
        let applied = self.executor.execute(&Batch { items, checkpoints: vec![] }).await.unwrap();
        assert_eq!(applied[0].answer, ActionAnswer::Accepted);
    }

    /// The types of a user's events, in order.
    pub async fn events_of(&self, user: &str) -> Vec<String> {
        sqlx::query_scalar(
            "select event_type from events where aggregate_id = $1 order by sequence",
        )
        .bind(user)
        .fetch_all(&self.pool)
        .await
        .unwrap()
    }

    fn item<K>(&self, user: &str, work: K) -> Item<K> {
        Item { lane: self.lane_of(user), work, origin: Origin::Request(Uuid::new_v4()) }
    }

    /// Reads all records of the topic, in order of each partition.
    pub async fn published(&self) -> Vec<Published> {
        let (brokers, topic) = (self.brokers.clone(), self.topic.clone());
        tokio::task::spawn_blocking(move || read_all(&brokers, &topic)).await.unwrap()
    }

    /// Waits until the topic holds at least `count` records.
    pub async fn until_published(&self, count: usize) -> Vec<Published> {
        let look = async || Some(self.published().await).filter(|all| all.len() >= count);
        eventually(&format!("{count} rewards are published"), look).await
    }

    /// The published rewards of each user, in order, as [`Published::what`] describes them.
    pub fn by_user(published: &[Published]) -> BTreeMap<String, Vec<String>> {
        let mut by_user: BTreeMap<String, Vec<String>> = BTreeMap::new();
        for reward in published {
            by_user.entry(reward.key.clone()).or_default().push(reward.what());
        }
        by_user
    }

    /// Waits until the checkpoints have reached the end of the log and no delivery waits.
    pub async fn until_caught_up(&self) {
        let behind = "select (select count(*) from deliveries where state = 'waiting') + count(*) from lanes l
            left join follower_checkpoints f on f.lane = l.lane and f.follower = 'delivery'
            where exists (select from events e where e.lane = l.lane and e.position > f.position
                          and e.event_type in ('milestone_reached', 'rewards_claimed'))";
        eventually("all that is due is delivered", async || {
            let behind: i64 = sqlx::query_scalar(behind).fetch_one(&self.pool).await.unwrap();
            (behind == 0).then_some(())
        })
        .await;
    }

    /// Inserts an event that no version of Plaudit would accept, around all checks.
    pub async fn append_raw(&self, user: &str, event_type: &str, version: &str, payload: &Value) {
        let lane = self.lane_of(user);
        let mut tx = self.pool.begin().await.unwrap();
        sqlx::query(
            "insert into events (lane, aggregate_type, aggregate_id, sequence, event_type,
                                 event_version, payload, metadata, position)
             select $1, 'UserTasks', $2,
                    (select coalesce(max(sequence), 0) + 1 from events
                     where lane = $1 and aggregate_type = 'UserTasks' and aggregate_id = $2),
                    $3, $4, $5::json, '{}',
                    (select coalesce(max(position), 0) + 1 from events where lane = $1)",
        )
        .bind(lane.0)
        .bind(user)
        .bind(event_type)
        .bind(version)
        .bind(payload.to_string())
        .execute(&mut *tx)
        .await
        .unwrap();
        tx.commit().await.unwrap();
    }

    /// Turns the row of [`Self::append_raw`] into one that this program can read, as a newer
    /// program would.
    pub async fn make_readable(&self, user: &str) {
        let payload = json!({
            "type": "rewards_claimed", "task": "team", "version": 1, "milestone": 1, "at": AT,
            "period": { "key": "once", "starts_at": null, "ends_at": null },
            "rewards": [{ "grant": Uuid::new_v4(), "task": "team", "version": 1, "period": "once",
                "milestone": 1, "line": "gold", "kind": "currency", "code": "gold", "amount": 5,
                "reached_at": AT }],
        });
        let mut tx = self.pool.begin().await.unwrap();
        sqlx::query("grant update on events to current_user").execute(&mut *tx).await.unwrap();
        let mended = sqlx::query(
            "update events set event_version = '1.0', payload = $2
             where aggregate_id = $1 and event_version = '2.0'",
        )
        .bind(user)
        .bind(payload)
        .execute(&mut *tx)
        .await
        .unwrap();
        assert_eq!(mended.rows_affected(), 1);
        sqlx::query("revoke update on events from current_user").execute(&mut *tx).await.unwrap();
        tx.commit().await.unwrap();
    }

    /// Creates the topic under its own name.
    pub async fn create_topic(&self) {
        let admin: AdminClient<DefaultClientContext> =
            ClientConfig::new().set("bootstrap.servers", &self.brokers).create().unwrap();
        let topic = NewTopic::new(&self.topic, PARTITIONS, TopicReplication::Fixed(1));
        for created in admin.create_topics([&topic], &AdminOptions::new()).await.unwrap() {
            created.unwrap();
        }
    }
}

pub fn user_id(user: &str) -> UserId {
    UserId::try_from(user.to_owned()).unwrap()
}

/// Waits for a fact.
pub async fn eventually<T>(fact: &str, look: impl AsyncFnMut() -> Option<T>) -> T {
    waiting::eventually(WAIT_MAX, fact, look).await
}
