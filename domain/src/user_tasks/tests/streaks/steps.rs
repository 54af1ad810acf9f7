//! Steps: the periods that count.

use super::*;

#[test]
fn rule_12_the_first_period_that_counts_begins_a_streak() {
    let catalogue = catalogue([sign_in(&[1, 7], json!({}))]);
    let expected = [
        signed_in(day(10), "10T09:00"),
        stepped(day(10), [1, 1, 1], "10T09:00"),
        reached("sign-in", &day(10), 1, 10, "10T09:00"),
    ];
    given(&catalogue, &[]).when(&signs_in("10T09:00")).then(&expected);
}

#[test]
fn rule_12_the_next_period_goes_on_with_it() {
    let catalogue = catalogue([sign_in(&[2, 7], json!({}))]);
    let past = given(&catalogue, &[]).after(&on_days([10]));
    let expected = [
        signed_in(day(11), "11T23:59"),
        stepped(day(11), [2, 2, 2], "11T23:59"),
        reached("sign-in", &day(11), 2, 20, "11T23:59"),
    ];
    past.when(&signs_in("11T23:59")).then(&expected);
}

#[test]
fn rule_12_there_is_at_most_one_step_per_period() {
    let catalogue = catalogue([sign_in(&[7], json!({}))]);
    let past = given(&catalogue, &[]).after(&on_days([10]));
    let full = UnmovedReason::Completed("2026-03-10".to_owned());
    past.when(&signs_in("10T10:00")).then_nothing("sign-in", full);
}

#[test]
fn rule_12_a_period_counts_once_its_target_is_reached() {
    let objective = json!({ "on": ["user.signed_in"], "target": 2 });
    let catalogue = catalogue([sign_in(&[7], json!({ "objective": objective }))]);
    let half = progressed("sign-in", day(10), [1, 1, 2], "10T09:00");
    given(&catalogue, &[]).when(&signs_in("10T09:00")).then(std::slice::from_ref(&half));
    let whole = [
        progressed("sign-in", day(10), [1, 2, 2], "10T10:00"),
        stepped(day(10), [1, 1, 1], "10T10:00"),
    ];
    given(&catalogue, &[half]).when(&signs_in("10T10:00")).then(&whole);
}

#[test]
fn rule_13_a_missed_period_breaks_the_streak_at_its_end_whenever_that_is_noticed() {
    let catalogue = catalogue([sign_in(&[7], json!({}))]);
    let past = given(&catalogue, &[]).after(&on_days([10, 11, 12]));
    for when in ["14T00:00", "20T09:00"] {
        let today = day(when[..2].parse().unwrap());
        let expected = [
            signed_in(today.clone(), when),
            broken(3, &day(12), "14T00:00"),
            stepped(today, [1, 3, 1], when),
        ];
        past.when(&signs_in(when)).then(&expected);
    }
}

#[test]
fn rule_12_a_period_without_enough_in_it_is_missed() {
    let objective = json!({ "on": ["user.signed_in"], "target": 2 });
    let catalogue = catalogue([sign_in(&[7], json!({ "objective": objective }))]);
    let twice_on_the_10th = [signs_in("10T09:00"), signs_in("10T10:00")];
    let past = given(&catalogue, &[]).after(&twice_on_the_10th);
    let past = past.after(&[signs_in("11T09:00"), signs_in("12T09:00")]);
    let expected = [
        progressed("sign-in", day(12), [1, 2, 2], "12T10:00"),
        broken(1, &day(10), "12T00:00"),
        stepped(day(12), [1, 1, 1], "12T10:00"),
    ];
    past.when(&signs_in("12T10:00")).then(&expected);
}

#[test]
fn rule_12_the_longest_streak_is_remembered() {
    let catalogue = catalogue([sign_in(&[7], json!({}))]);
    let past = given(&catalogue, &[]).after(&on_days([1, 2, 3, 10, 11]));
    let fourth = [signed_in(day(12), "12T09:00"), stepped(day(12), [3, 3, 3], "12T09:00")];
    past.when(&signs_in("12T09:00")).then(&fourth);
    let past = past.after(&on_days([12]));
    let longer = [signed_in(day(13), "13T09:00"), stepped(day(13), [4, 4, 4], "13T09:00")];
    past.when(&signs_in("13T09:00")).then(&longer);
}

#[test]
fn rule_12_steps_start_over_after_a_cycle_and_grant_again_under_their_own_periods() {
    let catalogue = catalogue([sign_in(&[1, 7], json!({ "streak": { "cycle": 7 } }))]);
    let past = given(&catalogue, &[]).after(&on_days(1..=6));
    let seventh = [
        signed_in(day(7), "07T09:00"),
        stepped(day(7), [7, 7, 7], "07T09:00"),
        reached("sign-in", &day(7), 7, 70, "07T09:00"),
        completed("sign-in", &day(7), "07T09:00"),
    ];
    past.when(&signs_in("07T09:00")).then(&seventh);
    let past = past.after(&on_days([7]));
    let eighth = [
        signed_in(day(8), "08T09:00"),
        stepped(day(8), [8, 8, 1], "08T09:00"),
        reached("sign-in", &day(8), 1, 10, "08T09:00"),
    ];
    past.when(&signs_in("08T09:00")).then(&eighth);
}

#[test]
fn rule_12_without_a_cycle_steps_beyond_the_last_milestone_grant_nothing() {
    let catalogue = catalogue([sign_in(&[1, 2], json!({}))]);
    let past = given(&catalogue, &[]).after(&on_days(1..=3));
    let fourth = [signed_in(day(4), "04T09:00"), stepped(day(4), [4, 4, 4], "04T09:00")];
    past.when(&signs_in("04T09:00")).then(&fourth);
}

#[test]
fn rule_12_each_run_grants_its_steps_again() {
    let catalogue = catalogue([sign_in(&[1], json!({}))]);
    let past = given(&catalogue, &[]).after(&on_days([1, 3]));
    let claimable = &past.state.tasks[&id("sign-in")].claimable;
    let keys: Vec<_> = claimable.iter().map(|c| c.period.key.as_str()).collect();
    assert_eq!(keys, ["2026-03-01", "2026-03-03"]);
}

#[test]
fn rule_12_weeks_in_a_row_make_a_streak_too() {
    let catalogue = catalogue([sign_in(&[7], json!({ "every": "week" }))]);
    let past = given(&catalogue, &[]).after(&on_days([2, 15]));
    let third = period("2026-W12", Some(at("16T00:00")), Some(at("23T00:00")));
    let expected = [signed_in(third.clone(), "22T23:00"), stepped(third, [3, 3, 3], "22T23:00")];
    past.when(&signs_in("22T23:00")).then(&expected);
}

#[test]
fn rule_02_a_change_of_zone_does_not_break_a_streak() {
    let catalogue = catalogue([sign_in(&[7], json!({ "zone": "user" }))]);
    for zone in ["Pacific/Kiritimati", "Pacific/Pago_Pago", "Europe/Paris"] {
        let past = given(&catalogue, &[]).after(&on_days([10]));
        let past = past.after(&[moves_to(zone, "10T12:00"), signs_in("11T00:00")]);
        let streak = past.state.tasks[&id("sign-in")].streak.as_ref().unwrap();
        assert_eq!(streak.current, 2, "{zone}");
    }
}
