//! Batches reads of users: those that arrive while others run share a statement, since the
//! statement and the round trip cost the database most, and the rows hardly anything.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use plaudit_domain::ids::UserId;
use plaudit_domain::lane::Lane;
use plaudit_event_store::{Clock, ExecuteError};
use sqlx::pool::PoolConnection;
use sqlx::{PgPool, Postgres};
use tokio::sync::{Semaphore, oneshot};

use super::{UserView, load_all};

/// Maximum number of users per statement. More would make the first of them wait for the last.
const USERS_MAX: usize = 64;

/// Reads users' views. A lone read is sent at once. While the maximum number of statements runs,
/// further reads are gathered, and the next statement reads for all of them. Cheap to clone.
#[derive(Debug, Clone)]
pub struct BatchingLoader {
    shared: Arc<Shared>,
}

#[derive(Debug)]
struct Shared {
    pool: PgPool,
    clock: Clock,
    turns: Semaphore,
    /// In order of arrival.
    waiting: Mutex<Vec<Waiting>>,
    /// Connections that pass from one turn to the next while a reader waits: the pool would test a
    /// returned connection, which is another round trip. If nobody waits, all are in the pool.
    connections: Mutex<Vec<PoolConnection<Postgres>>>,
}

#[derive(Debug)]
struct Waiting {
    user: (Lane, UserId),
    answer: Answer,
}

type Answer = oneshot::Sender<Result<UserView, Arc<ExecuteError>>>;

impl BatchingLoader {
    /// Runs up to `at_once` statements at a time, each on a connection of the pool.
    pub fn new(pool: PgPool, at_once: usize, clock: Clock) -> Self {
        let turns = Semaphore::new(at_once);
        let (waiting, connections) = (Mutex::default(), Mutex::default());
        Self { shared: Arc::new(Shared { pool, clock, turns, waiting, connections }) }
    }

    /// Reads a user, as [`super::load`] does. Cancel-safe: if the caller that runs the statement is
    /// dropped, another waiter runs it.
    ///
    /// # Errors
    ///
    /// The database's, shared with the other reads of the same statement.
    pub async fn load(&self, lane: Lane, user: &UserId) -> Result<UserView, Arc<ExecuteError>> {
        let mut answered = self.shared.wait((lane, user.clone()));
        loop {
            tokio::select! {
                biased;
                answer = &mut answered => match answer {
                    Ok(answer) => return answer,
                    // The caller that had the turn was dropped.
                    Err(_) => answered = self.shared.wait((lane, user.clone())),
                },
                turn = self.shared.turns.acquire() => {
                    let _turn = turn.expect("nobody closes it");
                    self.shared.read_for_all().await;
                }
            }
        }
    }
}

impl Shared {
    fn wait(&self, user: (Lane, UserId)) -> oneshot::Receiver<Result<UserView, Arc<ExecuteError>>> {
        let (answer, answered) = oneshot::channel();
        locked(&self.waiting).push(Waiting { user, answer });
        answered
    }

    /// Takes the oldest reads, without those whose callers were dropped.
    fn next(&self) -> Vec<Waiting> {
        let mut waiting = locked(&self.waiting);
        waiting.retain(|one| !one.answer.is_closed());
        let count = waiting.len().min(USERS_MAX);
        waiting.drain(..count).collect()
    }

    async fn read_for_all(&self) {
        let (users, answers): (Vec<_>, Vec<_>) =
            self.next().into_iter().map(|one| (one.user, one.answer)).unzip();
        if users.is_empty() {
            return;
        }
        let kept = locked(&self.connections).pop();
        let mut connection = match kept {
            Some(connection) => connection,
            None => match self.pool.acquire().await {
                Ok(connection) => connection,
                Err(error) => {
                    // The time limit for a connection has passed; the other waiters would only wait
                    // as long in vain.
                    let waiting = std::mem::take(&mut *locked(&self.waiting));
                    return fail(
                        error,
                        answers.into_iter().chain(waiting.into_iter().map(|w| w.answer)),
                    );
                }
            },
        };
        match load_all(&users, self.clock.now(), &mut connection).await {
            Ok(views) => {
                for (view, answer) in views.into_iter().zip(answers) {
                    // A damaged row of one user does not fail the others.
                    let unreadable = |error: sqlx::Error| {
                        let text = format!("what is shown of a user can't be read: {error}");
                        Arc::new(ExecuteError::Unreadable(text))
                    };
                    let _ = answer.send(view.map_err(unreadable));
                }
                let waiting = locked(&self.waiting);
                if !waiting.is_empty() {
                    locked(&self.connections).push(connection);
                }
            }
            // The connection goes back to the pool, as it does when its reader is dropped.
            Err(error) => fail(error, answers),
        }
    }
}

/// Answers all these readers with one error.
fn fail(error: sqlx::Error, answers: impl IntoIterator<Item = Answer>) {
    let error = Arc::new(ExecuteError::from(error));
    for answer in answers {
        let _ = answer.send(Err(Arc::clone(&error)));
    }
}

/// Locks a list for a push or a drain, never over an await. No panic leaves the list half-changed.
fn locked<T>(list: &Mutex<Vec<T>>) -> MutexGuard<'_, Vec<T>> {
    list.lock().unwrap_or_else(PoisonError::into_inner)
}
