//! Answers after an unconfirmed commit.

use plaudit_domain::ids::TaskId;
use plaudit_domain::user_tasks::ClaimRejection;
use uuid::Uuid;

use super::*;
use crate::batch::{Claim, Origin};
use plaudit_domain::lane::{Lane, Position};

const HERE: Position = Position { lane: Lane(0), number: 7 };

fn applied(answer: Answer) -> Vec<Applied> {
    vec![Applied { answer, position: HERE }]
}

fn receipt(period: &str, milestone: i64) -> Receipt {
    Receipt {
        user: "u1".parse().unwrap(),
        task: "daily".parse().unwrap(),
        period: period.to_owned().into(),
        milestone,
        position: HERE.to_string(),
        claimed_at: jiff::Timestamp::UNIX_EPOCH,
        rewards: vec![],
    }
}

fn settled(attempts: impl IntoIterator<Item = Answer>) -> Answer {
    let all = attempts.into_iter().fold(None, |before, now| Some(settle(before, applied(now))));
    all.unwrap().remove(0).answer
}

#[test]
fn an_action_that_is_a_duplicate_of_itself_was_accepted_however_many_commits_were_lost() {
    use ActionAnswer::{Accepted, AlreadyApplied, Duplicate};
    let settled = |attempts: &[ActionAnswer]| {
        settled(attempts.iter().cloned().map(Answer::Incoming).collect::<Vec<_>>())
    };
    assert_eq!(settled(&[Accepted, Duplicate, Duplicate]), Answer::Incoming(Accepted));
    assert_eq!(settled(&[Accepted, AlreadyApplied]), Answer::Incoming(Accepted));
    assert_eq!(settled(&[Duplicate, Duplicate]), Answer::Incoming(Duplicate));
}

#[test]
fn a_claim_that_was_honoured_keeps_its_receipt() {
    let task: TaskId = "daily".parse().unwrap();
    let nothing = ClaimRejection::NothingClaimable { task };
    let nothing = Answer::Claim(Ok(ClaimAnswer::Rejected(nothing)));
    let honoured = Answer::Claim(Ok(ClaimAnswer::Claimed(receipt("2026-03-29", 1))));
    assert_eq!(settled([honoured.clone(), nothing.clone(), nothing]), honoured);
}

#[test]
fn a_claim_of_everything_answers_all_that_any_attempt_took_once() {
    let (one, two) = (receipt("2026-03-28", 1), receipt("2026-03-29", 1));
    let attempts = [vec![one.clone()], vec![], vec![one.clone(), two.clone()]]
        .map(|receipts| Answer::ClaimAll(Ok(ClaimedAll { receipts, more: false })));
    let both = Answer::ClaimAll(Ok(ClaimedAll { receipts: vec![one, two], more: false }));
    assert_eq!(settled(attempts), both);
}

/// A reward may draw on another budget once the first one is known to be used up.
#[tokio::test]
async fn a_batch_is_tried_again_for_each_budget_that_others_used_up() {
    let pool = pool::connect("postgres://nobody@127.0.0.1:9/none", 1).unwrap();
    let key = |budget: &str| BudgetKey {
        budget: budget.to_owned().try_into().unwrap(),
        window: "once".to_owned().into(),
    };
    let (x, y) = (key("x"), key("y"));
    let mut retry = RetryState::new(Part { items: &[], checkpoints: &[] });
    let taken = |keys: &[&BudgetKey]| {
        let keys = keys.iter().map(|key| (*key).clone()).collect();
        Failed { error: ExecuteError::BudgetTaken(keys), connection_lost: false }
    };
    retry.after(taken(&[&x]), None, &pool).await.unwrap();
    retry.after(taken(&[&y]), None, &pool).await.unwrap();
    let both = BTreeSet::from([x.clone(), y.clone()]);
    assert_eq!(retry.lock_budgets(), Some(&both));
    let ended = retry.after(taken(&[&x, &y]), None, &pool).await;
    assert!(matches!(ended, Err(ExecuteError::BudgetTaken(_))), "both were locked: {ended:?}");
}

/// Rule 14: a retry after an unconfirmed commit must not make "the oldest" claim the next one.
#[test]
fn a_claim_of_the_oldest_names_what_it_took_before_it_is_sent_again() {
    let claim = Claim {
        user: "u1".parse().unwrap(),
        task: "daily".parse().unwrap(),
        period: None,
        milestone: None,
        at: jiff::Timestamp::UNIX_EPOCH,
        idempotency_key: None,
    };
    let item = Item { lane: Lane(0), work: claim, origin: Origin::Request(Uuid::nil()) };
    let mut items = [item.mixed()];
    let claimed = ClaimAnswer::Claimed(receipt("2026-03-28", 2));
    name_what_was_claimed(&mut items, &applied(Answer::Claim(Ok(claimed))));
    let Work::Claim(claim) = &items[0].work else { unreachable!() };
    let named = (claim.period.as_ref().unwrap().as_str(), claim.milestone);
    assert_eq!(named, ("2026-03-28", Some(2)));
}
