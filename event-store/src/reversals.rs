//! Finds the events of actions that are to be reversed. The sequence of an action's first event is
//! stored with the identity of the action; reading starts there and ends at the first event of
//! another action.

use std::collections::{BTreeMap, HashMap};

use plaudit_domain::action::ReversedAction;
use plaudit_domain::ids::UserId;
use plaudit_domain::lane::Lane;
use plaudit_domain::user_tasks::Event;
use serde_json::Value;
use sqlx::PgConnection;
use uuid::Uuid;

use crate::metadata::Metadata;
use crate::reader::{self, Entry};
use crate::seen_actions;

/// The events of actions, by identity of the action.
pub type FoundReversals = HashMap<Uuid, Vec<Event>>;

/// The number of events read per query: more than most actions have.
const PAGE: i64 = 32;

/// Loads the events of actions. Actions that are no longer known, or have no events, are left out.
pub async fn load(
    requested: &BTreeMap<(Lane, UserId, Uuid), ReversedAction>,
    window: i32,
    connection: &mut PgConnection,
) -> sqlx::Result<FoundReversals> {
    let mut found = FoundReversals::new();
    if requested.is_empty() {
        return Ok(found);
    }
    let identities: Vec<_> = requested.keys().map(|(lane, _, target)| (*lane, *target)).collect();
    let first = seen_actions::first_events(&identities, window, connection).await?;
    for ((lane, user, target), action) in requested {
        if let Some(sequence) = first.get(target) {
            let facts = facts_from(*lane, user, *sequence, action, connection).await?;
            found.insert(*target, facts);
        }
    }
    Ok(found)
}

/// Reads the events of an action from its first one on. They are contiguous in the user's stream.
async fn facts_from(
    lane: Lane,
    user: &UserId,
    first: i64,
    action: &ReversedAction,
    connection: &mut PgConnection,
) -> sqlx::Result<Vec<Event>> {
    let (mut facts, mut after) = (Vec::new(), first - 1);
    loop {
        let page = reader::user_page(lane, user, after, PAGE, connection).await?;
        if page.is_empty() {
            return Ok(facts);
        }
        for entry in page {
            // An unreadable event makes the user's log unreadable, which is reported elsewhere.
            let Entry::Ok(recorded) = entry else { return Ok(facts) };
            if !is_of(action, &recorded.metadata) {
                return Ok(facts);
            }
            after = recorded.sequence;
            facts.push(recorded.event);
        }
    }
}

fn is_of(action: &ReversedAction, metadata: &Value) -> bool {
    let Metadata { action_source, action_id, .. } = Metadata::read(metadata);
    action_source.as_deref() == Some(action.source.as_str())
        && action_id.as_deref() == Some(action.id.as_str())
}
