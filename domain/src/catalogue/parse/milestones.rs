//! The marks of a task, their rewards, and how these change hands.

use std::collections::BTreeSet;

use crate::catalogue::definition::{Claim, ClaimMode, Kind, Milestone, RewardLine};

use super::objective::Counted;
use super::place::{Faults, Fields, Place};

/// The longest name of a line, in characters.
const LINE_CHARS_MAX: usize = 64;
/// The longest word for the payer, in characters.
const PAYER_CHARS_MAX: usize = 200;

/// Reads the milestones of a task and the target that goes with them.
pub fn read(
    task: &Fields<'_>,
    kind: Option<Kind>,
    counted: Option<&Counted<'_>>,
    cycle: Option<i64>,
    faults: &mut Faults,
) -> Option<(Vec<Milestone>, i64)> {
    let given = task.get("milestones");
    let rewards = task.get("rewards");
    let listed = given.map(|place| list(place, cycle, faults));
    let short = rewards.map(|place| reward_lines(place, faults));
    if let (Some(_), Some(place)) = (given, rewards) {
        faults.add(place, "a task has either `milestones` or the short form `rewards`, not both");
    }
    match kind? {
        Kind::Continuous if given.is_none() => {
            let message = "a continuous task has a milestone for each rewarded length of streak";
            if let Some(place) = rewards {
                faults.add(place, format_args!("{message}: use `milestones` for this"));
            } else {
                task.miss("milestones", &format!(": {message}"), faults);
            }
            None
        }
        Kind::Continuous => {
            let target = counted?.target.as_ref().ok()?.as_ref().map_or(1, |(target, _)| *target);
            listed.flatten().map(|milestones| (milestones, target))
        }
        Kind::Ordinary | Kind::Periodic if given.is_some() => {
            let milestones = listed.flatten()?;
            let last_at = milestones.last()?.at;
            refuse_other_target(counted?, last_at, faults);
            Some((milestones, last_at))
        }
        Kind::Ordinary | Kind::Periodic => {
            let at = short_target(counted?, faults);
            let rewards = short.unwrap_or_else(|| Some(Vec::new()))?;
            at.map(|at| (vec![Milestone { at, rewards }], at))
        }
    }
}

/// The target of a task with milestones is the last of them.
fn refuse_other_target(counted: &Counted<'_>, last_at: i64, faults: &mut Faults) {
    if let Ok(Some((target, place))) = &counted.target
        && *target != last_at
    {
        let message = format!("is {target}, but the last milestone is at {last_at}");
        faults.add(place, format_args!("{message}; leave the target out, or make them equal"));
    }
}

/// The target of a task in the short form.
fn short_target(counted: &Counted<'_>, faults: &mut Faults) -> Option<i64> {
    let target = counted.target.as_ref().ok()?;
    if target.is_none() {
        let reason = ": a task has `objective.target` or `milestones`";
        counted.fields.miss("target", reason, faults);
    }
    target.as_ref().map(|(target, _)| *target)
}

fn list(place: &Place<'_>, cycle: Option<i64>, faults: &mut Faults) -> Option<Vec<Milestone>> {
    let places = place.items(faults)?;
    let mut read = Vec::with_capacity(places.len());
    let mut highest: Option<i64> = None;
    for place in &places {
        let Some(fields) = place.fields(&["at", "rewards"], faults) else { continue };
        let at = fields.require("at", faults).and_then(|place| place.positive(faults));
        let rewards = fields.read_or("rewards", Vec::new(), |place| reward_lines(place, faults));
        if let (Some(at), Some(place)) = (at, fields.get("at")) {
            if let Some(before) = highest.filter(|before| at <= *before) {
                faults.add(place, format_args!("must be above {before}: milestones ascend"));
            }
            if let Some(cycle) = cycle.filter(|cycle| at > *cycle) {
                faults.add(
                    place,
                    format_args!("{at} lies beyond the cycle of {cycle} and is never reached"),
                );
            }
        }
        highest = highest.max(at);
        read.extend(at.zip(rewards).map(|(at, rewards)| Milestone { at, rewards }));
    }
    (read.len() == places.len()).then_some(read)
}

fn reward_lines(place: &Place<'_>, faults: &mut Faults) -> Option<Vec<RewardLine>> {
    let places = place.items_if_any(faults)?;
    let mut names = BTreeSet::new();
    let mut read = Vec::with_capacity(places.len());
    for place in &places {
        let Some(fields) = place.fields(&["line", "kind", "code", "amount", "one_of"], faults)
        else {
            continue;
        };
        let name = word(&fields, "line", LINE_CHARS_MAX, faults);
        if let (Some(name), Some(place)) = (&name, fields.get("line"))
            && !names.insert(name.clone())
        {
            faults.add(place, format_args!("{name:?} is already a line of this milestone"));
        }
        if let Some(choices) = fields.get("one_of") {
            faults.not_supported(choices, "one_of");
            continue;
        }
        let kind = word(&fields, "kind", PAYER_CHARS_MAX, faults);
        let code = word(&fields, "code", PAYER_CHARS_MAX, faults);
        let amount = fields.require("amount", faults).and_then(|place| place.positive(faults));
        let line = || Some(RewardLine { line: name?, kind: kind?, code: code?, amount: amount? });
        read.extend(line());
    }
    (read.len() == places.len()).then_some(read)
}

/// A required name. Control characters are refused in all of them: U+001F separates the parts of a
/// grant id.
fn word(fields: &Fields<'_>, name: &str, chars_max: usize, faults: &mut Faults) -> Option<String> {
    let place = fields.require(name, faults)?;
    place.line_of_text(chars_max, faults)
}

/// Reads how rewards change hands.
pub fn claim(place: &Place<'_>, faults: &mut Faults) -> Option<Claim> {
    let fields = place.fields(&["mode", "expires_after", "at_period_end"], faults)?;
    if let Some(place) = fields.get("expires_after") {
        faults.not_supported(place, "claim.expires_after");
    }
    let outcomes = [("keep", "keep"), ("grant", "grant"), ("forfeit", "forfeit")];
    let at_period_end = fields.get("at_period_end");
    if let Some((place, outcome)) =
        at_period_end.and_then(|place| Some((place, place.choice(&outcomes, faults)?)))
        && outcome != "keep"
    {
        faults.not_supported(place, format_args!("claim.at_period_end: {outcome}"));
    }
    let modes = [("manual", ClaimMode::Manual), ("automatic", ClaimMode::Automatic)];
    let mode = fields.read_or("mode", ClaimMode::Manual, |place| place.choice(&modes, faults));
    Some(Claim { mode: mode? })
}
