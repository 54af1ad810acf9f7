//! Records that must be parked.

use jiff::{SignedDuration, Timestamp};
use serde_json::{Value, json};

use super::{Draft, Meaning};
use crate::soak::action::Action;
use crate::soak::rng::Rng;

/// Spoils an action in one of several ways.
pub fn of(action: &Action, rng: &mut Rng) -> Draft {
    let mut envelope = action.envelope();
    let whole = action.structured();
    let value = match rng.below(12) {
        0 => Some(whole[..whole.len() / 2].to_vec()),
        1 => Some(b"\xff\xfe not even text".to_vec()),
        2 => Some(Vec::new()),
        3 => None,
        4 => Some(without(envelope, "time")),
        5 => Some(without(envelope, "subject")),
        6 => Some(with(envelope, "data", json!([1, 2, 3]))),
        7 => Some(with(envelope, "data", json!("coins"))),
        8 => Some(with(envelope, "specversion", json!("0.3"))),
        9 => Some(with(envelope, "time", json!("2026-11-20T10:59:60Z"))),
        10 => {
            envelope["type"] = json!("plaudit.user.updated");
            Some(with(envelope, "data", json!({ "zone": "Mars/Olympus_Mons" })))
        }
        _ => {
            // Further ahead than the tolerance of five minutes until the soak is over.
            let future = Timestamp::now() + SignedDuration::from_hours(3);
            Some(with(envelope, "time", json!(future.to_string())))
        }
    };
    let meaning = Meaning::Parked(value.clone().unwrap_or_default());
    Draft { user: action.user, value, headers: None, meaning }
}

fn with(mut envelope: Value, name: &str, value: Value) -> Vec<u8> {
    envelope[name] = value;
    envelope.to_string().into_bytes()
}

fn without(mut envelope: Value, name: &str) -> Vec<u8> {
    if let Value::Object(attributes) = &mut envelope {
        attributes.remove(name);
    }
    envelope.to_string().into_bytes()
}
