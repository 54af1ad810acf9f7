//! Characters that JSON escapes as two halves.
//!
//! JSON writes a character beyond U+FFFF as two UTF-16 halves, `\ud83c\udf81`, and Python's `json`
//! does so with every emoji. YAML, which is otherwise a superset of JSON, refuses each half.

use std::borrow::Cow;

use serde::de::IgnoredAny;

/// `\uXXXX`
const ESCAPE_CHARS: usize = 6;

/// A text whose pairs of escapes are replaced by the characters that they mean.
pub struct Joined<'t> {
    /// The text.
    pub text: Cow<'t, str>,
    /// Line and column of each such character in `text`, from 1, ascending.
    replaced: Vec<(usize, usize)>,
}

impl Joined<'_> {
    /// Converts a position in `text` to the column in the original text.
    pub fn original_column(&self, line: usize, column: usize) -> usize {
        let before = |at| self.replaced.partition_point(|place| *place < at);
        let on_this_line = before((line, column)) - before((line, 0));
        column + on_this_line * (2 * ESCAPE_CHARS - 1)
    }
}

/// Replaces the pairs of a JSON text. A text that is YAML but not JSON is left alone: there, a
/// backslash is an escape in some strings and itself in others.
pub fn join(text: &str) -> Joined<'_> {
    let is_json = || serde_json::from_str::<IgnoredAny>(text).is_ok();
    if !text.trim_start().starts_with(['{', '[']) || !text.contains("\\u") || !is_json() {
        return Joined { text: Cow::Borrowed(text), replaced: Vec::new() };
    }
    let mut joined = String::with_capacity(text.len());
    let mut replaced = Vec::new();
    let (mut line, mut column) = (1, 1);
    let mut rest = text;
    while let Some(c) = rest.chars().next() {
        let (pushed, taken) = match (c, pair_at(rest)) {
            (_, Some(whole)) => {
                replaced.push((line, column));
                joined.push(whole);
                (1, 2 * ESCAPE_CHARS)
            }
            // The character after a backslash does not begin another escape.
            ('\\', None) => {
                let taken = c.len_utf8() + rest[1..].chars().next().map_or(0, char::len_utf8);
                joined.push_str(&rest[..taken]);
                (rest[..taken].chars().count(), taken)
            }
            _ => {
                joined.push(c);
                (1, c.len_utf8())
            }
        };
        let ends_line = c == '\n' || (c == '\r' && !rest.starts_with("\r\n"));
        (line, column) = if ends_line { (line + 1, 1) } else { (line, column + pushed) };
        rest = &rest[taken..];
    }
    Joined { text: Cow::Owned(joined), replaced }
}

/// Decodes the pair of escapes at the beginning of `text`.
fn pair_at(text: &str) -> Option<char> {
    let half = |escape: &str| u16::from_str_radix(escape.strip_prefix("\\u")?, 16).ok();
    let halves =
        [half(text.get(..ESCAPE_CHARS)?)?, half(text.get(ESCAPE_CHARS..2 * ESCAPE_CHARS)?)?];
    let mut decoded = char::decode_utf16(halves);
    // Two escapes that are a character each stay: YAML knows them as well.
    decoded.next()?.ok().filter(|_| decoded.next().is_none())
}
