//! How delivering goes: for `/readyz`, for the log, and for whoever asks.

use std::collections::BTreeMap;
use std::sync::{Mutex, MutexGuard};

use plaudit_domain::lane::Lane;

/// The state of delivering.
#[derive(Debug, Default)]
pub struct DeliveryHealth(Mutex<BTreeMap<Subject, String>>);

/// What a problem is about: there is at most one of each.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Subject {
    /// The task that delivers has ended unasked.
    Task,
    /// Nothing can be delivered at the moment.
    Round,
    /// Nothing of this lane can.
    Lane(Lane),
}

impl DeliveryHealth {
    /// Whether somebody delivers. A missing topic or a broker that is away is waited for, and does
    /// not keep anybody from being served: for that see [`Self::problems`].
    pub fn ready(&self) -> Result<(), String> {
        self.lock().get(&Subject::Task).map_or(Ok(()), |problem| Err(problem.clone()))
    }

    /// Everything that is wrong, one sentence each.
    pub fn problems(&self) -> Vec<String> {
        self.lock().values().cloned().collect()
    }

    /// Notes what is wrong, and logs it if that is news.
    pub(crate) fn report(&self, about: Subject, problem: String) {
        let mut problems = self.lock();
        if problems.get(&about) != Some(&problem) {
            tracing::error!("{problem}");
            problems.insert(about, problem);
        }
    }

    /// Notes that something is right, and logs it if it was wrong before.
    pub(crate) fn resolve(&self, about: Subject) {
        if let Some(problem) = self.lock().remove(&about) {
            tracing::info!("no longer: {problem}");
        }
    }

    fn lock(&self) -> MutexGuard<'_, BTreeMap<Subject, String>> {
        self.0.lock().expect("nothing panics while it holds the lock")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_a_task_that_is_gone_makes_a_process_unready() {
        let health = DeliveryHealth::default();
        health.report(Subject::Round, "the topic r does not exist".to_owned());
        health.report(Subject::Lane(Lane(3)), "lane 3".to_owned());
        assert_eq!(health.ready(), Ok(()));
        assert_eq!(health.problems(), ["the topic r does not exist", "lane 3"]);
        health.report(Subject::Task, "it has panicked".to_owned());
        assert_eq!(health.ready(), Err("it has panicked".to_owned()));
        health.resolve(Subject::Task);
        assert_eq!(health.ready(), Ok(()));
    }
}
