//! `task_view` and `user_view`: the fold of each user's stream in rows, one for the user and one
//! per task. They serve the rules and the task screens, are written in the transaction of the
//! events, and can be rebuilt from the log. `distinct_values` holds sets too large for the row of a
//! task.

mod distinct_values;
mod held;
mod recent;
mod task_row;
mod user_row;

use std::collections::{BTreeMap, BTreeSet, HashMap};

use plaudit_domain::ids::{TaskId, UserId};
use plaudit_domain::lane::Lane;
use plaudit_domain::user_tasks::UserTasks;
use sqlx::postgres::PgRow;
use sqlx::{PgConnection, Row};

pub(crate) use distinct_values::load as load_chunks;
pub use distinct_values::{
    COLUMNS as VALUE_COLUMNS, LargeSets, NeededChunk, SetKey, ValueChunk, chunks,
};
pub use held::users_with_held_rewards;
pub use recent::RecentUsers;
pub use task_row::{COLUMNS as TASK_COLUMNS, PeriodRow, TaskRow, row, rows, truncate_to_micros};
pub use user_row::{COLUMNS as USER_COLUMNS, UserRow};

use crate::aggregate::AGGREGATE_TYPE;
use crate::batch::{ChangedUser, Changes};
use crate::error::ExecuteError;
use crate::{instant, lanes, reader};

/// A user's state during a batch.
#[derive(Debug, Default, Clone)]
pub struct LoadedState {
    /// The sequence of the user's last event in the log.
    pub sequence: i64,
    /// The state, with only the tasks that the batch may touch.
    pub state: UserTasks,
    /// True if the user has a row in `user_view`.
    pub has_row: bool,
    /// The large value sets that were read, not folded.
    pub large_sets: LargeSets,
    /// True if the state was folded from the log, because its rows were behind or unreadable.
    pub refolded: bool,
    /// The reason why nothing can be decided for this user: the log can't be read. Other users are
    /// not affected.
    pub fault: Option<String>,
}

/// The users to fold from the log even if their rows can be read.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Refold<'a> {
    /// Users of these lanes to whom stock postgres-es appended.
    Lanes(&'a BTreeSet<Lane>),
    /// All users: an append met a sequence that the state did not know of.
    All,
}

/// The users of a batch, each with the tasks that it may touch.
pub type NeededUsers = BTreeMap<(Lane, UserId), BTreeSet<TaskId>>;

/// Loads users, each with some tasks. Reads only what `recent` does not have, with one query for
/// users and one for tasks; for the `unremembered` it reads everything.
pub async fn load(
    users: &NeededUsers,
    refold: Refold<'_>,
    recent: Option<&RecentUsers>,
    unremembered: &BTreeSet<UserId>,
    connection: &mut PgConnection,
) -> Result<HashMap<UserId, LoadedState>, ExecuteError> {
    let keys: Vec<&(Lane, UserId)> = users.keys().collect();
    let remembered = |lane, user: &UserId, needed: &BTreeSet<TaskId>| {
        recent.filter(|_| !unremembered.contains(user))?.get(lane, user, needed)
    };
    let mut loading = Loading::new(users, remembered);
    loading.read_users(&keys, &mut *connection).await?;
    loading.read_tasks(&keys, &mut *connection).await?;
    let Loading { mut loaded, unreadable, .. } = loading;
    let suspects = suspects(&keys, refold, unreadable, connection).await?;
    for place in suspects {
        let (lane, user) = keys[place];
        if loaded[place].sequence > 0 {
            loaded[place] = fold(*lane, user, loaded[place].sequence, connection).await?;
        }
    }
    for user in loaded.iter_mut().filter(|user| !user.refolded) {
        user.large_sets = LargeSets::of(&user.state);
    }
    Ok(keys.into_iter().map(|(_, user)| user.clone()).zip(loaded).collect())
}

/// Users being loaded, by their index in the list of needed users.
struct Loading {
    loaded: Vec<LoadedState>,
    /// Users whose rows must be read.
    users: Vec<usize>,
    /// Tasks whose rows must be read.
    tasks: Vec<(usize, TaskId)>,
    /// Users who must be folded from the log.
    unreadable: BTreeSet<usize>,
}

impl Loading {
    /// Starts with the remembered users, and notes the rows to read for the others.
    fn new(
        users: &NeededUsers,
        remembered: impl Fn(Lane, &UserId, &BTreeSet<TaskId>) -> Option<(LoadedState, Vec<TaskId>)>,
    ) -> Self {
        let mut loading = Self {
            loaded: Vec::with_capacity(users.len()),
            users: Vec::new(),
            tasks: Vec::new(),
            unreadable: BTreeSet::new(),
        };
        for (place, ((lane, user), needed)) in users.iter().enumerate() {
            match remembered(*lane, user, needed) {
                Some((state, unknown)) => {
                    loading.loaded.push(state);
                    loading.tasks.extend(unknown.into_iter().map(|task| (place, task)));
                }
                None => {
                    loading.loaded.push(LoadedState::default());
                    loading.users.push(place);
                    loading.tasks.extend(needed.iter().map(|task| (place, task.clone())));
                }
            }
        }
        loading
    }

    async fn read_users(
        &mut self,
        keys: &[&(Lane, UserId)],
        connection: &mut PgConnection,
    ) -> sqlx::Result<()> {
        if self.users.is_empty() {
            return Ok(());
        }
        let asked = || self.users.iter().map(|place| keys[*place]);
        let rows = sqlx::query(include_str!("states/load_users.sql"))
            .bind(asked().map(|(lane, _)| lane.0).collect::<Vec<_>>())
            .bind(asked().map(|(_, user)| user.as_str()).collect::<Vec<_>>())
            .bind(AGGREGATE_TYPE)
            .fetch_all(connection)
            .await?;
        for row in &rows {
            let Some(&place) = self.users.get(place_of(row)?) else { continue };
            let user = &mut self.loaded[place];
            user.sequence = row.try_get(1)?;
            if !row.try_get::<bool, _>(6)? {
                self.unreadable.insert(place);
            }
            match UserRow::read(row, 2)?.map(UserRow::into_state).transpose() {
                Ok(Some(state)) => (user.state, user.has_row) = (state, true),
                // Every user with an event has a row.
                Ok(None) if user.sequence > 0 => _ = self.unreadable.insert(place),
                Ok(None) => {}
                Err(error) => {
                    tracing::error!(%error, "the stored state of a user can't be read; folding it from the log");
                    self.unreadable.insert(place);
                }
            }
        }
        Ok(())
    }

    async fn read_tasks(
        &mut self,
        keys: &[&(Lane, UserId)],
        connection: &mut PgConnection,
    ) -> sqlx::Result<()> {
        if self.tasks.is_empty() {
            return Ok(());
        }
        let asked = || self.tasks.iter().map(|(place, _)| keys[*place]);
        let rows = sqlx::query(include_str!("states/load_tasks.sql"))
            .bind(asked().map(|(lane, _)| lane.0).collect::<Vec<_>>())
            .bind(asked().map(|(_, user)| user.as_str()).collect::<Vec<_>>())
            .bind(self.tasks.iter().map(|(_, task)| task.as_str()).collect::<Vec<_>>())
            .fetch_all(connection)
            .await?;
        for row in &rows {
            let Some(&(place, _)) = self.tasks.get(place_of(row)?) else { continue };
            let Some(task) = TaskRow::read(row, 1)? else { continue };
            match task.into_state() {
                Ok((task, state)) => _ = self.loaded[place].state.tasks.insert(task, state),
                Err(error) => {
                    tracing::error!(%error, "the stored state of a task can't be read; folding the user from the log");
                    self.unreadable.insert(place);
                }
            }
        }
        Ok(())
    }
}

/// The index, in the list that was sent, of the entry that a row answers. SQL counts from 1.
fn place_of(row: &PgRow) -> sqlx::Result<usize> {
    usize::try_from(row.try_get::<i64, _>(0)? - 1).map_err(undecodable)
}

/// Returns the indexes of the users who must be folded from the log.
async fn suspects(
    keys: &[&(Lane, UserId)],
    refold: Refold<'_>,
    unreadable: BTreeSet<usize>,
    connection: &mut PgConnection,
) -> sqlx::Result<BTreeSet<usize>> {
    let Refold::Lanes(lanes) = refold else { return Ok((0..keys.len()).collect()) };
    let in_lanes = keys.iter().filter(|(lane, _)| lanes.contains(lane));
    let in_lanes: Vec<_> = in_lanes.map(|(lane, user)| (*lane, user.as_str())).collect();
    if in_lanes.is_empty() {
        return Ok(unreadable);
    }
    let behind = lanes::external_appends(&in_lanes, connection).await?;
    let is_behind = |(_, (_, user)): &(usize, &&(Lane, UserId))| behind.contains(user.as_str());
    let behind = keys.iter().enumerate().filter(is_behind).map(|(place, _)| place);
    Ok(behind.chain(unreadable).collect())
}

/// Replaces a state whose rows turned out to be wrong by the fold of the log.
pub async fn refold(
    lane: Lane,
    user: &UserId,
    loaded: &mut LoadedState,
    connection: &mut PgConnection,
) -> Result<(), ExecuteError> {
    *loaded = fold(lane, user, loaded.sequence, connection).await?;
    Ok(())
}

/// Folds a user from the log.
async fn fold(
    lane: Lane,
    user: &UserId,
    sequence: i64,
    connection: &mut PgConnection,
) -> Result<LoadedState, ExecuteError> {
    match reader::fold_user(lane, user, None, connection).await {
        Ok((state, sequence)) => {
            let unread = LoadedState::default();
            Ok(LoadedState { sequence, state, has_row: true, refolded: true, ..unread })
        }
        Err(ExecuteError::Unreadable(reason)) => {
            tracing::error!(
                reason,
                "the log of a user can't be read; actions of this user are parked"
            );
            Ok(LoadedState { sequence, fault: Some(reason), ..LoadedState::default() })
        }
        Err(error) => Err(error),
    }
}

/// Writes the rows of changed users and touched tasks; for refolded users, all rows.
pub async fn save(changes: &Changes, connection: &mut PgConnection) -> sqlx::Result<()> {
    let users = &changes.users;
    let refolded: Vec<_> = users.iter().filter(|user| user.refolded).collect();
    if !refolded.is_empty() {
        let in_lanes: Vec<i16> = refolded.iter().map(|user| user.lane.0).collect();
        let names: Vec<&str> = refolded.iter().map(|user| user.user.as_str()).collect();
        for table in ["user_view", "task_view", "distinct_values"] {
            let sql = format!("delete from {table} where lane = any($1) and user_id = any($2)");
            sqlx::query(&sql).bind(&in_lanes).bind(&names).execute(&mut *connection).await?;
        }
    }
    save_tasks(users, connection).await?;
    distinct_values::save(changes, connection).await?;
    save_users(users, connection).await
}

async fn save_users(users: &[ChangedUser], connection: &mut PgConnection) -> sqlx::Result<()> {
    let changed = users.iter().filter(|user| user.user_touched || user.refolded);
    let changed: Vec<_> = changed.map(|user| (user, UserRow::new(&user.state))).collect();
    if changed.is_empty() {
        return Ok(());
    }
    let rows = || changed.iter().map(|(_, row)| row);
    sqlx::query(include_str!("states/upsert_users.sql"))
        .bind(changed.iter().map(|(user, _)| user.lane.0).collect::<Vec<_>>())
        .bind(changed.iter().map(|(user, _)| user.user.as_str()).collect::<Vec<_>>())
        .bind(rows().map(|row| row.zones.as_str()).collect::<Vec<_>>())
        .bind(rows().map(|row| row.attributes.as_deref()).collect::<Vec<_>>())
        .bind(rows().map(|row| row.updated_at.map(instant::to_sql)).collect::<Vec<_>>())
        .bind(rows().map(|row| row.counted).collect::<Vec<_>>())
        .execute(connection)
        .await?;
    Ok(())
}

async fn save_tasks(users: &[ChangedUser], connection: &mut PgConnection) -> sqlx::Result<()> {
    let (mut in_lanes, mut names, mut written) = (vec![], vec![], vec![]);
    for user in users {
        let before = written.len();
        if user.refolded {
            written.extend(rows(&user.state));
        } else {
            // A task known only from an action that was too late has no row.
            written.extend(user.touched.iter().filter_map(|task| row(&user.state, task)));
        }
        let count = written.len() - before;
        in_lanes.extend(std::iter::repeat_n(user.lane.0, count));
        names.extend(std::iter::repeat_n(user.user.as_str(), count));
    }
    if written.is_empty() {
        return Ok(());
    }
    let periods = || written.iter().map(|row| row.period.as_ref());
    let at = |of: fn(&TaskRow) -> Option<jiff::Timestamp>| -> Vec<_> {
        written.iter().map(|row| of(row).map(instant::to_sql)).collect()
    };
    sqlx::query(include_str!("states/upsert_tasks.sql"))
        .bind(&in_lanes)
        .bind(&names)
        .bind(written.iter().map(|row| row.task.as_str()).collect::<Vec<_>>())
        .bind(at(|row| row.completed_at))
        .bind(at(|row| row.watermark))
        .bind(written.iter().map(|r| r.closed.as_ref().map(|c| c.key.as_str())).collect::<Vec<_>>())
        .bind(at(|row| row.closed.as_ref().map(|closed| closed.ends_at)))
        .bind(written.iter().map(|row| row.unclaimed_count).collect::<Vec<_>>())
        .bind(periods().map(|p| p.map(|p| p.version)).collect::<Vec<_>>())
        .bind(periods().map(|p| p.map(|p| p.key.as_str())).collect::<Vec<_>>())
        .bind(at(|row| row.period.as_ref().and_then(|p| p.starts_at)))
        .bind(at(|row| row.period.as_ref().and_then(|p| p.ends_at)))
        .bind(at(|row| row.period.as_ref().and_then(|p| p.closes_at)))
        .bind(periods().map(|p| p.map(|p| p.progress)).collect::<Vec<_>>())
        .bind(periods().map(|p| p.map(|p| p.completed)).collect::<Vec<_>>())
        .bind(written.iter().map(|row| row.details.as_deref()).collect::<Vec<_>>())
        .execute(connection)
        .await?;
    Ok(())
}

/// Logs and skips a row that can't be read. It concerns only its user, so a reader of many users
/// continues without it.
pub(crate) fn unless_unreadable<T>(read: sqlx::Result<T>, rows_of: &str) -> Option<T> {
    read.inspect_err(|error| {
        tracing::error!("a row of {rows_of} can't be read and is left out: {error}");
    })
    .ok()
}

/// The error for a stored value that this program can't read.
pub(crate) fn undecodable(error: impl std::error::Error + Send + Sync + 'static) -> sqlx::Error {
    sqlx::Error::Decode(Box::new(error))
}
