//! Facts about one user's tasks, stored for ever.

mod budgeted;
mod streak;

use jiff::Timestamp;
use serde::{Deserialize, Deserializer, Serialize};
use serde_json::{Map, Value};
use uuid::Uuid;

use super::seed::Seed;
use super::terms::ClaimTerms;
use crate::calendar::{Period, PeriodKey};
use crate::catalogue::definition::{ClaimMode, Payout, RewardLine};
use crate::ids::{TaskId, UserId};
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
    /// The user told a zone or attributes.
    UserUpdated {
        /// When, by the producer.
        at: Timestamp,
        /// The new zone, if one was told.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        zone: Option<String>,
        /// Attributes that were set; `null` removes one.
        #[serde(default, skip_serializing_if = "Map::is_empty")]
        attributes: Map<String, Value>,
        /// Why the zone or the attributes that were told are not among them.
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
        /// Until when the period takes actions that occurred in it, by the watermark; absent: its
        /// end.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        closes_at: Option<Timestamp>,
        /// What this action added, caps applied; may exceed what was missing to the target. Below zero
        /// where a `latest` value fell.
        credited: i64,
        /// The total after it, never above the target.
        progress: i64,
        /// What the period needs.
        target: i64,
        /// When the action occurred.
        at: Timestamp,
        /// A milestone was passed while a prerequisite is missing: it is reached when the task is
        /// unlocked.
        #[serde(default, skip_serializing_if = "std::ops::Not::not")]
        withheld: bool,
        /// A milestone was passed by actions that a backfill counted: it is reached once an operator
        /// releases the backfill's rewards. Never without `withheld`.
        #[serde(default, skip_serializing_if = "std::ops::Not::not")]
        held: bool,
        /// What the period before carried over into this one; part of `progress`.
        #[serde(default, deserialize_with = "zero_if_null", skip_serializing_if = "is_zero")]
        carried: i64,
        /// What exceeds the target after it, for the next period.
        #[serde(default, deserialize_with = "zero_if_null", skip_serializing_if = "is_zero")]
        surplus: i64,
        /// The part of `credited` that exceeds the target and counts nowhere.
        #[serde(default, deserialize_with = "zero_if_null", skip_serializing_if = "is_zero")]
        dropped: i64,
        /// For `latest`: the action is the latest one of its period so far.
        #[serde(default, skip_serializing_if = "std::ops::Not::not")]
        latest: bool,
        /// For `distinct`: the value, which was not counted before.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        value: Option<ValueHash>,
        /// For `days`: the day, which was not counted before.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        day: Option<PeriodKey>,
        /// For composites: the task whose completion was counted.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        completion_of: Option<TaskId>,
    },
    /// The progress of an open period was changed by hand, or an action that it had counted was taken back.
    ProgressCorrected {
        /// The task.
        task: TaskId,
        /// The version that the period goes by.
        version: u32,
        /// The period.
        period: Period,
        /// Until when the period takes actions that occurred in it, by the watermark; absent: its
        /// end.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        closes_at: Option<Timestamp>,
        /// The amount that it added; below zero if it took something back.
        credited: i64,
        /// The total after it, never above the target.
        progress: i64,
        /// The target of the period.
        target: i64,
        /// The time at which the request arrived, or the reversing action occurred. It closes no period.
        at: Timestamp,
        /// A milestone is passed while a prerequisite is missing: it is reached when the task is unlocked.
        #[serde(default, skip_serializing_if = "std::ops::Not::not")]
        withheld: bool,
        /// The amount carried over from the period before; part of `progress`.
        #[serde(default, deserialize_with = "zero_if_null", skip_serializing_if = "is_zero")]
        carried: i64,
        /// The amount beyond the target after the correction, for the next period.
        #[serde(default, deserialize_with = "zero_if_null", skip_serializing_if = "is_zero")]
        surplus: i64,
        /// The period starts over, and forgets what it had counted; so does the streak, if the task has one.
        #[serde(default, skip_serializing_if = "std::ops::Not::not")]
        starts_over: bool,
        /// The operator; absent: the producer of the reversing action.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        by: Option<String>,
        /// The reason.
        reason: String,
    },
    /// A producer took an earlier action back. What could be taken back of it follows, and what could not.
    ActionReversed {
        /// The source of the earlier action; empty if none was named.
        source: String,
        /// Its id; empty if none was named.
        id: String,
        /// The reason why nothing is taken back; absent: the credit is taken back.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        refused: Option<String>,
        /// The time at which the reversing action occurred.
        at: Timestamp,
    },
    /// Something that a reversed action brought about stands.
    CreditKept {
        /// The task.
        task: TaskId,
        /// The version that judged the earlier action.
        version: u32,
        /// The period.
        period: PeriodKey,
        /// The progress that stands; 0 for what is no progress.
        credited: i64,
        /// The reason why it is not taken back.
        reason: String,
        /// The time at which the reversing action occurred.
        at: Timestamp,
    },
    /// A period of a continuous task counts: there is one step more.
    StreakAdvanced {
        /// The task.
        task: TaskId,
        /// The version that judged it.
        version: u32,
        /// The period that counts.
        period: Period,
        /// Steps in a row up to the last one, this one included if it is among them.
        current: i64,
        /// The most there ever were.
        longest: i64,
        /// The step within the cycle that the last one is, from 1.
        step: i64,
        /// When the action occurred.
        at: Timestamp,
        /// How many freezes were left after it; absent: the task has none.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        freezes: Option<i64>,
        /// Missed periods that the judgement of this step found protected, oldest first.
        #[serde(
            default,
            skip_serializing_if = "Vec::is_empty",
            deserialize_with = "streak::null_is_none"
        )]
        protected: Vec<Protected>,
        /// The earliest instant of a period that can still be filled; absent: none can.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        fillable_from: Option<Timestamp>,
        /// The past as judged anew; present exactly if the last step is a later one than this.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        rejudged: Option<Rejudged>,
    },
    /// A missed period, or all those in a row that one pause touches, did not break the streak. Told by the
    /// first step after it, or by whoever looks before.
    StreakProtected {
        /// The task.
        task: TaskId,
        /// The version that judged it.
        version: u32,
        /// The key of the first one, when it began, and when the last one ended.
        period: Period,
        /// What protected it.
        by: Protection,
        /// When that was decided: when the period had ended and its lateness was over.
        at: Timestamp,
    },
    /// A period was missed. Told by the first step after it, or by whoever looks before.
    StreakBroken {
        /// The task.
        task: TaskId,
        /// The version that judged it.
        version: u32,
        /// How long the streak had been.
        length: i64,
        /// The last period that counted.
        last: PeriodKey,
        /// When that was decided: when the missed period had ended and its lateness was over.
        at: Timestamp,
    },
    /// A missed period was filled. The step that it is follows.
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
        /// How many were added.
        count: i64,
        /// How many were asked for in vain, because the user would have had more than `max`.
        dropped: i64,
        /// How many there were then.
        freezes: i64,
        /// When.
        at: Timestamp,
        /// Why, as given.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        reason: Option<String>,
        /// Who granted them: the subject of a token.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        by: Option<String>,
    },
    /// The user wished to protect this period with a freeze, should it be missed.
    FreezeReserved {
        /// The task.
        task: TaskId,
        /// The version that judged it.
        version: u32,
        /// The period.
        period: Period,
        /// When the action occurred.
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
        /// When the action occurred that reached it.
        at: Timestamp,
        /// How the rewards change hands.
        mode: ClaimMode,
        /// What is granted; may be empty.
        rewards: Vec<Reward>,
        /// How long they can be claimed.
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
    /// Rewards that nobody claimed were granted with the end of their period, or rewards that waited for a
    /// budget were granted once it held them. Paying them is another system's work.
    RewardsGranted(UnclaimedRewards),
    /// The last milestone was reached, for the first and only time in its period.
    TaskCompleted {
        /// The task.
        task: TaskId,
        /// The version.
        version: u32,
        /// The period.
        period: PeriodKey,
        /// When the action occurred that completed it.
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
        /// When the claim arrived.
        at: Timestamp,
        /// What was taken, as promised.
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
    /// An operator took rewards back that were not delivered. Nothing changes that any more.
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
        /// Nobody had claimed them: these are all rewards of the milestone.
        #[serde(default, skip_serializing_if = "std::ops::Not::not")]
        unclaimed: bool,
        /// The operator who took them back.
        by: String,
        /// The reason.
        reason: String,
        /// The time.
        at: Timestamp,
    },
    /// A granted reward is handed to the paying system.
    DeliveryStarted {
        /// The reward, with the version that promised it.
        reward: Reward,
    },
    /// The payer has paid a reward. Nothing changes that any more.
    RewardDelivered {
        /// The reward, with the version that promised it.
        reward: Reward,
        /// When the payer said so.
        at: Timestamp,
    },
    /// A reward was not paid: the payer said so, or did not answer in time.
    RewardFailed {
        /// The reward, with the version that promised it.
        reward: Reward,
        /// Why, for an operator.
        reason: String,
        /// When that was known.
        at: Timestamp,
    },
    /// A payer acknowledged what it could not: an unknown reward, or one whose state it does not change.
    AcknowledgementIgnored {
        /// The grant as the payer named it.
        grant: String,
        /// Whether it was said to be delivered; otherwise it was said to have failed.
        delivered: bool,
        /// Why it changed nothing.
        reason: String,
        /// When the payer said so.
        at: Timestamp,
    },
    /// An operator wants a reward to be handed to the paying system again, under the same grant id.
    RedeliveryRequested {
        /// The reward, with the version that promised it.
        reward: Reward,
        /// Who wants it.
        by: String,
        /// Why.
        reason: String,
        /// When.
        at: Timestamp,
        /// It was delivered before, and stays so: the payer is only told again.
        #[serde(default, skip_serializing_if = "std::ops::Not::not")]
        stays_delivered: bool,
        /// It was on its way, and stays so: the payer may know of it, so it can't be revoked meanwhile. Absent in
        /// events of older programs, after which such a reward is `claimed`.
        #[serde(default, skip_serializing_if = "std::ops::Not::not")]
        stays_delivering: bool,
        /// It goes by the channel that it was sent by already, if there is one, whatever the settings say: another
        /// payer could pay it a second time. Absent: it goes by the settings in force.
        #[serde(default, skip_serializing_if = "std::ops::Not::not")]
        keeps_payer: bool,
    },
    /// An action occurred in a period that was closed. It moved nothing.
    ActionTooLate {
        /// The task.
        task: TaskId,
        /// The version that judged it.
        version: u32,
        /// The closed period.
        period: PeriodKey,
        /// What closed it: the latest action that this task counted.
        watermark: Timestamp,
        /// When the action occurred.
        at: Timestamp,
    },
    /// An action was meant for the task, but could not be taken: its measure, or the wish that it is. It moved
    /// nothing.
    ActionNotCounted {
        /// The task.
        task: TaskId,
        /// The version that judged it.
        version: u32,
        /// Why.
        reason: String,
        /// When the action occurred.
        at: Timestamp,
    },
    /// An operator released what a backfill held back in a period. The milestones follow, unless a
    /// prerequisite is missing: then they follow once it is completed.
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
        /// The time.
        at: Timestamp,
    },
    /// An operator released a parked record of the user: it is applied.
    ParkedReleased {
        /// The id of the parked record.
        parked: String,
        /// Who: the `sub` of a token, or a user of the operating system.
        by: String,
        /// Why.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        reason: Option<String>,
        /// When.
        at: Timestamp,
    },
    /// An operator discarded a parked record of the user: it is never applied.
    ParkedDiscarded {
        /// The id of the parked record.
        parked: String,
        /// Who: the `sub` of a token, or a user of the operating system.
        by: String,
        /// Why.
        reason: String,
        /// When.
        at: Timestamp,
    },
}

impl Event {
    /// The name and version this event is stored under. They outlive the Rust names.
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

    /// The task it speaks of; `None` for facts about the user.
    pub fn task(&self) -> Option<&TaskId> {
        self.task_and_version().map(|(task, _)| task)
    }

    /// The version of the task that judged it, or that promised what it speaks of; `None` for facts
    /// about the user.
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

/// The rewards of a milestone that nobody claimed, and what they were.
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
    /// From when on it is so: the same whoever notices it, and when.
    pub at: Timestamp,
    /// As promised.
    pub rewards: Vec<Reward>,
    /// The allotments of their budgets, if they waited for one; absent: they could be claimed.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub budgeted: Option<Box<Budgeted>>,
}

/// One reward line owed to a user. Every event that moves it tells it whole, so that no reader
/// needs another event to understand it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Reward {
    /// Derived from what earned it, see [`grant_id`].
    pub grant: Uuid,
    /// The task.
    pub task: TaskId,
    /// The version that promised it.
    pub version: u32,
    /// The period.
    pub period: PeriodKey,
    /// The milestone.
    pub milestone: i64,
    /// Names the line within its milestone.
    pub line: String,
    /// For the payer, e.g. `currency`.
    pub kind: String,
    /// For the payer, e.g. `coin`.
    pub code: String,
    /// The amount.
    pub amount: i64,
    /// When the milestone was reached.
    pub reached_at: Timestamp,
}

/// A milestone that a user has reached.
#[derive(Debug, Clone, Copy)]
pub struct Earned<'a> {
    /// Who.
    pub user: &'a UserId,
    /// The task.
    pub task: &'a TaskId,
    /// The version that promises the rewards.
    pub version: u32,
    /// The period.
    pub period: &'a PeriodKey,
    /// The milestone.
    pub milestone: i64,
    /// When it was reached.
    pub reached_at: Timestamp,
}

impl Earned<'_> {
    /// What a line of the milestone grants. A line that is left to chance is rolled here, once: the event keeps
    /// what came out.
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

/// The namespace of grant ids. Fixed by the contract: payers deduplicate by what follows from it.
const GRANT_NAMESPACE: Uuid = Uuid::from_u128(0x3038_9424_25e7_54ea_a9ab_a6d9_4d9c_68b8);

/// The id of a grant: the same whenever, and however often, it is derived.
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

/// Optional fields may be null where stock postgres-es appends.
fn zero_if_null<'de, D: Deserializer<'de>>(deserializer: D) -> Result<i64, D::Error> {
    Option::deserialize(deserializer).map(Option::unwrap_or_default)
}

#[expect(clippy::trivially_copy_pass_by_ref, reason = "serde calls it by reference")]
fn is_zero(number: &i64) -> bool {
    *number == 0
}
