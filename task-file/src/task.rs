//! The fields of a task.

use std::collections::BTreeMap;

use jiff::Timestamp;
use plaudit_domain::action;
use plaudit_domain::calendar::{Cadence, Cron, DayStart, zone, zone_names};
use plaudit_domain::catalogue::definition::{
    Audience, Claim, Kind, OnNewVersion, TaskDefinition, Text, WhileLocked, Window, ZoneRule,
};
use plaudit_domain::ids::TaskId;

use crate::budgets::Declared;
use crate::located::{Diagnostics, Fields, Located};
use crate::objective::Counted;
use crate::text::{locale, texts};
use crate::{audience, dependencies, meta, milestones, objective, rewards, streak, suggestion};

const KEYS: [&str; 22] = [
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
    "audience",
    "meta",
    "backfill",
];

const CATEGORY_CHARS_MAX: usize = 100;
const NAVIGATE_CHARS_MAX: usize = 2_000;

/// A task as far as it could be read. Checks across several tasks include it even if it has
/// diagnostics.
pub struct Draft<'n> {
    /// The id and its position.
    pub id: Option<(TaskId, Located<'n>)>,
    /// The tasks that it requires or counts, and their places.
    pub depends_on: Vec<(TaskId, Located<'n>)>,
    /// Line and column of the task (the empty path) and of everything below it, by path.
    pub places: BTreeMap<String, (usize, usize)>,
    /// Absent if anything is missing or wrong.
    pub definition: Option<TaskDefinition>,
}

impl<'n> Draft<'n> {
    /// Reads one task. `default_locale` is that of the file. If it is invalid, the texts need not
    /// have that language.
    pub fn read(
        place: &Located<'n>,
        default_locale: Option<&'n str>,
        declared: &Declared<'_>,
        diagnostics: &mut Diagnostics,
    ) -> Self {
        let Some(fields) = place.fields(&KEYS, diagnostics) else {
            let places = BTreeMap::new();
            return Self { id: None, depends_on: Vec::new(), places, definition: None };
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
        let kind = fields.require("kind", diagnostics);
        let kinds: Vec<_> = Kind::all().map(|kind| (kind.name(), kind)).collect();
        let kind = kind.and_then(|place| place.choice(&kinds, diagnostics));
        let counted = objective::read(&fields, kind, own_id, diagnostics);
        let mut depends_on = requires.clone().unwrap_or_default();
        depends_on.extend(counted.iter().flat_map(|counted| counted.completions_of.clone()));
        let parts = Parts { id: own_id, kind, requires, counted, default_locale };
        let definition = definition(&fields, parts, declared, diagnostics);
        Self { id, depends_on, places: places(place), definition }
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

/// Reads the id of a task.
pub fn task_id(place: &Located<'_>, diagnostics: &mut Diagnostics) -> Option<TaskId> {
    let text = place.text(diagnostics)?;
    text.parse().map_err(|e| diagnostics.add(place, e)).ok()
}

/// The fields of a task that are read first, because other fields depend on them.
struct Parts<'d, 'n> {
    id: Option<&'d TaskId>,
    kind: Option<Kind>,
    requires: Option<Vec<(TaskId, Located<'n>)>>,
    counted: Option<Counted<'n>>,
    default_locale: Option<&'n str>,
}

/// Reads the other fields. A missing or invalid one does not stop the reading, so that each field
/// reports its diagnostics.
fn definition(
    fields: &Fields<'_>,
    parts: Parts<'_, '_>,
    declared: &Declared<'_>,
    diagnostics: &mut Diagnostics,
) -> Option<TaskDefinition> {
    let Parts { id, kind, requires, counted, default_locale } = parts;
    // A task without text shows its id: enough to try one out.
    let locale = default_locale.unwrap_or(crate::DEFAULT_LOCALE).to_owned();
    let title = id.map(ToString::to_string).unwrap_or_default();
    let untitled = BTreeMap::from([(locale.clone(), Text { title, description: String::new() })]);
    let text = fields.read_or("text", untitled, |place| texts(place, default_locale, diagnostics));
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
    let course = milestones::read(fields, kind, counted.as_ref(), cycle, declared, diagnostics);
    if let (Some(counted), Some((_, target))) = (&counted, &course) {
        counted.refuse_beyond_memory(*target, diagnostics);
    }
    if let (Some(counted), Some(every)) = (&counted, every) {
        counted.refuse_too_many_open(every, diagnostics);
    }
    let claim =
        fields.read_or("claim", Claim::default(), |place| rewards::claim(place, diagnostics));
    let audience =
        fields.read_or("audience", Audience::default(), |place| audience::read(place, diagnostics));
    let meta = meta::read(fields, diagnostics);
    let backfill =
        fields.read_or("backfill", None, |place| audience::backfill(place, diagnostics).map(Some));
    if let Some(place) = fields.get("backfill")
        && counted.as_ref().is_some_and(|counted| !counted.completions_of.is_empty())
    {
        let message = "has no meaning with `completions_of`, which counts no actions";
        diagnostics.add(place, message);
    }
    let (milestones, target) = course?;
    let text = text?;
    // The language as the texts spell it.
    let spelling = text.keys().find(|tag| tag.eq_ignore_ascii_case(&locale)).cloned();
    Some(TaskDefinition {
        id: id?.clone(),
        kind: kind?,
        text,
        default_locale: spelling.unwrap_or(locale),
        category: category?,
        order: order?,
        navigate: navigate?,
        every: every?,
        zone: zone?,
        day_starts_at: day_starts_at?,
        window: window?,
        requires: requires?.into_iter().map(|(id, _)| id).collect(),
        while_locked: while_locked?,
        objective: counted?.into_objective(target)?,
        milestones,
        claim: claim?,
        on_new_version: on_new_version?,
        streak: streak.ok()?,
        audience: audience?,
        meta: meta?,
        backfill: backfill?,
    })
}

/// Reads `every`: required for tasks that start over, forbidden for those that do not.
fn cadence(
    fields: &Fields<'_>,
    kind: Option<Kind>,
    diagnostics: &mut Diagnostics,
) -> Option<Cadence> {
    if kind.is_some_and(|kind| !kind.shape().starts_over) {
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
    recurrence(place, fields.get("day_starts_at"), diagnostics)
}

/// Reads a cadence. Cron can't be combined with a start of the day.
pub fn recurrence(
    place: &Located<'_>,
    day_starts_at: Option<&Located<'_>>,
    diagnostics: &mut Diagnostics,
) -> Option<Cadence> {
    let words = [("day", Cadence::Day), ("week", Cadence::Week), ("month", Cadence::Month)];
    if !matches!(place.node.value, crate::node::Value::Mapping(_)) {
        return place.choice(&words, diagnostics);
    }
    let schedule = place.fields(&["cron"], diagnostics)?;
    let place = schedule.require("cron", diagnostics)?;
    let cron = place.text(diagnostics)?.parse::<Cron>();
    let cron = cron.map_err(|e| diagnostics.add(place, e)).ok()?;
    if let Some(place) = day_starts_at {
        diagnostics.add(place, "has no meaning with `every: { cron: … }`: write the hour into it");
    }
    Some(Cadence::Cron(cron))
}

/// Reads the zone whose days something follows.
pub fn zone_rule(place: &Located<'_>, diagnostics: &mut Diagnostics) -> Option<ZoneRule> {
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

/// Reads the local time at which days begin.
pub fn day_start(place: &Located<'_>, diagnostics: &mut Diagnostics) -> Option<DayStart> {
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

/// Reads an instant. The last day of the year 9999, by which people mean "for ever", is beyond what
/// a timestamp can hold and beyond every action. It is read as the latest timestamp.
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
