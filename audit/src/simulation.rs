//! Dry runs: the effect of actions under the catalogue in force or with drafts, and the reasons why
//! tasks would not move.

use std::collections::{BTreeMap, BTreeSet, HashSet};
use std::time::{Duration, Instant};

use jiff::Timestamp;
use plaudit_domain::action::Action;
use plaudit_domain::catalogue::definition::TaskDefinition;
use plaudit_domain::catalogue::{BudgetsUsed, Catalogue};
use plaudit_domain::ids::{TaskId, UserId};
use plaudit_domain::lane::{Lane, LaneCount};
use plaudit_domain::screen::{ScreenRequest, TaskScreen, screen};
use plaudit_domain::user_tasks::{
    ActionInput, Decision, Event, Seed, Unmoved, UnmovedReason, UserTasks, decide_action, evolve,
};
use plaudit_event_store::catalogue_store::{CatalogueStore, Unfit, with_drafts};
use plaudit_event_store::{budgets, off_the_runtime, reader, seen_actions};
use serde::Serialize;
use serde_json::{Map, Value, json};
use sqlx::PgPool;
use uuid::Uuid;

use crate::error::AuditError;

/// Time limit for the computation of a dry run.
const COMPUTING_MAX: Duration = Duration::from_secs(3);

/// The input of a dry run.
#[derive(Debug, Clone, Default)]
pub struct SimulationInput {
    /// The user whose history the actions come on top of. Absent: each action's user starts with an
    /// empty history.
    pub user: Option<UserId>,
    /// The actions, in the order in which they are decided.
    pub actions: Vec<Action>,
    /// Tasks as they would be published. Empty: the catalogue in force is used.
    pub drafts: Vec<TaskDefinition>,
}

/// The outcome of a dry run. Nothing was written.
#[derive(Debug, Serialize)]
pub struct Simulation {
    /// In the order of the input.
    pub actions: Vec<SimulatedAction>,
    /// The tasks that would look different, ordered by user.
    pub tasks: Vec<SimulatedTask>,
}

/// The effect of an action.
#[derive(Debug, Serialize)]
pub struct SimulatedAction {
    /// Its user.
    pub user: UserId,
    /// Its source.
    pub source: String,
    /// Its id.
    pub id: String,
    /// Its type.
    #[serde(rename = "type")]
    pub kind: String,
    /// The time at which it occurs.
    pub time: Timestamp,
    /// True if an action with this identity was decided before, so that nothing would happen.
    pub duplicate: bool,
    /// The events that would be stored, in order.
    pub events: Vec<Event>,
    /// The tasks that would not move.
    pub unmoved: Vec<UnmovedTask>,
}

/// A task that would not move.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct UnmovedTask {
    /// The task.
    pub task: TaskId,
    /// The machine-readable reason, such as `filtered_out`.
    pub reason: String,
    /// A description of the reason for people.
    pub detail: String,
    /// The `where` that was evaluated, if it is the reason.
    #[serde(rename = "where", skip_serializing_if = "Option::is_none")]
    pub filter: Option<String>,
    /// The fields that the `where` names, with their values; null for a field that does not exist.
    #[serde(skip_serializing_if = "Map::is_empty")]
    pub saw: Map<String, Value>,
}

/// A task that would look different.
#[derive(Debug, Serialize)]
pub struct SimulatedTask {
    /// The user.
    pub user: UserId,
    /// The task.
    pub task: TaskId,
    /// The present screen; absent if the user does not have the task.
    pub before: Option<TaskScreen>,
    /// The screen after the actions; absent if the user would not have the task.
    pub after: Option<TaskScreen>,
}

/// The reason why a dry run has no result.
#[derive(Debug, thiserror::Error)]
pub enum SimulationError {
    /// The drafts do not fit the catalogue.
    #[error("{}", .0.iter().map(ToString::to_string).collect::<Vec<_>>().join("\n"))]
    Unfit(Vec<Unfit>),
    /// An action belongs to another user than the history.
    #[error("action {index} is of user {got}, but the history is of user {wanted}")]
    OtherUser {
        /// The position of the action in the input, from 0.
        index: usize,
        /// The action's user.
        got: UserId,
        /// The user of the history.
        wanted: UserId,
    },
    /// The computation exceeded its time limit.
    #[error("the dry run takes more than {} s; try fewer actions", COMPUTING_MAX.as_secs())]
    TooLong,
    /// The log can't be read.
    #[error(transparent)]
    Audit(#[from] AuditError),
}

/// The data for a dry run. [`Self::run`] computes for a while and waits for nothing.
#[derive(Debug)]
pub struct PreparedSimulation {
    actions: Vec<Action>,
    drafted: BTreeSet<TaskId>,
    in_force: std::sync::Arc<Catalogue>,
    with_drafts: Option<Catalogue>,
    states: BTreeMap<UserId, UserTasks>,
    seen: HashSet<Uuid>,
    /// The use of the budgets that the actions may draw on. A dry run consumes none of them.
    budgets_used: BudgetsUsed,
    now: Timestamp,
}

impl Simulation {
    /// Reads the data for the dry run.
    pub async fn prepare(
        input: SimulationInput,
        lane_count: LaneCount,
        catalogue: &CatalogueStore,
        pool: &PgPool,
    ) -> Result<PreparedSimulation, SimulationError> {
        let SimulationInput { user, actions, drafts } = input;
        if let Some(wanted) = &user {
            let other = actions.iter().position(|action| action.user != *wanted);
            if let Some(index) = other {
                let (got, wanted) = (actions[index].user.clone(), wanted.clone());
                return Err(SimulationError::OtherUser { index, got, wanted });
            }
        }
        let now = Timestamp::now();
        let in_force = catalogue.newest(pool).await.map_err(AuditError::from)?;
        let with_drafts = match drafts.as_slice() {
            [] => None,
            drafts => {
                let together = off_the_runtime(|| with_drafts(&in_force, drafts, now));
                Some(together.map_err(SimulationError::Unfit)?)
            }
        };
        let mut states: BTreeMap<UserId, UserTasks> =
            actions.iter().map(|action| (action.user.clone(), UserTasks::default())).collect();
        let mut seen = HashSet::new();
        if let Some(user) = user {
            let lane = Lane::of(user.as_str(), lane_count);
            let mut connection = pool.acquire().await.map_err(AuditError::from)?;
            let folded = reader::fold_user(lane, &user, None, &mut connection).await;
            let (state, _) = folded.map_err(AuditError::from)?;
            states.insert(user, state);
            let identities: Vec<_> = actions.iter().map(|a| (lane, a.identity())).collect();
            let known = seen_actions::known_now(&identities, &mut connection).await;
            seen = known.map_err(AuditError::from)?;
        }
        let tried = with_drafts.as_ref().unwrap_or(&in_force);
        let needed = |a: &Action| tried.budgets_needed(&a.kind, a.occurred_at).collect::<Vec<_>>();
        let needed: BTreeSet<_> = actions.iter().flat_map(needed).collect();
        let mut budgets_used = BudgetsUsed::default();
        if !needed.is_empty() {
            let mut connection = pool.acquire().await.map_err(AuditError::from)?;
            let used = budgets::used(&needed, &mut connection).await;
            budgets_used = used.map_err(AuditError::from)?;
        }
        let drafted = drafts.into_iter().map(|draft| draft.id).collect();
        Ok(PreparedSimulation {
            actions,
            drafted,
            in_force,
            with_drafts,
            states,
            seen,
            budgets_used,
            now,
        })
    }
}

impl PreparedSimulation {
    /// Decides the actions one after the other.
    pub fn run(self) -> Result<Simulation, SimulationError> {
        let began = Instant::now();
        let Self {
            actions,
            drafted,
            in_force,
            with_drafts,
            mut states,
            mut seen,
            mut budgets_used,
            now,
        } = self;
        let catalogue = with_drafts.as_ref().unwrap_or(&in_force);
        let before: Vec<_> =
            states.iter().map(|(user, state)| screens(user, state, &in_force, now)).collect();
        let mut simulated = Vec::with_capacity(actions.len());
        for action in actions {
            if began.elapsed() > COMPUTING_MAX {
                return Err(SimulationError::TooLong);
            }
            let duplicate = !seen.insert(action.identity());
            let state = states.entry(action.user.clone()).or_default();
            let (mut events, mut unmoved) = (Vec::new(), Vec::new());
            if !duplicate {
                // Rolls one of the possible outcomes, the same one on each run.
                let seed = Seed(action.identity().as_u64_pair().0);
                let input = ActionInput { action: &action, seed, credited: None };
                let decision = decide_action(state, input, catalogue, &budgets_used);
                unmoved = unmoved_tasks(state, &action, &decision, catalogue, &drafted);
                events = decision.events;
                for event in &events {
                    evolve(state, event);
                    event.budget_takes().for_each(|(key, taken)| budgets_used.add(key, taken));
                }
            }
            let Action { user, source, id, kind, occurred_at, .. } = action;
            let time = occurred_at;
            simulated.push(SimulatedAction {
                user,
                source,
                id,
                kind,
                time,
                duplicate,
                events,
                unmoved,
            });
        }
        let mut tasks = Vec::new();
        for ((user, state), before) in states.iter().zip(before) {
            let after = screens(user, state, catalogue, now);
            let ids: BTreeSet<_> = before.keys().chain(after.keys()).cloned().collect();
            for task in ids {
                let (before, after) = (before.get(&task).cloned(), after.get(&task).cloned());
                if before != after {
                    tasks.push(SimulatedTask { user: user.clone(), task, before, after });
                }
            }
        }
        Ok(Simulation { actions: simulated, tasks })
    }
}

fn screens(
    user: &UserId,
    state: &UserTasks,
    catalogue: &Catalogue,
    now: Timestamp,
) -> BTreeMap<TaskId, TaskScreen> {
    let shown = screen(user, state, catalogue, now, &ScreenRequest::default());
    shown.into_iter().map(|task| (task.id.clone(), task)).collect()
}

/// Lists the tasks that an action would not move, in order of their ids: all that listen to it, and
/// of the others the drafted ones, or all of them if there are no drafts.
fn unmoved_tasks(
    state: &UserTasks,
    action: &Action,
    decision: &Decision,
    catalogue: &Catalogue,
    drafted: &BTreeSet<TaskId>,
) -> Vec<UnmovedTask> {
    let judged =
        decision.unmoved.iter().map(|unmoved| explained(state, action, unmoved, catalogue));
    let mut found: BTreeMap<TaskId, UnmovedTask> =
        judged.map(|unmoved| (unmoved.task.clone(), unmoved)).collect();
    for event in &decision.events {
        if let Event::ActionTooLate { task, .. } | Event::ActionNotCounted { task, .. } = event {
            found.insert(task.clone(), refused_by_event(task, event));
        }
    }
    let moved: BTreeSet<_> = decision.events.iter().filter_map(Event::task).collect();
    for task in catalogue.tasks() {
        let is_asked = drafted.is_empty() || drafted.contains(&task.id);
        if is_asked && !moved.contains(&task.id) && !found.contains_key(&task.id) {
            let detail = format!("it does not listen to {}", action.kind);
            found.insert(task.id.clone(), plain(&task.id, "not_subscribed", detail));
        }
    }
    found.into_values().collect()
}

fn plain(task: &TaskId, reason: &str, detail: String) -> UnmovedTask {
    let (task, reason) = (task.clone(), reason.to_owned());
    UnmovedTask { task, reason, detail, filter: None, saw: Map::new() }
}

fn refused_by_event(task: &TaskId, event: &Event) -> UnmovedTask {
    match event {
        Event::ActionTooLate { period, watermark, .. } => {
            let detail = format!(
                "too late: period {period} was closed by an action of {watermark}, the latest that the task counted"
            );
            plain(task, "too_late", detail)
        }
        Event::ActionNotCounted { reason, .. } => plain(task, "not_counted", reason.clone()),
        _ => plain(task, "unmoved", String::new()),
    }
}

fn explained(
    state: &UserTasks,
    action: &Action,
    unmoved: &Unmoved,
    catalogue: &Catalogue,
) -> UnmovedTask {
    let mut told = plain(&unmoved.task, &name_of(&unmoved.reason), unmoved.reason.to_string());
    let version = unmoved.reason.filter_version();
    let version = version.and_then(|version| catalogue.version(&unmoved.task, version));
    if let Some(filter) = version.and_then(|v| v.definition.objective.filter.clone()) {
        told.saw = values_in(&filter, state, action);
        told.filter = Some(filter);
    }
    told
}

/// Returns the name of a reason: the only word, or the first key, of its JSON.
fn name_of(reason: &UnmovedReason) -> String {
    match serde_json::to_value(reason) {
        Ok(Value::String(name)) => name,
        Ok(Value::Object(fields)) => fields.keys().next().cloned().unwrap_or_default(),
        _ => String::new(),
    }
}

/// Returns the fields that a `where` names, such as `data.coins`, with their values.
fn values_in(filter: &str, state: &UserTasks, action: &Action) -> Map<String, Value> {
    let mut user = state.attributes.clone();
    user.insert("id".to_owned(), action.user.as_str().into());
    user.insert("zone".to_owned(), state.zones.current().into());
    let roots = json!({
        "data": action.data,
        "user": user,
        "action": {"id": action.id, "source": action.source, "type": action.kind,
            "time": action.occurred_at.to_string()},
    });
    let mut saw = Map::new();
    for path in paths_in(filter) {
        let pointer = format!("/{}", path.replace('.', "/"));
        let value = roots.pointer(&pointer).cloned().unwrap_or(Value::Null);
        saw.insert(path, value);
    }
    saw
}

/// Finds the paths below `data`, `user` and `action` in an expression. A path ends before a call,
/// as in `data.name.startsWith('a')`. Paths inside text literals are found too; they do no harm.
fn paths_in(filter: &str) -> BTreeSet<String> {
    let is_part = |c: char| c.is_ascii_alphanumeric() || c == '_' || c == '.';
    let mut paths = BTreeSet::new();
    let mut rest = filter;
    while let Some(start) = rest.find(is_part) {
        let word = &rest[start..];
        let end = word.find(|c| !is_part(c)).unwrap_or(word.len());
        let (word, after) = word.split_at(end);
        let path = if after.starts_with('(') {
            word.rsplit_once('.').map_or("", |(path, _)| path)
        } else {
            word
        };
        if ["data.", "user.", "action."].iter().any(|root| path.starts_with(root)) {
            paths.insert(path.trim_end_matches('.').to_owned());
        }
        rest = after;
    }
    paths
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_paths_of_a_condition_are_found() {
        let found = paths_in(
            "data.coins >= 10 && user.vip in [1, 2] && !data.room.name.startsWith('a') && has(data.x)",
        );
        let found: Vec<_> = found.iter().map(String::as_str).collect();
        assert_eq!(found, ["data.coins", "data.room.name", "data.x", "user.vip"]);
    }

    #[test]
    fn a_reason_has_a_name() {
        assert_eq!(name_of(&UnmovedReason::FilteredOut(1)), "filtered_out");
        assert_eq!(name_of(&UnmovedReason::NotSubscribed(3)), "not_subscribed");
        assert_eq!(name_of(&UnmovedReason::Locked(vec![])), "locked");
    }
}
