//! One watch of the lanes' heads for all readers that wait for a position. A thousand readers cost the
//! database what one costs: a statement now and then, for all lanes that somebody waits for.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use plaudit_domain::lane::{Lane, Position};
use plaudit_event_store::ExecuteError;
use sqlx::PgPool;
use tokio::sync::oneshot;
use tokio::time::{Instant, sleep, timeout_at};

/// The pause between two looks at the heads. A reader waits half of it longer than it has to, on average.
const PAUSE: Duration = Duration::from_millis(20);

/// How long one look may take. Readers learn of a database that does not answer after this time.
const LOOK_MAX: Duration = Duration::from_secs(4);

/// Watches the heads while somebody waits. Cheap to clone.
#[derive(Debug, Clone)]
pub struct HeadWatch(Arc<Shared>);

#[derive(Debug)]
struct Shared {
    pool: PgPool,
    state: Mutex<State>,
}

#[derive(Debug, Default)]
struct State {
    waiting: Vec<Waiting>,
    /// Whether the task that looks at the heads is running. It runs while somebody waits.
    is_running: bool,
}

#[derive(Debug)]
struct Waiting {
    position: Position,
    /// When the reader wants an answer at the latest.
    deadline: Instant,
    /// Whether the present look includes the lane.
    is_included: bool,
    answer: oneshot::Sender<Answer>,
}

/// Whether the position was reached by the deadline.
type Answer = Result<bool, Arc<ExecuteError>>;

impl HeadWatch {
    /// Looks at the heads through `pool`, on one connection at a time.
    pub fn new(pool: PgPool) -> Self {
        Self(Arc::new(Shared { pool, state: Mutex::default() }))
    }

    /// Waits until the log has reached `position`, at most until `deadline`. Looks at least once, whatever
    /// the deadline. Cancel-safe: a reader that is dropped is forgotten at the next look.
    ///
    /// # Errors
    ///
    /// The database's, shared with all that wait.
    pub async fn wait_for(&self, position: Position, deadline: Instant) -> Answer {
        let (answer, answered) = oneshot::channel();
        let starts = {
            let mut state = self.0.state();
            state.waiting.push(Waiting { position, deadline, is_included: false, answer });
            !std::mem::replace(&mut state.is_running, true)
        };
        if starts {
            tokio::spawn(Arc::clone(&self.0).watch());
        }
        let stopped = || Arc::new(ExecuteError::Unavailable(sqlx::Error::PoolClosed));
        answered.await.unwrap_or_else(|_| Err(stopped()))
    }
}

impl Shared {
    /// Held for the time of a push or a sweep, never over an await.
    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Ends when nobody waits any more.
    async fn watch(self: Arc<Self>) {
        loop {
            let lanes = {
                let mut state = self.state();
                state.waiting.retain(|one| !one.answer.is_closed());
                if state.waiting.is_empty() {
                    state.is_running = false;
                    return;
                }
                state.waiting.iter_mut().for_each(|one| one.is_included = true);
                let mut lanes: Vec<i16> =
                    state.waiting.iter().map(|one| one.position.lane.0).collect();
                lanes.sort_unstable();
                lanes.dedup();
                lanes
            };
            let looked = timeout_at(Instant::now() + LOOK_MAX, self.heads(&lanes)).await;
            self.answer(looked.unwrap_or_else(|_| Err(no_answer())));
            sleep(PAUSE).await;
        }
    }

    /// Answers those whose position is reached or whose time is over; after an error, all of them.
    fn answer(&self, heads: Result<BTreeMap<Lane, i64>, ExecuteError>) {
        let now = Instant::now();
        let mut state = self.state();
        match heads {
            Ok(heads) => {
                let is_reached = |wanted: Position| {
                    heads.get(&wanted.lane).is_some_and(|head| *head >= wanted.number)
                };
                // A reader that came during the look is looked for by the next one.
                let settled = |one: &mut Waiting| {
                    is_reached(one.position) || (one.is_included && now >= one.deadline)
                };
                for one in state.waiting.extract_if(.., settled) {
                    let _ = one.answer.send(Ok(is_reached(one.position))); // the reader may have gone
                }
            }
            Err(error) => {
                let error = Arc::new(error);
                for one in state.waiting.drain(..) {
                    let _ = one.answer.send(Err(Arc::clone(&error)));
                }
            }
        }
    }

    /// The last position of each lane.
    async fn heads(&self, lanes: &[i16]) -> Result<BTreeMap<Lane, i64>, ExecuteError> {
        let rows: Vec<(i16, i64)> =
            sqlx::query_as("select lane, next_position - 1 from lanes where lane = any($1)")
                .bind(lanes)
                .fetch_all(&self.pool)
                .await?;
        Ok(rows.into_iter().map(|(lane, head)| (Lane(lane), head)).collect())
    }
}

fn no_answer() -> ExecuteError {
    let text = format!("no answer within {} s", LOOK_MAX.as_secs());
    let error = std::io::Error::new(std::io::ErrorKind::TimedOut, text);
    ExecuteError::Unavailable(sqlx::Error::Io(error))
}
