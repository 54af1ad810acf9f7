//! The user of the command line, who is recorded with every change.

use plaudit_event_store::catalogue_store::Author;
use plaudit_event_store::operations::NO_REASON_GIVEN;
use plaudit_release::Operator;

use crate::failure::Failure;

/// The author of a change with an optional reason, which is checked.
pub fn author(reason: Option<&str>) -> Result<Author, Failure> {
    let reason = reason.map(Operator::checked_reason).transpose()?;
    Ok(Author { by: name(), reason: Some(or_none_given(reason)) })
}

/// The reason to record, or a text that none was given.
pub fn or_none_given(reason: Option<String>) -> String {
    reason.unwrap_or_else(|| NO_REASON_GIVEN.to_owned())
}

/// The user of the operating system, such as `os:ann`.
pub fn name() -> String {
    let named = ["SUDO_USER", "USER", "LOGNAME"].into_iter().find_map(|variable| {
        let value = std::env::var(variable).ok()?;
        let fits = (1..=100).contains(&value.len()) && !value.chars().any(char::is_control);
        fits.then_some(value)
    });
    format!("os:{}", named.unwrap_or_else(|| "unknown".to_owned()))
}
