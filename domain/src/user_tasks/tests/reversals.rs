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
fn a_reversal_reports_what_it_can_not_take_back() {
    for (measure, reason) in [
        (json!({ "max": ["coins"] }), "the next lower value of a `max` is not known"),
        (json!({ "latest": ["coins"] }), "which value of a `latest` stood before is not known"),
        (
            json!({ "distinct": ["coins"] }),
            "another action may have counted the same value, day or completion",
        ),
    ] {
        let catalogue = catalogue([measuring(measure, 1_000)]);
        let past = given(&catalogue, &[]);
        let facts = facts_of(&past, &coins_sent(7, "29T10:00"));
        let Event::ProgressRecorded { credited, .. } = facts[0] else { panic!("{facts:?}") };
        let past = past.after(&[coins_sent(7, "29T10:00")]);
        past.when(&reverses(Credited::Facts(facts), "29T11:00"))
            .then(&[reversed(None, "29T11:00"), kept(&day(29), credited, reason, "29T11:00")]);
    }
}

/// A day of one measure of coins.
fn measuring(measure: Value, target: i64) -> Value {
    let objective = json!({ "on": ["gift.sent"], "measure": measure, "target": target });
    daily(json!({ "objective": objective, "milestones": [{ "at": target, "rewards": [] }] }))
}

fn max(target: i64) -> Value {
    measuring(json!({ "max": ["coins"] }), target)
}

fn latest(target: i64) -> Value {
    measuring(json!({ "latest": ["coins"] }), target)
}

const CORRECTED: &str = "the period holds no more of it: it was corrected before";
const REPLACED: &str =
    "the period has another value by now, of another action or of a correction, which stands";

fn corrects(change: Change) -> Input {
    by_hand::corrects(change, "29T10:30").into()
}

fn sets_to(value: i64) -> Input {
    corrects(Change::Adjust { task: id("daily"), period: None, adjustment: Adjustment::To(value) })
}

fn resets() -> Input {
    corrects(Change::Reset { task: id("daily"), period: None })
}

/// The amounts and reasons of what stands once a gift of 7 coins at 10:00 is reversed, if this
/// happened in between.
#[track_caller]
fn stands_of_seven(task: Value, then: &[Input]) -> Vec<(i64, String)> {
    let catalogue = catalogue([task]);
    let past = given(&catalogue, &[]);
    let facts = facts_of(&past, &coins_sent(7, "29T10:00"));
    let past = past.after(&[coins_sent(7, "29T10:00")]).after(then);
    let events = past.when(&reverses(Credited::Facts(facts), "29T11:00")).events();
    assert_eq!(events[0], reversed(None, "29T11:00"));
    let kept = events[1..].iter().map(|event| match event {
        Event::CreditKept { credited, reason, .. } => (*credited, reason.clone()),
        other => panic!("{other:?}"),
    });
    kept.collect()
}

#[test]
fn a_value_that_a_later_action_replaced_needs_no_correction() {
    assert_eq!(stands_of_seven(latest(1_000), &[coins_sent(9, "29T10:01")]), []);
    let replaced = [(0, REPLACED.to_owned())];
    assert_eq!(stands_of_seven(max(1_000), &[coins_sent(9, "29T10:01")]), replaced);
    assert_eq!(stands_of_seven(max(9), &[coins_sent(9, "29T10:01")]), replaced);
    assert_eq!(stands_of_seven(latest(9), &[coins_sent(9, "29T10:01")]), replaced);
}

#[test]
fn a_value_that_completed_its_period_stands() {
    let reason = "which value of a `latest` stood before is not known";
    assert_eq!(stands_of_seven(latest(5), &[]), [(7, reason.to_owned())]);
    let reason = "the next lower value of a `max` is not known";
    assert_eq!(stands_of_seven(max(5), &[]), [(7, reason.to_owned())]);
}

#[test]
fn a_value_that_completed_a_step_of_a_streak_stands() {
    let mut step = latest(5);
    for (name, value) in [("kind", json!("continuous")), ("streak", json!({}))] {
        step[name] = value;
    }
    step["milestones"] = json!([{ "at": 1, "rewards": [] }]);
    let reason = "the period is a step of the streak, which stands";
    assert_eq!(stands_of_seven(step, &[]), [(7, reason.to_owned())]);
}

#[test]
fn a_value_that_was_corrected_before_is_gone_or_replaced() {
    let gone = [(7, CORRECTED.to_owned())];
    let replaced = [(0, REPLACED.to_owned())];
    assert_eq!(stands_of_seven(latest(1_000), &[resets()]), gone);
    assert_eq!(stands_of_seven(latest(1_000), &[sets_to(9)]), replaced);
    assert_eq!(stands_of_seven(latest(1_000), &[sets_to(3)]), replaced);
    assert_eq!(stands_of_seven(max(1_000), &[resets()]), gone);
    assert_eq!(stands_of_seven(max(1_000), &[sets_to(3)]), gone);
    assert_eq!(stands_of_seven(max(1_000), &[sets_to(9)]), replaced);
    let distinct = measuring(json!({ "distinct": ["coins"] }), 1_000);
    assert_eq!(stands_of_seven(distinct, &[resets()]), [(1, CORRECTED.to_owned())]);
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
fn rule_05_an_action_is_reversed_once_and_an_unknown_one_is_reported() {
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
    let past = past.after(&[coins_sent(50, "29T10:00"), sets_to(20)]);
    past.when(&reverses(Credited::Facts(facts), "29T11:00")).then(&[
        reversed(None, "29T11:00"),
        taken(day(29), [-20, 0, 100], "29T11:00"),
        kept(&day(29), 30, CORRECTED, "29T11:00"),
    ]);
}
