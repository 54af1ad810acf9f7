//! The shapes of grants, their deliveries and revocations; see `shapes`.

use serde::Serialize;
use utoipa::{PartialSchema, ToSchema};
use uuid::Uuid;

use super::shapes::{Instant, RewardState};

shapes! {
    /// Grants with their deliveries.
    Grants {
        /// Lane by lane.
        grants: Vec<Grant>,
        /// The `after` of the next page; null on the last one.
        next: Option<Uuid>,
    }
    /// A granted reward and the progress of its delivery.
    Grant {
        /// The id of the grant.
        grant: Uuid,
        /// The user to whom it belongs.
        user: String,
        /// The task.
        task: String,
        /// The period key.
        period: String,
        /// The milestone.
        milestone: i64,
        /// Names the line within its milestone.
        line: String,
        /// For the payer.
        kind: String,
        /// For the payer.
        code: String,
        /// The amount.
        amount: i64,
        /// The present state.
        #[schema(schema_with = RewardState::schema)]
        state: RewardState,
        /// The time at which the milestone was reached.
        granted_at: Instant,
        /// The reason why it is not delivered, or of the last failed attempt.
        reason: Option<String>,
        /// Its deliveries, the payer's first. None before it is claimed.
        deliveries: Vec<Delivery>,
    }
    /// The delivery of a grant over one channel.
    Delivery {
        /// The channel.
        channel: String,
        /// True if the channel leads to the payer; other channels get a copy.
        pays: bool,
        /// `waiting`, `sent`, `delivered`, `failed`, `revoked` or `replaced`.
        state: String,
        /// The number of attempts.
        attempts: i32,
        /// The last attempts, oldest first.
        attempted: Vec<DeliveryAttempt>,
        /// The reason of the failure, or of the last failed attempt.
        reason: Option<String>,
        /// The time at which it was seen to be due, for the first time or again.
        queued_at: Instant,
        /// The time of the next attempt, if it is waiting.
        due_at: Option<Instant>,
        /// The time at which it is given up; null if none is set.
        give_up_at: Option<Instant>,
    }
    /// One attempt of a delivery.
    DeliveryAttempt {
        /// The time at which it began.
        at: Instant,
        /// The duration in milliseconds.
        duration_ms: u64,
        /// The HTTP status of the answer.
        #[schema(required = false, nullable = false)]
        status: Option<u16>,
        /// The reason of the failure.
        #[schema(required = false, nullable = false)]
        error: Option<String>,
        /// The first bytes of the answer, or the place at which the broker stored the message.
        #[schema(required = false, nullable = false)]
        answer: Option<String>,
    }
    /// The request to send one reward again.
    OneRedeliveryRequest {
        /// The reason: 1 to 1,000 characters.
        #[schema(min_length = 1, max_length = 1000)]
        reason: String,
        /// Send it even if a payer other than the one it was sent to would get it now; both may pay
        /// it.
        #[schema(required = false, default = false)]
        to_new_payer: Option<bool>,
    }
    /// A reward that is sent again.
    Redelivery {
        /// The grant.
        grant: Uuid,
        /// The user to whom it belongs.
        user: String,
        /// The position of the request in the log.
        position: String,
    }
    /// The request to send many rewards again.
    RedeliveryRequest {
        /// The reason: 1 to 1,000 characters.
        #[schema(min_length = 1, max_length = 1000)]
        reason: String,
        /// `failed` (the default), `claimed` or `delivering`.
        #[schema(required = false, nullable = false)]
        state: Option<String>,
        /// Only grants of this kind.
        #[schema(required = false, nullable = false)]
        kind: Option<String>,
        /// Only grants of this code.
        #[schema(required = false, nullable = false)]
        code: Option<String>,
        /// Only grants that go to the payer over this channel.
        #[schema(required = false, nullable = false)]
        channel: Option<String>,
        /// Only grants that were first seen to be due at this instant or later.
        #[schema(required = false, nullable = false)]
        since: Option<Instant>,
        /// Send grants even if a payer other than the one they were sent to would get them now;
        /// both may pay them.
        #[schema(required = false, default = false)]
        to_new_payer: Option<bool>,
        /// The `next` of the previous answer.
        #[schema(required = false, nullable = false)]
        after: Option<Uuid>,
        /// The maximum number of grants: 1 to 1,000, by default 500.
        #[schema(required = false, nullable = false, minimum = 1, maximum = 1000)]
        limit: Option<u16>,
    }
    /// The result of a redelivery in bulk.
    Redeliveries {
        /// The grants that will be sent again.
        redelivered: Vec<Uuid>,
        /// Grants that can't be sent again: their state changed meanwhile, or another payer would
        /// get them.
        refused: Vec<RefusedRedelivery>,
        /// The `after` of the next request; null if there are no more.
        next: Option<Uuid>,
    }
    /// A grant that was not sent again.
    RefusedRedelivery {
        /// The grant.
        grant: Uuid,
        /// The reason.
        detail: String,
    }
    /// The request to revoke a reward.
    RevocationRequest {
        /// The reason: 1 to 1,000 characters.
        #[schema(min_length = 1, max_length = 1000)]
        reason: String,
        /// Revoke the other unclaimed lines of its milestone too: they can only be claimed
        /// together.
        #[schema(required = false, default = false)]
        whole_milestone: Option<bool>,
    }
    /// Rewards that were revoked.
    Revocation {
        /// The grant that was named.
        grant: Uuid,
        /// The user to whom it belongs.
        user: String,
        /// The position of the change in the log.
        position: String,
        /// The time at which the request arrived.
        revoked_at: Instant,
        /// All grants that were revoked.
        revoked: Vec<Uuid>,
        /// Revoked grants that had been handed to their payer, who may have paid them.
        may_be_paid: Vec<Uuid>,
        /// Advice for `may_be_paid`, if it is not empty.
        #[schema(required = false)]
        warning: Option<String>,
    }
}
