//! Missed periods are decided one by one: a pause, a freeze, grace, then broken.

use super::*;
use Protection::{Freeze, Grace, Pause};

#[test]
fn rule_12_grace_lets_that_many_periods_in_a_row_be_missed() {
    let catalogue = streak(&[7], json!({ "grace_periods": 2 }));
    let past = given(&catalogue, &[]).after(&on_days([8, 9]));
    let expected = [
        signed_in(day(12), "12T09:00"),
        protected(day(10), Grace, "11T00:00"),
        protected(day(11), Grace, "12T00:00"),
        after_missing(stepped(day(12), [3, 3, 3], "12T09:00"), None, &[(10, Grace), (11, Grace)]),
    ];
    past.when(&signs_in("12T09:00")).then(&expected);
    past.when(&signs_in("13T09:00")).then_recorded(&[
        "10: grace",
        "11: grace",
        "broken: 2 to 09",
        "13: 1 of 2",
    ]);
}

#[test]
fn rule_12_the_next_step_restores_grace() {
    let catalogue = streak(&[7], json!({ "grace_periods": 1 }));
    let past = given(&catalogue, &[]).after(&on_days([1, 3, 5]));
    past.when(&signs_in("07T09:00")).then_recorded(&["06: grace", "07: 4 of 4"]);
}

#[test]
fn rule_12_only_a_step_restores_grace() {
    let rules = json!({ "grace_periods": 1, "freezes": { "initial": 1, "max": 1 } });
    let catalogue = streak(&[7], rules);
    let past = given(&catalogue, &[]).after(&on_days([1]));
    past.when(&signs_in("04T09:00")).then_recorded(&["02: freeze", "03: grace", "04: 2 of 2"]);
    past.when(&signs_in("05T09:00")).then_recorded(&[
        "02: freeze",
        "03: grace",
        "broken: 1 to 01",
        "05: 1 of 1",
    ]);
}

#[test]
fn rule_12_freezes_are_used_before_grace_and_are_gone_although_the_streak_breaks() {
    let rules = json!({ "freezes": { "initial": 2, "max": 2 } });
    let catalogue = streak(&[7], rules);
    let past = given(&catalogue, &[]).after(&on_days([1]));
    assert_eq!(shown(&past, "01T12:00"), (1, 1, 2, false));
    assert_eq!(shown(&past, "03T12:00"), (1, 1, 1, true));
    assert_eq!(shown(&past, "04T12:00"), (1, 1, 0, true));
    assert_eq!(shown(&past, "05T12:00"), (0, 1, 0, false));
    let expected = [
        signed_in(day(5), "05T09:00"),
        protected(day(2), Freeze, "03T00:00"),
        protected(day(3), Freeze, "04T00:00"),
        broken(1, &day(1), "05T00:00"),
        after_missing(stepped(day(5), [1, 1, 1], "05T09:00"), Some(0), &[(2, Freeze), (3, Freeze)]),
    ];
    past.when(&signs_in("05T09:00")).then(&expected);
}

#[test]
fn rule_12_without_a_streak_no_freeze_is_used() {
    let catalogue = streak(&[7], json!({ "freezes": { "initial": 1, "max": 1 } }));
    let nobody = given(&catalogue, &[]);
    assert_eq!(shown(&nobody, "20T12:00"), (0, 0, 1, false));
    let past = nobody.after(&on_days([1]));
    let later = past.after(&on_days([9]));
    assert_eq!(shown(&later, "09T12:00"), (1, 1, 0, false));
    let granted = later.after(&[grants_freezes(1, "20T12:00")]);
    assert_eq!(shown(&granted, "30T12:00"), (0, 1, 1, false));
}

#[test]
fn rule_12_a_pause_comes_first_and_costs_nothing() {
    let pause = json!([{ "from": "2026-03-02T00:00:00Z", "until": "2026-03-04T00:00:00Z" }]);
    let rules = json!({ "pauses": pause, "freezes": { "initial": 1, "max": 1 } });
    let catalogue = streak(&[7], rules);
    let past = given(&catalogue, &[]).after(&on_days([1]));
    let paused = Period { ends_at: Some(at("04T00:00")), ..day(2) };
    let mut step = stepped(day(4), [2, 2, 2], "04T09:00");
    let Event::StreakAdvanced { freezes, protected: over, .. } = &mut step else { panic!() };
    *freezes = Some(1);
    *over = vec![Protected { period: paused.clone(), by: Pause }];
    let expected = [signed_in(day(4), "04T09:00"), protected(paused, Pause, "04T00:00"), step];
    past.when(&signs_in("04T09:00")).then(&expected);
    assert_eq!(shown(&past, "05T12:00"), (1, 1, 0, true));
    assert_eq!(shown(&past, "06T12:00"), (0, 1, 0, false));
}

#[test]
fn rule_12_a_pause_protects_every_period_that_it_touches() {
    let pause = json!([{ "from": "2026-03-02T23:00:00Z", "until": "2026-03-03T01:00:00Z" }]);
    let catalogue = streak(&[7], json!({ "pauses": pause }));
    let past = given(&catalogue, &[]).after(&on_days([1]));
    past.when(&signs_in("04T09:00")).then_recorded(&["02: pause", "04: 2 of 2"]);
    past.when(&signs_in("05T09:00")).then_recorded(&["02: pause", "broken: 1 to 01", "05: 1 of 1"]);
}

#[test]
fn rule_12_a_step_within_a_pause_counts() {
    let pause = json!([{ "from": "2026-03-02T00:00:00Z", "until": "2026-03-06T00:00:00Z" }]);
    let catalogue = streak(&[7], json!({ "pauses": pause }));
    let past = given(&catalogue, &[]).after(&on_days([1, 4]));
    assert_eq!(shown(&past, "06T12:00"), (2, 2, 0, true));
    past.when(&signs_in("06T09:00")).then_recorded(&["05: pause", "06: 3 of 3"]);
}

/// Years of pauses must not cost a step of the walk for each day.
#[test]
fn rule_23_a_user_who_returns_after_decades_is_decided_at_once() {
    let pauses = json!([
        { "from": "2026-03-02T00:00:00Z", "until": "2500-01-01T00:00:00Z" },
        { "from": "2500-01-05T00:00:00Z", "until": "9000-01-01T12:00:00Z" },
    ]);
    let rules = json!({ "pauses": pauses, "freezes": { "initial": 4, "max": 9 } });
    let catalogue = streak(&[7], rules);
    let past = given(&catalogue, &[]).after(&on_days([1]));
    let returns = action("user.signed_in", "9000-01-02T00:00:00Z".parse().unwrap(), &json!({}));
    let events = past.when(&returns).outcome.unwrap().events;
    let spans = events.iter().filter(|e| matches!(e, Event::StreakProtected { by: Pause, .. }));
    assert_eq!((events.len(), spans.count()), (8, 2));
    assert!(matches!(events[7], Event::StreakAdvanced { current: 2, freezes: Some(0), .. }));
    let without = streak(&[7], json!({ "grace_periods": 400 }));
    let past = given(&without, &[]).after(&on_days([1]));
    let events = past.when(&returns).outcome.unwrap().events;
    assert_eq!(events.len(), 400 + 3, "progress, the periods of grace, the break and the step");
}

#[test]
fn rule_12_weeks_and_zones_are_walked_too() {
    let rules = json!({ "streak": { "grace_periods": 1 }, "zone": "user" });
    let catalogue = catalogue([sign_in(&[7], rules)]);
    for zone in ["Pacific/Kiritimati", "Pacific/Pago_Pago", "Europe/Paris"] {
        let past = given(&catalogue, &[]).after(&on_days([10]));
        let past = past.after(&[moves_to(zone, "10T12:00")]);
        let past = past.after(&[signs_in("12T09:00")]);
        let streak = past.state.tasks[&id("sign-in")].streak.as_ref().unwrap();
        assert_eq!(streak.current, 2, "{zone}");
    }
}
