//! The rows that claims need: milestones with something to claim, and the receipts of claimed
//! milestones.

use std::collections::{BTreeMap, HashMap, HashSet};

use plaudit_domain::calendar::{Period, PeriodKey};
use plaudit_domain::ids::{TaskId, UserId};
use plaudit_domain::lane::{Lane, Position};
use plaudit_domain::user_tasks::{ClaimableMilestone, RewardState};
use sqlx::postgres::PgRow;
use sqlx::{PgConnection, Row};

use super::lapses::{self, SETTLED_MAX, SettledUsers};
use super::{Ledger, RewardRow};
use crate::batch::{Receipt, ReceiptLine};
use crate::error::ExecuteError;
use crate::instant;
use crate::states::{LoadedState, NeededUsers, undecodable};

/// The target of one claim, or of several identical ones.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct ClaimLookup {
    /// The user's lane.
    pub lane: Lane,
    /// The user.
    pub user: UserId,
    /// The task; `None` for all tasks.
    pub task: Option<TaskId>,
    /// The period, if the claim names one.
    pub period: Option<PeriodKey>,
    /// The milestone, if the claim names one.
    pub milestone: Option<i64>,
}

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

/// Loads the claimable milestones for claims, each with the maximum number to load, and the due
/// milestones of users to settle. Uses index probes only.
pub async fn load(
    lookups: &BTreeMap<ClaimLookup, i64>,
    settled: &SettledUsers,
    connection: &mut PgConnection,
) -> sqlx::Result<FoundClaims> {
    let mut found = FoundClaims::default();
    let of_period = |(lookup, _): &(&ClaimLookup, &i64)| lookup.period.is_some();
    let (mut named, unnamed): (Vec<_>, Vec<_>) = lookups.iter().partition(of_period);
    // No period is named so, and no text of PostgreSQL either.
    named.retain(|(lookup, _)| lookup.period.as_ref().is_none_or(|p| !p.as_str().contains('\0')));
    let (of_task, of_all): (Vec<_>, Vec<_>) =
        unnamed.into_iter().partition(|(lookup, _)| lookup.task.is_some());
    if !named.is_empty() {
        let rows = sqlx::query(include_str!("of_period.sql"));
        let rows = rows
            .bind(lanes(&named))
            .bind(users(&named))
            .bind(tasks(&named))
            .bind(
                named
                    .iter()
                    .map(|(l, _)| l.period.as_ref().map(PeriodKey::as_str))
                    .collect::<Vec<_>>(),
            )
            .bind(milestones(&named))
            .bind(places(&named))
            .fetch_all(&mut *connection)
            .await?;
        found.add(&rows, &named)?;
    }
    if !of_task.is_empty() {
        let rows = sqlx::query(include_str!("oldest_claimable.sql"));
        let rows = rows
            .bind(lanes(&of_task))
            .bind(users(&of_task))
            .bind(tasks(&of_task))
            .bind(milestones(&of_task))
            .bind(counts(&of_task))
            .bind(places(&of_task))
            .fetch_all(&mut *connection)
            .await?;
        found.add(&rows, &of_task)?;
    }
    if !of_all.is_empty() {
        let rows = sqlx::query(include_str!("all_claimable.sql"));
        let rows = rows
            .bind(lanes(&of_all))
            .bind(users(&of_all))
            .bind(counts(&of_all))
            .bind(places(&of_all))
            .fetch_all(&mut *connection)
            .await?;
        found.add(&rows, &of_all)?;
        found.note_more(&of_all);
    }
    if !settled.is_empty() {
        let lookup = |((lane, user), _): (&(Lane, UserId), _)| ClaimLookup {
            lane: *lane,
            user: user.clone(),
            task: None,
            period: None,
            milestone: None,
        };
        let lookups: Vec<ClaimLookup> = settled.iter().map(lookup).collect();
        let at_most = lapses::share_of(lookups.len(), SETTLED_MAX);
        let asked: Vec<Asked<'_>> = lookups.iter().map(|lookup| (lookup, &at_most)).collect();
        let rows = sqlx::query(include_str!("due_of_users.sql"))
            .bind(lanes(&asked))
            .bind(users(&asked))
            .bind(settled.values().map(|at| instant::to_sql(*at)).collect::<Vec<_>>())
            .bind(places(&asked))
            .bind(at_most)
            .fetch_all(&mut *connection)
            .await?;
        found.add(&rows, &asked)?;
    }
    Ok(found)
}

type Asked<'a> = (&'a ClaimLookup, &'a i64);

fn lanes(asked: &[Asked<'_>]) -> Vec<i16> {
    asked.iter().map(|(lookup, _)| lookup.lane.0).collect()
}

fn users<'a>(asked: &[Asked<'a>]) -> Vec<&'a str> {
    asked.iter().map(|(lookup, _)| lookup.user.as_str()).collect()
}

fn tasks<'a>(asked: &[Asked<'a>]) -> Vec<Option<&'a str>> {
    asked.iter().map(|(lookup, _)| lookup.task.as_ref().map(TaskId::as_str)).collect()
}

fn milestones(asked: &[Asked<'_>]) -> Vec<Option<i64>> {
    asked.iter().map(|(lookup, _)| lookup.milestone).collect()
}

fn counts(asked: &[Asked<'_>]) -> Vec<i64> {
    asked.iter().map(|(_, count)| **count).collect()
}

fn places(asked: &[Asked<'_>]) -> Vec<i64> {
    (1..).take(asked.len()).collect()
}

impl FoundClaims {
    /// Adds rows of (place, [`super::COLUMNS`]). The lines of a milestone follow each other.
    fn add(&mut self, rows: &[PgRow], asked: &[Asked<'_>]) -> sqlx::Result<()> {
        let mut by_milestone: BTreeMap<(Lane, MilestoneKey), Vec<RewardRow>> = BTreeMap::new();
        for row in rows {
            let place = usize::try_from(row.try_get::<i64, _>(0)? - 1).map_err(undecodable)?;
            let (Some((lookup, _)), Some(line)) = (asked.get(place), RewardRow::read(row, 1)?)
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
        let full = asked.iter().filter(|(lookup, count)| found(&lookup.user) >= **count);
        self.more = full.map(|(lookup, _)| lookup.user.clone()).collect();
    }

    /// Returns the claimants with lost rows: their tasks count something to claim, but no row was
    /// found.
    pub fn lost_rows<'l>(
        &'l self,
        lookups: &'l BTreeMap<ClaimLookup, i64>,
        states: &'l HashMap<UserId, LoadedState>,
    ) -> impl Iterator<Item = (Lane, UserId)> + 'l {
        let is_lost = |lookup: &&ClaimLookup| {
            let ClaimLookup { user, task: Some(task), period: None, milestone: None, .. } = lookup
            else {
                return false;
            };
            let counted = states.get(user).and_then(|loaded| loaded.state.tasks.get(task));
            counted.is_some_and(|past| past.unclaimed_count > 0)
                && !self.claimable.get(user).is_some_and(|tasks| tasks.contains_key(task))
        };
        lookups.keys().filter(is_lost).map(|lookup| (lookup.lane, lookup.user.clone()))
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
