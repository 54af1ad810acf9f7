//! The expected results, computed from the produced records alone.
//!
//! The oracle shares no code with plaudit's rules. It folds a user's records in the order of their
//! partition into plain books, and derives from them what a screen must show *at a given moment*. A
//! comparison may therefore happen at any time, even after a midnight in some zone: the moment of
//! the read decides, and the period's key is compared like everything else.

mod screen;
mod timeline;
mod user;

use std::collections::BTreeMap;

use uuid::Uuid;

pub use screen::{Claimed, expected_screen};
pub use user::{Met, UserBook};

use super::action::{Action, user_name};
use super::tasks::Reward;

/// The namespace of plaudit's grant ids.
const GRANTS: Uuid = Uuid::from_u128(0x3038_9424_25e7_54ea_a9ab_a6d9_4d9c_68b8);

/// The books of all users, by number.
pub type Books = BTreeMap<u32, UserBook>;

/// A reward line that was earned.
#[derive(Debug, Clone)]
pub struct Grant {
    /// The id of the grant.
    pub id: Uuid,
    /// The user who earned it.
    pub user: u32,
    /// The task of the reward.
    pub task: &'static str,
    /// The key of the period.
    pub period: String,
    /// The milestone.
    pub milestone: i64,
    /// The reward line.
    pub reward: &'static Reward,
    /// Time at which the milestone was reached.
    pub reached_at: jiff::Timestamp,
    /// The number of the action that reached it, counted over the user's actions in the order of
    /// the log.
    pub reached_by: u64,
    /// True if it is paid without a claim.
    pub automatic: bool,
}

/// Folds actions that are in the order of their partitions.
pub fn fold<'a>(actions: impl Iterator<Item = &'a Action>) -> Books {
    let mut books = Books::new();
    for action in actions {
        books.entry(action.user).or_default().apply(action);
    }
    books
}

/// Adds up the decisions of the rules over all users.
pub fn met(books: &Books) -> Met {
    let mut sum = Met::default();
    for Met { duplicates, too_late, locked, held, zones, broken, cycles } in
        books.values().map(|book| book.met)
    {
        sum.duplicates += duplicates;
        sum.too_late += too_late;
        sum.locked += locked;
        sum.held += held;
        sum.zones += zones;
        sum.broken += broken;
        sum.cycles += cycles;
    }
    sum
}

/// Returns everything that a user has earned.
pub fn grants(user: u32, book: &UserBook) -> Vec<Grant> {
    let mut grants = Vec::new();
    for task in &book.tasks {
        for (period, turn) in &task.turns {
            for (at, reached_at) in &turn.reached {
                let rewards = task.task.milestone(*at).map_or(&[][..], |m| m.rewards);
                grants.extend(rewards.iter().map(|reward| Grant {
                    id: grant_id(&user_name(user), task.task.id, period, *at, reward.line),
                    user,
                    task: task.task.id,
                    period: period.clone(),
                    milestone: *at,
                    reward,
                    reached_at: *reached_at,
                    reached_by: turn.reached_by.get(at).copied().unwrap_or_default(),
                    automatic: task.task.automatic,
                }));
            }
        }
    }
    grants
}

/// Returns the id of a grant, as payers see it.
pub fn grant_id(user: &str, task: &str, period: &str, milestone: i64, line: &str) -> Uuid {
    let name = [user, task, period, &milestone.to_string(), line].join("\u{1f}");
    Uuid::new_v5(&GRANTS, name.as_bytes())
}
