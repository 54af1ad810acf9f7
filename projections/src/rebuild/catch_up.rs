//! Catches up: applies the events after each lane's checkpoint to the new version.

use std::collections::{BTreeMap, HashMap};

use plaudit_domain::ids::UserId;
use plaudit_domain::lane::Lane;
use plaudit_event_store::instant;
use plaudit_event_store::reader::{self, Fact, LogPage};
use sqlx::{Connection as _, Executor as _, PgConnection};
use tokio::time::Instant;

use super::run::{Run, StopReason};
use super::{copy, skipped};
use crate::fold::{self, FoldedUser};
use crate::view::View;

/// Number of events of the log that are read at once.
pub(crate) const PAGE: i64 = 2_000;

/// Maximum number of folded users in memory, over all lanes.
const FOLDS_MAX: usize = 10_000;

/// Cache of a lane's folded users. The first event of a user costs a fold of the whole history;
/// each later one only itself.
#[derive(Default)]
pub(crate) struct LaneFolds(HashMap<String, FoldedUser>);

impl LaneFolds {
    /// Applies events to a cached user. Returns false if the user is not cached, or an event is
    /// missing in between.
    fn advance(&mut self, user: &str, facts: &[Fact], view: View) -> bool {
        let Some(folded) = self.0.get_mut(user) else { return false };
        let new = facts.iter().filter(|fact| fact.sequence > folded.sequence);
        for fact in new.collect::<Vec<_>>() {
            if fact.sequence != folded.sequence + 1 {
                self.0.remove(user);
                return false;
            }
            folded.record(view.wanted(), fact);
        }
        true
    }
}

/// A lane in which the new version is behind the log: after this checkpoint, up to this head.
#[derive(Debug, Clone, Copy, sqlx::FromRow)]
pub(crate) struct LaneBehind {
    pub lane: i16,
    pub position: i64,
    pub head: i64,
}

/// The lanes in which the new version is behind the log.
pub(crate) async fn lanes_behind(
    run: &Run,
    connection: &mut PgConnection,
) -> sqlx::Result<Vec<LaneBehind>> {
    sqlx::query_as(
        "select r.lane, r.position, l.next_position - 1 as head
         from rebuild_lanes r join lanes l on l.lane = r.lane
         where r.projection = $1 and r.position < l.next_position - 1 order by r.lane",
    )
    .bind(run.view.name())
    .fetch_all(connection)
    .await
}

/// Brings every lane to its current head. Lanes without new events cost nothing, so that a round is
/// short and leaves little to the next one. Returns the number of events that were appended during
/// the round.
pub(crate) async fn round(run: &Run) -> Result<i64, StopReason> {
    let behind = lanes_behind(run, &mut *run.pool.acquire().await?).await?;
    let lanes = behind.into_iter().map(|behind| Lane(behind.lane)).collect();
    run.each_lane(lanes, catch_up_lane).await?;
    let left = lanes_behind(run, &mut *run.pool.acquire().await?).await?;
    Ok(left.iter().map(|behind| behind.head - behind.position).sum())
}

async fn catch_up_lane(run: Run, lane: Lane) -> Result<(), StopReason> {
    let mut connection = run.pool.acquire().await?;
    let mut folds = run.take_folds(lane);
    let (mut position, head) = places(&run, lane, &mut connection).await?;
    while position < head {
        run.proceed(&mut connection).await?;
        let mut tx = connection.begin().await?;
        tx.execute("set local synchronous_commit = off").await?;
        match apply_page(&run, lane, (position, head), &mut folds, &mut tx).await? {
            Some(up_to) => {
                tx.commit().await?;
                position = up_to;
            }
            None => {
                // An aborted worker was still committing.
                tx.rollback().await?;
                position = places(&run, lane, &mut connection).await?.0;
            }
        }
    }
    run.keep_folds(lane, folds);
    Ok(())
}

/// Runs the last round, on the connection that holds the lanes and on no other. Returns false if it
/// was not done by the deadline.
pub(crate) async fn last_round(
    run: &Run,
    deadline: Instant,
    connection: &mut PgConnection,
) -> sqlx::Result<bool> {
    for LaneBehind { lane, mut position, head } in lanes_behind(run, connection).await? {
        let lane = Lane(lane);
        let mut folds = run.take_folds(lane);
        while position < head && Instant::now() < deadline {
            match apply_page(run, lane, (position, head), &mut folds, connection).await? {
                Some(up_to) => position = up_to,
                None => return Ok(false),
            }
        }
        run.keep_folds(lane, folds);
        if position < head {
            return Ok(false);
        }
    }
    Ok(true)
}

/// Applies the events of a page and moves the lane's checkpoint. Returns the new checkpoint; `None`
/// if it was not at `from`, and nothing was applied.
async fn apply_page(
    run: &Run,
    lane: Lane,
    (from, head): (i64, i64),
    folds: &mut LaneFolds,
    connection: &mut PgConnection,
) -> sqlx::Result<Option<i64>> {
    let kinds = run.view.wanted().kinds();
    let page = reader::facts_after(lane, from, head, kinds, PAGE, &mut *connection).await?;
    let up_to = page.up_to;
    let moved = sqlx::query(
        "update rebuild_lanes set position = $4, events = events + $4 - $3
         where projection = $1 and lane = $2 and position = $3",
    )
    .bind(run.view.name())
    .bind(lane.0)
    .bind(from)
    .bind(up_to)
    .execute(&mut *connection)
    .await?;
    if moved.rows_affected() == 0 {
        return Ok(None);
    }
    let users = by_user(run, lane, page, connection).await?;
    match run.view {
        View::Tasks => refold(run, lane, users, folds, connection).await?,
        View::Rewards => apply_rewards(run, lane, users, (from, up_to), connection).await?,
    }
    Ok(Some(up_to))
}

/// Groups the events of a page by user, without skipped users.
async fn by_user(
    run: &Run,
    lane: Lane,
    page: LogPage,
    connection: &mut PgConnection,
) -> sqlx::Result<BTreeMap<String, Vec<Fact>>> {
    let mut users: BTreeMap<String, Vec<Fact>> = BTreeMap::new();
    let mut unreadable: Vec<(String, String)> = Vec::new();
    for (user, fact) in page.facts {
        let is_allowed = || UserId::try_from(user.clone()).map_err(|error| error.to_string());
        match fact.and_then(|fact| is_allowed().map(|_| fact)) {
            Ok(fact) => users.entry(user).or_default().push(fact),
            Err(reason) => unreadable.push((user, reason)),
        }
    }
    skipped::note(run, lane, &unreadable, connection).await?;
    for user in skipped::users_of(run, lane, connection).await? {
        users.remove(&user);
    }
    Ok(users)
}

/// Replaces the rows of users by those that follow from their events.
async fn refold(
    run: &Run,
    lane: Lane,
    users: BTreeMap<String, Vec<Fact>>,
    folds: &mut LaneFolds,
    connection: &mut PgConnection,
) -> sqlx::Result<()> {
    let mut unknown: Vec<&str> = Vec::new();
    for (user, facts) in &users {
        if !folds.advance(user, facts, run.view) {
            unknown.push(user);
        }
    }
    let folded = fold::users(lane, &unknown, run.view.wanted(), connection).await?;
    skipped::note(run, lane, &folded.unreadable, connection).await?;
    if folds.0.len() + folded.users.len() > FOLDS_MAX / run.lane_count.max(1) {
        folds.0.retain(|user, _| users.contains_key(user));
    }
    folds.0.extend(folded.users.into_iter().map(|user| (user.user.to_string(), user)));
    let names: Vec<&str> = users.keys().map(String::as_str).collect();
    for table in run.view.tables() {
        let sql = format!("delete from {}_new where lane = $1 and user_id = any($2)", table.name);
        sqlx::query(&sql).bind(lane.0).bind(&names).execute(&mut *connection).await?;
    }
    let folded = names.iter().filter_map(|user| folds.0.get(*user));
    copy::send(copy::rows_of(run.view, lane, folded), connection).await
}

/// Adds the rewards that these events grant, and updates those that they change. Applying a page
/// again changes nothing: the load may have seen some of it.
async fn apply_rewards(
    run: &Run,
    lane: Lane,
    users: BTreeMap<String, Vec<Fact>>,
    (from, up_to): (i64, i64),
    connection: &mut PgConnection,
) -> sqlx::Result<()> {
    let mut changes = Vec::new();
    for (user, facts) in users {
        let Ok(user) = UserId::try_from(user) else { continue };
        let mut change = FoldedUser::new(user);
        facts.iter().for_each(|fact| change.record(run.view.wanted(), fact));
        changes.push(change);
    }
    let names: Vec<&str> = changes.iter().map(|change| change.user.as_str()).collect();
    sqlx::query(
        "delete from reward_state_new where lane = $1 and user_id = any($2)
           and granted_position > $3 and granted_position <= $4",
    )
    .bind(lane.0)
    .bind(&names)
    .bind(from)
    .bind(up_to)
    .execute(&mut *connection)
    .await?;
    let moved: Vec<_> = changes.iter().flat_map(|change| &change.ledger.changed).collect();
    let claims = || moved.iter().map(|(_, change)| change.claimed);
    sqlx::query(
        "update reward_state_new r
         set state = m.state, claimed_at = coalesce(m.claimed_at, r.claimed_at),
             claimed_position = coalesce(m.claimed_position, r.claimed_position)
         from unnest($2::uuid[], $3::text[], $4::timestamptz[], $5::bigint[])
              m (grant_id, state, claimed_at, claimed_position)
         where r.lane = $1 and r.grant_id = m.grant_id",
    )
    .bind(lane.0)
    .bind(moved.iter().map(|(grant, _)| **grant).collect::<Vec<_>>())
    .bind(moved.iter().map(|(_, change)| change.state.as_str()).collect::<Vec<_>>())
    .bind(claims().map(|c| c.map(|c| instant::to_sql(c.at))).collect::<Vec<_>>())
    .bind(claims().map(|c| c.map(|c| c.position)).collect::<Vec<_>>())
    .execute(&mut *connection)
    .await?;
    // A grant is made once; if the log holds it twice, the first counts.
    let granted: Vec<_> =
        changes.iter().flat_map(|c| &c.ledger.granted).map(|row| row.reward.grant).collect();
    let known: Vec<uuid::Uuid> = sqlx::query_scalar(
        "select grant_id from reward_state_new where lane = $1 and grant_id = any($2)",
    )
    .bind(lane.0)
    .bind(&granted)
    .fetch_all(&mut *connection)
    .await?;
    for change in &mut changes {
        change.ledger.granted.retain(|row| !known.contains(&row.reward.grant));
    }
    copy::send(copy::rows_of(run.view, lane, &changes), connection).await
}

/// The lane's checkpoint in the new version, and its head.
pub(crate) async fn places(
    run: &Run,
    lane: Lane,
    connection: &mut PgConnection,
) -> sqlx::Result<(i64, i64)> {
    sqlx::query_as(
        "select r.position, l.next_position - 1
         from rebuild_lanes r join lanes l on l.lane = r.lane where r.projection = $1 and r.lane = $2",
    )
    .bind(run.view.name())
    .bind(lane.0)
    .fetch_one(connection)
    .await
}
