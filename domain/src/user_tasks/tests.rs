//! The rules of `docs/rules.md`, case by case: given events, when an action or command, then
//! events.
//!
//! The tasks of these tests count gifts unless they say otherwise; instants are in March 2026.
#![expect(clippy::needless_pass_by_value, reason = "definitions are written in place, as json!")]

mod age;
mod allowance;
mod audiences;
mod backfill;
mod budgets;
mod by_hand;
mod carry_over;
mod claims;
mod composites;
mod corrections;
mod counting;
mod deliveries;
mod lapses;
mod locks;
mod measures;
mod obstacles;
mod reversals;
mod sequences;
mod streaks;
mod times;
mod versions;
mod zones;

use std::sync::Arc;

use jiff::Timestamp;
use serde_json::{Value, json};

use super::*;
use crate::action::{Action, Parts};
use crate::calendar::Period;
use crate::catalogue::definition::{BackfillRewards, ClaimMode, TaskDefinition};
use crate::catalogue::{BudgetsUsed, Catalogue, CatalogueTask, Status, TaskVersion};
use crate::ids::{TaskId, UserId};

/// `29T12:30` is 2026-03-29T12:30:00Z.
pub(crate) fn at(text: &str) -> Timestamp {
    format!("2026-03-{text}:00Z").parse().unwrap()
}

pub(crate) fn id(text: &str) -> TaskId {
    text.parse().unwrap()
}

pub(crate) fn user() -> UserId {
    "u42".parse().unwrap()
}

/// A task of three gifts a day, with some of its fields changed.
pub(crate) fn daily(changes: Value) -> Value {
    let mut task = json!({
        "id": "daily", "kind": "periodic", "every": "day",
        "text": { "en": { "title": "Daily gifts" } }, "default_locale": "en",
        "objective": { "on": ["gift.sent"], "target": 3 },
        "milestones": [{ "at": 3, "rewards": [coins(10)] }],
    });
    task.as_object_mut().unwrap().extend(changes.as_object().unwrap().clone());
    task
}

/// A daily task that pays at each of these counts of gifts, the last of which is its target.
pub(crate) fn daily_with(milestones: &[i64], mut changes: Value) -> Value {
    let pays = |at: &i64| json!({ "at": at, "rewards": [coins(10 * at)] });
    changes["milestones"] = milestones.iter().map(pays).collect();
    changes["objective"] = json!({ "on": ["gift.sent"], "target": milestones.last().unwrap() });
    daily(changes)
}

/// A task that is done once, by one gift.
pub(crate) fn first_gift(changes: Value) -> Value {
    let mut task = daily(json!({
        "id": "first-gift", "kind": "ordinary", "every": "once",
        "objective": { "on": ["gift.sent"], "target": 1 },
        "milestones": [{ "at": 1, "rewards": [coins(100)] }],
    }));
    task.as_object_mut().unwrap().extend(changes.as_object().unwrap().clone());
    task
}

/// A streak of daily sign-ins that pays at these lengths.
pub(crate) fn sign_in(milestones: &[i64], changes: Value) -> Value {
    let pays = |at: &i64| json!({ "at": at, "rewards": [coins(10 * at)] });
    let mut task = daily(json!({
        "id": "sign-in", "kind": "continuous", "streak": {},
        "objective": { "on": ["user.signed_in"], "target": 1 },
        "milestones": milestones.iter().map(pays).collect::<Value>(),
    }));
    task.as_object_mut().unwrap().extend(changes.as_object().unwrap().clone());
    task
}

pub(crate) fn coins(amount: i64) -> Value {
    json!({ "line": "coins", "kind": "currency", "code": "coin", "amount": amount })
}

/// A catalogue of these tasks; one that is named again is a further version.
pub(crate) fn catalogue(definitions: impl IntoIterator<Item = Value>) -> Catalogue {
    catalogue_in(Status::Active, definitions)
}

/// A catalogue whose tasks all have this status.
pub(crate) fn catalogue_in(
    status: Status,
    definitions: impl IntoIterator<Item = Value>,
) -> Catalogue {
    Catalogue::new(1, tasks_in(status, definitions)).unwrap()
}

/// Tasks that all have this status; one that is named again is a further version.
fn tasks_in(status: Status, definitions: impl IntoIterator<Item = Value>) -> Vec<CatalogueTask> {
    let mut tasks: Vec<CatalogueTask> = Vec::new();
    for definition in definitions {
        let definition: TaskDefinition = serde_json::from_value(definition).unwrap();
        let index = tasks.iter().position(|t| t.id == definition.id).unwrap_or_else(|| {
            let (id, status_since) = (definition.id.clone(), at("01T00:00"));
            tasks.push(CatalogueTask {
                id,
                status,
                status_since,
                versions: vec![],
                amnesties: vec![],
            });
            tasks.len() - 1
        });
        let number = u32::try_from(tasks[index].versions.len() + 1).unwrap();
        let version = TaskVersion::new(definition, number, at("01T00:00")).unwrap();
        tasks[index].versions.push(Arc::new(version));
    }
    tasks
}

pub(crate) fn action(kind: &str, at: Timestamp, data: &Value) -> Input {
    let (time, data) = (at.to_string(), data.as_object().unwrap().clone());
    let parts = Parts { user: "u42", source: "/test", id: &time, kind, time: &time, data };
    Input::RecordAction { action: Action::new(parts).unwrap(), seed: Seed(1) }
}

pub(crate) fn gift(when: &str) -> Input {
    action("gift.sent", at(when), &json!({}))
}

pub(crate) fn signs_in(when: &str) -> Input {
    action("user.signed_in", at(when), &json!({}))
}

pub(crate) fn moves_to(zone: &str, when: &str) -> Input {
    action("plaudit.user.updated", at(when), &json!({ "zone": zone }))
}

/// A claim of the oldest milestone.
pub(crate) fn claim(task: &str, when: &str) -> Input {
    claim_of(task, None, None, when)
}

pub(crate) fn claim_of(
    task: &str,
    period: Option<&str>,
    milestone: Option<i64>,
    when: &str,
) -> Input {
    let period = period.map(|key| key.to_owned().into());
    let (task, claimed_at) = (id(task), at(when));
    Command::ClaimRewards { user: user(), task, period, milestone, claimed_at }.into()
}

/// The UTC day of March 2026.
pub(crate) fn day(day: u8) -> Period {
    let midnight = |day| at(&format!("{day:02}T00:00"));
    period(&format!("2026-03-{day:02}"), Some(midnight(day)), Some(midnight(day + 1)))
}

pub(crate) fn once() -> Period {
    period("once", None, None)
}

pub(crate) fn period(key: &str, from: Option<Timestamp>, until: Option<Timestamp>) -> Period {
    Period { key: key.to_owned().into(), starts_at: from, ends_at: until }
}

/// Progress by version 1; `added` to make `total` of `target`.
fn progressed(task: &str, period: Period, [added, total, target]: [i64; 3], when: &str) -> Event {
    let (task, at) = (id(task), at(when));
    let (version, closes_at, withheld) = (1, None, false);
    let (credited, progress) = (added, total);
    Event::ProgressRecorded {
        task,
        version,
        period,
        closes_at,
        credited,
        progress,
        target,
        at,
        withheld,
        held: false,
        carried: 0,
        surplus: 0,
        dropped: 0,
        latest: false,
        value: None,
        day: None,
        completion_of: None,
    }
}

fn withheld(mut event: Event) -> Event {
    let Event::ProgressRecorded { withheld, .. } = &mut event else { panic!("{event:?}") };
    *withheld = true;
    event
}

fn closing(mut event: Event, when: &str) -> Event {
    let Event::ProgressRecorded { closes_at, .. } = &mut event else { panic!("{event:?}") };
    *closes_at = Some(at(when));
    event
}

/// Progress of which so much exceeds the target and counts nowhere.
fn dropping(mut event: Event, amount: i64) -> Event {
    let Event::ProgressRecorded { dropped, .. } = &mut event else { panic!("{event:?}") };
    *dropped = amount;
    event
}

fn by_version(number: u32, mut event: Event) -> Event {
    match &mut event {
        Event::ProgressRecorded { version, .. } | Event::TaskCompleted { version, .. } => {
            *version = number;
        }
        Event::MilestoneReached { version, rewards, .. } => {
            *version = number;
            rewards.iter_mut().for_each(|reward| reward.version = number);
        }
        other => panic!("{other:?}"),
    }
    event
}

/// A milestone of version 1 that pays these coins on a claim.
fn reached(task: &str, period: &Period, milestone: i64, amount: i64, when: &str) -> Event {
    let rewards = rewards(task, period, milestone, amount, when);
    let (task, period, at) = (id(task), period.clone(), at(when));
    let mode = ClaimMode::Manual;
    let terms = ClaimTerms::default();
    Event::MilestoneReached {
        task,
        version: 1,
        period,
        milestone,
        at,
        mode,
        rewards,
        terms,
        budgeted: None,
    }
}

fn completed(task: &str, period: &Period, when: &str) -> Event {
    let (task, period, at) = (id(task), period.key.clone(), at(when));
    Event::TaskCompleted { task, version: 1, period, at }
}

fn rewards(task: &str, period: &Period, milestone: i64, amount: i64, when: &str) -> Vec<Reward> {
    let line = serde_json::from_value(coins(amount)).unwrap();
    let (user, task, reached_at) = (user(), id(task), at(when));
    let earned =
        Earned { user: &user, task: &task, version: 1, period: &period.key, milestone, reached_at };
    vec![earned.reward(&line, Seed::default())]
}

/// A user of whom these facts are known.
pub(crate) fn given<'c>(catalogue: &'c Catalogue, events: &[Event]) -> Given<'c> {
    Given { catalogue, state: fold(events) }
}
#[derive(Clone)]
pub(crate) struct Given<'c> {
    pub catalogue: &'c Catalogue,
    pub state: UserTasks,
}

impl Given<'_> {
    /// Lets the rules themselves make the past.
    #[track_caller]
    pub(crate) fn after(mut self, inputs: &[impl Into<Input> + Clone]) -> Self {
        for input in inputs {
            for event in decide(&self.state, input, self.catalogue).unwrap().events {
                evolve(&mut self.state, &event);
            }
        }
        self
    }

    /// The same user under another catalogue.
    fn under(self, catalogue: &Catalogue) -> Given<'_> {
        Given { catalogue, state: self.state }
    }

    fn when(&self, input: &(impl Into<Input> + Clone)) -> When {
        When { state: self.state.clone(), outcome: decide(&self.state, input, self.catalogue) }
    }
}

/// The input of the rules: an action, or a command.
#[derive(Debug, Clone)]
pub(crate) enum Input {
    RecordAction { action: Action, seed: Seed },
    ReverseAction { action: Action, seed: Seed, credited: Credited },
    CountPast { task: TaskId, action: Action, rewards: BackfillRewards, counted_at: Timestamp },
    Command(Command),
}

impl From<Command> for Input {
    fn from(command: Command) -> Self {
        Self::Command(command)
    }
}

/// Decides while nothing of any budget is used.
pub(crate) fn decide(
    state: &UserTasks,
    input: &(impl Into<Input> + Clone),
    catalogue: &Catalogue,
) -> Result<Decision, CommandRejection> {
    decide_within(state, input, catalogue, &BudgetsUsed::default())
}

fn decide_within(
    state: &UserTasks,
    input: &(impl Into<Input> + Clone),
    catalogue: &Catalogue,
    used: &BudgetsUsed,
) -> Result<Decision, CommandRejection> {
    match &input.clone().into() {
        Input::RecordAction { action, seed } => {
            let input = ActionInput { action, seed: *seed, credited: None };
            Ok(decide_action(state, input, catalogue, used))
        }
        Input::ReverseAction { action, seed, credited } => {
            let input = ActionInput { action, seed: *seed, credited: Some(credited) };
            Ok(decide_action(state, input, catalogue, used))
        }
        Input::CountPast { task, action, rewards, counted_at } => {
            let (seed, rewards, counted_at) = (Seed(1), *rewards, *counted_at);
            let past = PastAction { task, action, seed, rewards, counted_at };
            Ok(decide_past_action(state, past, catalogue, used))
        }
        Input::Command(command) => decide_command(state, command, catalogue, used),
    }
}

struct When {
    state: UserTasks,
    outcome: Result<Decision, CommandRejection>,
}

impl When {
    /// Exactly these facts follow; folding each of them twice is the same as once.
    #[track_caller]
    fn then(self, expected: &[Event]) {
        let events = self.outcome.unwrap().events;
        assert_eq!(events, expected);
        check_folding_twice(&self.state, &events);
    }

    /// The facts that follow.
    #[track_caller]
    fn events(self) -> Vec<Event> {
        self.outcome.unwrap().events
    }

    /// No fact follows, for this reason.
    #[track_caller]
    fn then_nothing(self, task: &str, reason: UnmovedReason) {
        let decision = self.outcome.unwrap();
        assert_eq!(decision.events, []);
        assert!(decision.unmoved.contains(&Unmoved { task: id(task), reason }), "{decision:?}");
    }

    #[track_caller]
    fn then_rejected(self, expected: &(impl Into<CommandRejection> + Clone)) {
        assert_eq!(self.outcome.unwrap_err(), expected.clone().into());
    }
}

/// Folding each of these facts twice is the same as once.
#[track_caller]
fn check_folding_twice(state: &UserTasks, events: &[Event]) {
    let (mut once, mut twice) = (state.clone(), state.clone());
    for event in events {
        evolve(&mut once, event);
        evolve(&mut twice, event);
        evolve(&mut twice, event);
    }
    assert_eq!(once, twice, "folding a fact twice");
}

/// A correction of a period of version 1: `credited` to make `total` of `target`, by whom and why.
fn progress_corrected(
    task: &str,
    period: Period,
    [credited, total, target]: [i64; 3],
    when: &str,
    (by, reason): (Option<&str>, &str),
) -> Event {
    Event::ProgressCorrected {
        task: id(task),
        version: 1,
        period,
        closes_at: None,
        credited,
        progress: total,
        target,
        at: at(when),
        withheld: false,
        carried: 0,
        surplus: 0,
        starts_over: false,
        by: by.map(str::to_owned),
        reason: reason.to_owned(),
    }
}
