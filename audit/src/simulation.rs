//! Dry runs: the effect of actions under the catalogue in force or with drafts, and the reasons why
//! tasks would not move.

mod unmoved;

use std::collections::{BTreeMap, BTreeSet, HashSet};
use std::time::{Duration, Instant};

use jiff::Timestamp;
use plaudit_domain::action::Action;
use plaudit_domain::catalogue::definition::TaskDefinition;
use plaudit_domain::catalogue::{BudgetsUsed, Catalogue};
use plaudit_domain::ids::{TaskId, UserId};
use plaudit_domain::lane::{Lane, LaneCount};
use plaudit_domain::screen::{ScreenRequest, TaskScreen, screen};
use plaudit_domain::user_tasks::{ActionInput, Event, Seed, UserTasks, decide_action, evolve};
use plaudit_event_store::catalogue_store::{CatalogueConflict, CatalogueStore, with_drafts};
use plaudit_event_store::{budgets, off_the_runtime, reader, seen_actions};
use serde::Serialize;
use sqlx::PgPool;
use uuid::Uuid;

pub use unmoved::UnmovedTask;

use crate::error::AuditError;
use unmoved::unmoved_tasks;

/// Time limit for the computation of a dry run.
const COMPUTING_MAX: Duration = Duration::from_secs(3);

/// The input of a dry run.
#[derive(Debug, Clone)]
pub struct SimulationInput {
    /// The user whose history the actions come on top of. Absent: each action's user starts with an
    /// empty history.
    pub user: Option<UserId>,
    /// The actions, in the order in which they are decided.
    pub actions: Vec<Action>,
    /// Tasks as they would be published. Empty: the catalogue in force is used.
    pub drafts: Vec<TaskDefinition>,
    /// The latest time of an action that would not be parked as one from the future. Absent: any.
    pub latest: Option<Timestamp>,
    /// The time at which the tasks are shown.
    pub now: Timestamp,
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
    /// The reason why the action would be parked now; absent if it would not. Its events are those
    /// that its release would cause at this point; later actions are decided without them.
    pub parked: Option<String>,
    /// The events that would be stored, in order.
    pub events: Vec<Event>,
    /// The tasks that would not move.
    pub unmoved: Vec<UnmovedTask>,
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
    Conflicts(Vec<CatalogueConflict>),
    /// An action belongs to another user than the history.
    #[error("action {index} is of user {got}, but the history is of user {expected}")]
    OtherUser {
        /// The position of the action in the input, from 0.
        index: usize,
        /// The action's user.
        got: UserId,
        /// The user of the history.
        expected: UserId,
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
    latest: Option<Timestamp>,
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
        let SimulationInput { user, actions, drafts, latest, now } = input;
        if let Some(expected) = &user {
            let other = actions.iter().position(|action| action.user != *expected);
            if let Some(index) = other {
                let (got, expected) = (actions[index].user.clone(), expected.clone());
                return Err(SimulationError::OtherUser { index, got, expected });
            }
        }
        let in_force = catalogue.newest(pool).await.map_err(AuditError::from)?;
        let with_drafts = match drafts.as_slice() {
            [] => None,
            drafts => {
                let together = off_the_runtime(|| with_drafts(&in_force, drafts, now));
                Some(together.map_err(SimulationError::Conflicts)?)
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
            latest,
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
            latest,
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
            // The time is checked before the identity, which a parked action takes only when it is
            // released.
            let time = action.occurred_at;
            let parked = latest.filter(|latest| time > *latest).map(|_| {
                format!("from the future: it would be parked, and could be released from {time} on")
            });
            let duplicate = match parked {
                Some(_) => seen.contains(&action.identity()),
                None => !seen.insert(action.identity()),
            };
            let state = states.entry(action.user.clone()).or_default();
            let (mut events, mut unmoved) = (Vec::new(), Vec::new());
            if !duplicate {
                // Rolls one of the possible outcomes, the same one on each run.
                let seed = Seed(action.identity().as_u64_pair().0);
                let input = ActionInput { action: &action, seed, credited: None };
                let decision = decide_action(state, input, catalogue, &budgets_used);
                unmoved = unmoved_tasks(state, &action, &decision, catalogue, &drafted);
                events = decision.events;
                // The actions behind a parked one are decided without it.
                for event in events.iter().filter(|_| parked.is_none()) {
                    evolve(state, event);
                    event.budget_takes().for_each(|(key, taken)| budgets_used.add(key, taken));
                }
            }
            let Action { user, source, id, kind, .. } = action;
            simulated.push(SimulatedAction {
                user,
                source,
                id,
                kind,
                time,
                duplicate,
                parked,
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
