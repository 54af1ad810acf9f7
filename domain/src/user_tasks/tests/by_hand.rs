//! Corrections by an operator, for all tests.

use super::*;
use crate::user_tasks::correction::{Change, Correction};

pub fn corrects(change: Change, when: &str) -> Command {
    let (by, reason) = ("ops".to_owned(), "support case 7".to_owned());
    Command::ByHand(HandCommand::Correct(Correction {
        user: user(),
        change,
        by,
        reason,
        at: at(when),
        seed: Seed(1),
    }))
}
