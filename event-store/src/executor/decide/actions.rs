//! Applies actions.

use std::borrow::Cow;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;

use plaudit_domain::action::{Acknowledgement, Action, ActionBody, ReversedAction};
use plaudit_domain::ids::UserId;
use plaudit_domain::user_tasks::{
    ActionInput, Credited, Decision, Event, Seed, Unmoved, UnmovedReason, decide_action,
    decide_repeated_acknowledgement,
};
use uuid::Uuid;

use super::super::bisect::INTERNAL_ERROR;
use super::BatchDecider;
use super::metadata::metadata;
use crate::batch::{Item, Outcome, ParkedRecord};
use crate::seen_actions::NewlySeen;

/// True if these events contain a reversal that was not refused.
fn takes_back(events: &[Event]) -> bool {
    events.iter().any(|event| matches!(event, Event::ActionReversed { refused: None, .. }))
}

impl<'b> BatchDecider<'_, 'b> {
    pub(super) fn action(&mut self, item: &'b Item, action: &'b Action) -> Outcome {
        let identity = action.identity();
        if !self.seen.insert(identity) {
            self.repeated(item, action);
            return Outcome::Duplicate;
        }
        if let Some(first) = self.parked_queues.first_of(&action.user) {
            self.seen.remove(&identity);
            let reason = format!(
                "waits behind the parked record {first} of the same user, and is applied with it"
            );
            let record = ParkedRecord::of_action(action, &reason, true);
            return self.park(item, Cow::Owned(record), true);
        }
        match self.apply(item, action) {
            Ok(sequence) => {
                self.decided.newly_seen.push(NewlySeen { lane: item.lane, identity, sequence });
                Outcome::Accepted
            }
            // The action is decided on release, so its identity must not be remembered.
            Err(reason) => {
                self.seen.remove(&identity);
                let record = ParkedRecord::of_action(action, &reason, true);
                self.park(item, Cow::Owned(record), false)
            }
        }
    }

    /// Decides an action and records its events. Returns the sequence of the first event, if there
    /// is one, or the reason why the action can't be decided.
    pub(super) fn apply(&mut self, item: &Item, action: &Action) -> Result<Option<i64>, String> {
        if !action.is_plaudits_own() && !self.catalogue.listens_to(&action.kind) {
            return Ok(None);
        }
        if let Some(reason) = self.fault(item, &action.user) {
            return Err(format!("nothing can be decided: {reason}"));
        }
        let reversed = match action.body() {
            ActionBody::Reversal(reversal) => Some(&reversal.target),
            ActionBody::Business | ActionBody::UserUpdate(_) | ActionBody::Acknowledgement(_) => {
                None
            }
        };
        let credited = reversed.map(|target| self.credited(&action.user, target));
        let state = &self.users[&action.user].loaded.state;
        let seed = Seed(Uuid::new_v4().as_u64_pair().0);
        let input = ActionInput { action, seed, credited: credited.as_ref() };
        let decide = || decide_action(state, input, self.catalogue, &self.budgets_used);
        // A panic in the rules must not stop a partition: the action is parked, and others
        // continue.
        let Ok(Decision { events, unmoved }) = catch_unwind(AssertUnwindSafe(decide)) else {
            return Err(INTERNAL_ERROR.to_owned());
        };
        let failed = |u: &Unmoved| {
            matches!(u.reason, UnmovedReason::FilterFailed(..)).then(|| u.task.clone())
        };
        self.decided.unevaluated.extend(unmoved.iter().filter_map(failed));
        self.note_for_backfills(item, action);
        if events.is_empty() {
            return Ok(None);
        }
        if let Some(named) = reversed {
            self.past.reversed.insert(named.identity(&action.user));
        }
        if let Some(reversed) = reversed.filter(|_| takes_back(&events)) {
            let identity = reversed.marker(&action.user);
            self.seen.insert(identity);
            self.decided.newly_seen.push(NewlySeen { lane: item.lane, identity, sequence: None });
        }
        let before = self.working(item, &action.user).loaded.sequence;
        self.record(item, &action.user, events, &metadata(item, Some(action)));
        Ok(Some(before + 1))
    }

    /// Decides a repeated acknowledgement again if it changed nothing the first time. Payers repeat
    /// an acknowledgement under the same identity; after a restore, the first one may be read
    /// before the reward is claimed. It does not wait behind parked records, because it was decided
    /// before.
    pub(super) fn repeated(&mut self, item: &Item, action: &Action) {
        let ActionBody::Acknowledgement(acknowledgement) = action.body() else { return };
        if !self.was_ignored(action, acknowledgement) || self.fault(item, &action.user).is_some() {
            return;
        }
        let (state, at) = (&self.users[&action.user].loaded.state, action.occurred_at);
        if let Some(fact) = decide_repeated_acknowledgement(state, acknowledgement, at) {
            self.record(item, &action.user, vec![fact], &metadata(item, Some(action)));
        }
    }

    /// True if the first action with this identity acknowledged the same reward as delivered and
    /// changed nothing. The first content of an identity wins: an action with other content stays a
    /// duplicate.
    fn was_ignored(&self, action: &Action, acknowledgement: &Acknowledgement) -> bool {
        let identity = action.identity();
        let Some(first) = self.decided.newly_seen.iter().find(|seen| seen.identity == identity)
        else {
            return self.ignored_before.get(&identity) == Some(&acknowledgement.grant);
        };
        let mut of_batch = self.decided.changes.events.iter();
        of_batch.any(|new| {
            new.user == action.user
                && Some(new.sequence) == first.sequence
                && matches!(&new.event, Event::AcknowledgementIgnored { grant, delivered: true, .. }
                    if *grant == acknowledgement.grant)
        })
    }

    /// Finds the events of an action to be reversed, in this batch or as loaded, and those of the
    /// backfills that counted it.
    fn credited(&self, user: &UserId, reversed: &ReversedAction) -> Credited {
        if self.seen.contains(&reversed.marker(user)) {
            return Credited::ReversedBefore;
        }
        let target = reversed.identity(user);
        if !self.seen.contains(&target) {
            return Credited::Unknown;
        }
        let mut facts = self.facts_of(user, target);
        facts.extend(self.past.counted.get(&target).into_iter().flatten().cloned());
        Credited::Facts(facts)
    }

    /// Returns the events of an action that were decided in this batch, or else those loaded.
    fn facts_of(&self, user: &UserId, target: Uuid) -> Vec<Event> {
        let of_batch = self.decided.newly_seen.iter().find(|seen| seen.identity == target);
        if let Some(NewlySeen { sequence, .. }) = of_batch {
            let events = self.decided.changes.events.iter().filter(|new| new.user == *user);
            let mut events = events.skip_while(|new| Some(new.sequence) != *sequence).peekable();
            let Some(metadata) = events.peek().map(|new| Arc::clone(&new.metadata)) else {
                return vec![];
            };
            let of_action = events.take_while(|new| Arc::ptr_eq(&new.metadata, &metadata));
            return of_action.map(|new| new.event.clone()).collect();
        }
        self.reversals.get(&target).cloned().unwrap_or_default()
    }
}
