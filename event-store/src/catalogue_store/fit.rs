//! Checks definitions against the catalogue, and builds the catalogue that would result.

use std::collections::HashMap;
use std::sync::Arc;

use jiff::Timestamp;
use plaudit_domain::calendar::Zones;
use plaudit_domain::catalogue::definition::{Budget, BudgetId, BudgetUse, TaskDefinition};
use plaudit_domain::catalogue::{Catalogue, CatalogueTask, DependencyCycle, Status, TaskVersion};
use plaudit_domain::ids::TaskId;
use plaudit_domain::suggestion::did_you_mean;

/// A conflict between one definition and the catalogue.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{task}: {reason}")]
pub struct CatalogueConflict {
    /// The task.
    pub task: TaskId,
    /// The field of the task, such as `kind` or `requires[1]`.
    pub field: String,
    /// A description of the conflict.
    pub reason: String,
}

/// Builds the catalogue that would result from publishing these definitions now. Stores nothing.
pub fn with_drafts(
    known: &Catalogue,
    drafts: &[TaskDefinition],
    now: Timestamp,
) -> Result<Catalogue, Vec<CatalogueConflict>> {
    let named: HashMap<_, _> = drafts.iter().map(|draft| (&draft.id, draft)).collect();
    check_each(known, drafts, &named)?;
    let tasks = with_versions(known, drafts, now)?;
    let mut conflicts: Vec<_> = too_many_patterns(known, &tasks, &named).into_iter().collect();
    match Catalogue::new(known.revision + 1, tasks) {
        Err(cycle) => conflicts.extend(closing(&cycle, &named)),
        Ok(after) => {
            conflicts.extend(too_many_touched(known, &after, drafts));
            if conflicts.is_empty() {
                return Ok(after);
            }
        }
    }
    Err(conflicts)
}

/// Returns the tasks of the catalogue with these definitions as further versions, as far as they
/// are not in force.
fn with_versions(
    known: &Catalogue,
    drafts: &[TaskDefinition],
    now: Timestamp,
) -> Result<Vec<CatalogueTask>, Vec<CatalogueConflict>> {
    let mut tasks: Vec<CatalogueTask> = known.tasks().iter().map(copy_of).collect();
    let mut conflicts = Vec::new();
    for draft in drafts {
        let task = tasks.iter_mut().find(|task| task.id == draft.id);
        let number = match &task {
            Some(task) if task.current().definition == *draft => continue,
            Some(task) => task.current().version + 1,
            None => 1,
        };
        match (TaskVersion::new(draft.clone(), number, now), task) {
            (Ok(version), Some(task)) => {
                let version = version.of_task_since(task.versions[0].published_at);
                task.versions.push(Arc::new(version));
            }
            (Ok(version), None) => tasks.push(CatalogueTask {
                id: draft.id.clone(),
                status: Status::Active,
                status_since: now,
                versions: vec![Arc::new(version)],
                amnesties: vec![],
            }),
            (Err(broken), _) => conflicts.push(CatalogueConflict {
                task: draft.id.clone(),
                field: String::new(),
                reason: broken.to_string(),
            }),
        }
    }
    if conflicts.is_empty() { Ok(tasks) } else { Err(conflicts) }
}

fn copy_of(task: &CatalogueTask) -> CatalogueTask {
    CatalogueTask {
        id: task.id.clone(),
        status: task.status,
        status_since: task.status_since,
        versions: task.versions.clone(),
        amnesties: task.amnesties.clone(),
    }
}

/// Checks the conditions that depend on the published tasks: kinds, retired ids, prerequisites,
/// budgets, cycles, patterns, and the number of tasks that one action touches.
pub fn check_fit(
    known: &Catalogue,
    definitions: &[TaskDefinition],
) -> Result<(), Vec<CatalogueConflict>> {
    with_drafts(known, definitions, Timestamp::now()).map(drop)
}

/// Checks each definition by itself.
fn check_each(
    known: &Catalogue,
    definitions: &[TaskDefinition],
    named: &HashMap<&TaskId, &TaskDefinition>,
) -> Result<(), Vec<CatalogueConflict>> {
    let mut conflicts = Vec::new();
    for definition in definitions {
        let mut refuse = |field: String, reason: String| {
            conflicts.push(CatalogueConflict { task: definition.id.clone(), field, reason });
        };
        if let Some(task) = known.task(&definition.id) {
            if task.status == Status::Retired {
                let reason = "the task is retired; ids are never reused";
                refuse("id".to_owned(), reason.to_owned());
            }
            if task.current().definition.kind != definition.kind {
                let reason = "the kind of a task never changes; give the new task an id of its own";
                refuse("kind".to_owned(), reason.to_owned());
            }
        }
        if let Some(reason) = backfill_fault(known.task(&definition.id), definition) {
            refuse("backfill".to_owned(), reason);
        }
        for (field, ids) in dependencies(definition) {
            for (index, needed) in ids.iter().enumerate() {
                if known.task(needed).is_none() && !named.contains_key(needed) {
                    let reason = format!(
                        "`{field}` names {needed}, which is neither published nor in these files{}",
                        nearest_task(definition, needed, known, named)
                    );
                    refuse(format!("{field}[{index}]"), reason);
                }
            }
        }
    }
    conflicts.extend(check_budgets(known, definitions, named));
    if conflicts.is_empty() { Ok(()) } else { Err(conflicts) }
}

/// Suggests a task for an id that is nowhere.
fn nearest_task(
    definition: &TaskDefinition,
    needed: &TaskId,
    known: &Catalogue,
    named: &HashMap<&TaskId, &TaskDefinition>,
) -> String {
    let published = known.tasks().iter().filter(|task| task.status != Status::Retired);
    let ids = published.map(|task| &task.id).chain(named.keys().copied());
    let ids: Vec<&str> = ids.filter(|id| **id != definition.id).map(TaskId::as_str).collect();
    did_you_mean(needed.as_str(), &ids)
}

/// The maximum number of past periods that a backfill may cover: all of them stay open until it is
/// done.
const PAST_PERIODS_MAX: usize = 100;

/// Returns the reason why a task can't have the backfill that it asks for.
fn backfill_fault(known: Option<&CatalogueTask>, definition: &TaskDefinition) -> Option<String> {
    let backfill = definition.backfill?;
    if let Some(task) = known {
        let first = task.versions.first().and_then(|version| version.definition.backfill);
        let reason = "only a new task counts past actions, and this one was published before: leave `backfill` \
                      as it was in version 1, or out";
        return (first != Some(backfill)).then(|| reason.to_owned());
    }
    let version = TaskVersion::new(definition.clone(), 1, Timestamp::now()).ok()?;
    let (mut at, now, zones) = (backfill.from, Timestamp::now(), Zones::default());
    for _ in 0..PAST_PERIODS_MAX {
        match version.period_at(at, &zones).ends_at {
            Some(end) if end <= now && end > at => at = end,
            _ => return None,
        }
    }
    Some(format!(
        "`from` is more than {PAST_PERIODS_MAX} periods ago, the maximum; choose a later time"
    ))
}

/// Checks that tasks sharing a budget agree on its terms, so that one limit is in force at any
/// time.
fn check_budgets(
    known: &Catalogue,
    definitions: &[TaskDefinition],
    named: &HashMap<&TaskId, &TaskDefinition>,
) -> Vec<CatalogueConflict> {
    let mut terms: HashMap<&BudgetId, (&TaskId, &Budget)> = HashMap::new();
    let others = known.tasks().iter().filter(|task| task.status != Status::Retired);
    for task in others.filter(|task| !named.contains_key(&task.id)) {
        for BudgetUse { budget, .. } in task.current().definition.budgets() {
            terms.entry(&budget.id).or_insert((&task.id, budget));
        }
    }
    let mut conflicts = Vec::new();
    for definition in definitions {
        for (m, milestone) in definition.milestones.iter().enumerate() {
            for (l, line) in milestone.rewards.iter().enumerate() {
                for BudgetUse { budget, .. } in line.budgets() {
                    let (other, known) =
                        *terms.entry(&budget.id).or_insert((&definition.id, budget));
                    if known == budget {
                        continue;
                    }
                    let id = &budget.id;
                    let reason = format!(
                        "budget {id} has other terms in task {other}; publish the tasks that share it \
                         together, with the same terms"
                    );
                    let field = format!("milestones[{m}].rewards[{l}]");
                    conflicts.push(CatalogueConflict {
                        task: definition.id.clone(),
                        field,
                        reason,
                    });
                }
            }
        }
    }
    conflicts
}

/// The fields in which a definition names other tasks.
fn dependencies(definition: &TaskDefinition) -> [(&'static str, &[TaskId]); 2] {
    [
        ("requires", &definition.requires),
        ("objective.completions_of", &definition.objective.completions_of),
    ]
}

/// Finds an action that would touch too many tasks, and one of these definitions that listens to it.
fn too_many_touched(
    known: &Catalogue,
    after: &Catalogue,
    definitions: &[TaskDefinition],
) -> Option<CatalogueConflict> {
    let many = after.check_touched(known).err()?;
    let listens = |d: &&TaskDefinition| d.listens_to().any(|kind| *kind == many.action);
    let task = definitions.iter().find(listens).or(definitions.first())?.id.clone();
    Some(CatalogueConflict { task, field: "objective.on".to_owned(), reason: many.to_string() })
}

/// Finds the first of these definitions whose patterns exceed the limit together with those of the
/// catalogue. A definition without new patterns is never refused: the catalogue may come from a
/// release without this limit.
fn too_many_patterns(
    known: &Catalogue,
    after: &[CatalogueTask],
    named: &HashMap<&TaskId, &TaskDefinition>,
) -> Option<CatalogueConflict> {
    let mut total = known.pattern_total();
    let drafts = after.iter().filter(|task| named.contains_key(&task.id));
    drafts.flat_map(|task| &task.versions).find_map(|version| {
        let before = total.ranges();
        let too_many =
            version.add_patterns(&mut total).err().filter(|many| many.ranges > before)?;
        let definition = &version.definition;
        let field = if definition.objective.filter.is_some() {
            "objective.where"
        } else {
            "audience.where"
        };
        let reason = format!(
            "{too_many}; every published version counts, since periods may be open under it"
        );
        Some(CatalogueConflict { task: definition.id.clone(), field: field.to_owned(), reason })
    })
}

/// Finds the field of one of these definitions that closes the cycle. The published tasks alone
/// have none.
fn closing(
    cycle: &DependencyCycle,
    named: &HashMap<&TaskId, &TaskDefinition>,
) -> Option<CatalogueConflict> {
    let next = cycle.tasks.iter().skip(1).chain(cycle.tasks.first());
    let entries = cycle.tasks.iter().zip(next).filter_map(|(task, next)| {
        let fields = dependencies(named.get(task)?);
        let (field, index) = fields
            .iter()
            .find_map(|(field, ids)| Some((field, ids.iter().position(|id| id == next)?)))?;
        Some((task.clone(), format!("{field}[{index}]")))
    });
    let (task, field) = entries.last()?;
    Some(CatalogueConflict { task, field, reason: cycle.to_string() })
}
