//! A database with a log, and a follower that copies positions into a table.

use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use plaudit_domain::lane::{Lane, LaneCount, Position};
use plaudit_embedded::{test_cluster, waiting};
use plaudit_event_store::{move_checkpoints, pool, schema};
use plaudit_followers::{FollowerHealth, Handler, HeadWatch, LaneOutcome, Runner, Span};
use serde_json::json;
use sqlx::PgPool;
use tokio_util::sync::CancellationToken;

pub const FOLLOWER: &str = "copier";
pub const LANES: i64 = 16;

/// Time limit for every wait, on a busy machine.
const WAIT_MAX: Duration = Duration::from_secs(60);

pub struct World {
    pub url: String,
    pub pool: PgPool,
    pub lane_count: LaneCount,
}

impl World {
    pub async fn new() -> Self {
        let filter = tracing_subscriber::EnvFilter::from_default_env();
        let _ = tracing_subscriber::fmt().with_env_filter(filter).with_test_writer().try_init();
        let url = test_cluster::create_database("followers").await;
        let pool = pool::connect(&url, 8).unwrap();
        let lane_count = LaneCount::try_from(LANES).unwrap();
        schema::migrate(&pool, lane_count).await.unwrap();
        // No key: a position that is handled twice shows as two rows.
        sqlx::query("create table copied (lane smallint, position bigint)")
            .execute(&pool)
            .await
            .unwrap();
        Self { url, pool, lane_count }
    }

    /// Appends an event for each user, as stock postgres-es does.
    pub async fn append(&self, users: impl Iterator<Item = String>) {
        for user in users {
            sqlx::query(
                "insert into cqrs_events select 'UserTasks', $1, coalesce(max(sequence), 0) + 1,
                        'user_updated', '1.0', $2, '{}' from events where aggregate_id = $1",
            )
            .bind(user)
            .bind(json!({"type": "user_updated", "at": "2026-03-29T09:12:00Z",
                         "zone": "Europe/Paris", "attributes": {}}))
            .execute(&self.pool)
            .await
            .unwrap();
        }
    }

    pub fn lane_of(&self, user: &str) -> Lane {
        Lane::of(user, self.lane_count)
    }

    pub async fn head_of(&self, lane: Lane) -> Position {
        let number: i64 =
            sqlx::query_scalar("select coalesce(max(position), 0) from events where lane = $1")
                .bind(lane.0)
                .fetch_one(&self.pool)
                .await
                .unwrap();
        Position { lane, number }
    }

    /// Waits until every position was copied, and checks that none was copied twice.
    pub async fn until_copied(&self) {
        eventually("every position was copied", async || {
            let missing = self
                .count(
                    "select count(*) from events e where not exists
                         (select from copied c where c.lane = e.lane and c.position = e.position)",
                )
                .await;
            (missing == 0).then_some(())
        })
        .await;
        let twice = "select count(*) from (select lane, position from copied
                     group by 1, 2 having count(*) > 1) twice";
        assert_eq!(self.count(twice).await, 0);
    }

    pub async fn count(&self, sql: &str) -> i64 {
        sqlx::query_scalar(sql).fetch_one(&self.pool).await.unwrap()
    }

    /// Number of lane groups of each process, in ascending order.
    pub async fn shares(&self) -> Vec<i64> {
        sqlx::query_scalar(
            "select count(*) from follower_leases
             where member is not null and expires_at > clock_timestamp() group by member order by 1",
        )
        .fetch_all(&self.pool)
        .await
        .unwrap()
    }
}

/// Copies the positions of the log; each checkpoint moves in the transaction of its copies.
pub struct Copier {
    pub pool: PgPool,
    /// Panics at the first event of this lane, once.
    pub fails_in: Option<(Lane, Arc<std::sync::atomic::AtomicBool>)>,
}

#[async_trait]
impl Handler for Copier {
    async fn handle(&mut self, spans: &[Span]) -> Result<Vec<LaneOutcome>, String> {
        let mut outcomes = Vec::new();
        for span in spans {
            if let Some((lane, is_armed)) = &self.fails_in
                && *lane == span.lane
                && is_armed.swap(false, std::sync::atomic::Ordering::SeqCst)
            {
                panic!("asked to");
            }
            let copied = self.copy(span).await;
            outcomes.push(match copied {
                Ok(()) => {
                    LaneOutcome::Handled { lane: span.lane, up_to: span.head, is_stored: true }
                }
                Err(reason) => LaneOutcome::Failed { lane: span.lane, reason },
            });
        }
        Ok(outcomes)
    }
}

impl Copier {
    async fn copy(&self, span: &Span) -> Result<(), String> {
        let mut tx = self.pool.begin().await.map_err(|e| e.to_string())?;
        sqlx::query(
            "insert into copied select lane, position from events
             where lane = $1 and position > $2 and position <= $3",
        )
        .bind(span.lane.0)
        .bind(span.after)
        .bind(span.head)
        .execute(&mut *tx)
        .await
        .map_err(|e| e.to_string())?;
        let step = span.checkpoint(FOLLOWER, span.head);
        move_checkpoints(&[step], &mut tx).await.map_err(|e| e.to_string())?;
        tx.commit().await.map_err(|e| e.to_string())
    }
}

pub fn start(pool: &PgPool, stop: &CancellationToken) -> Runner {
    start_with(pool, stop, None)
}

pub fn start_with(
    pool: &PgPool,
    stop: &CancellationToken,
    fails_in: Option<(Lane, Arc<std::sync::atomic::AtomicBool>)>,
) -> Runner {
    let heads = HeadWatch::start(pool, stop.clone());
    let handler = {
        let pool = pool.clone();
        move || Copier { pool: pool.clone(), fails_in: fails_in.clone() }
    };
    let health = Arc::new(FollowerHealth::new(FOLLOWER));
    Runner::start(FOLLOWER, handler, pool, heads, health, stop.clone())
}

/// Waits for a fact.
pub async fn eventually<T>(fact: &str, look: impl AsyncFnMut() -> Option<T>) -> T {
    waiting::eventually(WAIT_MAX, fact, look).await
}
