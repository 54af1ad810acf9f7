//! The marks of a task, their rewards, and how these change hands.

use std::collections::BTreeSet;

use plaudit_domain::catalogue::definition::{Claim, ClaimMode, Kind, Milestone, RewardLine};

use crate::located::{Diagnostics, Fields, Located};
use crate::objective::Counted;

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
    diagnostics: &mut Diagnostics,
) -> Option<(Vec<Milestone>, i64)> {
    let given = task.get("milestones");
    let rewards = task.get("rewards");
    let listed = given.map(|place| list(place, cycle, diagnostics));
    let short = rewards.map(|place| reward_lines(place, diagnostics));
    if let (Some(_), Some(place)) = (given, rewards) {
        diagnostics
            .add(place, "a task has either `milestones` or the short form `rewards`, not both");
    }
    match kind? {
        Kind::Continuous if given.is_none() => {
            let message = "a continuous task has a milestone for each rewarded length of streak";
            if let Some(place) = rewards {
                diagnostics.add(place, format_args!("{message}: use `milestones` for this"));
            } else {
                task.miss("milestones", &format!(": {message}"), diagnostics);
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
            refuse_other_target(counted?, last_at, diagnostics);
            Some((milestones, last_at))
        }
        Kind::Ordinary | Kind::Periodic => {
            let at = short_target(counted?, diagnostics);
            let rewards = short.unwrap_or_else(|| Some(Vec::new()))?;
            at.map(|at| (vec![Milestone { at, rewards }], at))
        }
    }
}

/// The target of a task with milestones is the last of them.
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
    diagnostics: &mut Diagnostics,
) -> Option<Vec<Milestone>> {
    let places = place.items(diagnostics)?;
    let mut read = Vec::with_capacity(places.len());
    let mut highest: Option<i64> = None;
    for place in &places {
        let Some(fields) = place.fields(&["at", "rewards"], diagnostics) else { continue };
        let at = fields.require("at", diagnostics).and_then(|place| place.positive(diagnostics));
        let rewards =
            fields.read_or("rewards", Vec::new(), |place| reward_lines(place, diagnostics));
        if let (Some(at), Some(place)) = (at, fields.get("at")) {
            if let Some(before) = highest.filter(|before| at <= *before) {
                diagnostics.add(place, format_args!("must be above {before}: milestones ascend"));
            }
            if let Some(cycle) = cycle.filter(|cycle| at > *cycle) {
                diagnostics.add(
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

fn reward_lines(place: &Located<'_>, diagnostics: &mut Diagnostics) -> Option<Vec<RewardLine>> {
    let places = place.items_if_any(diagnostics)?;
    let mut names = BTreeSet::new();
    let mut read = Vec::with_capacity(places.len());
    for place in &places {
        let Some(fields) = place.fields(&["line", "kind", "code", "amount", "one_of"], diagnostics)
        else {
            continue;
        };
        let name = word(&fields, "line", LINE_CHARS_MAX, diagnostics);
        if let (Some(name), Some(place)) = (&name, fields.get("line"))
            && !names.insert(name.clone())
        {
            diagnostics.add(place, format_args!("{name:?} is already a line of this milestone"));
        }
        if let Some(choices) = fields.get("one_of") {
            diagnostics.not_supported(choices, "one_of");
            continue;
        }
        let kind = word(&fields, "kind", PAYER_CHARS_MAX, diagnostics);
        let code = word(&fields, "code", PAYER_CHARS_MAX, diagnostics);
        let amount =
            fields.require("amount", diagnostics).and_then(|place| place.positive(diagnostics));
        let line = || Some(RewardLine { line: name?, kind: kind?, code: code?, amount: amount? });
        read.extend(line());
    }
    (read.len() == places.len()).then_some(read)
}

/// A required name. Control characters are refused in all of them: U+001F separates the parts of a
/// grant id.
fn word(
    fields: &Fields<'_>,
    name: &str,
    chars_max: usize,
    diagnostics: &mut Diagnostics,
) -> Option<String> {
    let place = fields.require(name, diagnostics)?;
    place.line_of_text(chars_max, diagnostics)
}

/// Reads how rewards change hands.
pub fn claim(place: &Located<'_>, diagnostics: &mut Diagnostics) -> Option<Claim> {
    let fields = place.fields(&["mode", "expires_after", "at_period_end"], diagnostics)?;
    if let Some(place) = fields.get("expires_after") {
        diagnostics.not_supported(place, "claim.expires_after");
    }
    let outcomes = [("keep", "keep"), ("grant", "grant"), ("forfeit", "forfeit")];
    let at_period_end = fields.get("at_period_end");
    if let Some((place, outcome)) =
        at_period_end.and_then(|place| Some((place, place.choice(&outcomes, diagnostics)?)))
        && outcome != "keep"
    {
        diagnostics.not_supported(place, format_args!("claim.at_period_end: {outcome}"));
    }
    let modes = [("manual", ClaimMode::Manual), ("automatic", ClaimMode::Automatic)];
    let mode = fields.read_or("mode", ClaimMode::Manual, |place| place.choice(&modes, diagnostics));
    Some(Claim { mode: mode? })
}
