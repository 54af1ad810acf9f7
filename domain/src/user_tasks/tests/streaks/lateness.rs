//! Late actions count in their own period, in order.

use super::*;

fn late(hours: i64, milestones: &[i64], rules: Value) -> Catalogue {
    let seconds = hours * 3600;
    let objective = json!({ "on": ["user.signed_in"], "target": 1, "lateness_seconds": seconds });
    catalogue([sign_in(milestones, json!({ "objective": objective, "streak": rules }))])
}

#[test]
fn rule_03_a_late_sign_in_is_the_step_of_its_own_day_and_joins_the_run() {
    let catalogue = late(2, &[1, 2, 3, 4], json!({}));
    let past = given(&catalogue, &[]).after(&on_days([8])).after(&[signs_in("10T00:30")]);
    past.when(&signs_in("09T23:00")).then_recorded(&[
        "09: 3 of 3",
        "09: reaches 2",
        "10: reaches 3",
    ]);
    let past = past.after(&[signs_in("09T23:00")]);
    assert_eq!(shown(&past, "10T12:00"), (3, 3, 0, false));
    past.when(&signs_in("11T09:00")).then_recorded(&[
        "11: 4 of 4",
        "11: reaches 4",
        "11: completes",
    ]);
}

#[test]
fn rule_13_a_streak_breaks_once_the_lateness_of_the_missed_period_is_over() {
    let catalogue = late(2, &[7], json!({}));
    let past = given(&catalogue, &[]).after(&on_days([8]));
    assert_eq!(shown(&past, "10T01:59"), (1, 1, 0, true));
    assert_eq!(shown(&past, "10T02:00"), (0, 1, 0, false));
    past.when(&signs_in("10T09:00")).then(&[
        closing(signed_in(day(10), "10T09:00"), "11T02:00"),
        broken(1, &day(8), "10T02:00"),
        {
            let mut step = stepped(day(10), [1, 1, 1], "10T09:00");
            let Event::StreakAdvanced { fillable_from, .. } = &mut step else { panic!() };
            *fillable_from = Some(at("10T00:00"));
            step
        },
    ]);
}

#[test]
fn rule_13_a_period_that_can_still_count_does_not_part_what_is_shown() {
    let catalogue = late(24, &[7], json!({}));
    let past = given(&catalogue, &[]).after(&on_days([7, 8, 10]));
    assert_eq!(shown(&past, "10T12:00"), (3, 3, 0, false));
    assert_eq!(shown(&past, "11T00:00"), (1, 2, 0, true));
    let past = past.after(&[signs_in("09T12:00")]);
    assert_eq!(shown(&past, "10T12:00"), (4, 4, 0, false));
    assert_eq!(shown(&past, "11T12:00"), (4, 4, 0, true));
}

#[test]
fn rule_03_a_late_sign_in_needs_no_freeze() {
    let catalogue = late(24, &[7], json!({ "freezes": { "initial": 1, "max": 1 } }));
    let past = given(&catalogue, &[]).after(&on_days([8, 10]));
    assert_eq!(shown(&past, "10T12:00"), (2, 2, 0, false));
    let past = past.after(&[signs_in("09T12:00")]);
    assert_eq!(shown(&past, "10T12:00"), (3, 3, 1, false));
}

#[test]
fn rule_12_a_late_sign_in_before_the_first_one_begins_the_run() {
    let catalogue = late(48, &[1, 2], json!({}));
    let past = given(&catalogue, &[]).after(&on_days([9, 10]));
    past.when(&signs_in("08T09:00")).then_recorded(&["08: 3 of 3"]);
}

#[test]
fn rule_03_beyond_the_lateness_it_is_too_late() {
    let catalogue = late(2, &[7], json!({}));
    let past = given(&catalogue, &[]).after(&on_days([8])).after(&[signs_in("10T02:00")]);
    past.when(&signs_in("09T23:00")).then_recorded(&["too late"]);
}
