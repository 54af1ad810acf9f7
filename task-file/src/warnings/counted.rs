//! Composites whose periods are not those of the tasks that they count.

use plaudit_domain::calendar::Cadence;
use plaudit_domain::catalogue::definition::TaskDefinition;
use plaudit_domain::ids::TaskId;

use super::Warning;

/// Warns of each counted task whose periods begin at other times than those of the composite.
pub fn other_periods<'t>(
    task: &TaskDefinition,
    find: impl Fn(&TaskId) -> Option<&'t TaskDefinition>,
) -> Vec<Warning> {
    let counted = task.objective.completions_of.iter().enumerate();
    let warned = counted.filter_map(|(index, id)| {
        let differs = different_fields(task, find(id)?)?;
        let message = format!(
            "{id} has another {differs}, so its periods begin at other times than those of this task, and a completion may \
             count in another one than users expect"
        );
        Some((format!("objective.completions_of[{index}]"), message))
    });
    warned.collect()
}

/// The fields that make the periods of two tasks differ. `None` if nothing does, or if one of the
/// tasks has no periods.
fn different_fields(task: &TaskDefinition, counted: &TaskDefinition) -> Option<String> {
    if task.every == Cadence::Once || counted.every == Cadence::Once {
        return None;
    }
    let fields = [
        ("`every`", task.every != counted.every),
        ("`zone`", task.zone != counted.zone),
        ("`day_starts_at`", task.day_starts_at != counted.day_starts_at),
    ];
    let differing: Vec<&str> =
        fields.iter().filter(|(_, differs)| *differs).map(|(name, _)| *name).collect();
    (!differing.is_empty()).then(|| differing.join(" and "))
}
