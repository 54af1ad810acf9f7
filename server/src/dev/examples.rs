//! The catalogues of `examples/`, each with actions of a few users.

use jiff::civil::Date;
use jiff::{SignedDuration, Timestamp, ToSpan as _};
use serde_json::Value;

use crate::failure::Failure;

/// A catalogue to start from.
#[derive(Debug)]
pub struct Example {
    /// The name of its folder.
    pub name: &'static str,
    /// Its task file.
    pub tasks: &'static str,
    /// The task to claim first.
    pub claimable: &'static str,
    /// CloudEvents, one a line, in the order in which they occurred.
    actions: &'static str,
    moved_by: Step,
}

/// The unit by which the times of sample actions are moved, so that their tasks count them.
#[derive(Debug, Clone, Copy)]
enum Step {
    Days,
    /// Weekdays matter: the actions of a weekend stay on one.
    Weeks,
}

macro_rules! example {
    ($name:literal, $step:ident, $claimable:literal) => {
        Example {
            name: $name,
            tasks: include_str!(concat!("../../../examples/", $name, "/tasks.yaml")),
            actions: include_str!(concat!("../../../examples/", $name, "/actions.jsonl")),
            claimable: $claimable,
            moved_by: Step::$step,
        }
    };
}

/// All examples, in the order of `examples/README.md`.
static EXAMPLES: [Example; 6] = [
    example!("newbie-checklist", Days, "newbie-chest"),
    example!("daily-tasks", Days, "daily-watch"),
    example!("sign-in-board", Days, "sign-in-board"),
    example!("weekend-event", Weeks, "weekend-gifts"),
    example!("vip-ladder", Days, "vip-monthly-bonus"),
    example!("lucky-draw", Days, "draw-for-watching"),
];

/// The example of this name, for the command line.
pub fn named(name: &str) -> Result<&'static Example, String> {
    let names = || EXAMPLES.each_ref().map(|example| example.name).join(", ");
    let found = EXAMPLES.iter().find(|example| example.name == name);
    found.ok_or_else(|| format!("unknown example; one of: {}", names()))
}

impl Example {
    /// Its actions, with their times moved so that the last is today or on the last day of the same
    /// weekday. A time after `now` becomes `now`.
    pub fn actions(&self, now: Timestamp) -> Result<Vec<Value>, Failure> {
        let unreadable = |why: &dyn std::fmt::Display| {
            Failure::new(format!("the actions of the example {}: {why}", self.name))
        };
        let parsed: Result<Vec<Value>, _> =
            self.actions.lines().map(serde_json::from_str).collect();
        let mut actions = parsed.map_err(|error| unreadable(&error))?;
        let time = |action: &Value| -> Result<Timestamp, Failure> {
            let time = action["time"].as_str().unwrap_or_default();
            time.parse().map_err(|error| unreadable(&error))
        };
        let mut times: Vec<Timestamp> = actions.iter().map(time).collect::<Result<_, _>>()?;
        let days = times.iter().max().map_or(0, |last| self.moved_by.days(*last, now));
        for (action, time) in actions.iter_mut().zip(&mut times) {
            let moved = *time + SignedDuration::from_hours(24 * days);
            action["time"] = moved.min(now).to_string().into();
            // A make-up names the day that it fills, which is moved as well.
            let period = action.pointer("/data/period").and_then(Value::as_str);
            if let Some(Ok(day)) = period.map(str::parse::<Date>) {
                action["data"]["period"] = day.saturating_add(days.days()).to_string().into();
            }
        }
        Ok(actions)
    }
}

impl Step {
    /// Number of days by which times are moved, so that `last` is today or on the last day like it.
    fn days(self, last: Timestamp, now: Timestamp) -> i64 {
        let day = |at: Timestamp| at.as_second().div_euclid(24 * 3600);
        let between = day(now) - day(last);
        match self {
            Self::Days => between,
            Self::Weeks => between.div_euclid(7) * 7,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn times(example: &str, now: &str) -> Vec<String> {
        let actions = named(example).unwrap().actions(now.parse().unwrap()).unwrap();
        actions.iter().map(|action| action["time"].as_str().unwrap().to_owned()).collect()
    }

    #[test]
    fn the_actions_of_an_example_end_today_and_never_lie_ahead() {
        let moved = times("sign-in-board", "2026-12-02T07:30:00Z");
        assert_eq!(moved[0], "2026-11-26T08:00:00Z");
        assert_eq!(moved[moved.len() - 1], "2026-12-02T07:30:00Z", "08:00 has not come yet");
        let actions =
            named("sign-in-board").unwrap().actions("2026-12-02T07:30:00Z".parse().unwrap());
        assert_eq!(actions.unwrap()[3]["data"]["period"], "2026-11-30", "the day that is filled");
    }

    #[test]
    fn the_actions_of_a_weekend_stay_on_one() {
        let moved = times("weekend-event", "2026-12-02T07:30:00Z"); // a Wednesday
        assert_eq!(moved[moved.len() - 1], "2026-11-29T05:00:00Z");
        let moved = times("weekend-event", "2026-12-06T04:30:00Z"); // a Sunday
        assert_eq!(moved[0], "2026-12-04T12:00:00Z");
        assert_eq!(moved[moved.len() - 1], "2026-12-06T04:30:00Z");
    }

    #[test]
    fn an_unknown_example_is_refused_with_those_there_are() {
        let refused = named("newbie").unwrap_err();
        assert!(refused.contains("newbie-checklist, daily-tasks"), "{refused}");
    }
}
