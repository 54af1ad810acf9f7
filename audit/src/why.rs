//! The reasons why a task does not move for a user.

use std::fmt::Write as _;

use jiff::Timestamp;
use plaudit_domain::action::Action;
use plaudit_domain::calendar::Period;
use plaudit_domain::catalogue::definition::Audience;
use plaudit_domain::ids::{TaskId, UserId};
use plaudit_domain::lane::{Lane, LaneCount};
use plaudit_domain::screen::{ScreenRequest, TaskScreen, screen};
use plaudit_domain::user_tasks::{self, Event, Outlook, UserTasks, outlook};
use plaudit_event_store::catalogue_store::CatalogueStore;
use plaudit_event_store::{off_the_runtime, parked, reader};
use serde::Serialize;
use serde_json::{Map, Value};
use sqlx::PgPool;
use uuid::Uuid;

use crate::error::AuditError;
use crate::history::EventEntry;
use crate::seen_values;
use crate::simulation::{
    PreparedSimulation, SimulatedAction, Simulation, SimulationError, SimulationInput, UnmovedTask,
};

/// The question why a task does not move.
#[derive(Debug, Clone)]
pub struct WhyInput {
    /// The user.
    pub user: UserId,
    /// The task.
    pub task: TaskId,
    /// An action to try.
    pub action: Option<Action>,
    /// The latest time of an action that would not be parked as one from the future. Absent: any.
    pub latest: Option<Timestamp>,
    /// The time as of which the answer holds.
    pub now: Timestamp,
}

/// The reasons why a task does not move for a user.
#[derive(Debug, Serialize)]
pub struct Why {
    /// The user.
    pub user: UserId,
    /// The task.
    pub task: TaskId,
    /// The time as of which the answer holds.
    pub at: Timestamp,
    /// The obstacles to any action now. Empty if a matching action would count.
    pub obstacles: Vec<Obstacle>,
    /// The reasons for which the rewards of an action that counts now are delayed. Empty if they
    /// are granted with it.
    pub delays: Vec<Obstacle>,
    /// The effect of the given action on the task.
    pub action: Option<ActionVerdict>,
    /// The last actions that moved nothing although they matched, oldest first.
    pub refused: Vec<EventEntry>,
    /// The task as the user sees it; absent if the user does not have the task.
    pub screen: Option<TaskScreen>,
}

/// Something that stops a task or delays its rewards.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Obstacle {
    /// The machine-readable name, such as `locked`.
    pub reason: &'static str,
    /// A description for people, with the remedy.
    pub detail: String,
}

/// The effect of an action on one task.
#[derive(Debug, Serialize)]
pub struct ActionVerdict {
    /// True if an action with this identity was decided before, so that nothing would happen.
    pub duplicate: bool,
    /// The reason why the action would be parked now; absent if it would not.
    pub parked: Option<String>,
    /// The events of the task that would be stored.
    pub events: Vec<Event>,
    /// The reason why the task would not move; absent if it would.
    pub unmoved: Option<UnmovedTask>,
}

/// The reason why there is no explanation.
#[derive(Debug, thiserror::Error)]
pub enum WhyError {
    /// There is no such task.
    #[error("unknown task {0}; `plaudit tasks list` lists them")]
    UnknownTask(TaskId),
    /// The action can't be simulated.
    #[error(transparent)]
    Simulation(#[from] SimulationError),
    /// The log can't be read.
    #[error(transparent)]
    Audit(#[from] AuditError),
}

/// Limit on the refused actions shown.
const REFUSED_MAX: usize = 5;

/// The number of the user's last events that are searched for refused actions.
const EVENTS_LOOKED_THROUGH: i64 = 1_000;

/// The data for an explanation. [`Self::run`] computes for a while and waits for nothing.
#[derive(Debug)]
pub struct PreparedWhy {
    /// The explanation, still without the verdict on the action.
    why: Why,
    action: Option<PreparedSimulation>,
}

impl Why {
    /// Reads the data for the explanation.
    pub async fn prepare(
        input: WhyInput,
        lane_count: LaneCount,
        catalogue: &CatalogueStore,
        pool: &PgPool,
    ) -> Result<PreparedWhy, WhyError> {
        let WhyInput { user, task: id, action, latest, now } = input;
        let id = &id;
        let lane = Lane::of(user.as_str(), lane_count);
        let known = catalogue.newest(pool).await.map_err(AuditError::from)?;
        let task = known.task(id).ok_or_else(|| WhyError::UnknownTask(id.clone()))?;
        let mut connection = pool.acquire().await.map_err(AuditError::from)?;
        let folded = reader::fold_user(lane, &user, None, &mut connection).await;
        let (state, sequence) = folded.map_err(AuditError::from)?;
        let after = (sequence - EVENTS_LOOKED_THROUGH).max(0);
        let page =
            reader::user_page(lane, &user, after, EVENTS_LOOKED_THROUGH, &mut connection).await;
        let refused = refused(page.map_err(AuditError::from)?, id)?;
        drop(connection);
        let request = ScreenRequest { task: Some(id), ..ScreenRequest::default() };
        let screen = off_the_runtime(|| screen(&user, &state, &known, now, &request)).pop();
        let blocking = parked::queue_of(pool, lane, user.as_str(), 1).await;
        let blocking = blocking.map_err(AuditError::from)?.first().map(|parked| parked.id);
        let Outlook { obstacles: found, withheld_by, is_held } =
            off_the_runtime(|| outlook(&user, &state, task, now));
        let obstacles = obstacles(id, blocking, found, (&user, &state));
        let delays = delays(id, &withheld_by, is_held);
        let prepared = match action {
            Some(action) => {
                let user = Some(user.clone());
                let (actions, drafts) = (vec![action], vec![]);
                let input = SimulationInput { user, actions, drafts, latest, now };
                Some(Simulation::prepare(input, lane_count, catalogue, pool).await?)
            }
            None => None,
        };
        let id = id.clone();
        let (at, action) = (now, None);
        let why = Self { user, task: id, at, obstacles, delays, action, refused, screen };
        Ok(PreparedWhy { why, action: prepared })
    }
}

impl PreparedWhy {
    /// Simulates the action, if one was given.
    pub fn run(self) -> Result<Why, WhyError> {
        let Self { mut why, action } = self;
        if let Some(prepared) = action {
            let simulated = prepared.run()?.actions.pop();
            why.action = simulated.map(|simulated| verdict(simulated, &why.task));
        }
        Ok(why)
    }
}

fn verdict(simulated: SimulatedAction, task: &TaskId) -> ActionVerdict {
    let SimulatedAction { duplicate, parked, events, unmoved, .. } = simulated;
    let events = events.into_iter().filter(|event| event.task() == Some(task)).collect();
    let unmoved = unmoved.into_iter().find(|unmoved| unmoved.task == *task);
    ActionVerdict { duplicate, parked, events, unmoved }
}

fn refused(page: Vec<reader::Entry>, task: &TaskId) -> Result<Vec<EventEntry>, AuditError> {
    let is_refusal = |entry: &reader::Entry| {
        let event = entry.as_ref().ok().map(|recorded| &recorded.event);
        matches!(event, Some(Event::ActionTooLate { task: of, .. } | Event::ActionNotCounted { task: of, .. }) if of == task)
    };
    let found: Vec<_> = page.into_iter().filter(is_refusal).collect();
    let skipped = found.len().saturating_sub(REFUSED_MAX);
    found.into_iter().skip(skipped).map(EventEntry::new).collect()
}

/// Lists the parked record that the user's actions wait behind, then the obstacles of the task
/// itself.
fn obstacles(
    id: &TaskId,
    blocking: Option<Uuid>,
    found: Vec<user_tasks::Obstacle>,
    of: (&UserId, &UserTasks),
) -> Vec<Obstacle> {
    let parked = blocking.map(|parked| {
        let help = "release or discard that one first";
        let detail = format!("the user's actions wait behind the parked record {parked}; {help}");
        Obstacle { reason: "parked", detail }
    });
    parked
        .into_iter()
        .chain(found.into_iter().map(|obstacle| described(id, obstacle, of)))
        .collect()
}

fn described(
    id: &TaskId,
    obstacle: user_tasks::Obstacle,
    (user, state): (&UserId, &UserTasks),
) -> Obstacle {
    use user_tasks::Obstacle as Found;
    let (reason, detail) = match obstacle {
        Found::Paused => {
            ("paused", format!("the task is paused; `plaudit tasks resume {id}` resumes it"))
        }
        Found::Retired => ("retired", "the task is retired for good".to_owned()),
        Found::OutsideAudience(audience) => {
            let saw = seen_values::of_user(&audience, user, state);
            ("not_in_audience", outside(&audience, &saw))
        }
        Found::OutsideWindow(window) => {
            let end = |at: Option<Timestamp>| at.map_or("open".to_owned(), |at| at.to_string());
            let (from, until) = (end(window.from), end(window.until));
            let detail = format!("the task's window is not open now: {from} to {until}");
            ("outside_window", detail)
        }
        Found::TooLate { period, watermark } => {
            let closed_by = format!("period {period} was closed by an action of {watermark}");
            ("too_late", format!("{closed_by}, the latest one that the task counted"))
        }
        Found::Completed(period) => {
            let next = next_begins(&period, "it is not repeated");
            ("completed", format!("period {} is completed; {next}", period.key))
        }
        Found::HasStep(period) => {
            let next = next_begins(&period, "there is none after it");
            ("completed", format!("period {} has its step; {next}", period.key))
        }
        Found::Locked(missing) => {
            ("locked", format!("locked until these are completed: {}", listed(&missing)))
        }
        Found::CapUsedUp { cap, period } => {
            let used_up =
                format!("the cap of {cap} per period is used up in period {}", period.key);
            let next = next_begins(&period, "it is not repeated");
            ("cap_used_up", format!("{used_up}; {next}"))
        }
    };
    Obstacle { reason, detail }
}

fn outside(audience: &Audience, saw: &Map<String, Value>) -> String {
    let mut conditions: Vec<String> =
        audience.filter.iter().map(|f| format!("where: {f}")).collect();
    if let Some(share) = audience.share {
        conditions.push(format!("percent: {}", f64::from(u32::from(share)) / 100.0));
    }
    let saw = saw.iter().fold(String::new(), |mut text, (path, value)| {
        let _ = write!(text, "; {path} = {value}");
        text
    });
    let kept = "what the user earned stays claimable";
    format!("the user is outside the task's audience ({}{saw}); {kept}", conditions.join(", "))
}

fn next_begins(period: &Period, otherwise: &str) -> String {
    let begins = |at: Timestamp| format!("the next one begins at {at}");
    period.ends_at.map_or_else(|| otherwise.to_owned(), begins)
}

fn listed(tasks: &[TaskId]) -> String {
    tasks.iter().map(TaskId::as_str).collect::<Vec<_>>().join(", ")
}

/// The reasons for which rewards of counted actions are delayed.
fn delays(id: &TaskId, withheld_by: &[TaskId], is_held: bool) -> Vec<Obstacle> {
    let withheld = (!withheld_by.is_empty()).then(|| Obstacle {
        reason: "locked",
        detail: format!(
            "actions count, and what they reach is granted once these are completed: {}",
            listed(withheld_by)
        ),
    });
    let held = is_held.then(|| Obstacle {
        reason: "held",
        detail: format!(
            "actions count, and what they reach is granted by `plaudit tasks backfill release {id}`"
        ),
    });
    withheld.into_iter().chain(held).collect()
}
