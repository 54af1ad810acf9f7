//! What a task file can say and the rules do not do yet.
//!
//! The one list of it. Whoever implements a behaviour removes its line here: from then on task files
//! may use it.

use super::definition::{AtPeriodEnd, Measure, Rewards, TaskDefinition};

/// A field whose behaviour is missing.
struct Feature {
    name: &'static str,
    /// The path below the task, if the task uses it.
    used_at: fn(&TaskDefinition) -> Option<String>,
}

#[rustfmt::skip]
const FEATURES: &[Feature] = &[
    Feature { name: "objective.completions_of", used_at: |t| at("objective.completions_of", !t.objective.completions_of.is_empty()) },
    Feature { name: "measure: max", used_at: |t| at("objective.measure.max", matches!(t.objective.measure, Measure::Max(_))) },
    Feature { name: "measure: latest", used_at: |t| at("objective.measure.latest", matches!(t.objective.measure, Measure::Latest(_))) },
    Feature { name: "measure: distinct", used_at: |t| at("objective.measure.distinct", matches!(t.objective.measure, Measure::Distinct(_))) },
    Feature { name: "measure: days", used_at: |t| at("objective.measure", t.objective.measure == Measure::Days) },
    Feature { name: "objective.carry_over: true", used_at: |t| at("objective.carry_over", t.objective.carry_over) },
    Feature { name: "one_of", used_at: one_of },
    Feature { name: "claim.expires_after", used_at: |t| at("claim.expires_after", t.claim.expires_after_seconds.is_some()) },
    Feature { name: "claim.at_period_end: grant", used_at: |t| at("claim.at_period_end", t.claim.at_period_end == AtPeriodEnd::Grant) },
    Feature { name: "claim.at_period_end: forfeit", used_at: |t| at("claim.at_period_end", t.claim.at_period_end == AtPeriodEnd::Forfeit) },
    Feature { name: "audience", used_at: |t| at("audience", !t.audience.is_everybody()) },
    Feature { name: "backfill", used_at: |t| at("backfill", t.backfill.is_some()) },
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
