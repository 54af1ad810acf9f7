//! What must be true in the end, worked out from the produced records alone.
//!
//! It shares no code with the rules of plaudit: a user's records are folded in the order of their
//! partition into plain books, and what a screen must show *at a moment* is read off them. So a
//! comparison may happen at any time, also after a midnight of some zone: the screen's own moment
//! decides, and the period's key is compared with everything else.

mod screen;
mod timeline;
mod user;

use std::collections::BTreeMap;

use uuid::Uuid;

pub use screen::{Claimed, expected_screen};
pub use user::{Met, UserBook};

use super::action::{Action, user_name};
use super::tasks::Reward;

/// What the grant ids of plaudit are derived in.
const GRANTS: Uuid = Uuid::from_u128(0x3038_9424_25e7_54ea_a9ab_a6d9_4d9c_68b8);

/// All users, by number.
pub type Books = BTreeMap<u32, UserBook>;

/// A reward line that was earned.
#[derive(Debug, Clone)]
pub struct Grant {
    /// Its id.
    pub id: Uuid,
    /// Who earned it.
    pub user: u32,
    /// With which task.
    pub task: &'static str,
    /// In which period.
    pub period: String,
    /// With which milestone.
    pub milestone: i64,
    /// What it is.
    pub reward: &'static Reward,
    /// When it was earned.
    pub reached_at: jiff::Timestamp,
    /// With which of the user's actions, counted in the order of the log.
    pub reached_by: u64,
    /// Whether it is paid without a claim.
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

/// What the rules decided, over all users.
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

/// Everything that a user has earned.
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

/// The id of a grant, as payers know it.
pub fn grant_id(user: &str, task: &str, period: &str, milestone: i64, line: &str) -> Uuid {
    let name = [user, task, period, &milestone.to_string(), line].join("\u{1f}");
    Uuid::new_v5(&GRANTS, name.as_bytes())
}
