//! The rules: state and command give events, or a rejection.

mod adopted;
mod attributes;
mod backfill;
mod budgets;
mod claim;
mod correct;
mod delivery;
mod measure;
pub mod obstacles;
pub(crate) mod progress;
mod reverse;
mod settle;
pub mod streak;
mod unmoved;

use std::borrow::Cow;
use std::cell::RefCell;
use std::collections::BTreeSet;

use super::command::{
    ActionInput, BackfillRelease, Command, HandCommand, ParkedVerdict, PastAction, Resolution,
};
use super::event::Event;
use super::evolve::evolve;
use super::seed::Seed;
use super::state::{TaskState, UserTasks};
use jiff::Timestamp;
use serde_json::Map;

use crate::action::{Action, ActionBody, UserUpdate};
use crate::catalogue::definition::BackfillRewards;
use crate::catalogue::{BudgetsUsed, Catalogue, CatalogueTask, TaskVersion};
use crate::expression::{Allowance, EvaluationError, Filter, Variables};
use crate::ids::{TaskId, UserId};

use attributes::attributes_fit;
use measure::Cause;

pub use claim::{
    ClaimRejection, ClaimRequest, ClaimedMilestone, CommandRejection, Rejection, decide_claim,
};
pub use delivery::{
    decide_deliveries_settled, decide_deliveries_started, decide_redelivery,
    decide_repeated_acknowledgement,
};
pub use measure::distinct_values;
pub use unmoved::{Unmoved, UnmovedReason};

/// The result of a command or an action.
#[derive(Debug, Default, PartialEq)]
pub struct Decision {
    /// The facts, in order. None: the input is fine and changes nothing.
    pub events: Vec<Event>,
    /// The subscribed tasks that did not move, each with the reason.
    pub unmoved: Vec<Unmoved>,
}

impl Decision {
    fn add(&mut self, task: &CatalogueTask, advanced: Result<Vec<Event>, UnmovedReason>) {
        match advanced {
            Ok(events) => self.events.extend(events),
            Err(reason) => self.unmoved.push(Unmoved { task: task.id.clone(), reason }),
        }
    }
}

/// Decides which facts follow from an action. Changes nothing and reads no clock. `used` holds what
/// earlier grants took of the budgets; the amounts that this action takes are in its facts.
pub fn decide_action(
    state: &UserTasks,
    input: ActionInput<'_>,
    catalogue: &Catalogue,
    used: &BudgetsUsed,
) -> Decision {
    let mut decision = record(state, input, catalogue);
    if let (ActionBody::Reversal(reversal), Some(credited)) = (input.action.body(), input.credited)
    {
        reverse::reverse(&mut decision, state, input, (reversal, credited), catalogue);
    }
    // Rewards are granted within the budgets, whichever rule reached the milestone.
    budgets::allot(&mut decision.events, catalogue, used);
    decision
}

/// Decides which facts follow for one task from an action decided before the task was published.
pub fn decide_past_action(
    state: &UserTasks,
    past: PastAction<'_>,
    catalogue: &Catalogue,
    used: &BudgetsUsed,
) -> Decision {
    let mut decision = backfill::count(state, past, catalogue);
    budgets::allot(&mut decision.events, catalogue, used);
    decision
}

/// Decides which facts follow from a command, as [`decide_action`] does from an action.
///
/// # Errors
///
/// A [`CommandRejection`]: an answer, not a fault.
pub fn decide_command(
    state: &UserTasks,
    command: &Command,
    catalogue: &Catalogue,
    used: &BudgetsUsed,
) -> Result<Decision, CommandRejection> {
    let events = match command {
        Command::ByHand(command) => return Ok(decide_by_hand(state, command, catalogue, used)?),
        Command::ReleaseBackfill(release) => {
            return Ok(decide_backfill_release(state, release, catalogue, used));
        }
        Command::ClaimRewards { user: _, task, period, milestone, claimed_at } => {
            let (period, milestone, at) = (period.as_ref(), *milestone, *claimed_at);
            let request = ClaimRequest { task, period, milestone, at };
            vec![decide_claim(state, &request, catalogue)?.into()]
        }
        Command::StartDeliveries { rewards } => decide_deliveries_started(state, rewards),
        Command::SettleDeliveries { settled, at } => decide_deliveries_settled(state, settled, *at),
        Command::Settle { as_of } => decide_settle(state, *as_of, catalogue, used),
        Command::Redeliver(redelivery) => vec![decide_redelivery(state, redelivery)?],
        Command::ResolveParked(resolution) => vec![decide_parked_resolution(resolution)],
    };
    Ok(Decision { events, unmoved: vec![] })
}

/// Decides which facts follow from a change by hand.
///
/// # Errors
///
/// A [`Rejection`]: an answer, not a fault.
pub fn decide_by_hand(
    state: &UserTasks,
    command: &HandCommand,
    catalogue: &Catalogue,
    used: &BudgetsUsed,
) -> Result<Decision, Rejection> {
    let mut decision = match command {
        HandCommand::GrantFreezes { user: _, task, count, reason, by, at } => {
            let (reason, by) = (reason.as_deref(), by.as_deref());
            let request = streak::Grant { task, count: *count, reason, by, at: *at };
            Decision { events: streak::grant(state, &request, catalogue)?, unmoved: vec![] }
        }
        HandCommand::Correct(correction) => correct::correct(state, correction, catalogue)?,
    };
    budgets::allot(&mut decision.events, catalogue, used);
    Ok(decision)
}

/// Decides which rewards are granted that the backfill of a task holds back: none if it holds none.
pub fn decide_backfill_release(
    state: &UserTasks,
    release: &BackfillRelease,
    catalogue: &Catalogue,
    used: &BudgetsUsed,
) -> Decision {
    let mut decision = backfill::release(state, release, catalogue);
    budgets::allot(&mut decision.events, catalogue, used);
    decision
}

/// Decides the effects of time alone on rewards and on the streaks that are loaded, and which
/// waiting rewards the budgets hold by now.
pub fn decide_settle(
    state: &UserTasks,
    as_of: Timestamp,
    catalogue: &Catalogue,
    used: &BudgetsUsed,
) -> Vec<Event> {
    let mut events = settle::settle(state, as_of, catalogue);
    budgets::allot(&mut events, catalogue, used);
    events.extend(budgets::grant_waiting(state, as_of, catalogue, used));
    events
}

/// Records an operator's decision about a parked record.
pub fn decide_parked_resolution(resolution: &Resolution) -> Event {
    let Resolution { parked, verdict, by, at } = resolution;
    let (parked, by, at) = (parked.to_string(), by.clone(), *at);
    match verdict.clone() {
        ParkedVerdict::Release { reason } => Event::ParkedReleased { parked, by, reason, at },
        ParkedVerdict::Discard { reason } => Event::ParkedDiscarded { parked, by, reason, at },
    }
}

/// An action with everything that decides its effect on a task.
pub(crate) struct ActionContext<'a> {
    pub(crate) state: &'a UserTasks,
    pub(crate) action: &'a Action,
    seed: Seed,
    variables: Variables<'a>,
    /// The allowance left for the expressions of all tasks together.
    allowance: RefCell<Allowance>,
    /// The treatment of the rewards that the action earns.
    earning: Earning<'a>,
    /// Tasks that this action completed, in any of their periods.
    completed_now: BTreeSet<TaskId>,
}

/// The treatment of the rewards that an action earns.
#[derive(Debug, Clone, Copy)]
enum Earning<'a> {
    /// The rewards are granted.
    Granted,
    /// The action is a past one that a backfill counts.
    Past(PastAction<'a>),
}

impl<'a> ActionContext<'a> {
    fn new(
        state: &'a UserTasks,
        action: &'a Action,
        seed: Seed,
        earning: Earning<'a>,
    ) -> ActionContext<'a> {
        let variables = Variables::new(action, state.zones.current(), &state.attributes);
        let allowance = RefCell::new(Allowance::of_many_tasks());
        let completed_now = BTreeSet::new();
        ActionContext { state, action, seed, variables, allowance, earning, completed_now }
    }

    /// Returns the treatment of the rewards of this task's milestones.
    fn rewards_of(&self, task: &TaskId) -> BackfillRewards {
        match self.earning {
            Earning::Past(past) if past.task == task => past.rewards,
            Earning::Past(_) | Earning::Granted => BackfillRewards::Grant,
        }
    }

    /// The time from which rewards granted now can be claimed. Nobody could claim the rewards of a
    /// past action before it was counted.
    fn claimable_from(&self) -> Timestamp {
        match self.earning {
            Earning::Past(past) => past.counted_at.max(self.action.occurred_at),
            Earning::Granted => self.action.occurred_at,
        }
    }

    /// True if the user has the task, with the attributes that hold after this action.
    fn is_in_audience(&self, version: &TaskVersion) -> bool {
        is_in_audience(&self.action.user, self.state, version, &self.allowance)
    }

    /// Evaluates a `where` for the action.
    fn matches(&self, filter: &Filter) -> Result<bool, EvaluationError> {
        filter.matches_within(&self.variables, &mut self.allowance.borrow_mut())
    }

    /// Returns the prerequisites that are still missing, the effects of this action included.
    fn locked_by(&self, requires: &[TaskId]) -> Vec<TaskId> {
        let mut missing = missing(self.state, requires);
        missing.retain(|id| !self.completed_now.contains(id));
        missing
    }
}

/// True if a user has a task, with the attributes of the moment.
fn is_in_audience(
    user: &UserId,
    state: &UserTasks,
    version: &TaskVersion,
    allowance: &RefCell<Allowance>,
) -> bool {
    let UserTasks { zones, attributes, .. } = state;
    version.is_in_audience(user, zones.current(), attributes, &mut allowance.borrow_mut())
}

/// Returns the prerequisites that were never completed.
fn missing(state: &UserTasks, requires: &[TaskId]) -> Vec<TaskId> {
    let is_completed =
        |id: &TaskId| state.tasks.get(id).is_some_and(|task| task.completed_at.is_some());
    requires.iter().filter(|id| !is_completed(id)).cloned().collect()
}

/// Decides the effect of an action on each task that subscribes to it, and the effect of the
/// completions that follow on the tasks that count them or are unlocked by them. A task comes after
/// those that it depends on.
fn record(state: &UserTasks, input: ActionInput<'_>, catalogue: &Catalogue) -> Decision {
    let ActionInput { action, seed, .. } = input;
    let mut decision = Decision::default();
    let mut state = Cow::Borrowed(state);
    match action.body() {
        ActionBody::UserUpdate(update) => {
            if let Some(updated) = update_user(&state, update, action.occurred_at) {
                evolve(state.to_mut(), &updated);
                decision.events.push(updated);
            }
        }
        ActionBody::Acknowledgement(acknowledgement) => {
            let fact = delivery::acknowledge(&state, acknowledgement, action.occurred_at);
            decision.events.push(fact);
        }
        ActionBody::Business | ActionBody::Reversal(_) => {}
    }
    let context = ActionContext::new(&state, action, seed, Earning::Granted);
    let subscribed = catalogue.subscribers(&action.kind);
    let waiting = subscribed.iter().copied().collect();
    decide_tasks(context, &mut decision, subscribed, waiting, catalogue);
    decision
}

/// Decides the waiting tasks: by the action, if they subscribe to it, and by the completions known
/// so far. A completed task adds its dependants to those that wait.
fn decide_tasks(
    mut context: ActionContext<'_>,
    decision: &mut Decision,
    subscribed: &[usize],
    mut waiting: BTreeSet<usize>,
    catalogue: &Catalogue,
) {
    let state = context.state;
    // A dependant may come up again, but each cause counts once.
    let (mut decided, mut counted) = (BTreeSet::new(), BTreeSet::new());
    while let Some(index) = waiting.pop_first() {
        let task = &catalogue.tasks()[index];
        let moved_from = decision.events.len();
        if subscribed.binary_search(&index).is_ok() && decided.insert(index) {
            let past = state.tasks.get(&task.id);
            decision.add(task, progress::advance(&context, task, past, Cause::Action));
            waiting.extend(composites_to_finish(state, task, catalogue));
        }
        for completed in &context.completed_now {
            if task.counts_completions_of(completed) && counted.insert((index, completed.clone())) {
                let past = past_with(state, task, &decision.events);
                let cause = Cause::Completion(completed);
                decision.add(task, progress::advance(&context, task, past.as_deref(), cause));
            }
        }
        let finished = adopted::finish(&context, task, &decision.events);
        if !finished.is_empty() {
            decision.unmoved.retain(|unmoved| unmoved.task != task.id);
            decision.events.extend(finished);
        }
        let released = progress::release(&context, task, &decision.events, catalogue);
        decision.events.extend(released);
        let completes = |e: &Event| matches!(e, Event::TaskCompleted { .. });
        if decision.events[moved_from..].iter().any(completes) {
            context.completed_now.insert(task.id.clone());
            waiting.extend(catalogue.dependants(&task.id));
        }
    }
}

/// Returns the composites that count a task and may already meet a later version's target. Perhaps
/// none of the tasks that they count is ever completed again, so each action that concerns one of
/// these has to check the composites.
fn composites_to_finish(
    state: &UserTasks,
    task: &CatalogueTask,
    catalogue: &Catalogue,
) -> Vec<usize> {
    let may_finish = |index: &usize| {
        let dependant = &catalogue.tasks()[*index];
        adopted::may_finish(dependant, state.tasks.get(&dependant.id))
            && dependant.counts_completions_of(&task.id)
    };
    catalogue.dependants(&task.id).iter().copied().filter(may_finish).collect()
}

/// Returns the past of a task, with the effects of the action at hand.
fn past_with<'s>(
    state: &'s UserTasks,
    task: &CatalogueTask,
    so_far: &[Event],
) -> Option<Cow<'s, TaskState>> {
    let past = state.tasks.get(&task.id);
    let mut of_task = so_far.iter().filter(|event| event.task() == Some(&task.id)).peekable();
    if of_task.peek().is_none() {
        return past.map(Cow::Borrowed);
    }
    let tasks = past.map(|past| (task.id.clone(), past.clone())).into_iter().collect();
    let mut folded = UserTasks { tasks, ..UserTasks::default() };
    of_task.for_each(|event| evolve(&mut folded, event));
    folded.tasks.remove(&task.id).map(Cow::Owned)
}

/// Returns the event of an update of a user; `None` if a later one was taken before.
fn update_user(state: &UserTasks, update: &UserUpdate, at: Timestamp) -> Option<Event> {
    if state.updated_at.is_some_and(|taken| at < taken) {
        return None;
    }
    let mut refused = Vec::new();
    let zone = update.zone.clone().filter(|name| {
        let taken = state.zones.check_change(at, name);
        refused.extend(taken.err().map(|reason| reason.to_string()));
        taken.is_ok()
    });
    let attributes = match attributes_fit(&state.attributes, &update.attributes) {
        Ok(()) => update.attributes.clone(),
        Err(reason) => {
            refused.push(reason);
            Map::new()
        }
    };
    let refused = (!refused.is_empty()).then(|| refused.join("; "));
    Some(Event::UserUpdated { at, zone, attributes, refused })
}
