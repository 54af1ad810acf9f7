//! Reads a parked record by the current sources.

use std::panic::{AssertUnwindSafe, catch_unwind};

use jiff::{SignedDuration, Timestamp};
use plaudit_actions::cloud_events;
use plaudit_actions::record::OwnedRecord;
use plaudit_actions::sources::{Mapped, Sources};
use plaudit_domain::action::Action;
use plaudit_event_store::ParkedRecord;
use plaudit_event_store::parked::Parked;

use crate::error::ResolveError;

/// Returns the actions of a parked record: those of its user, or of all users if it names none.
pub fn actions_of(
    parked: &Parked,
    sources: &Sources,
    future_tolerance: SignedDuration,
    now: Timestamp,
) -> Result<Vec<Action>, ResolveError> {
    let actions = read(parked, sources).map_err(ResolveError::Unapplied)?;
    let latest = parked.at.checked_add(future_tolerance).unwrap_or(Timestamp::MAX);
    // A record that was parked for another reason may lie as far ahead as any action.
    let is_early =
        |at: Timestamp| at > now && (!parked.repairable || parked.waiting || at > latest);
    match actions.iter().map(|action| action.occurred_at).find(|at| is_early(*at)) {
        Some(at) => Err(ResolveError::TooEarly(at)),
        None => Ok(actions),
    }
}

fn read(parked: &Parked, sources: &Sources) -> Result<Vec<Action>, String> {
    if let Some(action) = as_action(parked) {
        return Ok(vec![action]);
    }
    let topic = parked.topic.as_deref().unwrap_or_default();
    let (partition, offset) = (parked.partition.unwrap_or(0), parked.offset.unwrap_or(0));
    let record = OwnedRecord::from_parked(topic, partition, offset, &parked.headers, &parked.bytes);
    let record = record.as_raw();
    if parked.topic.is_none() {
        return cloud_events::from_record(&record).map(|a| vec![a]).map_err(|why| why.to_string());
    }
    let mapped = catch_unwind(AssertUnwindSafe(|| sources.map(&record)))
        .map_err(|_| "an internal error while reading it".to_owned())?
        .map_err(|unavailable| unavailable.to_string())?;
    let mut actions = Vec::with_capacity(mapped.len());
    for part in mapped {
        let of = match &part {
            Mapped::Action(action) => Some(&action.user),
            Mapped::Park(why) => why.user.as_ref(),
        };
        let is_other = |requested: &str| of.is_some_and(|user| user.as_str() != requested);
        match part {
            _ if parked.user.as_deref().is_some_and(is_other) => {}
            Mapped::Action(action) => actions.push(action),
            Mapped::Park(why) => return Err(why.reason),
        }
    }
    match &parked.user {
        Some(user) if actions.is_empty() => {
            Err(format!("the source mapping gives no action of user {user}"))
        }
        _ => Ok(actions),
    }
}

/// Reads a record that was parked as an action: it is stored as a structured `CloudEvent`, whatever
/// the original looked like, and its id follows from the action's identity.
fn as_action(parked: &Parked) -> Option<Action> {
    let action = cloud_events::from_structured(&parked.bytes).ok()?;
    let id = ParkedRecord::id_of(&format!("action\u{1f}{}", action.identity()));
    (id == parked.id).then_some(action)
}
