//! The states of ordinary and periodic tasks.

use super::*;

#[test]
fn rule_20_a_task_is_locked_while_a_prerequisite_was_never_completed() {
    let catalogue = catalogue([
        first_gift(json!({ "order": 1 })),
        daily_with(&[9], json!({ "requires": ["first-gift", "unknown"], "while_locked": "count" })),
        daily_with(&[9], json!({ "id": "other", "requires": ["first-gift"] })),
    ]);
    let before = see(&given(&catalogue, &[]), "29T12:00");
    assert_eq!(before[0].state, TaskScreenState::Locked);
    assert_eq!(before[0].locked_by, [id("first-gift"), id("unknown")]);
    let after = see(&given(&catalogue, &[]).after(&[gift("29T10:00")]), "30T12:00");
    assert_eq!(after[0].locked_by, [id("unknown")]);
    assert_eq!((after[1].state, after[1].locked_by.len()), (TaskScreenState::Available, 0));
}

#[test]
fn rule_20_a_locked_task_that_counts_shows_its_progress_and_reaches_nothing() {
    let locked = json!({ "requires": ["unknown"], "while_locked": "count" });
    let catalogue = catalogue([daily_with(&[1, 2], locked)]);
    let past = given(&catalogue, &[]).after(&[gift("29T10:00"), gift("29T11:00")]);
    let task = see_one(&past, "29T12:00");
    assert_eq!((task.state, task.progress), (TaskScreenState::Locked, 2));
    assert!(task.milestones.iter().all(|m| m.reached_at.is_none()));
}

#[test]
fn rule_20_a_task_goes_from_available_over_in_progress_to_claimable_to_claimed() {
    let catalogue = catalogue([daily_with(&[1, 3], json!({}))]);
    let state = |past: &Given<'_>| see_one(past, "29T12:00").state;
    let past = given(&catalogue, &[]);
    assert_eq!(state(&past), TaskScreenState::Available);
    let past = past.after(&[gift("29T08:00")]);
    assert_eq!(state(&past), TaskScreenState::Claimable);
    let past = past.after(&[claim("daily", "29T08:30")]);
    assert_eq!(state(&past), TaskScreenState::InProgress);
    let past = past.after(&[gift("29T09:00"), gift("29T10:00")]);
    assert_eq!(state(&past), TaskScreenState::Claimable);
    let past = past.after(&[claim("daily", "29T10:30")]);
    assert_eq!(state(&past), TaskScreenState::Claimed);
}

#[test]
fn rule_20_a_task_without_rewards_is_completed() {
    let bare = json!({
        "milestones": [{ "at": 1 }], "objective": { "on": ["gift.sent"], "target": 1 }
    });
    let catalogue = catalogue([daily(bare)]);
    let past = given(&catalogue, &[]).after(&[gift("29T10:00")]);
    assert_eq!(see_one(&past, "29T12:00").state, TaskScreenState::Completed);
}

#[test]
fn rule_20_a_task_that_grants_automatically_is_claimed_when_it_is_completed() {
    let catalogue = catalogue([daily_with(&[1], json!({ "claim": { "mode": "automatic" } }))]);
    let past = given(&catalogue, &[]).after(&[gift("29T10:00")]);
    let task = see_one(&past, "29T12:00");
    assert_eq!(task.state, TaskScreenState::Claimed);
    let granted = task.milestones[0].rewards[0].granted.as_ref().unwrap();
    assert_eq!(granted.state, RewardState::Claimed);
}

#[test]
fn rule_09_completed_is_shown_as_completed_whatever_a_new_version_wants() {
    let version = |target| daily_with(&[target], json!({ "on_new_version": "adopt" }));
    let (before, after) = (catalogue([version(1)]), catalogue([version(1), version(5)]));
    let mut past = given(&before, &[]).after(&[gift("29T10:00"), claim("daily", "29T11:00")]);
    past.catalogue = &after;
    let task = see_one(&past, "29T12:00");
    assert_eq!((task.state, task.progress, task.target), (TaskScreenState::Claimed, 1, 1));
}

#[test]
fn rule_20_an_ordinary_task_stays_done() {
    let catalogue = catalogue([first_gift(json!({}))]);
    let past = given(&catalogue, &[]).after(&[gift("01T10:00"), claim("first-gift", "01T11:00")]);
    let task = see_one(&past, "29T12:00");
    assert_eq!((task.state, task.progress), (TaskScreenState::Claimed, 1));
    assert_eq!(task.period, once());
}

#[test]
fn rule_20_a_period_in_which_nothing_was_done_is_shown_at_0_before_any_action_opens_it() {
    let catalogue = catalogue([daily_with(&[9], json!({}))]);
    let past = given(&catalogue, &[]).after(&[gift("28T10:00")]);
    let yesterday = see_one(&past, "28T12:00");
    assert_eq!((yesterday.state, yesterday.progress), (TaskScreenState::InProgress, 1));
    let today = see_one(&past, "29T00:00");
    assert_eq!(
        (today.state, today.progress, today.period),
        (TaskScreenState::Available, 0, day(29))
    );
}

#[test]
fn rule_18_what_earlier_periods_granted_is_listed_oldest_first_and_makes_the_task_claimable() {
    let catalogue = catalogue([daily_with(&[1, 2], json!({}))]);
    let past = given(&catalogue, &[]).after(&[
        gift("27T10:00"),
        gift("28T10:00"),
        gift("28T11:00"),
        gift("29T10:00"),
    ]);
    let task = see_one(&past, "29T12:00");
    let listed = |task: &TaskScreen| -> Vec<(Period, i64)> {
        task.unclaimed_from_earlier_periods.iter().map(|u| (u.period.clone(), u.at)).collect()
    };
    assert_eq!(listed(&task), [(day(27), 1), (day(28), 1), (day(28), 2)]);
    let today = see_one(&past, "30T12:00");
    assert_eq!(today.state, TaskScreenState::Claimable);
    assert_eq!(listed(&today).last(), Some(&(day(29), 1)));
    let past = past.after(&[claim("daily", "29T13:00")]);
    assert_eq!(listed(&see_one(&past, "29T14:00")), [(day(28), 1), (day(28), 2)]);
}

#[test]
fn rule_20_an_unclaimed_milestone_reads_as_the_contract_shows_it() {
    let catalogue = catalogue([daily_with(&[1], json!({}))]);
    let past = given(&catalogue, &[]).after(&[gift("28T10:00")]);
    let grant = crate::user_tasks::event::grant_id(&user(), &id("daily"), &day(28).key, 1, "coins");
    let expected = json!([{
        "period": { "key": "2026-03-28", "starts_at": "2026-03-28T00:00:00Z",
                    "ends_at": "2026-03-29T00:00:00Z" },
        "at": 1, "reached_at": "2026-03-28T10:00:00Z",
        "rewards": [{ "grant": grant, "line": "coins", "kind": "currency", "code": "coin",
                      "amount": 10, "state": "claimable", "claim_until": null }],
    }]);
    let shown = see_one(&past, "29T12:00").unclaimed_from_earlier_periods;
    assert_eq!(serde_json::to_value(shown).unwrap(), expected);
}
