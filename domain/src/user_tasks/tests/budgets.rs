//! Budgets: granted while anything is left, and the amounts taken are in the facts.

use super::*;
use crate::catalogue::{BudgetKey, BudgetsUsed};

/// A daily task of one gift that pays coins and a badge; 10 badges a day are granted to all users.
fn badges(at_cap: &Value, budget: &Value) -> Catalogue {
    let badge = badge(at_cap, budget);
    catalogue([daily(json!({
        "objective": { "on": ["gift.sent"], "target": 1 },
        "milestones": [{ "at": 1, "rewards": [coins(5), badge] }],
        "claim": { "mode": "automatic" },
    }))])
}

fn badge(at_cap: &Value, changes: &Value) -> Value {
    let mut budget = json!({ "id": "badges", "limit": 10, "every": "day" });
    budget.as_object_mut().unwrap().extend(changes.as_object().unwrap().clone());
    json!({ "line": "badge", "kind": "item", "code": "gold", "amount": 2,
            "budget": { "budget": budget, "at_cap": at_cap } })
}

fn used(window: &str, amount: i64) -> BudgetsUsed {
    let budget = "badges".to_owned().try_into().unwrap();
    let mut used = BudgetsUsed::default();
    used.add(&BudgetKey { budget, window: window.to_owned().into() }, amount);
    used
}

struct Outcome {
    events: Vec<Event>,
    granted: Vec<(String, i64)>,
    budgeted: Option<Budgeted>,
}

fn decided(given: &Given<'_>, command: &(impl Into<Input> + Clone), used: &BudgetsUsed) -> Outcome {
    let events = decide_within(&given.state, command, given.catalogue, used).unwrap().events;
    let found = events.iter().find_map(|event| match event {
        Event::MilestoneReached { rewards, budgeted, .. } => Some((rewards, budgeted)),
        Event::RewardsGranted(UnclaimedRewards { rewards, budgeted, .. }) => {
            Some((rewards, budgeted))
        }
        _ => None,
    });
    let (granted, budgeted) = found.map_or((vec![], None), |(rewards, budgeted)| {
        let granted = rewards.iter().map(|r| (r.code.clone(), r.amount)).collect();
        (granted, budgeted.as_deref().cloned())
    });
    Outcome { events, granted, budgeted }
}

fn states(given: &Given<'_>) -> Vec<(String, RewardState)> {
    let open = given.state.tasks[&id("daily")].periods.last().unwrap();
    let lines = open.reached.iter().flat_map(|reached| &reached.lines);
    lines.map(|line| (line.line.clone(), line.state)).collect()
}

fn both() -> Vec<(String, i64)> {
    vec![("coin".to_owned(), 5), ("gold".to_owned(), 2)]
}

#[test]
fn what_the_window_holds_is_granted_and_said() {
    let catalogue = badges(&json!("refuse"), &json!({}));
    let given = given(&catalogue, &[]);
    let outcome = decided(&given, &gift("29T12:00"), &used("2026-03-29", 8));
    assert_eq!(outcome.granted, both());
    let takes: Vec<_> = outcome.events.iter().flat_map(Event::budget_takes).collect();
    let [(key, 2)] = takes[..] else { panic!("{takes:?}") };
    assert_eq!((key.budget.as_str(), key.window.as_str()), ("badges", "2026-03-29"));
    assert_eq!(outcome.budgeted.unwrap().lines["badge"].outcome, AllottedAs::Granted);
}

#[test]
fn a_line_that_does_not_fit_whole_takes_nothing() {
    let catalogue = badges(&json!("refuse"), &json!({}));
    let given = given(&catalogue, &[]);
    let outcome = decided(&given, &gift("29T12:00"), &used("2026-03-29", 9));
    assert_eq!(outcome.granted, [("coin".to_owned(), 5)]);
    assert_eq!(outcome.events.iter().flat_map(Event::budget_takes).count(), 0);
    let budgeted = outcome.budgeted.unwrap();
    assert_eq!(budgeted.refused.len(), 1);
    assert_eq!(budgeted.lines["badge"].outcome, AllottedAs::Refused);
}

#[test]
fn a_refused_line_is_shown_as_refused_and_can_never_be_redelivered() {
    let catalogue = badges(&json!("refuse"), &json!({ "limit": 0 }));
    let past = given(&catalogue, &[]).after(&[gift("29T12:00")]);
    let expected = [("coins", RewardState::Claimed), ("badge", RewardState::Refused)];
    assert_eq!(states(&past), expected.map(|(line, state)| (line.to_owned(), state)));
    let grant = past.state.grants.values().find(|g| g.state == RewardState::Refused).unwrap();
    let (grant, by, reason) = (grant.reward.grant, "ann".to_owned(), "wanted".to_owned());
    let (at, even_if_delivered, keeps_payer) = (at("29T13:00"), true, true);
    let again =
        Command::Redeliver(Redelivery { grant, by, reason, at, even_if_delivered, keeps_payer });
    let state = RewardState::Refused;
    past.when(&again).then_rejected(&Rejection::NotRedeliverable { grant, state });
}

#[test]
fn a_substitute_is_granted_under_the_same_grant_from_no_budget() {
    let other = json!({ "substitute": { "kind": "currency", "code": "coin", "amount": 50 } });
    let catalogue = badges(&other, &json!({}));
    let given = given(&catalogue, &[]);
    let promised = decided(&given, &gift("29T12:00"), &BudgetsUsed::default());
    let outcome = decided(&given, &gift("29T12:00"), &used("2026-03-29", 10));
    assert_eq!(outcome.granted, [("coin".to_owned(), 5), ("coin".to_owned(), 50)]);
    assert_eq!(outcome.budgeted.unwrap().lines["badge"].outcome, AllottedAs::Substituted);
    let grants = |events: &[Event]| -> Vec<_> {
        events
            .iter()
            .filter_map(|event| match event {
                Event::MilestoneReached { rewards, .. } => Some(rewards.iter().map(|r| r.grant)),
                _ => None,
            })
            .flatten()
            .collect()
    };
    assert_eq!(grants(&promised.events), grants(&outcome.events));
}

#[test]
fn a_milestone_waits_whole_and_is_granted_once_its_budget_holds_it() {
    let catalogue = badges(&json!("wait"), &json!({}));
    let mut past = given(&catalogue, &[]);
    let reached = decided(&past, &gift("29T12:00"), &used("2026-03-29", 10));
    assert_eq!(reached.granted, []);
    let completed = reached.events.iter().any(|e| matches!(e, Event::TaskCompleted { .. }));
    assert!(completed, "progress does not wait");
    for event in &reached.events {
        evolve(&mut past.state, event);
        evolve(&mut past.state, event);
    }
    assert!(states(&past).iter().all(|(_, state)| *state == RewardState::Waiting));

    // On the same day the window is still used up; the next window is empty.
    let settle = |when| Command::Settle { as_of: at(when) };
    let full = used("2026-03-29", 10);
    assert_eq!(decided(&past, &settle("29T23:59"), &full).events, []);
    let granted = decided(&past, &settle("30T00:00"), &full);
    assert_eq!(granted.granted, both());
    let takes: Vec<_> = granted.events.iter().flat_map(Event::budget_takes).collect();
    assert_eq!(takes.len(), 1);
    assert_eq!((takes[0].0.window.as_str(), takes[0].1), ("2026-03-30", 2));
    for event in &granted.events {
        evolve(&mut past.state, event);
        evolve(&mut past.state, event);
    }
    assert!(states(&past).iter().all(|(_, state)| *state == RewardState::Claimed));
    assert_eq!(past.state.tasks[&id("daily")].waiting, []);
    assert_eq!(decided(&past, &settle("30T00:01"), &full).events, []);
}

#[test]
fn what_waits_is_revoked_with_its_whole_milestone_and_never_granted() {
    let catalogue = badges(&json!("wait"), &json!({ "limit": 0 }));
    let past = given(&catalogue, &[]).after(&[gift("29T12:00")]);
    let grant = *past.state.grants.keys().next().unwrap();
    let revoke = |whole_milestone| {
        let change = Change::Revoke { grant, whole_milestone };
        let (by, reason) = ("ops".to_owned(), "a fraud".to_owned());
        let at = at("29T13:00");
        Command::ByHand(HandCommand::Correct(Correction {
            user: user(),
            change,
            by,
            reason,
            at,
            seed: Seed(1),
        }))
    };
    let one = past.when(&revoke(false)).outcome;
    let Err(CommandRejection::Operator(Rejection::NotRevocable { reason, .. })) = one else {
        panic!("{one:?}")
    };
    assert!(reason.contains("revoke the whole milestone"), "{reason}");
    let events = past.when(&revoke(true)).events();
    let [Event::RewardsRevoked { rewards, .. }] = &events[..] else { panic!("{events:?}") };
    assert_eq!(rewards.len(), 2);
    past.when(&revoke(true)).then(&events);
    let past = past.after(&[revoke(true)]);
    assert!(states(&past).iter().all(|(_, state)| *state == RewardState::Revoked));
    // After the revocation nothing waits, so a higher budget grants nothing.
    let raised = badges(&json!("wait"), &json!({}));
    let past = past.under(&raised);
    let settle = Command::Settle { as_of: at("30T00:00") };
    assert_eq!(decided(&past, &settle, &BudgetsUsed::default()).events, []);
}

#[test]
fn those_who_waited_take_no_claim_away_that_is_still_open() {
    let task = daily(json!({
        "objective": { "on": ["gift.sent"], "target": 2 },
        "milestones": [
            { "at": 1, "rewards": [coins(5)] },
            { "at": 2, "rewards": [badge(&json!("wait"), &json!({}))] },
        ],
    }));
    let catalogue = catalogue([task]);
    let mut past = given(&catalogue, &[]);
    for when in ["29T12:00", "29T13:00"] {
        for event in decided(&past, &gift(when), &used("2026-03-29", 10)).events {
            evolve(&mut past.state, &event);
        }
    }
    let settle = Command::Settle { as_of: at("30T00:00") };
    for event in decided(&past, &settle, &BudgetsUsed::default()).events {
        evolve(&mut past.state, &event);
    }
    assert_eq!(past.state.tasks[&id("daily")].unclaimed_count, 1);
    past.when(&claim("daily", "30T01:00")).events();
}

#[test]
fn one_decision_takes_no_more_than_the_window_holds() {
    let of = |name: &str| {
        daily(json!({
            "id": name,
            "objective": { "on": ["gift.sent"], "target": 1 },
            "milestones": [{ "at": 1, "rewards": [badge(&json!("refuse"), &json!({}))] }],
        }))
    };
    let catalogue = catalogue([of("a"), of("b"), of("c")]);
    let events =
        decide_within(&UserTasks::default(), &gift("29T12:00"), &catalogue, &used("2026-03-29", 6));
    let events = events.unwrap().events;
    let taken: i64 = events.iter().flat_map(Event::budget_takes).map(|(_, taken)| taken).sum();
    assert_eq!(taken, 4);
    let refused = |event: &Event| match event {
        Event::MilestoneReached { budgeted: Some(budgeted), .. } => !budgeted.refused.is_empty(),
        _ => false,
    };
    assert_eq!(events.iter().filter(|event| refused(event)).count(), 1);
}

#[test]
fn a_budget_may_count_grants_and_follow_a_zone() {
    let changes = json!({ "counts": "grants", "limit": 1, "zone": "Asia/Tokyo" });
    let catalogue = badges(&json!("refuse"), &changes);
    let given = given(&catalogue, &[]);
    let outcome = decided(&given, &gift("29T15:00"), &used("2026-03-29", 1));
    assert_eq!(outcome.granted, both(), "midnight has passed in Tokyo");
    assert_eq!(outcome.budgeted.unwrap().lines["badge"].taken, 1);
}

#[test]
fn a_rolled_choice_takes_from_its_own_budget_only() {
    let rare = badge(&json!("refuse"), &json!({ "limit": 0 }));
    let mut rare = rare.as_object().unwrap().clone();
    rare.remove("line");
    rare.insert("weight".to_owned(), json!(1));
    let common = json!({ "weight": 1, "kind": "currency", "code": "coin", "amount": 1 });
    let catalogue = catalogue([daily(json!({
        "objective": { "on": ["gift.sent"], "target": 1 },
        "milestones": [{ "at": 1, "rewards": [{ "line": "roll", "one_of": [common, rare] }] }],
    }))]);
    let (mut refused, mut granted) = (0, 0);
    for seed in 0..64 {
        let Input::RecordAction { action, .. } = gift("29T12:00") else { unreachable!() };
        let command = Input::RecordAction { action, seed: Seed(seed) };
        match decided(&given(&catalogue, &[]), &command, &BudgetsUsed::default()) {
            Outcome { granted: codes, budgeted: None, .. } => {
                assert_eq!(codes, [("coin".to_owned(), 1)]);
                granted += 1;
            }
            Outcome { granted: codes, .. } => {
                assert_eq!(codes, []);
                refused += 1;
            }
        }
    }
    assert!(refused > 10 && granted > 10, "{refused} and {granted} of 64");
}

#[test]
fn the_terms_in_force_are_those_of_the_newest_version() {
    let of = |limit: i64| {
        daily(json!({
            "objective": { "on": ["gift.sent"], "target": 1 },
            "milestones": [{ "at": 1, "rewards": [badge(&json!("wait"), &json!({ "limit": limit }))] }],
        }))
    };
    let before = catalogue([of(0)]);
    let past = given(&before, &[]).after(&[gift("29T12:00")]);
    let raised = catalogue([of(0), of(2)]);
    let settle = Command::Settle { as_of: at("29T12:01") };
    past.clone().when(&settle).then(&[]);
    assert_eq!(decided(&past.under(&raised), &settle, &BudgetsUsed::default()).granted.len(), 1);
}

#[test]
fn only_actions_that_may_draw_on_a_budget_name_it() {
    let unlocked = daily(json!({
        "id": "later", "requires": ["first-gift"], "while_locked": "count",
        "objective": { "on": ["other"], "target": 1 },
        "milestones": [{ "at": 1, "rewards": [badge(&json!("refuse"), &json!({}))] }],
    }));
    let catalogue = catalogue([first_gift(json!({})), unlocked, sign_in(&[1], json!({}))]);
    let named = |kind: &str| catalogue.budgets_needed(kind, at("29T12:00")).count();
    assert_eq!(["other", "gift.sent", "user.signed_in"].map(named), [1, 1, 0]);
}

#[test]
fn a_fact_says_what_was_taken_in_a_form_that_can_be_read_back() {
    let catalogue = badges(&json!("wait"), &json!({}));
    let given = given(&catalogue, &[]);
    for amount in [0, 10] {
        let outcome = decided(&given, &gift("29T12:00"), &used("2026-03-29", amount));
        let reached = outcome.events.iter().find(|e| matches!(e, Event::MilestoneReached { .. }));
        let stored = serde_json::to_value(reached.unwrap()).unwrap();
        let line = &stored["budgeted"]["lines"]["badge"];
        let (taken, said) = if amount == 0 { (2, "granted") } else { (0, "waiting") };
        let expected =
            json!({ "budget": "badges", "window": "2026-03-29", "taken": taken, "outcome": said });
        assert_eq!(*line, expected);
        assert_eq!(serde_json::from_value::<Event>(stored).unwrap(), *reached.unwrap());
    }
}
