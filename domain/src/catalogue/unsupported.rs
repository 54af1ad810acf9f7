//! What a task file can say and the rules do not do yet.
//!
//! The one list of it. Whoever implements a behaviour removes its line here: from then on task files
//! may use it.

use super::definition::{AtPeriodEnd, Rewards, TaskDefinition};

/// A field whose behaviour is missing.
struct Feature {
    name: &'static str,
    /// The path below the task, if the task uses it.
    used_at: fn(&TaskDefinition) -> Option<String>,
}

#[rustfmt::skip]
const FEATURES: &[Feature] = &[
    Feature { name: "lateness for a continuous task", used_at: |t| at("objective.lateness", t.streak.is_some() && t.objective.lateness_seconds > 0) },
    Feature { name: "one_of", used_at: one_of },
    Feature { name: "claim.expires_after", used_at: |t| at("claim.expires_after", t.claim.expires_after_seconds.is_some()) },
    Feature { name: "claim.at_period_end: grant", used_at: |t| at("claim.at_period_end", t.claim.at_period_end == AtPeriodEnd::Grant) },
    Feature { name: "claim.at_period_end: forfeit", used_at: |t| at("claim.at_period_end", t.claim.at_period_end == AtPeriodEnd::Forfeit) },
    Feature { name: "backfill", used_at: |t| at("backfill", t.backfill.is_some()) },
    Feature { name: "streak.grace_periods", used_at: |t| at("streak.grace_periods", t.streak.as_ref().is_some_and(|s| s.grace_periods > 0)) },
    Feature { name: "streak.freezes", used_at: |t| at("streak.freezes", t.streak.as_ref().is_some_and(|s| s.freezes.max > 0)) },
    Feature { name: "streak.make_up", used_at: |t| at("streak.make_up", t.streak.as_ref().is_some_and(|s| s.make_up.is_some())) },
    Feature { name: "streak.pauses", used_at: |t| at("streak.pauses", t.streak.as_ref().is_some_and(|s| !s.pauses.is_empty())) },
];

/// What a task uses that the rules do not do yet: the path below the task, and the reason.
pub fn unsupported(task: &TaskDefinition) -> Vec<(String, String)> {
    let used = FEATURES.iter().filter_map(|feature| {
        let path = (feature.used_at)(task)?;
        Some((path, format!("`{}` is not supported yet", feature.name)))
    });
    used.collect()
}

fn at(path: &str, is_used: bool) -> Option<String> {
    is_used.then(|| path.to_owned())
}

fn one_of(task: &TaskDefinition) -> Option<String> {
    let lines = task.milestones.iter().enumerate().flat_map(|(milestone, m)| {
        let line = move |(line, l)| (milestone, line, l);
        m.rewards.iter().enumerate().map(line)
    });
    let mut rolled = lines.filter(|(_, _, line)| matches!(line.pays, Rewards::OneOf(_)));
    let (milestone, line, _) = rolled.next()?;
    Some(format!("milestones[{milestone}].rewards[{line}].one_of"))
}
