//! Past actions: a new task counts actions that were decided before it was published.
//!
//! The tasks of these tests were published on March 20, at noon.

use super::*;
use crate::catalogue::definition::BackfillRewards;
use crate::screen::{ScreenRequest, TaskScreenState, screen};

/// A catalogue whose tasks count actions since March 1.
fn published(definitions: impl IntoIterator<Item = Value>) -> Catalogue {
    let task = |mut definition: Value| {
        definition["backfill"] = json!({ "from": "2026-03-01T00:00:00Z" });
        let definition: TaskDefinition = serde_json::from_value(definition).unwrap();
        let (id, status_since) = (definition.id.clone(), at("20T12:00"));
        let version = TaskVersion::new(definition, 1, status_since).unwrap();
        let versions = vec![Arc::new(version)];
        CatalogueTask { id, status: Status::Active, status_since, versions, amnesties: vec![] }
    };
    Catalogue::new(1, definitions.into_iter().map(task).collect()).unwrap()
}

fn past(task: &str, rewards: BackfillRewards, command: Input) -> Input {
    let Input::RecordAction { action, .. } = command else { panic!("{command:?}") };
    Input::CountPast { task: id(task), action, rewards, counted_at: at("25T00:00") }
}

fn granted(task: &str, command: Input) -> Input {
    past(task, BackfillRewards::Grant, command)
}

fn release(task: &str, when: &str) -> Input {
    Command::ReleaseBackfill(BackfillRelease {
        user: user(),
        task: id(task),
        seed: Seed(1),
        by: "ops".to_owned(),
        reason: Some("checked".to_owned()),
        at: at(when),
    })
    .into()
}

fn released(task: &str, period: &Period, when: &str) -> Event {
    Event::BackfillReleased {
        task: id(task),
        version: 1,
        period: period.key.clone(),
        by: "ops".to_owned(),
        reason: Some("checked".to_owned()),
        at: at(when),
    }
}

fn held(event: Event) -> Event {
    let mut event = withheld(event);
    let Event::ProgressRecorded { held, .. } = &mut event else { panic!("{event:?}") };
    *held = true;
    event
}

#[test]
fn a_past_action_counts_for_the_new_task_alone() {
    let catalogue = published([daily_with(&[9], json!({ "id": "other" })), first_gift(json!({}))]);
    given(&catalogue, &[]).when(&granted("first-gift", gift("10T12:00"))).then(&[
        progressed("first-gift", once(), [1, 1, 1], "10T12:00"),
        reached("first-gift", &once(), 1, 100, "10T12:00"),
        completed("first-gift", &once(), "10T12:00"),
    ]);
}

#[test]
fn what_past_actions_complete_moves_those_who_wait_for_it() {
    let composite = first_gift(json!({
        "id": "all", "objective": { "completions_of": ["first-gift"], "target": 1 },
    }));
    let catalogue = published([first_gift(json!({})), composite]);
    let none = past("first-gift", BackfillRewards::None, gift("10T12:00"));
    let all = |event: &Event| event.task() == Some(&id("all"));
    let events = given(&catalogue, &[]).when(&none).events();
    let rewards = events.iter().filter(|event| all(event)).find_map(|event| match event {
        Event::MilestoneReached { rewards, .. } => Some(rewards.len()),
        _ => None,
    });
    assert_eq!(rewards, Some(1), "the composite's own rewards are granted: {events:?}");
}

#[test]
fn rule_03_what_a_user_did_since_the_publication_closes_no_period_before_it() {
    let catalogue = published([daily(json!({}))]);
    let live =
        given(&catalogue, &[]).after(&[gift("21T08:00"), gift("22T08:00"), gift("23T08:00")]);
    let counted = |when: &str| granted("daily", gift(when));
    let counting = live.after(&[counted("18T09:00"), counted("18T10:00")]);
    // March 20 + 30 days is April 19.
    let mut third = progressed("daily", day(18), [1, 3, 3], "18T11:00");
    let Event::ProgressRecorded { closes_at, .. } = &mut third else { panic!() };
    *closes_at = Some("2026-04-19T12:00:00Z".parse().unwrap());
    counting.when(&counted("18T11:00")).then(&[
        third,
        reached("daily", &day(18), 3, 10, "18T11:00"),
        completed("daily", &day(18), "18T11:00"),
    ]);
    let periods = counting.after(&[counted("18T11:00")]).state.tasks[&id("daily")].periods.clone();
    let open: Vec<&str> = periods.iter().map(|p| p.period.key.as_str()).collect();
    assert_eq!(open, ["2026-03-18", "2026-03-23"], "periods after the publication close as ever");
}

#[test]
fn rule_03_the_periods_before_a_publication_close_a_month_later() {
    let catalogue = published([daily(json!({}))]);
    let month_later: Timestamp = "2026-04-19T12:00:00Z".parse().unwrap();
    let live = given(&catalogue, &[]).after(&[action("gift.sent", month_later, &json!({}))]);
    let events = live.when(&granted("daily", gift("18T09:00"))).events();
    assert!(matches!(events[..], [Event::ActionTooLate { .. }]), "{events:?}");
}

#[test]
fn rule_12_past_sign_ins_join_the_streak_that_began_since() {
    let catalogue = published([sign_in(&[1, 3, 5], json!({}))]);
    let live = given(&catalogue, &[]).after(&[signs_in("20T13:00"), signs_in("21T13:00")]);
    let counted = |when: &str| granted("sign-in", signs_in(when));
    let joined = live.after(&[counted("16T09:00"), counted("18T09:00"), counted("19T09:00")]);
    let streak = joined.state.tasks[&id("sign-in")].streak.clone().unwrap();
    assert_eq!((streak.current, streak.longest), (4, 4));
    let events = joined.when(&counted("17T09:00")).events();
    assert!(
        events.iter().any(|e| matches!(e, Event::MilestoneReached { milestone: 5, .. })),
        "{events:?}"
    );
    let all = joined.after(&[counted("17T09:00")]);
    assert_eq!(all.state.tasks[&id("sign-in")].streak.as_ref().unwrap().current, 6);
}

#[test]
fn rewards_of_past_actions_expire_after_they_could_be_claimed() {
    let claim = json!({ "expires_after_seconds": 3600 });
    let catalogue = published([first_gift(json!({ "claim": claim }))]);
    let events = given(&catalogue, &[]).when(&granted("first-gift", gift("10T12:00"))).events();
    let until = events.iter().find_map(|event| match event {
        Event::MilestoneReached { terms, at, .. } => Some((*at, terms.claim_until)),
        _ => None,
    });
    assert_eq!(until, Some((at("10T12:00"), Some(at("25T01:00")))));
}

#[test]
fn without_rewards_milestones_are_reached_for_nothing() {
    let catalogue = published([first_gift(json!({}))]);
    let none = past("first-gift", BackfillRewards::None, gift("10T12:00"));
    let after = given(&catalogue, &[]).after(&[none]);
    assert!(after.state.grants.is_empty());
    let task = id("first-gift");
    let request = ScreenRequest { task: Some(&task), ..ScreenRequest::default() };
    let shown = screen(&user(), &after.state, &catalogue, at("26T00:00"), &request).remove(0);
    assert_eq!(shown.progress, 1);
    assert!(shown.milestones[0].rewards.is_empty() && shown.milestones[0].reached_at.is_some());
    assert_eq!(shown.state, TaskScreenState::Claimed);
}

#[test]
fn held_rewards_wait_for_an_operator_whatever_happens_meanwhile() {
    let catalogue = published([daily_with(
        &[1, 3],
        json!({ "id": "first-gift", "kind": "ordinary", "every": "once" }),
    )]);
    let hold = |when: &str| past("first-gift", BackfillRewards::Hold, gift(when));
    let user = given(&catalogue, &[]);
    let first = held(progressed("first-gift", once(), [1, 1, 3], "10T12:00"));
    user.when(&hold("10T12:00")).then(&[first]);
    let user = user.after(&[hold("10T12:00"), hold("11T12:00")]);
    // A live action adds to it, and what it reaches is held too.
    let third = held(progressed("first-gift", once(), [1, 3, 3], "26T12:00"));
    user.when(&gift("26T12:00")).then(&[third]);
    let user = user.after(&[gift("26T12:00")]);
    user.when(&release("first-gift", "27T12:00")).then(&[
        released("first-gift", &once(), "27T12:00"),
        reached("first-gift", &once(), 1, 10, "27T12:00"),
        reached("first-gift", &once(), 3, 30, "27T12:00"),
        completed("first-gift", &once(), "27T12:00"),
    ]);
    let user = user.after(&[release("first-gift", "27T12:00")]);
    user.when(&release("first-gift", "28T12:00")).then(&[]);
}

#[test]
fn what_is_released_while_the_task_is_locked_comes_with_its_unlocking() {
    let prerequisite = first_gift(json!({ "objective": { "on": ["other"], "target": 1 } }));
    let locked = json!({ "requires": ["first-gift"], "while_locked": "count" });
    let catalogue = published([prerequisite, daily_with(&[1], locked)]);
    let hold = past("daily", BackfillRewards::Hold, gift("20T09:00"));
    let user = given(&catalogue, &[]).after(&[hold]);
    user.when(&release("daily", "21T12:00")).then(&[released("daily", &day(20), "21T12:00")]);
    let unlocks = action("other", at("22T12:00"), &json!({}));
    let granted_to_daily = |user: &Given<'_>| {
        let events = user.when(&unlocks).events();
        events
            .iter()
            .any(|e| matches!(e, Event::MilestoneReached { task, .. } if *task == id("daily")))
    };
    assert!(!granted_to_daily(&user), "it is still held");
    assert!(granted_to_daily(&user.after(&[release("daily", "21T12:00")])));
}

#[test]
fn a_correction_leaves_the_hold_of_a_period_as_it_is() {
    let catalogue = published([daily_with(
        &[1, 3],
        json!({ "id": "first-gift", "kind": "ordinary", "every": "once" }),
    )]);
    let hold = past("first-gift", BackfillRewards::Hold, gift("10T12:00"));
    let adjustment = Adjustment::By(1);
    let adjust = Command::ByHand(HandCommand::Correct(Correction {
        user: user(),
        change: Change::Adjust { task: id("first-gift"), period: None, adjustment },
        by: "ops".to_owned(),
        reason: "support case 7".to_owned(),
        at: at("25T12:00"),
        seed: Seed(1),
    }))
    .into();
    let user = given(&catalogue, &[]).after(&[hold, adjust]);
    let third = held(progressed("first-gift", once(), [1, 3, 3], "26T12:00"));
    user.when(&gift("26T12:00")).then(&[third]);
    user.after(&[gift("26T12:00")]).when(&release("first-gift", "27T12:00")).then(&[
        released("first-gift", &once(), "27T12:00"),
        reached("first-gift", &once(), 1, 10, "27T12:00"),
        reached("first-gift", &once(), 3, 30, "27T12:00"),
        completed("first-gift", &once(), "27T12:00"),
    ]);
}
