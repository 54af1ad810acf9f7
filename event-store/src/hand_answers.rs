//! The answers to changes by hand, as shown over HTTP and on the command line. Each is made of a
//! receipt, and only of the receipt of its own change.

use jiff::Timestamp;
use plaudit_domain::calendar::PeriodKey;
use plaudit_domain::ids::{TaskId, UserId};
use serde::{Deserialize, Serialize};
use uuid::Uuid;

use crate::batch::{HandChange, HandReceipt};

/// The progress of a period after a correction.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[expect(missing_docs, reason = "docs/http.md describes the fields")]
pub struct CorrectedProgress {
    pub user: UserId,
    pub task: TaskId,
    pub period: PeriodKey,
    pub position: String,
    pub corrected_at: Timestamp,
    pub credited: i64,
    pub progress: i64,
    pub target: i64,
    pub milestones: Vec<i64>,
    pub grants: Vec<Uuid>,
}

impl CorrectedProgress {
    /// Builds the answer; `None` if the receipt belongs to a different change.
    pub fn of(user: UserId, receipt: HandReceipt) -> Option<Self> {
        let HandReceipt { position, at: corrected_at, change } = receipt;
        let HandChange::ProgressCorrected {
            task,
            period,
            credited,
            progress,
            target,
            reached: milestones,
            grants,
        } = change
        else {
            return None;
        };
        Some(Self {
            user,
            task,
            period,
            position,
            corrected_at,
            credited,
            progress,
            target,
            milestones,
            grants,
        })
    }
}

/// A streak after a missed period was filled.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[expect(missing_docs, reason = "docs/http.md describes the fields")]
pub struct RestoredStreak {
    pub user: UserId,
    pub task: TaskId,
    pub period: PeriodKey,
    pub position: String,
    pub corrected_at: Timestamp,
    pub current: i64,
    pub longest: i64,
    pub milestones: Vec<i64>,
    pub grants: Vec<Uuid>,
}

impl RestoredStreak {
    /// Builds the answer; `None` if the receipt belongs to a different change.
    pub fn of(user: UserId, receipt: HandReceipt) -> Option<Self> {
        let HandReceipt { position, at: corrected_at, change } = receipt;
        let HandChange::StreakRestored {
            task,
            period,
            current,
            longest,
            reached: milestones,
            grants,
        } = change
        else {
            return None;
        };
        Some(Self {
            user,
            task,
            period,
            position,
            corrected_at,
            current,
            longest,
            milestones,
            grants,
        })
    }
}

/// A reward that was granted by hand.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[expect(missing_docs, reason = "docs/http.md describes the fields")]
pub struct GrantedByHand {
    pub user: UserId,
    pub grant: Uuid,
    pub task: TaskId,
    pub period: PeriodKey,
    pub milestone: i64,
    pub line: String,
    pub kind: String,
    pub code: String,
    pub amount: i64,
    /// Always `claimed`: a grant by hand is delivered at once.
    pub state: &'static str,
    pub position: String,
    pub granted_at: Timestamp,
}

impl GrantedByHand {
    /// Builds the answer; `None` if the receipt belongs to a different change.
    pub fn of(user: UserId, receipt: HandReceipt) -> Option<Self> {
        let HandChange::RewardGranted { reward } = receipt.change else { return None };
        Some(Self {
            user,
            grant: reward.grant,
            task: reward.task,
            period: reward.period,
            milestone: reward.milestone,
            line: reward.line,
            kind: reward.kind,
            code: reward.code,
            amount: reward.amount,
            state: "claimed",
            position: receipt.position,
            granted_at: reward.reached_at,
        })
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn a_receipt_of_another_change_gives_no_answer() {
        let restored = json!({"position": "3:7", "at": "2026-03-29T10:00:00Z", "change": "streak_restored",
            "task": "sign-in", "period": "2026-03-28", "current": 2, "longest": 5, "reached": [2], "grants": []});
        let receipt: HandReceipt = serde_json::from_value(restored).unwrap();
        let user: UserId = "u42".parse().unwrap();
        assert_eq!(CorrectedProgress::of(user.clone(), receipt.clone()), None);
        assert_eq!(GrantedByHand::of(user.clone(), receipt.clone()), None);
        let answer = RestoredStreak::of(user, receipt).unwrap();
        let expected = json!({"user": "u42", "task": "sign-in", "period": "2026-03-28", "position": "3:7",
            "corrected_at": "2026-03-29T10:00:00Z", "current": 2, "longest": 5, "milestones": [2], "grants": []});
        assert_eq!(serde_json::to_value(answer).unwrap(), expected);
    }
}
