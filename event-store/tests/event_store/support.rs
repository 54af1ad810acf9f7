//! A separate database for each test, with published tasks.

use std::sync::Arc;
use std::time::Duration;

use plaudit_domain::action::{Action, Parts};
use plaudit_domain::catalogue::definition::TaskDefinition;
use plaudit_domain::lane::{Lane, LaneCount};
use plaudit_embedded::fault_proxy::FaultProxy;
use plaudit_embedded::{test_cluster, waiting};
use plaudit_event_store::catalogue_store::{self, CatalogueStore};
use plaudit_event_store::{
    ActionAnswer, Applied, Batch, Executor, Incoming, Item, Kind, Origin, pool, schema,
};
use serde_json::Value;
use sqlx::PgPool;
use uuid::Uuid;

pub struct Store {
    pub url: String,
    pub pool: PgPool,
    pub executor: Arc<Executor>,
    pub lane_count: LaneCount,
}

impl Store {
    /// Creates a migrated database with these tasks.
    pub async fn with_tasks(tasks: &str) -> Self {
        let url = test_cluster::create_database("store").await;
        let pool = pool::connect(&url, 8).unwrap();
        schema::migrate(&pool, 64.try_into().unwrap()).await.unwrap();
        let lane_count = schema::check(&pool).await.unwrap();
        catalogue_store::publish(&pool, &tasks_of(tasks), "test").await.unwrap();
        let catalogue = Arc::new(CatalogueStore::default());
        let executor = Arc::new(Executor::new(pool.clone(), lane_count, catalogue, vec![]));
        Self { url, pool, executor, lane_count }
    }

    pub fn item(&self, action: Action, origin: Origin) -> Item<Incoming> {
        Item {
            lane: Lane::of(action.user.as_str(), self.lane_count),
            work: Incoming::Action(action),
            origin,
        }
    }

    pub async fn execute<K: Kind>(&self, items: Vec<Item<K>>) -> Vec<Applied<K::Answer>> {
        self.executor.execute(&Batch { items, checkpoints: vec![] }).await.unwrap()
    }

    /// Applies one action as if it came over HTTP.
    pub async fn act(&self, action: Action) -> Applied<ActionAnswer> {
        let item = self.item(action, request());
        self.execute(vec![item]).await.remove(0)
    }

    /// Applies one item, and returns its answer.
    pub async fn answer<K: Kind>(&self, item: Item<K>) -> K::Answer {
        self.executor.execute_one(item).await.unwrap().answer
    }

    /// An executor as another process over the same database has it.
    pub fn another_executor(&self) -> Executor {
        Executor::new(self.pool.clone(), self.lane_count, Arc::default(), vec![])
    }

    /// Inserts an event into the log directly, as a superuser could.
    pub async fn force_event(&self, user: &str, sequence: i64, event: (&str, &str, &str)) {
        let (event_type, version, payload) = event;
        let lane = Lane::of(user, self.lane_count).0;
        sqlx::query(
            "insert into events (lane, aggregate_type, aggregate_id, sequence, event_type, event_version, payload, metadata, position)
             select lane, 'UserTasks', $2, $3, $4, $5, $6::json, '{}', next_position from lanes where lane = $1",
        )
        .bind(lane)
        .bind(user)
        .bind(sequence)
        .bind(event_type)
        .bind(version)
        .bind(payload)
        .execute(&self.pool)
        .await
        .unwrap();
    }

    /// A pool to the same database through a proxy that can freeze.
    pub async fn through_proxy(&self) -> (FaultProxy, PgPool) {
        let direct = self.pool.connect_options();
        let proxy = FaultProxy::start(format!("{}:{}", direct.get_host(), direct.get_port()));
        let proxy = proxy.await.unwrap();
        let through = direct.as_ref().clone().host("127.0.0.1").port(proxy.address().port());
        (proxy, self.pool.options().clone().connect_lazy_with(through))
    }

    pub async fn count(&self, query: &str) -> i64 {
        sqlx::query_scalar(query).fetch_one(&self.pool).await.unwrap()
    }
}

pub fn tasks_of(yaml: &str) -> Vec<TaskDefinition> {
    plaudit_task_file::parse(yaml).unwrap()
}

pub fn request() -> Origin {
    Origin::Request(Uuid::from_u128(7))
}

pub fn action(user: &str, id: &str, kind: &str, time: &str, data: &Value) -> Action {
    let data = data.as_object().unwrap().clone();
    Action::new(Parts { user, source: "/test", id, kind, time, data }).unwrap()
}

pub const TASKS: &str = r"
tasks:
  - id: first-team
    kind: ordinary
    objective: { on: team.formed, target: 1 }
    rewards: [ { line: coins, kind: currency, code: coin, amount: 100 } ]
  - id: daily-gifts
    kind: periodic
    every: day
    zone: user
    requires: [ first-team ]
    while_locked: count
    objective: { on: gift.sent, where: data.coins >= 10, measure: { sum: data.coins }, lateness: PT2H }
    milestones:
      - { at: 100, rewards: [ { line: small, kind: currency, code: coin, amount: 10 } ] }
      - { at: 1000, rewards: [ { line: big, kind: item, code: badge, amount: 1 } ] }
    claim: { mode: automatic }
  - id: sign-in
    kind: continuous
    every: day
    objective: { on: user.signed_in, target: 1 }
    streak: { cycle: 3 }
    milestones:
      - { at: 1, rewards: [ { line: d1, kind: currency, code: coin, amount: 1 } ] }
      - { at: 3, rewards: [ { line: d3, kind: currency, code: coin, amount: 5 } ] }
";

/// Waits until `look` returns a value.
pub async fn eventually<T>(fact: &str, look: impl AsyncFnMut() -> Option<T>) -> T {
    const WAIT_MAX: Duration = Duration::from_secs(60);
    waiting::eventually(WAIT_MAX, fact, look).await
}
