//! Facts about one user's tasks, stored for ever.

mod budgeted;
mod streak;

use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};
use uuid::Uuid;

use super::seed::Seed;
use super::terms::ClaimTerms;
use crate::calendar::{Period, PeriodKey};
use crate::catalogue::definition::{ClaimMode, Payout, RewardLine};
use crate::ids::{TaskId, UserId};
use crate::stored_json::{default_if_null, is_zero};
use crate::user_tasks::seen::ValueHash;

pub use budgeted::{Allotment, AllottedAs, Budgeted};
pub use streak::{Protected, Protection, Rejudged};

/// A fact. Stored as JSON with its name under `type`.
///
/// A new variant or a new optional field keeps the version. Any other change raises it in
/// [`Event::schema`] and adds a step to `event-store/src/upcasters.rs`.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(tag = "type", rename_all = "snake_case")]
pub enum Event {
    /// A producer reported a zone or attributes of the user.
    UserUpdated {
        /// The time of the update, as the producer gave it.
        at: Timestamp,
        /// The new zone, if one was reported and taken.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        zone: Option<String>,
        /// Attributes that were set; `null` removes one.
        #[serde(default, skip_serializing_if = "Map::is_empty")]
        attributes: Map<String, Value>,
        /// The reason why a reported zone or reported attributes were not taken; absent: all were.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        refused: Option<String>,
    },
    /// An action was credited.
    ProgressRecorded {
        /// The task.
        task: TaskId,
        /// The version that judged it.
        version: u32,
        /// The period it was credited to.
        period: Period,
        /// The watermark at which the period closes; absent: the end of the period.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        closes_at: Option<Timestamp>,
        /// The amount that this action added, caps applied; may exceed what was missing to the
        /// target. Below zero if a `latest` value fell.
        credited: i64,
        /// The total after the action, never above the target.
        progress: i64,
        /// The target of the period.
        target: i64,
        /// The time at which the action occurred.
        at: Timestamp,
        /// True if a milestone was passed while a prerequisite is missing: it is reached once the
        /// task is unlocked.
        #[serde(default, skip_serializing_if = "std::ops::Not::not")]
        withheld: bool,
        /// True if a milestone was passed by actions that a backfill counted: it is reached once an
        /// operator releases the backfill's rewards. Never without `withheld`.
        #[serde(default, skip_serializing_if = "std::ops::Not::not")]
        held: bool,
        /// The amount carried over from the period before; part of `progress`.
        #[serde(default, deserialize_with = "default_if_null", skip_serializing_if = "is_zero")]
        carried: i64,
        /// The amount beyond the target after the action, for the next period.
        #[serde(default, deserialize_with = "default_if_null", skip_serializing_if = "is_zero")]
        surplus: i64,
        /// The part of `credited` that exceeds the target and counts nowhere.
        #[serde(default, deserialize_with = "default_if_null", skip_serializing_if = "is_zero")]
        dropped: i64,
        /// For `latest`: true if the action is the latest one of its period so far.
        #[serde(default, skip_serializing_if = "std::ops::Not::not")]
        latest: bool,
        /// For `distinct`: the value, if it was not counted before.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        value: Option<ValueHash>,
        /// For `days`: the day, if it was not counted before.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        day: Option<PeriodKey>,
        /// For composites: the task whose completion was counted.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        completion_of: Option<TaskId>,
    },
    /// The progress of an open period was changed by hand, or an action that it had counted was
    /// taken back.
    ProgressCorrected {
        /// The task.
        task: TaskId,
        /// The version that the period goes by.
        version: u32,
        /// The period.
        period: Period,
        /// The watermark at which the period closes; absent: the end of the period.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        closes_at: Option<Timestamp>,
        /// The amount added; below zero if progress was taken back.
        credited: i64,
        /// The total after the correction, never above the target.
        progress: i64,
        /// The target of the period.
        target: i64,
        /// The time at which the request arrived, or the reversing action occurred. It closes no
        /// period.
        at: Timestamp,
        /// True if a milestone is passed while a prerequisite is missing: it is reached once the
        /// task is unlocked.
        #[serde(default, skip_serializing_if = "std::ops::Not::not")]
        withheld: bool,
        /// The amount carried over from the period before; part of `progress`.
        #[serde(default, deserialize_with = "default_if_null", skip_serializing_if = "is_zero")]
        carried: i64,
        /// The amount beyond the target after the correction, for the next period.
        #[serde(default, deserialize_with = "default_if_null", skip_serializing_if = "is_zero")]
        surplus: i64,
        /// True if the period starts over and forgets what it had counted; so does the streak, if
        /// the task has one.
        #[serde(default, skip_serializing_if = "std::ops::Not::not")]
        starts_over: bool,
        /// The operator; absent: the producer of the reversing action.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        by: Option<String>,
        /// The reason.
        reason: String,
    },
    /// A producer reversed an earlier action. The events after this one say what was taken back and
    /// what stands.
    ActionReversed {
        /// The source of the earlier action; empty if none was named that an action can have.
        source: String,
        /// The id of the earlier action; empty if none was named that an action can have.
        id: String,
        /// The reason why nothing is taken back; absent: the reversal was accepted.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        refused: Option<String>,
        /// The time at which the reversing action occurred.
        at: Timestamp,
    },
    /// An effect of a reversed action is not taken back: it stands, or is gone already.
    CreditKept {
        /// The task.
        task: TaskId,
        /// The version that judged the earlier action.
        version: u32,
        /// The period.
        period: PeriodKey,
        /// The progress that is not taken back; 0 if the effect is not progress, or if another value
        /// has replaced it.
        credited: i64,
        /// The reason why the effect is not taken back.
        reason: String,
        /// The time at which the reversing action occurred.
        at: Timestamp,
    },
    /// A period of a continuous task counts: it is a step of the streak.
    StreakAdvanced {
        /// The task.
        task: TaskId,
        /// The version that judged it.
        version: u32,
        /// The period that counts.
        period: Period,
        /// The number of steps in a row up to the last step, this one included if it is among them.
        current: i64,
        /// The longest streak the user ever had, in steps.
        longest: i64,
        /// The number of the last step within its cycle, from 1.
        step: i64,
        /// The time at which the action occurred.
        at: Timestamp,
        /// The number of freezes left after the step; absent: the task has none.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        freezes: Option<i64>,
        /// Missed periods that were found protected when this step was judged, oldest first.
        #[serde(
            default,
            skip_serializing_if = "Vec::is_empty",
            deserialize_with = "default_if_null"
        )]
        protected: Vec<Protected>,
        /// The earliest instant of a period that can still be filled; absent: none can.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        fillable_from: Option<Timestamp>,
        /// The past as judged anew; present exactly if the last step is later than this one.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        rejudged: Option<Rejudged>,
    },
    /// A missed period, or all those in a row that one pause touches, did not break the streak.
    /// Recorded by the first step after it, or earlier by a sweep, a make-up or a change of
    /// freezes.
    StreakProtected {
        /// The task.
        task: TaskId,
        /// The version that judged it.
        version: u32,
        /// The key and start of the first of the periods, and the end of the last one.
        period: Period,
        /// The protection.
        by: Protection,
        /// The time of the decision: the period had ended, and its lateness was over.
        at: Timestamp,
    },
    /// A period was missed without protection. Recorded by the first step after it, or earlier by a
    /// sweep, a make-up or a change of freezes.
    StreakBroken {
        /// The task.
        task: TaskId,
        /// The version that judged it.
        version: u32,
        /// The length of the broken streak, in steps.
        length: i64,
        /// The last period that counted.
        last: PeriodKey,
        /// The time of the decision: the missed period had ended, and its lateness was over.
        at: Timestamp,
    },
    /// A missed period was filled. The event of its step follows.
    PeriodMadeUp {
        /// The task.
        task: TaskId,
        /// The version that judged it.
        version: u32,
        /// The period.
        period: Period,
        /// The time of the action that filled it, or of an operator's request.
        at: Timestamp,
        /// The operator; absent: an action filled it.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        by: Option<String>,
        /// The operator's reason.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        reason: Option<String>,
    },
    /// Freezes were given to the user. They protect periods that end later.
    FreezesGranted {
        /// The task.
        task: TaskId,
        /// The version whose `max` bounds them.
        version: u32,
        /// The number of freezes added.
        count: i64,
        /// The number of freezes not added, because the user would have had more than `max`.
        dropped: i64,
        /// The number of freezes after the grant.
        freezes: i64,
        /// The time at which the request arrived, or a microsecond after the latest grant if later.
        at: Timestamp,
        /// The reason, as given.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        reason: Option<String>,
        /// The operator: the subject of a token.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        by: Option<String>,
    },
    /// The user asked for a freeze to protect this period, should it be missed.
    FreezeReserved {
        /// The task.
        task: TaskId,
        /// The version that judged it.
        version: u32,
        /// The period.
        period: Period,
        /// The time at which the action occurred.
        at: Timestamp,
    },
    /// A milestone was reached, for the first and only time in its period.
    MilestoneReached {
        /// The task.
        task: TaskId,
        /// The version that promises the rewards.
        version: u32,
        /// The period.
        period: Period,
        /// The milestone.
        milestone: i64,
        /// The time at which the action that reached it occurred.
        at: Timestamp,
        /// The claim mode: the user claims the rewards, or they are granted at once.
        mode: ClaimMode,
        /// The rewards granted; may be empty.
        rewards: Vec<Reward>,
        /// The time limits for claiming them.
        #[serde(default, skip_serializing_if = "ClaimTerms::is_unlimited")]
        terms: ClaimTerms,
        /// The allotments of its budgets; absent: no line names one.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        budgeted: Option<Box<Budgeted>>,
    },
    /// Rewards were not claimed in time.
    RewardsExpired(UnclaimedRewards),
    /// Rewards that nobody claimed were lost with their period.
    RewardsForfeited(UnclaimedRewards),
    /// Unclaimed rewards were granted at the end of their period, or waiting rewards once their
    /// budget held them. Paying them is another system's work.
    RewardsGranted(UnclaimedRewards),
    /// The last milestone was reached, for the first and only time in its period.
    TaskCompleted {
        /// The task.
        task: TaskId,
        /// The version that judged it.
        version: u32,
        /// The period.
        period: PeriodKey,
        /// The time at which the completing action occurred.
        at: Timestamp,
    },
    /// The user took the rewards of a milestone. Paying them is another system's work.
    RewardsClaimed {
        /// The task.
        task: TaskId,
        /// The version that promised the rewards.
        version: u32,
        /// The period.
        period: Period,
        /// The milestone.
        milestone: i64,
        /// The time at which the claim arrived.
        at: Timestamp,
        /// The rewards, as promised.
        rewards: Vec<Reward>,
    },
    /// An operator granted a reward that no task promised. Paying it is another system's work.
    RewardGranted {
        /// The reward: of the task [`super::BY_HAND`], version 0, milestone 0.
        reward: Reward,
        /// The operator who granted it.
        by: String,
        /// The reason.
        reason: String,
    },
    /// An operator took rewards back that were not delivered. This is final.
    RewardsRevoked {
        /// The task.
        task: TaskId,
        /// The version that promised the rewards.
        version: u32,
        /// The period.
        period: PeriodKey,
        /// The milestone.
        milestone: i64,
        /// The rewards taken back.
        rewards: Vec<Reward>,
        /// True if the rewards were claimable: these are all rewards of the milestone. False also
        /// for rewards that waited for a budget.
        #[serde(default, skip_serializing_if = "std::ops::Not::not")]
        unclaimed: bool,
        /// The operator who took them back.
        by: String,
        /// The reason.
        reason: String,
        /// The time at which the request arrived.
        at: Timestamp,
    },
    /// A granted reward is handed to the paying system.
    DeliveryStarted {
        /// The reward, with the version that promised it.
        reward: Reward,
    },
    /// The payer has paid a reward. This is final.
    RewardDelivered {
        /// The reward, with the version that promised it.
        reward: Reward,
        /// The time of the payer's answer.
        at: Timestamp,
    },
    /// A reward was not paid: the payer said so, or did not answer in time.
    RewardFailed {
        /// The reward, with the version that promised it.
        reward: Reward,
        /// The reason, for an operator.
        reason: String,
        /// The time at which the failure was known.
        at: Timestamp,
    },
    /// An acknowledgement changed nothing: the reward is unknown, or in a state that it does not
    /// change.
    AcknowledgementIgnored {
        /// The grant id as the payer sent it.
        grant: String,
        /// True if the payer reported a delivery, false if it reported a failure.
        delivered: bool,
        /// The reason why it changed nothing.
        reason: String,
        /// The time of the payer's answer.
        at: Timestamp,
    },
    /// An operator asked for a reward to be handed to the paying system again, under the same grant
    /// id.
    RedeliveryRequested {
        /// The reward, with the version that promised it.
        reward: Reward,
        /// The operator.
        by: String,
        /// The reason.
        reason: String,
        /// The time at which the request arrived.
        at: Timestamp,
        /// True if the reward was delivered before, and stays so: the payer is only notified again.
        #[serde(default, skip_serializing_if = "std::ops::Not::not")]
        stays_delivered: bool,
        /// True if the reward was on its way, and stays so: the payer may know of it, so it can't
        /// be revoked meanwhile. Absent in events of older programs, which made such a reward
        /// `claimed`.
        #[serde(default, skip_serializing_if = "std::ops::Not::not")]
        stays_delivering: bool,
        /// True if the reward goes by the channel that it was sent by before, if there is one,
        /// whatever the settings say: another payer could pay it a second time. Absent: it goes by
        /// the settings in force.
        #[serde(default, skip_serializing_if = "std::ops::Not::not")]
        keeps_payer: bool,
    },
    /// An action occurred in a closed period. It moved nothing.
    ActionTooLate {
        /// The task.
        task: TaskId,
        /// The version that judged it.
        version: u32,
        /// The closed period.
        period: PeriodKey,
        /// The watermark that closed the period: the latest time of an action that this task
        /// counted.
        watermark: Timestamp,
        /// The time at which the action occurred.
        at: Timestamp,
    },
    /// An action was meant for the task but not counted: its measure could not be taken, or its
    /// make-up or freeze was refused. It moved nothing.
    ActionNotCounted {
        /// The task.
        task: TaskId,
        /// The version that judged it.
        version: u32,
        /// The reason.
        reason: String,
        /// The time at which the action occurred.
        at: Timestamp,
    },
    /// An operator released what a backfill held back in a period. Its milestones follow, or, if a
    /// prerequisite is missing, once that is completed.
    BackfillReleased {
        /// The task.
        task: TaskId,
        /// The version that the period goes by.
        version: u32,
        /// The period.
        period: PeriodKey,
        /// The operator: the `sub` of a token, or a user of the operating system.
        by: String,
        /// The reason.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        reason: Option<String>,
        /// The time at which the request arrived.
        at: Timestamp,
    },
    /// An operator released a parked record of the user: it is applied.
    ParkedReleased {
        /// The id of the parked record.
        parked: String,
        /// The operator: the `sub` of a token, or a user of the operating system.
        by: String,
        /// The reason.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        reason: Option<String>,
        /// The time of the decision.
        at: Timestamp,
    },
    /// An operator discarded a parked record of the user: it is never applied.
    ParkedDiscarded {
        /// The id of the parked record.
        parked: String,
        /// The operator: the `sub` of a token, or a user of the operating system.
        by: String,
        /// The reason.
        reason: String,
        /// The time of the decision.
        at: Timestamp,
    },
}

impl Event {
    /// The name and version under which this event is stored. They outlive the Rust names.
    pub fn schema(&self) -> (&'static str, &'static str) {
        match self {
            Self::UserUpdated { .. } => ("user_updated", "1.0"),
            Self::ProgressRecorded { .. } => ("progress_recorded", "1.0"),
            Self::StreakAdvanced { .. } => ("streak_advanced", "1.0"),
            Self::StreakProtected { .. } => ("streak_protected", "1.0"),
            Self::StreakBroken { .. } => ("streak_broken", "1.0"),
            Self::PeriodMadeUp { .. } => ("period_made_up", "1.0"),
            Self::FreezesGranted { .. } => ("freezes_granted", "1.0"),
            Self::FreezeReserved { .. } => ("freeze_reserved", "1.0"),
            Self::MilestoneReached { .. } => ("milestone_reached", "1.0"),
            Self::TaskCompleted { .. } => ("task_completed", "1.0"),
            Self::RewardsClaimed { .. } => ("rewards_claimed", "1.0"),
            Self::RewardsExpired(_) => ("rewards_expired", "1.0"),
            Self::RewardsForfeited(_) => ("rewards_forfeited", "1.0"),
            Self::RewardsGranted(_) => ("rewards_granted", "1.0"),
            Self::ProgressCorrected { .. } => ("progress_corrected", "1.0"),
            Self::ActionReversed { .. } => ("action_reversed", "1.0"),
            Self::CreditKept { .. } => ("credit_kept", "1.0"),
            Self::RewardGranted { .. } => ("reward_granted", "1.0"),
            Self::RewardsRevoked { .. } => ("rewards_revoked", "1.0"),
            Self::DeliveryStarted { .. } => ("delivery_started", "1.0"),
            Self::RewardDelivered { .. } => ("reward_delivered", "1.0"),
            Self::RewardFailed { .. } => ("reward_failed", "1.0"),
            Self::AcknowledgementIgnored { .. } => ("acknowledgement_ignored", "1.0"),
            Self::RedeliveryRequested { .. } => ("redelivery_requested", "1.0"),
            Self::ActionTooLate { .. } => ("action_too_late", "1.0"),
            Self::ActionNotCounted { .. } => ("action_not_counted", "1.0"),
            Self::BackfillReleased { .. } => ("backfill_released", "1.0"),
            Self::ParkedReleased { .. } => ("parked_released", "1.0"),
            Self::ParkedDiscarded { .. } => ("parked_discarded", "1.0"),
        }
    }

    /// The task of the event; `None` for facts about the user.
    pub fn task(&self) -> Option<&TaskId> {
        self.task_and_version().map(|(task, _)| task)
    }

    /// The version of the task that judged the action, or that promised the reward; `None` for
    /// facts about the user.
    pub fn task_version(&self) -> Option<u32> {
        self.task_and_version().map(|(_, version)| version)
    }

    fn task_and_version(&self) -> Option<(&TaskId, u32)> {
        match self {
            Self::UserUpdated { .. }
            | Self::AcknowledgementIgnored { .. }
            | Self::ActionReversed { .. }
            | Self::ParkedReleased { .. }
            | Self::ParkedDiscarded { .. } => None,
            Self::DeliveryStarted { reward }
            | Self::RewardGranted { reward, .. }
            | Self::RewardDelivered { reward, .. }
            | Self::RewardFailed { reward, .. }
            | Self::RedeliveryRequested { reward, .. } => Some((&reward.task, reward.version)),
            Self::ProgressRecorded { task, version, .. }
            | Self::ProgressCorrected { task, version, .. }
            | Self::CreditKept { task, version, .. }
            | Self::RewardsRevoked { task, version, .. }
            | Self::StreakAdvanced { task, version, .. }
            | Self::StreakProtected { task, version, .. }
            | Self::StreakBroken { task, version, .. }
            | Self::PeriodMadeUp { task, version, .. }
            | Self::FreezesGranted { task, version, .. }
            | Self::FreezeReserved { task, version, .. }
            | Self::MilestoneReached { task, version, .. }
            | Self::TaskCompleted { task, version, .. }
            | Self::RewardsClaimed { task, version, .. }
            | Self::BackfillReleased { task, version, .. }
            | Self::RewardsExpired(UnclaimedRewards { task, version, .. })
            | Self::RewardsForfeited(UnclaimedRewards { task, version, .. })
            | Self::RewardsGranted(UnclaimedRewards { task, version, .. })
            | Self::ActionTooLate { task, version, .. }
            | Self::ActionNotCounted { task, version, .. } => Some((task, *version)),
        }
    }
}

/// The rewards of a milestone that lapsed, or that waited for a budget and were granted.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct UnclaimedRewards {
    /// The task.
    pub task: TaskId,
    /// The version that promised the rewards.
    pub version: u32,
    /// The period.
    pub period: Period,
    /// The milestone.
    pub milestone: i64,
    /// The instant of the change. For lapsed rewards it follows from their terms, whenever it is
    /// noticed; for rewards that waited for a budget it is the time of the grant.
    pub at: Timestamp,
    /// The rewards, as promised.
    pub rewards: Vec<Reward>,
    /// The allotments of their budgets, if they waited for one; absent: they were claimable.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub budgeted: Option<Box<Budgeted>>,
}

/// One reward line owed to a user. Every event that moves it holds all of it, so that no reader
/// needs another event to understand it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Reward {
    /// The id of the grant, derived as [`grant_id`] says.
    pub grant: Uuid,
    /// The task.
    pub task: TaskId,
    /// The version that promised the reward.
    pub version: u32,
    /// The period.
    pub period: PeriodKey,
    /// The milestone.
    pub milestone: i64,
    /// The name of the line within its milestone.
    pub line: String,
    /// The kind, for the payer, e.g. `currency`.
    pub kind: String,
    /// The code, for the payer, e.g. `coin`.
    pub code: String,
    /// The amount.
    pub amount: i64,
    /// The time at which the milestone was reached.
    pub reached_at: Timestamp,
}

/// A milestone that a user has reached.
#[derive(Debug, Clone, Copy)]
pub struct Earned<'a> {
    /// The user.
    pub user: &'a UserId,
    /// The task.
    pub task: &'a TaskId,
    /// The version that promises the rewards.
    pub version: u32,
    /// The period.
    pub period: &'a PeriodKey,
    /// The milestone.
    pub milestone: i64,
    /// The time at which the milestone was reached.
    pub reached_at: Timestamp,
}

impl Earned<'_> {
    /// Returns the reward that a line of the milestone grants. A line that is left to chance is
    /// rolled here, once; the event keeps the result.
    pub fn reward(&self, line: &RewardLine, seed: Seed) -> Reward {
        let grant = grant_id(self.user, self.task, self.period, self.milestone, &line.line);
        let Payout { kind, code, amount } = seed.payout(line, grant).clone();
        Reward {
            grant,
            task: self.task.clone(),
            version: self.version,
            period: self.period.clone(),
            milestone: self.milestone,
            line: line.line.clone(),
            kind,
            code,
            amount,
            reached_at: self.reached_at,
        }
    }
}

/// The namespace of grant ids. Fixed by the contract: payers deduplicate by the ids derived from
/// it.
const GRANT_NAMESPACE: Uuid = Uuid::from_u128(0x3038_9424_25e7_54ea_a9ab_a6d9_4d9c_68b8);

/// Derives the id of a grant. The same grant always gets the same id.
pub fn grant_id(
    user: &UserId,
    task: &TaskId,
    period: &PeriodKey,
    milestone: i64,
    line: &str,
) -> Uuid {
    let name = format!("{user}\u{1f}{task}\u{1f}{period}\u{1f}{milestone}\u{1f}{line}");
    Uuid::new_v5(&GRANT_NAMESPACE, name.as_bytes())
}
