//! Finds the events of actions that are to be reversed, and the reversals of actions.
//!
//! The sequence of an action's first event is stored with the identity of the action; reading starts
//! there and ends at the first event of another action. The events of backfills that counted the
//! action later are found by a partial index.

use std::collections::{BTreeMap, HashMap, HashSet};

use plaudit_domain::action::ReversedAction;
use plaudit_domain::ids::UserId;
use plaudit_domain::lane::Lane;
use plaudit_domain::user_tasks::Event;
use serde_json::Value;
use sqlx::PgConnection;
use uuid::Uuid;

use crate::metadata::Metadata;
use crate::reader::{self, Entry};
use crate::{seen_actions, upcasters};

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
        let past = facts_of_backfills(*lane, user, action, connection).await?;
        if !past.is_empty() {
            found.entry(*target).or_default().extend(past);
        }
    }
    Ok(found)
}

/// Reads the events of backfills that counted an action.
async fn facts_of_backfills(
    lane: Lane,
    user: &UserId,
    action: &ReversedAction,
    connection: &mut PgConnection,
) -> sqlx::Result<Vec<Event>> {
    let entries = reader::of_backfills(lane, user, &json_text(&action.id), connection).await?;
    let of_action = entries.into_iter().flatten().filter(|recorded| {
        let metadata = Metadata::read(&recorded.metadata);
        metadata.backfill.is_some() && is_of(action, &metadata)
    });
    Ok(of_action.map(|recorded| recorded.event).collect())
}

/// Returns the identities of those actions that a reversal names. A reversal that was refused
/// counts too: the action may have moved nothing when it was taken back.
pub async fn reversed(
    asked: &[(Lane, UserId, ReversedAction)],
    connection: &mut PgConnection,
) -> sqlx::Result<HashSet<Uuid>> {
    if asked.is_empty() {
        return Ok(HashSet::new());
    }
    let rows: Vec<(i64, String, String, String)> =
        sqlx::query_as(include_str!("reversals/of_actions.sql"))
            .bind(asked.iter().map(|(lane, ..)| lane.0).collect::<Vec<_>>())
            .bind(asked.iter().map(|(_, user, _)| user.as_str()).collect::<Vec<_>>())
            .bind(asked.iter().map(|(.., action)| json_text(&action.id)).collect::<Vec<_>>())
            .fetch_all(connection)
            .await?;
    let named = |(place, event_type, version, payload): (i64, String, String, String)| {
        let (_, user, action) = asked.get(usize::try_from(place - 1).ok()?)?;
        let event = upcasters::read(&event_type, &version, &payload).ok()?;
        let Event::ActionReversed { source, id, .. } = event else { return None };
        (source == action.source && id == action.id).then(|| action.identity(user))
    };
    Ok(rows.into_iter().filter_map(named).collect())
}

/// Returns a text as it stands in JSON.
fn json_text(text: &str) -> String {
    Value::from(text).to_string()
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
            let metadata = Metadata::read(&recorded.metadata);
            // The events of a backfill may follow; they are read apart.
            if metadata.backfill.is_some() || !is_of(action, &metadata) {
                return Ok(facts);
            }
            after = recorded.sequence;
            facts.push(recorded.event);
        }
    }
}

fn is_of(action: &ReversedAction, metadata: &Metadata<'_>) -> bool {
    metadata.action_source.as_deref() == Some(action.source.as_str())
        && metadata.action_id.as_deref() == Some(action.id.as_str())
}
