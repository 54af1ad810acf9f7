//! Health of a follower: for `/readyz`, for the log, and for warnings.

use std::collections::{BTreeMap, BTreeSet};
use std::hash::{DefaultHasher, Hash as _, Hasher as _};
use std::sync::{Mutex, MutexGuard};
use std::time::{Duration, Instant};

use plaudit_domain::lane::Lane;

/// A follower that made no progress for this long makes its process unready.
pub const UNREADY_AFTER: Duration = Duration::from_secs(6);

/// Maximum number of users with unreadable events that are named.
pub const USERS_NAMED_MAX: usize = 20;

/// Maximum number of users with unreadable events that are counted. Of those that are not named
/// only a hash is kept.
pub const USERS_COUNTED_MAX: usize = 10_000;

/// The state of a follower in this process.
#[derive(Debug)]
pub struct FollowerHealth {
    follower: &'static str,
    state: Mutex<State>,
}

#[derive(Debug, Default)]
struct State {
    problems: BTreeMap<Subject, Problem>,
    /// Start of the current round; `None` between rounds.
    round_since: Option<Instant>,
    /// The first [`USERS_NAMED_MAX`] users with unreadable events, each with the reason.
    users: BTreeMap<(Lane, String), String>,
    /// Hashes of further users, so that each counts once; at most [`USERS_COUNTED_MAX`] with the
    /// named ones.
    unnamed: BTreeSet<(Lane, u64)>,
}

impl State {
    fn count_unreadable(&self, follower: &'static str) {
        let count = self.users.len() + self.unnamed.len();
        metrics::gauge!("plaudit_follower_users_unreadable", "follower" => follower)
            .set(u32::try_from(count).unwrap_or(u32::MAX));
    }
}

#[derive(Debug)]
struct Problem {
    text: String,
    since: Instant,
}

/// The subject of a problem; each has at most one problem.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub enum Subject {
    /// The task of the follower ended unexpectedly.
    Task,
    /// The leases can't be renewed.
    Lease,
    /// No lane makes progress.
    Round,
    /// A part of the follower, by its name, makes no progress.
    Part(&'static str),
    /// A problem that stops no work yet, by its name.
    Notice(&'static str),
    /// A delivery channel, by its name, makes no progress; the others do.
    Channel(String),
    /// One lane makes no progress.
    Lane(Lane),
    /// The work for a user can't be stored.
    User(Lane, String),
}

impl Subject {
    /// True if no user's work gets done.
    fn is_blocking(&self) -> bool {
        matches!(self, Self::Task | Self::Lease | Self::Round | Self::Part(_))
    }
}

impl FollowerHealth {
    /// Health of a follower that has not started yet.
    pub fn new(follower: &'static str) -> Self {
        Self { follower, state: Mutex::default() }
    }

    /// Fails if the follower makes no progress, with the problem and its duration. Problems of
    /// single lanes or users, and those that stop no work yet, are among the [`Self::warnings`]
    /// only.
    pub fn ready(&self) -> Result<(), String> {
        self.ready_at(Instant::now())
    }

    fn ready_at(&self, now: Instant) -> Result<(), String> {
        let state = self.lock();
        for (subject, problem) in &state.problems {
            let seconds = now.saturating_duration_since(problem.since).as_secs();
            if *subject == Subject::Task {
                return Err(problem.text.clone());
            }
            if subject.is_blocking() && seconds >= UNREADY_AFTER.as_secs() {
                return Err(format!("{} (for {seconds} s)", problem.text));
            }
        }
        match state.round_since.map(|since| now.saturating_duration_since(since)) {
            Some(lasted) if lasted >= UNREADY_AFTER => Err(format!(
                "{} has been waiting for the database or the broker for {} s",
                self.follower,
                lasted.as_secs()
            )),
            _ => Ok(()),
        }
    }

    /// Everything that is wrong, one sentence each. The length of the list is bounded by the number
    /// of lanes and [`USERS_NAMED_MAX`].
    pub fn warnings(&self) -> Vec<String> {
        let state = self.lock();
        let mut warnings: Vec<String> = state.problems.values().map(|p| p.text.clone()).collect();
        warnings.extend(state.users.iter().map(|((lane, user), reason)| {
            format!(
                "{} skips what it can't read of user {user} in lane {lane}: {reason}",
                self.follower
            )
        }));
        if !state.unnamed.is_empty() {
            let is_full = state.users.len() + state.unnamed.len() >= USERS_COUNTED_MAX;
            warnings.push(format!(
                "{} also skips events of {}{} more users; the table `follower_skipped` names them",
                self.follower,
                if is_full { "at least " } else { "" },
                state.unnamed.len()
            ));
        }
        warnings
    }

    /// Stores a problem, and logs it if it or its text is new.
    pub fn report(&self, about: Subject, text: String) {
        let mut state = self.lock();
        if matches!(about, Subject::User(..)) && !state.problems.contains_key(&about) {
            let of_users = |s: &&Subject| matches!(s, Subject::User(..));
            if state.problems.keys().filter(of_users).count() >= USERS_NAMED_MAX {
                tracing::error!("{text}");
                return;
            }
        }
        let known = state.problems.get(&about);
        if known.is_none_or(|known| known.text != text) {
            tracing::error!("{text}");
        }
        let since = known.map_or_else(Instant::now, |known| known.since);
        state.problems.insert(about, Problem { text, since });
    }

    /// Removes a problem, and logs that if there was one.
    pub fn resolve(&self, about: &Subject) {
        if let Some(problem) = self.lock().problems.remove(about) {
            tracing::info!("no longer: {}", problem.text);
        }
    }

    /// Adds a user with an event that can't be read.
    pub fn user_unreadable(&self, lane: Lane, user: &str, reason: &str) {
        let mut state = self.lock();
        let key = (lane, user.to_owned());
        if state.users.contains_key(&key) {
            return;
        }
        let hashed = (lane, hash_of(user));
        if state.users.len() < USERS_NAMED_MAX {
            state.users.insert(key, reason.to_owned());
            state.unnamed.remove(&hashed);
        } else if state.unnamed.contains(&hashed) {
            return;
        } else if state.users.len() + state.unnamed.len() < USERS_COUNTED_MAX {
            state.unnamed.insert(hashed);
        }
        tracing::error!(follower = self.follower, %lane, user, reason, "an event can't be read and is skipped");
        state.count_unreadable(self.follower);
    }

    /// Forgets the users and problems of lanes that another process follows now.
    pub(crate) fn forget_lanes(&self, kept: impl Fn(Lane) -> bool) {
        let mut state = self.lock();
        state.users.retain(|(lane, _), _| kept(*lane));
        state.unnamed.retain(|(lane, _)| kept(*lane));
        state.count_unreadable(self.follower);
        state.problems.retain(|subject, _| match subject {
            Subject::Lane(lane) | Subject::User(lane, _) => kept(*lane),
            _ => true,
        });
    }

    /// Forgets the problems of channels that another process sends for now.
    pub fn forget_channels(&self, kept: impl Fn(&str) -> bool) {
        self.lock().problems.retain(|subject, _| match subject {
            Subject::Channel(name) => kept(name),
            _ => true,
        });
    }

    pub(crate) fn round_begins(&self) {
        self.lock().round_since = Some(Instant::now());
    }

    pub(crate) fn round_ends(&self) {
        self.lock().round_since = None;
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().expect("nothing panics while it holds the lock")
    }
}

fn hash_of(user: &str) -> u64 {
    let mut hasher = DefaultHasher::new();
    user.hash(&mut hasher);
    hasher.finish()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rule_23_a_follower_that_gets_nothing_done_says_so_and_lanes_never_make_it_unready() {
        let health = FollowerHealth::new("delivery");
        let later = Instant::now() + UNREADY_AFTER * 2;
        health.report(Subject::Lane(Lane(3)), "lane 3".to_owned());
        health.report(Subject::Notice("topic"), "the topic r does not exist".to_owned());
        assert_eq!(health.ready_at(later), Ok(()));
        health.report(Subject::Round, "nothing gets on".to_owned());
        assert_eq!(health.ready(), Ok(()), "not at once: it is tried again");
        let reason = health.ready_at(later).unwrap_err();
        assert!(reason.contains("nothing gets on (for 1"), "{reason}");
        assert_eq!(health.warnings(), ["nothing gets on", "the topic r does not exist", "lane 3"]);
        health.resolve(&Subject::Round);
        assert_eq!(health.ready_at(later), Ok(()));
        health.round_begins();
        assert!(health.ready_at(later).unwrap_err().contains("has been waiting"));
        health.round_ends();
        health.report(Subject::Task, "it has panicked".to_owned());
        assert_eq!(health.ready(), Err("it has panicked".to_owned()));
    }

    #[test]
    fn a_problem_that_changes_its_words_is_as_old_as_before() {
        let health = FollowerHealth::new("delivery");
        health.report(Subject::Round, "one".to_owned());
        let since = health.lock().problems[&Subject::Round].since;
        health.report(Subject::Round, "two".to_owned());
        assert_eq!(health.lock().problems[&Subject::Round].since, since);
    }

    #[test]
    fn further_users_are_counted_once_each_and_forgotten_with_their_lanes() {
        let health = FollowerHealth::new("delivery");
        for n in 0..USERS_NAMED_MAX + 5 {
            for event in ["event 1", "event 2"] {
                let lane = Lane(i16::from(n >= USERS_NAMED_MAX));
                health.user_unreadable(lane, &format!("u{n:03}"), event);
            }
        }
        let warnings = health.warnings();
        assert_eq!(warnings.len(), USERS_NAMED_MAX + 1);
        assert!(warnings.last().unwrap().contains("of 5 more users"), "{warnings:?}");
        health.forget_lanes(|lane| lane == Lane(0));
        assert_eq!(health.warnings().len(), USERS_NAMED_MAX);
        health.forget_lanes(|_| false);
        assert_eq!(health.warnings(), Vec::<String>::new());
    }

    #[test]
    fn no_more_users_are_kept_than_the_bound() {
        let health = FollowerHealth::new("delivery");
        for n in 0..USERS_COUNTED_MAX + 5 {
            health.user_unreadable(Lane(0), &format!("u{n}"), "event 1");
        }
        let state = health.lock();
        assert_eq!(state.users.len() + state.unnamed.len(), USERS_COUNTED_MAX);
    }
}
