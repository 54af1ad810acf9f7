//! The metadata of an item's events.

use std::sync::Arc;

use plaudit_domain::action::Action;

use super::by_hand;
use crate::batch::{Item, Work};
use crate::metadata::Metadata;

/// Builds the metadata of an item's events in stored form. `action` is the action that they follow
/// from, if there is one.
pub(super) fn metadata(item: &Item, action: Option<&Action>) -> Arc<str> {
    let command = match &item.work {
        Work::ByHand(change) => Some(by_hand::name_of(&change.command)),
        _ => None,
    };
    Metadata::new(&item.origin, action, command).to_json()
}
