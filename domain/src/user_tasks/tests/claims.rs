//! Rules 14 to 17: grants and claims.

use super::*;
use crate::user_tasks::event::grant_id;

fn claimed(period: &Period, milestone: i64, reached_at: &str, when: &str) -> Event {
    let rewards = rewards("daily", period, milestone, 10 * milestone, reached_at);
    let (task, period, at) = (id("daily"), period.clone(), at(when));
    Event::RewardsClaimed { task, version: 1, period, milestone, at, rewards }
}

/// Milestones 1 and 2 of the 28th and 1 of the 29th can be claimed.
fn three_to_claim(catalogue: &Catalogue) -> Given<'_> {
    given(catalogue, &[]).after(&[gift("28T10:00"), gift("28T11:00"), gift("29T10:00")])
}

pub(super) fn rejected(task: &str) -> ClaimRejection {
    ClaimRejection::NothingClaimable { task: id(task) }
}

/// The expected ids were computed with Python's `uuid.uuid5`.
#[test]
fn rule_14_a_grant_id_follows_from_user_task_period_milestone_and_line() {
    let grant = grant_id(&user(), &id("daily"), &day(29).key, 3, "coins");
    assert_eq!(grant.to_string(), "bb927f90-3f48-55e7-ae2b-6f7a3d0454a7");
    let grant = grant_id(&"ü42".parse().unwrap(), &id("first-team"), &once().key, 1, "coins");
    assert_eq!(grant.to_string(), "ffbb38f4-6171-593f-9e2f-ec91ecc38c89");
}

#[test]
fn rule_14_an_automatic_reward_is_granted_by_reaching_the_milestone() {
    let catalogue = catalogue([daily_with(&[1], json!({ "claim": { "mode": "automatic" } }))]);
    let Event::MilestoneReached { task, version, period, milestone, at, rewards, terms, .. } =
        reached("daily", &day(29), 1, 10, "29T12:00")
    else {
        unreachable!()
    };
    let mode = ClaimMode::Automatic;
    let expected = [
        progressed("daily", day(29), [1, 1, 1], "29T12:00"),
        Event::MilestoneReached {
            task,
            version,
            period,
            milestone,
            at,
            mode,
            rewards,
            terms,
            budgeted: None,
        },
        completed("daily", &day(29), "29T12:00"),
    ];
    given(&catalogue, &[]).when(&gift("29T12:00")).then(&expected);
    let past = given(&catalogue, &expected);
    past.when(&claim("daily", "29T13:00")).then_rejected(&rejected("daily"));
    let open = &past.state.tasks[&id("daily")].periods[0];
    let lines: Vec<_> = open.reached[0].lines.iter().map(|l| (l.line.as_str(), l.state)).collect();
    assert_eq!(lines, [("coins", RewardState::Claimed)]);
}

#[test]
fn rule_16_a_claim_takes_the_oldest_first() {
    let catalogue = catalogue([daily_with(&[1, 2], json!({}))]);
    let past = three_to_claim(&catalogue);
    past.when(&claim("daily", "29T12:00")).then(&[claimed(&day(28), 1, "28T10:00", "29T12:00")]);
    let past = past.after(&[claim("daily", "29T12:00")]);
    past.when(&claim("daily", "29T13:00")).then(&[claimed(&day(28), 2, "28T11:00", "29T13:00")]);
    let past = past.after(&[claim("daily", "29T13:00")]);
    past.when(&claim("daily", "29T14:00")).then(&[claimed(&day(29), 1, "29T10:00", "29T14:00")]);
    let past = past.after(&[claim("daily", "29T14:00")]);
    past.when(&claim("daily", "29T15:00")).then_rejected(&rejected("daily"));
}

#[test]
fn rule_16_a_claim_may_name_its_period_its_milestone_or_both() {
    let catalogue = catalogue([daily_with(&[1, 2], json!({}))]);
    let past = three_to_claim(&catalogue);
    let of = |period, milestone| claim_of("daily", period, milestone, "29T12:00");
    past.when(&of(Some("2026-03-29"), None)).then(&[claimed(&day(29), 1, "29T10:00", "29T12:00")]);
    past.when(&of(None, Some(2))).then(&[claimed(&day(28), 2, "28T11:00", "29T12:00")]);
    let both = of(Some("2026-03-28"), Some(2));
    past.when(&both).then(&[claimed(&day(28), 2, "28T11:00", "29T12:00")]);
}

#[test]
fn rule_16_there_is_nothing_to_claim_twice_or_before_it_is_reached() {
    let catalogue = catalogue([daily_with(&[1, 2], json!({}))]);
    let first = claim_of("daily", Some("2026-03-28"), Some(1), "29T12:00");
    let past = three_to_claim(&catalogue).after(std::slice::from_ref(&first));
    past.when(&first).then_rejected(&rejected("daily"));
    let not_reached = claim_of("daily", Some("2026-03-29"), Some(2), "29T12:00");
    past.when(&not_reached).then_rejected(&rejected("daily"));
    let untouched = claim_of("daily", Some("2026-03-27"), None, "29T12:00");
    past.when(&untouched).then_rejected(&rejected("daily"));
    given(&catalogue, &[]).when(&claim("daily", "29T12:00")).then_rejected(&rejected("daily"));
}

#[test]
fn a_claim_of_what_does_not_exist_says_what() {
    let catalogue = catalogue([daily_with(&[1, 2], json!({}))]);
    let past = three_to_claim(&catalogue);
    let unknown = ClaimRejection::UnknownTask { task: id("weekly") };
    past.when(&claim("weekly", "29T12:00")).then_rejected(&unknown);
    let unknown = ClaimRejection::UnknownMilestone { task: id("daily"), milestone: 3 };
    past.when(&claim_of("daily", None, Some(3), "29T12:00")).then_rejected(&unknown);
    for key in ["2026-02-30", "2026-W13", "once", "2026-3-28", ""] {
        let unknown = ClaimRejection::UnknownPeriod { task: id("daily"), period: key.to_owned() };
        past.when(&claim_of("daily", Some(key), None, "29T12:00")).then_rejected(&unknown);
    }
}

#[test]
fn rule_16_a_milestone_without_rewards_has_nothing_to_claim() {
    let catalogue = catalogue([daily(json!({
        "objective": { "on": ["gift.sent"], "target": 1 }, "milestones": [{ "at": 1 }]
    }))]);
    let past = given(&catalogue, &[]).after(&[gift("29T10:00")]);
    past.when(&claim("daily", "29T12:00")).then_rejected(&rejected("daily"));
}

#[test]
fn rule_16_a_reward_goes_from_claimable_to_claimed_to_delivering() {
    let catalogue = catalogue([daily_with(&[1], json!({}))]);
    let line = |given: &Given<'_>| {
        let reached = &given.state.tasks[&id("daily")].periods[0].reached;
        reached[0].lines[0].state
    };
    let past = given(&catalogue, &[]).after(&[gift("29T10:00")]);
    assert_eq!(line(&past), RewardState::Claimable);
    let past = past.after(&[claim("daily", "29T12:00")]);
    assert_eq!(line(&past), RewardState::Claimed);
    let rewards = rewards("daily", &day(29), 1, 10, "29T10:00");
    let started = Event::DeliveryStarted { reward: rewards[0].clone() };
    let start = Command::StartDeliveries { rewards };
    past.when(&start).then(&[started]);
    assert_eq!(line(&past.after(&[start])), RewardState::Delivering);
}

#[test]
fn rule_18_what_an_old_period_granted_stays_claimable() {
    let catalogue = catalogue([daily_with(&[1], json!({}))]);
    let past =
        given(&catalogue, &[]).after(&[gift("01T10:00"), gift("28T10:00"), gift("29T10:00")]);
    assert_eq!(past.state.tasks[&id("daily")].periods.len(), 1, "old periods are forgotten");
    past.when(&claim("daily", "29T12:00")).then(&[claimed(&day(1), 1, "01T10:00", "29T12:00")]);
}
