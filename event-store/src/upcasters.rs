//! Upcasters: they convert old versions of events to the newest version on reading.

use cqrs_es::persist::{EventUpcaster, SerializedEvent};
use plaudit_domain::user_tasks::Event;
use serde_json::Value;

/// The upcasting steps, in order. None yet: every event is at its first version.
pub fn upcasters() -> Vec<Box<dyn EventUpcaster>> {
    Vec::new()
}

/// Reads an event stored in any known version. Events of the newest version, nearly all of them,
/// are parsed directly from the text.
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

/// Applies to an old event every step that fits its version.
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
    // Stock steps write versions with three numbers; the log has two.
    if event.event_version.matches('.').count() == 2 {
        let two = event.event_version.strip_suffix(".0").map(str::to_owned);
        event.event_version = two.unwrap_or(event.event_version);
    }
    Ok(event)
}

/// An error of reading a stored event.
#[derive(Debug, thiserror::Error)]
#[error(
    "event {event_type} in version {event_version} can't be read: {reason}; is this program older than the one that wrote it?"
)]
pub struct UnreadableEvent {
    event_type: String,
    event_version: String,
    reason: String,
}

#[cfg(test)]
mod tests {
    use cqrs_es::persist::SemanticVersionEventUpcaster;
    use serde_json::json;

    use super::*;

    /// From 1.0 with coins, to 2.0 with an amount, to 2.1 with an amount and a currency.
    fn steps() -> Vec<Box<dyn EventUpcaster>> {
        let to_amount = |stored: Value| json!({"amount": stored["coins"]});
        let to_currency = |stored: Value| json!({"amount": stored["amount"], "currency": "coin"});
        vec![
            Box::new(SemanticVersionEventUpcaster::new("paid", "2.0", Box::new(to_amount))),
            Box::new(SemanticVersionEventUpcaster::new("paid", "2.1", Box::new(to_currency))),
        ]
    }

    #[test]
    fn an_old_event_takes_every_step_from_its_version_on() {
        for (version, stored) in [("1.0", r#"{"coins": 5}"#), ("2.0", r#"{"amount": 5}"#)] {
            let raised = raise(&steps(), "paid", version, stored).unwrap();
            assert_eq!(raised.payload, json!({"amount": 5, "currency": "coin"}), "{version}");
            assert_eq!(raised.event_version, "2.1");
        }
        let raised = raise(&steps()[..1], "paid", "1.0", r#"{"coins": 5}"#).unwrap();
        assert_eq!((raised.payload, raised.event_version.as_str()), (json!({"amount": 5}), "2.0"));
    }

    #[test]
    fn an_event_of_another_name_or_of_the_newest_version_takes_none() {
        for (name, version) in [("taken", "1.0"), ("paid", "2.1")] {
            let raised = raise(&steps(), name, version, r#"{"coins": 5}"#).unwrap();
            assert_eq!(
                (raised.payload, raised.event_version.as_str()),
                (json!({"coins": 5}), version)
            );
        }
        assert!(raise(&steps(), "paid", "1.0", "no JSON").is_err());
    }
}
