//! The drawing of the states in the documentation, compared with the rules.

use std::collections::BTreeSet;

use super::RewardState as S;
use super::RewardTransition as T;
use crate::catalogue::definition::ClaimMode;

const TRANSITIONS: [T; 11] = [
    T::Claim,
    T::Expire,
    T::Forfeit,
    T::GrantAtPeriodEnd,
    T::GrantFromBudget,
    T::HandOver,
    T::Confirm,
    T::Fail,
    T::Redeliver { even_if_delivered: false },
    T::Redeliver { even_if_delivered: true },
    T::Revoke,
];

/// The transition in words.
fn label(from: S, transition: T) -> &'static str {
    match (transition, from) {
        (T::Claim, _) => "the user claims",
        (T::Expire, _) => "not claimed in time",
        (T::Forfeit, _) => "not claimed by the end of its period, at_period_end forfeit",
        (T::GrantAtPeriodEnd, _) => "not claimed by the end of its period, at_period_end grant",
        (T::GrantFromBudget, _) => "the budget holds it",
        (T::HandOver, _) => "handed to the payer",
        (T::Confirm, S::Claimed) => {
            "the payer confirms before it was sent, or ack none and the topic has it"
        }
        (T::Confirm, S::Failed) => "the payer confirms late",
        (T::Confirm, _) => "the payer confirms",
        (T::Fail, S::Claimed) => "it could not be handed over in time, or it is refused",
        (T::Fail, _) => "the payer refuses, or does not confirm in time",
        (T::Redeliver { .. }, _) => "an operator has it delivered again",
        (T::Revoke, _) => "an operator takes it back",
    }
}

/// The drawing that the rules make. What a state keeps is not drawn.
fn drawn_by_the_rules() -> BTreeSet<String> {
    let arrow = |from: &str, to: &str, why: &str| format!("{from} --> {to}: {why}");
    let begins = [
        (S::granted(ClaimMode::Manual), "milestone reached, claim mode manual"),
        (S::granted(ClaimMode::Automatic), "milestone reached, claim mode automatic"),
        (S::Claimed, "an operator grants it by hand"),
        (S::Waiting, "its budget is used up, at_cap wait"),
        (S::Refused, "its budget is used up, at_cap refuse"),
    ];
    let begins = begins.map(|(state, why)| arrow("[*]", state.as_str(), why));
    let mut drawn = BTreeSet::from(begins);
    for from in S::ALL {
        let mut ends = true;
        for transition in TRANSITIONS {
            let Some(to) = from.after(transition).ok().filter(|to| *to != from) else { continue };
            ends = false;
            drawn.insert(arrow(from.as_str(), to.as_str(), label(from, transition)));
        }
        if ends {
            drawn.insert(format!("{} --> [*]", from.as_str()));
        }
    }
    drawn
}

#[test]
fn the_documentation_draws_every_transition_and_no_other() {
    let page = include_str!("../../../../docs/rewards.md");
    let (_, rest) = page.split_once("stateDiagram-v2\n").expect("there is a drawing");
    let (drawing, _) = rest.split_once("```").expect("it ends");
    let lines: Vec<String> = drawing.lines().map(|line| line.trim().to_owned()).collect();
    let drawn: BTreeSet<String> = lines.iter().cloned().collect();
    let by_rules = drawn_by_the_rules();
    let missing: Vec<_> = by_rules.difference(&drawn).collect();
    let wrong: Vec<_> = drawn.difference(&by_rules).collect();
    assert!(missing.is_empty() && wrong.is_empty(), "missing: {missing:#?}\nwrong: {wrong:#?}");
    assert_eq!(lines.len(), drawn.len(), "a line is there twice");
}

#[test]
fn a_reward_that_is_sent_again_keeps_its_state_if_the_payer_may_know_of_it() {
    let again = |even_if_delivered| T::Redeliver { even_if_delivered };
    assert_eq!(S::Delivering.after(again(false)), Ok(S::Delivering));
    assert_eq!(S::Delivered.after(again(true)), Ok(S::Delivered));
    assert!(S::Delivered.after(again(false)).is_err());
    assert_eq!(S::Claimed.after(again(false)), Ok(S::Claimed));
}
