//! The rules of a streak.

use plaudit_domain::catalogue::definition::{Kind, StreakRules};

use crate::located::{Diagnostics, Fields, Invalid, Located};

/// Reads the rules of a streak: `None` for tasks that have none.
pub fn read(
    task: &Fields<'_>,
    kind: Option<Kind>,
    diagnostics: &mut Diagnostics,
) -> Result<Option<StreakRules>, Invalid> {
    let place = task.get("streak");
    let rules = place.map_or(Some(StreakRules::default()), |place| rules(place, diagnostics));
    match kind {
        Some(Kind::Continuous) => rules.map(Some).ok_or(Invalid),
        Some(Kind::Ordinary | Kind::Periodic) => {
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
    if let Some(place) = fields.get("grace_periods") {
        refuse_above_zero(place, "streak.grace_periods", diagnostics);
    }
    if let Some(place) = fields.get("freezes") {
        freezes(place, diagnostics);
    }
    for name in ["make_up", "pauses"] {
        if let Some(place) = fields.get(name) {
            diagnostics.not_supported(place, format_args!("streak.{name}"));
        }
    }
    let cycle = fields.read_or("cycle", None, |place| place.positive(diagnostics).map(Some));
    Some(StreakRules { cycle: cycle? })
}

/// Freezes of which there are none may be spelt out.
fn freezes(place: &Located<'_>, diagnostics: &mut Diagnostics) {
    let Some(fields) = place.fields(&["initial", "max", "use"], diagnostics) else { return };
    for name in ["initial", "max"] {
        if let Some(place) = fields.get(name) {
            refuse_above_zero(place, &format!("streak.freezes.{name}"), diagnostics);
        }
    }
    if let Some(place) = fields.get("use") {
        place.choice(&[("automatic", ()), ("manual", ())], diagnostics);
    }
}

fn refuse_above_zero(place: &Located<'_>, what: &str, diagnostics: &mut Diagnostics) {
    match place.integer(diagnostics) {
        None | Some(0) => {}
        Some(..0) => diagnostics.add(place, "must not be negative"),
        Some(1..) => diagnostics.not_supported(place, format_args!("{what} above 0")),
    }
}
