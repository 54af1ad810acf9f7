//! The rules of a streak.

use plaudit_domain::catalogue::definition::{FreezeUse, Freezes, Kind, MakeUp, Pause, StreakRules};

use crate::located::{Diagnostics, Fields, Invalid, Located};
use crate::objective::action_type;
use crate::task::instant;

/// The most periods that may be missed, frozen or looked back on: more than a year of days. Each of
/// them is checked one by one.
const PERIODS_MAX: i64 = 400;

/// The most pauses of one task.
const PAUSES_MAX: usize = 100;

/// Reads the rules of a streak; `None` for tasks without a streak.
pub fn read(
    task: &Fields<'_>,
    kind: Option<Kind>,
    diagnostics: &mut Diagnostics,
) -> Result<Option<StreakRules>, Invalid> {
    let place = task.get("streak");
    let rules = place.map_or(Some(StreakRules::default()), |place| rules(place, diagnostics));
    match kind {
        Some(kind) if kind.shape().counts_streaks => rules.map(Some).ok_or(Invalid),
        Some(_) => {
            if let Some(place) = place {
                diagnostics.add(place, "only continuous tasks have a streak");
            }
            Ok(None)
        }
        None => Err(Invalid),
    }
}

fn rules(place: &Located<'_>, diagnostics: &mut Diagnostics) -> Option<StreakRules> {
    let fields =
        place.fields(&["cycle", "grace_periods", "freezes", "make_up", "pauses"], diagnostics)?;
    let cycle = fields.read_or("cycle", None, |place| place.positive(diagnostics).map(Some));
    let grace_periods =
        fields.read_or("grace_periods", 0, |place| place.integer_in(0, PERIODS_MAX, diagnostics));
    let freezes =
        fields.read_or("freezes", Freezes::default(), |place| freezes(place, diagnostics));
    let make_up = fields.read_or("make_up", None, |place| make_up(place, diagnostics).map(Some));
    let pauses = fields.read_or("pauses", Vec::new(), |place| pauses(place, diagnostics));
    Some(StreakRules {
        cycle: cycle?,
        grace_periods: grace_periods?,
        freezes: freezes?,
        make_up: make_up?,
        pauses: pauses?,
    })
}

fn freezes(place: &Located<'_>, diagnostics: &mut Diagnostics) -> Option<Freezes> {
    let fields = place.fields(&["initial", "max", "use"], diagnostics)?;
    let mut number =
        |name| fields.read_or(name, 0, |place| place.integer_in(0, PERIODS_MAX, diagnostics));
    let (initial, max) = (number("initial"), number("max"));
    let words = [("automatic", FreezeUse::Automatic), ("manual", FreezeUse::Manual)];
    let used =
        fields.read_or("use", FreezeUse::Automatic, |place| place.choice(&words, diagnostics));
    let (initial, max) = (initial?, max?);
    if let Some(place) = fields.get("initial").filter(|_| initial > max) {
        diagnostics.add(place, format_args!("is {initial}, but a user has at most `max`, {max}"));
    }
    Some(Freezes { initial, max, used: used? })
}

fn make_up(place: &Located<'_>, diagnostics: &mut Diagnostics) -> Option<MakeUp> {
    let fields = place.fields(&["look_back", "on"], diagnostics)?;
    let look_back = fields.require("look_back", diagnostics);
    let look_back = look_back.and_then(|place| place.integer_in(1, PERIODS_MAX, diagnostics));
    let on = fields.require("on", diagnostics);
    let on = on.and_then(|place| action_type(place, diagnostics));
    Some(MakeUp { look_back: look_back?, on: on? })
}

fn pauses(place: &Located<'_>, diagnostics: &mut Diagnostics) -> Option<Vec<Pause>> {
    let places = place.items_if_any(diagnostics)?;
    if places.len() > PAUSES_MAX {
        diagnostics.add(place, format_args!("must have at most {PAUSES_MAX} items"));
        return None;
    }
    let mut pauses = Vec::with_capacity(places.len());
    for place in &places {
        let Some(fields) = place.fields(&["from", "until"], diagnostics) else { continue };
        let mut bound = |name| {
            let place = fields.require(name, diagnostics)?.clone();
            Some((instant(&place, diagnostics)?, place))
        };
        let (from, until) = (bound("from"), bound("until"));
        let (Some((from, _)), Some((until, until_place))) = (from, until) else { continue };
        if from >= until {
            diagnostics.add(&until_place, "must be later than `from`: the pause has no instant");
        }
        pauses.push(Pause { from, until });
    }
    (pauses.len() == places.len()).then_some(pauses)
}
