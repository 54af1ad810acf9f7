//! Secrets in the configuration, which are never shown.

use serde::de::{Deserialize as _, Deserializer, Error};
use serde_json::Value;

/// Reads a list of strings. The error quotes nothing of what was written instead.
pub fn list<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Vec<String>, D::Error> {
    let invalid = || D::Error::custom("`secrets` is a list of texts, such as [\"whsec_…\"]");
    let Value::Array(list) = Value::deserialize(deserializer)? else { return Err(invalid()) };
    let text = |value: &Value| value.as_str().map(str::to_owned).ok_or_else(invalid);
    list.iter().map(text).collect()
}

/// Minimum length after the prefix for a text to count as a secret.
const SECRET_MIN: usize = 8;

/// Replaces each secret in a text by an ellipsis.
pub fn hide(text: &str) -> String {
    const PREFIX: &str = "whsec_";
    let is_part = |c: char| c.is_ascii_alphanumeric() || "+/=-_".contains(c);
    let mut pieces = text.split(PREFIX);
    let mut shown = pieces.next().unwrap_or_default().to_owned();
    for piece in pieces {
        let rest = piece.trim_start_matches(is_part);
        let is_secret = piece.len() - rest.len() >= SECRET_MIN;
        shown.push_str(PREFIX);
        shown.push_str(if is_secret { "…" } else { &piece[..piece.len() - rest.len()] });
        shown.push_str(rest);
    }
    shown
}
