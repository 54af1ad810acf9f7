//! What is about the events of one item.

use std::sync::Arc;

use plaudit_domain::action::Action;

use super::by_hand;
use crate::batch::{Item, Origin, SourcePosition, Work};

/// What is about the events of one item: where it came from, and what caused it. A flat object of
/// strings, because stock cqrs-es reads nothing else.
pub(super) fn metadata(item: &Item, action: Option<&Action>) -> Arc<str> {
    let mut fields: Vec<(&str, String)> = Vec::with_capacity(8);
    if let Some(action) = action {
        fields.push(("action_source", action.source.clone()));
        fields.push(("action_id", action.id.clone()));
        fields.push(("action_type", action.kind.clone()));
    }
    if let Work::ByHand { command, .. } = &item.work {
        fields.push(("command", by_hand::name_of(command).to_owned()));
    }
    match &item.origin {
        Origin::Record(at) => add_source_position(&mut fields, at),
        Origin::Parked { id, from } => {
            fields.push(("parked_id", id.to_string()));
            if let Some(at) = from {
                add_source_position(&mut fields, at);
            }
        }
        Origin::Backfill { task, from } => {
            fields.push(("backfill", task.to_string()));
            if let Some(at) = from {
                add_source_position(&mut fields, at);
            }
        }
        Origin::Request(id) => fields.push(("request_id", id.to_string())),
        Origin::Sweeper => fields.push(("sweeper", "rewards".to_owned())),
        Origin::Follower => fields.push(("follower", "delivery".to_owned())),
    }
    let mut json = String::with_capacity(192);
    json.push('{');
    for (index, (name, value)) in fields.iter().enumerate() {
        if index > 0 {
            json.push(',');
        }
        json.push('"');
        json.push_str(name);
        json.push_str("\":");
        json.push_str(&serde_json::Value::String(value.clone()).to_string());
    }
    json.push('}');
    json.into()
}

fn add_source_position(fields: &mut Vec<(&str, String)>, at: &SourcePosition) {
    fields.push(("topic", at.topic.to_string()));
    fields.push(("partition", at.partition.to_string()));
    fields.push(("offset", at.offset.to_string()));
    if at.incarnation > 0 {
        fields.push(("incarnation", at.incarnation.to_string()));
    }
}
