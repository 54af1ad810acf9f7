//! The state that all handlers share.

use std::sync::Arc;
use std::time::Duration;

use jiff::Timestamp;
use plaudit_domain::catalogue::Catalogue;
use plaudit_domain::ids::UserId;
use plaudit_domain::lane::Lane;
use plaudit_domain::screen::{ScreenRequest, TaskScreen, screen};
use plaudit_domain::user_tasks::UserTasks;
use plaudit_event_store::deliveries::PayerRoutes;
use plaudit_event_store::{Applied, CommandQueue, Executor, Item, Kind, Origin};
use plaudit_followers::HeadWatch;
use plaudit_projections::task_view::BatchingLoader;
use plaudit_release::Resolver;
use sqlx::PgPool;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use crate::auth::Keys;
use crate::computing::Computing;
use crate::cors::CorsOrigins;
use crate::exposition::Exposition;
use crate::in_flight::{Held, InFlight};
use crate::past_records::PastLookup;
use crate::problem::{Answer, Problem};
use crate::readiness::Readiness;
use crate::streams::Streams;

/// The state in the form in which handlers extract it.
pub(crate) type Shared = Arc<ApiState>;

/// The state that all handlers share.
pub struct ApiState {
    /// Connections for reads of clients. Task screens are loaded by `screens`.
    pub pool: PgPool,
    /// Connections for operators and auditors. Their requests may be slow, so they share none with
    /// clients.
    pub operators: PgPool,
    /// Loads the state behind task screens, for many users at a time.
    pub screens: BatchingLoader,
    /// Lets readers wait for a position.
    pub heads: Arc<HeadWatch>,
    /// Knows the number of lanes, the clock and the catalogue.
    pub executor: Arc<Executor>,
    /// The queue for all writes to users.
    pub commands: CommandQueue,
    /// Bounds the computations that run at the same time.
    pub computing: Computing,
    /// Bounds the memory that all requests hold together.
    pub in_flight: InFlight,
    /// The origins whose pages may call the API from a browser.
    pub cors_origins: CorsOrigins,
    /// Verifies tokens.
    pub keys: Keys,
    /// Answers `/readyz`.
    pub readiness: Readiness,
    /// Answers `/metrics`.
    pub exposition: Exposition,
    /// The longest time by which an action may lie ahead of its receipt. Later actions are parked.
    pub future_tolerance: Duration,
    /// The rebuilds that were started over HTTP.
    pub rebuilds: Rebuilds,
    /// Looks up the past actions that new tasks would count.
    pub past: PastLookup,
    /// Names the channels over which rewards are delivered again.
    pub payer_routes: PayerRoutes,
    /// Releases and discards parked records.
    pub resolver: Resolver,
    /// The open streams of server-sent events.
    pub streams: Streams,
}

impl ApiState {
    /// Applies items. If the request is dropped, for example at its deadline, items that no worker
    /// has taken yet are given up. `held` is released with the last item.
    pub(crate) async fn submit<K: Kind>(
        &self,
        items: Vec<Item<K>>,
        held: Held,
    ) -> Answer<Vec<Applied<K::Answer>>> {
        let applied = self.commands.submit_with(held, items).await;
        applied.map_err(|error| Problem::from(error.as_ref()))
    }

    /// Like [`Self::submit`], for one piece of work of a user.
    pub(crate) async fn apply<K: Kind>(
        &self,
        user: &UserId,
        work: K,
        origin: Origin,
        held: Held,
    ) -> Answer<Applied<K::Answer>> {
        let item = Item { lane: self.lane_of(user), work, origin };
        let applied = self.commands.submit_one(held, item).await;
        applied.map_err(|error| Problem::from(error.as_ref()))
    }

    /// Computes a user's task screen. Audiences with a `where` are evaluated off the runtime's
    /// threads.
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

    /// Returns the present time, to the microsecond.
    pub(crate) fn now(&self) -> Timestamp {
        self.executor.clock().now()
    }

    /// Returns the lane of a user.
    pub(crate) fn lane_of(&self, user: &UserId) -> Lane {
        Lane::of(user.as_str(), self.executor.lane_count())
    }
}

/// Time limit for work that may outlast its request. The transaction of work that exceeds it is
/// rolled back, or the pool closes its connection if the database does not answer.
pub(crate) const DETACHED_MAX: Duration = Duration::from_secs(60);

/// Runs work to its end even if its request is dropped, for at most [`DETACHED_MAX`].
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

/// Rebuilds that were started over HTTP. They end when `stop` is cancelled, and resume where they
/// ended when they are started again.
#[derive(Debug, Clone, Default)]
pub struct Rebuilds {
    /// Tracks the running rebuilds. Wait for it before the process ends.
    pub running: TaskTracker,
    /// Ends the rebuilds when it is cancelled.
    pub stop: CancellationToken,
}
