//! Reads what a refused client is still sending. Closing a connection with unread bytes resets it,
//! and the client would never see the refusal.

use std::pin::Pin;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll};
use std::time::Duration;

use axum::body::{Body, BodyDataStream, Bytes, HttpBody};
use axum::extract::Request;
use axum::http::header::EXPECT;
use axum::middleware::Next;
use axum::response::Response;
use futures::{Stream, StreamExt};

/// Limits on the bytes that are read and discarded, and on the time for it.
const LINGER_BYTES_MAX: usize = 64 * 1024 * 1024;
const LINGER_MAX: Duration = Duration::from_secs(10);

/// Delays a refusal until the body of the request has ended, within the limits.
pub async fn request(request: Request, next: Next) -> Response {
    if request.body().is_end_stream() {
        return next.run(request).await;
    }
    // With `Expect` the client sends its body only after `100 Continue`, which is sent when the
    // body is first read.
    let waits = request.headers().contains_key(EXPECT);
    let (parts, body) = request.into_parts();
    let body =
        SharedBody(Arc::new(Mutex::new(Unread { body: body.into_data_stream(), begun: false })));
    let response = next.run(Request::from_parts(parts, Body::from_stream(body.clone()))).await;
    let refused = response.status().is_client_error() || response.status().is_server_error();
    if refused && (!waits || body.lock().begun) {
        let _ = tokio::time::timeout(LINGER_MAX, read_rest(body)).await;
    }
    response
}

async fn read_rest(mut body: SharedBody) {
    let mut read = 0;
    while let Some(Ok(chunk)) = body.next().await
        && read < LINGER_BYTES_MAX
    {
        read += chunk.len();
    }
}

/// A body whose rest can be read after the handler has returned.
#[derive(Clone)]
struct SharedBody(Arc<Mutex<Unread>>);

struct Unread {
    body: BodyDataStream,
    begun: bool,
}

impl SharedBody {
    fn lock(&self) -> MutexGuard<'_, Unread> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Stream for SharedBody {
    type Item = Result<Bytes, axum::Error>;

    fn poll_next(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        let mut unread = self.lock();
        unread.begun = true;
        unread.body.poll_next_unpin(cx)
    }
}
