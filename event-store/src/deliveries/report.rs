//! Grants as shown over HTTP and on the command line.

use jiff::Timestamp;
use serde::Serialize;
use uuid::Uuid;

use super::{GrantEntry, GrantPage, Listed};

/// A grant with its deliveries, for display.
#[derive(Debug, Clone, Serialize)]
pub struct GrantReport {
    /// The id of the grant.
    pub grant: Uuid,
    /// The user.
    pub user: String,
    /// The task.
    pub task: String,
    /// The period key.
    pub period: String,
    /// The milestone.
    pub milestone: i64,
    /// The name of the line within its milestone.
    pub line: String,
    /// The kind of reward, for the payer.
    pub kind: String,
    /// The code of the reward, for the payer.
    pub code: String,
    /// The amount.
    pub amount: i64,
    /// The state as of the read.
    pub state: String,
    /// The time at which the milestone was reached.
    pub granted_at: Timestamp,
    /// The reason why the delivery to the payer failed.
    pub reason: Option<String>,
    /// The delivery to the payer first; empty before the reward is claimed.
    pub deliveries: Vec<Listed>,
}

/// A page of grants, for display.
#[derive(Debug, Clone, Serialize)]
pub struct GrantList {
    /// See [`GrantPage::grants`].
    pub grants: Vec<GrantReport>,
    /// See [`GrantPage::next`].
    pub next: Option<Uuid>,
}

impl From<GrantPage> for GrantList {
    fn from(page: GrantPage) -> Self {
        let grants = page.grants.into_iter().map(GrantReport::from).collect();
        Self { grants, next: page.next }
    }
}

impl From<GrantEntry> for GrantReport {
    fn from(GrantEntry { user, row, state, deliveries, .. }: GrantEntry) -> Self {
        let reward = row.reward;
        let reason = deliveries.iter().find(|d| d.pays).and_then(|d| d.reason.clone());
        Self {
            grant: reward.grant,
            user: user.to_string(),
            task: reward.task.to_string(),
            period: reward.period.to_string(),
            milestone: reward.milestone,
            line: reward.line,
            kind: reward.kind,
            code: reward.code,
            amount: reward.amount,
            state: state.as_str().to_owned(),
            granted_at: reward.reached_at,
            reason,
            deliveries,
        }
    }
}
