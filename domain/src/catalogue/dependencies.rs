//! Dependencies between tasks: the order of decisions, cycles, and the reach of one action.

use std::collections::{BTreeMap, BTreeSet};

use super::{Catalogue, CatalogueTask, Status};
use crate::ids::TaskId;

/// The most tasks that one action may touch: those that listen to it, and those that depend on
/// them, directly or through others. All of them are decided in one transaction, under the lock of
/// a lane.
pub const TASKS_TOUCHED_MAX: usize = 500;

/// Sorts the ids of tasks so that each comes after those that its task depends on.
pub(super) fn decision_order(
    tasks: &[CatalogueTask],
    depends_on: impl Fn(&CatalogueTask) -> BTreeSet<&TaskId>,
) -> Result<Vec<TaskId>, DependencyCycle> {
    let known: BTreeSet<&TaskId> = tasks.iter().map(|t| &t.id).collect();
    let rank = |t: &CatalogueTask| (t.current().definition.order, t.id.clone());
    let mut waiting: BTreeMap<_, _> = tasks.iter().map(|t| (rank(t), depends_on(t))).collect();
    let mut placed = BTreeSet::new();
    let mut sorted = Vec::with_capacity(waiting.len());
    while !waiting.is_empty() {
        let is_ready = |depends_on: &BTreeSet<&TaskId>| {
            depends_on.iter().all(|id| placed.contains(*id) || !known.contains(id))
        };
        let next = waiting.iter().find(|(_, depends_on)| is_ready(depends_on));
        let Some(next) = next.map(|(rank, _)| rank.clone()) else {
            let waiting = waiting.iter().map(|((_, id), depends_on)| (id, depends_on));
            return Err(DependencyCycle::among(&waiting.collect()));
        };
        waiting.remove(&next);
        placed.insert(next.1.clone());
        sorted.push(next.1);
    }
    Ok(sorted)
}

/// A cycle, in which tasks can't be put into an order: each of them depends on the next, and the
/// last on the first.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("these tasks depend on each other: {}", chain(.tasks))]
pub struct DependencyCycle {
    /// The tasks of the cycle. Never empty.
    pub tasks: Vec<TaskId>,
}

impl DependencyCycle {
    /// Finds the cycle by following dependencies, among tasks that each have at least one.
    fn among(waiting: &BTreeMap<&TaskId, &BTreeSet<&TaskId>>) -> Self {
        let mut path: Vec<&TaskId> = waiting.keys().take(1).copied().collect();
        while let Some(here) = path.last() {
            let next =
                waiting.get(here).and_then(|ids| ids.iter().find(|id| waiting.contains_key(*id)));
            let Some(next) = next else { break };
            if let Some(start) = path.iter().position(|seen| seen == next) {
                path.drain(..start);
                break;
            }
            path.push(next);
        }
        Self { tasks: path.into_iter().cloned().collect() }
    }
}

/// Writes the tasks of a cycle for a message. A long cycle is cut.
fn chain(tasks: &[TaskId]) -> String {
    const NAMED_MAX: usize = 6;
    let left_out = (tasks.len() > NAMED_MAX).then_some("…");
    let names = tasks.iter().take(NAMED_MAX).map(TaskId::as_str).chain(left_out);
    names.chain(tasks.first().map(TaskId::as_str)).collect::<Vec<_>>().join(" needs ")
}

/// An action that would touch more tasks than one transaction should decide.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error(
    "an action {action:?} would touch {touched} tasks, at most {TASKS_TOUCHED_MAX} are allowed: \
     those that listen to it and those that depend on them; retire some, or give them other actions"
)]
pub struct TooManyTouched {
    /// The action type.
    pub action: String,
    /// The number of tasks that it would touch.
    pub touched: usize,
}

impl Catalogue {
    /// The tasks that are not retired and, by their version in force, require `id` or count its completions.
    pub fn needed_by(&self, id: &TaskId) -> impl Iterator<Item = &TaskId> {
        let dependants = self.dependants(id).iter().map(|index| &self.tasks()[*index]);
        dependants
            .filter(|task| task.status != Status::Retired && task.depends_on_now().contains(id))
            .map(|task| &task.id)
    }

    /// The tasks that an action may move: those that listen to it, and those that depend on them.
    fn moved_by(&self, action: &str) -> BTreeSet<usize> {
        self.with_dependants(self.subscribers(action).iter().copied().collect())
    }

    /// These tasks, and those that depend on them, directly or through others.
    fn with_dependants(&self, mut reached: BTreeSet<usize>) -> BTreeSet<usize> {
        let mut waiting: Vec<usize> = reached.iter().copied().collect();
        while let Some(index) = waiting.pop() {
            for dependant in self.dependants(&self.tasks()[index].id) {
                if reached.insert(*dependant) {
                    waiting.push(*dependant);
                }
            }
        }
        reached
    }

    /// The tasks whose states decide what an action does: the tasks that it may move, and the tasks
    /// that these depend on.
    pub(super) fn states_that_decide(&self, action: &str) -> Vec<usize> {
        self.with_what_they_depend_on(self.moved_by(action)).into_iter().collect()
    }

    /// The tasks whose states decide what a correction of a task does.
    pub fn states_of_correction(&self, task: &TaskId) -> BTreeSet<TaskId> {
        let moved = self.with_dependants(self.by_id.get(task).copied().into_iter().collect());
        let needed = self.with_what_they_depend_on(moved);
        needed.into_iter().map(|index| self.tasks()[index].id.clone()).collect()
    }

    fn with_what_they_depend_on(&self, mut needed: BTreeSet<usize>) -> BTreeSet<usize> {
        let depends_on =
            needed.iter().flat_map(|index| self.tasks()[*index].depends_on_in_any_version());
        let depends_on: Vec<usize> =
            depends_on.filter_map(|id| self.by_id.get(id).copied()).collect();
        needed.extend(depends_on);
        needed
    }

    /// The number of tasks that an action of this type may touch. Retired tasks never move, so they
    /// do not count.
    pub fn touched_by(&self, action: &str) -> usize {
        let moves = |index: &&usize| self.tasks()[**index].status != Status::Retired;
        self.moved_by(action).iter().filter(moves).count()
    }

    /// Checks that no action touches more tasks than [`TASKS_TOUCHED_MAX`], unless it touches no more
    /// than before: a catalogue that is beyond the limit can still be changed.
    ///
    /// # Errors
    ///
    /// [`TooManyTouched`] names the action that would touch the most.
    pub fn check_touched(&self, before: &Self) -> Result<(), TooManyTouched> {
        let touched = self.by_action.keys().map(|action| (self.touched_by(action), action));
        let beyond = touched.filter(|(touched, _)| *touched > TASKS_TOUCHED_MAX);
        match beyond.filter(|(touched, action)| *touched > before.touched_by(action)).max() {
            Some((touched, action)) => Err(TooManyTouched { action: action.clone(), touched }),
            None => Ok(()),
        }
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use jiff::Timestamp;
    use serde_json::json;

    use super::*;
    use crate::catalogue::TaskVersion;

    /// A task that listens to an action, requires some tasks and counts the completions of others.
    fn task(id: &str, on: &str, requires: &[&str], completions_of: &[&str]) -> CatalogueTask {
        let on: Vec<_> = Some(on).filter(|on| !on.is_empty()).into_iter().collect();
        let definition = json!({
            "id": id, "kind": "ordinary", "every": "once", "default_locale": "en",
            "text": { "en": { "title": id } }, "requires": requires,
            "objective": { "on": on, "completions_of": completions_of, "target": 1 },
            "milestones": [{ "at": 1 }],
        });
        let definition = serde_json::from_value(definition).unwrap();
        let version = TaskVersion::new(definition, 1, Timestamp::UNIX_EPOCH).unwrap();
        let (status, status_since) = (Status::Active, Timestamp::UNIX_EPOCH);
        let id = version.definition.id.clone();
        CatalogueTask {
            id,
            status,
            status_since,
            versions: vec![Arc::new(version)],
            amnesties: vec![],
        }
    }

    #[test]
    fn a_task_is_decided_after_its_dependencies() {
        let tasks = vec![
            task("a", "", &[], &["c", "d"]),
            task("b", "x", &["a"], &[]),
            task("c", "x", &["d"], &[]),
            task("d", "x", &["elsewhere"], &[]),
        ];
        let catalogue = Catalogue::new(1, tasks).unwrap();
        let order: Vec<_> = catalogue.tasks().iter().map(|task| task.id.as_str()).collect();
        assert_eq!(order, ["d", "c", "a", "b"]);
    }

    #[test]
    fn a_cycle_is_named_without_what_is_only_behind_it() {
        let tasks = vec![
            task("a", "x", &["c"], &[]),
            task("b", "", &[], &["a", "free"]),
            task("c", "x", &["b"], &[]),
            task("behind", "x", &["c"], &[]),
            task("free", "x", &[], &[]),
        ];
        let cycle = Catalogue::new(1, tasks).unwrap_err();
        let message = cycle.to_string();
        assert_eq!(message, "these tasks depend on each other: a needs c needs b needs a");
    }

    #[test]
    fn an_action_touches_what_listens_and_what_depends_on_that() {
        let mut tasks = vec![
            task("a", "x", &[], &[]),
            task("b", "y", &["a"], &[]),
            task("c", "", &[], &["b"]),
            task("d", "y", &[], &[]),
            task("e", "x", &[], &[]),
        ];
        tasks[4].status = Status::Retired;
        let catalogue = Catalogue::new(1, tasks).unwrap();
        let touched = |action: &str| catalogue.touched_by(action);
        assert_eq!((touched("x"), touched("y"), touched("z")), (3, 3, 0));
    }

    #[test]
    fn an_action_that_touches_too_many_tasks_is_named() {
        let of = |count: usize| {
            let tasks = (0..count).map(|n| task(&format!("t{n}"), "x", &[], &[])).collect();
            Catalogue::new(1, tasks).unwrap()
        };
        let many = |count: usize, before: usize| of(count).check_touched(&of(before));
        assert_eq!(many(TASKS_TOUCHED_MAX, 0), Ok(()));
        let touched = TASKS_TOUCHED_MAX + 1;
        let too_many = |touched| Err(TooManyTouched { action: "x".to_owned(), touched });
        assert_eq!(many(touched, TASKS_TOUCHED_MAX), too_many(touched));
        assert_eq!(many(touched, touched), Ok(()), "the number does not rise");
        assert_eq!(many(touched + 1, touched), too_many(touched + 1));
    }
}
