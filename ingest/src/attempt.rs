//! All parts of reading, from one start until one of them ends.

use std::any::Any;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::{Arc, mpsc};
use std::thread;
use std::time::Duration;

use plaudit_actions::sources::Sources;
use plaudit_event_store::CommandQueue;
use sqlx::PgPool;
use tokio::sync::{mpsc as tokio_mpsc, oneshot, watch};
use tokio::task::{JoinError, JoinSet};
use tokio_util::sync::CancellationToken;

use crate::applied_notes;
use crate::broker::Broker;
use crate::health::{IngestHealth, Subject};
use crate::ingest::IngestError;
use crate::options::IngestOptions;
use crate::poller::{self, Poller};
use crate::route::Router;
use crate::survey::Survey;
use crate::worker::Worker;

/// How long after an unasked end everything is started anew.
const RESTART_AFTER: Duration = Duration::from_secs(2);
/// What was started anew is trusted again after this long.
const TRUSTED_AFTER: Duration = Duration::from_secs(10);

/// What every attempt reads with.
pub struct Means {
    pub options: Arc<IngestOptions>,
    pub queue: CommandQueue,
    pub pool: PgPool,
    pub sources: Arc<Sources>,
    pub health: Arc<IngestHealth>,
    /// To end in order.
    pub stopped: CancellationToken,
}

/// The parts that run.
pub struct Attempt {
    stopped: CancellationToken,
    abandoned: CancellationToken,
    /// Hears how the thread that polls has ended; `None` once it was heard.
    polling: Option<oneshot::Receiver<Result<(), String>>>,
    tasks: JoinSet<()>,
}

impl Means {
    /// Keeps reading until it is stopped. What ends unasked, which takes a panic, is told, and all
    /// is started anew: what was not committed is read again.
    pub async fn keep_reading(self, mut attempt: Attempt) {
        let mut distrusted = false;
        loop {
            let ended = tokio::select! {
                ended = attempt.ended() => ended,
                () = tokio::time::sleep(TRUSTED_AFTER), if distrusted => {
                    self.health.resolve(&Subject::Reading);
                    distrusted = false;
                    continue;
                }
            };
            if self.stopped.is_cancelled() {
                if let Err(why) = ended {
                    tracing::error!("while stopping, {why}");
                }
                return attempt.finish().await;
            }
            let why = ended.err().unwrap_or_else(|| "a part of it ended".to_owned());
            let problem = format!("reading ended unexpectedly and is started anew: {why}");
            self.health.report(Subject::Reading, problem);
            distrusted = true;
            attempt.abandoned.cancel();
            attempt.stopped.cancel();
            attempt.finish().await;
            self.health.set_partitions([]);
            self.health.set_paused(false);
            attempt = match self.start_anew().await {
                Some(attempt) => attempt,
                None => return,
            };
        }
    }

    async fn start_anew(&self) -> Option<Attempt> {
        loop {
            tokio::select! {
                () = tokio::time::sleep(RESTART_AFTER) => {}
                () = self.stopped.cancelled() => return None,
            }
            match self.start() {
                Ok(attempt) => return Some(attempt),
                Err(error) => {
                    let problem = format!("reading can't be started anew: {error}");
                    self.health.report(Subject::Reading, problem);
                }
            }
        }
    }

    /// Starts all parts.
    pub fn start(&self) -> Result<Attempt, IngestError> {
        let Self { options, queue, pool, sources, health, .. } = self;
        let stopped = self.stopped.child_token();
        let broker = Arc::new(Broker::new(options)?);
        let consumer = poller::connect(options, health)?;
        let (signals, inbox) = mpsc::channel();
        let (ends, ends_given) = watch::channel(applied_notes::Ends::new());
        let (questions, questions_asked) = watch::channel(Vec::new());
        let abandoned = CancellationToken::new();
        let mut tasks = JoinSet::new();
        let mut workers = Vec::new();
        let (give, parts) = tokio_mpsc::unbounded_channel();
        workers.push(give);
        let worker = Worker {
            number: 0,
            queue: queue.clone(),
            parts,
            done: signals.clone(),
            health: Arc::clone(health),
            abandoned: abandoned.clone(),
        };
        tasks.spawn(worker.run());
        let survey = Survey {
            options: Arc::clone(options),
            broker,
            pool: pool.clone(),
            health: Arc::clone(health),
            questions: questions_asked,
            findings: signals,
            stopped: stopped.clone(),
        };
        tasks.spawn(survey.run());
        tasks.spawn(applied_notes::keep(pool.clone(), ends_given));
        let poller = Poller {
            options: Arc::clone(options),
            router: Router::new(Arc::clone(sources), queue.lane_count(), options.future_tolerance),
            health: Arc::clone(health),
            inbox,
            workers,
            ends,
            questions,
            stopped: stopped.clone(),
            abandoned: abandoned.clone(),
        };
        let (tell, polling) = oneshot::channel();
        thread::Builder::new().name("ingest".to_owned()).spawn(move || {
            let ended = catch_unwind(AssertUnwindSafe(|| poller.run(consumer)));
            // Nobody listens where the runtime is gone.
            let _ = tell.send(ended.map_err(|panic| told("the thread that polls", &*panic)));
        })?;
        Ok(Attempt { stopped, abandoned, polling: Some(polling), tasks })
    }
}

impl Attempt {
    /// Waits until a part ends, and says so if it has panicked. Safe to drop.
    async fn ended(&mut self) -> Result<(), String> {
        let Some(polling) = &mut self.polling else { return Ok(()) };
        tokio::select! {
            ended = polling => {
                self.polling = None;
                ended.unwrap_or_else(|_| Err("the thread that polls is gone".to_owned()))
            }
            Some(task) = self.tasks.join_next() => task.map_err(task_told),
        }
    }

    /// Waits for the end of all parts, which were told to stop.
    async fn finish(mut self) {
        if let Some(Ok(Err(why))) = match self.polling.take() {
            Some(polling) => Some(polling.await),
            None => None,
        } {
            tracing::error!("{why}");
        }
        // Nobody hears the workers any more.
        self.abandoned.cancel();
        while let Some(task) = self.tasks.join_next().await {
            if let Err(error) = task {
                tracing::error!("{}", task_told(error));
            }
        }
    }
}

fn task_told(error: JoinError) -> String {
    match error.try_into_panic() {
        Ok(panic) => told("a task that applies or verifies", &*panic),
        Err(error) => format!("a task was ended: {error}"),
    }
}

fn told(who: &str, panic: &(dyn Any + Send)) -> String {
    let text = panic.downcast_ref::<&str>().copied();
    let text = text.or_else(|| panic.downcast_ref::<String>().map(String::as_str));
    format!("{who} has panicked: {}", text.unwrap_or("without a message"))
}
