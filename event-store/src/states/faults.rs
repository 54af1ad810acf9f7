//! Users whose log can't be read, as far as this process has met them: for `/readyz`, for a metric,
//! and so that the log of such a user is not read for every batch.

use std::collections::BTreeMap;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use plaudit_domain::ids::UserId;
use plaudit_domain::lane::Lane;
use sqlx::PgPool;
use tokio::time::Instant;

use crate::error::ExecuteError;
use crate::pool::Borrowed;
use crate::reader;

/// The maximum number of users that are kept.
const USERS_MAX: usize = 10_000;

/// The maximum number of users that are named in warnings.
const NAMED_MAX: usize = 20;

/// The maximum number of users whose logs are read again at a time.
const CHECKED_MAX: usize = 20;

/// The maximum length of a reason, in characters.
const REASON_MAX: usize = 300;

/// For how long a log is not read again, unless it has grown.
const VALID_FOR: Duration = Duration::from_secs(60);

/// Users whose log can't be read, each with the reason.
#[derive(Debug, Default)]
pub struct UserFaults {
    users: Mutex<BTreeMap<(Lane, String), Fault>>,
}

#[derive(Debug)]
struct Fault {
    /// The last sequence of the log that was read.
    sequence: i64,
    reason: String,
    found_at: Instant,
    /// The last time at which [`UserFaults::next_to_check`] returned the user.
    checked_at: Option<Instant>,
}

impl UserFaults {
    /// Returns why the log of a user can't be read, if that was found lately and the log still ends
    /// with this sequence.
    pub(super) fn known(
        &self,
        lane: Lane,
        user: &str,
        sequence: i64,
        now: Instant,
    ) -> Option<String> {
        let users = self.lock();
        if users.is_empty() {
            return None;
        }
        let fault = users.get(&(lane, user.to_owned()))?;
        let age = now.saturating_duration_since(fault.found_at);
        let is_valid = fault.sequence == sequence && age < VALID_FOR;
        is_valid.then(|| fault.reason.clone())
    }

    /// Adds a user whose log, which ends with this sequence, can't be read. A full list takes no
    /// further users.
    pub fn note(&self, lane: Lane, user: &str, sequence: i64, reason: &str) {
        let mut users = self.lock();
        let key = (lane, user.to_owned());
        let known = users.get(&key);
        if known.is_none() {
            if users.len() >= USERS_MAX {
                return;
            }
            tracing::error!(%lane, user, reason, "the log of a user can't be read; nothing is decided for this user");
        }
        let checked_at = known.and_then(|known| known.checked_at);
        let reason = reason.chars().take(REASON_MAX).collect();
        users.insert(key, Fault { sequence, reason, found_at: Instant::now(), checked_at });
        count(users.len());
    }

    /// Removes a user whose log could be read.
    pub(super) fn resolve(&self, lane: Lane, user: &str) {
        let mut users = self.lock();
        if !users.is_empty() && users.remove(&(lane, user.to_owned())).is_some() {
            tracing::info!(%lane, user, "the log of a user can be read again");
            count(users.len());
        }
    }

    /// Reads the logs of some of the users again, so that those that were repaired are no longer
    /// named.
    pub(crate) async fn check(&self, pool: &PgPool) -> Result<(), ExecuteError> {
        for (lane, name) in self.next_to_check(CHECKED_MAX) {
            let Ok(user) = UserId::try_from(name) else { continue };
            let mut connection = Borrowed::from(pool).await?;
            match reader::fold_user(lane, &user, None, &mut connection).await {
                Ok(_) => self.resolve(lane, user.as_str()),
                Err(ExecuteError::Unreadable(_)) => {}
                Err(error) => return Err(error),
            }
            connection.give_back();
        }
        Ok(())
    }

    /// The users, at most `limit`, whose log was read longest ago for this purpose: it may be
    /// repaired by now.
    fn next_to_check(&self, limit: usize) -> Vec<(Lane, String)> {
        let mut users = self.lock();
        let mut by_age: Vec<_> = users.iter_mut().collect();
        by_age.sort_by_key(|(_, fault)| fault.checked_at);
        let next = by_age.into_iter().take(limit);
        next.map(|(key, fault)| {
            fault.checked_at = Some(Instant::now());
            key.clone()
        })
        .collect()
    }

    /// A sentence for each of the first users, and one for all others.
    pub fn warnings(&self) -> Vec<String> {
        let users = self.lock();
        let named = users.iter().take(NAMED_MAX).map(|((lane, user), fault)| {
            format!(
                "the log of user {user} in lane {lane} can't be read, so nothing is decided for this user: {}; `plaudit audit history` shows the event",
                fault.reason
            )
        });
        let mut warnings: Vec<String> = named.collect();
        if users.len() > NAMED_MAX {
            warnings.push(format!(
                "the logs of {}{} more users can't be read",
                if users.len() >= USERS_MAX { "at least " } else { "" },
                users.len() - NAMED_MAX
            ));
        }
        warnings
    }

    fn lock(&self) -> MutexGuard<'_, BTreeMap<(Lane, String), Fault>> {
        self.users.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn count(users: usize) {
    metrics::gauge!("plaudit_users_unreadable").set(u32::try_from(users).unwrap_or(u32::MAX));
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_fault_holds_for_a_while_and_only_while_the_log_is_the_same() {
        let faults = UserFaults::default();
        faults.note(Lane(1), "ann", 7, "event 7 of user ann: unknown");
        let now = Instant::now();
        assert!(faults.known(Lane(1), "ann", 7, now).is_some());
        assert_eq!(faults.known(Lane(1), "ann", 8, now), None, "it has grown");
        assert_eq!(faults.known(Lane(1), "bob", 7, now), None);
        assert_eq!(faults.known(Lane(1), "ann", 7, now + VALID_FOR), None, "it may be repaired");
        assert!(faults.warnings()[0].contains("user ann in lane 1"), "{:?}", faults.warnings());
        faults.resolve(Lane(1), "ann");
        assert_eq!(faults.warnings(), Vec::<String>::new());
    }

    #[test]
    fn the_number_of_users_has_a_bound_and_so_has_the_list_of_warnings() {
        let faults = UserFaults::default();
        for n in 0..USERS_MAX + 5 {
            faults.note(Lane(0), &format!("u{n}"), 1, "unknown");
        }
        assert_eq!(faults.lock().len(), USERS_MAX);
        let (first, beyond, now) = ("u0", format!("u{USERS_MAX}"), Instant::now());
        assert!(faults.known(Lane(0), first, 1, now).is_some(), "it is kept");
        assert_eq!(faults.known(Lane(0), &beyond, 1, now), None);
        assert_eq!(faults.warnings().len(), NAMED_MAX + 1);
    }

    #[test]
    fn every_user_is_checked_in_turn() {
        let faults = UserFaults::default();
        for user in ["a", "b", "c"] {
            faults.note(Lane(0), user, 1, "unknown");
        }
        let mut checked: Vec<_> = (0..3).flat_map(|_| faults.next_to_check(1)).collect();
        checked.sort();
        assert_eq!(checked, ["a", "b", "c"].map(|user| (Lane(0), user.to_owned())));
    }
}
