//! Rule 16: deliveries and what payers say about them.

use uuid::Uuid;

use super::*;
use crate::action::Acknowledgement;

/// A reward that is claimed and was handed over.
fn delivering(catalogue: &Catalogue) -> (Given<'_>, Reward) {
    let reward = rewards("daily", &day(29), 1, 10, "29T10:00").remove(0);
    let start = Command::StartDeliveries { rewards: vec![reward.clone()] };
    let past =
        given(catalogue, &[]).after(&[gift("29T10:00"), claim("daily", "29T11:00"), start.into()]);
    (past, reward)
}

fn delivered(grant: &str, when: &str) -> Input {
    action("plaudit.reward.delivered", at(when), &json!({ "grant": grant }))
}

fn failed(grant: &str, reason: &str, when: &str) -> Input {
    let data = json!({ "grant": grant, "reason": reason });
    action("plaudit.reward.failed", at(when), &data)
}

fn ignored(grant: &str, delivered: bool, reason: &str, when: &str) -> Event {
    let (grant, reason, at) = (grant.to_owned(), reason.to_owned(), at(when));
    Event::AcknowledgementIgnored { grant, delivered, reason, at }
}

fn line(past: &Given<'_>) -> RewardState {
    past.state.tasks[&id("daily")].periods[0].reached[0].lines[0].state
}

#[test]
fn rule_16_a_payer_says_that_a_reward_was_delivered() {
    let catalogue = catalogue([daily_with(&[1], json!({}))]);
    let (past, reward) = delivering(&catalogue);
    let grant = reward.grant.to_string();
    let yes = delivered(&grant, "29T12:00");
    past.when(&yes).then(&[Event::RewardDelivered { reward, at: at("29T12:00") }]);
    let past = past.after(&[yes]);
    assert_eq!(line(&past), RewardState::Delivered);
    // The delivery is final, whatever the payer says later.
    let again = "the reward was said to be delivered before";
    past.when(&delivered(&grant, "29T13:00")).then(&[ignored(&grant, true, again, "29T13:00")]);
    let against = "the reward was delivered, which is final";
    let no = failed(&grant, "no", "29T13:00");
    past.when(&no).then(&[ignored(&grant, false, against, "29T13:00")]);
    assert_eq!(line(&past.after(&[no])), RewardState::Delivered);
}

#[test]
fn rule_16_a_reward_that_failed_may_be_delivered_late_or_handed_over_again() {
    let catalogue = catalogue([daily_with(&[1], json!({}))]);
    let (past, reward) = delivering(&catalogue);
    let grant = reward.grant.to_string();
    let no = failed(&grant, "account closed", "29T12:00");
    let (reason, when) = ("account closed".to_owned(), at("29T12:00"));
    past.when(&no).then(&[Event::RewardFailed { reward: reward.clone(), reason, at: when }]);
    let past = past.after(&[no]);
    assert_eq!(line(&past), RewardState::Failed);
    let twice = "the reward has failed before";
    past.when(&failed(&grant, "x", "29T13:00")).then(&[ignored(&grant, false, twice, "29T13:00")]);
    let late = past.clone().after(&[delivered(&grant, "29T13:00")]);
    assert_eq!(line(&late), RewardState::Delivered);
    let again = Command::Redeliver(Redelivery {
        grant: reward.grant,
        by: "olga".to_owned(),
        reason: "the account is open again".to_owned(),
        at: at("29T14:00"),
        even_if_delivered: false,
        keeps_payer: true,
    });
    let state = RewardState::Delivered;
    late.when(&again).then_rejected(&Rejection::NotRedeliverable { grant: reward.grant, state });
    let waiting = past.after(&[again]);
    assert_eq!(line(&waiting), RewardState::Claimed);
    let start = Command::StartDeliveries { rewards: vec![reward.clone()] };
    waiting.when(&start).then(&[Event::DeliveryStarted { reward }]);
}

#[test]
fn rule_16_an_acknowledgement_of_what_was_not_handed_over_changes_nothing() {
    let catalogue = catalogue([daily_with(&[1], json!({}))]);
    let reward = rewards("daily", &day(29), 1, 10, "29T10:00").remove(0);
    let past = given(&catalogue, &[]).after(&[gift("29T10:00")]);
    let grant = reward.grant.to_string();
    let early = "the reward is not claimed, and was not handed over";
    past.when(&delivered(&grant, "29T12:00")).then(&[ignored(&grant, true, early, "29T12:00")]);
    let unknown = Uuid::nil().to_string();
    for named in [unknown.as_str(), "coins", ""] {
        let nobody = ignored(named, true, "the user has no such grant", "29T12:00");
        past.when(&delivered(named, "29T12:00")).then(&[nobody]);
    }
    // The payer may answer before the start of the delivery is recorded.
    let past = past.after(&[claim("daily", "29T12:00"), delivered(&grant, "29T12:01")]);
    assert_eq!(line(&past), RewardState::Delivered);
    past.when(&Command::StartDeliveries { rewards: vec![reward] }).then(&[]);
}

#[test]
fn rule_16_the_delivery_itself_says_only_what_is_news() {
    let catalogue = catalogue([daily_with(&[1], json!({}))]);
    let (past, reward) = delivering(&catalogue);
    let settle = |verdict: Verdict| Command::SettleDeliveries {
        settled: vec![(reward.grant, verdict), (Uuid::nil(), Verdict::Delivered)],
        at: at("30T10:00"),
    };
    let reason = "no answer".to_owned();
    let no = settle(Verdict::Failed { reason: reason.clone() });
    let when = at("30T10:00");
    past.when(&no).then(&[Event::RewardFailed { reward: reward.clone(), reason, at: when }]);
    past.clone().after(std::slice::from_ref(&no)).when(&no).then(&[]);
    let past = past.after(&[settle(Verdict::Delivered)]);
    past.when(&no).then(&[]);
    past.when(&settle(Verdict::Delivered)).then(&[]);
}

#[test]
fn a_reward_that_stays_delivered_can_be_handed_over_again_for_a_payer_that_forgot_it() {
    let catalogue = catalogue([daily_with(&[1], json!({}))]);
    let (past, reward) = delivering(&catalogue);
    let past = past.after(&[delivered(&reward.grant.to_string(), "29T12:00")]);
    let (by, reason, at) = ("olga".to_owned(), "restored".to_owned(), at("29T14:00"));
    let grant = reward.grant;
    let again = Command::Redeliver(Redelivery {
        grant,
        by: by.clone(),
        reason: reason.clone(),
        at,
        even_if_delivered: true,
        keeps_payer: true,
    });
    let stays_delivered = true;
    past.when(&again).then(&[Event::RedeliveryRequested {
        reward,
        by,
        reason,
        at,
        stays_delivered,
        stays_delivering: false,
        keeps_payer: true,
    }]);
    assert_eq!(line(&past.after(&[again])), RewardState::Delivered);
}

#[test]
fn rule_16_a_reward_that_was_handed_over_is_not_revoked_by_way_of_a_redelivery() {
    let catalogue = catalogue([daily_with(&[1], json!({}))]);
    let (past, reward) = delivering(&catalogue);
    let (grant, by, reason) = (reward.grant, "olga".to_owned(), "no answer".to_owned());
    let (when, even_if_delivered) = (at("29T12:00"), false);
    let again = Command::Redeliver(Redelivery {
        grant,
        by: by.clone(),
        reason: reason.clone(),
        at: when,
        even_if_delivered,
        keeps_payer: false,
    });
    past.when(&again).then(&[Event::RedeliveryRequested {
        reward,
        by: by.clone(),
        reason: reason.clone(),
        at: when,
        stays_delivered: false,
        stays_delivering: true,
        keeps_payer: false,
    }]);
    let past = past.after(&[again]);
    assert_eq!(line(&past), RewardState::Delivering);
    let change = Change::Revoke { grant, whole_milestone: false };
    let (user, at, seed) = (user(), when, Seed(1));
    let revoke =
        Command::ByHand(HandCommand::Correct(Correction { user, change, by, reason, at, seed }));
    let refused = past.when(&revoke).outcome;
    let refused = refused.unwrap_err();
    let is_irrevocable =
        matches!(refused, CommandRejection::Operator(Rejection::NotRevocable { .. }));
    assert!(is_irrevocable, "{refused:?}");
}

#[test]
fn a_redelivery_of_an_older_program_is_folded_as_it_was_then() {
    let catalogue = catalogue([daily_with(&[1], json!({}))]);
    let (mut past, reward) = delivering(&catalogue);
    let (by, reason, at) = ("olga".to_owned(), "no answer".to_owned(), at("29T12:00"));
    let (stays_delivered, stays_delivering, keeps_payer) = (false, false, false);
    let stored = Event::RedeliveryRequested {
        reward,
        by,
        reason,
        at,
        stays_delivered,
        stays_delivering,
        keeps_payer,
    };
    evolve(&mut past.state, &stored);
    assert_eq!(line(&past), RewardState::Claimed);
}

fn word_of(grant: Uuid, verdict: Verdict) -> Acknowledgement {
    Acknowledgement { grant: grant.to_string(), verdict }
}

#[test]
fn rule_16_a_repeated_acknowledgement_counts_if_it_says_that_a_reward_was_delivered() {
    let catalogue = catalogue([daily_with(&[1], json!({}))]);
    let reward = rewards("daily", &day(29), 1, 10, "29T10:00").remove(0);
    let yes = word_of(reward.grant, Verdict::Delivered);
    let when = at("29T12:00");
    let repeated = |past: &Given<'_>, word: &Acknowledgement| {
        decide_repeated_acknowledgement(&past.state, word, when)
    };
    let unclaimed = given(&catalogue, &[]).after(&[gift("29T10:00")]);
    assert_eq!(repeated(&unclaimed, &yes), None, "it still changes nothing");
    let (past, _) = delivering(&catalogue);
    let fact = Event::RewardDelivered { reward: reward.clone(), at: when };
    assert_eq!(repeated(&past, &yes), Some(fact.clone()));
    // The failure may be about an attempt before an operator had the reward delivered again.
    let no = word_of(reward.grant, Verdict::Failed { reason: "no".to_owned() });
    assert_eq!(repeated(&past, &no), None);
    let past = past.after(&[failed(&reward.grant.to_string(), "no", "29T11:30")]);
    assert_eq!(repeated(&past, &yes), Some(fact), "a payer may answer late");
    let past = past.after(&[delivered(&reward.grant.to_string(), "29T12:00")]);
    assert_eq!(repeated(&past, &yes), None, "it is delivered");
}

/// An attempt whose answer was lost may have been paid, though the reward was given up and revoked
/// since.
#[test]
fn rule_16_a_payer_that_has_paid_a_revoked_reward_is_recorded_and_changes_nothing() {
    let catalogue = catalogue([daily_with(&[1], json!({}))]);
    let (past, reward) = delivering(&catalogue);
    let grant = reward.grant;
    let settle = |verdict: Verdict| {
        let settled = vec![(grant, verdict)];
        Command::SettleDeliveries { settled, at: at("29T14:00") }
    };
    let change = Change::Revoke { grant, whole_milestone: false };
    let (by, reason) = ("olga".to_owned(), "fraud".to_owned());
    let (user, when, seed) = (user(), at("29T13:00"), Seed(1));
    let revoke = Command::ByHand(HandCommand::Correct(Correction {
        user,
        change,
        by,
        reason,
        at: when,
        seed,
    }));
    let past = past.after(&[failed(&grant.to_string(), "no answer", "29T12:00"), revoke.into()]);
    assert_eq!(line(&past), RewardState::Revoked);
    let against = "the reward was revoked, which is final";
    past.when(&settle(Verdict::Delivered)).then(&[ignored(
        &grant.to_string(),
        true,
        against,
        "29T14:00",
    )]);
    past.when(&settle(Verdict::Failed { reason: "no".to_owned() })).then(&[]);
    assert_eq!(line(&past.after(&[settle(Verdict::Delivered)])), RewardState::Revoked);
}
