//! The fold behind the rows: which events grant rewards, and which move them.

use std::collections::HashMap;

use plaudit_domain::catalogue::definition::ClaimMode;
use plaudit_domain::user_tasks::{Event, Reward, RewardState};
use uuid::Uuid;

use super::{RewardPlace, RewardRow};
use crate::task_view::as_stored;

/// Rewards granted and moved by a run of events: of a user's whole stream, or of a batch.
#[derive(Debug, Default)]
pub(crate) struct Ledger {
    /// In the order of their grants, with the states after the last event.
    pub granted: Vec<RewardRow>,
    /// The last state that each of these was moved to, whether or not it is in `granted`.
    pub moved: HashMap<Uuid, RewardState>,
    by_grant: HashMap<Uuid, usize>,
}

impl Ledger {
    /// Folds the event at this position of the lane.
    pub fn record(&mut self, event: &Event, position: i64) {
        match event {
            Event::MilestoneReached { mode, rewards, .. } => {
                let state = match mode {
                    ClaimMode::Manual => RewardState::Claimable,
                    ClaimMode::Automatic => RewardState::Claimed,
                };
                for (ordinal, reward) in (0..).zip(rewards) {
                    self.grant(reward, state, RewardPlace { position, ordinal });
                }
            }
            Event::RewardsClaimed { rewards, .. } => {
                for reward in rewards {
                    self.move_to(reward, RewardState::Claimed);
                }
            }
            Event::DeliveryStarted { reward } => self.move_to(reward, RewardState::Delivering),
            Event::UserUpdated { .. }
            | Event::ProgressRecorded { .. }
            | Event::StreakAdvanced { .. }
            | Event::StreakBroken { .. }
            | Event::TaskCompleted { .. }
            | Event::ActionTooLate { .. }
            | Event::ActionNotCounted { .. } => {}
        }
    }

    /// A grant is made once; should the log tell it twice, the first counts.
    fn grant(&mut self, reward: &Reward, state: RewardState, place: RewardPlace) {
        let granted = &mut self.granted;
        self.by_grant.entry(reward.grant).or_insert_with(|| {
            let reward = Reward { reached_at: as_stored(reward.reached_at), ..reward.clone() };
            granted.push(RewardRow { reward, state, place });
            granted.len() - 1
        });
    }

    fn move_to(&mut self, reward: &Reward, state: RewardState) {
        self.moved.insert(reward.grant, state);
        if let Some(index) = self.by_grant.get(&reward.grant) {
            self.granted[*index].state = state;
        }
    }
}
