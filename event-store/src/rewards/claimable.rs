//! The rows that claims need: milestones with something to claim, and the receipts of claimed
//! milestones.

mod lookups;

use std::collections::{BTreeMap, BTreeSet, HashMap, HashSet};

use plaudit_domain::calendar::{Period, PeriodKey};
use plaudit_domain::ids::{TaskId, UserId};
use plaudit_domain::lane::{Lane, Position};
use plaudit_domain::user_tasks::{ClaimableMilestone, RewardState};
use sqlx::postgres::PgRow;
use sqlx::{PgConnection, Row};

use lookups::{Asked, asked_for, counts, lanes, milestones, periods, places, tasks, times, users};
pub use lookups::{ClaimDemand, ClaimLookup, ClaimLookups};

use super::lapses::{self, SETTLED_MAX, SettledUsers};
use super::{Ledger, RewardRow};
use crate::batch::{Receipt, ReceiptLine};
use crate::error::ExecuteError;
use crate::states::{LoadedState, NeededUsers, undecodable};

/// A milestone of a user's task in a period.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct MilestoneKey {
    /// The user.
    pub user: UserId,
    /// The task.
    pub task: TaskId,
    /// The period.
    pub period: PeriodKey,
    /// The milestone.
    pub milestone: i64,
}

/// The milestones and receipts found for some claims.
#[derive(Debug, Default)]
pub struct FoundClaims {
    /// By user and task, oldest first.
    pub claimable: HashMap<UserId, BTreeMap<TaskId, Vec<ClaimableMilestone>>>,
    /// Receipts of milestones that are already claimed: those that a claim named, or all of a
    /// refolded user.
    pub receipts: HashMap<MilestoneKey, Receipt>,
    /// Users who claimed everything and for whom the maximum number of milestones was found, so
    /// there may be more.
    pub more: HashSet<UserId>,
}

/// Loads the claimable milestones for claims, and the due milestones of users to settle. Uses index
/// probes only.
pub async fn load(
    lookups: &ClaimLookups,
    settled: &SettledUsers,
    connection: &mut PgConnection,
) -> sqlx::Result<FoundClaims> {
    let mut found = FoundClaims::default();
    let of_period = |asked: &Asked<'_>| asked.lookup.period.is_some();
    let (mut named, unnamed): (Vec<_>, Vec<_>) =
        lookups.iter().flat_map(asked_for).partition(of_period);
    // No period is named so, and no text of PostgreSQL either.
    named.retain(|asked| asked.lookup.period.as_ref().is_none_or(|p| !p.as_str().contains('\0')));
    let (of_task, of_all): (Vec<_>, Vec<_>) =
        unnamed.into_iter().partition(|asked| asked.lookup.task.is_some());
    found.add_named(&named, connection).await?;
    found.add_oldest(&of_task, connection).await?;
    found.add_all(&of_all, connection).await?;
    found.add_due(settled, connection).await?;
    Ok(found)
}

/// The index of the entry that a row answers. SQL counts from 1.
fn place_of(row: &PgRow) -> sqlx::Result<usize> {
    usize::try_from(row.try_get::<i64, _>(0)? - 1).map_err(undecodable)
}

impl FoundClaims {
    async fn add_named(
        &mut self,
        asked: &[Asked<'_>],
        connection: &mut PgConnection,
    ) -> sqlx::Result<()> {
        if asked.is_empty() {
            return Ok(());
        }
        let rows = sqlx::query(include_str!("of_period.sql"))
            .bind(lanes(asked))
            .bind(users(asked))
            .bind(tasks(asked))
            .bind(periods(asked))
            .bind(milestones(asked))
            .bind(places(asked))
            .fetch_all(connection)
            .await?;
        self.add(&rows, asked)
    }

    async fn add_oldest(
        &mut self,
        asked: &[Asked<'_>],
        connection: &mut PgConnection,
    ) -> sqlx::Result<()> {
        if asked.is_empty() {
            return Ok(());
        }
        let rows = sqlx::query(include_str!("oldest_claimable.sql"))
            .bind(lanes(asked))
            .bind(users(asked))
            .bind(tasks(asked))
            .bind(milestones(asked))
            .bind(counts(asked))
            .bind(times(asked))
            .bind(places(asked))
            .fetch_all(connection)
            .await?;
        self.add(&rows, asked)
    }

    async fn add_all(
        &mut self,
        asked: &[Asked<'_>],
        connection: &mut PgConnection,
    ) -> sqlx::Result<()> {
        if asked.is_empty() {
            return Ok(());
        }
        let rows = sqlx::query(include_str!("all_claimable.sql"))
            .bind(lanes(asked))
            .bind(users(asked))
            .bind(counts(asked))
            .bind(times(asked))
            .bind(places(asked))
            .fetch_all(connection)
            .await?;
        self.add(&rows, asked)?;
        self.note_more(asked);
        Ok(())
    }

    async fn add_due(
        &mut self,
        settled: &SettledUsers,
        connection: &mut PgConnection,
    ) -> sqlx::Result<()> {
        if settled.is_empty() {
            return Ok(());
        }
        let lookup = |(lane, user): &(Lane, UserId)| ClaimLookup {
            lane: *lane,
            user: user.clone(),
            task: None,
            period: None,
            milestone: None,
        };
        let lookups: Vec<ClaimLookup> = settled.keys().map(lookup).collect();
        let count = lapses::share_of(lookups.len(), SETTLED_MAX);
        let asked = |(lookup, at)| Asked { lookup, count, at };
        let asked: Vec<_> = lookups.iter().zip(settled.values().copied()).map(asked).collect();
        let rows = sqlx::query(include_str!("due_of_users.sql"))
            .bind(lanes(&asked))
            .bind(users(&asked))
            .bind(times(&asked))
            .bind(places(&asked))
            .bind(count)
            .fetch_all(connection)
            .await?;
        self.add(&rows, &asked)
    }

    /// Adds rows of (place, [`super::COLUMNS`]). The lines of a milestone follow each other.
    fn add(&mut self, rows: &[PgRow], asked: &[Asked<'_>]) -> sqlx::Result<()> {
        let mut by_milestone: BTreeMap<(Lane, MilestoneKey), Vec<RewardRow>> = BTreeMap::new();
        for row in rows {
            let (Some(Asked { lookup, .. }), Some(line)) =
                (asked.get(place_of(row)?), RewardRow::read(row, 1)?)
            else {
                continue;
            };
            let key = MilestoneKey {
                user: lookup.user.clone(),
                task: line.reward.task.clone(),
                period: line.reward.period.clone(),
                milestone: line.reward.milestone,
            };
            let lines = by_milestone.entry((lookup.lane, key)).or_default();
            // Two lookups may find the same line.
            if !lines.iter().any(|known| known.place == line.place) {
                lines.push(line);
            }
        }
        self.add_milestones(by_milestone);
        Ok(())
    }

    /// Notes the users who may have more to claim than was found.
    fn note_more(&mut self, asked: &[Asked<'_>]) {
        let found = |user: &UserId| {
            let tasks = self.claimable.get(user).into_iter().flat_map(BTreeMap::values);
            i64::try_from(tasks.map(Vec::len).sum::<usize>()).unwrap_or(i64::MAX)
        };
        let full = asked.iter().filter(|asked| found(&asked.lookup.user) >= asked.count);
        self.more = full.map(|asked| asked.lookup.user.clone()).collect();
    }

    /// Returns the claimants with lost rows: more milestones of their task count as unclaimed than
    /// have lapsed without an event, but no row was found to claim.
    pub async fn lost_rows(
        &self,
        lookups: &ClaimLookups,
        states: &HashMap<UserId, LoadedState>,
        connection: &mut PgConnection,
    ) -> sqlx::Result<BTreeSet<(Lane, UserId)>> {
        let (mut asked, mut unclaimed) = (Vec::new(), Vec::new());
        for (lookup, demand) in lookups {
            if let Some(count) = self.unclaimed_without_rows(lookup, states) {
                asked.push(Asked { lookup, count, at: demand.first_at });
                unclaimed.push(count);
            }
        }
        if asked.is_empty() {
            return Ok(BTreeSet::new());
        }
        let rows = sqlx::query(include_str!("lapsed_of_tasks.sql"))
            .bind(lanes(&asked))
            .bind(users(&asked))
            .bind(tasks(&asked))
            .bind(times(&asked))
            .bind(places(&asked))
            .fetch_all(connection)
            .await?;
        for row in &rows {
            if let Some(left) = unclaimed.get_mut(place_of(row)?) {
                *left -= row.try_get::<i64, _>(1)?;
            }
        }
        let lost = asked.iter().zip(unclaimed).filter(|(_, left)| *left > 0);
        Ok(lost.map(|(asked, _)| (asked.lookup.lane, asked.lookup.user.clone())).collect())
    }

    /// The number of unclaimed milestones that the state counts for an unnamed claim, if no row was
    /// found.
    fn unclaimed_without_rows(
        &self,
        lookup: &ClaimLookup,
        states: &HashMap<UserId, LoadedState>,
    ) -> Option<i64> {
        let ClaimLookup { user, task: Some(task), period: None, milestone: None, .. } = lookup
        else {
            return None;
        };
        let loaded = states.get(user).filter(|loaded| !loaded.refolded)?;
        let is_found = self.claimable.get(user).is_some_and(|tasks| tasks.contains_key(task));
        let counted = loaded.state.tasks.get(task)?.unclaimed_count;
        let counted = i64::try_from(counted).unwrap_or(i64::MAX);
        Some(counted).filter(|counted| *counted > 0 && !is_found)
    }

    /// Returns the users with a lost row in `task_view`: a task of theirs has something to claim, but
    /// no state.
    pub fn lost_tasks<'l>(
        &'l self,
        users: &'l NeededUsers,
        states: &'l HashMap<UserId, LoadedState>,
    ) -> impl Iterator<Item = (Lane, UserId)> + 'l {
        let is_lost = |(_, user): &&(Lane, UserId)| {
            let (Some(tasks), Some(loaded)) = (self.claimable.get(user), states.get(user)) else {
                return false;
            };
            !loaded.refolded
                && loaded.fault.is_none()
                && tasks.keys().any(|task| !loaded.state.tasks.contains_key(task))
        };
        let users = users.keys().filter(|_| !self.claimable.is_empty());
        users.filter(is_lost).cloned()
    }

    /// Adds the receipts of a user from the log, because the user's rows are behind the log or
    /// lost.
    pub async fn add_receipts_of_log(
        &mut self,
        lane: Lane,
        user: &UserId,
        connection: &mut PgConnection,
    ) -> Result<(), ExecuteError> {
        let ledger = Ledger::of_user(lane, user, connection).await?;
        let mut by_milestone: BTreeMap<(Lane, MilestoneKey), Vec<RewardRow>> = BTreeMap::new();
        for row in ledger.granted {
            let key = MilestoneKey {
                user: user.clone(),
                task: row.reward.task.clone(),
                period: row.reward.period.clone(),
                milestone: row.reward.milestone,
            };
            by_milestone.entry((lane, key)).or_default().push(row);
        }
        // Claimable milestones are part of the folded state already.
        by_milestone.retain(|_, lines| lines.iter().any(|line| line.claimed.is_some()));
        self.add_milestones(by_milestone);
        Ok(())
    }

    fn add_milestones(&mut self, by_milestone: BTreeMap<(Lane, MilestoneKey), Vec<RewardRow>>) {
        for ((lane, key), mut lines) in by_milestone {
            // Lines that wait for a budget or were refused can't be claimed.
            let is_offered = |line: &RewardRow| {
                !matches!(line.state, RewardState::Waiting | RewardState::Refused)
            };
            lines.retain(is_offered);
            if lines.iter().all(|line| line.state == RewardState::Claimable) {
                self.add_claimable(key, &lines);
            } else if let Some(receipt) = receipt_of(lane, &key, &lines) {
                self.receipts.insert(key, receipt);
            }
        }
    }

    fn add_claimable(&mut self, key: MilestoneKey, lines: &[RewardRow]) {
        let Some(first) = lines.first() else { return };
        let milestone = ClaimableMilestone {
            period: Period { key: key.period, starts_at: first.starts_at, ends_at: first.ends_at },
            at: key.milestone,
            version: first.reward.version,
            reached_at: first.reward.reached_at,
            rewards: lines.iter().map(|line| line.reward.clone()).collect(),
            terms: first.terms(),
        };
        let of_task = self.claimable.entry(key.user).or_default().entry(key.task).or_default();
        if !of_task.contains(&milestone) {
            of_task.push(milestone);
        }
    }
}

/// Builds the receipt of the claim that took these lines; `None` if no claim did.
fn receipt_of(lane: Lane, key: &MilestoneKey, lines: &[RewardRow]) -> Option<Receipt> {
    let claimed = lines.iter().find_map(|line| line.claimed)?;
    Some(Receipt {
        user: key.user.clone(),
        task: key.task.clone(),
        period: key.period.clone(),
        milestone: key.milestone,
        position: Position { lane, number: claimed.position }.to_string(),
        claimed_at: claimed.at,
        rewards: lines.iter().map(|row| ReceiptLine::claimed(&row.reward)).collect(),
    })
}
