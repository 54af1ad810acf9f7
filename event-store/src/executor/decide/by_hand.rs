//! Changes by hand in a batch: the rows they need, and the receipts for repeated requests.

use std::collections::BTreeSet;

use jiff::Timestamp;
use plaudit_domain::catalogue::Catalogue;
use plaudit_domain::ids::TaskId;
use plaudit_domain::lane::Position;
use plaudit_domain::user_tasks::{Change, Event, HandCommand, decide_by_hand};
use uuid::Uuid;

use super::{BatchDecider, metadata};
use crate::batch::{
    ByHand, Decide, HandAnswer, HandChange, HandReceipt, Item, NotApplied, RequestKey,
};

/// The name of a change, for the metadata of its events.
pub(super) fn name_of(command: &HandCommand) -> &'static str {
    match command {
        HandCommand::Correct(correction) => correction.change.name(),
        HandCommand::GrantFreezes { .. } => "freezes",
    }
}

/// The tasks whose states determine the effect of a change.
pub(super) fn tasks_of(command: &HandCommand, catalogue: &Catalogue) -> BTreeSet<TaskId> {
    match command {
        HandCommand::GrantFreezes { task, .. } => BTreeSet::from([task.clone()]),
        HandCommand::Correct(correction) => {
            let of_task = |task: &TaskId| catalogue.states_of_correction(task);
            correction.change.task().map(of_task).unwrap_or_default()
        }
    }
}

/// The grant that a change concerns.
pub(super) fn grant_of(command: &HandCommand) -> Option<Uuid> {
    let HandCommand::Correct(correction) = command else { return None };
    match &correction.change {
        Change::Grant { .. } => correction.grant_by_hand(),
        Change::Revoke { grant, .. } => Some(*grant),
        Change::Adjust { .. }
        | Change::Complete { .. }
        | Change::Reset { .. }
        | Change::Restore { .. } => None,
    }
}

/// The time at which the request arrived.
pub(super) fn arrived_at(command: &HandCommand) -> Timestamp {
    match command {
        HandCommand::Correct(correction) => correction.at,
        HandCommand::GrantFreezes { at, .. } => *at,
    }
}

impl<'b> Decide<'b, ByHand> for BatchDecider<'_, 'b> {
    /// Makes a change, once per key.
    fn answer(&mut self, item: &'b Item, by_hand: &'b ByHand) -> Result<HandAnswer, NotApplied> {
        let ByHand { key, command, .. } = by_hand;
        self.readable(item, &key.user)?;
        if let Some(receipt) = self.hand_receipts.get(key) {
            return Ok(HandAnswer::Changed(receipt.clone()));
        }
        let state = &self.users[&key.user].loaded.state;
        let events = match decide_by_hand(state, command, self.catalogue, &self.budgets_used) {
            Ok(decision) => decision.events,
            Err(rejection) => return Ok(HandAnswer::Rejected(rejection)),
        };
        let change = match change_of(&events) {
            Some(change) => change,
            // The same grant by hand was made before.
            None => match self.granted_before(item, key, command) {
                Some(change) => change,
                None => return Err(NotApplied("the change has no effect".to_owned())),
            },
        };
        let position = if events.is_empty() {
            let number =
                self.decided.heads.get(&item.lane).map_or(0, |head| head.next_position - 1);
            Position { lane: item.lane, number }
        } else {
            self.record(item, &key.user, events, &metadata(item, None))
        };
        let at = arrived_at(command);
        let receipt = HandReceipt { position: position.to_string(), at, change };
        self.hand_receipts.insert(key.clone(), receipt.clone());
        self.decided.hand_receipts_given.push((item.lane, key.clone(), receipt.clone()));
        Ok(HandAnswer::Changed(receipt))
    }
}

impl BatchDecider<'_, '_> {
    fn granted_before(
        &mut self,
        item: &Item,
        key: &RequestKey,
        command: &HandCommand,
    ) -> Option<HandChange> {
        let grants = &self.working(item, &key.user).loaded.state.grants;
        let reward = grants.get(&grant_of(command)?)?.reward.clone();
        Some(HandChange::RewardGranted { reward })
    }
}

/// Derives the change for the receipt from its events.
fn change_of(events: &[Event]) -> Option<HandChange> {
    events.iter().find_map(|event| match event {
        Event::FreezesGranted { count, dropped, freezes, .. } => Some(HandChange::FreezesGranted {
            granted: *count,
            dropped: *dropped,
            freezes: *freezes,
        }),
        Event::RewardGranted { reward, .. } => {
            Some(HandChange::RewardGranted { reward: reward.clone() })
        }
        Event::RewardsRevoked { rewards, .. } => {
            let grants = rewards.iter().map(|reward| reward.grant).collect();
            Some(HandChange::RewardsRevoked { grants })
        }
        Event::ProgressCorrected { task, period, credited, progress, target, .. } => {
            let (reached, grants) = reached_by(events, task);
            Some(HandChange::ProgressCorrected {
                task: task.clone(),
                period: period.key.clone(),
                credited: *credited,
                progress: *progress,
                target: *target,
                reached,
                grants,
            })
        }
        Event::PeriodMadeUp { task, period, .. } => {
            let advanced = events.iter().find_map(|event| match event {
                Event::StreakAdvanced { task: of, current, longest, .. } if of == task => {
                    Some((*current, *longest))
                }
                _ => None,
            });
            let (current, longest) = advanced?;
            let (reached, grants) = reached_by(events, task);
            let (task, period) = (task.clone(), period.key.clone());
            Some(HandChange::StreakRestored { task, period, current, longest, reached, grants })
        }
        _ => None,
    })
}

/// The milestones of a task that were reached, and their grants.
fn reached_by(events: &[Event], task: &TaskId) -> (Vec<i64>, Vec<Uuid>) {
    let (mut reached, mut grants) = (Vec::new(), Vec::new());
    for event in events.iter().filter(|event| event.task() == Some(task)) {
        if let Event::MilestoneReached { milestone, rewards, .. } = event {
            reached.push(*milestone);
            grants.extend(rewards.iter().map(|reward| reward.grant));
        }
    }
    (reached, grants)
}
