//! Actions that are taken back: `plaudit.action.reversed`.

use super::*;

/// The events of a user's gift.
fn facts_of(past: &Given<'_>, command: &Input) -> Vec<Event> {
    decide(&past.state, command, past.catalogue).unwrap().events
}

fn reverses(credited: Credited, when: &str) -> Input {
    let data = json!({ "source": "/test", "id": "g1", "reason": "refunded" });
    let Input::RecordAction { action, seed } = action("plaudit.action.reversed", at(when), &data)
    else {
        unreachable!()
    };
    Input::ReverseAction { action, seed, credited }
}

fn reversed(refused: Option<&str>, when: &str) -> Event {
    let (source, id, refused) = ("/test".to_owned(), "g1".to_owned(), refused.map(str::to_owned));
    Event::ActionReversed { source, id, refused, at: at(when) }
}

fn taken(period: Period, amounts: [i64; 3], when: &str) -> Event {
    progress_corrected("daily", period, amounts, when, (None, "refunded"))
}

fn kept(period: &Period, credited: i64, reason: &str, when: &str) -> Event {
    let (period, reason) = (period.key.clone(), reason.to_owned());
    Event::CreditKept { task: id("daily"), version: 1, period, credited, reason, at: at(when) }
}

fn summing(target: i64) -> Value {
    json!({ "on": ["gift.sent"], "measure": { "sum": ["coins"] }, "target": target })
}

fn coins_sent(coins: i64, when: &str) -> Input {
    action("gift.sent", at(when), &json!({ "coins": coins }))
}

#[test]
fn what_an_action_credited_to_an_open_period_is_taken_back() {
    let milestones =
        json!([{ "at": 40, "rewards": [coins(1)] }, { "at": 100 , "rewards": [coins(2)] }]);
    let catalogue =
        catalogue([daily(json!({ "objective": summing(100), "milestones": milestones }))]);
    let past = given(&catalogue, &[]).after(&[coins_sent(30, "29T10:00")]);
    let facts = facts_of(&past, &coins_sent(50, "29T10:01"));
    let past = past.after(&[coins_sent(50, "29T10:01"), coins_sent(5, "29T10:02")]);
    past.when(&reverses(Credited::Facts(facts), "29T11:00")).then(&[
        reversed(None, "29T11:00"),
        taken(day(29), [-50, 35, 100], "29T11:00"),
        kept(
            &day(29),
            0,
            "milestone 40 stays reached, and its rewards granted; revoke them by hand",
            "29T11:00",
        ),
    ]);
}

#[test]
fn what_exceeded_the_target_was_never_counted_and_is_not_taken_back() {
    let catalogue = catalogue([daily(json!({
        "objective": summing(100), "milestones": [{ "at": 100, "rewards": [coins(2)] }],
    }))]);
    let past = given(&catalogue, &[]).after(&[coins_sent(90, "29T10:00")]);
    let facts = facts_of(&past, &coins_sent(50, "29T10:01"));
    let past = past.after(&[coins_sent(50, "29T10:01")]);
    let events = past.when(&reverses(Credited::Facts(facts), "29T11:00")).events();
    assert_eq!(events[1], taken(day(29), [-10, 90, 100], "29T11:00"), "{events:?}");
}

#[test]
fn what_can_not_be_taken_back_is_told() {
    let of = |measure: Value| {
        let objective = json!({ "on": ["gift.sent"], "measure": measure, "target": 1_000 });
        daily(json!({ "objective": objective, "milestones": [{ "at": 1_000, "rewards": [] }] }))
    };
    for (measure, reason) in [
        (json!({ "max": ["coins"] }), "the next lower value of a `max` is not known"),
        (json!({ "latest": ["coins"] }), "which value of a `latest` stood before is not known"),
        (
            json!({ "distinct": ["coins"] }),
            "another action may have counted the same value, day or completion",
        ),
    ] {
        let catalogue = catalogue([of(measure)]);
        let past = given(&catalogue, &[]);
        let facts = facts_of(&past, &coins_sent(7, "29T10:00"));
        let Event::ProgressRecorded { credited, .. } = facts[0] else { panic!("{facts:?}") };
        let past = past.after(&[coins_sent(7, "29T10:00")]);
        past.when(&reverses(Credited::Facts(facts), "29T11:00"))
            .then(&[reversed(None, "29T11:00"), kept(&day(29), credited, reason, "29T11:00")]);
    }
}

#[test]
fn a_value_that_no_longer_stands_needs_no_correction() {
    for measure in [json!({ "max": ["coins"] }), json!({ "latest": ["coins"] })] {
        let objective = json!({ "on": ["gift.sent"], "measure": measure, "target": 1_000 });
        let milestones = json!([{ "at": 1_000, "rewards": [] }]);
        let catalogue =
            catalogue([daily(json!({ "objective": objective, "milestones": milestones }))]);
        let past = given(&catalogue, &[]);
        let facts = facts_of(&past, &coins_sent(7, "29T10:00"));
        let past = past.after(&[coins_sent(7, "29T10:00"), coins_sent(9, "29T10:01")]);
        past.when(&reverses(Credited::Facts(facts), "29T11:00"))
            .then(&[reversed(None, "29T11:00")]);
    }
}

#[test]
fn a_closed_period_and_a_step_of_a_streak_stand() {
    let catalogue = catalogue([daily(json!({})), sign_in(&[1], json!({ "id": "daily-sign-in" }))]);
    let past = given(&catalogue, &[]);
    let facts = facts_of(&past, &gift("28T10:00"));
    let past = past.after(&[gift("28T10:00"), gift("29T10:00")]);
    past.when(&reverses(Credited::Facts(facts), "29T11:00"))
        .then(&[reversed(None, "29T11:00"), kept(&day(28), 1, "the period is closed", "29T11:00")]);
    let facts = facts_of(&past, &signs_in("29T09:00"));
    let past = past.after(&[signs_in("29T09:00")]);
    let events = past.when(&reverses(Credited::Facts(facts), "29T11:00")).events();
    let Event::CreditKept { reason, .. } = &events[1] else { panic!("{events:?}") };
    assert_eq!(reason, "the period is a step of the streak, which stands");
}

#[test]
fn rule_05_an_action_is_reversed_once_and_an_unknown_one_is_told() {
    let catalogue = catalogue([daily(json!({}))]);
    let past = given(&catalogue, &[]).after(&[gift("29T10:00")]);
    for (credited, refused) in [
        (Credited::ReversedBefore, "the action was reversed before"),
        (Credited::Facts(vec![]), "the action moved nothing"),
    ] {
        past.when(&reverses(credited, "29T11:00")).then(&[reversed(Some(refused), "29T11:00")]);
    }
    let events = past.when(&reverses(Credited::Unknown, "29T11:00")).events();
    let [Event::ActionReversed { refused: Some(reason), .. }] = &events[..] else {
        panic!("{events:?}")
    };
    assert!(reason.starts_with("no such action of the user is known"), "{reason}");
}

#[test]
fn what_was_corrected_before_is_taken_back_as_far_as_it_is_there() {
    let catalogue = catalogue([daily(json!({
        "objective": summing(100), "milestones": [{ "at": 100, "rewards": [coins(2)] }],
    }))]);
    let past = given(&catalogue, &[]);
    let facts = facts_of(&past, &coins_sent(50, "29T10:00"));
    let change = Change::Adjust { task: id("daily"), period: None, adjustment: Adjustment::To(20) };
    let (by, reason) = ("ops".to_owned(), "a test".to_owned());
    let (at, seed) = (at("29T10:30"), Seed(1));
    let adjusted =
        Command::Correct(Correction { user: user(), change, by, reason, at, seed }).into();
    let past = past.after(&[coins_sent(50, "29T10:00"), adjusted]);
    past.when(&reverses(Credited::Facts(facts), "29T11:00")).then(&[
        reversed(None, "29T11:00"),
        taken(day(29), [-20, 0, 100], "29T11:00"),
        kept(&day(29), 30, "the period holds no more of it: it was corrected before", "29T11:00"),
    ]);
}
