//! The rules of a streak.

use crate::catalogue::definition::{Kind, StreakRules};

use super::place::{Faults, Faulty, Fields, Place};

/// Reads the rules of a streak: `None` for tasks that have none.
pub fn read(
    task: &Fields<'_>,
    kind: Option<Kind>,
    faults: &mut Faults,
) -> Result<Option<StreakRules>, Faulty> {
    let place = task.get("streak");
    let rules = place.map_or(Some(StreakRules::default()), |place| rules(place, faults));
    match kind {
        Some(Kind::Continuous) => rules.map(Some).ok_or(Faulty),
        Some(Kind::Ordinary | Kind::Periodic) => {
            if let Some(place) = place {
                faults.add(place, "only continuous tasks have a streak");
            }
            Ok(None)
        }
        None => Err(Faulty),
    }
}

fn rules(place: &Place<'_>, faults: &mut Faults) -> Option<StreakRules> {
    let fields =
        place.fields(&["cycle", "grace_periods", "freezes", "make_up", "pauses"], faults)?;
    if let Some(place) = fields.get("grace_periods") {
        refuse_above_zero(place, "streak.grace_periods", faults);
    }
    if let Some(place) = fields.get("freezes") {
        freezes(place, faults);
    }
    for name in ["make_up", "pauses"] {
        if let Some(place) = fields.get(name) {
            faults.not_supported(place, format_args!("streak.{name}"));
        }
    }
    let cycle = fields.read_or("cycle", None, |place| place.positive(faults).map(Some));
    Some(StreakRules { cycle: cycle? })
}

/// Freezes of which there are none may be spelt out.
fn freezes(place: &Place<'_>, faults: &mut Faults) {
    let Some(fields) = place.fields(&["initial", "max", "use"], faults) else { return };
    for name in ["initial", "max"] {
        if let Some(place) = fields.get(name) {
            refuse_above_zero(place, &format!("streak.freezes.{name}"), faults);
        }
    }
    if let Some(place) = fields.get("use") {
        place.choice(&[("automatic", ()), ("manual", ())], faults);
    }
}

fn refuse_above_zero(place: &Place<'_>, what: &str, faults: &mut Faults) {
    match place.integer(faults) {
        None | Some(0) => {}
        Some(..0) => faults.add(place, "must not be negative"),
        Some(1..) => faults.not_supported(place, format_args!("{what} above 0")),
    }
}
