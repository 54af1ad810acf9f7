//! The payer that is called by webhook.

use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::{Duration, Instant};

use axum::Router;
use axum::body::Bytes;
use axum::extract::State;
use axum::http::{HeaderMap, StatusCode};
use axum::routing::post;
use plaudit_delivery::webhook::{Secret, signature};
use serde_json::{Value, json};
use tokio::net::TcpListener;
use tokio::task::AbortHandle;
use uuid::Uuid;

use super::{CHANNEL, KIND, Payment, Shared, Way, acknowledgement};

const SECRET: &str = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw";
/// Plaudit's time limit for an answer, in whole seconds.
const TIMEOUT_SECONDS: u64 = 1;
const LATE: Duration = Duration::from_millis(1_000 * TIMEOUT_SECONDS + 300);
/// Plaudit has stopped waiting for an answer by then.
const NEVER: Duration = Duration::from_secs(20);

/// The payer's behaviour for one message.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Manner {
    /// Pays, and says so.
    Well,
    /// Does not pay: 503.
    Fails,
    /// Refuses to pay for good: 422.
    Refuses,
    /// Does not pay, and also reports that by an action.
    SaysItFailed,
    /// Pays, and answers when plaudit has stopped waiting.
    AnswersLate,
    /// Pays, but answers 500.
    DeniesIt,
    /// Pays, says so, and says so again by an action.
    AnswersTwice,
    /// Pays and says so, then reports by an action that it has not.
    ContradictsItself,
    /// Pays, but never answers.
    Forgets,
    /// Neither pays nor answers.
    Silent,
}

/// The behaviours in turn. Half of them are good, so that the endpoint does not count as dead.
const MANNERS: [Manner; 16] = {
    use Manner::{
        AnswersLate, AnswersTwice, ContradictsItself, DeniesIt, Fails, Forgets, Refuses,
        SaysItFailed, Well,
    };
    [
        Well,
        Fails,
        Well,
        AnswersTwice,
        Well,
        AnswersLate,
        Well,
        DeniesIt,
        Well,
        Forgets,
        Well,
        Refuses,
        Well,
        SaysItFailed,
        Well,
        ContradictsItself,
    ]
};

/// The faults of this payer.
pub(super) const ODDITIES: [&str; 9] = [
    "payments refused for the moment",
    "payments refused for good",
    "payments said to have failed",
    "payments answered late",
    "payments denied",
    "payments answered twice",
    "payments contradicted",
    "payments never answered",
    TO_THE_DEAD,
];
pub(super) const TO_THE_DEAD: &str = "messages to a dead payer";

impl Manner {
    fn name(self) -> Option<&'static str> {
        Some(match self {
            Self::Well => return None,
            Self::Fails => ODDITIES[0],
            Self::Refuses => ODDITIES[1],
            Self::SaysItFailed => ODDITIES[2],
            Self::AnswersLate => ODDITIES[3],
            Self::DeniesIt => ODDITIES[4],
            Self::AnswersTwice => ODDITIES[5],
            Self::ContradictsItself => ODDITIES[6],
            Self::Forgets => ODDITIES[7],
            Self::Silent => TO_THE_DEAD,
        })
    }

    fn pays(self) -> bool {
        !matches!(self, Self::Fails | Self::Refuses | Self::SaysItFailed | Self::Silent)
    }
}

/// Returns the configuration of this payer's channel.
pub(super) fn channel(address: &str) -> Value {
    json!({
        "name": CHANNEL, "type": "webhook", "url": format!("http://{address}/pay"),
        "secrets": [SECRET], "grants": [{ "kind": KIND }],
        "timeout": format!("PT{TIMEOUT_SECONDS}S"), "concurrency": 32, "allow_private": true,
    })
}

pub(super) fn start(listener: TcpListener, shared: Arc<Shared>) -> AbortHandle {
    let app = Router::new().route("/pay", post(pay)).with_state(shared);
    let serving = tokio::spawn(async move {
        if let Err(error) = axum::serve(listener, app).await {
            tracing::error!("soak: the payer by webhook has ended: {error}");
        }
    });
    serving.abort_handle()
}

/// Records a message and returns the behaviour for it.
fn enter(shared: &Shared, id: Uuid, payment: &Payment) -> Manner {
    let mut ledger = shared.ledger();
    ledger.last_message_at = Some(Instant::now());
    let turn = ledger.messages;
    ledger.messages += 1;
    let manner = if shared.behaves() {
        Manner::Well
    } else if shared.is_silent.load(Ordering::Relaxed) {
        Manner::Silent
    } else {
        MANNERS[turn % MANNERS.len()]
    };
    if let Some(name) = manner.name() {
        *ledger.met.entry(name).or_default() += 1;
    }
    if manner.pays() {
        ledger.pay(Way::Webhook, id, payment.clone());
    }
    manner
}

async fn pay(State(shared): State<Arc<Shared>>, headers: HeaderMap, body: Bytes) -> StatusCode {
    let Some((id, event)) = checked(&headers, &body) else {
        let wrong = format!("not signed: {}", String::from_utf8_lossy(&body));
        shared.ledger().wrong.push(wrong);
        return StatusCode::UNAUTHORIZED;
    };
    let payment = Payment::read(&event);
    let manner = enter(&shared, id, &payment);
    let Payment { user, .. } = payment;
    match manner {
        Manner::SaysItFailed => say(shared, acknowledgement(&user, id, false, "failed")),
        Manner::AnswersTwice => say(shared, acknowledgement(&user, id, true, "again")),
        Manner::ContradictsItself => say(shared, acknowledgement(&user, id, false, "not-so")),
        Manner::AnswersLate => tokio::time::sleep(LATE).await,
        Manner::Forgets | Manner::Silent => tokio::time::sleep(NEVER).await,
        Manner::Well | Manner::Fails | Manner::Refuses | Manner::DeniesIt => {}
    }
    match manner {
        Manner::Fails | Manner::Silent => StatusCode::SERVICE_UNAVAILABLE,
        Manner::Refuses => StatusCode::UNPROCESSABLE_ENTITY,
        Manner::DeniesIt | Manner::SaysItFailed => StatusCode::INTERNAL_SERVER_ERROR,
        Manner::Well
        | Manner::AnswersLate
        | Manner::AnswersTwice
        | Manner::ContradictsItself
        | Manner::Forgets => StatusCode::NO_CONTENT,
    }
}

/// Sends an action once, beside the answer. If no instance is up, it is lost.
fn say(shared: Arc<Shared>, action: Value) {
    tokio::spawn(async move {
        if let Err(error) = shared.api.post_actions(&[action]).await {
            tracing::debug!("soak: what a payer said was lost: {error}");
        }
    });
}

/// Returns the grant and the message if the signature is valid.
fn checked(headers: &HeaderMap, body: &Bytes) -> Option<(Uuid, Value)> {
    let header = |name: &str| headers.get(name)?.to_str().ok();
    let (id, text) = (header("webhook-id")?, std::str::from_utf8(body).ok()?);
    let secret = Secret::parse(SECRET).ok()?;
    let expected = signature(&[secret], id, header("webhook-timestamp")?.parse().ok()?, text);
    let is_signed = header("webhook-signature")?.split(' ').any(|one| one == expected);
    is_signed.then_some((id.parse().ok()?, serde_json::from_str(text).ok()?))
}
