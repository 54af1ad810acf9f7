//! Applies pages of the log to the new version: users are folded on, rewards are changed.

use std::collections::{BTreeMap, BTreeSet, HashMap};

use plaudit_domain::ids::UserId;
use plaudit_domain::lane::Lane;
use plaudit_event_store::instant;
use plaudit_event_store::reader::{self, Fact, LanePage, LaneSpan};
use sqlx::PgConnection;

use super::run::Run;
use super::{copy, progress, skipped};
use crate::fold::{self, FoldedUser};
use crate::view::View;

/// Number of events that are read by one statement, over all lanes. Of each lane at least
/// [`LANE_PAGE_MIN`] are read.
const PAGE: usize = 2_000;
const LANE_PAGE_MIN: usize = 20;

/// Maximum number of folded users in memory, over all lanes.
const FOLDS_MAX: usize = 10_000;

/// Number of events up to which a user is kept after the load: one with more may have a state of
/// some hundred kilobytes.
const KEPT_EVENTS_MAX: i64 = 1_000;

/// Cache of a lane's folded users. The first event of a user costs a fold of the whole history;
/// each later one only itself.
pub(crate) type LaneFolds = HashMap<String, FoldedUser>;

/// Maximum number of folded users of one lane.
fn folds_max(run: &Run) -> usize {
    FOLDS_MAX / run.lane_count.max(1)
}

/// The caches of some lanes, while one worker has them. They are given back on drop, also if the
/// worker failed: a user may then be ahead of the new version, and events are never applied twice.
pub(super) struct Folds<'r> {
    run: &'r Run,
    lanes: BTreeMap<Lane, LaneFolds>,
}

impl Drop for Folds<'_> {
    fn drop(&mut self) {
        for (lane, folds) in std::mem::take(&mut self.lanes) {
            self.run.keep_folds(lane, folds);
        }
    }
}

impl<'r> Folds<'r> {
    /// Takes the caches of these lanes.
    pub fn take(run: &'r Run, spans: &[LaneSpan]) -> Self {
        let lanes = spans.iter().map(|span| (span.lane, run.take_folds(span.lane))).collect();
        Self { run, lanes }
    }

    fn get(&self, lane: Lane, user: &str) -> Option<&FoldedUser> {
        self.lanes.get(&lane)?.get(user)
    }

    /// Applies events to a cached user. Returns false if the user is not cached, or an event is
    /// missing in between.
    fn advance(&mut self, lane: Lane, user: &str, facts: &[Fact], view: View) -> bool {
        let Some(folds) = self.lanes.get_mut(&lane) else { return false };
        let Some(folded) = folds.get_mut(user) else { return false };
        let known = folded.sequence;
        for fact in facts.iter().filter(|fact| fact.sequence > known) {
            if fact.sequence != folded.sequence + 1 {
                folds.remove(user);
                return false;
            }
            folded.record(view.parts(), fact);
        }
        true
    }

    /// Adds users of a lane. If there are too many, only those with new events stay.
    fn add(&mut self, lane: Lane, users: Vec<FoldedUser>, changes: &Changes) {
        let max = folds_max(self.run);
        let folds = self.lanes.entry(lane).or_default();
        if folds.len() + users.len() > max {
            folds.retain(|user, _| changes.contains_key(&(lane, user.clone())));
        }
        folds.extend(users.into_iter().map(|user| (user.user.to_string(), user)));
    }
}

/// Keeps users of a lane whom the load has just folded, as far as there is room: in a small
/// installation catching up then folds nobody's whole history.
pub(super) fn keep_loaded(run: &Run, lane: Lane, users: Vec<FoldedUser>) {
    let mut folds = run.take_folds(lane);
    let room = folds_max(run).saturating_sub(folds.len());
    let small = users.into_iter().filter(|user| user.events <= KEPT_EVENTS_MAX);
    folds.extend(small.take(room).map(|user| (user.user.to_string(), user)));
    run.keep_folds(lane, folds);
}

/// The new events of users, by lane and user.
type Changes = BTreeMap<(Lane, String), Vec<Fact>>;

/// Applies the next events of these spans, and moves the checkpoints of their lanes. Returns what
/// is left of the spans; `None` if a checkpoint was not where its span begins, and the transaction
/// must be rolled back.
pub(super) async fn apply(
    run: &Run,
    spans: &[LaneSpan],
    folds: &mut Folds<'_>,
    connection: &mut PgConnection,
) -> sqlx::Result<Option<Vec<LaneSpan>>> {
    let limit = (PAGE / spans.len().max(1)).max(LANE_PAGE_MIN);
    let limit = i64::try_from(limit).unwrap_or(i64::MAX);
    let pages = reader::lane_pages(spans, run.view.parts().kinds(), limit, connection).await?;
    let applied: Vec<LaneSpan> = pages.iter().map(|page| page.span).collect();
    if !progress::advance(run.view, &applied, connection).await? {
        return Ok(None);
    }
    let left =
        spans.iter().zip(&pages).map(|(span, page)| LaneSpan { after: page.span.up_to, ..*span });
    let left = left.filter(|span| span.after < span.up_to).collect();
    let changes = by_user(run, pages, connection).await?;
    match run.view {
        View::Tasks => refold(run, &changes, folds, connection).await?,
        View::Rewards => change_rewards(run, changes, &applied, connection).await?,
    }
    Ok(Some(left))
}

/// Groups the events of pages by user, without skipped users.
async fn by_user(
    run: &Run,
    pages: Vec<LanePage>,
    connection: &mut PgConnection,
) -> sqlx::Result<Changes> {
    let mut changes = Changes::new();
    let lanes: Vec<i16> = pages.iter().map(|page| page.span.lane.0).collect();
    for LanePage { span, facts } in pages {
        let mut unreadable: Vec<(String, String)> = Vec::new();
        for (user, fact) in facts {
            let is_allowed = || UserId::try_from(user.clone()).map_err(|error| error.to_string());
            match fact.and_then(|fact| is_allowed().map(|_| fact)) {
                Ok(fact) => changes.entry((span.lane, user)).or_default().push(fact),
                Err(reason) => unreadable.push((user, reason)),
            }
        }
        skipped::note(run, span.lane, &unreadable, connection).await?;
    }
    for (lane, user) in skipped::users_of(run, &lanes, connection).await? {
        changes.remove(&(Lane(lane), user));
    }
    Ok(changes)
}

/// Replaces the rows of users by those that follow from their events.
async fn refold(
    run: &Run,
    changes: &Changes,
    folds: &mut Folds<'_>,
    connection: &mut PgConnection,
) -> sqlx::Result<()> {
    let mut unknown: Vec<(Lane, &str)> = Vec::new();
    for ((lane, user), facts) in changes {
        if !folds.advance(*lane, user, facts, run.view) {
            unknown.push((*lane, user));
        }
    }
    for (lane, folded) in fold::users(&unknown, run.view.parts(), connection).await? {
        skipped::note(run, lane, &folded.unreadable, connection).await?;
        folds.add(lane, folded.users, changes);
    }
    let lanes: Vec<i16> = changes.keys().map(|(lane, _)| lane.0).collect();
    let users: Vec<&str> = changes.keys().map(|(_, user)| user.as_str()).collect();
    for table in run.view.tables() {
        let sql = format!(
            "delete from {}_new t using unnest($1::smallint[], $2::text[]) u (lane, user_id)
             where t.lane = u.lane and t.user_id = u.user_id",
            table.name
        );
        sqlx::query(&sql).bind(&lanes).bind(&users).execute(&mut *connection).await?;
    }
    let folded = changes.keys().filter_map(|(lane, user)| Some((*lane, folds.get(*lane, user)?)));
    copy::send(copy::rows_of(run.view, folded), connection).await
}

/// Adds the rewards that these events grant, and updates those that they change. Applying a page
/// again changes nothing: the load may have seen some of it.
async fn change_rewards(
    run: &Run,
    changes: Changes,
    applied: &[LaneSpan],
    connection: &mut PgConnection,
) -> sqlx::Result<()> {
    let mut users: Vec<(Lane, FoldedUser)> = Vec::new();
    for ((lane, user), facts) in changes {
        let Ok(user) = UserId::try_from(user) else { continue };
        let mut folded = FoldedUser::new(user);
        facts.iter().for_each(|fact| folded.record(run.view.parts(), fact));
        users.push((lane, folded));
    }
    delete_granted(&users, applied, connection).await?;
    update_states(&users, connection).await?;
    // A grant is made once; if the log holds it twice, the first counts.
    let granted =
        || users.iter().flat_map(|(lane, user)| user.ledger.granted.iter().map(|g| (*lane, g)));
    let known: Vec<uuid::Uuid> = sqlx::query_scalar(include_str!("apply/known_grants.sql"))
        .bind(granted().map(|(lane, _)| lane.0).collect::<Vec<_>>())
        .bind(granted().map(|(_, row)| row.reward.grant).collect::<Vec<_>>())
        .fetch_all(&mut *connection)
        .await?;
    let known: BTreeSet<uuid::Uuid> = known.into_iter().collect();
    for (_, user) in &mut users {
        user.ledger.granted.retain(|row| !known.contains(&row.reward.grant));
    }
    let rows = copy::rows_of(run.view, users.iter().map(|(lane, user)| (*lane, user)));
    copy::send(rows, connection).await
}

/// Deletes what these spans granted to these users.
async fn delete_granted(
    users: &[(Lane, FoldedUser)],
    applied: &[LaneSpan],
    connection: &mut PgConnection,
) -> sqlx::Result<()> {
    sqlx::query(include_str!("apply/delete_granted.sql"))
        .bind(users.iter().map(|(lane, _)| lane.0).collect::<Vec<_>>())
        .bind(users.iter().map(|(_, user)| user.user.as_str()).collect::<Vec<_>>())
        .bind(applied.iter().map(|span| span.lane.0).collect::<Vec<_>>())
        .bind(applied.iter().map(|span| span.after).collect::<Vec<_>>())
        .bind(applied.iter().map(|span| span.up_to).collect::<Vec<_>>())
        .execute(connection)
        .await?;
    Ok(())
}

/// Updates the states of rewards that were granted before.
async fn update_states(
    users: &[(Lane, FoldedUser)],
    connection: &mut PgConnection,
) -> sqlx::Result<()> {
    let moved: Vec<_> = users
        .iter()
        .flat_map(|(lane, user)| user.ledger.changed.iter().map(|moved| (*lane, moved)))
        .collect();
    let claims = || moved.iter().map(|(_, (_, change))| change.claimed);
    sqlx::query(include_str!("apply/update_states.sql"))
        .bind(moved.iter().map(|(lane, _)| lane.0).collect::<Vec<_>>())
        .bind(moved.iter().map(|(_, (grant, _))| **grant).collect::<Vec<_>>())
        .bind(moved.iter().map(|(_, (_, change))| change.state.as_str()).collect::<Vec<_>>())
        .bind(claims().map(|c| c.map(|c| instant::to_sql(c.at))).collect::<Vec<_>>())
        .bind(claims().map(|c| c.map(|c| c.position)).collect::<Vec<_>>())
        .execute(connection)
        .await?;
    Ok(())
}
