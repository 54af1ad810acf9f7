//! `reward_state`: one row per granted reward line, folded from the events that grant and change
//! rewards. The rewards that a user can claim are found by index, however many there are.

pub mod by_grant;
pub mod claimable;
pub mod grants;
pub mod handed_over;
pub mod lapses;
mod ledger;
pub(crate) mod waiting;

use std::borrow::Cow;
use std::collections::BTreeMap;
use std::fmt;
use std::str::FromStr;

use chrono::{DateTime, Utc};
use plaudit_domain::catalogue::definition::AtPeriodEnd;
use plaudit_domain::ids::UserId;
use plaudit_domain::lane::{Lane, Position};
use plaudit_domain::user_tasks::{ClaimTerms, Lapse, Lapsed, PeriodEnd, Reward, RewardState};
use sqlx::postgres::PgRow;
use sqlx::{PgConnection, PgPool, Row};
use uuid::Uuid;

pub use ledger::{Change, Ledger};

use crate::batch::{ChangedUser, Changes};
use crate::instant;
use crate::states::undecodable;

/// One reward line of a user.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RewardRow {
    /// The reward. `reached_at` is the time of the grant.
    pub reward: Reward,
    /// The first instant of its period.
    pub starts_at: Option<jiff::Timestamp>,
    /// The first instant after its period.
    pub ends_at: Option<jiff::Timestamp>,
    /// Its state.
    pub state: RewardState,
    /// The place in the order of grants.
    pub place: RewardPlace,
    /// The claim that took it; `None` if it is not claimed, or was granted without a claim.
    pub claimed: Option<Claimed>,
    /// The first instant at which it can no longer be claimed.
    pub claim_until: Option<jiff::Timestamp>,
    /// The change of state that time brings while it is claimable.
    pub lapse: Option<Lapse>,
}

/// A claim.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Claimed {
    /// The time at which the claim arrived.
    pub at: jiff::Timestamp,
    /// The number of its position in the lane.
    pub position: i64,
}

/// The place of a reward in its lane: the position of the event that granted it, and the index
/// among that event's rewards. Written as `5210-0`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct RewardPlace {
    /// The number of the event's position.
    pub position: i64,
    /// The index among the event's rewards, from 0.
    pub ordinal: i32,
}

impl fmt::Display for RewardPlace {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}-{}", self.position, self.ordinal)
    }
}

impl FromStr for RewardPlace {
    type Err = InvalidRewardPlace;

    fn from_str(got: &str) -> Result<Self, Self::Err> {
        let digits = |s: &str| !s.is_empty() && s.bytes().all(|b| b.is_ascii_digit());
        let parse = || {
            let (position, ordinal) =
                got.split_once('-').filter(|(p, o)| digits(p) && digits(o))?;
            Some(Self { position: position.parse().ok()?, ordinal: ordinal.parse().ok()? })
        };
        parse().ok_or_else(|| InvalidRewardPlace { got: got.to_owned() })
    }
}

/// A text that is not a valid [`RewardPlace`].
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("a place in a list of rewards looks like 5210-0, as `next` gave it, got {got:?}")]
pub struct InvalidRewardPlace {
    got: String,
}

/// A page of a user's rewards.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RewardPage {
    /// Oldest first.
    pub rows: Vec<RewardRow>,
    /// The head of the user's lane as of the read.
    pub position: Position,
    /// The `after` of the next page; `None` on the last page.
    pub next: Option<RewardPlace>,
}

/// Reads a page of a user's rewards: those in `state` as of `now` (`None`: in any state), after a
/// place, at most `limit`.
///
/// # Errors
///
/// `RowNotFound` if there is no such lane.
pub async fn load(
    pool: &PgPool,
    lane: Lane,
    user: &UserId,
    state: Option<&str>,
    after: Option<RewardPlace>,
    limit: u32,
    now: jiff::Timestamp,
) -> sqlx::Result<RewardPage> {
    let limit = limit.max(1);
    // Of all rewards of a user, few are claimable at a time.
    let is_of_claimable = state == Some(RewardState::Claimable.as_str());
    let sql = if is_of_claimable {
        Cow::Borrowed(include_str!("rewards/claimable_page.sql"))
    } else {
        include_str!("rewards/page.sql").replace("{state_as_of}", &state_as_of("$6")).into()
    };
    let mut asked = sqlx::query(&sql)
        .bind(lane.0)
        .bind(user.as_str())
        .bind(after.map_or(0, |after| after.position))
        .bind(after.map_or(0, |after| after.ordinal))
        .bind(i64::from(limit) + 1) // one more tells whether there is a next page
        .bind(instant::to_sql(now));
    if !is_of_claimable {
        asked = asked.bind(state);
    }
    let found = asked.fetch_all(pool).await?;
    let number = found.first().ok_or(sqlx::Error::RowNotFound)?.try_get(0)?;
    let rows = found.iter().map(|row| RewardRow::read(row, 1));
    let mut rows: Vec<_> = rows.filter_map(Result::transpose).collect::<Result<_, _>>()?;
    let limit = usize::try_from(limit).unwrap_or(usize::MAX);
    let next = (rows.len() > limit).then(|| rows[limit - 1].place);
    rows.truncate(limit);
    Ok(RewardPage { rows, position: Position { lane, number }, next })
}

/// SQL for the state of a row `r` of `reward_state` as of a parameter: [`RewardState::as_of`].
pub(crate) fn state_as_of(now: &str) -> String {
    format!(
        "case
             when r.state <> 'claimable' or r.lapses_at is null or r.lapses_at > {now} then r.state
             when r.lapses_as = 'granted' then 'claimed'
             else r.lapses_as
         end"
    )
}

/// The columns of a row after its user, in the order in which [`RewardRow::read`] takes them.
pub const COLUMNS: &str = "task_id, period_key, milestone, line, grant_id, kind, code, amount, state, granted_at, granted_position, ordinal, version, period_starts_at, period_ends_at, claimed_at, claimed_position, claim_until, lapses_at, lapses_as";

impl RewardRow {
    /// The terms for claiming it, as far as a claim needs them.
    pub fn terms(&self) -> ClaimTerms {
        let at_period_end = self.lapse.and_then(|lapse| {
            let then = match lapse.becomes {
                Lapsed::Expired => return None,
                Lapsed::Forfeited => AtPeriodEnd::Forfeit,
                Lapsed::Granted => AtPeriodEnd::Grant,
            };
            Some(PeriodEnd { at: lapse.at, then })
        });
        ClaimTerms { claim_until: self.claim_until, at_period_end }
    }

    /// Its state at `now`, whether an event records it yet or not.
    pub fn state_as_of(&self, now: jiff::Timestamp) -> RewardState {
        self.state.as_of(&self.terms(), now)
    }

    /// The task version that promised it, as an SQL integer.
    pub fn version(&self) -> i32 {
        i32::try_from(self.reward.version).unwrap_or(i32::MAX)
    }

    /// Reads [`COLUMNS`] from the column `first` on; `None` if they are an outer join's nulls.
    pub fn read(row: &PgRow, first: usize) -> sqlx::Result<Option<Self>> {
        let Some(task) = row.try_get::<Option<String>, _>(first)? else { return Ok(None) };
        let granted_at: DateTime<Utc> = row.try_get(first + 9)?;
        let at = |column: usize| -> sqlx::Result<Option<jiff::Timestamp>> {
            Ok(row.try_get::<Option<DateTime<Utc>>, _>(first + column)?.map(instant::from_sql))
        };
        let lapsed = row.try_get::<Option<&str>, _>(first + 19)?.map(lapsed_from).transpose()?;
        let claimed = at(15)?.zip(row.try_get::<Option<i64>, _>(first + 16)?);
        Ok(Some(Self {
            reward: Reward {
                grant: row.try_get(first + 4)?,
                task: task.try_into().map_err(undecodable)?,
                version: u32::try_from(row.try_get::<i32, _>(first + 12)?).map_err(undecodable)?,
                period: row.try_get::<String, _>(first + 1)?.into(),
                milestone: row.try_get(first + 2)?,
                line: row.try_get(first + 3)?,
                kind: row.try_get(first + 5)?,
                code: row.try_get(first + 6)?,
                amount: row.try_get(first + 7)?,
                reached_at: instant::from_sql(granted_at),
            },
            starts_at: at(13)?,
            ends_at: at(14)?,
            state: state_from(row.try_get(first + 8)?)?,
            claimed: claimed.map(|(at, position)| Claimed { at, position }),
            claim_until: at(17)?,
            lapse: at(18)?.zip(lapsed).map(|(at, becomes)| Lapse { at, becomes }),
            place: RewardPlace {
                position: row.try_get(first + 10)?,
                ordinal: row.try_get(first + 11)?,
            },
        }))
    }
}

fn lapsed_from(text: &str) -> sqlx::Result<Lapsed> {
    let known = [Lapsed::Expired, Lapsed::Forfeited, Lapsed::Granted];
    let found = known.into_iter().find(|lapsed| lapsed.as_str() == text);
    found.ok_or_else(|| undecodable(UnknownRewardState { got: text.to_owned() }))
}

fn state_from(text: &str) -> sqlx::Result<RewardState> {
    text.parse().map_err(|_| undecodable(UnknownRewardState { got: text.to_owned() }))
}

#[derive(Debug, thiserror::Error)]
#[error(
    "{got:?} is not a reward state that this program knows; a newer program may have written it"
)]
struct UnknownRewardState {
    got: String,
}

/// Deletes all rows of these users.
async fn delete(lanes: &[i16], users: &[&str], connection: &mut PgConnection) -> sqlx::Result<()> {
    sqlx::query("delete from reward_state where lane = any($1) and user_id = any($2)")
        .bind(lanes)
        .bind(users)
        .execute(connection)
        .await?;
    Ok(())
}

/// Updates the rows of rewards that were granted before.
async fn change(
    changed: &[(Lane, Uuid, Change)],
    connection: &mut PgConnection,
) -> sqlx::Result<()> {
    if changed.is_empty() {
        return Ok(());
    }
    let claims = || changed.iter().map(|(.., change)| change.claimed);
    sqlx::query(include_str!("rewards/change_states.sql"))
        .bind(changed.iter().map(|(lane, ..)| lane.0).collect::<Vec<_>>())
        .bind(changed.iter().map(|(_, grant, _)| *grant).collect::<Vec<_>>())
        .bind(changed.iter().map(|(.., change)| change.state.as_str()).collect::<Vec<_>>())
        .bind(claims().map(|c| c.map(|c| instant::to_sql(c.at))).collect::<Vec<_>>())
        .bind(claims().map(|c| c.map(|c| c.position)).collect::<Vec<_>>())
        .execute(connection)
        .await?;
    Ok(())
}

/// Adds rows.
async fn insert(
    granted: &[(Lane, &UserId, &RewardRow)],
    connection: &mut PgConnection,
) -> sqlx::Result<()> {
    if granted.is_empty() {
        return Ok(());
    }
    let rows = || granted.iter().map(|(.., row)| row);
    let texts = |of: fn(&RewardRow) -> &str| rows().map(|row| of(row)).collect::<Vec<_>>();
    let numbers = |of: fn(&RewardRow) -> i64| rows().map(|row| of(row)).collect::<Vec<_>>();
    sqlx::query(include_str!("rewards/insert.sql"))
        .bind(granted.iter().map(|(lane, ..)| lane.0).collect::<Vec<_>>())
        .bind(granted.iter().map(|(_, user, _)| user.as_str()).collect::<Vec<_>>())
        .bind(texts(|row| row.reward.task.as_str()))
        .bind(texts(|row| row.reward.period.as_str()))
        .bind(numbers(|row| row.reward.milestone))
        .bind(texts(|row| &row.reward.line))
        .bind(rows().map(|row| row.reward.grant).collect::<Vec<_>>())
        .bind(texts(|row| &row.reward.kind))
        .bind(texts(|row| &row.reward.code))
        .bind(numbers(|row| row.reward.amount))
        .bind(texts(|row| row.state.as_str()))
        .bind(rows().map(|row| instant::to_sql(row.reward.reached_at)).collect::<Vec<_>>())
        .bind(numbers(|row| row.place.position))
        .bind(rows().map(|row| row.place.ordinal).collect::<Vec<_>>())
        .bind(rows().map(|row| row.version()).collect::<Vec<_>>())
        .bind(rows().map(|row| row.starts_at.map(instant::to_sql)).collect::<Vec<_>>())
        .bind(rows().map(|row| row.ends_at.map(instant::to_sql)).collect::<Vec<_>>())
        .bind(rows().map(|row| row.claimed.map(|c| instant::to_sql(c.at))).collect::<Vec<_>>())
        .bind(rows().map(|row| row.claimed.map(|c| c.position)).collect::<Vec<_>>())
        .bind(rows().map(|row| row.claim_until.map(instant::to_sql)).collect::<Vec<_>>())
        .bind(rows().map(|row| row.lapse.map(|l| instant::to_sql(l.at))).collect::<Vec<_>>())
        .bind(rows().map(|row| row.lapse.map(|l| l.becomes.as_str())).collect::<Vec<_>>())
        .execute(connection)
        .await?;
    Ok(())
}

/// Writes the changes of rewards. For refolded users it rewrites all rows from the log, which
/// already has the events of the batch.
pub(crate) async fn save(changes: &Changes, connection: &mut PgConnection) -> sqlx::Result<()> {
    let refolded: Vec<&ChangedUser> = changes.users.iter().filter(|user| user.refolded).collect();
    let mut ledgers: BTreeMap<(Lane, &UserId), Ledger> = BTreeMap::new();
    for new in &changes.events {
        if !refolded.iter().any(|user| user.user == new.user) {
            let ledger = ledgers.entry((new.lane, &new.user)).or_default();
            ledger.record(&new.event, new.position);
        }
    }
    for user in &refolded {
        let ledger = Ledger::of_user(user.lane, &user.user, connection).await?;
        ledgers.insert((user.lane, &user.user), ledger);
    }
    if !refolded.is_empty() {
        let in_lanes: Vec<i16> = refolded.iter().map(|user| user.lane.0).collect();
        let names: Vec<&str> = refolded.iter().map(|user| user.user.as_str()).collect();
        delete(&in_lanes, &names, connection).await?;
    }
    // Changes before grants: a change that precedes its grant in the batch had no row to change.
    let moved = ledgers.iter().flat_map(|((lane, _), ledger)| {
        ledger.changed.iter().map(|(grant, last)| (*lane, *grant, *last))
    });
    change(&moved.collect::<Vec<_>>(), connection).await?;
    let granted = ledgers
        .iter()
        .flat_map(|((lane, user), ledger)| ledger.granted.iter().map(|row| (*lane, *user, row)));
    insert(&granted.collect::<Vec<_>>(), connection).await
}
