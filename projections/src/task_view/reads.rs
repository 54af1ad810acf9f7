//! Reads that come while others run share a statement: what a read costs the database is mostly the
//! statement and the round trip, and hardly the rows.

use std::sync::Arc;

use plaudit_domain::ids::UserId;
use plaudit_domain::lane::Lane;
use plaudit_event_store::ExecuteError;
use sqlx::PgPool;
use tokio::sync::{Semaphore, mpsc, oneshot};

use super::{UserView, load_all};

/// The most users of one statement. More would make the first of them wait for the last.
const USERS_MAX: usize = 64;

/// How many reads may wait; beyond that readers wait to wait, which is what slows clients down.
const WAITING_MAX: usize = 1_024;

/// Reads users' views. A lone read is sent at once; those that come while as many statements run as
/// may are gathered, and go together. Cheap to clone. Ends when all clones are gone.
#[derive(Debug, Clone)]
pub struct Reads {
    sender: mpsc::Sender<Waiting>,
}

#[derive(Debug)]
struct Waiting {
    user: (Lane, UserId),
    answer: oneshot::Sender<Result<UserView, Arc<ExecuteError>>>,
}

impl Reads {
    /// Runs up to `at_once` statements at a time, each on a connection of the pool.
    pub fn start(pool: PgPool, at_once: usize) -> Self {
        let (sender, receiver) = mpsc::channel(WAITING_MAX);
        tokio::spawn(gather(pool, at_once, receiver));
        Self { sender }
    }

    /// Reads a user: see [`super::load`].
    ///
    /// # Errors
    ///
    /// The database's, shared with the other reads of the same statement.
    pub async fn load(&self, lane: Lane, user: &UserId) -> Result<UserView, Arc<ExecuteError>> {
        let (answer, answered) = oneshot::channel();
        let waiting = Waiting { user: (lane, user.clone()), answer };
        let stopped = || Arc::new(sqlx::Error::PoolClosed.into());
        self.sender.send(waiting).await.map_err(|_| stopped())?;
        answered.await.map_err(|_| stopped())?
    }
}

async fn gather(pool: PgPool, at_once: usize, mut receiver: mpsc::Receiver<Waiting>) {
    let room = Arc::new(Semaphore::new(at_once));
    while let Some(first) = receiver.recv().await {
        let permit = Arc::clone(&room).acquire_owned().await.expect("nobody closes it");
        let mut waiting = vec![first];
        while waiting.len() < USERS_MAX
            && let Ok(next) = receiver.try_recv()
        {
            waiting.push(next);
        }
        let pool = pool.clone();
        tokio::spawn(async move {
            answer(&pool, waiting).await;
            drop(permit);
        });
    }
}

async fn answer(pool: &PgPool, mut waiting: Vec<Waiting>) {
    // Who has gone asks for nothing any more.
    waiting.retain(|one| !one.answer.is_closed());
    let (users, answers): (Vec<_>, Vec<_>) =
        waiting.into_iter().map(|one| (one.user, one.answer)).unzip();
    if users.is_empty() {
        return;
    }
    match load_all(pool, &users).await {
        Ok(views) => {
            for (view, answer) in views.into_iter().zip(answers) {
                let _ = answer.send(Ok(view));
            }
        }
        Err(error) => {
            let error = Arc::new(ExecuteError::from(error));
            for answer in answers {
                let _ = answer.send(Err(Arc::clone(&error)));
            }
        }
    }
}
