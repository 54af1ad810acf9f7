//! The time limits for claiming a reward, and its fate if nobody claims it. Fixed when the
//! milestone is reached, so that neither a later version nor the time of reading changes what was
//! promised.

use jiff::{SignedDuration, Timestamp};
use serde::{Deserialize, Serialize};

use super::reward_state::{RewardState, RewardTransition};
use crate::calendar::Period;
use crate::catalogue::definition::{AtPeriodEnd, ClaimMode, TaskDefinition};

/// The terms of a claim.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ClaimTerms {
    /// The first instant at which the rewards can no longer be claimed; absent: never.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub claim_until: Option<Timestamp>,
    /// The change at the end of the period; absent: none.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub at_period_end: Option<PeriodEnd>,
}

/// The change of unclaimed rewards when their period is over.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct PeriodEnd {
    /// The end of the period plus its lateness.
    pub at: Timestamp,
    /// The change: `grant` or `forfeit`.
    pub then: AtPeriodEnd,
}

/// The change of unclaimed rewards that time alone brings about.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Lapse {
    /// The instant of the change.
    pub at: Timestamp,
    /// The outcome.
    pub becomes: Lapsed,
}

/// The outcome for unclaimed rewards.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Lapsed {
    /// The rewards were not claimed in time.
    Expired,
    /// The rewards are lost with their period.
    Forfeited,
    /// The rewards are granted at the end of their period.
    Granted,
}

impl Lapsed {
    /// The name as stored.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Expired => "expired",
            Self::Forfeited => "forfeited",
            Self::Granted => "granted",
        }
    }

    /// The transition of a reward that has this outcome.
    pub fn transition(self) -> RewardTransition {
        match self {
            Self::Expired => RewardTransition::Expire,
            Self::Forfeited => RewardTransition::Forfeit,
            Self::Granted => RewardTransition::GrantAtPeriodEnd,
        }
    }

    /// The state of a reward after this outcome.
    pub fn state(self) -> RewardState {
        self.transition().target()
    }
}

impl ClaimTerms {
    /// The terms of a milestone of `period` whose rewards can be claimed from `from` on: the time
    /// at which it was reached, or at which the past action that reached it was counted.
    pub fn new(definition: &TaskDefinition, period: &Period, from: Timestamp) -> Self {
        if definition.claim.mode == ClaimMode::Automatic {
            return Self::default();
        }
        // A time beyond what a timestamp can hold is never reached.
        let after = |from: Timestamp, seconds: i64| {
            from.checked_add(SignedDuration::from_secs(seconds)).unwrap_or(Timestamp::MAX)
        };
        let expires_after = definition.claim.expires_after_seconds;
        let lateness = definition.objective.lateness_seconds;
        let then = definition.claim.at_period_end;
        Self {
            claim_until: expires_after.map(|seconds| after(from, seconds)),
            at_period_end: period
                .ends_at
                .filter(|_| then != AtPeriodEnd::Keep)
                .map(|end| PeriodEnd { at: after(end, lateness), then }),
        }
    }

    /// True if the rewards can be claimed for ever.
    pub fn is_unlimited(&self) -> bool {
        *self == Self::default()
    }

    /// The first change. If both come at one instant, the period's end wins: until then the rewards
    /// could be claimed.
    pub fn lapse(&self) -> Option<Lapse> {
        let expiry = self.claim_until.map(|at| Lapse { at, becomes: Lapsed::Expired });
        let end = self.at_period_end.and_then(|PeriodEnd { at, then }| match then {
            AtPeriodEnd::Keep => None,
            AtPeriodEnd::Grant => Some(Lapse { at, becomes: Lapsed::Granted }),
            AtPeriodEnd::Forfeit => Some(Lapse { at, becomes: Lapsed::Forfeited }),
        });
        end.into_iter().chain(expiry).min_by_key(|lapse| lapse.at)
    }

    /// The change of unclaimed rewards by `now`; `None` while they can be claimed.
    pub fn lapsed(&self, now: Timestamp) -> Option<Lapse> {
        self.lapse().filter(|lapse| lapse.at <= now)
    }
}

impl RewardState {
    /// The state as of `now`, whether or not an event says so yet.
    #[must_use]
    pub fn as_of(self, terms: &ClaimTerms, now: Timestamp) -> Self {
        let lapsed = terms.lapsed(now).map(|lapse| self.after(lapse.becomes.transition()));
        lapsed.and_then(Result::ok).unwrap_or(self)
    }
}
