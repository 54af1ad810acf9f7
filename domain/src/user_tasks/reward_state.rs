//! The states of a reward line, and every transition between them. docs/rewards.md draws them; a
//! test compares the drawing with [`RewardState::after`].

use std::str::FromStr;

use serde::{Deserialize, Serialize};

use crate::catalogue::definition::ClaimMode;

/// The state of a reward line.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum RewardState {
    /// The user may claim it.
    Claimable,
    /// Claimed, or granted without a claim; not yet handed to the payer.
    Claimed,
    /// Handed to the payer.
    Delivering,
    /// Paid, as the payer has confirmed.
    Delivered,
    /// Not paid. An operator may have it handed to the payer again.
    Failed,
    /// Not claimed in time.
    Expired,
    /// Not claimed by the end of its period.
    Forfeited,
    /// Taken back by an operator before it was delivered.
    Revoked,
    /// Reached, and granted once its budget holds it.
    Waiting,
    /// Reached, and not granted, because its budget was used up.
    Refused,
}

/// A change of a reward line that was granted, or that waits for its budget.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum RewardTransition {
    /// The user claims it.
    Claim,
    /// It was not claimed in time.
    Expire,
    /// It was not claimed by the end of its period, and is lost.
    Forfeit,
    /// It was not claimed by the end of its period, and is granted.
    GrantAtPeriodEnd,
    /// It waited for its budget, which holds it now.
    GrantFromBudget,
    /// It is handed to the payer.
    HandOver,
    /// The payer confirms that it has paid.
    Confirm,
    /// The payer refuses, or can't be reached or does not confirm in time.
    Fail,
    /// An operator has it handed to the payer again.
    Redeliver {
        /// True if a reward that was paid is sent again as well, because its payer forgot it.
        even_if_delivered: bool,
    },
    /// An operator takes it back.
    Revoke,
}

impl RewardState {
    /// Every state.
    pub const ALL: [Self; 10] = [
        Self::Claimable,
        Self::Claimed,
        Self::Delivering,
        Self::Delivered,
        Self::Failed,
        Self::Expired,
        Self::Forfeited,
        Self::Revoked,
        Self::Waiting,
        Self::Refused,
    ];

    /// The name as stored and shown.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Claimable => "claimable",
            Self::Claimed => "claimed",
            Self::Delivering => "delivering",
            Self::Delivered => "delivered",
            Self::Failed => "failed",
            Self::Expired => "expired",
            Self::Forfeited => "forfeited",
            Self::Revoked => "revoked",
            Self::Waiting => "waiting",
            Self::Refused => "refused",
        }
    }

    /// The state of a reward when it is granted.
    pub fn granted(mode: ClaimMode) -> Self {
        match mode {
            ClaimMode::Manual => Self::Claimable,
            ClaimMode::Automatic => Self::Claimed,
        }
    }

    /// The state after a transition.
    ///
    /// # Errors
    ///
    /// The reason why the state does not allow it, for people.
    pub fn after(self, transition: RewardTransition) -> Result<Self, &'static str> {
        use RewardTransition as T;
        let from = match transition {
            T::Claim | T::Expire | T::Forfeit | T::GrantAtPeriodEnd => Self::Claimable,
            T::GrantFromBudget => Self::Waiting,
            T::HandOver => Self::Claimed,
            T::Confirm => return self.settled(true),
            T::Fail => return self.settled(false),
            T::Redeliver { even_if_delivered } => return self.redelivered(even_if_delivered),
            T::Revoke => return self.revoked(),
        };
        if self == from { Ok(transition.target()) } else { Err("its state does not allow it") }
    }

    /// The state after a payer's answer. A delivery is final. A failure is not: the payer may have
    /// answered late.
    fn settled(self, delivered: bool) -> Result<Self, &'static str> {
        match (self, delivered) {
            (Self::Claimed | Self::Delivering | Self::Failed, true) => Ok(Self::Delivered),
            (Self::Claimed | Self::Delivering, false) => Ok(Self::Failed),
            (Self::Claimable, _) => Err("the reward is not claimed, and was not handed over"),
            (Self::Waiting, _) => Err("the reward waits for its budget, and was not handed over"),
            (Self::Refused, _) => Err("the reward's budget was used up: it was not granted"),
            (Self::Delivered, true) => Err("the reward was said to be delivered before"),
            (Self::Delivered, false) => Err("the reward was delivered, which is final"),
            (Self::Failed, false) => Err("the reward has failed before"),
            (Self::Expired | Self::Forfeited, _) => {
                Err("the reward was not claimed in time, and was not handed over")
            }
            (Self::Revoked, _) => Err("the reward was revoked, which is final"),
        }
    }

    /// The state after an operator's request to hand it over again. One that is under way, or was
    /// paid, keeps its state: the payer may know of it, so it can't be revoked meanwhile.
    fn redelivered(self, even_if_delivered: bool) -> Result<Self, &'static str> {
        match self {
            Self::Claimed | Self::Failed => Ok(Self::Claimed),
            Self::Delivering => Ok(self),
            Self::Delivered if even_if_delivered => Ok(self),
            Self::Delivered => Err("it is paid, which is final"),
            Self::Claimable
            | Self::Waiting
            | Self::Refused
            | Self::Expired
            | Self::Forfeited
            | Self::Revoked => Err("it is not claimed"),
        }
    }

    /// The state after an operator has taken it back. The error also says what to do instead.
    fn revoked(self) -> Result<Self, &'static str> {
        match self {
            Self::Claimable | Self::Waiting | Self::Claimed | Self::Failed => Ok(Self::Revoked),
            Self::Delivering => Err(
                "it was handed to the paying system, which may have paid it; once it has failed, it can be \
                 revoked",
            ),
            Self::Delivered => Err("it is paid, which is final"),
            Self::Expired | Self::Forfeited => Err("it was not claimed in time"),
            Self::Refused => Err("it was never granted, because its budget was used up"),
            Self::Revoked => Err("that was done before"),
        }
    }
}

impl RewardTransition {
    /// The state that it leads to, wherever it begins; a reward that is sent again while it is under
    /// way, or although it was paid, keeps its state instead.
    pub fn target(self) -> RewardState {
        match self {
            Self::Claim
            | Self::GrantAtPeriodEnd
            | Self::GrantFromBudget
            | Self::Redeliver { .. } => RewardState::Claimed,
            Self::Expire => RewardState::Expired,
            Self::Forfeit => RewardState::Forfeited,
            Self::HandOver => RewardState::Delivering,
            Self::Confirm => RewardState::Delivered,
            Self::Fail => RewardState::Failed,
            Self::Revoke => RewardState::Revoked,
        }
    }
}

impl FromStr for RewardState {
    type Err = UnknownRewardState;

    fn from_str(got: &str) -> Result<Self, UnknownRewardState> {
        Self::ALL.into_iter().find(|state| state.as_str() == got).ok_or(UnknownRewardState)
    }
}

/// The error for a text that is not a [`RewardState`].
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("expected one of {}", RewardState::ALL.map(RewardState::as_str).join(", "))]
pub struct UnknownRewardState;

#[cfg(test)]
mod tests;
