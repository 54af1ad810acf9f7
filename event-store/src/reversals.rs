//! The facts of actions that are to be taken back: found by the place of the first one, which is remembered
//! with the identity of the action, and read from there on as far as they reach.

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

/// The facts of actions, by the identity of the action.
pub type FoundReversals = HashMap<Uuid, Vec<Event>>;

/// The number of events read at once: more than most actions have.
const PAGE: i64 = 32;

/// Loads the facts of actions. Those that are forgotten, or have none, are left out.
pub async fn load(
    wanted: &BTreeMap<(Lane, UserId, Uuid), ReversedAction>,
    window: i32,
    connection: &mut PgConnection,
) -> sqlx::Result<FoundReversals> {
    let mut found = FoundReversals::new();
    if wanted.is_empty() {
        return Ok(found);
    }
    let identities: Vec<_> = wanted.keys().map(|(lane, _, target)| (*lane, *target)).collect();
    let first = seen_actions::first_events(&identities, window, connection).await?;
    for ((lane, user, target), action) in wanted {
        if let Some(sequence) = first.get(target) {
            let facts = facts_from(*lane, user, *sequence, action, connection).await?;
            found.insert(*target, facts);
        }
    }
    Ok(found)
}

/// The events of an action from its first one on: they follow each other in the user's stream.
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
            // What can't be read makes the user's log unreadable, which is told elsewhere.
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
