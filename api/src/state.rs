//! The state that all handlers share.

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use futures::future::BoxFuture;
use jiff::Timestamp;
use plaudit_domain::catalogue::Catalogue;
use plaudit_domain::ids::UserId;
use plaudit_domain::lane::Lane;
use plaudit_domain::screen::{ScreenRequest, TaskScreen, screen};
use plaudit_domain::user_tasks::UserTasks;
use plaudit_event_store::deliveries::PayerRoutes;
use plaudit_event_store::{Applied, CommandQueue, Executor, Item};
use plaudit_followers::HeadWatch;
use plaudit_projections::task_view::BatchingLoader;
use plaudit_release::Resolver;
use sqlx::PgPool;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use crate::auth::Keys;
use crate::computing::Computing;
use crate::cors::CorsOrigins;
use crate::health::Exposition;
use crate::in_flight::{Held, InFlight};
use crate::problem::{Answer, Problem};
use crate::stream::Streams;
use crate::tasks::past_records::PastLookup;

/// The state as handlers get it.
pub(crate) type Shared = Arc<ApiState>;

/// The state that all handlers share.
pub struct ApiState {
    /// For reads of clients, but task screens.
    pub pool: PgPool,
    /// For requests of operators and auditors, which may be slow: they share no connection with those of clients.
    pub operators: PgPool,
    /// For task screens.
    pub screens: BatchingLoader,
    /// For readers that wait for a position.
    pub heads: Arc<HeadWatch>,
    /// For the number of lanes, their heads and the catalogue.
    pub executor: Arc<Executor>,
    /// For writes.
    pub commands: CommandQueue,
    /// Bounds what is computed at a time.
    pub computing: Computing,
    /// Bounds what all requests together hold in memory.
    pub in_flight: InFlight,
    /// The origins whose pages in a browser may call the API.
    pub cors_origins: CorsOrigins,
    /// Verifies tokens.
    pub keys: Keys,
    /// Answers `/readyz`.
    pub readiness: Readiness,
    /// Answers `/metrics`.
    pub exposition: Exposition,
    /// An action's time may lie so far after its receipt.
    pub future_tolerance: Duration,
    /// The rebuilds that were started over HTTP.
    pub rebuilds: Rebuilds,
    /// Asks what new tasks would count of the past.
    pub past: PastLookup,
    /// Names the channels by which rewards are sent again.
    pub payer_routes: PayerRoutes,
    /// Releases and discards parked records.
    pub resolver: Resolver,
    /// The open streams of server-sent events.
    pub streams: Streams,
}

impl ApiState {
    /// Applies items. Those of a request that is dropped meanwhile, as one is at its deadline, are given up
    /// unless they are being applied. Their share of the memory comes back when the last one of them is gone.
    pub(crate) async fn submit(&self, items: Vec<Item>, held: Held) -> Answer<Vec<Applied>> {
        let applied = self.commands.submit_with(held, items).await;
        applied.map_err(|error| Problem::from(error.as_ref()))
    }

    /// A user's task screen. Audiences with a `where` are evaluated off the runtime's threads.
    pub(crate) async fn screen(
        &self,
        user: &UserId,
        state: &UserTasks,
        catalogue: &Catalogue,
        now: Timestamp,
        request: &ScreenRequest<'_>,
    ) -> Vec<TaskScreen> {
        let compute = || screen(user, state, catalogue, now, request);
        if catalogue.has_audience_filters() { self.computing.run(compute).await } else { compute() }
    }

    /// The time now, to the microsecond.
    pub(crate) fn now(&self) -> Timestamp {
        self.executor.clock().now()
    }

    /// The lane of a user.
    pub(crate) fn lane_of(&self, user: &UserId) -> Lane {
        Lane::of(user.as_str(), self.executor.lane_count())
    }
}

/// The time limit of a request's work, which may outlast its answer. The transaction of work that is
/// given up is rolled back, and the pool closes its connection if that gives no answer.
const DETACHED_MAX: Duration = Duration::from_secs(60);

/// Runs work to its end even if the request that wants it is dropped, for at most [`DETACHED_MAX`].
pub(crate) async fn detached<T: Send + 'static>(
    work: impl Future<Output = T> + Send + 'static,
) -> Answer<T> {
    let done = tokio::spawn(tokio::time::timeout(DETACHED_MAX, work)).await.map_err(|error| {
        tracing::error!(%error, "a request's work did not come to an end: {error}");
        Problem::Internal
    })?;
    done.map_err(|_| {
        tracing::warn!("a request's work was given up after {} s", DETACHED_MAX.as_secs());
        Problem::Unavailable(
            "the database does not answer in time; what was sent may still be applied",
        )
    })
}

/// Whether a process can do its work.
#[derive(Debug, Clone, Default)]
pub struct ReadinessReport {
    /// Why it can't, one sentence each; empty if it can.
    pub reasons: Vec<String>,
    /// Problems of single users or lanes, one sentence each.
    pub warnings: Vec<String>,
}

/// Checks whether this process can do all of its work.
#[derive(Clone)]
pub struct Readiness(Arc<dyn Fn() -> BoxFuture<'static, ReadinessReport> + Send + Sync>);

impl Readiness {
    /// Calls `check` for each request. It must answer within a second or two.
    pub fn new<F, R>(check: F) -> Self
    where
        F: Fn() -> R + Send + Sync + 'static,
        R: Future<Output = ReadinessReport> + Send + 'static,
    {
        Self(Arc::new(move || Box::pin(check())))
    }

    /// Always ready.
    pub fn always() -> Self {
        Self::new(|| std::future::ready(ReadinessReport::default()))
    }

    pub(crate) async fn check(&self) -> ReadinessReport {
        (self.0)().await
    }
}

impl fmt::Debug for Readiness {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Readiness")
    }
}

/// Rebuilds that were started over HTTP. They end when `stop` is cancelled, and go on from where
/// they were when they are started again.
#[derive(Debug, Clone, Default)]
pub struct Rebuilds {
    /// The running ones; wait for it before the process ends.
    pub running: TaskTracker,
    /// Ends them.
    pub stop: CancellationToken,
}
