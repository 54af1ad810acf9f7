//! The rewards of a task, and the rules for claiming them.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};
use serde_json::Map;

use super::{BudgetUse, Meta};

/// An amount of progress, or a length of streak, that grants rewards.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Milestone {
    /// The progress, or the length of streak, that reaches the milestone; at least 1.
    pub at: i64,
    /// May be empty.
    #[serde(default)]
    pub rewards: Vec<RewardLine>,
    /// Shown with the milestone.
    #[serde(default, skip_serializing_if = "Map::is_empty")]
    pub meta: Meta,
}

/// One reward line of a milestone.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "StoredRewardLine", into = "StoredRewardLine")]
pub struct RewardLine {
    /// Names the line within its milestone. Part of the grant id.
    pub line: String,
    /// The payout, or the choice of payouts.
    pub pays: Rewards,
    /// The budget of a line with a fixed payout. Each choice of a rolled line has its own.
    pub budget: Option<BudgetUse>,
    /// The title on screens, by BCP 47 language tag; may be empty.
    pub title: BTreeMap<String, String>,
    /// Shown with the line.
    pub meta: Meta,
}

/// The payouts of a reward line.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Rewards {
    /// Always the same payout.
    Fixed(Payout),
    /// One of these, rolled once when the line is granted. At least one.
    OneOf(Vec<WeightedPayout>),
}

impl RewardLine {
    /// The payout, if nothing is left to chance.
    pub fn fixed(&self) -> Option<&Payout> {
        match &self.pays {
            Rewards::Fixed(payout) => Some(payout),
            Rewards::OneOf(_) => None,
        }
    }

    /// The budget that a payout of the line draws on.
    pub fn budget_of(&self, paid: &Payout) -> Option<&BudgetUse> {
        match &self.pays {
            Rewards::Fixed(payout) if payout == paid => self.budget.as_ref(),
            Rewards::Fixed(_) => None,
            Rewards::OneOf(choices) => {
                choices.iter().find(|choice| choice.payout == *paid)?.budget.as_ref()
            }
        }
    }

    /// Every budget that the line may draw on.
    pub fn budgets(&self) -> impl Iterator<Item = &BudgetUse> {
        let choices = match &self.pays {
            Rewards::Fixed(_) => &[][..],
            Rewards::OneOf(choices) => choices,
        };
        self.budget.iter().chain(choices.iter().filter_map(|choice| choice.budget.as_ref()))
    }

    /// Every payout that the line may grant.
    pub fn payouts(&self) -> Vec<&Payout> {
        match &self.pays {
            Rewards::Fixed(payout) => vec![payout],
            Rewards::OneOf(choices) => choices.iter().map(|choice| &choice.payout).collect(),
        }
    }
}

/// The payment that the payer is asked for.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Payout {
    /// For the payer, e.g. `currency`.
    pub kind: String,
    /// For the payer, e.g. `coin`.
    pub code: String,
    /// At least 1.
    pub amount: i64,
}

/// One choice of a rolled line.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct WeightedPayout {
    /// The weight of the choice: its share of the sum of all weights is its probability. At least
    /// 1.
    pub weight: i64,
    /// The payout of the choice.
    #[serde(flatten)]
    pub payout: Payout,
    /// The budget that the choice draws on.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub budget: Option<BudgetUse>,
}

/// A reward line as stored: either a payout, or a choice of several.
#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct StoredRewardLine {
    line: String,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    kind: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    code: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    amount: Option<i64>,
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    one_of: Vec<WeightedPayout>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    budget: Option<BudgetUse>,
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    title: BTreeMap<String, String>,
    #[serde(default, skip_serializing_if = "Map::is_empty")]
    meta: Meta,
}

impl TryFrom<StoredRewardLine> for RewardLine {
    type Error = InvalidRewardLine;

    fn try_from(stored: StoredRewardLine) -> Result<Self, Self::Error> {
        let StoredRewardLine { line, kind, code, amount, one_of, budget, title, meta } = stored;
        let pays = match (kind, code, amount) {
            (Some(kind), Some(code), Some(amount)) if one_of.is_empty() => {
                Rewards::Fixed(Payout { kind, code, amount })
            }
            (None, None, None) if !one_of.is_empty() => Rewards::OneOf(one_of),
            _ => return Err(InvalidRewardLine { line }),
        };
        Ok(Self { line, pays, budget, title, meta })
    }
}

impl From<RewardLine> for StoredRewardLine {
    fn from(RewardLine { line, pays, budget, title, meta }: RewardLine) -> Self {
        let (payout, one_of) = match pays {
            Rewards::Fixed(payout) => (Some(payout), Vec::new()),
            Rewards::OneOf(choices) => (None, choices),
        };
        let (kind, code, amount) = match payout {
            Some(Payout { kind, code, amount }) => (Some(kind), Some(code), Some(amount)),
            None => (None, None, None),
        };
        Self { line, kind, code, amount, one_of, budget, title, meta }
    }
}

/// A stored line that is neither a payout nor a choice of payouts.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("the reward line {line:?} has either kind, code and amount, or one_of")]
pub struct InvalidRewardLine {
    line: String,
}

/// The rules for claiming rewards.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Claim {
    /// Manual claims by the user, or automatic payment.
    #[serde(default)]
    pub mode: ClaimMode,
    /// Time for which a reward can be claimed after it was reached, in seconds; absent: for ever.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub expires_after_seconds: Option<i64>,
    /// The fate of an unclaimed reward when its period ends.
    #[serde(default, skip_serializing_if = "AtPeriodEnd::is_keep")]
    pub at_period_end: AtPeriodEnd,
}

/// The fate of an unclaimed reward when its period ends.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum AtPeriodEnd {
    /// It stays claimable until it expires.
    #[default]
    Keep,
    /// It is granted.
    Grant,
    /// It is lost.
    Forfeit,
}

impl AtPeriodEnd {
    #[expect(clippy::trivially_copy_pass_by_ref, reason = "serde calls it by reference")]
    fn is_keep(&self) -> bool {
        *self == Self::Keep
    }
}

/// The way in which the payment of a reward starts.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum ClaimMode {
    /// The user claims the reward.
    #[default]
    Manual,
    /// Reaching the milestone starts the payment.
    Automatic,
}
