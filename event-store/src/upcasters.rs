//! Old versions of events become the newest while they are read.

use cqrs_es::persist::{EventUpcaster, SerializedEvent};
use plaudit_domain::user_tasks::Event;
use serde_json::Value;

/// The steps from older versions, in order. None yet: every event is at its first version.
pub fn upcasters() -> Vec<Box<dyn EventUpcaster>> {
    Vec::new()
}

/// Reads an event of whatever version it was stored under. An event of its newest version, which
/// nearly all are, is read straight from its text.
pub fn read(
    event_type: &str,
    event_version: &str,
    payload: &str,
) -> Result<Event, UnreadableEvent> {
    let unreadable = |reason: String| UnreadableEvent {
        event_type: event_type.to_owned(),
        event_version: event_version.to_owned(),
        reason,
    };
    let steps = upcasters();
    let old = steps.iter().any(|step| step.can_upcast(event_type, event_version));
    let (event, version) = if old {
        let raised = raise(&steps, event_type, event_version, payload)
            .map_err(|e| unreadable(e.to_string()))?;
        (serde_json::from_value(raised.payload), raised.event_version)
    } else {
        (serde_json::from_str(payload), event_version.to_owned())
    };
    let event: Event = event.map_err(|e| unreadable(e.to_string()))?;
    let known = event.schema();
    if known == (event_type, version.as_str()) {
        Ok(event)
    } else {
        Err(unreadable(format!("this program knows {} in version {}", known.0, known.1)))
    }
}

/// Takes an old event through every step that applies.
fn raise(
    steps: &[Box<dyn EventUpcaster>],
    event_type: &str,
    event_version: &str,
    payload: &str,
) -> serde_json::Result<SerializedEvent> {
    let mut event = SerializedEvent::new(
        String::new(),
        0,
        String::new(),
        event_type.to_owned(),
        event_version.to_owned(),
        serde_json::from_str(payload)?,
        Value::Null,
    );
    for step in steps {
        if step.can_upcast(&event.event_type, &event.event_version) {
            event = step.upcast(event);
        }
    }
    Ok(event)
}

/// Why a stored event can't be read.
#[derive(Debug, thiserror::Error)]
#[error(
    "event {event_type} in version {event_version} can't be read: {reason}; is this program older than the one that wrote it?"
)]
pub struct UnreadableEvent {
    event_type: String,
    event_version: String,
    reason: String,
}
