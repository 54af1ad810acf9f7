//! One user's tasks: the aggregate, within which all rules hold at once.
//!
//! `command` holds the requests, `event` the facts, `decide` the rules, `evolve` the fold.

pub mod command;
mod correction;
pub mod decide;
pub mod event;
mod evolve;
pub(crate) mod gap;
pub(crate) mod place;
mod reward_state;
mod seed;
mod seen;
mod state;
mod terms;

pub use crate::action::Verdict;
pub use command::{
    ActionInput, BackfillRelease, Command, HandCommand, ParkedVerdict, PastAction, Redelivery,
    Resolution,
};
pub use correction::{Adjustment, BY_HAND, Change, Correction, Credited};
pub use decide::{
    ClaimRejection, ClaimRequest, ClaimedMilestone, CommandRejection, Decision, Rejection, Unmoved,
    UnmovedReason, decide_action, decide_backfill_release, decide_by_hand, decide_claim,
    decide_command, decide_deliveries_settled, decide_deliveries_started, decide_parked_resolution,
    decide_past_action, decide_redelivery, decide_repeated_acknowledgement, decide_settle,
    distinct_values,
    obstacles::{Obstacle, Outlook, outlook},
    streak::swept_at,
};
pub use event::{
    Allotment, AllottedAs, Budgeted, Earned, Event, Protected, Protection, RecomputedPast, Reward,
    UnclaimedRewards,
};
pub use evolve::{evolve, fold, outcomes};
pub use reward_state::{RewardState, RewardTransition, UnknownRewardState};
pub use seen::{InvalidValueSet, SEEN_PER_PERIOD_MAX, SMALL_SET_MAX, Seen, ValueHash, ValueSet};
pub use state::{
    ClaimableMilestone, ClosedPeriod, FreezeChange, FreezeState, Grant, GrantedLine, PeriodState,
    ReachedMilestone, ReachedStep, RecordedGap, ReservedFreeze, StreakState, Stretch, TaskState,
    UserTasks, WaitingMilestone,
};

pub use seed::Seed;
pub use terms::{ClaimTerms, Lapse, Lapsed, PeriodEnd};

#[cfg(test)]
pub(crate) mod tests;
