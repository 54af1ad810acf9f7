//! Fields that stored JSON leaves out, and null in their place: stock postgres-es may append it.

use serde::{Deserialize, Deserializer};

/// True for the default of an amount, which is not written.
#[expect(clippy::trivially_copy_pass_by_ref, reason = "serde calls it by reference")]
pub(crate) fn is_zero(number: &i64) -> bool {
    *number == 0
}

/// Reads null as the default of the field's type, as if the field were left out.
pub(crate) fn default_if_null<'de, D, T>(from: D) -> Result<T, D::Error>
where
    D: Deserializer<'de>,
    T: Deserialize<'de> + Default,
{
    Ok(Option::deserialize(from)?.unwrap_or_default())
}
