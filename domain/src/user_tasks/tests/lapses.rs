//! Rewards that nobody claims, and rewards that are left to chance.

use std::collections::BTreeMap;

use super::claims::rejected;
use super::*;
use crate::catalogue::definition::AtPeriodEnd;
use crate::user_tasks::{Lapsed, PeriodEnd, UnclaimedRewards};

/// One gift a day for ten coins, claimed under these rules.
fn daily_claimed(claim: Value) -> Value {
    daily_with(&[1], json!({ "claim": claim }))
}

fn settle(when: &str) -> Input {
    Command::Settle { as_of: at(when) }.into()
}

fn lapsed(becomes: Lapsed, when: &str) -> Event {
    let period = day(29);
    let unclaimed = UnclaimedRewards {
        task: id("daily"),
        version: 1,
        milestone: 1,
        at: at(when),
        rewards: rewards("daily", &period, 1, 10, "29T12:00"),
        period,
        budgeted: None,
    };
    match becomes {
        Lapsed::Expired => Event::RewardsExpired(unclaimed),
        Lapsed::Forfeited => Event::RewardsForfeited(unclaimed),
        Lapsed::Granted => Event::RewardsGranted(unclaimed),
    }
}

fn state_shown(past: &Given<'_>) -> RewardState {
    past.state.tasks[&id("daily")].periods[0].reached[0].lines[0].state
}

#[test]
fn rule_18_a_reward_is_kept_for_ever_by_default() {
    let catalogue = catalogue([daily_with(&[1], json!({}))]);
    let past = given(&catalogue, &[]).after(&[gift("29T12:00")]);
    past.when(&settle("31T23:59")).then(&[]);
}

#[test]
fn rule_18_a_reward_can_be_claimed_until_it_expires() {
    let catalogue = catalogue([daily_claimed(json!({ "expires_after_seconds": 3600 }))]);
    let past = given(&catalogue, &[]).after(&[gift("29T12:00")]);
    past.when(&settle("29T12:59")).then(&[]);
    assert_eq!(past.when(&claim("daily", "29T12:59")).events().len(), 1);
    // 13:00 is the first instant at which it can't be claimed.
    past.when(&claim("daily", "29T13:00")).then_rejected(&rejected("daily"));
    past.when(&settle("29T13:00")).then(&[lapsed(Lapsed::Expired, "29T13:00")]);
    // The fact is the same, however late it is noticed.
    let late = settle("31T08:00");
    past.when(&late).then(&[lapsed(Lapsed::Expired, "29T13:00")]);
    let past = past.after(&[late]);
    assert_eq!(state_shown(&past), RewardState::Expired);
    assert_eq!(past.state.tasks[&id("daily")].unclaimed_count, 0);
    past.when(&settle("31T09:00")).then(&[]);
}

#[test]
fn rule_18_a_reward_is_granted_or_lost_at_the_end_of_its_period() {
    for (rule, becomes, state) in [
        ("grant", Lapsed::Granted, RewardState::Claimed),
        ("forfeit", Lapsed::Forfeited, RewardState::Forfeited),
    ] {
        let catalogue = catalogue([daily_claimed(json!({ "at_period_end": rule }))]);
        let past = given(&catalogue, &[]).after(&[gift("29T12:00")]);
        past.when(&settle("29T23:59")).then(&[]);
        let claimed = past.clone().after(&[claim("daily", "29T13:00")]);
        claimed.when(&settle("30T06:00")).then(&[]);
        past.when(&claim("daily", "30T00:00")).then_rejected(&rejected("daily"));
        past.when(&settle("30T06:00")).then(&[lapsed(becomes, "30T00:00")]);
        assert_eq!(state_shown(&past.after(&[settle("30T06:00")])), state, "{rule}");
    }
}

#[test]
fn the_end_of_a_period_comes_after_its_lateness() {
    let mut task = daily_claimed(json!({ "at_period_end": "forfeit" }));
    task["objective"]["lateness_seconds"] = json!(7200);
    let catalogue = catalogue([task]);
    let past = given(&catalogue, &[]).after(&[gift("29T12:00")]);
    past.when(&settle("30T01:59")).then(&[]);
    past.when(&settle("30T02:00")).then(&[lapsed(Lapsed::Forfeited, "30T02:00")]);
}

#[test]
fn of_expiry_and_the_end_of_the_period_the_first_counts() {
    let end = PeriodEnd { at: at("30T00:00"), then: AtPeriodEnd::Grant };
    let terms = |until: &str| ClaimTerms { claim_until: Some(at(until)), at_period_end: Some(end) };
    let first = |until: &str| terms(until).lapse().unwrap().becomes;
    assert_eq!(first("29T23:59"), Lapsed::Expired);
    assert_eq!(first("30T00:00"), Lapsed::Granted);
    assert_eq!(first("30T00:01"), Lapsed::Granted);
}

#[test]
fn rule_09_a_later_version_does_not_change_what_was_promised() {
    let generous = daily_claimed(json!({}));
    let strict = daily_claimed(json!({ "expires_after_seconds": 60 }));
    let catalogue_before = catalogue([generous.clone()]);
    let past = given(&catalogue_before, &[]).after(&[gift("29T12:00")]);
    let catalogue = catalogue([generous, strict]);
    let past = past.under(&catalogue);
    past.when(&settle("31T00:00")).then(&[]);
    assert_eq!(past.when(&claim("daily", "31T00:00")).events().len(), 1);
}

fn lucky() -> Value {
    let draw = json!({ "line": "draw", "one_of": [
        { "weight": 9, "kind": "currency", "code": "coin", "amount": 100 },
        { "weight": 1, "kind": "item", "code": "badge-rare", "amount": 1 },
    ] });
    let mut task = daily_with(&[1], json!({}));
    task["milestones"] = json!([{ "at": 1, "rewards": [draw] }]);
    task
}

/// The reward that a gift draws under a seed.
fn drawn(catalogue: &Catalogue, seed: u64) -> Reward {
    let Input::RecordAction { action, .. } = gift("29T12:00") else { unreachable!() };
    let command = Input::RecordAction { action, seed: Seed(seed) };
    let events = given(catalogue, &[]).when(&command).events();
    let reward = events.iter().find_map(|event| match event {
        Event::MilestoneReached { rewards, .. } => rewards.first().cloned(),
        _ => None,
    });
    reward.unwrap()
}

#[test]
fn rule_15_what_was_rolled_is_in_the_event_and_is_what_is_paid() {
    let catalogue = catalogue([lucky()]);
    let reward = drawn(&catalogue, 7);
    assert_eq!(reward, drawn(&catalogue, 7), "the seed decides");
    let Input::RecordAction { action, .. } = gift("29T12:00") else { unreachable!() };
    let past = given(&catalogue, &[]).after(&[Input::RecordAction { action, seed: Seed(7) }]);
    let claimed = past.when(&claim("daily", "29T13:00")).events();
    let Event::RewardsClaimed { rewards, .. } = &claimed[0] else { panic!("{claimed:?}") };
    assert_eq!(*rewards, [reward]);
}

#[test]
fn rolls_come_as_often_as_their_weights_say() {
    let catalogue = catalogue([lucky()]);
    let mut counts: BTreeMap<String, u32> = BTreeMap::new();
    for seed in 0..4_000 {
        *counts.entry(drawn(&catalogue, seed).code).or_default() += 1;
    }
    // 400 are expected, with a standard deviation of 19.
    assert!((310..490).contains(&counts["badge-rare"]), "{counts:?}");
    assert_eq!(counts["coin"] + counts["badge-rare"], 4_000);
}
