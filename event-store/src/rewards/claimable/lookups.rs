//! The targets of claims, as parameters of queries.

use std::collections::BTreeMap;

use chrono::{DateTime, Utc};
use jiff::Timestamp;
use plaudit_domain::calendar::PeriodKey;
use plaudit_domain::ids::{TaskId, UserId};
use plaudit_domain::lane::Lane;

use crate::instant;

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

/// The number of milestones that the claims of one lookup may take, and when these claims arrived.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ClaimDemand {
    /// The maximum number of milestones to load.
    pub count: i64,
    /// The arrival of the first claim.
    pub first_at: Timestamp,
    /// The arrival of the last claim.
    pub last_at: Timestamp,
}

impl ClaimDemand {
    /// The demand of one claim for up to `count` milestones.
    pub fn new(count: i64, at: Timestamp) -> Self {
        Self { count, first_at: at, last_at: at }
    }

    /// The demand of both: their counts together.
    #[must_use]
    pub fn plus(self, other: Self) -> Self {
        Self { count: self.count.saturating_add(other.count), ..self.or(other) }
    }

    /// The demand of either: the larger count.
    #[must_use]
    pub fn or(self, other: Self) -> Self {
        Self {
            count: self.count.max(other.count),
            first_at: self.first_at.min(other.first_at),
            last_at: self.last_at.max(other.last_at),
        }
    }
}

/// The claims of a batch, by what they look for.
pub type ClaimLookups = BTreeMap<ClaimLookup, ClaimDemand>;

/// One entry of a query.
#[derive(Clone, Copy)]
pub(super) struct Asked<'a> {
    pub lookup: &'a ClaimLookup,
    pub count: i64,
    /// Milestones that have lapsed by then can't be claimed.
    pub at: Timestamp,
}

/// The entries of claims. Claims of one lookup that arrived at different times have two: one at the
/// first arrival finds all that any of them can take, one at the last arrival finds enough for each
/// of them even if milestones lapse in between.
pub(super) fn asked_for<'a>((lookup, demand): (&'a ClaimLookup, &ClaimDemand)) -> Vec<Asked<'a>> {
    let ClaimDemand { count, first_at, last_at } = *demand;
    let mut asked = vec![Asked { lookup, count, at: first_at }];
    if lookup.period.is_none() && first_at != last_at {
        asked.push(Asked { lookup, count, at: last_at });
    }
    asked
}

pub(super) fn lanes(asked: &[Asked<'_>]) -> Vec<i16> {
    asked.iter().map(|asked| asked.lookup.lane.0).collect()
}

pub(super) fn users<'a>(asked: &[Asked<'a>]) -> Vec<&'a str> {
    asked.iter().map(|asked| asked.lookup.user.as_str()).collect()
}

pub(super) fn tasks<'a>(asked: &[Asked<'a>]) -> Vec<Option<&'a str>> {
    asked.iter().map(|asked| asked.lookup.task.as_ref().map(TaskId::as_str)).collect()
}

pub(super) fn periods<'a>(asked: &[Asked<'a>]) -> Vec<Option<&'a str>> {
    asked.iter().map(|asked| asked.lookup.period.as_ref().map(PeriodKey::as_str)).collect()
}

pub(super) fn milestones(asked: &[Asked<'_>]) -> Vec<Option<i64>> {
    asked.iter().map(|asked| asked.lookup.milestone).collect()
}

pub(super) fn counts(asked: &[Asked<'_>]) -> Vec<i64> {
    asked.iter().map(|asked| asked.count).collect()
}

pub(super) fn times(asked: &[Asked<'_>]) -> Vec<DateTime<Utc>> {
    asked.iter().map(|asked| instant::to_sql(asked.at)).collect()
}

pub(super) fn places(asked: &[Asked<'_>]) -> Vec<i64> {
    (1..).take(asked.len()).collect()
}
