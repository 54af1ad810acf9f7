//! A row of `task_view`: conversion of one user's task to columns and back. The row holds the whole
//! state of the task, except for claimable and waiting milestones, which are rows of
//! `reward_state`, and the values of large sets, which are rows of `distinct_values`.

use std::borrow::Cow;

use chrono::{DateTime, Utc};
use jiff::Timestamp;
use plaudit_domain::calendar::{Period, PeriodKey};
use plaudit_domain::ids::TaskId;
use plaudit_domain::user_tasks::{
    ClosedPeriod, FreezeState, PeriodState, ReachedMilestone, SMALL_SET_MAX, Seen, StreakState,
    TaskState, UserTasks,
};
use serde::{Deserialize, Serialize};
use sqlx::Row;
use sqlx::postgres::PgRow;

use super::distinct_values::{ValueChunk, chunks_of_task};
use super::undecodable;
use crate::instant;

/// One task of one user, column by column.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TaskRow {
    /// The task.
    pub task: TaskId,
    /// The time at which its last milestone was first reached.
    pub completed_at: Option<Timestamp>,
    /// The latest time of an action that it counted.
    pub watermark: Option<Timestamp>,
    /// The latest of the periods that were closed and forgotten. Its surplus is in `details`.
    pub closed: Option<ClosedPeriod>,
    /// The number of its milestones with something to claim.
    pub unclaimed_count: i64,
    /// Its newest period.
    pub period: Option<PeriodRow>,
    /// The rarely used parts of the state, as JSON; `None` if all are empty.
    pub details: Option<String>,
}

/// The columns of a task's newest period.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PeriodRow {
    /// The task version that applies to it.
    pub version: i32,
    /// The key of the period.
    pub key: PeriodKey,
    /// The first instant of the period.
    pub starts_at: Option<Timestamp>,
    /// The first instant after the period.
    pub ends_at: Option<Timestamp>,
    /// The watermark from which actions are too late; absent: `ends_at`.
    pub closes_at: Option<Timestamp>,
    /// The progress so far.
    pub progress: i64,
    /// True if the period is completed and takes no more progress.
    pub completed: bool,
}

/// The parts of the state that have no column.
#[derive(Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Details<'s> {
    /// Of the newest period.
    #[serde(default, skip_serializing_if = "is_zero")]
    carried: i64,
    /// Of the newest period.
    #[serde(default, skip_serializing_if = "is_zero")]
    surplus: i64,
    /// Of the newest period.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    seen: Option<Cow<'s, Seen>>,
    /// Of the newest period.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    withheld: bool,
    /// Of the newest period.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    held: bool,
    /// Of the newest period.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    withheld_progress: Option<i64>,
    /// Of the newest period.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    withheld_step: Option<i64>,
    /// Of the newest period.
    #[serde(default, skip_serializing_if = "is_empty")]
    reached: Cow<'s, [ReachedMilestone]>,
    /// Periods before the newest that are still open.
    #[serde(default, skip_serializing_if = "is_empty")]
    earlier: Cow<'s, [PeriodState]>,
    /// Of the closed period.
    #[serde(default, skip_serializing_if = "is_zero")]
    closed_surplus: i64,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    streak: Option<Cow<'s, StreakState>>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    freezes: Option<Cow<'s, FreezeState>>,
}

#[expect(clippy::trivially_copy_pass_by_ref, reason = "serde calls it by reference")]
fn is_zero(number: &i64) -> bool {
    *number == 0
}

#[expect(clippy::ptr_arg, reason = "serde gives the field as it is")]
fn is_empty<T: Clone>(list: &Cow<'_, [T]>) -> bool {
    list.is_empty()
}

/// Builds the row of one task; `None` if the state has nothing of it.
pub fn row(state: &UserTasks, task: &TaskId) -> Option<TaskRow> {
    state.tasks.get(task).map(|past| TaskRow::new(task, past))
}

/// Builds the rows of all tasks, in order of their ids.
pub fn rows(state: &UserTasks) -> impl Iterator<Item = TaskRow> + '_ {
    state.tasks.iter().map(|(task, past)| TaskRow::new(task, past))
}

impl TaskRow {
    fn new(task: &TaskId, past: &TaskState) -> Self {
        // Destructured without `..`: a new part of the state must get its place here.
        let TaskState {
            watermark,
            closed,
            completed_at,
            periods,
            unclaimed_count,
            claimable: _,
            waiting: _,
            streak,
            freezes,
        } = past;
        let (newest, earlier) = periods.split_last().map_or((None, &[][..]), |(n, e)| (Some(n), e));
        let mut details = Details {
            earlier: in_row(earlier),
            closed_surplus: closed.as_ref().map_or(0, |closed| closed.surplus),
            streak: streak.as_deref().map(Cow::Borrowed),
            freezes: freezes.as_deref().map(Cow::Borrowed),
            ..Details::default()
        };
        let period = newest.map(|newest| {
            let PeriodState {
                period: Period { key, starts_at, ends_at },
                closes_at,
                version,
                progress,
                completed,
                carried,
                surplus,
                seen,
                withheld,
                held,
                withheld_progress,
                withheld_step,
                reached,
            } = newest;
            details.carried = *carried;
            details.surplus = *surplus;
            details.seen = seen.as_ref().map(Seen::in_row);
            details.withheld_progress = *withheld_progress;
            details.withheld = *withheld;
            details.held = *held;
            details.withheld_step = *withheld_step;
            details.reached = Cow::Borrowed(reached);
            PeriodRow {
                version: i32::try_from(*version).unwrap_or(i32::MAX),
                key: key.clone(),
                starts_at: starts_at.map(truncate_to_micros),
                ends_at: ends_at.map(truncate_to_micros),
                closes_at: closes_at.map(truncate_to_micros),
                progress: *progress,
                completed: *completed,
            }
        });
        Self {
            task: task.clone(),
            completed_at: completed_at.map(truncate_to_micros),
            watermark: watermark.map(truncate_to_micros),
            closed: closed.as_ref().map(|closed| ClosedPeriod {
                key: closed.key.clone(),
                ends_at: truncate_to_micros(closed.ends_at),
                surplus: 0,
            }),
            unclaimed_count: i64::try_from(*unclaimed_count).unwrap_or(i64::MAX),
            period,
            details: details.into_text(),
        }
    }

    /// Restores the state that the row was made from, without claimable and waiting milestones.
    pub fn into_state(self) -> Result<(TaskId, TaskState), serde_json::Error> {
        let details: Details<'static> =
            self.details.as_deref().map(serde_json::from_str).transpose()?.unwrap_or_default();
        let mut periods = details.earlier.into_owned();
        periods.extend(self.period.map(|newest| PeriodState {
            period: Period {
                key: newest.key,
                starts_at: newest.starts_at,
                ends_at: newest.ends_at,
            },
            closes_at: newest.closes_at,
            version: u32::try_from(newest.version).unwrap_or_default(),
            progress: newest.progress,
            completed: newest.completed,
            carried: details.carried,
            surplus: details.surplus,
            seen: details.seen.map(Cow::into_owned),
            withheld: details.withheld,
            held: details.held,
            withheld_progress: details.withheld_progress,
            withheld_step: details.withheld_step,
            reached: details.reached.into_owned(),
        }));
        let state = TaskState {
            watermark: self.watermark,
            closed: self
                .closed
                .map(|closed| ClosedPeriod { surplus: details.closed_surplus, ..closed }),
            completed_at: self.completed_at,
            periods,
            unclaimed_count: u64::try_from(self.unclaimed_count).unwrap_or_default(),
            claimable: Vec::new(),
            waiting: Vec::new(),
            streak: details.streak.map(|streak| Box::new(streak.into_owned())),
            freezes: details.freezes.map(|freezes| Box::new(freezes.into_owned())),
        };
        Ok((self.task, state))
    }

    /// Splits large sets that an earlier version left in the row: returns the row as this version
    /// writes it, and the chunks. `None` if there are no large sets.
    pub fn divided(&self) -> Option<(Self, Vec<ValueChunk>)> {
        const HASH_BYTES: usize = 16;
        self.details.as_ref().filter(|details| details.len() > SMALL_SET_MAX * HASH_BYTES)?;
        let (task, state) = self.clone().into_state().ok()?;
        let chunks: Vec<_> = chunks_of_task(&task, &state).collect();
        (!chunks.is_empty()).then(|| (Self::new(&task, &state), chunks))
    }

    /// Reads [`COLUMNS`] from the column `first` on; `None` if they are an outer join's nulls.
    pub fn read(row: &PgRow, first: usize) -> sqlx::Result<Option<Self>> {
        let Some(task) = row.try_get::<Option<String>, _>(first)? else { return Ok(None) };
        let at = |column: usize| -> sqlx::Result<Option<Timestamp>> {
            Ok(row.try_get::<Option<DateTime<Utc>>, _>(first + column)?.map(instant::from_sql))
        };
        let text = |column: usize| row.try_get::<Option<String>, _>(first + column);
        let closed = match (text(3)?, at(4)?) {
            (Some(key), Some(ends_at)) => {
                Some(ClosedPeriod { key: key.into(), ends_at, surplus: 0 })
            }
            _ => None,
        };
        let period = match text(7)? {
            None => None,
            Some(key) => Some(PeriodRow {
                version: row.try_get(first + 6)?,
                key: key.into(),
                starts_at: at(8)?,
                ends_at: at(9)?,
                closes_at: at(10)?,
                progress: row.try_get(first + 11)?,
                completed: row.try_get(first + 12)?,
            }),
        };
        Ok(Some(Self {
            task: task.try_into().map_err(undecodable)?,
            completed_at: at(1)?,
            watermark: at(2)?,
            closed,
            unclaimed_count: row.try_get(first + 5)?,
            period,
            // JSON is read as its text.
            details: row.try_get_unchecked::<Option<String>, _>(first + 13)?,
        }))
    }
}

/// The columns of a row after its key, in the order in which [`TaskRow::read`] takes them.
pub const COLUMNS: &str = "task_id, completed_at, watermark, closed_key, closed_ends_at, unclaimed_count, version, period_key, starts_at, ends_at, closes_at, progress, completed, details";

impl Details<'_> {
    fn into_text(self) -> Option<String> {
        (self != Self::default()).then(|| {
            serde_json::to_string(&self).expect("its keys are strings and nothing in it can fail")
        })
    }
}

/// Periods in the form that a row holds them: without the chunks of large sets.
fn in_row(periods: &[PeriodState]) -> Cow<'_, [PeriodState]> {
    let is_divided =
        |open: &PeriodState| matches!(&open.seen, Some(Seen::Values(set)) if set.is_large());
    if !periods.iter().any(is_divided) {
        return Cow::Borrowed(periods);
    }
    let mut periods = periods.to_vec();
    for open in &mut periods {
        open.seen = open.seen.as_ref().map(|seen| seen.in_row().into_owned());
    }
    Cow::Owned(periods)
}

/// Truncates an instant to microseconds, as PostgreSQL stores it.
pub fn truncate_to_micros(at: Timestamp) -> Timestamp {
    instant::from_sql(instant::to_sql(at))
}

#[cfg(test)]
mod tests {
    use plaudit_domain::user_tasks::ValueHash;
    use serde_json::{Value, json};

    use super::*;

    fn period(day: u8, changes: &Value) -> Value {
        let mut period = json!({
            "key": format!("2026-03-{day:02}"),
            "starts_at": format!("2026-03-{day:02}T00:00:00Z"),
            "ends_at": format!("2026-03-{:02}T00:00:00Z", day + 1),
            "version": 2, "progress": 3,
        });
        period.as_object_mut().unwrap().extend(changes.as_object().unwrap().clone());
        period
    }

    #[test]
    fn a_row_gives_back_the_whole_state_of_a_task() {
        let values = String::from(ValueHash::of(&json!("r7")));
        for (earlier, newest) in [
            (json!({}), json!({})),
            (json!({ "completed": true, "surplus": 4 }), json!({ "carried": 4 })),
            (
                json!({ "completed": true }),
                json!({ "completed": true, "carried": 1, "surplus": 9 }),
            ),
            (json!({ "seen": { "values": "" } }), json!({ "seen": { "values": values } })),
            (
                json!({ "seen": { "days": ["2026-03-01"] } }),
                json!({ "seen": { "completions": ["a", "b"] } }),
            ),
            (
                json!({ "withheld": true, "held": true, "withheld_progress": 5 }),
                json!({ "seen": { "latest": "2026-03-02T10:00:00Z" }, "withheld": true, "held": true,
                    "withheld_progress": 7, "withheld_step": 2 }),
            ),
        ] {
            let state = json!({
                "watermark": "2026-03-02T10:00:00Z",
                "closed": { "key": "2026-02-28", "ends_at": "2026-03-01T00:00:00Z", "surplus": 3 },
                "periods": [period(1, &earlier), period(2, &newest)],
            });
            let state: TaskState = serde_json::from_value(state).unwrap();
            let task: TaskId = "daily".parse().unwrap();
            let row = TaskRow::new(&task, &state);
            assert_eq!(row.clone().into_state().unwrap(), (task, state), "{row:?}");
        }
    }
}
