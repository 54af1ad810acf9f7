//! Turns a user's new events into messages for a streaming client.

use std::collections::BTreeSet;

use axum::body::Bytes;
use plaudit_domain::ids::{TaskId, UserId};
use plaudit_domain::lane::Position;
use plaudit_domain::screen::{ScreenRequest, TaskScreen};
use plaudit_event_store::reader::Entry;
use plaudit_event_store::rewards::by_grant;
use serde::Serialize;
use serde_json::Value;
use uuid::Uuid;

use crate::rewards::{RewardEntry, entry};
use crate::state::ApiState;
use crate::users;

#[derive(Serialize)]
struct TaskMessage<'a> {
    user: &'a UserId,
    position: String,
    #[serde(flatten)]
    task: TaskScreen,
}

#[derive(Serialize)]
struct RewardMessage<'a> {
    user: &'a UserId,
    position: String,
    #[serde(flatten)]
    reward: RewardEntry,
}

/// Builds the messages for a page of events: the present state of the tasks and rewards that the
/// page touched. Only the last message has the page's position as its id, so that a client whose
/// connection breaks in between gets the whole page again.
pub async fn of(
    state: &ApiState,
    user: &UserId,
    page: &[Entry],
    position: Position,
) -> Result<Vec<Bytes>, String> {
    let (mut tasks, mut grants) = (BTreeSet::new(), BTreeSet::new());
    for recorded in page.iter().filter_map(|entry| entry.as_ref().ok()) {
        tasks.extend(recorded.event.task());
        let json = serde_json::to_value(&recorded.event).map_err(|error| error.to_string())?;
        grants_in(&json, &mut grants);
    }
    let mut messages = task_messages(state, user, &tasks, position).await?;
    let grants: Vec<Uuid> = grants.into_iter().collect();
    // Acquired only now: the screen needed a connection too, and a stream that held two would block
    // others.
    let mut connection = state.pool.acquire().await.map_err(|error| error.to_string())?;
    let rows = by_grant::of_lane(position.lane, &grants, &mut connection).await;
    drop(connection);
    for row in rows.map_err(|error| error.to_string())? {
        let position = position.to_string();
        let message = RewardMessage { user, position, reward: entry(row, state.now()) };
        messages.push(written("reward", &message)?);
    }
    if let Some(last) = messages.last_mut() {
        last.insert_str(0, &format!("id: {position}\n"));
    } else {
        // Without a message, an empty event advances the client's last id past this page.
        messages.push(format!("id: {position}\n\n"));
    }
    Ok(messages.into_iter().map(Bytes::from).collect())
}

async fn task_messages(
    state: &ApiState,
    user: &UserId,
    tasks: &BTreeSet<&TaskId>,
    position: Position,
) -> Result<Vec<String>, String> {
    if tasks.is_empty() {
        return Ok(Vec::new());
    }
    let (view, catalogue) =
        users::view(state, position.lane, user).await.map_err(|problem| problem.to_string())?;
    let now = state.now();
    let request = ScreenRequest::default();
    let shown = state.screen(user, &view.state, &catalogue, now, &request).await;
    let touched = shown.into_iter().filter(|task| tasks.contains(&task.id));
    touched
        .map(|task| written("task", &TaskMessage { user, position: position.to_string(), task }))
        .collect()
}

/// Formats one server-sent event. JSON has no line breaks, so one `data` line is enough.
fn written(event: &str, data: &impl Serialize) -> Result<String, String> {
    let json = serde_json::to_string(data).map_err(|error| error.to_string())?;
    Ok(format!("event: {event}\ndata: {json}\n\n"))
}

/// Collects the grants that an event names, at any depth.
fn grants_in(json: &Value, found: &mut BTreeSet<Uuid>) {
    match json {
        Value::Object(fields) => {
            let grant = fields.get("grant").and_then(Value::as_str);
            found.extend(grant.and_then(|grant| grant.parse::<Uuid>().ok()));
            fields.values().for_each(|value| grants_in(value, found));
        }
        Value::Array(items) => items.iter().for_each(|item| grants_in(item, found)),
        _ => {}
    }
}
