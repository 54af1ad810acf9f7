//! Grants as they are shown, over HTTP and on the command line alike.

use jiff::Timestamp;
use serde::Serialize;
use uuid::Uuid;

use super::{GrantEntry, Listed};

/// A grant with its deliveries, to be shown.
#[derive(Debug, Clone, Serialize)]
pub struct GrantReport {
    /// The id of the grant.
    pub grant: Uuid,
    /// Whose it is.
    pub user: String,
    /// The task.
    pub task: String,
    /// The period key.
    pub period: String,
    /// The milestone.
    pub milestone: i64,
    /// Names the line within its milestone.
    pub line: String,
    /// For the payer.
    pub kind: String,
    /// For the payer.
    pub code: String,
    /// The amount.
    pub amount: i64,
    /// Its state at the moment at which it was read.
    pub state: String,
    /// When the milestone was reached.
    pub granted_at: Timestamp,
    /// Why it was not delivered; of the delivery that leads to the payer.
    pub reason: Option<String>,
    /// The one that leads to the payer first; none before it is claimed.
    pub deliveries: Vec<Listed>,
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
