//! Deliveries: the handover of rewards to the paying system, and its answers.

use jiff::Timestamp;
use uuid::Uuid;

use super::claim::Rejection;
use crate::action::{Acknowledgement, Verdict};
use crate::user_tasks::command::Redelivery;
use crate::user_tasks::event::{Event, Reward};
use crate::user_tasks::reward_state::{RewardState, RewardTransition};
use crate::user_tasks::state::{Grant, UserTasks};

/// Returns the event of an acknowledgement. One that changes nothing is recorded as well, so that a
/// payer's mistake can be found.
pub(super) fn acknowledge(
    state: &UserTasks,
    acknowledgement: &Acknowledgement,
    at: Timestamp,
) -> Event {
    let grant = acknowledgement.grant_id().and_then(|id| state.grants.get(&id));
    let Acknowledgement { grant: named, verdict } = acknowledgement;
    let delivered = *verdict == Verdict::Delivered;
    let refusal = match grant {
        Some(grant) => grant.state.after(transition(verdict)).err(),
        None => Some("the user has no such grant"),
    };
    match (grant, refusal) {
        (Some(grant), None) => settled(grant, verdict.clone(), at),
        (_, refusal) => {
            let reason = refusal.unwrap_or_default().to_owned();
            Event::AcknowledgementIgnored { grant: named.clone(), delivered, reason, at }
        }
    }
}

/// Returns the event of a repeated acknowledgement that changed nothing at first; `None` if it
/// still changes nothing. Only a delivery can count late: it is final, so it may be decided any
/// number of times. A failure is true of one attempt only, and an operator may have had the reward
/// delivered again since.
#[must_use]
pub fn decide_repeated_acknowledgement(
    state: &UserTasks,
    acknowledgement: &Acknowledgement,
    at: Timestamp,
) -> Option<Event> {
    let is_delivered = acknowledgement.verdict == Verdict::Delivered;
    let fact = is_delivered.then(|| acknowledge(state, acknowledgement, at))?;
    matches!(fact, Event::RewardDelivered { .. }).then_some(fact)
}

/// The transition that a payer's answer makes.
fn transition(verdict: &Verdict) -> RewardTransition {
    match verdict {
        Verdict::Delivered => RewardTransition::Confirm,
        Verdict::Failed { .. } => RewardTransition::Fail,
    }
}

fn settled(grant: &Grant, verdict: Verdict, at: Timestamp) -> Event {
    let reward = grant.reward.clone();
    match verdict {
        Verdict::Delivered => Event::RewardDelivered { reward, at },
        Verdict::Failed { reason } => Event::RewardFailed { reward, reason, at },
    }
}

/// Decides which of these rewards are noted as handed over: those that are claimed.
pub fn decide_deliveries_started(state: &UserTasks, rewards: &[Reward]) -> Vec<Event> {
    let is_waiting = |reward: &&Reward| {
        let grant = state.grants.get(&reward.grant);
        grant.is_some_and(|grant| grant.state.after(RewardTransition::HandOver).is_ok())
    };
    let started = |reward: &Reward| Event::DeliveryStarted { reward: reward.clone() };
    rewards.iter().filter(is_waiting).map(started).collect()
}

/// Decides which outcomes are recorded: those that are not recorded yet. A delivery after a revocation changes
/// nothing, but is recorded: the payer has paid what the operator took back.
pub fn decide_deliveries_settled(
    state: &UserTasks,
    settled_grants: &[(Uuid, Verdict)],
    at: Timestamp,
) -> Vec<Event> {
    let news = |(id, verdict): &(Uuid, Verdict)| {
        let grant = state.grants.get(id)?;
        let delivered = *verdict == Verdict::Delivered;
        match grant.state.after(transition(verdict)) {
            Ok(_) => Some(settled(grant, verdict.clone(), at)),
            Err(reason) if delivered && grant.state == RewardState::Revoked => {
                let (grant, reason) = (id.to_string(), reason.to_owned());
                Some(Event::AcknowledgementIgnored { grant, delivered, reason, at })
            }
            Err(_) => None,
        }
    };
    settled_grants.iter().filter_map(news).collect()
}

/// Decides whether a reward is handed over again, and returns the event of it.
///
/// # Errors
///
/// A [`Rejection`]: an answer, not a fault.
pub fn decide_redelivery(state: &UserTasks, redelivery: &Redelivery) -> Result<Event, Rejection> {
    let Redelivery { grant: id, by, reason, at, even_if_delivered, keeps_payer } =
        redelivery.clone();
    let grant = state.grants.get(&id).ok_or(Rejection::UnknownGrant { grant: id })?;
    let before = grant.state;
    let after = before
        .after(RewardTransition::Redeliver { even_if_delivered })
        .map_err(|_| Rejection::NotRedeliverable { grant: id, state: before })?;
    let stays_delivered = after == RewardState::Delivered;
    let stays_delivering = after == RewardState::Delivering;
    Ok(Event::RedeliveryRequested {
        reward: grant.reward.clone(),
        by,
        reason,
        at,
        stays_delivered,
        stays_delivering,
        keeps_payer,
    })
}
