//! One user's tasks: the aggregate within which rules hold at once.
//!
//! `command` holds the wishes, `event` the facts, `decide` the rules, `evolve` the fold.

pub mod command;
pub mod decide;
pub mod event;
mod evolve;
pub(crate) mod place;
mod state;

pub use command::{Command, Resolution, Verdict};
pub use decide::{Decision, Rejection, Unmoved, UnmovedReason, decide};
pub use event::{Event, Reward};
pub use evolve::{evolve, fold};
pub use state::{
    ClaimableMilestone, ClosedPeriod, GrantedLine, PeriodState, ReachedMilestone, RewardState,
    StreakState, TaskState, UserTasks,
};

#[cfg(test)]
pub(crate) mod tests;
