//! The shapes of corrections by hand; see `shapes`.

use serde::Serialize;
use utoipa::ToSchema;
use uuid::Uuid;

use super::shapes::Instant;

shapes! {
    /// The request to grant a reward that no task promised.
    HandGrant {
        /// The reason: 1 to 1,000 characters.
        #[schema(min_length = 1, max_length = 1000)]
        reason: String,
        /// For the payer.
        #[schema(min_length = 1, max_length = 200)]
        kind: String,
        /// For the payer.
        #[schema(min_length = 1, max_length = 200)]
        code: String,
        /// The amount.
        #[schema(minimum = 1)]
        amount: i64,
        /// Distinguishes a user's grants by hand: the same line is granted only once, for ever.
        /// Absent: the `Idempotency-Key`, or else the id of the request.
        #[schema(required = false, min_length = 1, max_length = 64)]
        line: Option<String>,
    }
    /// A reward that was granted by hand.
    GrantedByHand {
        /// The user to whom it belongs.
        user: String,
        /// The id of the grant.
        grant: Uuid,
        /// Always `plaudit.by-hand`.
        task: String,
        /// Always `once`.
        period: String,
        /// Always 0.
        milestone: i64,
        /// Distinguishes a user's grants by hand.
        line: String,
        /// For the payer.
        kind: String,
        /// For the payer.
        code: String,
        /// The amount.
        amount: i64,
        /// Always `claimed`: it is delivered without a claim.
        state: String,
        /// The position of the grant in the log.
        position: String,
        /// The time at which it was granted.
        granted_at: Instant,
    }
    /// A change of progress, by exactly one of `by` and `to`.
    Adjustment {
        /// The reason: 1 to 1,000 characters.
        #[schema(min_length = 1, max_length = 1000)]
        reason: String,
        /// The period key. Absent: the period at the time of the request.
        #[schema(required = false)]
        period: Option<String>,
        /// The amount to add; negative to subtract. Progress never falls below zero.
        #[schema(required = false)]
        by: Option<i64>,
        /// The progress to set.
        #[schema(required = false, minimum = 0)]
        to: Option<i64>,
    }
    /// A correction of a period.
    PeriodCorrection {
        /// The reason: 1 to 1,000 characters.
        #[schema(min_length = 1, max_length = 1000)]
        reason: String,
        /// The period key. Absent: the period at the time of the request.
        #[schema(required = false)]
        period: Option<String>,
    }
    /// A period after a correction of its progress.
    CorrectedProgress {
        /// The user.
        user: String,
        /// The task.
        task: String,
        /// The period.
        period: String,
        /// The position of the correction in the log.
        position: String,
        /// The time at which the request arrived.
        corrected_at: Instant,
        /// The amount that was added; negative if it was subtracted.
        credited: i64,
        /// The progress afterwards.
        progress: i64,
        /// The target of the period.
        target: i64,
        /// The milestones that the correction reached.
        milestones: Vec<i64>,
        /// The grants that the correction earned.
        grants: Vec<Uuid>,
    }
    /// The request to fill a missed period of a streak.
    Restoration {
        /// The reason: 1 to 1,000 characters.
        #[schema(min_length = 1, max_length = 1000)]
        reason: String,
        /// The key of the missed period.
        period: String,
    }
    /// A streak after a restoration.
    RestoredStreak {
        /// The user.
        user: String,
        /// The task.
        task: String,
        /// The period that was filled.
        period: String,
        /// The position of the correction in the log.
        position: String,
        /// The time at which the request arrived.
        corrected_at: Instant,
        /// The length of the streak afterwards.
        current: i64,
        /// The longest streak ever, afterwards.
        longest: i64,
        /// The milestones that the restoration reached.
        milestones: Vec<i64>,
        /// The grants that the restoration earned.
        grants: Vec<Uuid>,
    }
}
