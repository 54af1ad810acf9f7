//! Applying actions.

use std::borrow::Cow;
use std::panic::{AssertUnwindSafe, catch_unwind};

use plaudit_domain::action::Action;
use plaudit_domain::user_tasks::{Command, Decision, Seed, Unmoved, UnmovedReason};
use uuid::Uuid;

use super::BatchDecider;
use super::metadata::metadata;
use crate::batch::{Item, Outcome, ParkedRecord};

impl<'b> BatchDecider<'_, 'b> {
    pub(super) fn action(&mut self, item: &'b Item, action: &'b Action) -> Outcome {
        let identity = action.identity();
        if !self.seen.insert(identity) {
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
            Ok(()) => {
                self.decided.newly_seen.push((item.lane, identity));
                Outcome::Accepted
            }
            // It is decided once it is released, so its identity is not remembered.
            Err(reason) => {
                self.seen.remove(&identity);
                let record = ParkedRecord::of_action(action, &reason, true);
                self.park(item, Cow::Owned(record), false)
            }
        }
    }

    /// Decides an action and records what follows. The error says why it can't be decided.
    pub(super) fn apply(&mut self, item: &Item, action: &Action) -> Result<(), String> {
        if !action.is_plaudits_own() && !self.catalogue.listens_to(&action.kind) {
            return Ok(());
        }
        if let Some(reason) = self.fault(item, &action.user) {
            return Err(format!("nothing can be decided: {reason}"));
        }
        let seed = Seed(Uuid::new_v4().as_u64_pair().0);
        let command = Command::RecordAction { action: action.clone(), seed };
        // A fault in the rules must not stop a partition: the action is parked, others go on.
        let decided = catch_unwind(AssertUnwindSafe(|| self.decide(item, &action.user, &command)));
        let Ok(Ok(Decision { events, unmoved })) = decided else {
            return Err("an internal error while applying it".to_owned());
        };
        let failed = |u: &Unmoved| {
            matches!(u.reason, UnmovedReason::FilterFailed(_)).then(|| u.task.clone())
        };
        self.decided.unevaluated.extend(unmoved.iter().filter_map(failed));
        if !events.is_empty() {
            self.record(item, &action.user, events, &metadata(item, Some(action)));
        }
        self.note_for_backfills(item, action);
        Ok(())
    }
}
