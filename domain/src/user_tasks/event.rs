//! Facts about one user's tasks, stored for ever.

mod budgeted;
mod rewards;
mod schema;
mod streak;

use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

use super::terms::ClaimTerms;
use crate::calendar::{Period, PeriodKey};
use crate::catalogue::definition::ClaimMode;
use crate::ids::TaskId;
use crate::stored_json::{default_if_null, is_zero};
use crate::user_tasks::seen::ValueHash;

pub use budgeted::{Allotment, AllottedAs, Budgeted};
pub use rewards::{Earned, Reward, UnclaimedRewards, grant_id};
pub use streak::{Protected, Protection, RecomputedPast};

/// A fact. Stored as JSON with its name under `type`.
///
/// A new variant or a new optional field keeps the version. Any other change raises it in
/// [`Event::schema`] and adds a step to `event-store/src/upcasters.rs`.
///
/// Unless its field says otherwise, `version` is the version of the task that applied to the action
/// or promised the rewards, `at` the time at which the action occurred or the request arrived, and
/// `by` the operator: the `sub` of a token, or a user of the operating system.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(tag = "type", rename_all = "snake_case")]
#[expect(missing_docs, reason = "fields without a comment explain themselves")]
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
        task: TaskId,
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
        target: i64,
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
        task: TaskId,
        /// The version that the period goes by.
        version: u32,
        period: Period,
        /// The watermark at which the period closes; absent: the end of the period.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        closes_at: Option<Timestamp>,
        /// The amount added; below zero if progress was taken back.
        credited: i64,
        /// The total after the correction, never above the target.
        progress: i64,
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
        at: Timestamp,
    },
    /// An effect of a reversed action is not taken back: it stands, or is gone already.
    CreditKept {
        task: TaskId,
        /// The version that applied to the earlier action.
        version: u32,
        period: PeriodKey,
        /// The progress that is not taken back; 0 if the effect is not progress, or if another value
        /// has replaced it.
        credited: i64,
        reason: String,
        at: Timestamp,
    },
    /// A period of a continuous task counts: it is a step of the streak.
    StreakAdvanced {
        task: TaskId,
        version: u32,
        period: Period,
        /// The number of steps in a row up to the last step, this one included if it is among them.
        current: i64,
        /// The longest streak the user ever had, in steps.
        longest: i64,
        /// The number of the last step within its cycle, from 1.
        step: i64,
        at: Timestamp,
        /// The number of freezes left after the step; absent: the task has none.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        freezes: Option<i64>,
        /// Missed periods that were found protected when this step was decided, oldest first.
        #[serde(
            default,
            skip_serializing_if = "Vec::is_empty",
            deserialize_with = "default_if_null"
        )]
        protected: Vec<Protected>,
        /// The earliest instant of a period that can still be filled; absent: none can.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        fillable_from: Option<Timestamp>,
        /// The past as recomputed; present exactly if the last step is later than this one.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        rejudged: Option<RecomputedPast>,
    },
    /// A missed period, or all those in a row that one pause touches, did not break the streak.
    /// Recorded by the first step after it, or earlier by a sweep, a make-up or a change of
    /// freezes.
    StreakProtected {
        task: TaskId,
        version: u32,
        /// The key and start of the first of the periods, and the end of the last one.
        period: Period,
        by: Protection,
        /// The time of the decision: the period had ended, and its lateness was over.
        at: Timestamp,
    },
    /// A period was missed without protection. Recorded by the first step after it, or earlier by a
    /// sweep, a make-up or a change of freezes.
    StreakBroken {
        task: TaskId,
        version: u32,
        /// The length of the broken streak, in steps.
        length: i64,
        last: PeriodKey,
        /// The time of the decision: the missed period had ended, and its lateness was over.
        at: Timestamp,
    },
    /// A missed period was filled. The event of its step follows.
    PeriodMadeUp {
        task: TaskId,
        version: u32,
        period: Period,
        /// The time of the action that filled it, or of an operator's request.
        at: Timestamp,
        /// The operator; absent: an action filled it.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        by: Option<String>,
        #[serde(default, skip_serializing_if = "Option::is_none")]
        reason: Option<String>,
    },
    /// Freezes were given to the user. They protect periods that end later.
    FreezesGranted {
        task: TaskId,
        /// The version whose `max` bounds them.
        version: u32,
        count: i64,
        /// The number of freezes not added, because the user would have had more than `max`.
        dropped: i64,
        freezes: i64,
        /// The time at which the request arrived, or a microsecond after the latest grant if later.
        at: Timestamp,
        #[serde(default, skip_serializing_if = "Option::is_none")]
        reason: Option<String>,
        #[serde(default, skip_serializing_if = "Option::is_none")]
        by: Option<String>,
    },
    /// The user asked for a freeze to protect this period, should it be missed.
    FreezeReserved { task: TaskId, version: u32, period: Period, at: Timestamp },
    /// A milestone was reached, for the first and only time in its period.
    MilestoneReached {
        task: TaskId,
        version: u32,
        period: Period,
        milestone: i64,
        at: Timestamp,
        /// The claim mode: the user claims the rewards, or they are granted at once.
        mode: ClaimMode,
        rewards: Vec<Reward>,
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
    TaskCompleted { task: TaskId, version: u32, period: PeriodKey, at: Timestamp },
    /// The user took the rewards of a milestone. Paying them is another system's work.
    RewardsClaimed {
        task: TaskId,
        version: u32,
        period: Period,
        milestone: i64,
        at: Timestamp,
        rewards: Vec<Reward>,
    },
    /// An operator granted a reward that no task promised. Paying it is another system's work.
    RewardGranted {
        /// The reward: of the task [`super::BY_HAND`], version 0, milestone 0.
        reward: Reward,
        by: String,
        reason: String,
    },
    /// An operator took rewards back that were not delivered. This is final.
    RewardsRevoked {
        task: TaskId,
        version: u32,
        period: PeriodKey,
        milestone: i64,
        rewards: Vec<Reward>,
        /// True if the rewards were claimable: these are all rewards of the milestone. False also
        /// for rewards that waited for a budget.
        #[serde(default, skip_serializing_if = "std::ops::Not::not")]
        unclaimed: bool,
        by: String,
        reason: String,
        at: Timestamp,
    },
    /// A granted reward is handed to the paying system.
    DeliveryStarted { reward: Reward },
    /// The payer has paid a reward. This is final.
    RewardDelivered { reward: Reward, at: Timestamp },
    /// A reward was not paid: the payer said so, or did not answer in time.
    RewardFailed { reward: Reward, reason: String, at: Timestamp },
    /// An acknowledgement changed nothing: the reward is unknown, or in a state that it does not
    /// change.
    AcknowledgementIgnored {
        /// The grant id as the payer sent it.
        grant: String,
        /// True if the payer reported a delivery, false if it reported a failure.
        delivered: bool,
        reason: String,
        at: Timestamp,
    },
    /// An operator asked for a reward to be handed to the paying system again, under the same grant
    /// id.
    RedeliveryRequested {
        reward: Reward,
        by: String,
        reason: String,
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
        task: TaskId,
        version: u32,
        period: PeriodKey,
        /// The watermark that closed the period: the latest time of an action that this task
        /// counted.
        watermark: Timestamp,
        at: Timestamp,
    },
    /// An action was meant for the task but not counted: its measure could not be taken, or its
    /// make-up or freeze was refused. It moved nothing.
    ActionNotCounted { task: TaskId, version: u32, reason: String, at: Timestamp },
    /// An operator released what a backfill held back in a period. Its milestones follow, or, if a
    /// prerequisite is missing, once that is completed.
    BackfillReleased {
        task: TaskId,
        /// The version that the period goes by.
        version: u32,
        period: PeriodKey,
        by: String,
        #[serde(default, skip_serializing_if = "Option::is_none")]
        reason: Option<String>,
        at: Timestamp,
    },
    /// An operator released a parked record of the user: it is applied.
    ParkedReleased {
        parked: String,
        by: String,
        #[serde(default, skip_serializing_if = "Option::is_none")]
        reason: Option<String>,
        at: Timestamp,
    },
    /// An operator discarded a parked record of the user: it is never applied.
    ParkedDiscarded { parked: String, by: String, reason: String, at: Timestamp },
}
