//! The fold behind the rows: the events that grant rewards or change their states.

use std::collections::HashMap;

use plaudit_domain::calendar::Period;
use plaudit_domain::ids::UserId;
use plaudit_domain::lane::Lane;
use plaudit_domain::user_tasks::{
    ClaimTerms, Event, Lapse, Lapsed, Reward, RewardState, UnclaimedRewards, outcomes,
};
use sqlx::PgConnection;
use uuid::Uuid;

use super::{Claimed, RewardPlace, RewardRow};
use crate::reader::{self, Kinds};
use crate::states::truncate_to_micros;

/// The rewards granted and changed by a run of events: a user's whole stream, or a batch.
#[derive(Debug, Default)]
pub struct Ledger {
    /// In the order of grants, with the states after the last event.
    pub granted: Vec<RewardRow>,
    /// The last change of each reward, whether or not its grant is in `granted`.
    pub changed: HashMap<Uuid, Change>,
    by_grant: HashMap<Uuid, usize>,
}

impl Ledger {
    /// Folds all of a user's rewards from the log.
    pub async fn of_user(
        lane: Lane,
        user: &UserId,
        connection: &mut PgConnection,
    ) -> sqlx::Result<Self> {
        let mut ledger = Self::default();
        let found =
            reader::users_whole(&[(lane, user.as_str())], Kinds::OfRewards, connection).await?;
        for fact in found.iter().flat_map(|user| &user.facts) {
            ledger.record(&fact.event, fact.position);
        }
        Ok(ledger)
    }

    /// Folds the event at this position of the lane.
    pub fn record(&mut self, event: &Event, position: i64) {
        match event {
            Event::MilestoneReached { mode, rewards, period, terms, budgeted, .. } => {
                let outcomes = outcomes(*mode, rewards, budgeted.as_deref());
                for (ordinal, (reward, state)) in (0..).zip(outcomes) {
                    let place = RewardPlace { position, ordinal };
                    // Waiting and refused rewards can't be claimed, so they get no claim terms.
                    let terms = match state {
                        RewardState::Waiting | RewardState::Refused => ClaimTerms::default(),
                        _ => *terms,
                    };
                    self.grant(reward, period, &terms, state, place);
                }
            }
            Event::RewardGranted { reward, .. } => {
                let period = Period { key: reward.period.clone(), starts_at: None, ends_at: None };
                let place = RewardPlace { position, ordinal: 0 };
                self.grant(reward, &period, &ClaimTerms::default(), RewardState::Claimed, place);
            }
            Event::RewardsRevoked { rewards, .. } => {
                for reward in rewards {
                    self.change(reward, RewardState::Revoked, None);
                }
            }
            Event::RewardsClaimed { rewards, at, .. } => {
                let claimed = Some(Claimed { at: truncate_to_micros(*at), position });
                for reward in rewards {
                    self.change(reward, RewardState::Claimed, claimed);
                }
            }
            Event::RewardsExpired(unclaimed) => self.lapse(unclaimed, Lapsed::Expired),
            Event::RewardsForfeited(unclaimed) => self.lapse(unclaimed, Lapsed::Forfeited),
            Event::RewardsGranted(unclaimed) => self.lapse(unclaimed, Lapsed::Granted),
            Event::DeliveryStarted { reward } => self.change(reward, RewardState::Delivering, None),
            Event::RewardDelivered { reward, .. } => {
                self.change(reward, RewardState::Delivered, None);
            }
            Event::RewardFailed { reward, .. } => self.change(reward, RewardState::Failed, None),
            Event::RedeliveryRequested {
                reward,
                stays_delivered: false,
                stays_delivering: false,
                ..
            } => self.change(reward, RewardState::Claimed, None),
            Event::RedeliveryRequested { .. }
            | Event::AcknowledgementIgnored { .. }
            | Event::UserUpdated { .. }
            | Event::ProgressRecorded { .. }
            | Event::ProgressCorrected { .. }
            | Event::ActionReversed { .. }
            | Event::CreditKept { .. }
            | Event::StreakAdvanced { .. }
            | Event::StreakProtected { .. }
            | Event::StreakBroken { .. }
            | Event::PeriodMadeUp { .. }
            | Event::FreezesGranted { .. }
            | Event::FreezeReserved { .. }
            | Event::TaskCompleted { .. }
            | Event::ActionTooLate { .. }
            | Event::ActionNotCounted { .. }
            | Event::BackfillReleased { .. }
            | Event::ParkedReleased { .. }
            | Event::ParkedDiscarded { .. } => {}
        }
    }

    /// Adds a grant. Should the log hold it twice, the first one counts.
    fn grant(
        &mut self,
        reward: &Reward,
        period: &Period,
        terms: &ClaimTerms,
        state: RewardState,
        place: RewardPlace,
    ) {
        let granted = &mut self.granted;
        self.by_grant.entry(reward.grant).or_insert_with(|| {
            let reached_at = truncate_to_micros(reward.reached_at);
            granted.push(RewardRow {
                reward: Reward { reached_at, ..reward.clone() },
                starts_at: period.starts_at.map(truncate_to_micros),
                ends_at: period.ends_at.map(truncate_to_micros),
                state,
                place,
                claimed: None,
                claim_until: terms.claim_until.map(truncate_to_micros),
                lapse: terms
                    .lapse()
                    .map(|lapse| Lapse { at: truncate_to_micros(lapse.at), ..lapse }),
            });
            granted.len() - 1
        });
    }

    fn lapse(&mut self, unclaimed: &UnclaimedRewards, becomes: Lapsed) {
        for reward in &unclaimed.rewards {
            self.change(reward, becomes.state(), None);
        }
    }

    fn change(&mut self, reward: &Reward, state: RewardState, claimed: Option<Claimed>) {
        let before = self.changed.get(&reward.grant).and_then(|change| change.claimed);
        let claimed = claimed.or(before);
        self.changed.insert(reward.grant, Change { state, claimed });
        if let Some(index) = self.by_grant.get(&reward.grant) {
            let row = &mut self.granted[*index];
            row.state = state;
            row.claimed = claimed.or(row.claimed);
        }
    }
}

/// A change of a reward that may have been granted before.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Change {
    /// The state after the change.
    pub state: RewardState,
    /// The claim, if the reward was claimed.
    pub claimed: Option<Claimed>,
}
