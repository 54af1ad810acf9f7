//! Facts about one user's tasks, stored for ever.

use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};
use uuid::Uuid;

use crate::calendar::{Period, PeriodKey};
use crate::catalogue::definition::{ClaimMode, Payout, RewardLine};
use crate::ids::{TaskId, UserId};

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
        /// Why attributes that were told are not among them.
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
        /// What this action added.
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
    },
    /// A period of a continuous task counts: the streak is one longer.
    StreakAdvanced {
        /// The task.
        task: TaskId,
        /// The version that judged it.
        version: u32,
        /// The period that counts.
        period: Period,
        /// Steps in a row, this one included.
        current: i64,
        /// The most there ever were.
        longest: i64,
        /// The step within the cycle, from 1.
        step: i64,
        /// When the action occurred.
        at: Timestamp,
    },
    /// A period was missed. Told by the first step after it.
    StreakBroken {
        /// The task.
        task: TaskId,
        /// The version that judged the step after it.
        version: u32,
        /// How long the streak had been.
        length: i64,
        /// The last period that counted.
        last: PeriodKey,
        /// When the missed period ended.
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
    },
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
    /// A granted reward was handed to the paying system.
    DeliveryStarted {
        /// The reward, with the version that promised it.
        reward: Reward,
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
    /// An action matched, but its measure could not be taken. It moved nothing.
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
            Self::StreakBroken { .. } => ("streak_broken", "1.0"),
            Self::MilestoneReached { .. } => ("milestone_reached", "1.0"),
            Self::TaskCompleted { .. } => ("task_completed", "1.0"),
            Self::RewardsClaimed { .. } => ("rewards_claimed", "1.0"),
            Self::DeliveryStarted { .. } => ("delivery_started", "1.0"),
            Self::ActionTooLate { .. } => ("action_too_late", "1.0"),
            Self::ActionNotCounted { .. } => ("action_not_counted", "1.0"),
            Self::ParkedReleased { .. } => ("parked_released", "1.0"),
            Self::ParkedDiscarded { .. } => ("parked_discarded", "1.0"),
        }
    }

    /// The task it speaks of; `None` for facts about the user.
    pub fn task(&self) -> Option<&TaskId> {
        match self {
            Self::UserUpdated { .. }
            | Self::ParkedReleased { .. }
            | Self::ParkedDiscarded { .. } => None,
            Self::DeliveryStarted { reward } => Some(&reward.task),
            Self::ProgressRecorded { task, .. }
            | Self::StreakAdvanced { task, .. }
            | Self::StreakBroken { task, .. }
            | Self::MilestoneReached { task, .. }
            | Self::TaskCompleted { task, .. }
            | Self::RewardsClaimed { task, .. }
            | Self::ActionTooLate { task, .. }
            | Self::ActionNotCounted { task, .. } => Some(task),
        }
    }

    /// The version of the task that judged it, or that promised what it speaks of; `None` for facts
    /// about the user.
    pub fn task_version(&self) -> Option<u32> {
        match self {
            Self::UserUpdated { .. }
            | Self::ParkedReleased { .. }
            | Self::ParkedDiscarded { .. } => None,
            Self::DeliveryStarted { reward } => Some(reward.version),
            Self::ProgressRecorded { version, .. }
            | Self::StreakAdvanced { version, .. }
            | Self::StreakBroken { version, .. }
            | Self::MilestoneReached { version, .. }
            | Self::TaskCompleted { version, .. }
            | Self::RewardsClaimed { version, .. }
            | Self::ActionTooLate { version, .. }
            | Self::ActionNotCounted { version, .. } => Some(*version),
        }
    }
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
    /// How many.
    pub amount: i64,
    /// When the milestone was reached.
    pub reached_at: Timestamp,
}

impl Reward {
    /// What a line of a milestone grants to a user; `None` for a line that must be rolled first.
    pub fn new(
        user: &UserId,
        task: &TaskId,
        version: u32,
        period: &PeriodKey,
        milestone: i64,
        line: &RewardLine,
        reached_at: Timestamp,
    ) -> Option<Self> {
        let Payout { kind, code, amount } = line.fixed()?.clone();
        Some(Self {
            grant: grant_id(user, task, period, milestone, &line.line),
            task: task.clone(),
            version,
            period: period.clone(),
            milestone,
            line: line.line.clone(),
            kind,
            code,
            amount,
            reached_at,
        })
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
