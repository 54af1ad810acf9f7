//! Rule 13: whether a streak broke does not depend on when anyone looked.

use super::*;

/// The events of a sweep at this moment.
fn sweep(past: &Given<'_>, when: &str) -> Vec<Event> {
    let task = &past.catalogue.tasks()[0];
    settle(&past.state, task, at(when))
}

#[test]
fn rule_13_a_sweep_records_what_the_next_step_would_have_recorded() {
    let rules = json!({ "grace_periods": 1, "freezes": { "initial": 1, "max": 1 } });
    let catalogue = streak(&[7], rules);
    let past = given(&catalogue, &[]).after(&on_days([1]));
    let recorded_by = |past: &Given<'_>, when| -> Vec<_> {
        sweep(past, when).iter().filter_map(summary).collect()
    };
    assert_eq!(recorded_by(&past, "02T23:59"), Vec::<String>::new());
    assert_eq!(recorded_by(&past, "03T00:00"), ["02: freeze"]);
    assert_eq!(recorded_by(&past, "20T00:00"), ["02: freeze", "03: grace", "broken: 1 to 01"]);
    let first = sweep(&past, "03T00:00");
    let past = given(&catalogue, &[]).after(&on_days([1]));
    let mut swept = Given { catalogue: &catalogue, state: past.state.clone() };
    for event in &first {
        evolve(&mut swept.state, event);
    }
    assert_eq!(recorded_by(&swept, "03T12:00"), Vec::<String>::new());
    assert_eq!(recorded_by(&swept, "20T00:00"), ["03: grace", "broken: 1 to 01"]);
    swept.when(&signs_in("20T09:00")).then_recorded(&[
        "03: grace",
        "broken: 1 to 01",
        "20: 1 of 1",
    ]);
}

#[test]
fn rule_13_a_pause_is_recorded_once_it_is_over() {
    let pause = json!([{ "from": "2026-03-02T00:00:00Z", "until": "2026-03-05T00:00:00Z" }]);
    let catalogue = streak(&[7], json!({ "pauses": pause }));
    let past = given(&catalogue, &[]).after(&on_days([1]));
    assert_eq!(sweep(&past, "04T12:00"), []);
    assert_eq!(sweep(&past, "05T00:00").len(), 1);
}

#[test]
fn rule_13_the_sweeper_records_streaks_of_all_tasks_a_little_after_they_were_decided() {
    let weekly = sign_in(&[7], json!({ "id": "weekly", "every": "week" }));
    let catalogue = catalogue([sign_in(&[7], json!({})), weekly, daily(json!({}))]);
    let past = given(&catalogue, &[]).after(&on_days([1])).after(&[gift("01T10:00")]);
    let swept = |as_of| past.when(&Command::Settle { as_of }).events();
    let decided = at("03T00:00");
    assert_eq!(
        swept_at(&past.state, catalogue.task(&id("sign-in")).unwrap()),
        Some(decided + SWEPT_AFTER)
    );
    assert_eq!(swept(decided), []);
    assert_eq!(swept(decided + SWEPT_AFTER), [broken(1, &day(1), "03T00:00")]);
    let names: Vec<_> =
        swept(at("20T00:00")).iter().map(|e| e.task().unwrap().to_string()).collect();
    assert_eq!(names, ["sign-in", "weekly"], "in order of time");
    // A retired task never goes on, so no streak of it breaks.
    let retired = catalogue_in(Status::Retired, [sign_in(&[7], json!({}))]);
    let past = past.under(&retired);
    past.when(&Command::Settle { as_of: at("20T00:00") }).then(&[]);
    assert_eq!(swept_at(&past.state, &retired.tasks()[0]), None);
}
