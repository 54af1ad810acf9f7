//! A database of its own for each test, and users with actions.

use std::sync::Arc;

use jiff::Timestamp;
use plaudit_domain::action::{Action, Parts};
use plaudit_domain::ids::UserId;
use plaudit_domain::lane::{Lane, LaneCount};
use plaudit_embedded::test_cluster;
use plaudit_event_store::catalogue_store::{self, CatalogueStore};
use plaudit_event_store::{
    Applied, Batch, ClaimAll, ExecuteError, Executor, Incoming, Item, Origin, StartDeliveries,
    Work, pool, rewards, schema,
};
use plaudit_projections::verify;
use serde_json::{Value, json};
use sqlx::PgPool;

pub struct World {
    pub url: String,
    pub pool: PgPool,
    pub lanes: LaneCount,
    pub executor: Arc<Executor>,
}

impl World {
    /// A world with the sample tasks and no events.
    pub async fn new() -> Self {
        let url = test_cluster::create_database("projections").await;
        Self::open(&url).await
    }

    /// The same, with this number of connections for everything but rebuilds.
    pub async fn with_connections(connections: u32) -> Self {
        let url = test_cluster::create_database("projections").await;
        Self::open_with(&url, connections).await
    }

    pub async fn open(url: &str) -> Self {
        Self::open_with(url, 16).await
    }

    async fn open_with(url: &str, connections: u32) -> Self {
        let pool = pool::connect(url, connections).unwrap();
        let lanes = LaneCount::try_from(8).unwrap();
        schema::migrate(&pool, lanes).await.unwrap();
        let tasks = plaudit_task_file::parse(include_str!("../../../samples/tasks.yaml")).unwrap();
        catalogue_store::publish(&pool, &tasks, "test").await.unwrap();
        let catalogue = Arc::new(CatalogueStore::default());
        let projections: Vec<Arc<dyn plaudit_event_store::BatchProjection>> = vec![];
        let executor = Executor::new(pool.clone(), lanes, catalogue, projections);
        Self { url: url.to_owned(), pool, lanes, executor: Arc::new(executor) }
    }

    pub fn lane(&self, user: &UserId) -> Lane {
        Lane::of(user.as_str(), self.lanes)
    }

    pub async fn apply(&self, items: Vec<Item>) -> Vec<Applied> {
        let batch = Batch { items, checkpoints: vec![] };
        loop {
            match self.executor.execute(&batch).await {
                // A batch that waited too long for a lane is sent again.
                Err(ExecuteError::LanesBusy(_)) => {}
                applied => return applied.unwrap(),
            }
        }
    }

    pub fn item(&self, user: &UserId, work: impl Into<Work>) -> Item {
        Item { lane: self.lane(user), work: work.into(), origin: Origin::Follower }
    }

    /// Every row of the core views, as text.
    pub async fn dump(&self) -> Vec<String> {
        sqlx::query_scalar(
            "select 'user ' || t::text from user_view t union all
             select 'task ' || t::text from task_view t union all
             select 'values ' || t::text from distinct_values t union all
             select 'reward ' || t::text from reward_state t order by 1",
        )
        .fetch_all(&self.pool)
        .await
        .unwrap()
    }

    /// Stores the delivery of half of the claimed rewards.
    pub async fn deliver(&self, users: &[UserId]) {
        let mut items = Vec::new();
        for user in users {
            let lane = self.lane(user);
            let page = rewards::load(
                &self.pool,
                lane,
                user,
                Some("claimed"),
                None,
                1000,
                Timestamp::now(),
            );
            let rewards: Vec<_> = page.await.unwrap().rows.into_iter().map(|r| r.reward).collect();
            let some = rewards.len().div_ceil(2);
            let rewards = rewards.into_iter().take(some).collect();
            items.push(self.item(user, StartDeliveries { user: user.clone(), rewards }));
        }
        self.apply(items).await;
    }

    /// Inserts an event that no version of Plaudit would accept, around all checks.
    pub async fn append_raw(&self, user: &UserId, event_type: &str, version: &str) {
        let lane = self.lane(user);
        let mut tx = self.pool.begin().await.unwrap();
        sqlx::query(
            "insert into events (lane, aggregate_type, aggregate_id, sequence, event_type,
                                 event_version, payload, metadata, position)
             select $1, 'UserTasks', $2,
                    (select coalesce(max(sequence), 0) + 1 from events
                     where lane = $1 and aggregate_type = 'UserTasks' and aggregate_id = $2),
                    $3, $4, '{}', '{}',
                    (select coalesce(max(position), 0) + 1 from events where lane = $1)",
        )
        .bind(lane.0)
        .bind(user.as_str())
        .bind(event_type)
        .bind(version)
        .execute(&mut *tx)
        .await
        .unwrap();
        tx.commit().await.unwrap();
    }

    pub async fn assert_verified(&self) {
        let report = verify::verify(&self.pool, None, |_| {}).await.unwrap();
        assert_eq!(report.differences.first, []);
        assert!(report.is_equal() && report.behind.is_empty());
        let events: i64 =
            sqlx::query_scalar("select count(*) from events").fetch_one(&self.pool).await.unwrap();
        assert_eq!(i64::try_from(report.events).unwrap(), events);
    }
}

pub fn users(count: usize) -> Vec<UserId> {
    let odd = ["ü-\\t", "O'Hara", "a\"b", "日本"].map(str::to_owned);
    let names = odd.into_iter().chain((0..).map(|n| format!("user-{n}")));
    names.take(count).map(|name| name.parse().unwrap()).collect()
}

/// Numbers that look random and are the same in every run (`SplitMix64`).
pub struct Dice(pub u64);

impl Dice {
    pub fn roll(&mut self, sides: usize) -> usize {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        usize::try_from((z ^ (z >> 31)) % sides as u64).unwrap()
    }
}

/// `count` actions of users over about three weeks, with claims in between.
pub fn days_of_work(world: &World, users: &[UserId], count: usize, dice: &mut Dice) -> Vec<Item> {
    let base: jiff::Timestamp = "2026-03-20T00:00:00Z".parse().unwrap();
    let minutes = 21 * 24 * 60;
    let step = |n: usize| {
        // Mostly in order, sometimes up to two days late.
        let late = if dice.roll(8) == 0 { dice.roll(2 * 24 * 60) } else { 0 };
        let minute = (n * minutes / count).saturating_sub(late);
        let at = base + jiff::SignedDuration::from_mins(i64::try_from(minute).unwrap());
        let user = &users[dice.roll(users.len())];
        let work: Work = match dice.roll(12) {
            0 => ClaimAll { user: user.clone(), at, idempotency_key: None }.into(),
            1 if dice.roll(3) == 0 => {
                let zone = ["Europe/Paris", "Asia/Shanghai", "Pacific/Apia", "UTC"][dice.roll(4)];
                let data = json!({ "zone": zone, "attributes": { "level": dice.roll(9) } });
                Incoming::Action(action(user, n, "plaudit.user.updated", at, &data)).into()
            }
            roll => {
                let (kind, data) = match roll % 6 {
                    1 => ("team.formed", json!({})),
                    2 => ("profile.updated", json!({ "complete": dice.roll(3) == 0 })),
                    3 => ("stream.watched", json!({ "minutes": 5 + dice.roll(30) })),
                    4 => ("user.signed_in", json!({})),
                    _ => ("gift.sent", json!({ "coins": 1 + dice.roll(400) })),
                };
                Incoming::Action(action(user, n, kind, at, &data)).into()
            }
        };
        world.item(user, work)
    };
    (0..count).map(step).collect()
}

pub fn action(user: &UserId, id: usize, kind: &str, at: jiff::Timestamp, data: &Value) -> Action {
    let (id, time) = (format!("{kind}-{id}"), at.to_string());
    let data = data.as_object().unwrap().clone();
    let (user, source, id, time) = (user.as_str(), "/test", id.as_str(), time.as_str());
    Action::new(Parts { user, source, id, kind, time, data }).unwrap()
}
