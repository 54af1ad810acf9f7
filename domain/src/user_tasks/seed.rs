//! Chance comes from outside: the domain draws no random numbers.

use uuid::Uuid;

use crate::catalogue::definition::{Payout, RewardLine, Rewards};

/// A random number that comes with a command. Everything that the command leaves to chance follows
/// from it, so that the rules stay pure functions. If a command is decided again because its first
/// decision was not stored, it may come with another seed.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Seed(pub u64);

impl Seed {
    /// Returns the payout of a line. A line with several draws one of them by weight, independently
    /// of other lines.
    pub fn payout(self, line: &RewardLine, grant: Uuid) -> &Payout {
        let choices = match &line.pays {
            Rewards::Fixed(payout) => return payout,
            Rewards::OneOf(choices) => choices,
        };
        let weight = |weight: i64| u128::try_from(weight).unwrap_or_default();
        let total: u128 = choices.iter().map(|choice| weight(choice.weight)).sum();
        // 122 bits of a hash: the bias of the remainder is far below anything that can be observed.
        let mut left = Uuid::new_v5(&grant, &self.0.to_be_bytes()).as_u128() % total.max(1);
        for choice in choices {
            match left.checked_sub(weight(choice.weight)) {
                None => return &choice.payout,
                Some(rest) => left = rest,
            }
        }
        &choices.last().expect("a line that is rolled has choices").payout
    }
}
