//! Texts of others, as PostgreSQL can hold them.

use std::borrow::Cow;

/// Replaces NUL by U+FFFD: no value of the type `text` may contain it (error 22021). For texts that
/// come from payers, producers or stored events; JSON may contain NUL as an escape, so an event may
/// hold such a text.
pub fn without_nul(text: &str) -> Cow<'_, str> {
    if text.contains('\0') {
        Cow::Owned(text.replace('\0', "\u{fffd}"))
    } else {
        Cow::Borrowed(text)
    }
}
