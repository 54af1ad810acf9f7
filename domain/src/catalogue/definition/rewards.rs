//! What a task grants, and how it changes hands.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};
use serde_json::Map;

use super::{BudgetUse, Meta};

/// A mark on the way, with what is granted there.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Milestone {
    /// The progress, or the length of streak, that reaches it; at least 1.
    pub at: i64,
    /// May be empty.
    #[serde(default)]
    pub rewards: Vec<RewardLine>,
    /// Shown with the milestone.
    #[serde(default, skip_serializing_if = "Map::is_empty")]
    pub meta: Meta,
}

/// One line of reward.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "StoredRewardLine", into = "StoredRewardLine")]
pub struct RewardLine {
    /// Names the line within its milestone. Part of the grant id.
    pub line: String,
    /// What it pays.
    pub pays: Rewards,
    /// The budget of a line that always pays the same. Each choice of a rolled line has its own.
    pub budget: Option<BudgetUse>,
    /// What a screen calls it, by BCP 47 language tag; may be empty.
    pub title: BTreeMap<String, String>,
    /// Shown with the line.
    pub meta: Meta,
}

/// What a line pays.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Rewards {
    /// Always the same.
    Fixed(Payout),
    /// One of these, rolled once when it is granted. At least two.
    OneOf(Vec<WeightedPayout>),
}

impl RewardLine {
    /// What the line pays if nothing is left to chance.
    pub fn fixed(&self) -> Option<&Payout> {
        match &self.pays {
            Rewards::Fixed(payout) => Some(payout),
            Rewards::OneOf(_) => None,
        }
    }

    /// The budget that a payout of the line takes from.
    pub fn budget_of(&self, paid: &Payout) -> Option<&BudgetUse> {
        match &self.pays {
            Rewards::Fixed(payout) if payout == paid => self.budget.as_ref(),
            Rewards::Fixed(_) => None,
            Rewards::OneOf(choices) => {
                choices.iter().find(|choice| choice.payout == *paid)?.budget.as_ref()
            }
        }
    }

    /// Every budget that the line may take from.
    pub fn budgets(&self) -> impl Iterator<Item = &BudgetUse> {
        let choices = match &self.pays {
            Rewards::Fixed(_) => &[][..],
            Rewards::OneOf(choices) => choices,
        };
        self.budget.iter().chain(choices.iter().filter_map(|choice| choice.budget.as_ref()))
    }

    /// Everything that the line may pay.
    pub fn payouts(&self) -> Vec<&Payout> {
        match &self.pays {
            Rewards::Fixed(payout) => vec![payout],
            Rewards::OneOf(choices) => choices.iter().map(|choice| &choice.payout).collect(),
        }
    }
}

/// What the payer is told to pay.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Payout {
    /// For the payer, e.g. `currency`.
    pub kind: String,
    /// For the payer, e.g. `coin`.
    pub code: String,
    /// At least 1.
    pub amount: i64,
}

/// One possibility of a line that is rolled.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct WeightedPayout {
    /// How likely it is: its share of the sum of all weights. At least 1.
    pub weight: i64,
    /// What it pays.
    #[serde(flatten)]
    pub payout: Payout,
    /// The budget that it draws on.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub budget: Option<BudgetUse>,
}

/// A line as stored: either a payout or a choice of several.
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

/// Why a stored line can't be read.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("the reward line {line:?} has either kind, code and amount, or one_of")]
pub struct InvalidRewardLine {
    line: String,
}

/// How rewards change hands.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Claim {
    /// Who starts it.
    #[serde(default)]
    pub mode: ClaimMode,
    /// How long after it was reached a reward can be claimed, in seconds; absent: for ever.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub expires_after_seconds: Option<i64>,
    /// What becomes of an unclaimed reward when its period ends.
    #[serde(default, skip_serializing_if = "AtPeriodEnd::is_keep")]
    pub at_period_end: AtPeriodEnd,
}

/// What becomes of an unclaimed reward when its period ends.
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

/// Who starts the payment of a reward.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum ClaimMode {
    /// The user.
    #[default]
    Manual,
    /// Reaching the milestone.
    Automatic,
}
