//! Small concurrent commands share a commit.

use std::sync::Arc;

use tokio::sync::{mpsc, oneshot};

use crate::batch::{Applied, Batch, Item};
use crate::error::ExecuteError;
use crate::executor::Executor;

/// Takes items from many requests and applies them together: while one batch commits, the next
/// one gathers.
#[derive(Clone)]
pub struct CommandQueue {
    sender: mpsc::Sender<Request>,
}

struct Request {
    items: Vec<Item>,
    answer: oneshot::Sender<Result<Vec<Applied>, Arc<ExecuteError>>>,
}

/// The most items that share a commit. A request of its own may hold more.
const ITEMS_MAX: usize = 2_000;

/// How many requests may wait; beyond that senders wait, which is what slows clients down.
const WAITING_MAX: usize = 1_024;

impl CommandQueue {
    /// Starts the queue. It ends when all its senders are gone and what they sent is answered.
    pub fn start(executor: Arc<Executor>) -> (Self, tokio::task::JoinHandle<()>) {
        let (sender, receiver) = mpsc::channel(WAITING_MAX);
        (Self { sender }, tokio::spawn(run(executor, receiver)))
    }

    /// Applies items and answers them in order.
    ///
    /// # Errors
    ///
    /// The executor's error, shared with the other requests of the same commit.
    pub async fn submit(&self, items: Vec<Item>) -> Result<Vec<Applied>, Arc<ExecuteError>> {
        let (answer, answered) = oneshot::channel();
        let stopped = || Arc::new(ExecuteError::Unavailable(sqlx::Error::PoolClosed));
        self.sender.send(Request { items, answer }).await.map_err(|_| stopped())?;
        answered.await.map_err(|_| stopped())?
    }
}

async fn run(executor: Arc<Executor>, mut receiver: mpsc::Receiver<Request>) {
    while let Some(first) = receiver.recv().await {
        let mut count = first.items.len();
        let mut requests = vec![first];
        while count < ITEMS_MAX
            && let Ok(next) = receiver.try_recv()
        {
            count += next.items.len();
            requests.push(next);
        }
        let (items, answers): (Vec<Vec<Item>>, Vec<_>) =
            requests.into_iter().map(|r| (r.items, r.answer)).unzip();
        let lengths: Vec<usize> = items.iter().map(Vec::len).collect();
        let batch = Batch { items: items.into_iter().flatten().collect(), checkpoints: vec![] };
        match executor.execute(&batch).await {
            Ok(applied) => {
                let mut applied = applied.into_iter();
                for (length, answer) in lengths.into_iter().zip(answers) {
                    // A requester that is gone needs no answer; its items are applied all the same.
                    let _ = answer.send(Ok(applied.by_ref().take(length).collect()));
                }
            }
            Err(error) => {
                let error = Arc::new(error);
                for answer in answers {
                    let _ = answer.send(Err(Arc::clone(&error)));
                }
            }
        }
    }
}
