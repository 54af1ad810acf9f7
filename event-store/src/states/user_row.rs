//! A row of `user_view`: the state of a user apart from tasks.

use chrono::{DateTime, Utc};
use jiff::Timestamp;
use plaudit_domain::user_tasks::UserTasks;
use sqlx::Row;
use sqlx::postgres::PgRow;

use super::task_row::truncate_to_micros;
use super::undecodable;
use crate::instant;

/// A user, column by column.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct UserRow {
    /// The zones that the user's days follow, as JSON.
    pub zones: String,
    /// The attributes that producers reported, as JSON; `None` if there are none.
    pub attributes: Option<String>,
    /// The time of the latest update that was applied.
    pub updated_at: Option<Timestamp>,
    /// True if any action was ever counted.
    pub counted: bool,
}

/// The columns of a row after its user, in the order in which [`UserRow::read`] takes them.
pub const COLUMNS: &str = "zones, attributes, updated_at, counted";

impl UserRow {
    /// Builds the row of a user.
    pub fn new(state: &UserTasks) -> Self {
        // Destructured without `..`: a new part of the state must get its place here, or in the
        // rows of tasks.
        let UserTasks { zones, attributes, updated_at, counted, tasks: _, grants: _ } = state;
        let json = "names and values of JSON are always text";
        Self {
            zones: serde_json::to_string(zones).expect(json),
            attributes: (!attributes.is_empty())
                .then(|| serde_json::to_string(attributes).expect(json)),
            updated_at: updated_at.map(truncate_to_micros),
            counted: *counted,
        }
    }

    /// Reads [`COLUMNS`] from the column `first` on; `None` if they are an outer join's nulls.
    pub fn read(row: &PgRow, first: usize) -> sqlx::Result<Option<Self>> {
        let Some(zones) = row.try_get_unchecked::<Option<String>, _>(first)? else {
            return Ok(None);
        };
        let updated_at: Option<DateTime<Utc>> = row.try_get(first + 2)?;
        Ok(Some(Self {
            zones,
            attributes: row.try_get_unchecked(first + 1)?,
            updated_at: updated_at.map(instant::from_sql),
            counted: row.try_get(first + 3)?,
        }))
    }

    /// Restores the state, without tasks.
    ///
    /// # Errors
    ///
    /// `Decode` if a column can't be parsed.
    pub fn into_state(self) -> sqlx::Result<UserTasks> {
        let attributes = self.attributes.as_deref().map(serde_json::from_str).transpose();
        Ok(UserTasks {
            zones: serde_json::from_str(&self.zones).map_err(undecodable)?,
            attributes: attributes.map_err(undecodable)?.unwrap_or_default(),
            updated_at: self.updated_at,
            counted: self.counted,
            ..UserTasks::default()
        })
    }
}
