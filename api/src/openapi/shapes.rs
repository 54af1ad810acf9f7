//! The shapes of bodies, as `/openapi.json` describes them. What is sent is made of types of several
//! crates that know nothing of `OpenAPI`; tests hold real answers against these.

use serde::Serialize;
use utoipa::{PartialSchema as _, ToSchema};
use uuid::Uuid;

/// RFC 3339, in UTC.
#[derive(Debug, Serialize, ToSchema)]
#[schema(value_type = String, format = DateTime)]
pub struct Instant(pub String);

/// The state of a task. Shapes have it inline: some generators would give the constants of this enum and of
/// [`RewardState`] the same names.
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
    /// The task screen.
    TaskScreens {
        /// The user.
        user: String,
        /// Where this was true.
        position: String,
        /// When this was true. Periods, streaks and expiry are shown as of this moment.
        now: Instant,
        /// By `order`, then by `id`.
        tasks: Vec<TaskScreen>,
    }
    /// One task of a user.
    OneTaskScreen {
        /// The user.
        user: String,
        /// Where this was true.
        position: String,
        /// When this was true. Periods, streaks and expiry are shown as of this moment.
        now: Instant,
        /// The task.
        #[serde(flatten)]
        task: TaskScreen,
    }
    /// A task as a user sees it.
    TaskScreen {
        /// Its id.
        id: String,
        /// The version that the period goes by.
        version: u32,
        /// `ordinary`, `periodic` or `continuous`.
        kind: String,
        /// For grouping.
        category: Option<String>,
        /// For sorting.
        order: i64,
        /// One line.
        title: String,
        /// More about it; may be empty.
        description: String,
        /// Where a tap leads.
        navigate: Option<String>,
        /// What a reader can expect of it.
        #[schema(schema_with = TaskState::schema)]
        state: TaskState,
        /// Prerequisites that are not completed yet.
        locked_by: Vec<String>,
        /// The period of the moment.
        period: Period,
        /// What counted in it; for continuous tasks the step of the cycle.
        progress: i64,
        /// The `at` of the last milestone.
        target: i64,
        /// In ascending order of `at`.
        milestones: Vec<Milestone>,
        /// What can be claimed besides, oldest first, at most 20.
        unclaimed_from_earlier_periods: Vec<Unclaimed>,
        /// How many milestones can be claimed besides, listed or not.
        unclaimed_count: u64,
        /// When the task takes actions.
        window: Window,
        /// As the author gave it.
        #[schema(value_type = Object)]
        meta: serde_json::Value,
        /// For continuous tasks.
        #[schema(required = false, nullable = false)]
        streak: Option<Streak>,
    }
    /// When a task takes actions; an open end is null.
    Window {
        /// The first instant inside.
        from: Option<Instant>,
        /// The first instant no longer inside.
        until: Option<Instant>,
    }
    /// One turn of a task.
    Period {
        /// Its name, such as `2026-03-29`.
        key: String,
        /// The first instant inside.
        starts_at: Option<Instant>,
        /// The first instant no longer inside.
        ends_at: Option<Instant>,
    }
    /// A mark on the way.
    Milestone {
        /// The progress that reaches it.
        at: i64,
        /// When it was reached.
        reached_at: Option<Instant>,
        /// What it gives.
        rewards: Vec<Reward>,
        /// As the author gave it; absent if empty.
        #[schema(required = false, value_type = Object)]
        meta: Option<serde_json::Value>,
    }
    /// A reward line; with `grant`, `state` and `claim_until` once it is owed.
    Reward {
        /// The id of the grant.
        #[schema(required = false, nullable = false)]
        grant: Option<Uuid>,
        /// Where it stands.
        #[schema(required = false, schema_with = RewardState::schema)]
        state: Option<RewardState>,
        /// From when on it can no longer be claimed.
        #[schema(required = false)]
        claim_until: Option<Instant>,
        /// Names the line within its milestone.
        line: String,
        /// For the payer; absent while it is left to chance.
        #[schema(required = false, nullable = false)]
        kind: Option<String>,
        /// For the payer; absent while it is left to chance.
        #[schema(required = false, nullable = false)]
        code: Option<String>,
        /// How many; absent while it is left to chance.
        #[schema(required = false, nullable = false)]
        amount: Option<i64>,
        /// What it may pay, while that is left to chance.
        #[schema(required = false, nullable = false)]
        one_of: Option<Vec<Choice>>,
        /// What the line is called.
        #[schema(required = false, nullable = false)]
        title: Option<String>,
        /// As the author gave it; absent if empty.
        #[schema(required = false, value_type = Object)]
        meta: Option<serde_json::Value>,
    }
    /// What a line may pay.
    Choice {
        /// How likely it is: its share of the sum of all weights.
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
        /// When it was reached.
        reached_at: Instant,
        /// What it gives.
        rewards: Vec<Reward>,
        /// As the author gave it; absent if empty.
        #[schema(required = false, value_type = Object)]
        meta: Option<serde_json::Value>,
    }
    /// A streak.
    Streak {
        /// Periods in a row.
        current: i64,
        /// The most there ever were.
        longest: i64,
        /// Freezes left.
        freezes: i64,
        /// The period of the moment has no step yet.
        at_risk: bool,
    }
    /// What a claim asks for; both absent: the oldest claimable milestone.
    Claim {
        /// A period key.
        #[schema(required = false)]
        period: Option<String>,
        /// The `at` of a milestone.
        #[schema(required = false)]
        milestone: Option<i64>,
    }
    /// Freezes to grant.
    FreezeGrant {
        /// How many, at least 1. What exceeds the task's `max` is dropped.
        #[schema(minimum = 1)]
        count: i64,
        /// Why, for the user's history: up to 1,000 characters.
        #[schema(required = false)]
        reason: Option<String>,
    }
    /// What a grant of freezes gave.
    GrantedFreezes {
        /// Whose.
        user: String,
        /// The task.
        task: String,
        /// Where the grant stands in the log, or later.
        position: String,
        /// When it was made. The freezes protect periods that end later.
        granted_at: Instant,
        /// How many were added.
        granted: i64,
        /// How many were dropped, because the user would have had more than `max`.
        dropped: i64,
        /// How many the user has now.
        freezes: i64,
    }
    /// The proof of a claim.
    Receipt {
        /// Who claimed.
        user: String,
        /// The task.
        task: String,
        /// The period key.
        period: String,
        /// The milestone.
        milestone: i64,
        /// Where the claim stands in the log.
        position: String,
        /// When it arrived.
        claimed_at: Instant,
        /// What was taken.
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
        /// As of the receipt.
        #[schema(schema_with = RewardState::schema)]
        state: RewardState,
    }
    /// What a claim of everything gave.
    ClaimedAll {
        /// Who claimed.
        user: String,
        /// After all of it.
        position: String,
        /// One for each milestone, at most 500 of them.
        outcomes: Vec<ClaimOutcome>,
        /// Whether there is more to claim: send the request again.
        more: bool,
    }
    /// What became of one milestone.
    ClaimOutcome {
        /// `claimed`.
        outcome: String,
        /// Its receipt.
        #[serde(flatten)]
        receipt: Receipt,
    }
    /// What a user earned.
    Rewards {
        /// The user.
        user: String,
        /// Where this was true.
        position: String,
        /// Oldest first.
        rewards: Vec<RewardEntry>,
        /// For the next page.
        next: Option<String>,
    }
    /// One reward line that is owed, or was.
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
        /// Where it stands.
        #[schema(schema_with = RewardState::schema)]
        state: RewardState,
        /// When the milestone was reached.
        granted_at: Instant,
        /// From when on it can no longer be claimed.
        claim_until: Option<Instant>,
    }
    /// An action: a `CloudEvent` 1.0.
    Action {
        /// `1.0`.
        specversion: String,
        /// Who says so.
        source: String,
        /// Names the action within its source and user.
        id: String,
        /// What was done.
        r#type: String,
        /// The user.
        subject: String,
        /// When it occurred.
        time: Instant,
        /// Any object up to 64 KiB.
        #[schema(required = false, value_type = Object)]
        data: serde_json::Value,
    }
    /// What became of actions.
    Outcomes {
        /// In the order sent.
        outcomes: Vec<ActionOutcome>,
    }
    /// What became of one action.
    ActionOutcome {
        /// As sent, if it was readable.
        source: Option<String>,
        /// As sent, if it was readable.
        id: Option<String>,
        /// `accepted`, `duplicate` or `parked`.
        outcome: String,
        /// At or after its effect.
        #[schema(required = false, nullable = false)]
        position: Option<String>,
        /// The reason why it was parked.
        #[schema(required = false, nullable = false)]
        reason: Option<String>,
        /// The id of the parked record.
        #[schema(required = false, nullable = false)]
        parked: Option<Uuid>,
    }
    /// A process that is at work.
    Health {
        /// `alive` or `ready`.
        status: String,
        /// `/readyz`: what affects single users or lanes only.
        #[schema(required = false, nullable = false)]
        warnings: Option<Vec<String>>,
    }
}
