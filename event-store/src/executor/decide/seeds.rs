//! The seeds of random rewards.

use plaudit_domain::action::Action;
use plaudit_domain::ids::{TaskId, UserId};
use plaudit_domain::user_tasks::Seed;
use uuid::Uuid;

/// The seeds of a batch. Its items have the same ones in every attempt, so that a reward is rolled
/// once, even if the first attempt finds a budget used up.
#[derive(Debug, Clone, Copy)]
pub struct Seeds(Uuid);

impl Seeds {
    /// Seeds that nobody can predict.
    pub fn random() -> Self {
        Self(Uuid::new_v4())
    }

    /// The seed of an action.
    pub fn of_action(self, action: &Action) -> Seed {
        self.of(&[action.identity().as_bytes()])
    }

    /// The seed of a past action that a task counts.
    pub fn of_past(self, action: &Action, task: &TaskId) -> Seed {
        self.of(&[action.identity().as_bytes(), task.as_str().as_bytes()])
    }

    /// The seed of the rewards that a backfill holds for a user.
    pub fn of_release(self, user: &UserId, task: &TaskId) -> Seed {
        self.of(&[user.as_str().as_bytes(), b"\x1f", task.as_str().as_bytes()])
    }

    fn of(self, parts: &[&[u8]]) -> Seed {
        Seed(Uuid::new_v5(&self.0, &parts.concat()).as_u64_pair().0)
    }
}

#[cfg(test)]
mod tests {
    use plaudit_domain::action::Parts;

    use super::*;

    /// Rule 15.
    #[test]
    fn an_action_has_the_same_seed_in_every_attempt_at_its_batch() {
        let action = |id| {
            let (source, kind, time) = ("/test", "gift.sent", "2026-03-29T12:00:00Z");
            let data = serde_json::Map::new();
            Action::new(Parts { user: "ann", source, id, kind, time, data }).expect("an action")
        };
        let (seeds, task) = (Seeds::random(), "gifts".parse().expect("a task id"));
        assert_eq!(seeds.of_action(&action("1")), seeds.of_action(&action("1")));
        assert_ne!(seeds.of_action(&action("1")), seeds.of_action(&action("2")));
        assert_ne!(seeds.of_action(&action("1")), seeds.of_past(&action("1"), &task));
        assert_ne!(seeds.of_action(&action("1")), Seeds::random().of_action(&action("1")));
    }
}
