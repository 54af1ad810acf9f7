//! A payer: a real HTTP server with prescribed answers that pays each grant once.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant, SystemTime};

use axum::Router;
use axum::body::Bytes;
use axum::extract::State;
use axum::http::{HeaderMap, StatusCode};
use axum::response::{IntoResponse, Response};
use axum::routing::post;
use plaudit_delivery::webhook::{Secret, signature};
use serde_json::Value;

pub const SECRET: &str = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw";

/// Chooses the answer to a message by the number of messages before it.
pub type Manners = fn(usize) -> Answer;

#[derive(Debug, Clone)]
pub enum Answer {
    Paid,
    Status(u16),
    /// A status after this time.
    Late(u16, Duration),
    /// With `Retry-After`.
    Later(u16, &'static str),
    /// With `Retry-After` as a date this far ahead.
    LaterOn(u16, Duration),
    /// Pays, and answers after this time.
    Slowly(Duration),
    /// Pays, and says that it did not.
    PaidButFailed,
    Redirect(String),
}

#[derive(Clone)]
pub struct Payer {
    pub url: String,
    seen: Arc<Mutex<Seen>>,
}

#[derive(Default)]
struct Seen {
    /// Id and body of every message.
    messages: Vec<(String, Value)>,
    /// The amount that was paid for each grant.
    paid: BTreeMap<String, i64>,
    refused: usize,
    /// Number of messages about a grant after which the next one is paid.
    failures_max: usize,
    /// The arrival of each message.
    arrivals: Vec<Instant>,
    /// The number of messages that wait for their answers.
    waiting: usize,
    waiting_max: usize,
}

impl Payer {
    pub async fn start(manners: Manners) -> Self {
        Self::start_with(manners, usize::MAX).await
    }

    /// Starts a payer that answers `Paid` once it got this number of messages about a grant. So no
    /// grant waits longer and longer because the messages of others got the good answers.
    pub async fn failing_at_most(times: usize, manners: Manners) -> Self {
        Self::start_with(manners, times).await
    }

    async fn start_with(manners: Manners, failures_max: usize) -> Self {
        let seen = Arc::new(Mutex::new(Seen { failures_max, ..Seen::default() }));
        let app = Router::new().route("/hook", post(take)).with_state((Arc::clone(&seen), manners));
        Self { url: serve(app).await, seen }
    }

    /// Starts a server that redirects every message.
    pub async fn redirecting(to: &str) -> Self {
        let seen = Arc::new(Mutex::new(Seen::default()));
        let header = [("location", to.to_owned())];
        let answer = move || std::future::ready((StatusCode::TEMPORARY_REDIRECT, header.clone()));
        let url = serve(Router::new().route("/hook", post(answer))).await;
        Self { url, seen }
    }

    /// Id and body of every message with a valid signature.
    pub fn messages(&self) -> Vec<(String, Value)> {
        self.seen.lock().unwrap().messages.clone()
    }

    /// The amount that was paid for each grant.
    pub fn paid(&self) -> BTreeMap<String, i64> {
        self.seen.lock().unwrap().paid.clone()
    }

    /// The grant of each message, in order of arrival.
    pub fn grants(&self) -> Vec<String> {
        self.messages().into_iter().map(|(id, _)| id).collect()
    }

    /// The arrival of each message.
    pub fn arrivals(&self) -> Vec<Instant> {
        self.seen.lock().unwrap().arrivals.clone()
    }

    /// The highest number of messages that waited for their answers at once.
    pub fn waiting_max(&self) -> usize {
        self.seen.lock().unwrap().waiting_max
    }

    /// Number of messages with a wrong signature.
    pub fn refused(&self) -> usize {
        self.seen.lock().unwrap().refused
    }
}

async fn serve(app: Router) -> String {
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("http://{}/hook", listener.local_addr().unwrap());
    tokio::spawn(async move { axum::serve(listener, app).await.unwrap() });
    url
}

async fn take(
    State((seen, manners)): State<(Arc<Mutex<Seen>>, Manners)>,
    headers: HeaderMap,
    body: Bytes,
) -> Response {
    let header = |name: &str| headers.get(name).and_then(|v| v.to_str().ok()).unwrap_or_default();
    let (id, timestamp) = (header("webhook-id").to_owned(), header("webhook-timestamp"));
    let text = String::from_utf8(body.to_vec()).unwrap();
    let secret = Secret::parse(SECRET).unwrap();
    let expected = signature(&[secret], &id, timestamp.parse().unwrap_or_default(), &text);
    if !header("webhook-signature").split(' ').any(|one| one == expected) {
        seen.lock().unwrap().refused += 1;
        return StatusCode::UNAUTHORIZED.into_response();
    }
    let event: Value = serde_json::from_str(&text).unwrap();
    let answer = {
        let mut seen = seen.lock().unwrap();
        let asked = seen.messages.iter().filter(|(grant, _)| *grant == id).count();
        let answer = manners(seen.messages.len());
        let answer = if asked < seen.failures_max { answer } else { Answer::Paid };
        seen.messages.push((id.clone(), event.clone()));
        seen.arrivals.push(Instant::now());
        seen.waiting += 1;
        seen.waiting_max = seen.waiting_max.max(seen.waiting);
        if matches!(answer, Answer::Paid | Answer::Slowly(_) | Answer::PaidButFailed) {
            let amount = event["data"]["amount"].as_i64().unwrap();
            seen.paid.entry(id).or_insert(amount);
        }
        answer
    };
    if let Answer::Slowly(wait) | Answer::Late(_, wait) = answer {
        tokio::time::sleep(wait).await;
    }
    seen.lock().unwrap().waiting -= 1;
    match answer {
        Answer::Paid => StatusCode::NO_CONTENT.into_response(),
        Answer::Status(status) | Answer::Late(status, _) => {
            (StatusCode::from_u16(status).unwrap(), "not today").into_response()
        }
        Answer::Later(status, when) => {
            (StatusCode::from_u16(status).unwrap(), [("retry-after", when)]).into_response()
        }
        Answer::LaterOn(status, wait) => {
            let when = httpdate::fmt_http_date(SystemTime::now() + wait);
            (StatusCode::from_u16(status).unwrap(), [("retry-after", when)]).into_response()
        }
        Answer::Slowly(_) => StatusCode::OK.into_response(),
        Answer::PaidButFailed => StatusCode::INTERNAL_SERVER_ERROR.into_response(),
        Answer::Redirect(to) => {
            (StatusCode::TEMPORARY_REDIRECT, [("location", to)]).into_response()
        }
    }
}
