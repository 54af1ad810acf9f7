//! Reading as a whole: one consumer, its workers, and those who look after the partitions.

use std::sync::{Arc, mpsc};
use std::thread;

use plaudit_event_store::Executor;
use rdkafka::error::KafkaError;
use sqlx::PgPool;
use tokio::sync::{mpsc as tokio_mpsc, watch};
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;

use crate::applied_notes;
use crate::broker::Broker;
use crate::health::IngestHealth;
use crate::options::IngestOptions;
use crate::poller::{self, Poller};
use crate::route::Router;
use crate::sources::Sources;
use crate::survey::Survey;
use crate::worker::Worker;

/// Why reading did not begin.
#[derive(Debug, thiserror::Error)]
pub enum IngestError {
    /// librdkafka does not take its properties.
    #[error("the Kafka client refuses its configuration: {0}")]
    Config(#[from] KafkaError),
    /// There is nothing to read.
    #[error("no topics are configured to be read")]
    NoTopics,
    /// The operating system gave no thread.
    #[error("could not start a thread: {0}")]
    Thread(#[from] std::io::Error),
}

/// Reads topics and applies what their records mean, until it is told to stop.
#[derive(Debug)]
pub struct Ingest {
    health: Arc<IngestHealth>,
    stopped: CancellationToken,
    polling: Option<thread::JoinHandle<()>>,
    tasks: Vec<JoinHandle<()>>,
}

impl Ingest {
    /// Begins to read. A broker that is not there, or a topic that is missing, is waited for.
    ///
    /// Ends in order when `stopped` is cancelled: what was begun is committed, its offsets are
    /// stored, and the group is left. [`Self::join`] waits for that.
    #[expect(
        clippy::needless_pass_by_value,
        reason = "it keeps the executor for as long as it reads"
    )]
    pub fn start(
        options: IngestOptions,
        executor: Arc<Executor>,
        pool: PgPool,
        sources: Arc<Sources>,
        stopped: CancellationToken,
    ) -> Result<Self, IngestError> {
        if options.topics.is_empty() {
            return Err(IngestError::NoTopics);
        }
        let options = Arc::new(options);
        let health = Arc::new(IngestHealth::default());
        let broker = Arc::new(Broker::new(&options)?);
        let consumer = poller::connect(&options, &health)?;
        let (signals, inbox) = mpsc::channel();
        let (ends, ends_given) = watch::channel(applied_notes::Ends::new());
        let (questions, questions_asked) = watch::channel(Vec::new());
        let abandoned = CancellationToken::new();
        let mut tasks = Vec::new();
        let mut workers = Vec::new();
        for number in 0..options.workers.max(1) {
            let (give, parts) = tokio_mpsc::unbounded_channel();
            workers.push(give);
            let worker = Worker {
                number,
                executor: Arc::clone(&executor),
                parts,
                done: signals.clone(),
                health: Arc::clone(&health),
                abandoned: abandoned.clone(),
            };
            tasks.push(tokio::spawn(worker.run()));
        }
        let survey = Survey {
            options: Arc::clone(&options),
            broker,
            pool: pool.clone(),
            health: Arc::clone(&health),
            questions: questions_asked,
            findings: signals,
            stopped: stopped.clone(),
        };
        tasks.push(tokio::spawn(survey.run()));
        tasks.push(tokio::spawn(applied_notes::keep(pool, ends_given)));
        let router = Router::new(sources, executor.lane_count(), options.future_tolerance);
        let poller = Poller {
            options,
            router,
            health: Arc::clone(&health),
            inbox,
            workers,
            ends,
            questions,
            stopped: stopped.clone(),
            abandoned,
        };
        let polling = thread::Builder::new().name("ingest".to_owned());
        let polling = polling.spawn(move || poller.run(consumer))?;
        Ok(Self { health, stopped, polling: Some(polling), tasks })
    }

    /// How it goes.
    pub fn health(&self) -> &Arc<IngestHealth> {
        &self.health
    }

    /// Waits for the end, which comes when `stopped` of [`Self::start`] is cancelled.
    pub async fn join(mut self) {
        if let Some(polling) = self.polling.take() {
            let joined = tokio::task::spawn_blocking(move || polling.join()).await;
            if !matches!(joined, Ok(Ok(()))) {
                tracing::error!("the thread that polls has panicked");
            }
        }
        for task in self.tasks.drain(..) {
            if let Err(error) = task.await {
                tracing::error!(%error, "a task of reading has panicked");
            }
        }
    }
}

impl Drop for Ingest {
    /// Nothing reads on unnoticed.
    fn drop(&mut self) {
        self.stopped.cancel();
    }
}
