//! Restoring by hand: an operator fills a missed period.

use super::*;
use crate::user_tasks::correction::Change;
use crate::user_tasks::tests::by_hand::corrects;

fn restores_of(task: &str, period: &str, when: &str) -> Command {
    let change = Change::Restore { task: id(task), period: period.to_owned().into() };
    corrects(change, when)
}

fn restores(day: u8, when: &str) -> Command {
    restores_of("sign-in", &format!("2026-03-{day:02}"), when)
}

#[track_caller]
fn refused(past: &Given<'_>, command: &Command) -> String {
    past.when(command).outcome.unwrap_err().to_string()
}

#[test]
fn rule_24_a_restored_day_goes_on_with_the_streak_and_tells_who_and_why() {
    let catalogue = streak(&[1, 2, 3], json!({}));
    let past = given(&catalogue, &[]).after(&on_days([1]));
    assert_eq!(shown(&past, "03T12:00"), (0, 1, 0, false));
    past.when(&restores(2, "03T12:00")).then_recorded(&[
        "broken: 1 to 01",
        "02: made up",
        "02: 2 of 2",
        "02: reaches 2",
    ]);
    let events = past.when(&restores(2, "03T12:00")).events();
    let (by, reason) = (Some("ops".to_owned()), Some("support case 7".to_owned()));
    let made_up = Event::PeriodMadeUp {
        task: id("sign-in"),
        version: 1,
        period: day(2),
        at: at("03T12:00"),
        by,
        reason,
    };
    assert_eq!(events[1], made_up);
    let past = past.after(&[restores(2, "03T12:00")]);
    assert_eq!(shown(&past, "03T13:00"), (2, 2, 0, true));
    past.when(&signs_in("03T14:00")).then_recorded(&[
        "03: 3 of 3",
        "03: reaches 3",
        "03: completes",
    ]);
}

/// A run begun since then is joined if the task remembers its steps for make-ups; the look-back
/// does not matter.
#[test]
fn rule_12_a_restored_day_joins_runs_beyond_the_look_back_and_grants_no_step_again() {
    let rules = json!({ "make_up": { "look_back": 1, "on": "user.made_up_day" } });
    let catalogue = streak(&[1, 2, 3, 4, 5], rules);
    let past = given(&catalogue, &[]).after(&on_days([1, 2, 4]));
    let too_far = ["data.period: 2026-03-03 lies more than 1 periods back"];
    past.when(&makes_up(3, "05T12:00")).then_recorded(&too_far);
    let joined = ["03: made up", "03: 4 of 4", "03: reaches 3", "04: reaches 4"];
    past.when(&restores(3, "05T12:00")).then_recorded(&joined);
    let past = past.after(&[restores(3, "05T12:00")]);
    past.when(&signs_in("05T13:00")).then_recorded(&[
        "05: 5 of 5",
        "05: reaches 5",
        "05: completes",
    ]);
    let filled = "task sign-in can't be corrected: period 2026-03-03 was not missed";
    assert_eq!(refused(&past, &restores(3, "05T14:00")), filled);
}

#[test]
fn rule_12_freezes_and_grace_after_a_restored_day_count_as_after_a_make_up() {
    let rules = json!({ "grace_periods": 1, "freezes": { "initial": 1, "max": 1 } });
    let catalogue = streak(&[9], rules.clone());
    let past = given(&catalogue, &[]).after(&on_days([1]));
    assert_eq!(shown(&past, "06T12:00"), (0, 1, 0, false));
    let past = past.after(&[restores(4, "06T12:00")]);
    // The freeze stays used for the 2nd, and grace for the 3rd; the 5th is a day of grace.
    assert_eq!(shown(&past, "06T13:00"), (2, 2, 0, true));
}

#[test]
fn a_day_that_can_not_be_restored_is_refused_with_the_reason() {
    let catalogue = catalogue([
        first_gift(json!({})),
        sign_in(&[7], json!({})),
        sign_in(&[7], json!({ "id": "locked", "requires": ["first-gift"] })),
        daily(json!({})),
    ]);
    let nobody = given(&catalogue, &[]);
    let past = nobody.clone().after(&on_days([5, 9]));
    let about = "task sign-in can't be corrected: ";
    let cases = [
        (&nobody, restores(1, "09T12:00"), "there is no step yet that a made-up one could join"),
        (&past, restores(9, "09T12:00"), "period 2026-03-09 has not ended"),
        (&past, restores(10, "09T12:00"), "period 2026-03-10 has not ended"),
        (&past, restores(4, "09T12:00"), "period 2026-03-04 lies before the user's first step"),
        (
            &past,
            restores(7, "09T12:00"),
            "the steps around period 2026-03-07 are no longer remembered, because the task takes no \
             make-up of it; grant what is missing by hand",
        ),
    ];
    for (past, command, reason) in cases {
        assert_eq!(refused(past, &command), format!("{about}{reason}"));
    }
    let locked = refused(&past, &restores_of("locked", "2026-03-07", "09T12:00"));
    assert_eq!(locked, "task locked can't be corrected: the task is locked by first-gift");
    let unknown = |task: &str, key: &str| past.when(&restores_of(task, key, "09T12:00"));
    unknown("none", "2026-03-07").then_rejected(&Rejection::UnknownTask { task: id("none") });
    unknown("daily", "2026-03-07").then_rejected(&Rejection::NoStreak { task: id("daily") });
    let (task, period) = (id("sign-in"), "2026-W10".to_owned());
    unknown("sign-in", "2026-W10").then_rejected(&Rejection::UnknownPeriod { task, period });
}

#[test]
fn rule_07_a_restored_day_that_completes_the_streak_counts_for_what_depends_on_it() {
    let chest = daily(json!({
        "id": "chest", "milestones": [{ "at": 1 }],
        "objective": { "completions_of": ["sign-in"], "target": 1 },
    }));
    let catalogue = catalogue([sign_in(&[2], json!({})), chest]);
    let past = given(&catalogue, &[]).after(&on_days([1]));
    let events = past.when(&restores(2, "03T12:00")).events();
    let of_chest = |event: &Event| event.task() == Some(&id("chest"));
    let names: Vec<_> =
        events.iter().filter(|event| of_chest(event)).map(|event| event.schema().0).collect();
    assert_eq!(names, ["progress_recorded", "milestone_reached", "task_completed"]);
}
