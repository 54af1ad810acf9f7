//! Reads the rows of a task screen. Each row is a function of the user's fold, so the live rows,
//! rebuilt ones and the audit always agree.

mod batching_loader;

use jiff::Timestamp;
use plaudit_domain::calendar::{Period, PeriodKey};
use plaudit_domain::ids::{TaskId, UserId};
use plaudit_domain::lane::{Lane, Position};
use plaudit_domain::user_tasks::{ClaimTerms, ClaimableMilestone, Reward, UserTasks};
use plaudit_event_store::instant;
use plaudit_event_store::states::{TaskRow, UserRow};
use serde::Deserialize;
use sqlx::postgres::PgRow;
use sqlx::types::Json;
use sqlx::{PgConnection, PgPool, Row};
use uuid::Uuid;

pub use batching_loader::BatchingLoader;

use crate::error::undecodable;

/// The projected state of a user.
#[derive(Debug, Clone, PartialEq)]
pub struct UserView {
    /// The user with all tasks, each with the oldest of its claimable milestones.
    pub state: UserTasks,
    /// The head of the user's lane in the same snapshot.
    pub position: Position,
    /// The catalogue in the same snapshot.
    pub catalogue_identity: Uuid,
}

/// Reads a user: one statement, one round trip, one snapshot.
///
/// # Errors
///
/// `RowNotFound` if there is no such lane.
pub async fn load(
    pool: &PgPool,
    lane: Lane,
    user: &UserId,
    now: Timestamp,
) -> sqlx::Result<UserView> {
    let mut connection = pool.acquire().await?;
    let views = load_all(&[(lane, user.clone())], now, &mut connection).await?;
    views.into_iter().next().unwrap_or(Err(sqlx::Error::RowNotFound))
}

/// Reads some users, in the given order. The outer error is the statement's; a user whose rows
/// can't be read has one of their own.
async fn load_all(
    users: &[(Lane, UserId)],
    now: Timestamp,
    connection: &mut PgConnection,
) -> sqlx::Result<Vec<sqlx::Result<UserView>>> {
    let lanes: Vec<i16> = users.iter().map(|(lane, _)| lane.0).collect();
    let names: Vec<&str> = users.iter().map(|(_, user)| user.as_str()).collect();
    let rows = sqlx::query(include_str!("task_view/load.sql"))
        .bind(&lanes)
        .bind(&names)
        .bind(instant::to_sql(now))
        .fetch_all(connection)
        .await?;
    let mut by_user: Vec<Vec<&PgRow>> = vec![Vec::new(); users.len()];
    for row in &rows {
        // `with ordinality` counts from 1.
        let place = usize::try_from(row.try_get::<i64, _>(0)? - 1).map_err(undecodable)?;
        by_user[place].push(row);
    }
    Ok(users.iter().zip(by_user).map(|((lane, _), rows)| read_user(&rows, *lane)).collect())
}

/// Reads a user from their rows; the first columns are the same in each.
fn read_user(rows: &[&PgRow], lane: Lane) -> sqlx::Result<UserView> {
    let first = rows.first().ok_or(sqlx::Error::RowNotFound)?;
    let mut state = match UserRow::read(first, 3)? {
        Some(user) => user.into_state()?,
        None => UserTasks::default(),
    };
    for row in rows {
        if let Some(task) = TaskRow::read(row, 9)? {
            let (task, mut past) = task.into_state().map_err(undecodable)?;
            let lapsed = row.try_get::<Option<i64>, _>(7)?.unwrap_or(0).unsigned_abs();
            past.unclaimed_count = past.unclaimed_count.saturating_sub(lapsed);
            if let Some(lines) = row.try_get::<Option<Json<Vec<UnclaimedLine>>>, _>(8)? {
                past.claimable = claimable(&task, lines.0);
            }
            state.tasks.insert(task, past);
        }
    }
    let position = Position { lane, number: first.try_get(1)? };
    Ok(UserView { state, position, catalogue_identity: first.try_get(2)? })
}

/// A line of a claimable milestone, as `load.sql` returns it.
#[derive(Deserialize)]
struct UnclaimedLine {
    period_key: String,
    period_starts_at: Option<Timestamp>,
    period_ends_at: Option<Timestamp>,
    milestone: i64,
    version: u32,
    granted_at: Timestamp,
    line: String,
    grant_id: Uuid,
    kind: String,
    code: String,
    amount: i64,
    claim_until: Option<Timestamp>,
}

/// Groups lines by their milestones. The lines of a milestone follow each other.
fn claimable(task: &TaskId, lines: Vec<UnclaimedLine>) -> Vec<ClaimableMilestone> {
    let mut milestones: Vec<ClaimableMilestone> = Vec::new();
    for line in lines {
        let key = PeriodKey::from(line.period_key);
        let reward = Reward {
            grant: line.grant_id,
            task: task.clone(),
            version: line.version,
            period: key.clone(),
            milestone: line.milestone,
            line: line.line,
            kind: line.kind,
            code: line.code,
            amount: line.amount,
            reached_at: line.granted_at,
        };
        match milestones.last_mut() {
            Some(open) if open.period.key == key && open.at == line.milestone => {
                open.rewards.push(reward);
            }
            _ => milestones.push(ClaimableMilestone {
                period: Period {
                    key,
                    starts_at: line.period_starts_at,
                    ends_at: line.period_ends_at,
                },
                at: line.milestone,
                version: line.version,
                reached_at: line.granted_at,
                rewards: vec![reward],
                // Only claims need to know what lapses at the end of the period; a screen does not.
                terms: ClaimTerms { claim_until: line.claim_until, at_period_end: None },
            }),
        }
    }
    milestones
}
