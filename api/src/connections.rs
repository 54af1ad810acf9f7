//! Serves HTTP/1.1 within limits on the number of connections, on the time for the head of a
//! request, on silence between requests, and on answers that a client does not read. The time for a
//! request's body is limited where the body is read (`input::read_body`).

mod activity;
mod places;
mod watched_io;

use std::convert::Infallible;
use std::pin::{Pin, pin};
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;

use axum::Router;
use axum::body::{Body, Bytes};
use hyper::body::{Frame, Incoming, SizeHint};
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::rt::{TokioIo, TokioTimer};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::Semaphore;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;
use tower::Service as _;

use crate::problem::Problem;
use activity::{Activity, Busy};
use places::{Place, Places};
use watched_io::WatchedIo;

/// The limits on connections.
#[derive(Debug, Clone, Copy)]
pub struct ConnectionLimits {
    /// The maximum number of open connections. One more connection replaces the one that has waited
    /// longest for a request or for the body of one. If all are busy, the new connection is refused
    /// with 503.
    pub connections_max: usize,
    /// Time limit for the head of a request, from its first byte; for the first request of a
    /// connection, from the connection's start.
    pub head_timeout: Duration,
    /// Time limit for the silence between two requests.
    pub idle_timeout: Duration,
    /// Time limit for a client that reads nothing of its answer.
    pub write_timeout: Duration,
}

impl ConnectionLimits {
    /// Limits with the documented times.
    pub fn new(connections_max: usize) -> Self {
        Self {
            connections_max,
            head_timeout: Duration::from_secs(10),
            idle_timeout: Duration::from_secs(60),
            write_timeout: Duration::from_secs(30),
        }
    }
}

/// The longest head of a request, in bytes; longer ones get 431.
const HEAD_BYTES_MAX: usize = 64 * 1024;

/// The pause after the operating system failed to accept a connection, for example for lack of file
/// descriptors.
const ACCEPT_RETRY: Duration = Duration::from_millis(200);

/// The number of connections that are refused with an answer at the same time; any more are just
/// closed.
const REFUSALS_MAX: usize = 64;
/// Time limit for refusing a connection.
const REFUSAL_TIMEOUT: Duration = Duration::from_secs(1);

/// Serves until `stop` is cancelled and the requests that had begun by then are answered.
pub async fn serve(
    listener: TcpListener,
    router: Router,
    limits: ConnectionLimits,
    stop: CancellationToken,
) {
    let places = Places::new(limits.connections_max);
    let refusals = Arc::new(Semaphore::new(REFUSALS_MAX));
    let connections = TaskTracker::new();
    while let Some(stream) = stop.run_until_cancelled(accept(&listener)).await {
        match places.take().await {
            Some(place) => {
                let (router, stop) = (router.clone(), stop.clone());
                connections.spawn(connection(stream, router, place, limits, stop));
            }
            None => {
                metrics::counter!("plaudit_http_connections_refused_total").increment(1);
                if let Ok(turn) = Arc::clone(&refusals).try_acquire_owned() {
                    connections.spawn(async move {
                        let _ = tokio::time::timeout(REFUSAL_TIMEOUT, refuse(stream)).await;
                        drop(turn);
                    });
                }
            }
        }
    }
    // Frees the port for a successor while the last requests are answered.
    drop(listener);
    connections.close();
    connections.wait().await;
}

async fn accept(listener: &TcpListener) -> TcpStream {
    loop {
        match listener.accept().await {
            Ok((stream, _)) => return stream,
            Err(error) if is_of_the_client(&error) => {}
            Err(error) => {
                tracing::error!(%error, "connections can't be accepted: {error}");
                tokio::time::sleep(ACCEPT_RETRY).await;
            }
        }
    }
}

/// True if the client disconnected before it was accepted.
fn is_of_the_client(error: &std::io::Error) -> bool {
    use std::io::ErrorKind::{ConnectionAborted, ConnectionRefused, ConnectionReset};
    matches!(error.kind(), ConnectionAborted | ConnectionRefused | ConnectionReset)
}

/// Answers 503 and reads what the client sends meanwhile: closing a connection with unread bytes
/// resets it, and the client would never see the answer.
async fn refuse(mut stream: TcpStream) -> std::io::Result<()> {
    let problem = Problem::Unavailable("too many connections are open; try again");
    stream.write_all(&problem.into_http1()).await?;
    stream.shutdown().await?;
    let mut thrown_away = [0; 4096];
    while stream.read(&mut thrown_away).await? > 0 {}
    Ok(())
}

async fn connection(
    stream: TcpStream,
    router: Router,
    place: Place,
    limits: ConnectionLimits,
    stop: CancellationToken,
) {
    // Sends answers at once, even while earlier bytes are unacknowledged.
    let _ = stream.set_nodelay(true);
    let activity = place.activity();
    let service = service_fn(|request: hyper::Request<Incoming>| {
        let busy = Busy::begin(activity);
        let request = request.map(|body| RequestBody { body, activity: Arc::clone(activity) });
        let answer = router.clone().call(request);
        async move {
            let response = answer.await?;
            Ok::<_, Infallible>(response.map(|body| WatchedBody { body, _busy: busy }))
        }
    });
    let io = TokioIo::new(WatchedIo::new(stream, Arc::clone(activity)));
    let mut connection = pin!(
        http1::Builder::new()
            .timer(TokioTimer::new())
            // `Activity::overdue` does this; it can tell a partial head from silence.
            .header_read_timeout(None)
            .max_header_size(HEAD_BYTES_MAX)
            .max_buf_size(2 * HEAD_BYTES_MAX)
            .serve_connection(io, service)
    );
    let mut stopping = false;
    loop {
        tokio::select! {
            served = connection.as_mut() => {
                if let Err(error) = served {
                    tracing::debug!(%error, "a connection ended early");
                }
                return;
            }
            () = activity.overdue(&limits, stopping) => return,
            () = activity.evicted() => return,
            () = stop.cancelled(), if !stopping => {
                stopping = true;
                connection.as_mut().graceful_shutdown();
            }
        }
    }
}

/// The body of a request. While its reader waits for the client, the connection may lose its place
/// to another one.
struct RequestBody {
    body: Incoming,
    activity: Arc<Activity>,
}

impl hyper::body::Body for RequestBody {
    type Data = Bytes;
    type Error = hyper::Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, hyper::Error>>> {
        let polled = Pin::new(&mut self.body).poll_frame(cx);
        match &polled {
            Poll::Pending => self.activity.body_awaited(),
            Poll::Ready(Some(Ok(frame))) => {
                self.activity.body_received(frame.data_ref().map_or(0, Bytes::len));
            }
            Poll::Ready(_) => self.activity.body_ended(),
        }
        polled
    }

    fn is_end_stream(&self) -> bool {
        self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.body.size_hint()
    }
}

impl Drop for RequestBody {
    fn drop(&mut self) {
        self.activity.body_ended();
    }
}

/// The body of an answer. The connection is busy until the body is dropped, which is once it was
/// sent.
struct WatchedBody {
    body: Body,
    _busy: Busy,
}

impl hyper::body::Body for WatchedBody {
    type Data = Bytes;
    type Error = axum::Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, axum::Error>>> {
        Pin::new(&mut self.body).poll_frame(cx)
    }

    fn is_end_stream(&self) -> bool {
        self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.body.size_hint()
    }
}
