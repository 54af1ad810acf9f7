//! The tasks of the soak, twice: as the published file, and as the oracle's own definitions.

use jiff::SignedDuration;

/// The published task file.
pub const TASK_FILE: &str = r#"
tasks:
  - id: welcome
    kind: ordinary
    text: { en: { title: Complete your profile } }
    category: newbie
    order: 10
    objective: { on: profile.completed, target: 1 }
    rewards: [ { line: coins, kind: currency, code: coin, amount: 100 } ]
    claim: { mode: automatic }

  - id: first-friends
    kind: ordinary
    text: { en: { title: Make friends } }
    category: newbie
    order: 20
    requires: [ welcome ]
    objective: { on: [ profile.completed, friend.added ], target: 3 }
    rewards:
      - { line: badge, kind: item, code: badge-friend, amount: 1 }
      - { line: coins, kind: currency, code: coin, amount: 50 }

  - id: early-friends
    kind: ordinary
    text: { en: { title: Make friends early } }
    category: newbie
    order: 30
    requires: [ welcome ]
    while_locked: count
    objective: { on: friend.added, target: 4 }
    rewards: [ { line: chest, kind: item, code: chest-wood, amount: 1 } ]
    claim: { mode: automatic }

  - id: daily-gifts
    kind: periodic
    text: { en: { title: Send gifts } }
    category: daily
    order: 40
    every: day
    zone: user
    day_starts_at: "04:00"
    objective:
      on: [ gift.sent ]
      where: data.coins >= 10
      measure: { sum: data.coins }
      cap: { per_action: 500 }
      lateness: PT2H
    milestones:
      - { at: 100,  rewards: [ { line: small, kind: currency, code: coin, amount: 10 } ] }
      - { at: 1000, rewards: [ { line: big, kind: item, code: badge-gold, amount: 1 } ] }

  - id: weekly-watching
    kind: periodic
    text: { en: { title: Watch 5 streams this week } }
    category: weekly
    order: 50
    every: week
    zone: UTC
    objective: { on: stream.watched, where: data.minutes >= 10, lateness: P1D, target: 5 }
    rewards: [ { line: points, kind: currency, code: point, amount: 200 } ]
    claim: { mode: automatic }

  - id: sign-in
    kind: continuous
    text: { en: { title: Sign in every day } }
    category: sign-in
    order: 60
    every: day
    zone: user
    objective: { on: user.signed_in }
    streak: { cycle: 7 }
    milestones:
      - { at: 1, rewards: [ { line: d1, kind: currency, code: coin, amount: 10 } ] }
      - { at: 3, rewards: [ { line: d3, kind: currency, code: coin, amount: 30 } ] }
      - { at: 7, rewards: [ { line: d7, kind: item, code: badge-week, amount: 1 } ] }
"#;

/// A task as the oracle knows it.
#[derive(Debug)]
pub struct Task {
    /// The id of the task.
    pub id: &'static str,
    /// The order on the screen.
    pub order: i64,
    /// The kind of task.
    pub kind: Kind,
    /// The task that must be completed first, if any.
    pub requires: Option<&'static str>,
    /// `while_locked: count`.
    pub counts_while_locked: bool,
    /// `claim: { mode: automatic }`.
    pub automatic: bool,
    /// Time after the end of a period in which it still takes actions.
    pub lateness: SignedDuration,
    /// In ascending order of `at`.
    pub milestones: &'static [Milestone],
}

/// The kind of a task, which says when its progress starts over.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// It never starts over.
    Once,
    /// It starts over with every period.
    Periodic(Cadence),
    /// It counts periods in a row. Its steps start over after `cycle` periods.
    Streak {
        /// The periods, each of which gives at most one step.
        cadence: Cadence,
        /// The steps of a cycle.
        cycle: i64,
    },
}

/// The periods of a task.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Cadence {
    /// The length of a period.
    pub unit: Unit,
    /// The hour at which a day begins.
    pub day_starts_at: i8,
    /// True for periods in the user's zone, false for UTC.
    pub of_user: bool,
}

/// The length of a period.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Unit {
    /// A calendar day.
    Day,
    /// A week from Monday.
    Week,
}

/// A milestone and its rewards.
#[derive(Debug)]
pub struct Milestone {
    /// The progress, or the step of the streak.
    pub at: i64,
    /// The reward lines.
    pub rewards: &'static [Reward],
}

/// A reward line.
#[derive(Debug)]
pub struct Reward {
    /// The name of the line in its milestone.
    pub line: &'static str,
    /// The kind of reward.
    pub kind: &'static str,
    /// The code of the reward.
    pub code: &'static str,
    /// The amount.
    pub amount: i64,
}

impl Task {
    /// Returns the progress that completes a period.
    pub fn target(&self) -> i64 {
        self.milestones.last().map_or(1, |last| last.at)
    }

    /// Returns the kind's name on the screen.
    pub fn kind_name(&self) -> &'static str {
        match self.kind {
            Kind::Once => "ordinary",
            Kind::Periodic(_) => "periodic",
            Kind::Streak { .. } => "continuous",
        }
    }

    /// Returns the periods, if the task has any.
    pub fn cadence(&self) -> Option<Cadence> {
        match self.kind {
            Kind::Once => None,
            Kind::Periodic(cadence) | Kind::Streak { cadence, .. } => Some(cadence),
        }
    }

    /// Returns the milestone at a progress or step.
    pub fn milestone(&self, at: i64) -> Option<&'static Milestone> {
        self.milestones.iter().find(|milestone| milestone.at == at)
    }
}

const fn currency(line: &'static str, code: &'static str, amount: i64) -> Reward {
    Reward { line, kind: "currency", code, amount }
}

const fn item(line: &'static str, code: &'static str) -> Reward {
    Reward { line, kind: "item", code, amount: 1 }
}

const fn daily(day_starts_at: i8) -> Cadence {
    Cadence { unit: Unit::Day, day_starts_at, of_user: true }
}

const fn ordinary(id: &'static str, order: i64, milestones: &'static [Milestone]) -> Task {
    let (requires, lateness) = (None, SignedDuration::ZERO);
    let (counts_while_locked, automatic) = (false, false);
    let kind = Kind::Once;
    Task { id, order, kind, requires, counts_while_locked, automatic, lateness, milestones }
}

/// The tasks of [`TASK_FILE`]. Prerequisites come before the tasks that require them.
pub static TASKS: [Task; 6] = [
    Task {
        automatic: true,
        ..ordinary(
            "welcome",
            10,
            &[Milestone { at: 1, rewards: &[currency("coins", "coin", 100)] }],
        )
    },
    Task {
        requires: Some("welcome"),
        ..ordinary(
            "first-friends",
            20,
            &[Milestone {
                at: 3,
                rewards: &[item("badge", "badge-friend"), currency("coins", "coin", 50)],
            }],
        )
    },
    Task {
        requires: Some("welcome"),
        counts_while_locked: true,
        automatic: true,
        ..ordinary(
            "early-friends",
            30,
            &[Milestone { at: 4, rewards: &[item("chest", "chest-wood")] }],
        )
    },
    Task {
        kind: Kind::Periodic(daily(4)),
        lateness: SignedDuration::from_hours(2),
        ..ordinary(
            "daily-gifts",
            40,
            &[
                Milestone { at: 100, rewards: &[currency("small", "coin", 10)] },
                Milestone { at: 1000, rewards: &[item("big", "badge-gold")] },
            ],
        )
    },
    Task {
        kind: Kind::Periodic(Cadence { unit: Unit::Week, day_starts_at: 0, of_user: false }),
        lateness: SignedDuration::from_hours(24),
        automatic: true,
        ..ordinary(
            "weekly-watching",
            50,
            &[Milestone { at: 5, rewards: &[currency("points", "point", 200)] }],
        )
    },
    Task {
        kind: Kind::Streak { cadence: daily(0), cycle: 7 },
        ..ordinary(
            "sign-in",
            60,
            &[
                Milestone { at: 1, rewards: &[currency("d1", "coin", 10)] },
                Milestone { at: 3, rewards: &[currency("d3", "coin", 30)] },
                Milestone { at: 7, rewards: &[item("d7", "badge-week")] },
            ],
        )
    },
];
