//! The stored name and version of each event, and the task that it is about.

use super::{Event, UnclaimedRewards};
use crate::ids::TaskId;

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

    /// The version of the task that applied to the action, or that promised the reward; `None` for
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
