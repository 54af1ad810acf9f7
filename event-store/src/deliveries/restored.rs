//! Selects the grants to send again after a restore.

use jiff::Timestamp;
use plaudit_domain::user_tasks::RewardState;

use super::{DeliveryState, GrantEntry, Listed};

impl GrantEntry {
    /// True if the grant is to be sent again after Plaudit (or its payer, with `even_if_delivered`)
    /// was restored to this moment. That holds for grants queued, sent or settled since, and for
    /// grants sent before without a confirmation, because the confirmation may be lost.
    pub fn is_in_doubt_since(&self, moment: Timestamp, even_if_delivered: bool) -> bool {
        let is_confirmed = match self.row.state {
            RewardState::Claimed | RewardState::Delivering | RewardState::Failed => false,
            RewardState::Delivered if even_if_delivered => true,
            RewardState::Delivered
            | RewardState::Claimable
            | RewardState::Expired
            | RewardState::Forfeited
            | RewardState::Revoked
            | RewardState::Waiting
            | RewardState::Refused => return false,
        };
        let is_unconfirmed = |d: &Listed| !is_confirmed && d.state == DeliveryState::Sent.as_str();
        let mut to_payer = self.deliveries.iter().filter(|d| d.pays);
        to_payer.any(|d| d.last_moved_at() >= moment || is_unconfirmed(d))
    }
}

impl Listed {
    fn last_moved_at(&self) -> Timestamp {
        let attempt = self.attempted.last().map(|attempt| attempt.at);
        self.queued_at.max(attempt.unwrap_or_default()).max(self.settled_at.unwrap_or_default())
    }
}

#[cfg(test)]
mod tests {
    use plaudit_domain::lane::Lane;
    use plaudit_domain::user_tasks::Reward;
    use serde_json::json;

    use super::*;
    use crate::deliveries::Attempt;
    use crate::rewards::{RewardPlace, RewardRow};

    fn at(minute: i64) -> Timestamp {
        Timestamp::from_second(1_774_000_000 + 60 * minute).unwrap()
    }

    /// A grant whose delivery to the payer was queued, last tried and settled at these minutes.
    fn entry(
        state: RewardState,
        delivery: DeliveryState,
        queued: i64,
        tried: Option<i64>,
        settled: Option<i64>,
    ) -> GrantEntry {
        let attempt = |minute| Attempt {
            at: at(minute),
            duration_ms: 5,
            status: None,
            error: None,
            answer: None,
        };
        let reward: Reward = serde_json::from_value(json!({
            "grant": uuid::Uuid::nil(), "task": "t", "version": 1, "period": "once", "milestone": 1,
            "line": "l", "kind": "currency", "code": "coin", "amount": 1, "reached_at": at(queued).to_string(),
        }))
        .unwrap();
        let row = RewardRow {
            reward,
            starts_at: None,
            ends_at: None,
            state,
            place: RewardPlace { position: 1, ordinal: 0 },
            claimed: None,
            claim_until: None,
            lapse: None,
        };
        let listed = Listed {
            channel: "wallet".to_owned(),
            pays: true,
            state: delivery.as_str().to_owned(),
            attempts: 1,
            attempted: tried.map(attempt).into_iter().collect(),
            reason: None,
            queued_at: at(queued),
            due_at: None,
            give_up_at: None,
            settled_at: settled.map(at),
            may_be_published: false,
        };
        let user = "ann".to_owned().try_into().unwrap();
        let state = row.state;
        GrantEntry { lane: Lane(0), user, row, state, deliveries: vec![listed] }
    }

    #[test]
    fn a_payer_that_forgot_is_sent_what_moved_since() {
        use DeliveryState as D;
        use RewardState::Delivered;
        let moment = at(10);
        for (queued, tried, settled, expected) in [
            (11, 11, 11, true),
            // Queued before the moment, and paid after it.
            (1, 11, 11, true),
            (1, 2, 11, true),
            (1, 2, 3, false),
        ] {
            let entry = entry(Delivered, D::Delivered, queued, Some(tried), Some(settled));
            assert_eq!(
                entry.is_in_doubt_since(moment, true),
                expected,
                "{queued} {tried} {settled}"
            );
            assert!(!entry.is_in_doubt_since(moment, false), "what is delivered stays so");
        }
    }

    #[test]
    fn a_restored_plaudit_sends_what_it_does_not_know_to_be_confirmed() {
        use DeliveryState as D;
        use RewardState as R;
        let moment = at(10);
        for (state, delivery, queued, tried, expected) in [
            (R::Claimed, D::Waiting, 11, None, true),
            (R::Failed, D::Failed, 1, Some(11), true),
            // Sent before the moment; the confirmation arrived after it.
            (R::Delivering, D::Sent, 1, Some(2), true),
            // The sender continues with it by itself.
            (R::Delivering, D::Waiting, 1, Some(2), false),
            (R::Failed, D::Failed, 1, Some(2), false),
            (R::Revoked, D::Revoked, 11, Some(12), false),
            (R::Claimable, D::Waiting, 11, None, false),
        ] {
            let entry = entry(state, delivery, queued, tried, None);
            let is_in_doubt = entry.is_in_doubt_since(moment, false);
            assert_eq!(is_in_doubt, expected, "{state:?} {delivery:?} {queued} {tried:?}");
        }
    }
}
