//! The limit on a user's attributes.

use serde_json::{Map, Value};

use crate::user_tasks::evolve::merge_attributes;

/// Limit on the attributes of a user as JSON, in bytes. They are read and written with every action
/// of the user, and producers may report new ones for ever.
pub const ATTRIBUTES_BYTES_MAX: usize = 16 * 1024;

/// Checks that the known and the reported attributes together stay within the limit.
pub(super) fn attributes_fit(
    known: &Map<String, Value>,
    reported: &Map<String, Value>,
) -> Result<(), String> {
    let mut together = known.clone();
    merge_attributes(&mut together, reported);
    let bytes = serde_json::to_vec(&together).map_or(0, |json| json.len());
    if reported.is_empty() || bytes <= ATTRIBUTES_BYTES_MAX {
        return Ok(());
    }
    Err(format!("the attributes would take {bytes} bytes, at most {ATTRIBUTES_BYTES_MAX} are kept"))
}
