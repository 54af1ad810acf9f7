//! Freezes that are given to a user by hand.

use plaudit_domain::ids::UserId;
use plaudit_domain::user_tasks::{Command, Event};
use uuid::Uuid;

use super::{BatchDecider, metadata};
use crate::batch::{Item, Outcome};

impl<'b> BatchDecider<'_, 'b> {
    /// Gives freezes once for each request, however often its batch is tried.
    pub(super) fn grant_freezes(
        &mut self,
        item: &'b Item,
        request: Uuid,
        user: &UserId,
        command: &Command,
    ) -> Outcome {
        if self.seen.contains(&request) {
            return Outcome::Duplicate;
        }
        let events = match self.decide(item, user, command) {
            Ok(decision) => decision.events,
            Err(rejection) => return Outcome::Rejected(rejection),
        };
        let outcome = events.iter().find_map(outcome);
        self.seen.insert(request);
        self.decided.newly_seen.push((item.lane, request));
        self.record(item, user, events, &metadata(item, None));
        outcome.expect("a grant that is not rejected tells what it gave")
    }
}

fn outcome(event: &Event) -> Option<Outcome> {
    let Event::FreezesGranted { count, dropped, freezes, .. } = event else { return None };
    let (granted, dropped, freezes) = (*count, *dropped, *freezes);
    Some(Outcome::FreezesGranted { granted, dropped, freezes })
}
