//! Compares the served rows with the log: every column, JSON by its bytes.

mod columns;
mod lane;

use std::time::Duration;

use plaudit_domain::lane::Lane;
use serde::Serialize;
use sqlx::PgPool;

use crate::ProjectionError;
use crate::difference::{Difference, Differences, UnreadableUser, UnreadableUsers};
use crate::view::View;

/// The views that can be verified. Batches start from their rows, too.
pub const VERIFIABLE: &[&str] = View::NAMES;

/// The rows that are compared.
#[derive(Debug, Clone, Copy)]
struct Scope {
    tasks: bool,
    rewards: bool,
}

impl Scope {
    fn named(name: Option<&str>) -> Result<Self, ProjectionError> {
        let named = name.map(View::named).transpose()?;
        let is_included = |view| named.is_none_or(|named| named == view);
        Ok(Self { tasks: is_included(View::Tasks), rewards: is_included(View::Rewards) })
    }
}

/// Progress of a verification.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct VerifyProgress {
    /// Users folded.
    pub users: u64,
    /// Events folded.
    pub events: u64,
    /// Approximate number of events to fold.
    pub events_total: u64,
}

/// The findings of a verification.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct VerifyReport {
    /// Users in the log.
    pub users: u64,
    /// Events in the log.
    pub events: u64,
    /// Rows that differ from the log.
    pub differences: Differences,
    /// Users with events that stock postgres-es appended and no batch has folded yet. The next
    /// batch that touches such a user does. Their rows were not compared.
    pub behind: Vec<(Lane, String)>,
    /// Users with an event that this program can't read. Their rows were not compared either.
    pub unreadable: UnreadableUsers,
}

impl VerifyReport {
    /// True if every compared row agrees with the log.
    pub fn is_equal(&self) -> bool {
        self.differences.count == 0
    }
}

/// The findings of a verification, for display.
#[derive(Debug, Clone, Serialize)]
pub struct VerifyAnswer<'r> {
    /// See [`VerifyReport::is_equal`].
    pub equal: bool,
    /// See [`VerifyReport::users`].
    pub users: u64,
    /// See [`VerifyReport::events`].
    pub events: u64,
    /// Number of rows that differ from the log.
    pub differences: u64,
    /// The first of these rows.
    pub first: &'r [Difference],
    /// See [`VerifyReport::behind`].
    pub behind: Vec<&'r str>,
    /// Number of users with an event that this program can't read.
    pub unreadable: u64,
    /// The first of these users.
    pub first_unreadable: &'r [UnreadableUser],
}

impl<'r> From<&'r VerifyReport> for VerifyAnswer<'r> {
    fn from(report: &'r VerifyReport) -> Self {
        Self {
            equal: report.is_equal(),
            users: report.users,
            events: report.events,
            differences: report.differences.count,
            first: &report.differences.first,
            behind: report.behind.iter().map(|(_, user)| user.as_str()).collect(),
            unreadable: report.unreadable.count,
            first_unreadable: &report.unreadable.first,
        }
    }
}

/// Number of events that are folded before their rows are compared.
const CHUNK_EVENTS: i64 = 20_000;

/// Time limit for each fold and each comparison. A connection that falls silent ends the
/// verification.
const CHUNK_MAX: Duration = Duration::from_secs(60);

/// Folds the log and compares it with the served rows, of one view or of all. Each lane is read in
/// one snapshot, so writers are not held up and their changes are no differences.
pub async fn verify(
    pool: &PgPool,
    name: Option<&str>,
    progress: impl Fn(VerifyProgress) + Send + Sync,
) -> Result<VerifyReport, ProjectionError> {
    let scope = Scope::named(name)?;
    let mut connection = pool.acquire().await?;
    let heads = plaudit_event_store::lanes::heads(&mut connection).await?;
    let events_total = heads.iter().map(|head| u64::try_from(head.number).unwrap_or(0)).sum();
    let mut report = VerifyReport::default();
    for head in heads {
        let tell = |report: &VerifyReport| {
            progress(VerifyProgress { users: report.users, events: report.events, events_total });
        };
        lane::verify(scope, head.lane, &mut report, tell, &mut connection).await?;
    }
    Ok(report)
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn an_answer_lists_what_differs_and_who_is_behind_or_unreadable() {
        let mut report = VerifyReport { users: 3, events: 9, ..VerifyReport::default() };
        let (lane, user) = (Lane(5), "ann".to_owned());
        let live = Some("(5,ann)".to_owned());
        report.differences.add(Difference { table: "task_view", lane, user, live, log: None });
        report.behind.push((Lane(6), "bob".to_owned()));
        report.unreadable.extend(Lane(7), vec![("eve".to_owned(), "not JSON".to_owned())]);
        let expected = json!({
            "equal": false, "users": 3, "events": 9, "differences": 1,
            "first": [{"table": "task_view", "lane": 5, "user": "ann", "live": "(5,ann)", "log": null}],
            "behind": ["bob"], "unreadable": 1,
            "first_unreadable": [{"lane": 7, "user": "eve", "reason": "not JSON"}],
        });
        assert_eq!(serde_json::to_value(VerifyAnswer::from(&report)).unwrap(), expected);
    }
}
