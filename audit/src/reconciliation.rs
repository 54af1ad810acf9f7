//! Compares the grants and deliveries of a time span with a payer's payments.

mod deadlines;
mod payments;
mod window;

use std::collections::{BTreeMap, HashMap, HashSet};

use jiff::Timestamp;
use plaudit_domain::user_tasks::RewardState;
use plaudit_event_store::pool::{ANSWER_MAX, within};
use plaudit_event_store::reader;
use plaudit_event_store::rewards::{by_grant, grants, handed_over};
use serde::Serialize;
use sqlx::{PgConnection, PgPool};
use uuid::Uuid;

pub use deadlines::Deadlines;
pub use payments::{FileFormat, Payments, PaymentsFault};

use crate::error::AuditError;
use window::GrantInWindow;

/// Grants that are looked up per query.
const LOOKED_UP: usize = 500;

/// A difference between a grant and its payments.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum DifferenceKind {
    /// Delivered within the report's time span, but not in the payer's file.
    Missing,
    /// Paid more than once.
    Double,
    /// Paid with another amount than granted.
    DifferentAmount,
    /// Paid according to the payer, but not delivered according to Plaudit.
    Unconfirmed,
    /// Revoked, but paid according to the payer's file or an acknowledgement.
    PaidRevoked,
    /// Paid, but never granted.
    Unknown,
    /// Became payable or failed within the report's time span; Plaudit gave up on it and it is not
    /// paid.
    Failed,
    /// Became payable within the report's time span; neither paid nor confirmed in the time that
    /// its channel allows.
    Pending,
}

/// A grant on which Plaudit and the payer differ.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Difference {
    /// The kind of difference.
    pub kind: DifferenceKind,
    /// The grant, as the payer names it.
    pub grant: Uuid,
    /// Absent if the payer's grant is unknown.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub user: Option<String>,
    /// The amount that was granted; absent if the payer's grant is unknown.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub granted: Option<i64>,
    /// The amount of each payment.
    pub paid: Vec<i64>,
}

/// The report of a reconciliation.
#[derive(Debug, Default, Serialize)]
pub struct Reconciliation {
    /// Counts the grants that became payable, were delivered, failed or were revoked within the
    /// time span, by their present state. A revoked grant counts too if its payer reported within
    /// the span that it had paid.
    pub states: BTreeMap<&'static str, u64>,
    /// The number of differences of each kind.
    pub counts: BTreeMap<DifferenceKind, u64>,
    /// Sorted by kind, then by grant.
    pub differences: Vec<Difference>,
    /// The number of events in the time span that this program can't read. Their grants are left
    /// out.
    pub unreadable_events: u64,
}

/// A grant as Plaudit knows it.
struct Known<'a> {
    grant: Uuid,
    user: &'a str,
    amount: i64,
    state: RewardState,
    /// `None` if the grant is outside the report's time span: then only the payments are compared.
    is_delivered_in_window: Option<bool>,
    /// True if it should have been confirmed by now.
    is_overdue: bool,
    /// True if its payer acknowledged a payment and the acknowledgement was ignored.
    is_said_to_be_paid: bool,
}

impl Reconciliation {
    /// Reads the events that were stored in `from..until` and compares their grants with the
    /// payments. Compares every grant of the payer's file, also those of another time. Each query has
    /// a time limit, the whole has none: the span may be long.
    pub async fn read(
        pool: &PgPool,
        (from, until): (Timestamp, Timestamp),
        payments: Option<Payments>,
        deadlines: &Deadlines,
    ) -> Result<Self, AuditError> {
        let mut report = Self::default();
        let mut payments = payments.map(|payments| payments.by_grant);
        let mut connection = pool.acquire().await?;
        let spans = within(ANSWER_MAX, reader::spans_of_time(from, until, &mut connection)).await?;
        for span in spans {
            let (grants, unreadable) = window::grants_of(span, &mut connection).await?;
            report.unreadable_events += unreadable;
            for chunk in grants.chunks(LOOKED_UP) {
                report.compare_chunk(chunk, &mut payments, deadlines, &mut connection).await?;
            }
        }
        if let Some(rest) = payments {
            report.compare_rest(rest, &mut connection).await?;
        }
        report.differences.sort_by_key(|difference| (difference.kind, difference.grant));
        for difference in &report.differences {
            *report.counts.entry(difference.kind).or_default() += 1;
        }
        Ok(report)
    }

    /// Compares some grants of the time span and removes their payments from `payments`.
    async fn compare_chunk(
        &mut self,
        chunk: &[GrantInWindow],
        payments: &mut Option<HashMap<Uuid, Vec<i64>>>,
        deadlines: &Deadlines,
        connection: &mut PgConnection,
    ) -> Result<(), AuditError> {
        let ids: Vec<_> = chunk.iter().map(|found| (found.lane, found.grant)).collect();
        let states = within(ANSWER_MAX, grants::states(&ids, connection)).await?;
        let overdue = deadlines.overdue(chunk, &states, connection).await?;
        let said_to_be_paid = said_to_be_paid(chunk, &states, connection).await?;
        for found in chunk {
            let Some(state) = states.get(&found.grant).copied() else { continue };
            *self.states.entry(state.as_str()).or_default() += 1;
            let paid = payments.as_mut().map(|all| all.remove(&found.grant));
            let known = Known {
                grant: found.grant,
                user: found.user.as_str(),
                amount: found.amount,
                state,
                is_delivered_in_window: Some(found.is_delivered),
                is_overdue: overdue.contains(&found.grant),
                is_said_to_be_paid: said_to_be_paid.contains(&found.grant),
            };
            self.differences.extend(compare(&known, paid.map(Option::unwrap_or_default)));
        }
        Ok(())
    }

    /// Compares the remaining payments: those for grants outside the time span.
    async fn compare_rest(
        &mut self,
        rest: HashMap<Uuid, Vec<i64>>,
        connection: &mut PgConnection,
    ) -> Result<(), AuditError> {
        let rest: Vec<_> = rest.into_iter().collect();
        for chunk in rest.chunks(LOOKED_UP) {
            let ids: Vec<Uuid> = chunk.iter().map(|(grant, _)| *grant).collect();
            let found = within(ANSWER_MAX, by_grant::of_any_lane(&ids, connection)).await?;
            let found: HashMap<Uuid, _> =
                found.into_iter().map(|(user, row)| (row.reward.grant, (user, row))).collect();
            for (grant, paid) in chunk {
                let Some((user, row)) = found.get(grant) else {
                    let (kind, grant, paid) = (DifferenceKind::Unknown, *grant, paid.clone());
                    let unknown = Difference { kind, grant, user: None, granted: None, paid };
                    self.differences.push(unknown);
                    continue;
                };
                let known = Known {
                    grant: *grant,
                    user: user.as_str(),
                    amount: row.reward.amount,
                    state: row.state,
                    is_delivered_in_window: None,
                    is_overdue: false,
                    is_said_to_be_paid: false,
                };
                self.differences.extend(compare(&known, Some(paid.clone())));
            }
        }
        Ok(())
    }
}

/// Returns the revoked grants among these whose payer has acknowledged a payment.
async fn said_to_be_paid(
    chunk: &[GrantInWindow],
    states: &HashMap<Uuid, RewardState>,
    connection: &mut PgConnection,
) -> sqlx::Result<HashSet<Uuid>> {
    let is_revoked =
        |found: &&GrantInWindow| states.get(&found.grant) == Some(&RewardState::Revoked);
    let revoked = chunk.iter().filter(is_revoked);
    let revoked: Vec<_> =
        revoked.map(|found| (found.lane, found.user.clone(), found.grant)).collect();
    within(ANSWER_MAX, handed_over::said_to_be_paid(&revoked, connection)).await
}

/// Compares a grant with its payments. Without a payer's file, only differences that Plaudit knows
/// by itself are found: failed grants, overdue ones, and revoked ones whose payment was
/// acknowledged.
fn compare(known: &Known<'_>, paid: Option<Vec<i64>>) -> Option<Difference> {
    let kind = match (paid.as_deref(), known.state) {
        (None | Some([]), RewardState::Failed) => DifferenceKind::Failed,
        (None | Some([]), RewardState::Claimed | RewardState::Delivering) if known.is_overdue => {
            DifferenceKind::Pending
        }
        (None | Some([]), RewardState::Revoked) if known.is_said_to_be_paid => {
            DifferenceKind::PaidRevoked
        }
        (Some([_, _, ..]), _) => DifferenceKind::Double,
        (Some([_]), RewardState::Revoked) => DifferenceKind::PaidRevoked,
        (Some([amount]), _) if *amount != known.amount => DifferenceKind::DifferentAmount,
        (Some([]), RewardState::Delivered) if known.is_delivered_in_window == Some(true) => {
            DifferenceKind::Missing
        }
        (Some([_]), state) if state != RewardState::Delivered => DifferenceKind::Unconfirmed,
        _ => return None,
    };
    let (user, granted) = (Some(known.user.to_owned()), Some(known.amount));
    let paid = paid.unwrap_or_default();
    Some(Difference { kind, grant: known.grant, user, granted, paid })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn kind(
        state: RewardState,
        in_window: Option<bool>,
        paid: Option<&[i64]>,
    ) -> Option<DifferenceKind> {
        compare(&of(state, in_window), paid.map(<[i64]>::to_vec)).map(|difference| difference.kind)
    }

    fn of(state: RewardState, in_window: Option<bool>) -> Known<'static> {
        Known {
            grant: Uuid::nil(),
            user: "ann",
            amount: 10,
            state,
            is_delivered_in_window: in_window,
            is_overdue: false,
            is_said_to_be_paid: false,
        }
    }

    #[test]
    fn what_was_paid_once_and_delivered_is_no_difference() {
        assert_eq!(kind(RewardState::Delivered, Some(true), Some(&[10])), None);
        assert_eq!(kind(RewardState::Delivered, None, Some(&[10])), None);
    }

    #[test]
    fn a_grant_is_missing_only_if_it_was_delivered_in_the_time_of_the_report() {
        assert_eq!(
            kind(RewardState::Delivered, Some(true), Some(&[])),
            Some(DifferenceKind::Missing)
        );
        assert_eq!(kind(RewardState::Delivered, Some(false), Some(&[])), None);
        assert_eq!(kind(RewardState::Delivered, Some(true), None), None, "nobody was asked");
        assert_eq!(kind(RewardState::Delivering, Some(false), Some(&[])), None);
    }

    #[test]
    fn double_and_different_payments_are_found_at_any_time() {
        for in_window in [None, Some(false), Some(true)] {
            let found = |paid: &[i64]| kind(RewardState::Delivered, in_window, Some(paid));
            assert_eq!(found(&[10, 10]), Some(DifferenceKind::Double));
            assert_eq!(found(&[11]), Some(DifferenceKind::DifferentAmount));
        }
    }

    #[test]
    fn what_was_paid_and_is_not_delivered_is_unconfirmed_and_what_was_given_up_has_failed() {
        let failed = RewardState::Failed;
        assert_eq!(kind(failed, None, Some(&[10])), Some(DifferenceKind::Unconfirmed));
        assert_eq!(kind(failed, Some(false), Some(&[])), Some(DifferenceKind::Failed));
        assert_eq!(kind(failed, Some(false), None), Some(DifferenceKind::Failed));
    }

    #[test]
    fn a_grant_that_nobody_paid_in_time_is_pending_and_a_paid_one_is_unconfirmed() {
        let kind = |state: RewardState, is_overdue: bool, paid: Option<&[i64]>| {
            let known = Known { is_overdue, ..of(state, Some(false)) };
            compare(&known, paid.map(<[i64]>::to_vec)).map(|difference| difference.kind)
        };
        for state in [RewardState::Claimed, RewardState::Delivering] {
            assert_eq!(kind(state, true, Some(&[])), Some(DifferenceKind::Pending));
            assert_eq!(kind(state, true, None), Some(DifferenceKind::Pending));
            assert_eq!(kind(state, false, Some(&[])), None, "its time is not over");
            assert_eq!(kind(state, true, Some(&[10])), Some(DifferenceKind::Unconfirmed));
        }
        assert_eq!(kind(RewardState::Claimable, true, Some(&[])), None);
    }

    #[test]
    fn a_revoked_grant_is_a_difference_if_it_was_paid() {
        let revoked = RewardState::Revoked;
        assert_eq!(kind(revoked, Some(false), Some(&[])), None);
        for in_window in [None, Some(false)] {
            for paid in [10, 11] {
                assert_eq!(
                    kind(revoked, in_window, Some(&[paid])),
                    Some(DifferenceKind::PaidRevoked)
                );
            }
        }
        let said = Known { is_said_to_be_paid: true, ..of(revoked, Some(false)) };
        for paid in [None, Some(vec![])] {
            let found = compare(&said, paid).map(|difference| difference.kind);
            assert_eq!(found, Some(DifferenceKind::PaidRevoked));
        }
    }
}
