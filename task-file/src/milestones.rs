//! The milestones of a task.

use plaudit_domain::catalogue::definition::{Kind, Meta, Milestone};

use crate::budgets::Declared;
use crate::located::{Diagnostics, Fields, Located};
use crate::objective::Counted;
use crate::{meta, rewards};

/// Reads the milestones of a task and the target that goes with them.
pub fn read(
    task: &Fields<'_>,
    kind: Option<Kind>,
    counted: Option<&Counted<'_>>,
    cycle: Option<i64>,
    declared: &Declared<'_>,
    diagnostics: &mut Diagnostics,
) -> Option<(Vec<Milestone>, i64)> {
    let given = task.get("milestones");
    let short_form = task.get("rewards");
    let listed = given.map(|place| list(place, cycle, declared, diagnostics));
    let short = short_form.map(|place| rewards::lines(place, declared, diagnostics));
    if let (Some(_), Some(place)) = (given, short_form) {
        diagnostics
            .add(place, "a task has either `milestones` or the short form `rewards`, not both");
    }
    if kind?.shape().counts_streaks {
        if given.is_none() {
            let message = "a continuous task has a milestone for each rewarded length of streak";
            if let Some(place) = short_form {
                diagnostics.add(place, format_args!("{message}: use `milestones` for this"));
            } else {
                task.miss("milestones", &format!(": {message}"), diagnostics);
            }
            return None;
        }
        let target = counted?.target.as_ref().ok()?.as_ref().map_or(1, |(target, _)| *target);
        return listed.flatten().map(|milestones| (milestones, target));
    }
    if given.is_some() {
        let milestones = listed.flatten()?;
        let last_at = milestones.last()?.at;
        refuse_other_target(counted?, last_at, diagnostics);
        return Some((milestones, last_at));
    }
    let at = short_target(counted?, diagnostics);
    let rewards = short.unwrap_or_else(|| Some(Vec::new()))?;
    at.map(|at| (vec![Milestone { at, rewards, meta: Meta::new() }], at))
}

/// Refuses a target that differs from the last milestone.
fn refuse_other_target(counted: &Counted<'_>, last_at: i64, diagnostics: &mut Diagnostics) {
    if let Ok(Some((target, place))) = &counted.target
        && *target != last_at
    {
        let message = format!("is {target}, but the last milestone is at {last_at}");
        diagnostics.add(place, format_args!("{message}; leave the target out, or make them equal"));
    }
}

/// The target of a task in the short form.
fn short_target(counted: &Counted<'_>, diagnostics: &mut Diagnostics) -> Option<i64> {
    let target = counted.target.as_ref().ok()?;
    if target.is_none() {
        let reason = ": a task has `objective.target` or `milestones`";
        counted.fields.miss("target", reason, diagnostics);
    }
    target.as_ref().map(|(target, _)| *target)
}

fn list(
    place: &Located<'_>,
    cycle: Option<i64>,
    declared: &Declared<'_>,
    diagnostics: &mut Diagnostics,
) -> Option<Vec<Milestone>> {
    let places = place.items(diagnostics)?;
    let mut read = Vec::with_capacity(places.len());
    let mut highest: Option<i64> = None;
    for place in &places {
        let Some(fields) = place.fields(&["at", "rewards", "meta"], diagnostics) else { continue };
        let at = fields.require("at", diagnostics).and_then(|place| place.positive(diagnostics));
        let rewards = fields
            .read_or("rewards", Vec::new(), |place| rewards::lines(place, declared, diagnostics));
        let meta = meta::read(&fields, diagnostics);
        if let (Some(at), Some(place)) = (at, fields.get("at")) {
            if let Some(before) = highest.filter(|before| at <= *before) {
                diagnostics.add(place, format_args!("must be above {before}: milestones ascend"));
            }
            if let Some(cycle) = cycle.filter(|cycle| at > *cycle) {
                diagnostics.add(
                    place,
                    format_args!("{at} exceeds the cycle of {cycle} and can't be reached"),
                );
            }
        }
        highest = highest.max(at);
        let milestone = || Some(Milestone { at: at?, rewards: rewards?, meta: meta? });
        read.extend(milestone());
    }
    (read.len() == places.len()).then_some(read)
}
