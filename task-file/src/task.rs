//! The fields of a task.

use std::collections::BTreeMap;

use jiff::Timestamp;
use plaudit_domain::action;
use plaudit_domain::calendar::{Cadence, Cron, DayStart, zone, zone_names};
use plaudit_domain::catalogue::definition::{
    Claim, Kind, OnNewVersion, TaskDefinition, Text, WhileLocked, Window, ZoneRule,
};
use plaudit_domain::ids::TaskId;

use crate::located::{Diagnostics, Fields, Located};
use crate::{dependencies, milestones, objective, streak, suggestion};

const KEYS: [&str; 19] = [
    "id",
    "kind",
    "default_locale",
    "text",
    "category",
    "order",
    "navigate",
    "every",
    "zone",
    "day_starts_at",
    "window",
    "requires",
    "while_locked",
    "objective",
    "rewards",
    "milestones",
    "claim",
    "on_new_version",
    "streak",
];

const KINDS: [(&str, Kind); 3] =
    [("ordinary", Kind::Ordinary), ("periodic", Kind::Periodic), ("continuous", Kind::Continuous)];

// Screens have little room, and every view of a task carries these texts.
const TITLE_CHARS_MAX: usize = 500;
const DESCRIPTION_CHARS_MAX: usize = 10_000;
const CATEGORY_CHARS_MAX: usize = 100;
const NAVIGATE_CHARS_MAX: usize = 2_000;
/// The longest tag of RFC 5646, section 4.4.1, that software must be able to hold.
const LOCALE_BYTES_MAX: usize = 35;

/// A task as far as it could be read. What concerns several tasks is checked even where one of
/// them has diagnostics.
pub struct Draft<'n> {
    /// The id and where it stands.
    pub id: Option<(TaskId, Located<'n>)>,
    /// The prerequisites and where they stand.
    pub requires: Vec<(TaskId, Located<'n>)>,
    /// Line and column of the task (the empty path) and of everything below it, by path.
    pub places: BTreeMap<String, (usize, usize)>,
    /// Absent if anything is missing or wrong.
    pub definition: Option<TaskDefinition>,
}

impl<'n> Draft<'n> {
    /// Reads one task. `default_locale` is the file's; if it is invalid, the texts are not searched
    /// for it.
    pub fn read(
        place: &Located<'n>,
        default_locale: Option<&'n str>,
        diagnostics: &mut Diagnostics,
    ) -> Self {
        let Some(fields) = place.fields(&KEYS, diagnostics) else {
            let places = BTreeMap::new();
            return Self { id: None, requires: Vec::new(), places, definition: None };
        };
        let id = fields.require("id", diagnostics).cloned();
        let id = id.and_then(|place| Some((task_id(&place, diagnostics)?, place)));
        let own_id = id.as_ref().map(|(id, _)| id);
        let requires = fields.read_or("requires", Vec::new(), |place| {
            dependencies::read(place, own_id, diagnostics)
        });
        let default_locale = match fields.get("default_locale") {
            Some(place) => locale(place, diagnostics),
            None => default_locale,
        };
        let definition =
            definition(&fields, own_id, requires.as_deref(), default_locale, diagnostics);
        let requires = requires.unwrap_or_default();
        let places = places(place);
        Self { id, requires, places, definition }
    }
}

/// The line and column of everything below a task.
fn places(task: &Located<'_>) -> BTreeMap<String, (usize, usize)> {
    let mut places = BTreeMap::new();
    task.visit(&mut |place| {
        let path = place.path.strip_prefix(&task.path).unwrap_or_default();
        let path = path.strip_prefix('.').unwrap_or(path).to_owned();
        places.insert(path, (place.node.line, place.node.column));
    });
    places
}

/// Reads the name of a task.
pub fn task_id(place: &Located<'_>, diagnostics: &mut Diagnostics) -> Option<TaskId> {
    let text = place.text(diagnostics)?;
    text.parse().map_err(|e| diagnostics.add(place, e)).ok()
}

/// Every field is read before any of them is missed, so that each reports its diagnostics.
fn definition(
    fields: &Fields<'_>,
    id: Option<&TaskId>,
    requires: Option<&[(TaskId, Located<'_>)]>,
    default_locale: Option<&str>,
    diagnostics: &mut Diagnostics,
) -> Option<TaskDefinition> {
    let kind =
        fields.require("kind", diagnostics).and_then(|place| place.choice(&KINDS, diagnostics));
    // A task without text shows its id: enough to try one out.
    let locale = default_locale.unwrap_or("en").to_owned();
    let title = id.map(ToString::to_string).unwrap_or_default();
    let untitled = BTreeMap::from([(locale.clone(), Text { title, description: String::new() })]);
    let text = fields
        .read_or("text", (untitled, locale), |place| texts(place, default_locale, diagnostics));
    let category = fields.read_or("category", None, |place| {
        place.line_of_text(CATEGORY_CHARS_MAX, diagnostics).map(Some)
    });
    let navigate = fields.read_or("navigate", None, |place| {
        place.line_of_text(NAVIGATE_CHARS_MAX, diagnostics).map(Some)
    });
    let order = fields.read_or("order", 0, |place| place.integer(diagnostics));
    let every = cadence(fields, kind, diagnostics);
    let zone = fields.read_or("zone", ZoneRule::default(), |place| zone_rule(place, diagnostics));
    let day_starts_at =
        fields.read_or("day_starts_at", DayStart::default(), |place| day_start(place, diagnostics));
    let window = fields.read_or("window", Window::default(), |place| window(place, diagnostics));
    let while_locked = fields.read_or("while_locked", WhileLocked::Skip, |place| {
        place.choice(&[("skip", WhileLocked::Skip), ("count", WhileLocked::Count)], diagnostics)
    });
    let on_new_version = fields
        .read_or("on_new_version", OnNewVersion::Keep, |place| on_new_version(place, diagnostics));
    let streak = streak::read(fields, kind, diagnostics);
    let cycle = streak.as_ref().ok().and_then(|rules| rules.as_ref()?.cycle);
    let counted = objective::read(fields, kind, diagnostics);
    let course = milestones::read(fields, kind, counted.as_ref(), cycle, diagnostics);
    let claim =
        fields.read_or("claim", Claim::default(), |place| milestones::claim(place, diagnostics));
    let (text, default_locale) = text?;
    let (milestones, target) = course?;
    Some(TaskDefinition {
        id: id?.clone(),
        kind: kind?,
        text,
        default_locale,
        category: category?,
        order: order?,
        navigate: navigate?,
        every: every?,
        zone: zone?,
        day_starts_at: day_starts_at?,
        window: window?,
        requires: requires?.iter().map(|(id, _)| id.clone()).collect(),
        while_locked: while_locked?,
        objective: counted?.into_objective(target)?,
        milestones,
        claim: claim?,
        on_new_version: on_new_version?,
        streak: streak.ok()?,
    })
}

/// The texts by language, and the spelling under which the default language is among them.
fn texts(
    place: &Located<'_>,
    default_locale: Option<&str>,
    diagnostics: &mut Diagnostics,
) -> Option<(BTreeMap<String, Text>, String)> {
    let entries = place.entries(diagnostics)?;
    let errors_before = diagnostics.0.len();
    let mut texts: BTreeMap<String, Text> = BTreeMap::new();
    for (tag, key, value) in entries {
        if let Err(message) = check_locale(tag) {
            diagnostics.add_at(key, &value.path, message);
        }
        if let Some(other) = texts.keys().find(|other| other.eq_ignore_ascii_case(tag)) {
            diagnostics.add_at(key, &value.path, format_args!("is the same language as {other}"));
        }
        if let Some(text) = text(&value, diagnostics) {
            texts.insert(tag.to_owned(), text);
        }
    }
    let default_locale = default_locale?;
    let spelling = texts.keys().find(|tag| tag.eq_ignore_ascii_case(default_locale)).cloned();
    if spelling.is_none() && diagnostics.0.len() == errors_before {
        let message = "must have a title in the default locale";
        diagnostics.add(
            place,
            format_args!(
                "{message}, {default_locale} (a file or a task may set another `default_locale`)"
            ),
        );
    }
    spelling.map(|spelling| (texts, spelling))
}

fn text(place: &Located<'_>, diagnostics: &mut Diagnostics) -> Option<Text> {
    let fields = place.fields(&["title", "description"], diagnostics)?;
    let title = fields.require("title", diagnostics);
    let title = title.and_then(|place| place.line_of_text(TITLE_CHARS_MAX, diagnostics));
    let description = fields.read_or("description", String::new(), |place| {
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
        crate::located::excerpt(tag)
    ))
}

/// Required for tasks that start over, forbidden for those that do not.
fn cadence(
    fields: &Fields<'_>,
    kind: Option<Kind>,
    diagnostics: &mut Diagnostics,
) -> Option<Cadence> {
    let words = [("day", Cadence::Day), ("week", Cadence::Week), ("month", Cadence::Month)];
    if kind == Some(Kind::Ordinary) {
        if let Some(place) = fields.get("every") {
            diagnostics.add(
                place,
                "an ordinary task is done once and never starts over; periodic ones have `every`",
            );
        }
        return Some(Cadence::Once);
    }
    if kind.is_none() && fields.get("every").is_none() {
        return None; // only a known kind needs it
    }
    let place = fields.require("every", diagnostics)?;
    if !matches!(place.node.value, crate::node::Value::Mapping(_)) {
        return place.choice(&words, diagnostics);
    }
    let schedule = place.fields(&["cron"], diagnostics)?;
    let place = schedule.require("cron", diagnostics)?;
    let cron = place.text(diagnostics)?.parse::<Cron>();
    let cron = cron.map_err(|e| diagnostics.add(place, e)).ok()?;
    if let Some(place) = fields.get("day_starts_at") {
        diagnostics.add(place, "has no meaning with `every: { cron: … }`: write the hour into it");
    }
    Some(Cadence::Cron(cron))
}

fn zone_rule(place: &Located<'_>, diagnostics: &mut Diagnostics) -> Option<ZoneRule> {
    let name = place.text(diagnostics)?;
    if name == "user" {
        return Some(ZoneRule::User);
    }
    if let Err(error) = zone(name) {
        let names: Vec<String> = zone_names().chain(["user".to_owned()]).collect();
        let names: Vec<&str> = names.iter().map(String::as_str).collect();
        let hint = suggestion::did_you_mean(name, &names);
        diagnostics.add(place, format_args!("must be user or a zone: {error}{hint}"));
        return None;
    }
    Some(ZoneRule::Fixed(name.to_owned()))
}

fn day_start(place: &Located<'_>, diagnostics: &mut Diagnostics) -> Option<DayStart> {
    let text = place.text(diagnostics)?;
    text.to_owned().try_into().map_err(|e| diagnostics.add(place, e)).ok()
}

fn window(place: &Located<'_>, diagnostics: &mut Diagnostics) -> Option<Window> {
    let fields = place.fields(&["from", "until"], diagnostics)?;
    let mut bound =
        |name| fields.read_or(name, None, |place| instant(place, diagnostics).map(Some));
    let (from, until) = (bound("from")?, bound("until")?);
    if let (Some(from), Some(until), Some(place)) = (from, until, fields.get("until"))
        && from >= until
    {
        diagnostics.add(place, "must be later than `from`: the window contains no instant");
    }
    Some(Window { from, until })
}

/// Reads an instant. The last day of the year 9999, by which people mean "for ever", lies beyond
/// what a timestamp can hold, and beyond every action: it is the latest timestamp.
pub fn instant(place: &Located<'_>, diagnostics: &mut Diagnostics) -> Option<Timestamp> {
    let text = place.text(diagnostics)?;
    let is_beyond = || {
        let year_before = text.strip_prefix("9999-12-3").map(|rest| format!("9998-12-3{rest}"));
        year_before.is_some_and(|text| action::instant(&text).is_ok())
    };
    match action::instant(text) {
        Ok(at) => Some(at),
        Err(_) if is_beyond() => Some(Timestamp::MAX),
        Err(error) => {
            diagnostics.add(place, error);
            None
        }
    }
}

fn on_new_version(place: &Located<'_>, diagnostics: &mut Diagnostics) -> Option<OnNewVersion> {
    let words = [
        ("keep", OnNewVersion::Keep),
        ("adopt", OnNewVersion::Adopt),
        ("adopt_if_easier", OnNewVersion::AdoptIfEasier),
    ];
    place.choice(&words, diagnostics)
}
