//! A watched connection. It notices when a client begins a request, when a client reads nothing of
//! an answer, and when the HTTP library refuses a request by itself.

use std::io;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};

use axum::http::StatusCode;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::TcpStream;

use super::activity::{Activity, Phase};
use crate::problem::Problem;

/// A stream that reports to an [`Activity`]; see the module.
pub struct WatchedIo {
    stream: TcpStream,
    activity: Arc<Activity>,
    /// The unsent rest of the problem that replaces the library's refusal.
    refusal: Vec<u8>,
}

impl WatchedIo {
    /// Watches `stream` on behalf of `activity`.
    pub fn new(stream: TcpStream, activity: Arc<Activity>) -> Self {
        Self { stream, activity, refusal: Vec::new() }
    }

    fn poll_refusal(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        while !self.refusal.is_empty() {
            let written = ready!(Pin::new(&mut self.stream).poll_write(cx, &self.refusal))?;
            if written == 0 {
                return Poll::Ready(Err(io::ErrorKind::WriteZero.into()));
            }
            self.refusal.drain(..written);
        }
        Poll::Ready(Ok(()))
    }
}

/// Returns the problem that replaces an error without a body. The HTTP library answers invalid HTTP
/// by itself, before any of our code runs; our own refusals all have a body.
fn problem_of(bare: &[u8]) -> Option<Problem> {
    let head = std::str::from_utf8(bare).ok()?;
    let code = head.strip_prefix("HTTP/1.1 ")?.get(..3)?.parse::<u16>().ok()?;
    let status = StatusCode::from_u16(code).ok().filter(StatusCode::is_client_error)?;
    let is_bare =
        head.ends_with("\r\n\r\n") && head.to_ascii_lowercase().contains("content-length: 0");
    is_bare.then_some(Problem::NotHttp(status))
}

impl AsyncRead for WatchedIo {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let before = buf.filled().len();
        ready!(Pin::new(&mut self.stream).poll_read(cx, buf))?;
        if buf.filled().len() > before {
            self.activity.received();
        }
        Poll::Ready(Ok(()))
    }
}

impl AsyncWrite for WatchedIo {
    fn poll_write(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        if self.activity.phase() == Phase::Head
            && let Some(problem) = problem_of(bytes)
        {
            self.refusal = problem.into_http1();
            return Poll::Ready(Ok(bytes.len()));
        }
        let written = Pin::new(&mut self.stream).poll_write(cx, bytes);
        self.activity.writing(written.is_pending());
        written
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        slices: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        if let [only] = slices {
            return self.poll_write(cx, only);
        }
        let written = Pin::new(&mut self.stream).poll_write_vectored(cx, slices);
        self.activity.writing(written.is_pending());
        written
    }

    fn is_write_vectored(&self) -> bool {
        self.stream.is_write_vectored()
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        ready!(self.poll_refusal(cx))?;
        Pin::new(&mut self.stream).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        ready!(self.poll_refusal(cx))?;
        Pin::new(&mut self.stream).poll_shutdown(cx)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_an_answer_without_a_body_is_replaced() {
        let bare = |status: &str| {
            format!("HTTP/1.1 {status}\r\ncontent-length: 0\r\nconnection: close\r\n\r\n")
        };
        let code = |answer: &str| match problem_of(answer.as_bytes()) {
            Some(Problem::NotHttp(status)) => Some(status.as_u16()),
            _ => None,
        };
        assert_eq!(code(&bare("400 Bad Request")), Some(400));
        assert_eq!(code(&bare("431 Request Header Fields Too Large")), Some(431));
        assert_eq!(code(&bare("200 OK")), None);
        assert_eq!(code("HTTP/1.1 404 Not Found\r\ncontent-length: 2\r\n\r\n{}"), None);
    }
}
