//! Reversals: a producer takes an earlier action back. Its credit to open periods is undone as far
//! as the exact amount is known.

use std::borrow::Cow;
use std::cmp::Ordering;

use super::correct::progress::{Author, Corrected};
use super::{ActionContext, Decision, Earning};
use crate::action::{Action, Reversal};
use crate::calendar::PeriodKey;
use crate::catalogue::Catalogue;
use crate::catalogue::definition::Measure;
use crate::ids::TaskId;
use crate::user_tasks::command::ActionInput;
use crate::user_tasks::correction::Credited;
use crate::user_tasks::event::Event;
use crate::user_tasks::evolve::evolve;
use crate::user_tasks::place::place;
use crate::user_tasks::seed::Seed;
use crate::user_tasks::seen::Seen;
use crate::user_tasks::state::{PeriodState, UserTasks};

/// Adds the events of a reversal to those of the action that asks for it: what it takes back, and
/// what stands.
pub(super) fn reverse(
    decision: &mut Decision,
    state: &UserTasks,
    input: ActionInput<'_>,
    (reversal, credited): (&Reversal, &Credited),
    catalogue: &Catalogue,
) {
    let ActionInput { action, seed, .. } = input;
    let target = &reversal.target;
    let refused = match credited {
        _ if !target.is_named() => Some(
            "data.source and data.id name the action that is reversed, each in 1 to 256 bytes of \
             text without control characters",
        ),
        Credited::Unknown => Some(
            "no such action of the user is known; identities are remembered for at least seven days",
        ),
        Credited::ReversedBefore => Some("the action was reversed before"),
        Credited::Facts(facts) if facts.is_empty() => Some("the action moved nothing"),
        Credited::Facts(_) => None,
    };
    decision.events.push(Event::ActionReversed {
        source: target.source.clone(),
        id: target.id.clone(),
        refused: refused.map(ToOwned::to_owned),
        at: action.occurred_at,
    });
    let Credited::Facts(facts) = credited else { return };
    if refused.is_some() {
        return;
    }
    let mut state = Cow::Borrowed(state);
    for event in &decision.events {
        evolve(state.to_mut(), event);
    }
    for fact in facts {
        let taking = TakeBack { state: &state, action, reversal, seed, facts, catalogue };
        let taken = taking.take_back(fact);
        for event in &taken {
            evolve(state.to_mut(), event);
        }
        decision.events.extend(taken);
    }
}

struct TakeBack<'a> {
    state: &'a UserTasks,
    action: &'a Action,
    reversal: &'a Reversal,
    seed: Seed,
    /// All facts of the earlier action.
    facts: &'a [Event],
    catalogue: &'a Catalogue,
}

impl TakeBack<'_> {
    /// Returns the events of taking one fact back.
    fn take_back(&self, fact: &Event) -> Vec<Event> {
        let kept = |task: &TaskId, version: u32, period: &PeriodKey, reason: &str| {
            vec![self.kept((task, version, period), 0, reason)]
        };
        match fact {
            Event::ProgressRecorded { task, version, period, .. } => {
                self.progress(fact, (task, *version, &period.key))
            }
            Event::PeriodMadeUp { task, version, period, .. } => {
                kept(task, *version, &period.key, "a period that was made up stays a step")
            }
            Event::FreezeReserved { task, version, period, .. } => {
                kept(task, *version, &period.key, "the freeze stays kept for the period")
            }
            // Part of the progress, or a fact that credited nothing.
            _ => vec![],
        }
    }

    fn progress(&self, fact: &Event, about: About<'_>) -> Vec<Event> {
        let Event::ProgressRecorded { task, version, credited, dropped, progress, .. } = fact
        else {
            return vec![];
        };
        let Some(of) = self.catalogue.task(task) else {
            return vec![self.kept(about, *credited, "the task is not in the catalogue")];
        };
        let past = self.state.tasks.get(task);
        let open = past.and_then(|past| past.periods.iter().find(|p| p.period.key == *about.2));
        let Some(open) = open else {
            return vec![self.kept(about, *credited, "the period is closed")];
        };
        let inside = open.period.starts_at.unwrap_or(self.action.occurred_at);
        let context = ActionContext::new(self.state, self.action, self.seed, Earning::Granted);
        let place = place(of, past, &self.state.zones, inside);
        let corrected = Corrected { context: &context, task: of, past, place };
        if corrected.is_closed() {
            return vec![self.kept(about, *credited, "the period is closed")];
        }
        let applied_version = of.version(*version).unwrap_or(of.current());
        let exactness = how_exactly(fact, &applied_version.definition.objective.measure);
        match exactness.fate(open, about, *progress) {
            Fate::Outdated => return vec![],
            Fate::Corrected => return vec![self.kept(about, *credited, CORRECTED_BEFORE)],
            Fate::Replaced => return vec![self.kept(about, 0, REPLACED)],
            Fate::Stands => {}
        }
        if corrected.is_step() {
            let reason = "the period is a step of the streak, which stands";
            return vec![self.kept(about, *credited, reason)];
        }
        let reason = match exactness {
            Exactness::Sum => {
                return self.sum(&corrected, about, credited.saturating_sub(*dropped));
            }
            Exactness::Highest => "the next lower value of a `max` is not known",
            Exactness::Latest(_) => "which value of a `latest` stood before is not known",
            Exactness::Once => "another action may have counted the same value, day or completion",
        };
        vec![self.kept(about, *credited, reason)]
    }

    /// Takes an amount back from the count or sum of a period.
    fn sum(&self, corrected: &Corrected<'_>, about: About<'_>, amount: i64) -> Vec<Event> {
        let surplus = corrected.place.open.map_or(0, |open| open.surplus);
        // The next period has taken this over; it is not here any more.
        let moved_on = if corrected.place.carries_over { 0 } else { surplus };
        let value = corrected.value();
        let left = value.saturating_add(moved_on).saturating_sub(amount).clamp(0, value);
        let taken = value - left;
        let mut events = Vec::new();
        if taken > 0 {
            let author = Author { by: None, reason: &self.reversal.reason };
            events.push(corrected.at(left, corrected.is_unlocked(), author).0);
            events.extend(self.milestones_kept(about, left));
        }
        if taken < amount {
            let reason = match moved_on {
                0 => CORRECTED_BEFORE,
                _ => "the next period has taken it over",
            };
            events.push(self.kept(about, amount - taken, reason));
        }
        events
    }

    /// Returns the milestones that the earlier action reached and that the remaining progress would
    /// not.
    fn milestones_kept(&self, about: About<'_>, progress: i64) -> Vec<Event> {
        let of_period = self.facts.iter().filter_map(|fact| match fact {
            Event::MilestoneReached { task, period, milestone, .. }
                if task == about.0 && period.key == *about.2 && *milestone > progress =>
            {
                Some(*milestone)
            }
            _ => None,
        });
        let kept = |milestone| {
            let reason = format!(
                "milestone {milestone} stays reached, and its rewards granted; revoke them by hand"
            );
            self.kept(about, 0, &reason)
        };
        of_period.map(kept).collect()
    }

    fn kept(&self, (task, version, period): About<'_>, credited: i64, reason: &str) -> Event {
        let (task, period, reason) = (task.clone(), period.clone(), reason.to_owned());
        Event::CreditKept { task, version, period, credited, reason, at: self.action.occurred_at }
    }
}

/// The reason if a credit is gone already.
const CORRECTED_BEFORE: &str = "the period holds no more of it: it was corrected before";

/// The reason if a period has another value than that of the earlier action.
const REPLACED: &str =
    "the period has another value by now, of another action or of a correction, which stands";

/// A task, the version that applied to the earlier action, and a period.
type About<'a> = (&'a TaskId, u32, &'a PeriodKey);

/// The condition under which a credit can be taken back exactly.
#[derive(Clone, Copy)]
enum Exactness {
    /// None: the amount is subtracted.
    Sum,
    /// The next lower value is known.
    Highest,
    /// The value from before the action of this time is known.
    Latest(jiff::Timestamp),
    /// No other action had the same value.
    Once,
}

/// The fate of the earlier action's credit, as far as the period shows it.
enum Fate {
    /// The period has the credit.
    Stands,
    /// A reset or a correction took the credit away.
    Corrected,
    /// Another value stands. The period does not show whether it is that of another action, or
    /// whether a correction raised or lowered the value of this one.
    Replaced,
    /// The value of a later action stands.
    Outdated,
}

impl Exactness {
    /// The fate of a credit that brought the period to `progress`.
    fn fate(self, open: &PeriodState, (_, version, _): About<'_>, progress: i64) -> Fate {
        match self {
            Self::Once if open.progress == 0 => Fate::Corrected,
            // `TakeBack::sum` finds out how much of an amount is left.
            Self::Sum | Self::Once => Fate::Stands,
            Self::Highest => match open.progress.cmp(&progress) {
                Ordering::Greater => Fate::Replaced,
                Ordering::Equal => Fate::Stands,
                // The version that the period goes by has a lower target, which cut the value.
                Ordering::Less if open.completed => Fate::Stands,
                Ordering::Less => Fate::Corrected,
            },
            Self::Latest(at) => match &open.seen {
                // A completed period forgets the time of its value, and takes no further one.
                _ if open.completed && progress >= open.progress => Fate::Stands,
                _ if open.completed => Fate::Replaced,
                Some(Seen::Latest(latest)) if *latest != at => Fate::Outdated,
                Some(Seen::Latest(_)) if open.progress != progress => Fate::Replaced,
                Some(Seen::Latest(_)) => Fate::Stands,
                // A version that measures otherwise went on from the value.
                _ if open.version != version && open.progress >= progress => Fate::Stands,
                _ => Fate::Corrected,
            },
        }
    }
}

fn how_exactly(fact: &Event, measure: &Measure) -> Exactness {
    match fact {
        Event::ProgressRecorded { latest: true, at, .. } => Exactness::Latest(*at),
        Event::ProgressRecorded { value: Some(_), .. }
        | Event::ProgressRecorded { day: Some(_), .. }
        | Event::ProgressRecorded { completion_of: Some(_), .. } => Exactness::Once,
        _ if matches!(measure, Measure::Max(_)) => Exactness::Highest,
        _ => Exactness::Sum,
    }
}
