//! Corrections by hand: operator and reason are facts like any other, and a milestone is granted
//! once.

use proptest::prelude::*;
use uuid::Uuid;

use super::*;
use crate::catalogue::definition::Payout;

fn corrects(change: Change, when: &str) -> Input {
    by_hand::corrects(change, when).into()
}

fn adjusts(task: &str, adjustment: Adjustment, when: &str) -> Input {
    corrects(Change::Adjust { task: id(task), period: None, adjustment }, when)
}

fn adjusts_by(by: i64, when: &str) -> Input {
    adjusts("daily", Adjustment::By(by), when)
}

fn completes(task: &str, when: &str) -> Input {
    corrects(Change::Complete { task: id(task), period: None }, when)
}

fn resets(task: &str, when: &str) -> Input {
    corrects(Change::Reset { task: id(task), period: None }, when)
}

fn revokes(grant: Uuid, whole_milestone: bool, when: &str) -> Input {
    corrects(Change::Revoke { grant, whole_milestone }, when)
}

/// A correction of a day by version 1 and by an operator; `credited` to make `total` of `target`.
fn corrected(task: &str, period: Period, amounts: [i64; 3], when: &str) -> Event {
    progress_corrected(task, period, amounts, when, (Some("ops"), "support case 7"))
}

fn starting_over(mut event: Event) -> Event {
    let Event::ProgressCorrected { starts_over, .. } = &mut event else { panic!("{event:?}") };
    *starts_over = true;
    event
}

#[track_caller]
fn refused(past: &Given<'_>, command: &Input) -> String {
    match past.when(command).outcome {
        Err(CommandRejection::Operator(Rejection::NotCorrectable { reason, .. })) => reason,
        Err(CommandRejection::Operator(Rejection::NotRevocable { state, reason, .. })) => {
            format!("{}: {reason}", state.as_str())
        }
        other => panic!("{other:?}"),
    }
}

#[test]
fn rule_24_an_adjustment_tells_who_and_why_and_reaches_what_it_reaches() {
    let catalogue = catalogue([daily(json!({}))]);
    let past = given(&catalogue, &[]).after(&[gift("29T10:00")]);
    past.when(&adjusts_by(1, "29T11:00")).then(&[corrected(
        "daily",
        day(29),
        [1, 2, 3],
        "29T11:00",
    )]);
    past.when(&adjusts("daily", Adjustment::To(9), "29T11:00")).then(&[
        corrected("daily", day(29), [2, 3, 3], "29T11:00"),
        reached("daily", &day(29), 3, 10, "29T11:00"),
        completed("daily", &day(29), "29T11:00"),
    ]);
    let reason = refused(&past, &adjusts("daily", Adjustment::To(1), "29T11:00"));
    assert_eq!(reason, "its progress is 1 of 3 already");
}

#[test]
fn rule_14_progress_that_was_taken_down_reaches_no_milestone_again() {
    let catalogue = catalogue([daily(json!({}))]);
    let gifts = ["29T10:00", "29T10:01", "29T10:02"].map(gift);
    let past = given(&catalogue, &[]).after(&gifts);
    past.when(&adjusts_by(-2, "29T11:00")).then(&[corrected(
        "daily",
        day(29),
        [-2, 1, 3],
        "29T11:00",
    )]);
    let past = past.after(&[adjusts_by(-2, "29T11:00")]);
    past.when(&gift("29T12:00")).then(&[progressed("daily", day(29), [1, 2, 3], "29T12:00")]);
    let past = past.after(&[gift("29T12:00")]);
    past.when(&gift("29T12:01")).then(&[progressed("daily", day(29), [1, 3, 3], "29T12:01")]);
    // Progress never falls below zero.
    past.when(&adjusts_by(-99, "29T13:00")).then(&[corrected(
        "daily",
        day(29),
        [-2, 0, 3],
        "29T13:00",
    )]);
}

#[test]
fn rule_03_a_correction_closes_no_period_and_needs_an_open_one() {
    let lateness = json!({ "on": ["gift.sent"], "target": 3, "lateness_seconds": 7_200 });
    let catalogue = catalogue([daily(json!({ "objective": lateness }))]);
    let past = given(&catalogue, &[]).after(&[gift("28T10:00"), adjusts_by(1, "30T12:00")]);
    let late = past.when(&gift("28T11:00")).events();
    assert!(matches!(late[..], [Event::ProgressRecorded { progress: 2, .. }]), "{late:?}");

    let of = |key: &str| Change::Adjust {
        task: id("daily"),
        period: Some(key.to_owned().into()),
        adjustment: Adjustment::By(1),
    };
    let past = past.after(&[corrects(of("2026-03-28"), "30T13:00"), gift("31T12:00")]);
    let reason = refused(&past, &corrects(of("2026-03-28"), "31T13:00"));
    assert!(reason.ends_with("or it is closed"), "{reason}");
    past.when(&corrects(of("2026-W13"), "31T13:00")).then_rejected(&Rejection::UnknownPeriod {
        task: id("daily"),
        period: "2026-W13".to_owned(),
    });
}

#[test]
fn a_completion_by_hand_ignores_locks_and_moves_what_counts_it() {
    let composite = daily(json!({
        "id": "all", "objective": { "completions_of": ["daily"], "target": 1 },
        "milestones": [{ "at": 1, "rewards": [coins(5)] }],
    }));
    let locked = daily(json!({ "requires": ["first-gift"] }));
    let catalogue = catalogue([first_gift(json!({})), locked, composite]);
    let past = given(&catalogue, &[]);
    let counted = Event::ProgressRecorded {
        task: id("all"),
        version: 1,
        period: day(29),
        closes_at: None,
        credited: 1,
        progress: 1,
        target: 1,
        at: at("29T11:00"),
        withheld: false,
        held: false,
        carried: 0,
        surplus: 0,
        dropped: 0,
        latest: false,
        value: None,
        day: None,
        completion_of: Some(id("daily")),
    };
    past.when(&completes("daily", "29T11:00")).then(&[
        corrected("daily", day(29), [3, 3, 3], "29T11:00"),
        reached("daily", &day(29), 3, 10, "29T11:00"),
        completed("daily", &day(29), "29T11:00"),
        counted,
        reached("all", &day(29), 1, 5, "29T11:00"),
        completed("all", &day(29), "29T11:00"),
    ]);
    let past = past.after(&[completes("daily", "29T11:00")]);
    let again = refused(&past, &completes("daily", "29T12:00"));
    assert_eq!(again, "period 2026-03-29 is completed already");
}

#[test]
fn an_adjustment_of_a_locked_task_waits_for_the_unlock() {
    let catalogue =
        catalogue([first_gift(json!({})), daily(json!({ "requires": ["first-gift"] }))]);
    let past = given(&catalogue, &[]);
    let events = past.when(&adjusts_by(3, "29T11:00")).events();
    assert!(matches!(events[..], [Event::ProgressCorrected { withheld: true, .. }]), "{events:?}");
    // After progress was taken down again, nothing waits any more.
    let past = past.after(&[adjusts_by(3, "29T11:00"), adjusts_by(-1, "29T11:30")]);
    let unlocked = past.when(&completes("first-gift", "29T12:00")).events();
    assert!(!unlocked.iter().any(|event| event.task() == Some(&id("daily"))), "{unlocked:?}");
    let past = past.after(&[adjusts_by(1, "29T11:45")]);
    let unlocked = past.when(&completes("first-gift", "29T12:00")).events();
    let reached_daily = reached("daily", &day(29), 3, 10, "29T12:00");
    assert!(unlocked.contains(&reached_daily), "{unlocked:?}");
}

#[test]
fn a_reset_starts_the_period_over_and_takes_back_no_reward() {
    let objective = json!({ "on": ["gift.sent"], "measure": { "distinct": ["to"] }, "target": 3 });
    let catalogue = catalogue([daily(json!({ "objective": objective }))]);
    let to = |who: &str, when: &str| action("gift.sent", at(when), &json!({ "to": who }));
    let past = given(&catalogue, &[]).after(&[to("a", "29T10:00"), to("b", "29T10:01")]);
    past.when(&resets("daily", "29T11:00")).then(&[starting_over(corrected(
        "daily",
        day(29),
        [-2, 0, 3],
        "29T11:00",
    ))]);
    let past = past.after(&[resets("daily", "29T11:00")]);
    let again = past.when(&to("a", "29T12:00")).events();
    assert!(matches!(again[..], [Event::ProgressRecorded { progress: 1, .. }]), "{again:?}");
    let nothing = refused(&given(&catalogue, &[]), &resets("daily", "29T11:00"));
    assert_eq!(nothing, "nothing is counted in the period");
}

#[test]
fn rule_12_a_reset_ends_a_streak_and_makes_no_second_step_in_a_day() {
    let catalogue = catalogue([sign_in(&[1, 2], json!({}))]);
    let days = ["27T09:00", "28T09:00", "29T09:00"].map(signs_in);
    let past = given(&catalogue, &[]).after(&days);
    let step = refused(&past, &adjusts("sign-in", Adjustment::To(0), "29T10:00"));
    assert!(step.contains("is a step of the streak"), "{step}");
    past.when(&resets("sign-in", "29T10:00")).then(&[starting_over(corrected(
        "sign-in",
        day(29),
        [0, 1, 1],
        "29T10:00",
    ))]);
    let past = past.after(&[resets("sign-in", "29T10:00")]);
    let same_day = past.when(&signs_in("29T11:00")).events();
    assert_eq!(same_day, []);
    let next = past.when(&signs_in("30T09:00")).events();
    let is_first = |e: &Event| matches!(e, Event::StreakAdvanced { current: 1, step: 1, .. });
    assert!(next.iter().any(is_first), "{next:?}");
    // A completion by hand is a step like any other.
    let step = past.when(&completes("sign-in", "30T09:00")).events();
    assert!(step.iter().any(is_first), "{step:?}");
}

#[test]
fn rule_14_a_grant_by_hand_is_made_once_and_delivered_like_others() {
    let catalogue = catalogue([]);
    let payout = Payout { kind: "currency".to_owned(), code: "coin".to_owned(), amount: 50 };
    let grants = |amount, when| {
        let payout = Payout { amount, ..payout.clone() };
        corrects(Change::Grant { line: "case-7".to_owned(), payout }, when)
    };
    let past = given(&catalogue, &[]);
    let events = past.when(&grants(50, "29T10:00")).events();
    let [Event::RewardGranted { reward, by, reason }] = &events[..] else { panic!("{events:?}") };
    assert_eq!((by.as_str(), reason.as_str()), ("ops", "support case 7"));
    let named = event::grant_id(&user(), &id(BY_HAND), &reward.period, 0, "case-7");
    assert_eq!((reward.grant, reward.amount), (named, 50));
    let past = past.after(&[grants(50, "29T10:00")]);
    past.when(&grants(70, "29T11:00")).then(&[]);
    let reward = reward.clone();
    past.when(&Command::StartDeliveries { rewards: vec![reward.clone()] })
        .then(&[Event::DeliveryStarted { reward }]);
}

fn unclaimed_grant(past: &Given<'_>) -> Uuid {
    *past.state.grants.keys().next().unwrap()
}

#[test]
fn a_revoked_reward_is_neither_claimed_nor_delivered() {
    let catalogue = catalogue([first_gift(json!({}))]);
    let past = given(&catalogue, &[]).after(&[gift("29T10:00")]);
    let grant = unclaimed_grant(&past);
    let granted = past.state.grants[&grant].reward.clone();
    past.when(&revokes(grant, false, "29T11:00")).then(&[Event::RewardsRevoked {
        task: id("first-gift"),
        version: 1,
        period: once().key,
        milestone: 1,
        rewards: vec![granted.clone()],
        unclaimed: true,
        by: "ops".to_owned(),
        reason: "support case 7".to_owned(),
        at: at("29T11:00"),
    }]);
    let revoked = past.clone().after(&[revokes(grant, false, "29T11:00")]);
    revoked
        .when(&claim("first-gift", "29T12:00"))
        .then_rejected(&ClaimRejection::NothingClaimable { task: id("first-gift") });
    assert_eq!(revoked.state.tasks[&id("first-gift")].unclaimed_count, 0);

    // The reward is claimed, and on its way.
    let claimed = past.after(&[claim("first-gift", "29T11:00")]);
    let revoked = claimed.clone().after(&[revokes(grant, false, "29T11:30")]);
    revoked.when(&Command::StartDeliveries { rewards: vec![granted.clone()] }).then(&[]);
    let delivered = action("plaudit.reward.delivered", at("29T12:00"), &json!({ "grant": grant }));
    let ignored = revoked.when(&delivered).events();
    assert!(matches!(ignored[..], [Event::AcknowledgementIgnored { .. }]), "{ignored:?}");
    assert!(refused(&revoked, &revokes(grant, false, "29T12:00")).starts_with("revoked: "));
    let on_its_way = claimed.after(&[Command::StartDeliveries { rewards: vec![granted] }]);
    let reason = refused(&on_its_way, &revokes(grant, false, "29T12:00"));
    assert!(reason.starts_with("delivering: it was handed to the paying system"), "{reason}");
}

#[test]
fn unclaimed_rewards_of_one_milestone_are_revoked_together() {
    let two = json!([coins(10), { "line": "badge", "kind": "item", "code": "b", "amount": 1 }]);
    let milestones = json!([{ "at": 1, "rewards": two }]);
    let catalogue = catalogue([first_gift(json!({ "milestones": milestones }))]);
    let past = given(&catalogue, &[]).after(&[gift("29T10:00")]);
    let grant = unclaimed_grant(&past);
    let reason = refused(&past, &revokes(grant, false, "29T11:00"));
    assert!(reason.contains("can only be claimed together"), "{reason}");
    let events = past.when(&revokes(grant, true, "29T11:00")).events();
    let [Event::RewardsRevoked { rewards, .. }] = &events[..] else { panic!("{events:?}") };
    assert_eq!(rewards.len(), 2);
    // Once claimed, each reward is revoked by itself.
    let claimed = past.after(&[claim("first-gift", "29T11:00")]);
    let events = claimed.when(&revokes(grant, false, "29T12:00")).events();
    let [Event::RewardsRevoked { rewards, .. }] = &events[..] else { panic!("{events:?}") };
    assert_eq!(rewards.len(), 1);
}

/// Gifts and corrections in any order, over some days.
fn mixed() -> impl Strategy<Value = Vec<Input>> {
    let command = (0..4 * 24 * 60_i64, 0..9_u8, -5..9_i64).prop_map(|(minute, what, by)| {
        let moment = at("26T00:00") + jiff::SignedDuration::from_mins(minute);
        let (by_hand, reason) = ("ops".to_owned(), "a test".to_owned());
        let task = if what % 2 == 0 { "daily" } else { "sign-in" };
        let (task, period) = (id(task), None);
        let change = match what {
            0 | 1 => Change::Adjust { task, period, adjustment: Adjustment::By(by) },
            2 | 3 => Change::Complete { task, period },
            4 | 5 => Change::Reset { task, period },
            6 => return action("gift.sent", moment, &json!({})),
            7 => return action("user.signed_in", moment, &json!({})),
            _ => {
                let payout =
                    Payout { kind: "currency".to_owned(), code: "coin".to_owned(), amount: 1 };
                Change::Grant { line: format!("line {by}"), payout }
            }
        };
        let (by, at, seed) = (by_hand, moment, Seed(1));
        Command::ByHand(HandCommand::Correct(Correction {
            user: user(),
            change,
            by,
            reason,
            at,
            seed,
        }))
        .into()
    });
    proptest::collection::vec(command, 0..40)
}

proptest! {
    #[test]
    fn rule_05_facts_of_corrections_fold_to_the_state_that_was_carried_along(commands in mixed()) {
        let catalogue = catalogue([
            first_gift(json!({})),
            daily(json!({ "requires": ["first-gift"], "while_locked": "count" })),
            sign_in(&[1, 2], json!({})),
        ]);
        let (mut events, mut state) = (Vec::new(), UserTasks::default());
        for command in &commands {
            let decided = decide(&state, command, &catalogue).unwrap_or_default().events;
            decided.iter().for_each(|event| evolve(&mut state, event));
            events.extend(decided);
        }
        prop_assert_eq!(&fold(&events), &state);
        prop_assert_eq!(&fold(events.iter().flat_map(|event| [event, event])), &state);
        // Rule 14: a milestone is reached once in its period, whatever was corrected in between.
        let mut reached = std::collections::BTreeSet::new();
        for event in &events {
            if let Event::MilestoneReached { task, period, milestone, .. } = event {
                prop_assert!(reached.insert((task.clone(), period.key.clone(), *milestone)), "{:?}", event);
            }
        }
    }
}
