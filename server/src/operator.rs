//! Who uses the command line: recorded with every change.

use plaudit_event_store::catalogue_store::Author;
use plaudit_release::Operator;

use crate::failure::Failure;

/// The author of a change, with a checked reason where one is given.
pub fn author(reason: Option<&str>) -> Result<Author, Failure> {
    let reason = reason.map(Operator::checked_reason).transpose()?;
    Ok(Author { by: name(), reason })
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
