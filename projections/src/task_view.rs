//! `task_view` and `user_view`: what a task screen needs of a user. Every row is a function of the
//! user's fold, so the live view, a rebuilt one and the audit can only say the same.

mod reads;
mod row;

use plaudit_domain::calendar::Zones;
use plaudit_domain::ids::UserId;
use plaudit_domain::lane::{Lane, Position};
use plaudit_domain::user_tasks::UserTasks;
use plaudit_event_store::batch::ChangedUser;
use plaudit_event_store::instant;
use sqlx::postgres::PgRow;
use sqlx::{PgConnection, PgPool, Row};
use uuid::Uuid;

pub use reads::Reads;
pub(crate) use row::{COLUMNS, as_stored};
pub use row::{PeriodRow, TaskRow, row, rows};

use crate::error::undecodable;

/// A user as last projected.
#[derive(Debug, Clone, PartialEq)]
pub struct UserView {
    /// What a screen is made of: zones and tasks. What only rules ask for (attributes, watermarks,
    /// whether anything was counted) is left out.
    pub state: UserTasks,
    /// The head of the user's lane at which it was true.
    pub position: Position,
    /// The catalogue that was in force then.
    pub catalogue_identity: Uuid,
}

/// Reads a user: one statement, one round trip, one snapshot.
///
/// # Errors
///
/// `RowNotFound` if there is no such lane.
pub async fn load(pool: &PgPool, lane: Lane, user: &UserId) -> sqlx::Result<UserView> {
    let mut connection = pool.acquire().await?;
    let views = load_all(&[(lane, user.clone())], &mut connection).await?;
    views.into_iter().next().unwrap_or(Err(sqlx::Error::RowNotFound))
}

/// Reads some users, in the order in which they are named. The outer error is the statement's; a user
/// whose rows can't be read has one of their own.
async fn load_all(
    users: &[(Lane, UserId)],
    connection: &mut PgConnection,
) -> sqlx::Result<Vec<sqlx::Result<UserView>>> {
    let lanes: Vec<i16> = users.iter().map(|(lane, _)| lane.0).collect();
    let names: Vec<&str> = users.iter().map(|(_, user)| user.as_str()).collect();
    let rows = sqlx::query(include_str!("task_view/load.sql"))
        .bind(&lanes)
        .bind(&names)
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

/// A user from their rows: the first columns are the same in each.
fn read_user(rows: &[&PgRow], lane: Lane) -> sqlx::Result<UserView> {
    let first = rows.first().ok_or(sqlx::Error::RowNotFound)?;
    let mut state = UserTasks::default();
    if let Some(zones) = first.try_get_unchecked::<Option<&str>, _>(3)? {
        state.zones = serde_json::from_str(zones).map_err(undecodable)?;
    }
    for row in rows {
        if let Some(row) = TaskRow::read(row, 4)? {
            let (task, past) = row.into_state().map_err(undecodable)?;
            state.tasks.insert(task, past);
        }
    }
    let position = Position { lane, number: first.try_get(1)? };
    Ok(UserView { state, position, catalogue_identity: first.try_get(2)? })
}

/// The row of `user_view`; `None` for a user who never told a zone.
pub(crate) fn zones_text(zones: &Zones) -> Option<String> {
    (!zones.is_unknown())
        .then(|| serde_json::to_string(zones).expect("names and instants are always text"))
}

/// Removes all rows of these users.
pub(crate) async fn delete(
    users: &[&ChangedUser],
    connection: &mut PgConnection,
) -> sqlx::Result<()> {
    let lanes: Vec<i16> = users.iter().map(|user| user.lane.0).collect();
    let names: Vec<&str> = users.iter().map(|user| user.user.as_str()).collect();
    for table in ["user_view", "task_view"] {
        sqlx::query(&format!("delete from {table} where lane = any($1) and user_id = any($2)"))
            .bind(&lanes)
            .bind(&names)
            .execute(&mut *connection)
            .await?;
    }
    Ok(())
}

/// Writes the rows of the tasks that were touched; of refolded users all rows.
pub(crate) async fn write_tasks(
    users: &[ChangedUser],
    connection: &mut PgConnection,
) -> sqlx::Result<()> {
    let (mut lanes, mut names, mut written) = (vec![], vec![], vec![]);
    for user in users {
        let before = written.len();
        if user.refolded {
            written.extend(rows(&user.state));
        } else {
            // A task that was only told about, such as of an action too late, has no row.
            written.extend(user.touched.iter().filter_map(|task| row(&user.state, task)));
        }
        let count = written.len() - before;
        lanes.extend(std::iter::repeat_n(user.lane.0, count));
        names.extend(std::iter::repeat_n(user.user.as_str(), count));
    }
    if written.is_empty() {
        return Ok(());
    }
    let periods = || written.iter().map(|row| row.period.as_ref());
    let times = |of: fn(&PeriodRow) -> Option<jiff::Timestamp>| -> Vec<_> {
        periods().map(|p| p.and_then(of).map(instant::to_sql)).collect()
    };
    let completed_at: Vec<_> =
        written.iter().map(|row| row.completed_at.map(instant::to_sql)).collect();
    sqlx::query(include_str!("task_view/upsert.sql"))
        .bind(&lanes)
        .bind(&names)
        .bind(written.iter().map(|row| row.task.as_str()).collect::<Vec<_>>())
        .bind(&completed_at)
        .bind(periods().map(|p| p.map(|p| p.version)).collect::<Vec<_>>())
        .bind(periods().map(|p| p.map(|p| p.key.as_str())).collect::<Vec<_>>())
        .bind(times(|p| p.starts_at))
        .bind(times(|p| p.ends_at))
        .bind(times(|p| p.closes_at))
        .bind(periods().map(|p| p.map(|p| p.progress)).collect::<Vec<_>>())
        .bind(periods().map(|p| p.map(|p| p.completed)).collect::<Vec<_>>())
        .bind(written.iter().map(|row| row.details.as_deref()).collect::<Vec<_>>())
        .execute(connection)
        .await?;
    Ok(())
}

/// Writes the zones of the users who may have told one.
pub(crate) async fn write_zones(
    users: &[ChangedUser],
    connection: &mut PgConnection,
) -> sqlx::Result<()> {
    let told = users.iter().filter(|user| user.user_touched || user.refolded);
    let told: Vec<_> = told.filter_map(|u| Some((u, zones_text(&u.state.zones)?))).collect();
    if told.is_empty() {
        return Ok(());
    }
    sqlx::query(
        "insert into user_view (lane, user_id, zones)
         select u.lane, u.user_id, u.zones::json
         from unnest($1::smallint[], $2::text[], $3::text[]) u (lane, user_id, zones)
         on conflict (lane, user_id) do update set zones = excluded.zones",
    )
    .bind(told.iter().map(|(user, _)| user.lane.0).collect::<Vec<_>>())
    .bind(told.iter().map(|(user, _)| user.user.as_str()).collect::<Vec<_>>())
    .bind(told.iter().map(|(_, zones)| zones.as_str()).collect::<Vec<_>>())
    .execute(connection)
    .await?;
    Ok(())
}
