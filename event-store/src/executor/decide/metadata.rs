//! The metadata of the events of one item.

use std::sync::Arc;

use plaudit_domain::action::Action;

use super::by_hand;
use crate::batch::{Item, Work};
use crate::metadata::Metadata;

/// The metadata of the events of one item as it is stored. `action`: the action of the item that they follow from.
pub(super) fn metadata(item: &Item, action: Option<&Action>) -> Arc<str> {
    let command = match &item.work {
        Work::ByHand { command, .. } => Some(by_hand::name_of(command)),
        _ => None,
    };
    Metadata::new(&item.origin, action, command).to_json()
}
