//! Amnesties: an operator declares that no streak breaks over a span of time.

use super::*;
use crate::catalogue::Amnesty;
use crate::catalogue::definition::Pause;
use crate::screen::{ScreenRequest, screen};

/// A streak with these rules, and an amnesty from one moment to another.
fn with_amnesty(rules: Value, [from, until]: [&str; 2]) -> Catalogue {
    let mut tasks = tasks_in(Status::Active, [sign_in(&[7], json!({ "streak": rules }))]);
    let span = Pause { from: at(from), until: at(until) };
    tasks[0].amnesties = vec![Amnesty { span, declared_at: at("05T00:00") }];
    Catalogue::new(2, tasks).unwrap()
}

/// Sweeps: returns the user after the events that are due, and these in short form.
fn swept<'c>(mut past: Given<'c>, when: &str) -> (Given<'c>, Vec<String>) {
    let events = settle(&past.state, &past.catalogue.tasks()[0], at(when));
    events.iter().for_each(|event| evolve(&mut past.state, event));
    (past, events.iter().filter_map(summary).collect())
}

#[test]
fn no_streak_breaks_over_an_amnesty_and_it_costs_no_freeze() {
    let rules = json!({ "freezes": { "initial": 1, "max": 1 }, "grace_periods": 1 });
    let catalogue = with_amnesty(rules, ["04T10:00", "06T00:00"]);
    let past = given(&catalogue, &[]).after(&on_days([2, 3]));
    assert_eq!(shown(&past, "06T12:00"), (2, 2, 1, true));
    past.when(&signs_in("06T09:00")).then_recorded(&["04: pause", "06: 3 of 3"]);
    // The day after the amnesty is decided as usual.
    past.when(&signs_in("08T09:00")).then_recorded(&[
        "04: pause",
        "06: freeze",
        "07: grace",
        "08: 3 of 3",
    ]);
    past.when(&signs_in("09T09:00")).then_recorded(&[
        "04: pause",
        "06: freeze",
        "07: grace",
        "broken: 2 to 03",
        "09: 1 of 2",
    ]);
}

#[test]
fn a_streak_with_a_recorded_break_goes_on_after_an_amnesty() {
    let before = streak(&[7], json!({}));
    let after = with_amnesty(json!({}), ["04T00:00", "05T00:00"]);
    let past = given(&before, &[]).after(&on_days([1, 2, 3]));
    let (past, events) = swept(past, "05T01:00");
    assert_eq!(events, ["broken: 3 to 03"]);
    assert_eq!(shown(&past, "05T01:00"), (0, 3, 0, false));
    let past = past.under(&after);
    assert_eq!(shown(&past, "05T01:00"), (3, 3, 0, true));
    past.when(&signs_in("05T09:00")).then_recorded(&["04: pause", "05: 4 of 4"]);
    // If the streak breaks after all, that is recorded as well.
    let (past, events) = swept(past, "06T01:00");
    assert_eq!(events, ["04: pause", "broken: 3 to 03"]);
    past.when(&signs_in("06T09:00")).then_recorded(&["06: 1 of 3"]);
}

/// Rule 13.
#[test]
fn a_break_recorded_before_an_amnesty_does_not_change_the_streak() {
    let before = streak(&[7], json!({ "freezes": { "initial": 1, "max": 1 } }));
    let after =
        with_amnesty(json!({ "freezes": { "initial": 1, "max": 1 } }), ["04T00:00", "06T00:00"]);
    let lazy = given(&before, &[]).after(&on_days([1, 2, 3]));
    let (seen, events) = swept(lazy.clone(), "06T00:00");
    assert_eq!(events, ["04: freeze", "broken: 3 to 03"]);
    let step = [signs_in("06T09:00")];
    let states = [lazy, seen].map(|past| past.under(&after).after(&step).state);
    assert_eq!(states[0].tasks, states[1].tasks);
    let streak = states[0].tasks.values().next().and_then(|task| task.streak.as_ref()).unwrap();
    assert_eq!(streak.current, 4);
}

/// The decision of an earlier step is a fact, and the fold does not look at the catalogue.
#[test]
fn an_amnesty_does_not_change_a_restarted_streak() {
    let before = streak(&[7], json!({}));
    let after = with_amnesty(json!({}), ["04T00:00", "05T00:00"]);
    let past = given(&before, &[]).after(&on_days([1, 2, 3, 5])).under(&after);
    assert_eq!(shown(&past, "05T12:00"), (1, 3, 0, false));
    past.when(&signs_in("06T09:00")).then_recorded(&["06: 2 of 3"]);
}

#[test]
fn a_look_at_the_past_leaves_out_what_was_declared_later() {
    let catalogue = with_amnesty(json!({}), ["04T00:00", "05T00:00"]);
    let past = given(&catalogue, &[]).after(&on_days([3]));
    let current = |when: &str, as_of: &str| {
        let then = catalogue.as_of(at(as_of));
        let shown = screen(&user(), &past.state, &then, at(when), &ScreenRequest::default());
        shown[0].streak.unwrap().current
    };
    assert_eq!(current("05T12:00", "04T23:00"), 0);
    assert_eq!(current("05T12:00", "05T00:00"), 1);
}
