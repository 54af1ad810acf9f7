//! Texts of tasks: choosing the reader's language, and filling in placeholders.

use std::collections::BTreeMap;

/// The text in `locale`, by its longest known prefix (`zh-Hant-TW`, `zh-Hant`, `zh`), else in the
/// default language, else the first one; `None` if there is no text at all.
pub fn in_locale<'t, T>(
    texts: &'t BTreeMap<String, T>,
    locale: Option<&str>,
    default_locale: &str,
) -> Option<&'t T> {
    let in_language = |tag: &str| {
        texts.iter().find(|(have, _)| have.eq_ignore_ascii_case(tag)).map(|(_, text)| text)
    };
    let prefixes = std::iter::successors(locale, |tag| Some(tag.rsplit_once('-')?.0));
    let mut matching = prefixes.chain([default_locale]).filter_map(in_language);
    matching.next().or_else(|| texts.values().next())
}

/// The names that may stand in braces in a title or a description.
pub const PLACEHOLDERS: [&str; 3] = ["target", "progress", "amount"];

/// The values of the placeholders in a text. With them, a changed target needs no changed text.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Placeholders {
    /// `{target}`: the `at` of the last milestone; in the title of a reward line, of its own
    /// milestone.
    pub target: i64,
    /// `{progress}`: the progress of the period that is shown.
    pub progress: i64,
    /// `{amount}`: the amount of a reward line; in a task's texts, of the first line of its last
    /// milestone. `None` for a task without rewards and for a rolled line: the placeholder stays as
    /// written.
    pub amount: Option<i64>,
}

impl Placeholders {
    /// The text with its placeholders filled in. Braces around anything else are left alone.
    #[must_use]
    pub fn fill(&self, text: &str) -> String {
        let mut filled = String::with_capacity(text.len());
        let mut rest = text;
        while let Some((before, name, after)) = next_in_braces(rest) {
            let value = match name {
                "target" => Some(self.target),
                "progress" => Some(self.progress),
                "amount" => self.amount,
                _ => None,
            };
            filled.push_str(before);
            match value {
                Some(value) => filled.push_str(&value.to_string()),
                None => filled.extend(["{", name, "}"]),
            }
            rest = after;
        }
        filled + rest
    }
}

/// Names in braces that are not placeholders, such as `targt` in `{targt}`. Texts may have braces
/// of their own, so only plain words are reported.
pub fn unknown_placeholders(text: &str) -> Vec<&str> {
    let mut unknown = Vec::new();
    let mut rest = text;
    while let Some((_, name, after)) = next_in_braces(rest) {
        let is_word =
            !name.is_empty() && name.bytes().all(|b| b.is_ascii_alphabetic() || b == b'_');
        if is_word && !PLACEHOLDERS.contains(&name) {
            unknown.push(name);
        }
        rest = after;
    }
    unknown
}

/// Splits a text at the first pair of braces that has no braces inside: before, inside and after
/// it.
fn next_in_braces(text: &str) -> Option<(&str, &str, &str)> {
    let mut from = 0;
    while let Some(open) = text[from..].find('{').map(|at| from + at) {
        let inside = &text[open + 1..];
        match inside.find(['{', '}']) {
            Some(end) if inside[end..].starts_with('}') => {
                return Some((&text[..open], &inside[..end], &inside[end + 1..]));
            }
            Some(end) => from = open + 1 + end,
            None => return None,
        }
    }
    None
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn placeholders_are_filled_in_and_everything_else_stays() {
        let shown = Placeholders { target: 100, progress: 30, amount: Some(5) };
        for (text, filled) in [
            ("Send {target} gifts", "Send 100 gifts"),
            ("{progress}/{target}: {amount}", "30/100: 5"),
            ("送出{target}个礼物", "送出100个礼物"),
            ("{{target}}", "{100}"),
            ("{other} { target } {} {target", "{other} { target } {} {target"),
            ("}{", "}{"),
            ("", ""),
        ] {
            assert_eq!(shown.fill(text), filled, "{text}");
        }
        let unpaid = Placeholders { amount: None, ..shown };
        assert_eq!(unpaid.fill("{amount} of {target}"), "{amount} of 100");
    }

    #[test]
    fn a_misspelt_placeholder_is_found() {
        assert_eq!(
            unknown_placeholders("{targt} {target} {1} {a b} {Amount}"),
            ["targt", "Amount"]
        );
        assert_eq!(unknown_placeholders("{ {x} {"), ["x"]);
    }
}
