//! Users whom the sweeper leaves out for a while.

use std::collections::BTreeMap;
use std::time::Duration;

use plaudit_domain::ids::UserId;
use tokio::time::Instant;

/// The maximum number of users left out.
const USERS_MAX: usize = 10_000;

/// For how long a user is left out of whom nothing can be decided.
const AFTER_FAILURE: Duration = Duration::from_secs(300);

/// For how long a user is left out for whom something was due, but nothing could be recorded:
/// another process was faster, or rows are damaged.
const WITHOUT_EFFECT: Duration = Duration::from_secs(10);

/// Users who would be due again at once. A sweep takes only the first rows of each lane, so a few
/// such users would keep all others of their lane waiting.
#[derive(Default)]
pub(super) struct SkippedUsers {
    until: BTreeMap<UserId, Instant>,
}

impl SkippedUsers {
    /// The users to leave out of this sweep.
    pub fn names(&mut self, now: Instant) -> Vec<String> {
        self.until.retain(|_, until| *until > now);
        self.until.keys().map(ToString::to_string).collect()
    }

    pub fn contains(&self, user: &UserId) -> bool {
        self.until.contains_key(user)
    }

    /// Leaves out a user of whom nothing can be decided. Returns false if there is no room.
    pub fn add_failed(&mut self, user: UserId, now: Instant) -> bool {
        self.add(user, now + AFTER_FAILURE)
    }

    /// Leaves out a user for whom nothing could be recorded. Returns false if there is no room.
    pub fn add_without_effect(&mut self, user: UserId, now: Instant) -> bool {
        self.add(user, now + WITHOUT_EFFECT)
    }

    fn add(&mut self, user: UserId, until: Instant) -> bool {
        let has_room = self.until.len() < USERS_MAX || self.until.contains_key(&user);
        if has_room {
            self.until.insert(user, until);
        }
        has_room
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn users_are_left_out_for_a_while_and_their_number_has_a_bound() {
        let (mut skipped, now) = (SkippedUsers::default(), Instant::now());
        let user = |n: usize| UserId::try_from(format!("u{n}")).expect("a user id");
        assert!(skipped.add_without_effect(user(0), now));
        assert!((1..USERS_MAX).all(|n| skipped.add_failed(user(n), now)));
        assert!(!skipped.add_failed(user(USERS_MAX), now));
        assert_eq!(skipped.names(now).len(), USERS_MAX);
        assert_eq!(skipped.names(now + WITHOUT_EFFECT).len(), USERS_MAX - 1);
        assert!(!skipped.contains(&user(0)) && skipped.contains(&user(1)));
        assert!(skipped.add_failed(user(USERS_MAX), now));
        assert_eq!(skipped.names(now + AFTER_FAILURE), Vec::<String>::new());
    }
}
