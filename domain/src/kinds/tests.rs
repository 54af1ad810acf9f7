//! The kinds as a whole, with a fourth that is registered in tests only.

pub(super) mod early_bird;

use std::collections::BTreeSet;

use serde_json::json;

use super::Kind;
use crate::catalogue::Catalogue;
use crate::screen::{ScreenRequest, TaskScreenState, screen};
use crate::user_tasks::tests::{Given, at, catalogue, daily, day, first_gift, gift, given, user};
use crate::user_tasks::{Adjustment, Change, Command, Correction, Event, Seed};

#[test]
fn every_kind_is_found_by_its_name_and_stored_as_it() {
    let names: Vec<_> = Kind::all().map(Kind::name).collect();
    assert_eq!(names, ["ordinary", "periodic", "continuous", "early_bird"]);
    assert_eq!(names.iter().collect::<BTreeSet<_>>().len(), names.len());
    for name in names {
        let kind: Kind = serde_json::from_value(json!(name)).unwrap();
        assert_eq!(
            (Some(kind), serde_json::to_value(kind).unwrap()),
            (Kind::named(name), json!(name))
        );
    }
    let refused = serde_json::from_value::<Kind>(json!("odd")).unwrap_err().to_string();
    assert!(refused.contains("\"odd\"") && refused.contains("ordinary, periodic"), "{refused}");
}

/// A task for three gifts in the first half of a day.
fn early(changes: &serde_json::Value) -> serde_json::Value {
    let mut task = daily(json!({ "kind": "early_bird" }));
    task.as_object_mut().unwrap().extend(changes.as_object().unwrap().clone());
    task
}

/// The names of the events that gifts at these times lead to.
fn reached(catalogue: &Catalogue, times: &[&str]) -> Vec<&'static str> {
    let mut past = given(catalogue, &[]);
    let mut names = Vec::new();
    for time in times {
        let decided =
            crate::user_tasks::tests::decide(&past.state, &gift(time), catalogue).unwrap();
        let of_early = |event: &&Event| event.task().is_some_and(|id| id.as_str() == "daily");
        let earned = decided.events.iter().filter(of_early).map(|event| event.schema().0);
        names.extend(earned.filter(|name| *name != "progress_recorded"));
        past = past.after(&[gift(time)]);
    }
    names
}

fn state(past: &Given<'_>, now: &str) -> TaskScreenState {
    let shown = screen(&user(), &past.state, past.catalogue, at(now), &ScreenRequest::default());
    assert_eq!((shown[0].kind.name(), &shown[0].period), ("early_bird", &day(29)));
    shown[0].state
}

#[test]
fn a_fourth_kind_reaches_its_milestones_in_its_own_way() {
    let catalogue = catalogue([early(&json!({}))]);
    let in_time = ["29T09:00", "29T10:00", "29T11:59"];
    assert_eq!(reached(&catalogue, &in_time), ["milestone_reached", "task_completed"]);
    assert_eq!(reached(&catalogue, &["29T09:00", "29T10:00", "29T12:00"]), [""; 0]);
    let past = given(&catalogue, &[]).after(&in_time.map(gift));
    assert_eq!(state(&past, "29T23:00"), TaskScreenState::Claimable);
    let late = given(&catalogue, &[]).after(&["29T09:00", "29T10:00", "29T13:00"].map(gift));
    assert_eq!(state(&late, "29T23:00"), TaskScreenState::InProgress);
}

#[test]
fn a_fourth_kind_shares_locks_with_the_others() {
    let locked = early(&json!({ "requires": ["first-gift"], "while_locked": "count" }));
    let objective = json!({ "on": ["gift.sent"], "target": 4 });
    let milestones = json!([{ "at": 4, "rewards": [] }]);
    let opens = first_gift(json!({ "objective": objective, "milestones": milestones }));
    let catalogue = catalogue([opens, locked]);
    // The fourth gift opens the task, too late for a milestone but not for what was withheld.
    let times = ["29T09:00", "29T10:00", "29T11:00", "29T13:00"];
    assert_eq!(reached(&catalogue, &times), ["milestone_reached", "task_completed"]);
}

#[test]
fn a_correction_goes_by_the_rules_of_the_kind() {
    let catalogue = catalogue([early(&json!({}))]);
    let past = given(&catalogue, &[]).after(&[gift("29T09:00")]);
    let task = "daily".parse().unwrap();
    let adjusts = Change::Adjust { task, period: None, adjustment: Adjustment::To(3) };
    let task = "daily".parse().unwrap();
    let completes = Change::Complete { task, period: None };
    for change in [adjusts, completes] {
        let reached = |when: &str| -> Vec<&'static str> {
            let (by, reason, change) = ("ops".to_owned(), "a test".to_owned(), change.clone());
            let at = at(when);
            let correction = Correction { user: user(), change, by, reason, at, seed: Seed(1) };
            let command = Command::Correct(correction);
            let decided =
                crate::user_tasks::tests::decide(&past.state, &command, &catalogue).unwrap();
            decided.events.iter().map(|event| event.schema().0).collect()
        };
        let in_time = ["progress_corrected", "milestone_reached", "task_completed"];
        assert_eq!(reached("29T11:00"), in_time, "{change:?}");
        assert_eq!(reached("29T13:00"), ["progress_corrected"], "{change:?}");
    }
}
