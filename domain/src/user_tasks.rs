//! One user's tasks: the aggregate within which rules hold at once.
//!
//! `command` holds the wishes, `event` the facts, `decide` the rules, `evolve` the fold.

pub mod command;
pub mod decide;
pub mod event;
mod evolve;
pub(crate) mod gap;
pub(crate) mod place;
mod state;

pub use command::Command;
pub use decide::{Acknowledgement, Decision, Rejection, Unmoved, UnmovedReason, Verdict, decide};
pub use event::{Event, Protected, Protection, Rejudged, Reward};
pub use evolve::{evolve, fold};
pub use state::{
    ClaimableMilestone, ClosedPeriod, FreezeChange, FreezeState, Grant, GrantedLine, PeriodState,
    ReachedMilestone, ReachedStep, ReservedFreeze, RewardState, StreakState, Stretch, TaskState,
    Told, UserTasks,
};

#[cfg(test)]
pub(crate) mod tests;
