//! Changes of an open period's progress other than by an action that counts.

use crate::calendar::PeriodKey;
use crate::catalogue::{Catalogue, CatalogueTask};
use crate::ids::TaskId;
use crate::user_tasks::correction::Adjustment;
use crate::user_tasks::decide::progress::withhold;
use crate::user_tasks::decide::{ActionContext, Rejection};
use crate::user_tasks::event::Event;
use crate::user_tasks::place::{Place, place};
use crate::user_tasks::state::{OPEN_PERIODS_MAX, PeriodState, TaskState};

/// A change of progress.
#[derive(Debug, Clone, Copy)]
pub enum Progress {
    Adjust(Adjustment),
    Complete,
    Reset,
}

/// The task, the period (`None`: the current one), and the change.
pub type CorrectionRequest<'a> = (&'a TaskId, Option<&'a PeriodKey>, Progress);

/// The author of a change, and the reason.
#[derive(Debug, Clone, Copy)]
pub struct Author<'a> {
    /// `None`: a producer.
    pub by: Option<&'a str>,
    pub reason: &'a str,
}

/// An open period that is to be corrected.
pub struct Corrected<'a> {
    pub context: &'a ActionContext<'a>,
    pub task: &'a CatalogueTask,
    pub past: Option<&'a TaskState>,
    pub place: Place<'a>,
}

/// Returns the events of a correction of one period.
pub fn correct(
    context: &ActionContext<'_>,
    (task, period, change): CorrectionRequest<'_>,
    author: Author<'_>,
    catalogue: &Catalogue,
) -> Result<Vec<Event>, Rejection> {
    let unknown = || Rejection::UnknownTask { task: task.clone() };
    let task = catalogue.task(task).ok_or_else(unknown)?;
    let past = context.state.tasks.get(&task.id);
    let place = place_of(context, task, past, period)?;
    let corrected = Corrected { context, task, past, place };
    corrected.check_open()?;
    match change {
        Progress::Reset => corrected.start_over(author),
        Progress::Adjust(adjustment) => corrected.adjust(adjustment, author),
        Progress::Complete => corrected.complete(author),
    }
}

/// Returns the named period, or the current one.
fn place_of<'a>(
    context: &ActionContext<'_>,
    task: &'a CatalogueTask,
    past: Option<&'a TaskState>,
    key: Option<&PeriodKey>,
) -> Result<Place<'a>, Rejection> {
    let (zones, at) = (&context.state.zones, context.action.occurred_at);
    let now = place(task, past, zones, at);
    let Some(key) = key.filter(|key| now.period.key != **key) else { return Ok(now) };
    let mut open = past.into_iter().flat_map(|past| &past.periods);
    if let Some(start) = open.find(|p| p.period.key == *key).and_then(|p| p.period.starts_at) {
        return Ok(place(task, past, zones, start));
    }
    if task.versions.iter().any(|version| version.period_named(key, zones).is_some()) {
        return Err(not_correctable(
            task,
            format!("nothing is counted in period {key}, or it is closed"),
        ));
    }
    Err(Rejection::UnknownPeriod { task: task.id.clone(), period: key.to_string() })
}

fn not_correctable(task: &CatalogueTask, reason: impl Into<String>) -> Rejection {
    Rejection::NotCorrectable { task: task.id.clone(), reason: reason.into() }
}

impl Corrected<'_> {
    /// True if the period is closed: no action can reach it any more.
    pub fn is_closed(&self) -> bool {
        let at = self.context.action.occurred_at;
        self.place.too_late(&self.task.id, self.past, at).is_some()
    }

    fn check_open(&self) -> Result<(), Rejection> {
        if self.is_closed() {
            let reason = format!("period {} is closed", self.place.period.key);
            return Err(not_correctable(self.task, reason));
        }
        let is_new = self.place.open.is_none();
        let at = self.context.action.occurred_at;
        if is_new && self.past.is_some_and(|past| past.holds_all_it_can(at)) {
            let reason =
                format!("{OPEN_PERIODS_MAX} of its periods are open, the most there can be");
            return Err(not_correctable(self.task, reason));
        }
        Ok(())
    }

    /// True if the period is a step of a streak, or becomes one once its withheld step is released.
    pub fn is_step(&self) -> bool {
        let is_completed = self.place.open.is_some_and(|open| open.completed);
        self.place.version.definition.kind.shape().counts_streaks && is_completed
    }

    /// The value of the period: its progress, with the amount that it will carry over.
    pub fn value(&self) -> i64 {
        let Place { open, carried, .. } = &self.place;
        open.map_or(*carried, |open| open.progress.saturating_add(self.carried_over(open)))
    }

    /// The amount beyond the target, until the next period takes it over.
    fn carried_over(&self, open: &PeriodState) -> i64 {
        if self.place.carries_over { open.surplus } else { 0 }
    }

    fn target(&self) -> i64 {
        self.place.version.definition.objective.target
    }

    fn adjust(&self, adjustment: Adjustment, author: Author<'_>) -> Result<Vec<Event>, Rejection> {
        if self.is_step() {
            return Err(not_correctable(self.task, self.is_a_step()));
        }
        let value = match adjustment {
            Adjustment::To(value) => Some(value),
            Adjustment::By(by) => self.value().checked_add(by),
        };
        let beyond = || not_correctable(self.task, "the sum is beyond 64 bits");
        let value = value.ok_or_else(beyond)?.max(0);
        let unlocked = self.is_unlocked();
        let (event, effects) = self.at(value, unlocked, author);
        match &event {
            Event::ProgressCorrected { credited: 0, progress, target, .. }
                if effects.is_empty() =>
            {
                let reason = format!("its progress is {progress} of {target} already");
                Err(not_correctable(self.task, reason))
            }
            _ => Ok([vec![event], effects].concat()),
        }
    }

    fn complete(&self, author: Author<'_>) -> Result<Vec<Event>, Rejection> {
        let withheld = self.place.open.filter(|open| open.withheld_step.is_some());
        if self.is_step() && withheld.is_none() {
            return Err(not_correctable(self.task, self.is_a_step()));
        }
        let value = self.value().max(self.target());
        let (event, mut effects) = self.at(value, true, author);
        if let Some(open) = withheld {
            let version = self.place.version;
            effects.extend(version.definition.kind.rules().release(self.context, version, open));
        }
        let is_complete = matches!(event, Event::ProgressCorrected { credited: 0, .. });
        if is_complete && effects.is_empty() {
            let reason = format!("period {} is completed already", self.place.period.key);
            return Err(not_correctable(self.task, reason));
        }
        Ok([vec![event], effects].concat())
    }

    fn is_a_step(&self) -> String {
        format!(
            "period {} is a step of the streak, which stands; a reset ends the whole streak",
            self.place.period.key
        )
    }

    /// Starts the period over, and the streak of a continuous task. A period has at most one step,
    /// so one that was a step takes no further actions.
    fn start_over(&self, author: Author<'_>) -> Result<Vec<Event>, Rejection> {
        let has_streak = self.past.is_some_and(|past| past.streak.is_some());
        let is_untouched = |open: &PeriodState| {
            open.progress == 0 && open.surplus == 0 && open.seen.is_none() && !open.withheld
        };
        if !has_streak && self.place.open.is_none_or(is_untouched) {
            return Err(not_correctable(self.task, "nothing is counted in the period"));
        }
        let kept = self.place.open.filter(|_| self.is_step()).map_or(0, |open| open.progress);
        let mut event = self.event(kept, 0, author);
        if let Event::ProgressCorrected { starts_over, carried, .. } = &mut event {
            (*starts_over, *carried) = (true, 0);
        }
        Ok(vec![event])
    }

    pub fn is_unlocked(&self) -> bool {
        self.context.locked_by(&self.place.version.definition.requires).is_empty()
    }

    /// Returns the events that bring the period to a value: the correction, and the milestones it
    /// reaches.
    pub fn at(&self, value: i64, unlocked: bool, author: Author<'_>) -> (Event, Vec<Event>) {
        let progress = value.min(self.target());
        let surplus = match self.place.open {
            _ if self.place.carries_over => value - progress,
            Some(open) => open.surplus,
            None => 0,
        };
        // The corrected value stands, whatever the period withheld at another one.
        let open = self.place.open.map(|open| PeriodState { withheld: false, ..open.clone() });
        let place = Place { open: open.as_ref(), ..self.place.clone() };
        let rules = self.place.version.definition.kind.rules();
        let mut effects = rules.reach(self.context, &place, self.past, progress);
        let is_held = self.place.open.is_some_and(|open| open.held);
        let is_withheld = (is_held || !unlocked) && withhold(&mut effects);
        let mut event = self.event(progress, surplus, author);
        if let Event::ProgressCorrected { withheld, .. } = &mut event {
            *withheld = is_withheld;
        }
        (event, effects)
    }

    fn event(&self, progress: i64, surplus: i64, author: Author<'_>) -> Event {
        let Place { version, period, closes_at, open, carried, .. } = &self.place;
        let before = open.map_or(*carried, |open| open.progress.saturating_add(open.surplus));
        Event::ProgressCorrected {
            task: self.task.id.clone(),
            version: version.version,
            period: period.clone(),
            closes_at: closes_at.filter(|closes| Some(*closes) != period.ends_at),
            credited: progress.saturating_add(surplus).saturating_sub(before),
            progress,
            target: self.target(),
            at: self.context.action.occurred_at,
            withheld: false,
            carried: (*carried).min(progress),
            surplus,
            starts_over: false,
            by: author.by.map(ToOwned::to_owned),
            reason: author.reason.to_owned(),
        }
    }
}
