//! Backfills: a new task counts past actions by reading the topics again. A worker elsewhere does
//! the reading; this module keeps the state of each backfill and ensures that no action counts
//! twice.
//!
//! The boundary between past and live is exact. The first batch of a lane that is decided with a
//! catalogue containing the task stores the offset that the lane had applied of each source
//! partition ([`bounds`]). The batch holds the lane, so later offsets are decided with the task and
//! earlier ones were decided without it. Identities ([`actions`]) cover the rest: a resumed
//! reading, a repeat in the topic, a repeat that arrived live.

pub(crate) mod actions;
pub mod bounds;
pub mod changes;
pub mod lease;
mod open;

use std::fmt;
use std::str::FromStr;

use chrono::{DateTime, Utc};
use jiff::Timestamp;
use plaudit_domain::catalogue::definition::{Backfill, BackfillRewards};
use plaudit_domain::ids::TaskId;
use serde::{Deserialize, Serialize};
use sqlx::postgres::PgRow;
use sqlx::{PgConnection, PgPool, Row as _};

use crate::instant;
use crate::states::undecodable;

pub use open::{OpenBackfill, OpenBackfills};

/// The state of a backfill.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum BackfillState {
    /// Records are being read.
    Running,
    /// Paused by an operator.
    Paused,
    /// All records have been read.
    Done,
    /// Cancelled by an operator, or the task was retired. Progress already counted stays.
    Cancelled,
}

impl BackfillState {
    /// The word stored in the database and shown to users.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Running => "running",
            Self::Paused => "paused",
            Self::Done => "done",
            Self::Cancelled => "cancelled",
        }
    }

    /// True if the backfill may still count actions.
    pub fn is_open(self) -> bool {
        matches!(self, Self::Running | Self::Paused)
    }
}

impl fmt::Display for BackfillState {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

impl FromStr for BackfillState {
    type Err = UnknownBackfillWord;

    fn from_str(got: &str) -> Result<Self, Self::Err> {
        let all = [Self::Running, Self::Paused, Self::Done, Self::Cancelled];
        let found = all.into_iter().find(|state| state.as_str() == got);
        found.ok_or_else(|| UnknownBackfillWord { got: got.to_owned() })
    }
}

/// A stored word of a backfill that this program does not know.
#[derive(Debug, thiserror::Error)]
#[error("{got:?} is not known of backfills; is this program older than the one that wrote it?")]
pub struct UnknownBackfillWord {
    got: String,
}

/// A backfill and its progress.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct BackfillStatus {
    /// The task.
    pub task: TaskId,
    /// Its state.
    pub state: BackfillState,
    /// The earliest time of an action that counts.
    pub from: Timestamp,
    /// The treatment of rewards that past actions earn.
    pub rewards: BackfillRewards,
    /// The time of the task's publication.
    pub created_at: Timestamp,
    /// The time at which it was done or cancelled.
    pub finished_at: Option<Timestamp>,
    /// The total number of records to read; absent until it is known, a moment after the
    /// publication.
    pub records: Option<i64>,
    /// The number of records read so far.
    pub records_read: i64,
    /// The number of past actions that moved the task.
    pub moved: i64,
    /// The number of past actions that did not.
    pub unmoved: i64,
    /// The number of past actions that could not be decided; the log names their users.
    pub failed: i64,
    /// The number of past actions that were taken back and do not count.
    #[serde(default)]
    pub reversed: i64,
    /// The problem that blocks the backfill; `None` if it makes progress.
    pub problem: Option<String>,
    /// The time of the last progress.
    pub progressed_at: Timestamp,
    /// The time at which an operator released the held rewards.
    pub release_requested_at: Option<Timestamp>,
    /// The time at which all held rewards were granted.
    pub released_at: Option<Timestamp>,
    /// The number of users whose held rewards were granted.
    pub released_users: i64,
    /// The records to read, by partition.
    pub partitions: Vec<BackfillPartition>,
}

/// The records that a backfill reads from one source partition.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct BackfillPartition {
    /// The topic.
    pub topic: String,
    /// The number of times the topic was recreated and accepted again.
    #[serde(skip)]
    pub incarnation: i32,
    /// The partition.
    pub partition: i32,
    /// The first offset to read.
    pub start_offset: i64,
    /// The next offset to read.
    pub next_offset: i64,
    /// The first offset not to read: live processing decided it with the task.
    pub end_offset: i64,
    /// Set if Kafka has removed records that may have counted: the timestamp of the oldest
    /// remaining record.
    pub kept_from: Option<Timestamp>,
    /// The number of records that can't be read: Kafka removed them after planning, or they are
    /// those of an earlier topic of this name, or of a topic that is no longer read.
    pub lost: i64,
}

/// Selects the columns of a backfill and the sums over its partitions.
const STATUS: &str = include_str!("backfills/list.sql");

/// Lists backfills, newest first: at most `limit`, without their partitions.
pub async fn list(pool: &PgPool, limit: i64) -> sqlx::Result<Vec<BackfillStatus>> {
    let sql = format!("{STATUS} order by b.created_at desc, b.task_id limit $1");
    let rows = sqlx::query(&sql).bind(limit).fetch_all(pool).await?;
    rows.iter().map(status).collect()
}

/// The backfill of a task; `None` if it has none.
pub async fn find(pool: &PgPool, task: &TaskId) -> sqlx::Result<Option<BackfillStatus>> {
    let sql = format!("{STATUS} where b.task_id = $1");
    let row = sqlx::query(&sql).bind(task.as_str()).fetch_optional(pool).await?;
    let Some(row) = row else { return Ok(None) };
    let mut found = status(&row)?;
    found.partitions = partitions(pool, task).await?;
    Ok(Some(found))
}

/// The partitions that the backfill of a task reads.
pub async fn partitions(pool: &PgPool, task: &TaskId) -> sqlx::Result<Vec<BackfillPartition>> {
    let rows = sqlx::query(include_str!("backfills/partitions.sql"))
        .bind(task.as_str())
        .fetch_all(pool)
        .await?;
    let partition = |row: &PgRow| {
        Ok(BackfillPartition {
            topic: row.try_get(0)?,
            incarnation: row.try_get(1)?,
            partition: row.try_get(2)?,
            start_offset: row.try_get(3)?,
            next_offset: row.try_get(4)?,
            end_offset: row.try_get(5)?,
            kept_from: row.try_get::<Option<DateTime<Utc>>, _>(6)?.map(instant::from_sql),
            lost: row.try_get(7)?,
        })
    };
    rows.iter().map(partition).collect()
}

/// Time without progress after which a running backfill is reported.
const STUCK_AFTER_SECONDS: f64 = 60.0;

/// Returns one sentence for each running backfill that makes no progress.
pub async fn warnings(pool: &PgPool) -> sqlx::Result<Vec<String>> {
    let rows: Vec<(String, Option<String>, f64)> =
        sqlx::query_as(include_str!("backfills/stuck.sql"))
            .bind(STUCK_AFTER_SECONDS)
            .fetch_all(pool)
            .await?;
    let sentence = |(task, problem, seconds): (String, Option<String>, f64)| {
        let why = problem.unwrap_or_else(|| {
            "no process works on it, or live actions leave it no room".to_owned()
        });
        format!(
            "the backfill of {task} has got no further for {seconds:.0} s: {why}; see `plaudit tasks backfill status {task}`"
        )
    };
    Ok(rows.into_iter().map(sentence).collect())
}

/// Begins the backfill of a task that is published for the first time.
pub(crate) async fn begin(
    task: &TaskId,
    backfill: Backfill,
    connection: &mut PgConnection,
) -> sqlx::Result<()> {
    sqlx::query("insert into backfills (task_id, counts_from, rewards) values ($1, $2, $3)")
        .bind(task.as_str())
        .bind(instant::to_sql(backfill.from))
        .bind(rewards_text(backfill.rewards))
        .execute(connection)
        .await?;
    Ok(())
}

fn rewards_text(rewards: BackfillRewards) -> &'static str {
    match rewards {
        BackfillRewards::Grant => "grant",
        BackfillRewards::Hold => "hold",
        BackfillRewards::None => "none",
    }
}

fn rewards_from(text: &str) -> sqlx::Result<BackfillRewards> {
    match text {
        "grant" => Ok(BackfillRewards::Grant),
        "hold" => Ok(BackfillRewards::Hold),
        "none" => Ok(BackfillRewards::None),
        other => Err(undecodable(UnknownBackfillWord { got: other.to_owned() })),
    }
}

fn status(row: &PgRow) -> sqlx::Result<BackfillStatus> {
    let at = |column: &str| -> sqlx::Result<Timestamp> {
        Ok(instant::from_sql(row.try_get::<DateTime<Utc>, _>(column)?))
    };
    let maybe_at = |column: &str| -> sqlx::Result<Option<Timestamp>> {
        Ok(row.try_get::<Option<DateTime<Utc>>, _>(column)?.map(instant::from_sql))
    };
    let is_planned = maybe_at("planned_at")?.is_some();
    Ok(BackfillStatus {
        task: row.try_get::<String, _>("task_id")?.try_into().map_err(undecodable)?,
        state: row.try_get::<&str, _>("state")?.parse().map_err(undecodable)?,
        from: at("counts_from")?,
        rewards: rewards_from(row.try_get("rewards")?)?,
        created_at: at("created_at")?,
        finished_at: maybe_at("finished_at")?,
        records: row.try_get::<Option<i64>, _>("records")?.or(Some(0)).filter(|_| is_planned),
        records_read: row.try_get("records_read")?,
        moved: row.try_get("moved")?,
        unmoved: row.try_get("unmoved")?,
        failed: row.try_get("failed")?,
        reversed: row.try_get("reversed")?,
        problem: row.try_get("problem")?,
        progressed_at: at("progressed_at")?,
        release_requested_at: maybe_at("release_at")?,
        released_at: maybe_at("released_at")?,
        released_users: row.try_get("released_users")?,
        partitions: Vec::new(),
    })
}
