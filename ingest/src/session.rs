//! A session: all parts of the reader, from one start until one of them ends.

use std::any::Any;
use std::collections::BTreeMap;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::{Arc, mpsc};
use std::thread;
use std::time::Duration;

use plaudit_actions::sources::Sources;
use plaudit_event_store::CommandQueue;
use plaudit_event_store::pool::Deadlined;
use tokio::sync::{mpsc as tokio_mpsc, oneshot, watch};
use tokio::task::{JoinError, JoinSet};
use tokio_util::sync::CancellationToken;

use crate::consumer::{self, Consumer};
use crate::error::{self, IngestError};
use crate::health::{IngestHealth, Subject};
use crate::mapped_room::MappedRoom;
use crate::mapper::{Mapper, MapperBatch};
use crate::offsets::progress_recorder;
use crate::offsets::tracker::{BatchId, NextOffsets};
use crate::options::IngestOptions;
use crate::route::Router;
use crate::signal::Signal;
use crate::topic_monitor::TopicMonitor;
use crate::topic_monitor::broker::Broker;
use crate::worker::{Worker, WorkerBatch};

/// Pause between the unexpected end of a session and the next start.
const RESTART_AFTER: Duration = Duration::from_secs(2);
/// Time after which a restarted session is no longer reported as a problem.
const TRUSTED_AFTER: Duration = Duration::from_secs(10);

/// The context that all sessions share.
pub struct SessionContext {
    /// The options without the topics of the sources.
    pub options: IngestOptions,
    pub queue: CommandQueue,
    pub database: Deadlined,
    pub sources: watch::Receiver<Arc<Sources>>,
    pub health: Arc<IngestHealth>,
    /// Cancelled for an orderly stop.
    pub stopped: CancellationToken,
}

/// A running session.
pub struct Session {
    topics: Vec<String>,
    stopped: CancellationToken,
    abandoned: CancellationToken,
    /// Receives the result of the polling thread; `None` once received.
    polling: Option<oneshot::Receiver<Result<(), String>>>,
    /// Receives the panics of mapper threads; closed once all have ended in order.
    mapping: tokio_mpsc::UnboundedReceiver<String>,
    tasks: JoinSet<()>,
}

impl SessionContext {
    /// Keeps a session running until `stopped` is cancelled. A session that ends unexpectedly, by a
    /// panic, is reported and restarted; records that were not committed are read again.
    ///
    /// When the sources name other topics, the session ends in order and another one starts.
    pub async fn supervise(mut self, mut session: Session) {
        let mut distrusted = false;
        loop {
            let ended = tokio::select! {
                ended = session.ended() => ended,
                Ok(()) = self.sources.changed() => {
                    if self.current_options().topics != session.topics {
                        session = match self.exchange(session).await {
                            Some(session) => session,
                            None => return,
                        };
                    }
                    continue;
                }
                () = tokio::time::sleep(TRUSTED_AFTER), if distrusted => {
                    self.health.resolve(&Subject::Session);
                    distrusted = false;
                    continue;
                }
            };
            if self.stopped.is_cancelled() {
                if let Err(why) = ended {
                    tracing::error!("while stopping, {why}");
                }
                return session.finish().await;
            }
            let why = ended.err().unwrap_or_else(|| "a part of it ended".to_owned());
            let problem = format!("reading ended unexpectedly and is started again: {why}");
            self.health.report(Subject::Session, problem);
            distrusted = true;
            session.abandoned.cancel();
            session.stopped.cancel();
            session.finish().await;
            self.forget_partitions();
            session = match self.restart().await {
                Some(session) => session,
                None => return,
            };
        }
    }

    /// Ends a session in order and starts one that reads the topics of the current sources. Returns
    /// `None` if `stopped` was cancelled.
    async fn exchange(&self, mut session: Session) -> Option<Session> {
        let topics = self.current_options().topics;
        tracing::info!(?topics, "the source files name other topics: joining the group again");
        session.stopped.cancel();
        if let Err(why) = session.ended().await {
            tracing::error!("while other topics are joined, {why}");
        }
        session.finish().await;
        self.forget_partitions();
        self.health.keep_topics(&topics);
        if self.stopped.is_cancelled() {
            return None;
        }
        match self.start() {
            Ok(session) => Some(session),
            Err(error) => {
                let problem = format!("reading other topics can't be started: {error}");
                self.health.report(Subject::Session, problem);
                self.restart().await
            }
        }
    }

    fn forget_partitions(&self) {
        self.health.set_partitions([]);
        self.health.set_paused(false);
        self.health.retract(&Subject::Backpressure);
        self.health.retract(&Subject::CrowdedLanes);
    }

    fn current_options(&self) -> IngestOptions {
        self.options.clone().with_topics_of(&self.sources.borrow())
    }

    /// Starts a session after a pause, and retries until one starts. Returns `None` if `stopped`
    /// was cancelled.
    async fn restart(&self) -> Option<Session> {
        loop {
            tokio::select! {
                () = tokio::time::sleep(RESTART_AFTER) => {}
                () = self.stopped.cancelled() => return None,
            }
            match self.start() {
                Ok(session) => return Some(session),
                Err(error) => {
                    let problem = format!("reading can't be started again: {error}");
                    self.health.report(Subject::Session, problem);
                }
            }
        }
    }

    /// Starts all parts. Fails if the options, or the topics of the current sources, can't work with
    /// any broker.
    pub fn start(&self) -> Result<Session, IngestError> {
        let Self { queue, database, health, .. } = self;
        let options = &Arc::new(self.current_options());
        if options.topics.is_empty() {
            return Err(IngestError::NoTopics);
        }
        error::check(options)?;
        let stopped = self.stopped.child_token();
        for topic in &options.topics {
            // A series that exists from the start shows its first increase.
            metrics::counter!("plaudit_records_lost_total", "topic" => topic.clone()).increment(0);
        }
        let abandoned = CancellationToken::new();
        let broker = Arc::new(Broker::new(options)?);
        let client = consumer::connect(options, health)?;
        let (signals, signals_heard) = mpsc::channel();
        let (progress, progress_made) = watch::channel(NextOffsets::new());
        let (queries, queries_asked) = watch::channel(Vec::new());
        let mut tasks = JoinSet::new();
        let (work, batches) = tokio_mpsc::unbounded_channel();
        let worker = Worker {
            queue: queue.clone(),
            batches,
            signals: signals.clone(),
            health: Arc::clone(health),
            abandoned: abandoned.clone(),
        };
        tasks.spawn(worker.run());
        let (mappers, mapping) = self.start_mappers(&work, &signals, &abandoned)?;
        let monitor = TopicMonitor {
            options: Arc::clone(options),
            broker,
            database: database.clone(),
            health: Arc::clone(health),
            queries: queries_asked,
            signals,
            stopped: stopped.clone(),
        };
        tasks.spawn(monitor.run());
        tasks.spawn(progress_recorder::run(database.clone(), progress_made));
        let consumer = Consumer {
            options: Arc::clone(options),
            lane_count: queue.lane_count(),
            health: Arc::clone(health),
            signals: signals_heard,
            mappers,
            progress,
            queries,
            stopped: stopped.clone(),
            abandoned: abandoned.clone(),
        };
        let (ended_sender, polling) = oneshot::channel();
        thread::Builder::new().name("ingest".to_owned()).spawn(move || {
            let ended = catch_unwind(AssertUnwindSafe(|| consumer.run(client)));
            // The receiver is gone if the runtime has ended.
            let _ = ended_sender
                .send(ended.map_err(|panic| described("the thread that polls", &*panic)));
        })?;
        let topics = options.topics.clone();
        Ok(Session { topics, stopped, abandoned, polling: Some(polling), mapping, tasks })
    }

    /// Starts one mapper thread per worker. No part waits for these threads to end: a mapping may
    /// take a while, but is harmless once its work is abandoned.
    #[expect(clippy::type_complexity, reason = "taken apart at once by its only caller")]
    fn start_mappers(
        &self,
        work: &tokio_mpsc::UnboundedSender<WorkerBatch>,
        signals: &mpsc::Sender<Signal>,
        abandoned: &CancellationToken,
    ) -> std::io::Result<(
        Vec<mpsc::Sender<(BatchId, MapperBatch)>>,
        tokio_mpsc::UnboundedReceiver<String>,
    )> {
        let (panics, mapping) = tokio_mpsc::unbounded_channel();
        let router = Router::new(
            self.sources.clone(),
            self.queue.lane_count(),
            self.options.future_tolerance,
        );
        let (mut senders, room) = (Vec::new(), Arc::new(MappedRoom::default()));
        for _ in 0..self.options.workers.max(1) {
            let (sender, batches) = mpsc::channel();
            let mapper = Mapper {
                router: router.clone(),
                catalogue: Arc::clone(self.queue.catalogue()),
                batches,
                signals: signals.clone(),
                work: work.clone(),
                health: Arc::clone(&self.health),
                room: Arc::clone(&room),
                withheld: BTreeMap::new(),
                abandoned: abandoned.clone(),
            };
            let panics = panics.clone();
            thread::Builder::new().name("ingest-map".to_owned()).spawn(move || {
                if let Err(panic) = catch_unwind(AssertUnwindSafe(|| mapper.run())) {
                    let _ = panics.send(described("a thread that maps records", &*panic));
                }
            })?;
            senders.push(sender);
        }
        Ok((senders, mapping))
    }
}

impl Session {
    /// Waits until a part ends. If it panicked, the error says so. Cancel-safe.
    async fn ended(&mut self) -> Result<(), String> {
        let Some(polling) = &mut self.polling else { return Ok(()) };
        tokio::select! {
            ended = polling => {
                self.polling = None;
                ended.unwrap_or_else(|_| Err("the thread that polls is gone".to_owned()))
            }
            Some(why) = self.mapping.recv() => Err(why),
            Some(task) = self.tasks.join_next() => task.map_err(described_task),
        }
    }

    /// Waits for the end of all parts. `stopped` must be cancelled.
    async fn finish(mut self) {
        if let Some(Ok(Err(why))) = match self.polling.take() {
            Some(polling) => Some(polling.await),
            None => None,
        } {
            tracing::error!("{why}");
        }
        // The consumer, which receives the workers' signals, has ended.
        self.abandoned.cancel();
        while let Some(task) = self.tasks.join_next().await {
            if let Err(error) = task {
                tracing::error!("{}", described_task(error));
            }
        }
    }
}

fn described_task(error: JoinError) -> String {
    match error.try_into_panic() {
        Ok(panic) => described("a task that applies or verifies", &*panic),
        Err(error) => format!("a task was ended: {error}"),
    }
}

fn described(part: &str, panic: &(dyn Any + Send)) -> String {
    let text = panic.downcast_ref::<&str>().copied();
    let text = text.or_else(|| panic.downcast_ref::<String>().map(String::as_str));
    format!("{part} has panicked: {}", text.unwrap_or("without a message"))
}
