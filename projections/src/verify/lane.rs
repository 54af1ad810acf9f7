//! Verifies one lane, in one snapshot.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write as _;

use plaudit_domain::lane::Lane;
use plaudit_event_store::lanes;
use plaudit_event_store::pool::{self, BEGIN_PROBING};
use plaudit_event_store::rewards::{self, RewardRow};
use plaudit_event_store::states::{self, TaskRow, UserRow, ValueChunk};
use sqlx::postgres::PgRow;
use sqlx::query::Query;
use sqlx::{Connection as _, Executor as _, PgConnection, Row};

use super::columns::{Columns, both};
use super::{CHUNK_EVENTS, CHUNK_MAX, Scope, VerifyReport};
use crate::ProjectionError;
use crate::difference::Difference;
use crate::fold::{FoldParts, FoldedUser, LaneFold};

/// Folds a lane and compares it with its rows. Both are read in order of users, so that only one
/// run of users is in memory at a time.
pub(super) async fn verify(
    scope: Scope,
    lane: Lane,
    report: &mut VerifyReport,
    tell: impl Fn(&VerifyReport),
    connection: &mut PgConnection,
) -> Result<(), ProjectionError> {
    let mut tx = connection.begin_with(BEGIN_PROBING).await?;
    // The lock precedes the snapshot: otherwise a rebuild could swap in tables whose rows this
    // snapshot does not see.
    tx.execute(sqlx::raw_sql(
        "set transaction isolation level repeatable read, read only;
         lock table user_view, task_view, distinct_values, reward_state in access share mode",
    ))
    .await?;
    let outside: bool =
        sqlx::query_scalar("select exists (select from external_appends where lane = $1)")
            .bind(lane.0)
            .fetch_one(&mut *tx)
            .await?;
    let mut fold = LaneFold::after(lane, FoldParts::Both, None);
    let mut after: Option<String> = None;
    while let Some(folded) = pool::within(CHUNK_MAX, fold.next(CHUNK_EVENTS, &mut tx)).await? {
        let (users, last) = (folded.users, folded.last);
        // There must be no rows after the last user of the log either, so the last run is open.
        let up_to = if fold.has_ended() { None } else { last.clone() };
        if up_to.is_none() && !fold.has_ended() {
            continue; // a long history goes on
        }
        let run = Run { lane, outside, after: after.as_deref(), up_to: up_to.as_deref() };
        let unreadable = folded.unreadable.iter().map(|(user, _)| user.clone()).collect();
        let compared = run.compare(scope, &users, unreadable, report, &mut tx);
        pool::within(CHUNK_MAX, compared).await?;
        report.unreadable.extend(lane, folded.unreadable);
        report.users += u64::try_from(users.len()).unwrap_or(u64::MAX);
        report.events += users.iter().map(|u| u.events.unsigned_abs()).sum::<u64>();
        tell(report);
        after = last.or(after);
    }
    tx.rollback().await?;
    Ok(())
}

/// Rows by user.
type ByUser<R> = BTreeMap<String, Vec<R>>;

/// A run of users: after one (from the first if `None`), up to and including another (to the last
/// if `None`).
struct Run<'a> {
    lane: Lane,
    /// True if stock postgres-es has appended to the lane. Only then may a user state lag behind
    /// the log.
    outside: bool,
    after: Option<&'a str>,
    up_to: Option<&'a str>,
}

impl Run<'_> {
    async fn compare(
        &self,
        scope: Scope,
        users: &[FoldedUser],
        mut left_out: Vec<String>,
        report: &mut VerifyReport,
        connection: &mut PgConnection,
    ) -> Result<(), ProjectionError> {
        let appended_to =
            if self.outside { self.appended_to(users, connection).await? } else { BTreeSet::new() };
        let (behind, users): (Vec<_>, Vec<_>) =
            users.iter().partition(|user| appended_to.contains(user.user.as_str()));
        let names = behind.iter().map(|user| user.user.to_string());
        report.behind.extend(names.clone().map(|name| (self.lane, name)));
        left_out.extend(names);
        let mut comparison = Comparison { lane: self.lane, left_out, report };
        if scope.tasks {
            let (tasks, chunks) = self.live_tasks(connection).await?;
            let log = users.iter().map(|u| (name(u), states::rows(&u.state).collect()));
            comparison.tables("task_view", tasks, log);
            let log = users.iter().map(|u| (name(u), states::chunks(&u.state).collect()));
            comparison.tables("distinct_values", chunks, log);
            let live = self.live("user_view", states::USER_COLUMNS, connection, UserRow::read);
            let log = users.iter().map(|u| (name(u), vec![UserRow::new(&u.state)]));
            comparison.tables("user_view", live.await?, log);
        }
        if scope.rewards {
            let columns = rewards::COLUMNS;
            let live = self.live("reward_state", columns, connection, RewardRow::read);
            let log = users.iter().map(|user| (name(user), user.ledger.granted.clone()));
            comparison.tables("reward_state", live.await?, log);
        }
        Ok(())
    }

    /// Reads the task rows of these users and the chunks of their sets, in the form this version
    /// writes. An earlier version left sets in the row; the next write moves them to chunks, so
    /// that is no difference.
    async fn live_tasks(
        &self,
        connection: &mut PgConnection,
    ) -> sqlx::Result<(ByUser<TaskRow>, ByUser<ValueChunk>)> {
        let mut tasks =
            self.live("task_view", states::TASK_COLUMNS, connection, TaskRow::read).await?;
        let read = |row: &PgRow, first| ValueChunk::read(row, first).map(Some);
        let mut chunks =
            self.live("distinct_values", states::VALUE_COLUMNS, connection, read).await?;
        for (user, rows) in &mut tasks {
            for row in rows {
                let Some((divided, moved)) = row.divided() else { continue };
                let of_user = chunks.entry(user.clone()).or_default();
                let is_moved = |c: &ValueChunk| {
                    moved.iter().any(|m| (&m.task, &m.period) == (&c.task, &c.period))
                };
                of_user.retain(|chunk| !is_moved(chunk));
                of_user.extend(moved);
                *row = divided;
            }
        }
        Ok((tasks, chunks))
    }

    /// Reads the rows of these users, by user.
    async fn live<R>(
        &self,
        table: &str,
        columns: &str,
        connection: &mut PgConnection,
        read: impl Fn(&PgRow, usize) -> sqlx::Result<Option<R>>,
    ) -> sqlx::Result<ByUser<R>> {
        let mut sql = format!("select user_id, {columns} from {table} where lane = $1");
        let mut bounds = Vec::new();
        // Leaves out absent bounds: a condition on a nullable parameter would not use the key.
        for (compared, bound) in [(">", self.after), ("<=", self.up_to)] {
            if let Some(bound) = bound {
                bounds.push(bound);
                let _ = write!(sql, " and user_id {compared} ${}", bounds.len() + 1);
            }
        }
        let query = bounds.into_iter().fold(sqlx::query(&sql).bind(self.lane.0), Query::bind);
        let rows = query.fetch_all(connection).await?;
        let mut by_user = ByUser::new();
        for row in &rows {
            by_user.entry(row.try_get(0)?).or_default().extend(read(row, 1)?);
        }
        Ok(by_user)
    }

    /// Returns the users to whom stock postgres-es appended events and whom no batch has touched
    /// since.
    async fn appended_to(
        &self,
        users: &[FoldedUser],
        connection: &mut PgConnection,
    ) -> sqlx::Result<BTreeSet<String>> {
        let users: Vec<_> = users.iter().map(|user| (self.lane, user.user.as_str())).collect();
        lanes::external_appends(&users, connection).await
    }
}

fn name(user: &FoldedUser) -> String {
    user.user.to_string()
}

/// Compares rows and adds the differences to a report.
struct Comparison<'r> {
    lane: Lane,
    /// Users whose rows are not compared, because they are behind or can't be read.
    left_out: Vec<String>,
    report: &'r mut VerifyReport,
}

impl Comparison<'_> {
    fn tables<R: Columns + PartialEq>(
        &mut self,
        table: &'static str,
        mut live: ByUser<R>,
        log: impl Iterator<Item = (String, Vec<R>)>,
    ) {
        for (user, log) in log {
            let live = live.remove(&user).unwrap_or_default();
            self.user(table, &user, &live, &log);
        }
        for (user, rows) in live {
            if !self.left_out.contains(&user) {
                self.user(table, &user, &rows, &[]);
            }
        }
    }

    fn user<R: Columns + PartialEq>(
        &mut self,
        table: &'static str,
        user: &str,
        live: &[R],
        log: &[R],
    ) {
        let mut by_key: BTreeMap<R::Key, (Option<&R>, Option<&R>)> = BTreeMap::new();
        for row in live {
            by_key.entry(row.key()).or_default().0 = Some(row);
        }
        for row in log {
            by_key.entry(row.key()).or_default().1 = Some(row);
        }
        for (live, log) in by_key.into_values().filter(|(live, log)| live != log) {
            let (live, log) = both(live, log);
            let (lane, user) = (self.lane, user.to_owned());
            self.report.differences.add(Difference { table, lane, user, live, log });
        }
    }
}
