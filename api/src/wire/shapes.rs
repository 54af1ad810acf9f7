//! The shapes of bodies, as `/openapi.json` describes them. The bodies themselves are built from
//! types of several crates that know nothing of `OpenAPI`; tests compare real answers with these
//! shapes.

use serde::Serialize;
use utoipa::{PartialSchema as _, ToSchema};
use uuid::Uuid;

/// An instant in the format of RFC 3339, in UTC.
#[derive(Debug, Serialize, ToSchema)]
#[schema(value_type = String, format = DateTime)]
pub struct Instant(pub String);

/// The state of a task. Other shapes inline this enum and [`RewardState`]: some generators would
/// give the constants of both the same names.
#[derive(Debug, Serialize, ToSchema)]
#[serde(rename_all = "snake_case")]
#[expect(missing_docs, reason = "the names say it")]
pub enum TaskState {
    Locked,
    Available,
    InProgress,
    Claimable,
    Completed,
    Claimed,
    Expired,
}

/// The state of a reward.
#[derive(Debug, Serialize, ToSchema)]
#[serde(rename_all = "snake_case")]
#[expect(missing_docs, reason = "the names say it")]
pub enum RewardState {
    Claimable,
    Claimed,
    Delivering,
    Delivered,
    Failed,
    Expired,
    Forfeited,
    Revoked,
    Waiting,
    Refused,
}

/// Up to 1,000 actions.
#[derive(Debug, Serialize, ToSchema)]
#[schema(min_items = 1, max_items = 1000)]
pub struct ActionList(pub Vec<Action>);

shapes! {
    /// The task screen of a user.
    TaskScreens {
        /// The user.
        user: String,
        /// The position at which this was true.
        position: String,
        /// The time at which this was true. Periods, streaks and expiry are shown as of this time.
        now: Instant,
        /// Ordered by `order`, then by `id`.
        tasks: Vec<TaskScreen>,
    }
    /// One task of a user.
    OneTaskScreen {
        /// The user.
        user: String,
        /// The position at which this was true.
        position: String,
        /// The time at which this was true. Periods, streaks and expiry are shown as of this time.
        now: Instant,
        /// The task.
        #[serde(flatten)]
        task: TaskScreen,
    }
    /// A task as a user sees it.
    TaskScreen {
        /// Its id.
        id: String,
        /// The version that applies to the period.
        version: u32,
        /// `ordinary`, `periodic` or `continuous`.
        kind: String,
        /// A group to show it in.
        category: Option<String>,
        /// The sort key: tasks are shown by `order`, then by `id`.
        order: i64,
        /// One line, in the reader's language.
        title: String,
        /// More about the task; may be empty.
        description: String,
        /// The link that a tap opens.
        navigate: Option<String>,
        /// The state of the task for this user.
        #[schema(schema_with = TaskState::schema)]
        state: TaskState,
        /// The prerequisites that are not completed yet.
        locked_by: Vec<String>,
        /// The period that contains the time of the screen.
        period: Period,
        /// The progress in the period; for continuous tasks the step within the cycle.
        progress: i64,
        /// The `at` of the last milestone.
        target: i64,
        /// In ascending order of `at`.
        milestones: Vec<Milestone>,
        /// Other milestones with something to claim, oldest first, at most 20.
        unclaimed_from_earlier_periods: Vec<Unclaimed>,
        /// The number of other milestones with something to claim, listed or not.
        unclaimed_count: u64,
        /// The time span in which the task takes actions.
        window: Window,
        /// The author's own fields.
        #[schema(value_type = Object)]
        meta: serde_json::Value,
        /// The streak of a continuous task.
        #[schema(required = false, nullable = false)]
        streak: Option<Streak>,
    }
    /// The time span in which a task takes actions; an open end is null.
    Window {
        /// The first instant inside.
        from: Option<Instant>,
        /// The first instant after it.
        until: Option<Instant>,
    }
    /// A period of a task.
    Period {
        /// Its key, such as `2026-03-29`.
        key: String,
        /// The first instant inside.
        starts_at: Option<Instant>,
        /// The first instant after it.
        ends_at: Option<Instant>,
    }
    /// A milestone of a task.
    Milestone {
        /// The progress that reaches it.
        at: i64,
        /// The time at which it was reached.
        reached_at: Option<Instant>,
        /// Its rewards.
        rewards: Vec<Reward>,
        /// The author's own fields; absent if there are none.
        #[schema(required = false, value_type = Object)]
        meta: Option<serde_json::Value>,
    }
    /// A reward line. It has `grant`, `state` and `claim_until` once its milestone is reached.
    Reward {
        /// The id of the grant.
        #[schema(required = false, nullable = false)]
        grant: Option<Uuid>,
        /// The present state.
        #[schema(required = false, schema_with = RewardState::schema)]
        state: Option<RewardState>,
        /// The time from which it can no longer be claimed.
        #[schema(required = false)]
        claim_until: Option<Instant>,
        /// Names the line within its milestone.
        line: String,
        /// For the payer; absent until chance has decided.
        #[schema(required = false, nullable = false)]
        kind: Option<String>,
        /// For the payer; absent until chance has decided.
        #[schema(required = false, nullable = false)]
        code: Option<String>,
        /// The amount; absent until chance has decided.
        #[schema(required = false, nullable = false)]
        amount: Option<i64>,
        /// The possible outcomes, until chance has decided.
        #[schema(required = false, nullable = false)]
        one_of: Option<Vec<Choice>>,
        /// The display name of the line.
        #[schema(required = false, nullable = false)]
        title: Option<String>,
        /// The author's own fields; absent if there are none.
        #[schema(required = false, value_type = Object)]
        meta: Option<serde_json::Value>,
    }
    /// A possible outcome of a line that is left to chance.
    Choice {
        /// Its weight. Its probability is the share of this in the sum of all weights.
        weight: i64,
        /// For the payer.
        kind: String,
        /// For the payer.
        code: String,
        /// The amount.
        amount: i64,
    }
    /// A milestone of an earlier period with something to claim.
    Unclaimed {
        /// The period.
        period: Period,
        /// The milestone.
        at: i64,
        /// The time at which it was reached.
        reached_at: Instant,
        /// Its rewards.
        rewards: Vec<Reward>,
        /// The author's own fields; absent if there are none.
        #[schema(required = false, value_type = Object)]
        meta: Option<serde_json::Value>,
    }
    /// The streak of a continuous task.
    Streak {
        /// The number of periods in a row.
        current: i64,
        /// The longest streak ever.
        longest: i64,
        /// The number of freezes left.
        freezes: i64,
        /// True if there is a streak and the present period has no step yet.
        at_risk: bool,
    }
    /// The milestone to claim. Without fields: the oldest claimable one.
    Claim {
        /// A period key.
        #[schema(required = false)]
        period: Option<String>,
        /// The `at` of a milestone.
        #[schema(required = false)]
        milestone: Option<i64>,
    }
    /// The request to grant freezes.
    FreezeGrant {
        /// The number of freezes, at least 1. Those above the task's `max` are dropped.
        #[schema(minimum = 1)]
        count: i64,
        /// The reason, for the user's history: up to 1,000 characters.
        #[schema(required = false)]
        reason: Option<String>,
    }
    /// The result of granting freezes.
    GrantedFreezes {
        /// The user.
        user: String,
        /// The task.
        task: String,
        /// A position at or after the grant.
        position: String,
        /// The time of the grant. The freezes protect periods that end later.
        granted_at: Instant,
        /// The number of freezes that were added.
        granted: i64,
        /// The number of freezes that were dropped, because they exceed `max`.
        dropped: i64,
        /// The number of freezes that the user has now.
        freezes: i64,
    }
    /// The receipt of a claim.
    Receipt {
        /// The user who claimed.
        user: String,
        /// The task.
        task: String,
        /// The period key.
        period: String,
        /// The milestone.
        milestone: i64,
        /// The position of the claim in the log.
        position: String,
        /// The time at which the claim arrived.
        claimed_at: Instant,
        /// The claimed reward lines.
        rewards: Vec<ReceiptLine>,
    }
    /// A line of a receipt.
    ReceiptLine {
        /// The id of the grant.
        grant: Uuid,
        /// Names the line within its milestone.
        line: String,
        /// For the payer.
        kind: String,
        /// For the payer.
        code: String,
        /// The amount.
        amount: i64,
        /// The state at the time of the receipt.
        #[schema(schema_with = RewardState::schema)]
        state: RewardState,
    }
    /// The result of claiming everything.
    ClaimedAll {
        /// The user who claimed.
        user: String,
        /// A position at or after all the claims.
        position: String,
        /// One outcome per milestone, at most 500.
        outcomes: Vec<ClaimOutcome>,
        /// True if there is more to claim: send the request again.
        more: bool,
    }
    /// The outcome for one milestone.
    ClaimOutcome {
        /// Always `claimed`.
        outcome: String,
        /// The receipt of the milestone.
        #[serde(flatten)]
        receipt: Receipt,
    }
    /// A page of a user's rewards.
    Rewards {
        /// The user.
        user: String,
        /// The position at which this was true.
        position: String,
        /// Oldest first.
        rewards: Vec<RewardEntry>,
        /// The `after` of the next page; null on the last one.
        next: Option<String>,
    }
    /// A reward line whose milestone was reached.
    RewardEntry {
        /// The id of the grant.
        grant: Uuid,
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
        /// The time from which it can no longer be claimed.
        claim_until: Option<Instant>,
    }
    /// An action: a `CloudEvent` 1.0.
    Action {
        /// `1.0`.
        specversion: String,
        /// The system that reports the action.
        source: String,
        /// The id of the action, unique within its source and user.
        id: String,
        /// The type of the action.
        r#type: String,
        /// The user.
        subject: String,
        /// The time at which it occurred.
        time: Instant,
        /// Any JSON object of at most 64 KiB.
        #[schema(required = false, value_type = Object)]
        data: serde_json::Value,
    }
    /// The outcomes of a request's actions.
    Outcomes {
        /// In the order of the request.
        outcomes: Vec<ActionOutcome>,
    }
    /// The outcome of one action.
    ActionOutcome {
        /// The `source` as sent, if it was readable.
        source: Option<String>,
        /// The `id` as sent, if it was readable.
        id: Option<String>,
        /// `accepted`, `duplicate` or `parked`.
        outcome: String,
        /// A position at or after its effect.
        #[schema(required = false, nullable = false)]
        position: Option<String>,
        /// The reason why it was parked.
        #[schema(required = false, nullable = false)]
        reason: Option<String>,
        /// The id of the parked record.
        #[schema(required = false, nullable = false)]
        parked: Option<Uuid>,
    }
    /// The health of a process.
    Health {
        /// `alive` or `ready`.
        status: String,
        /// Only for `/readyz`: problems of single users or lanes.
        #[schema(required = false, nullable = false)]
        warnings: Option<Vec<String>>,
    }
}
