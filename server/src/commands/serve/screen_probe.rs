//! Checks that task screens can be read, as clients read them: a simpler query may succeed while
//! they fail.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use plaudit_domain::ids::UserId;
use plaudit_domain::lane::{Lane, LaneCount};
use plaudit_projections::task_view::BatchingLoader;
use tokio_util::sync::CancellationToken;

/// Pause between two reads.
const EVERY: Duration = Duration::from_secs(1);

/// Time limit for one read.
const READ_MAX: Duration = Duration::from_secs(2);

/// Number of failures in a row that makes the process unready. A single read may have hit a lost
/// connection.
const FAILURES_MIN: u32 = 2;

/// A user without stored events.
const NOBODY: &str = "plaudit.readiness";

/// Reads the same screen repeatedly, with the statement and the connections of all screens.
#[derive(Debug, Default)]
pub struct ScreenProbe {
    failed: Mutex<Option<Failed>>,
}

#[derive(Debug)]
struct Failed {
    in_a_row: u32,
    why: String,
}

impl ScreenProbe {
    /// Probes until `stop`.
    pub fn start(
        screens: BatchingLoader,
        lane_count: LaneCount,
        stop: CancellationToken,
    ) -> Arc<Self> {
        let probe = Arc::new(Self::default());
        let probing = Arc::clone(&probe);
        tokio::spawn(async move {
            let user: UserId = NOBODY.parse().expect("it is a user id");
            let lane = Lane::of(user.as_str(), lane_count);
            let probing = async {
                loop {
                    tokio::time::sleep(EVERY).await;
                    probing.note(read(&screens, lane, &user).await);
                }
            };
            stop.run_until_cancelled(probing).await;
        });
        probe
    }

    /// Fails with the reason if screens can't be read.
    pub fn ready(&self) -> Result<(), String> {
        self.why(|in_a_row| in_a_row >= FAILURES_MIN).map_or(Ok(()), Err)
    }

    /// A failure that does not make the process unready yet.
    pub fn warning(&self) -> Option<String> {
        self.why(|in_a_row| in_a_row < FAILURES_MIN)
    }

    fn why(&self, is_reported: impl Fn(u32) -> bool) -> Option<String> {
        let failed = self.failed();
        let failed = failed.as_ref().filter(|failed| is_reported(failed.in_a_row))?;
        Some(format!("database: task screens can't be read: {}", failed.why))
    }

    fn note(&self, read: Result<(), String>) {
        let mut failed = self.failed();
        *failed = read.err().map(|why| Failed {
            in_a_row: failed.as_ref().map_or(0, |failed| failed.in_a_row).saturating_add(1),
            why,
        });
    }

    fn failed(&self) -> MutexGuard<'_, Option<Failed>> {
        self.failed.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

async fn read(screens: &BatchingLoader, lane: Lane, user: &UserId) -> Result<(), String> {
    match tokio::time::timeout(READ_MAX, screens.load(lane, user)).await {
        Ok(Ok(_)) => Ok(()),
        Ok(Err(error)) => Err(error.to_string()),
        Err(_) => Err(format!(
            "no answer within {} s; `select pid, state, wait_event, query from pg_stat_activity` shows what the \
             database waits for",
            READ_MAX.as_secs()
        )),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_failure_is_none_and_one_success_ends_them() {
        let probe = ScreenProbe::default();
        probe.note(Err("a".to_owned()));
        probe.ready().unwrap();
        assert!(probe.warning().is_some());
        probe.note(Err("b".to_owned()));
        assert_eq!(probe.ready(), Err("database: task screens can't be read: b".to_owned()));
        probe.note(Ok(()));
        probe.ready().unwrap();
        assert_eq!(probe.warning(), None);
        probe.note(Err("c".to_owned()));
        probe.ready().unwrap();
    }
}
