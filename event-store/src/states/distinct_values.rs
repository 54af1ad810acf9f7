//! `distinct_values`: the chunks of large value sets that tasks have counted. They belong to the
//! fold, like the row of the task, which holds the size of the set. A batch loads only the chunks
//! in which it looks up values, and writes those to which it adds one.

use std::collections::{BTreeMap, BTreeSet, HashMap};

use plaudit_domain::calendar::PeriodKey;
use plaudit_domain::ids::{TaskId, UserId};
use plaudit_domain::lane::Lane;
use plaudit_domain::user_tasks::{Event, Seen, TaskState, UserTasks, ValueSet};
use sqlx::postgres::PgRow;
use sqlx::{PgConnection, Row};

use super::{LoadedState, UserFaults, place_of, refold, undecodable};
use crate::batch::{ChangedUser, Changes, NewEvent};
use crate::error::ExecuteError;

/// Key of a value set: the task and its period.
pub type SetKey = (TaskId, PeriodKey);

/// One row: the values of a set in one chunk.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ValueChunk {
    /// The task.
    pub task: TaskId,
    /// The period.
    pub period: PeriodKey,
    /// The chunk.
    pub chunk: i16,
    /// The concatenated hashes of the values.
    pub hashes: Vec<u8>,
}

/// The columns of a row after its user, in the order in which [`ValueChunk::read`] takes them.
pub const COLUMNS: &str = "task_id, period_key, chunk, hashes";

impl ValueChunk {
    /// Reads [`COLUMNS`] from the column `first` on.
    pub fn read(row: &PgRow, first: usize) -> sqlx::Result<Self> {
        Ok(Self {
            task: row.try_get::<String, _>(first)?.try_into().map_err(undecodable)?,
            period: row.try_get::<String, _>(first + 1)?.into(),
            chunk: row.try_get(first + 2)?,
            hashes: row.try_get(first + 3)?,
        })
    }

    fn of_set<'s>(
        task: &'s TaskId,
        period: &'s PeriodKey,
        set: &'s ValueSet,
    ) -> impl Iterator<Item = Self> + 's {
        set.chunks().map(move |(id, hashes)| Self {
            task: task.clone(),
            period: period.clone(),
            chunk: id.into(),
            hashes,
        })
    }
}

/// The rows of a task, as far as its sets are loaded; complete after a fold.
pub fn chunks_of_task<'s>(
    task: &'s TaskId,
    state: &'s TaskState,
) -> impl Iterator<Item = ValueChunk> + 's {
    large_sets(state).flat_map(|(period, set)| ValueChunk::of_set(task, period, set))
}

/// The rows of all tasks, as far as their sets are loaded; complete after a fold.
pub fn chunks(state: &UserTasks) -> impl Iterator<Item = ValueChunk> + '_ {
    state.tasks.iter().flat_map(|(task, state)| chunks_of_task(task, state))
}

fn large_sets(task: &TaskState) -> impl Iterator<Item = (&PeriodKey, &ValueSet)> {
    task.periods.iter().filter_map(|open| match &open.seen {
        Some(Seen::Values(set)) if set.is_large() => Some((&open.period.key, set)),
        _ => None,
    })
}

/// The large sets of a state as read.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct LargeSets {
    /// Sets stored in rows of their own, which were read without their chunks.
    pub stored: BTreeSet<SetKey>,
    /// Tasks whose own row holds a large set, as written by an earlier version of this program.
    pub undivided: BTreeSet<TaskId>,
}

impl LargeSets {
    /// Finds the large sets of a state. Most states have none.
    pub(super) fn of(state: &UserTasks) -> Self {
        let mut found = Self::default();
        for (task, state) in &state.tasks {
            for (period, set) in large_sets(state) {
                if set.is_complete() {
                    found.undivided.insert(task.clone());
                } else {
                    found.stored.insert((task.clone(), period.clone()));
                }
            }
        }
        found
    }
}

/// A chunk that a batch needs.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct NeededChunk {
    /// The lane of the user.
    pub lane: Lane,
    /// The user.
    pub user: UserId,
    /// The set.
    pub set: SetKey,
    /// The chunk.
    pub chunk: u8,
}

/// Adds chunks to the sets of states. A user with an unreadable chunk is folded from the log.
pub(crate) async fn load(
    needed: &BTreeSet<NeededChunk>,
    states: &mut HashMap<UserId, LoadedState>,
    faults: &UserFaults,
    connection: &mut PgConnection,
) -> Result<(), ExecuteError> {
    if needed.is_empty() {
        return Ok(());
    }
    let rows = sqlx::query(include_str!("distinct_values/load.sql"))
        .bind(needed.iter().map(|chunk| chunk.lane.0).collect::<Vec<_>>())
        .bind(needed.iter().map(|chunk| chunk.user.as_str()).collect::<Vec<_>>())
        .bind(needed.iter().map(|chunk| chunk.set.0.as_str()).collect::<Vec<_>>())
        .bind(needed.iter().map(|chunk| chunk.set.1.as_str()).collect::<Vec<_>>())
        .bind(needed.iter().map(|chunk| i16::from(chunk.chunk)).collect::<Vec<_>>())
        .fetch_all(&mut *connection)
        .await?;
    // A chunk without a row is empty.
    let mut found: Vec<Vec<u8>> = vec![Vec::new(); needed.len()];
    for row in &rows {
        if let Some(hashes) = found.get_mut(place_of(row)?) {
            *hashes = row.try_get(1)?;
        }
    }
    let mut unreadable = BTreeSet::new();
    for (chunk, hashes) in needed.iter().zip(found) {
        let state = states.get_mut(&chunk.user);
        let set = state.and_then(|loaded| set_of(&mut loaded.state, &chunk.set));
        if let Some(Err(error)) = set.map(|set| set.put_chunk(chunk.chunk, &hashes)) {
            tracing::error!(%error, user = %chunk.user, "values of a task can't be read; folding the user from the log");
            unreadable.insert((chunk.lane, &chunk.user));
        }
    }
    for (lane, user) in unreadable {
        if let Some(loaded) = states.get_mut(user) {
            refold(lane, user, loaded, faults, connection).await?;
        }
    }
    Ok(())
}

fn set_of<'s>(state: &'s mut UserTasks, (task, period): &SetKey) -> Option<&'s mut ValueSet> {
    let periods = &mut state.tasks.get_mut(task)?.periods;
    match &mut periods.iter_mut().find(|open| open.period.key == *period)?.seen {
        Some(Seen::Values(set)) => Some(set),
        _ => None,
    }
}

/// Writes the chunks that a batch changed, and deletes those of forgotten sets. For refolded users,
/// whose rows are deleted already, it writes all chunks.
pub(super) async fn save(changes: &Changes, connection: &mut PgConnection) -> sqlx::Result<()> {
    let Written { deleted, chunks } = Written::by(changes);
    if !deleted.is_empty() {
        sqlx::query(include_str!("distinct_values/delete.sql"))
            .bind(deleted.iter().map(|(user, ..)| user.lane.0).collect::<Vec<_>>())
            .bind(deleted.iter().map(|(user, ..)| user.user.as_str()).collect::<Vec<_>>())
            .bind(deleted.iter().map(|(_, task, _)| task.as_str()).collect::<Vec<_>>())
            .bind(deleted.iter().map(|(.., period)| period.as_str()).collect::<Vec<_>>())
            .execute(&mut *connection)
            .await?;
    }
    if !chunks.is_empty() {
        sqlx::query(include_str!("distinct_values/upsert.sql"))
            .bind(chunks.iter().map(|(user, _)| user.lane.0).collect::<Vec<_>>())
            .bind(chunks.iter().map(|(user, _)| user.user.as_str()).collect::<Vec<_>>())
            .bind(chunks.iter().map(|(_, row)| row.task.as_str()).collect::<Vec<_>>())
            .bind(chunks.iter().map(|(_, row)| row.period.as_str()).collect::<Vec<_>>())
            .bind(chunks.iter().map(|(_, row)| row.chunk).collect::<Vec<_>>())
            .bind(chunks.iter().map(|(_, row)| row.hashes.as_slice()).collect::<Vec<_>>())
            .execute(connection)
            .await?;
    }
    Ok(())
}

/// The rows to write and delete after a batch.
#[derive(Default)]
struct Written<'c> {
    /// Sets whose rows are all deleted before anything is written.
    deleted: Vec<(&'c ChangedUser, &'c TaskId, &'c PeriodKey)>,
    chunks: Vec<(&'c ChangedUser, ValueChunk)>,
}

impl<'c> Written<'c> {
    fn by(changes: &'c Changes) -> Self {
        let mut written = Self::default();
        let mut added = None;
        for user in &changes.users {
            if user.refolded {
                written.chunks.extend(chunks(&user.state).map(|row| (user, row)));
                continue;
            }
            let is_forgotten = |(task, period): &&SetKey| {
                let state = user.state.tasks.get(task);
                state.is_none_or(|state| large_sets(state).all(|(key, _)| key != period))
            };
            let forgotten = user.stored_sets.iter().filter(is_forgotten);
            written.deleted.extend(forgotten.map(|(task, period)| (user, task, period)));
            for task in &user.touched {
                let Some(state) = user.state.tasks.get(task) else { continue };
                for (period, set) in large_sets(state) {
                    if set.is_complete() {
                        written.replace(user, task, period, set);
                        continue;
                    }
                    let added = added.get_or_insert_with(|| added_chunks(&changes.events));
                    let Some(ids) = added.get(&(&user.user, task, period)) else { continue };
                    let rows = ValueChunk::of_set(task, period, set);
                    let grown = rows.filter(|row| ids.contains(&row.chunk));
                    written.chunks.extend(grown.map(|row| (user, row)));
                }
            }
        }
        written
    }

    /// Writes a complete set: one that has just grown large, one that an earlier version left in
    /// the row of the task, or one of which the batch loaded all chunks. Rows under its key are
    /// deleted first, since they may belong to a forgotten set.
    fn replace(
        &mut self,
        user: &'c ChangedUser,
        task: &'c TaskId,
        period: &'c PeriodKey,
        set: &'c ValueSet,
    ) {
        self.deleted.push((user, task, period));
        self.chunks.extend(ValueChunk::of_set(task, period, set).map(|row| (user, row)));
    }
}

/// The chunks to which events add values, by set.
type AddedChunks<'e> = BTreeMap<(&'e UserId, &'e TaskId, &'e PeriodKey), BTreeSet<i16>>;

fn added_chunks(events: &[NewEvent]) -> AddedChunks<'_> {
    let mut added = AddedChunks::new();
    for new in events {
        if let Event::ProgressRecorded { task, period, value: Some(value), .. } = &new.event {
            added.entry((&new.user, task, &period.key)).or_default().insert(value.chunk().into());
        }
    }
    added
}
