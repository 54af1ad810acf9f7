//! Freezes that are granted, and freezes that the user reserves.

use super::*;

fn wishes(day: u8, when: &str) -> Input {
    let data = json!({ "task": "sign-in", "period": format!("2026-03-{day:02}") });
    action("plaudit.streak.freeze", at(when), &data)
}

fn by_wish(initial: i64) -> Catalogue {
    streak(&[7], json!({ "freezes": { "initial": initial, "max": 2, "use": "manual" } }))
}

#[test]
fn a_grant_tells_what_was_dropped_above_the_most_a_user_can_have() {
    let catalogue = streak(&[7], json!({ "freezes": { "initial": 1, "max": 3 } }));
    let (task, at_noon) = (id("sign-in"), at("10T12:00"));
    let granted = Event::FreezesGranted {
        task,
        version: 1,
        count: 2,
        dropped: 3,
        freezes: 3,
        at: at_noon,
        reason: Some("an outage".to_owned()),
        by: Some("ops".to_owned()),
    };
    let nobody = given(&catalogue, &[]);
    nobody.when(&grants_freezes(5, "10T12:00")).then(&[granted]);
    let past = nobody.after(&[grants_freezes(1, "10T12:00"), grants_freezes(1, "10T12:00")]);
    assert_eq!(shown(&past, "10T13:00"), (0, 0, 3, false));
    past.when(&grants_freezes(1, "10T12:00")).then_recorded(&["granted 0, dropped 1, now 3"]);
}

#[test]
fn a_granted_freeze_protects_periods_that_end_after_the_grant() {
    let catalogue = streak(&[7], json!({ "freezes": { "max": 2 } }));
    let past = given(&catalogue, &[]).after(&on_days([1]));
    let in_time = past.after(&[grants_freezes(1, "02T23:59")]);
    in_time.when(&signs_in("03T09:00")).then_recorded(&["02: freeze", "03: 2 of 2"]);
    let past = given(&catalogue, &[]).after(&on_days([1]));
    let at_its_end = past.when(&grants_freezes(1, "03T00:00"));
    at_its_end.then_recorded(&["broken: 1 to 01", "granted 1, dropped 0, now 1"]);
    let past = past.after(&[grants_freezes(1, "03T00:00")]);
    past.when(&signs_in("03T09:00")).then_recorded(&["03: 1 of 1"]);
}

#[test]
fn a_grant_makes_room_for_what_was_used_by_then() {
    let catalogue = streak(&[7], json!({ "freezes": { "initial": 2, "max": 2 } }));
    let past = given(&catalogue, &[]).after(&on_days([1]));
    past.when(&grants_freezes(2, "03T12:00"))
        .then_recorded(&["02: freeze", "granted 1, dropped 1, now 2"]);
    let past = past.after(&[grants_freezes(2, "03T12:00")]);
    assert_eq!(shown(&past, "05T00:00"), (1, 1, 0, true));
    past.when(&signs_in("05T09:00")).then_recorded(&["03: freeze", "04: freeze", "05: 2 of 2"]);
}

#[test]
fn a_grant_to_a_retired_task_records_nothing_about_its_streak() {
    let task = || sign_in(&[7], json!({ "streak": { "freezes": { "max": 2 } } }));
    let (active, retired) = (catalogue([task()]), catalogue_in(Status::Retired, [task()]));
    let past = given(&active, &[]).after(&on_days([1]));
    past.when(&grants_freezes(1, "03T00:00"))
        .then_recorded(&["broken: 1 to 01", "granted 1, dropped 0, now 1"]);
    let past = past.under(&retired);
    past.when(&grants_freezes(1, "03T00:00")).then_recorded(&["granted 1, dropped 0, now 1"]);
}

#[test]
fn only_a_continuous_task_has_freezes() {
    let catalogue = catalogue([daily(json!({ "id": "sign-in" }))]);
    let refused = Rejection::NoStreak { task: id("sign-in") };
    given(&catalogue, &[]).when(&grants_freezes(1, "10T12:00")).then_rejected(&refused);
    let nothing = streak(&[7], json!({}));
    given(&nothing, &[])
        .when(&grants_freezes(1, "10T12:00"))
        .then_recorded(&["granted 0, dropped 1, now 0"]);
}

#[test]
fn a_wish_protects_the_period_it_names_and_no_other() {
    let catalogue = by_wish(1);
    let past = given(&catalogue, &[]).after(&on_days([1]));
    past.when(&signs_in("03T09:00")).then_recorded(&["broken: 1 to 01", "03: 1 of 1"]);
    let expected = Event::FreezeReserved {
        task: id("sign-in"),
        version: 1,
        period: day(2),
        at: at("01T10:00"),
    };
    past.when(&wishes(2, "01T10:00")).then(&[expected]);
    let past = past.after(&[wishes(2, "01T10:00")]);
    past.when(&signs_in("03T09:00")).then_recorded(&["02: freeze", "03: 2 of 2"]);
    assert_eq!(shown(&past, "02T12:00"), (1, 1, 1, true));
    assert_eq!(shown(&past, "03T12:00"), (1, 1, 0, true));
}

#[test]
fn a_freeze_that_was_not_needed_is_left() {
    let catalogue = by_wish(1);
    let past = given(&catalogue, &[]).after(&on_days([1])).after(&[wishes(2, "01T10:00")]);
    let past = past.after(&on_days([2]));
    assert_eq!(shown(&past, "02T12:00"), (2, 2, 1, false));
    past.when(&wishes(3, "02T13:00")).then_recorded(&["03: reserved"]);
}

#[test]
fn a_wish_that_can_not_be_kept_moves_nothing_and_says_why() {
    let catalogue = by_wish(1);
    let past = given(&catalogue, &[]).after(&on_days([1, 2])).after(&[wishes(3, "02T10:00")]);
    past.when(&wishes(3, "02T11:00"))
        .then_recorded(&["data.period: a freeze is already kept for 2026-03-03"]);
    past.when(&wishes(4, "02T11:00")).then_recorded(&["no freeze is left"]);
    past.when(&wishes(2, "02T11:00")).then_recorded(&["data.period: 2026-03-02 is decided"]);
    past.when(&wishes(3, "04T00:00")).then_recorded(&["data.period: 2026-03-03 is decided"]);
    let wish = |data: Value| action("plaudit.streak.freeze", at("02T12:00"), &data);
    let unnamed = past.when(&wish(json!({ "task": "sign-in" })));
    unnamed.then_recorded(&["data.period is missing"]);
    let unknown = past.when(&wish(json!({ "task": "sign-in", "period": "2026-W10" })));
    unknown.then_recorded(&["data.period: \"2026-W10\" is not a period of this task"]);
    let other = past.when(&wish(json!({ "task": "daily", "period": "2026-03-05" })));
    other.then_nothing("sign-in", UnmovedReason::OtherTask);
}

#[test]
fn a_missed_period_within_its_lateness_can_still_be_protected() {
    let late = json!({ "on": ["user.signed_in"], "target": 1, "lateness_seconds": 7200 });
    let rules = json!({ "freezes": { "initial": 1, "max": 1, "use": "manual" } });
    let catalogue = catalogue([sign_in(&[7], json!({ "streak": rules, "objective": late }))]);
    let past = given(&catalogue, &[]).after(&on_days([1]));
    past.when(&wishes(2, "03T02:00")).then_recorded(&["data.period: 2026-03-02 is decided"]);
    past.when(&wishes(2, "03T01:59")).then_recorded(&["02: reserved"]);
}
