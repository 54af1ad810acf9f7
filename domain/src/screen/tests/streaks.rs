//! Streaks as of now, whether or not their end has been recorded as an event.

use super::*;

/// Signs in once on each of these days.
fn on_days(catalogue: &Catalogue, days: impl IntoIterator<Item = u8>) -> Given<'_> {
    let sign_ins: Vec<_> =
        days.into_iter().map(|day| signs_in(&format!("{day:02}T09:00"))).collect();
    given(catalogue, &[]).after(&sign_ins)
}

fn streak(current: i64, longest: i64, at_risk: bool) -> StreakScreen {
    StreakScreen { current, longest, freezes: 0, at_risk }
}

#[test]
fn rule_20_a_streak_that_nobody_began_is_0() {
    let catalogue = catalogue([sign_in(&[7], json!({}))]);
    let task = see_one(&given(&catalogue, &[]), "10T12:00");
    assert_eq!(
        (task.state, task.progress, task.streak.unwrap()),
        (TaskScreenState::Available, 0, streak(0, 0, false))
    );
}

#[test]
fn rule_13_a_streak_is_alive_until_a_period_was_missed() {
    let catalogue = catalogue([sign_in(&[7], json!({}))]);
    let past = on_days(&catalogue, [8, 9, 10]);
    let seen = |now| {
        let task = see_one(&past, now);
        (task.state, task.progress, task.streak.unwrap())
    };
    assert_eq!(seen("10T12:00"), (TaskScreenState::InProgress, 3, streak(3, 3, false)));
    assert_eq!(seen("11T00:00"), (TaskScreenState::InProgress, 3, streak(3, 3, true)));
    assert_eq!(seen("11T23:59"), (TaskScreenState::InProgress, 3, streak(3, 3, true)));
    assert_eq!(seen("12T00:00"), (TaskScreenState::Available, 0, streak(0, 3, false)));
}

#[test]
fn rule_20_a_period_that_is_only_begun_has_no_step_yet() {
    let objective = json!({ "on": ["user.signed_in"], "target": 2 });
    let catalogue = catalogue([sign_in(&[7], json!({ "objective": objective }))]);
    let past = given(&catalogue, &[]).after(&[signs_in("10T09:00")]);
    let task = see_one(&past, "10T12:00");
    assert_eq!(
        (task.state, task.progress, task.streak.unwrap()),
        (TaskScreenState::Available, 0, streak(0, 0, false))
    );
    let past = past.after(&[signs_in("10T10:00"), signs_in("11T09:00")]);
    assert_eq!(see_one(&past, "11T12:00").streak.unwrap(), streak(1, 1, true));
}

#[test]
fn rule_20_the_milestones_shown_are_those_of_the_running_cycle() {
    let catalogue = catalogue([sign_in(&[1, 3], json!({ "streak": { "cycle": 3 } }))]);
    let past = on_days(&catalogue, 1..=4);
    let task = see_one(&past, "04T12:00");
    let reached: Vec<_> = task.milestones.iter().map(|m| m.reached_at).collect();
    assert_eq!(reached, [Some(at("04T09:00")), None]);
    assert_eq!((task.progress, task.target, task.streak.unwrap()), (1, 3, streak(4, 4, false)));
    let earlier: Vec<_> =
        task.unclaimed_from_earlier_periods.iter().map(|u| (u.period.clone(), u.at)).collect();
    assert_eq!(earlier, [(day(1), 1), (day(3), 3)]);
}

#[test]
fn rule_20_a_milestone_of_the_running_cycle_is_no_earlier_period() {
    let catalogue = catalogue([sign_in(&[1, 7], json!({}))]);
    let task = see_one(&on_days(&catalogue, 1..=3), "03T12:00");
    assert_eq!(task.milestones[0].reached_at, Some(at("01T09:00")));
    assert_eq!(task.unclaimed_from_earlier_periods, []);
    assert_eq!(task.state, TaskScreenState::Claimable);
}

#[test]
fn rule_20_what_a_broken_streak_granted_can_still_be_claimed() {
    let catalogue = catalogue([sign_in(&[1, 7], json!({}))]);
    let past = on_days(&catalogue, [1]);
    let task = see_one(&past, "05T12:00");
    assert_eq!((task.state, task.progress), (TaskScreenState::Claimable, 0));
    assert!(task.milestones.iter().all(|m| m.reached_at.is_none()));
    assert_eq!(task.unclaimed_from_earlier_periods[0].period, day(1));
    let claimed = past.after(&[claim("sign-in", "05T13:00")]);
    assert_eq!(see_one(&claimed, "05T14:00").state, TaskScreenState::Available);
}

#[test]
fn rule_20_at_and_beyond_the_last_milestone_a_streak_is_claimed_and_its_progress_stays() {
    let automatic = json!({ "claim": { "mode": "automatic" } });
    let catalogue = catalogue([sign_in(&[1, 2], automatic)]);
    for (days, current) in [(2, 2), (4, 4)] {
        let task = see_one(&on_days(&catalogue, 1..=days), &format!("{days:02}T12:00"));
        assert_eq!((task.state, task.progress, task.target), (TaskScreenState::Claimed, 2, 2));
        assert_eq!(task.streak.unwrap(), streak(current, current, false));
    }
    let one = see_one(&on_days(&catalogue, 1..=1), "01T12:00");
    assert_eq!((one.state, one.progress), (TaskScreenState::InProgress, 1));
}

#[test]
fn rule_20_a_reader_whose_clock_is_behind_the_producers_sees_its_own_period() {
    let catalogue = catalogue([sign_in(&[7], json!({})), daily(json!({}))]);
    let past = on_days(&catalogue, [8, 9, 10]).after(&[gift("09T12:00"), gift("09T13:00")]);
    let past = past.after(&[gift("10T00:01")]);
    let seen = see(&past, "09T23:58");
    let (day, streak_seen) = (&seen[0], &seen[1]);
    assert_eq!(
        (day.id.as_str(), day.period.key.as_str(), day.progress),
        ("daily", "2026-03-09", 2)
    );
    assert_eq!(streak_seen.streak.unwrap(), streak(3, 3, false));
    // Five minutes into the producer's period, the one before is no longer kept.
    let past = past.after(&[gift("10T00:05")]);
    assert_eq!(see(&past, "09T23:58")[0].progress, 0);
}
