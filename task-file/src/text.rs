//! Texts by language.

use std::collections::BTreeMap;

use plaudit_domain::catalogue::definition::Text;
use plaudit_domain::catalogue::text::unknown_placeholders;

use crate::located::{Diagnostics, Located, excerpt};

// Screens have little room, and every view of a task carries these texts.
const TITLE_CHARS_MAX: usize = 500;
const DESCRIPTION_CHARS_MAX: usize = 10_000;
/// The longest tag of RFC 5646, section 4.4.1, that software must be able to hold.
const LOCALE_BYTES_MAX: usize = 35;

/// Reads the texts of a task. If the default locale is invalid, they need not have that language.
pub fn texts(
    place: &Located<'_>,
    default_locale: Option<&str>,
    diagnostics: &mut Diagnostics,
) -> Option<BTreeMap<String, Text>> {
    let texts = by_locale(place, diagnostics, text)?;
    if place.keys().next().is_none() {
        diagnostics.add(place, "must have a title in at least one language");
    }
    let default_locale = default_locale.filter(|_| !texts.is_empty())?;
    if !texts.keys().any(|tag| tag.eq_ignore_ascii_case(default_locale)) {
        let shown = texts.keys().next().map_or("", String::as_str);
        let message = format!(
            "has no title in the default locale, {default_locale}: readers of other languages get \
             {shown} (a file or a task may set another `default_locale`)"
        );
        diagnostics.warn(place, message);
    }
    Some(texts)
}

/// Reads one line of text in each language.
pub fn line_by_locale(
    place: &Located<'_>,
    diagnostics: &mut Diagnostics,
) -> Option<BTreeMap<String, String>> {
    by_locale(place, diagnostics, |place, diagnostics| {
        warn_of_placeholders(place, diagnostics);
        place.line_of_text(TITLE_CHARS_MAX, diagnostics)
    })
}

fn by_locale<T>(
    place: &Located<'_>,
    diagnostics: &mut Diagnostics,
    read: impl Fn(&Located<'_>, &mut Diagnostics) -> Option<T>,
) -> Option<BTreeMap<String, T>> {
    let mut by_locale: BTreeMap<String, T> = BTreeMap::new();
    for (tag, key, value) in place.entries(diagnostics)? {
        if let Err(message) = check_locale(tag) {
            diagnostics.add_at(key, &value.path, message);
        }
        if let Some(other) = by_locale.keys().find(|other| other.eq_ignore_ascii_case(tag)) {
            diagnostics.add_at(key, &value.path, format_args!("is the same language as {other}"));
        }
        if let Some(text) = read(&value, diagnostics) {
            by_locale.insert(tag.to_owned(), text);
        }
    }
    Some(by_locale)
}

fn text(place: &Located<'_>, diagnostics: &mut Diagnostics) -> Option<Text> {
    let fields = place.fields(&["title", "description"], diagnostics)?;
    let title = fields.require("title", diagnostics);
    let title = title.and_then(|place| {
        warn_of_placeholders(place, diagnostics);
        place.line_of_text(TITLE_CHARS_MAX, diagnostics)
    });
    let description = fields.read_or("description", String::new(), |place| {
        warn_of_placeholders(place, diagnostics);
        let text = place.text(diagnostics)?;
        let got = text.chars().count();
        if got > DESCRIPTION_CHARS_MAX {
            diagnostics.add(
                place,
                format_args!("must have at most {DESCRIPTION_CHARS_MAX} characters, got {got}"),
            );
        }
        Some(text.to_owned())
    });
    Some(Text { title: title?, description: description? })
}

fn warn_of_placeholders(place: &Located<'_>, diagnostics: &mut Diagnostics) {
    let crate::node::Value::Text(text) = &place.node.value else { return };
    for name in unknown_placeholders(text) {
        let known = plaudit_domain::catalogue::text::PLACEHOLDERS;
        let hint = crate::suggestion::did_you_mean(name, &known);
        let name = excerpt(name);
        diagnostics.warn(place, format_args!("shows {{{name}}} as it is: not a placeholder{hint}"));
    }
}

/// Reads a language tag.
pub fn locale<'n>(place: &Located<'n>, diagnostics: &mut Diagnostics) -> Option<&'n str> {
    let tag = place.text(diagnostics)?;
    check_locale(tag).map_err(|message| diagnostics.add(place, message)).ok()?;
    Some(tag)
}

/// Checks the shape of a language tag, not whether the language exists.
///
/// # Source
///
/// BCP 47 (RFC 5646, section 2.1): subtags of 1 to 8 letters and digits, the first of 2 to 8 letters.
fn check_locale(tag: &str) -> Result<(), String> {
    let mut subtags = tag.split('-');
    let language = subtags.next().unwrap_or_default();
    let is_language =
        (2..=8).contains(&language.len()) && language.bytes().all(|b| b.is_ascii_alphabetic());
    let is_subtag =
        |s: &str| (1..=8).contains(&s.len()) && s.bytes().all(|b| b.is_ascii_alphanumeric());
    if is_language && tag.len() <= LOCALE_BYTES_MAX && subtags.all(is_subtag) {
        return Ok(());
    }
    Err(format!(
        "must be a language tag of BCP 47, such as en, zh or pt-BR, got {:?}",
        excerpt(tag)
    ))
}
