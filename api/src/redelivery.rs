//! Redelivery: an operator has rewards sent again under the same ids, either one or all that match
//! a filter.

use std::sync::Arc;

use axum::body::Body;
use axum::extract::{Extension, State};
use axum::http::HeaderMap;
use axum::response::Response;
use jiff::Timestamp;
use plaudit_domain::lane::Position;
use plaudit_domain::user_tasks::RewardState;
use plaudit_event_store::catalogue_store::Author;
use plaudit_event_store::deliveries::{self, Filter, GrantEntry, NewPayer};
use plaudit_event_store::operations::{self, OperationKind};
use plaudit_event_store::{Item, Origin, Redeliver, RedeliverAnswer};
use serde_json::{Value, json};
use sqlx::PgPool;
use tokio::sync::Semaphore;
use uuid::Uuid;

use crate::auth::Caller;
use crate::corrections::refused;
use crate::etag::{no_store, no_store_at};
use crate::grants::entry_of;
use crate::in_flight::Held;
use crate::input::{GrantPath, idempotency_key};
use crate::problem::{Answer, InputError, Problem, ProblemBody, causes};
use crate::reason::HandBody;
use crate::state::{ApiState, DETACHED_MAX, Shared, detached};
use crate::telemetry::RequestId;
use crate::wire::{grant_shapes, parameters};

/// The default and the largest number of grants that one request sends again.
const LIMIT: i64 = 500;
const LIMIT_MAX: i64 = 1_000;
/// Runs one keyed request at a time. Each holds a connection of the pool until it is answered,
/// while its work needs another one: several could take the whole pool and then wait for each
/// other.
static KEYED: Semaphore = Semaphore::const_new(1);

/// The states of grants that can be sent again in bulk.
const STATES: [RewardState; 3] =
    [RewardState::Failed, RewardState::Claimed, RewardState::Delivering];

/// The author, reason and key of a request.
struct Request {
    id: Uuid,
    author: Author,
    /// The author's reason; it is required here.
    reason: String,
    /// True if rewards may go to another payer than the one they were sent to.
    to_new_payer: bool,
    idempotency_key: Option<String>,
}

impl Request {
    fn read(id: Uuid, caller: &Caller, headers: &HeaderMap, body: &mut HandBody) -> Answer<Self> {
        let idempotency_key = idempotency_key(headers)?;
        let reason = body.required_reason();
        let to_new_payer = body.flag("to_new_payer");
        let author = Author { by: caller.subject.clone(), reason: Some(reason.clone()) };
        Ok(Self { id, author, reason, to_new_payer, idempotency_key })
    }

    /// Returns the refusal of a grant that another payer would get.
    fn refusal(&self, entry: &GrantEntry, state: &ApiState) -> Option<NewPayer> {
        if self.to_new_payer { None } else { entry.new_payer(&state.payer_routes) }
    }

    fn work(&self, entry: &GrantEntry, at: Timestamp) -> Redeliver {
        Redeliver {
            user: entry.user.clone(),
            grant: entry.row.reward.grant,
            by: self.author.by.clone(),
            reason: self.reason.clone(),
            at,
            even_if_delivered: entry.has_failed_again(),
            keeps_payer: !self.to_new_payer,
        }
    }

    /// Does the work once per idempotency key and records the operation, even if the client hangs up
    /// meanwhile. A repeat gets the first answer.
    async fn once(
        self: Arc<Self>,
        kind: OperationKind,
        subject: String,
        state: &Shared,
        work: impl Future<Output = Answer<Value>> + Send + 'static,
    ) -> Answer<Value> {
        // The turn is awaited with the client: a request that hangs up before its turn does nothing.
        let turn = match &self.idempotency_key {
            Some(_) => KEYED.acquire().await.ok(),
            None => None,
        };
        let pool = state.operators.clone();
        let recorded = async move {
            let answer = self.recorded(kind, &subject, &pool, work).await;
            drop(turn);
            answer
        };
        detached(recorded).await?
    }

    async fn recorded(
        &self,
        kind: OperationKind,
        subject: &str,
        pool: &PgPool,
        work: impl Future<Output = Answer<Value>>,
    ) -> Answer<Value> {
        // Many redeliveries may end half done, so their request is recorded first, whatever becomes
        // of the work. One is recorded unless it is refused.
        let is_recorded_first = kind == OperationKind::RedeliverMany;
        let Some(key) = &self.idempotency_key else {
            if is_recorded_first {
                operations::record(kind, subject, &self.author, pool).await?;
            }
            let answer = work.await?;
            if !is_recorded_first {
                operations::record(kind, subject, &self.author, pool).await?;
            }
            return Ok(answer);
        };
        if is_recorded_first {
            operations::record_once(kind, subject, &self.author, key, pool).await?;
        }
        let mut transaction = pool.begin().await?;
        let before =
            operations::begin(kind, subject, &self.author, key, DETACHED_MAX, &mut transaction)
                .await?;
        if let Some(answer) = before {
            return Ok(answer);
        }
        let answer = work.await?;
        operations::end(kind, subject, &self.author, key, &answer, &mut transaction).await?;
        transaction.commit().await?;
        Ok(answer)
    }
}

/// `POST /v1/grants/{grant}/redeliver`: sends the reward again, under the same id.
#[utoipa::path(post, path = "/v1/grants/{grant}/redeliver", tag = "grants", operation_id = "redeliver",
    params(parameters::Grant, parameters::Idempotency),
    request_body(content = grant_shapes::OneRedeliveryRequest),
    responses(
        (status = 200, description = "It will be sent again", body = grant_shapes::Redelivery),
        (status = 409, description = "It is not claimed, it was delivered, or another payer would get it", body = ProblemBody, content_type = "application/problem+json"),
        (status = 413, description = "Too large", body = ProblemBody, content_type = "application/problem+json"),
        (status = 415, description = "Not JSON", body = ProblemBody, content_type = "application/problem+json"),
    ))]
pub async fn redeliver(
    State(state): State<Shared>,
    Extension(RequestId(request)): Extension<RequestId>,
    Extension(caller): Extension<Caller>,
    GrantPath(grant): GrantPath,
    headers: HeaderMap,
    body: Body,
) -> Answer {
    let entry = entry_of(&state, grant).await?;
    let (mut body, held) = HandBody::read(&state, &headers, body).await?;
    let request = Arc::new(Request::read(request, &caller, &headers, &mut body)?);
    body.finish()?;
    let one = send_one(Arc::clone(&state), Arc::clone(&request), entry, held);
    let answer = request.once(OperationKind::Redeliver, grant.to_string(), &state, one).await?;
    Ok(answered(&answer))
}

async fn send_one(
    state: Shared,
    request: Arc<Request>,
    entry: GrantEntry,
    held: Held,
) -> Answer<Value> {
    if let Some(refusal) = request.refusal(&entry, &state) {
        return Err(Problem::Conflict { cause: &causes::NEW_PAYER, detail: refusal.to_string() });
    }
    let (work, origin) = (request.work(&entry, state.now()), Origin::Request(request.id));
    let applied = state.apply(&entry.user, work, origin, held).await?;
    match applied.answer? {
        RedeliverAnswer::Accepted => Ok(json!({
            "grant": entry.row.reward.grant, "user": entry.user,
            "position": applied.position.to_string(),
        })),
        RedeliverAnswer::Rejected(rejection) => Err(refused(&rejection)),
    }
}

/// Builds the response, with the position in its header if the answer has one.
fn answered(answer: &Value) -> Response {
    match answer["position"].as_str().and_then(|text| text.parse::<Position>().ok()) {
        Some(position) => no_store_at(position, answer),
        None => no_store(answer),
    }
}

/// `POST /v1/grants/redeliver`: sends all grants that match a filter again, at most `limit` per
/// request. Repeat with `after` set to `next` until that is null.
#[utoipa::path(post, path = "/v1/grants/redeliver", tag = "grants", operation_id = "redeliverMany",
    params(parameters::Idempotency),
    request_body(content = grant_shapes::RedeliveryRequest),
    responses(
        (status = 200, description = "The grants that will be sent again", body = grant_shapes::Redeliveries),
        (status = 413, description = "Too large", body = ProblemBody, content_type = "application/problem+json"),
        (status = 415, description = "Not JSON", body = ProblemBody, content_type = "application/problem+json"),
    ))]
pub async fn redeliver_many(
    State(state): State<Shared>,
    Extension(RequestId(request)): Extension<RequestId>,
    Extension(caller): Extension<Caller>,
    headers: HeaderMap,
    body: Body,
) -> Answer {
    let (mut body, held) = HandBody::read(&state, &headers, body).await?;
    let request = Arc::new(Request::read(request, &caller, &headers, &mut body)?);
    let filter = filter(&mut body);
    body.finish()?;
    if let Some(after) = filter.after
        && !deliveries::grant_exists(&state.operators, after).await?
    {
        return Err(unknown_after().into());
    }
    let subject = subject(&filter);
    let many = send_many(Arc::clone(&state), Arc::clone(&request), filter, held);
    let answer = request.once(OperationKind::RedeliverMany, subject, &state, many).await?;
    Ok(answered(&answer))
}

/// Reads the filter of the grants from the body.
fn filter(body: &mut HandBody) -> Filter {
    let parsed = body.text("state", 20).map(|text| text.parse::<RewardState>());
    let state = match parsed {
        None => RewardState::Failed,
        Some(Ok(state)) if STATES.contains(&state) => state,
        Some(_) => {
            body.refuse("state", "must be failed, claimed or delivering");
            RewardState::Failed
        }
    };
    let queued_since = body.text("since", 64).and_then(|text| {
        let expected = "must be an RFC 3339 instant, such as 2026-03-29T12:00:00Z";
        plaudit_domain::action::instant(&text).map_err(|_| body.refuse("since", expected)).ok()
    });
    let after = body.text("after", 64).and_then(|text| {
        text.parse().map_err(|_| body.refuse("after", "must be the id of a grant")).ok()
    });
    let expected = "must be an integer from 1 to 1000";
    let limit = body.integer("limit", 1..=LIMIT_MAX, expected).unwrap_or(LIMIT);
    Filter {
        state: Some(state),
        is_undelivered: false,
        kind: body.text("kind", 200),
        code: body.text("code", 200),
        channel: body.text("channel", 64),
        queued_since,
        after,
        limit: usize::try_from(limit).unwrap_or_default(),
    }
}

/// Describes the filter in one line.
fn subject(filter: &Filter) -> String {
    let state = filter.state.map(|state| state.as_str().to_owned());
    let (since, after) = (filter.queued_since, filter.after);
    let fields = [
        ("state", state),
        ("kind", filter.kind.clone()),
        ("code", filter.code.clone()),
        ("channel", filter.channel.clone()),
        ("since", since.map(|at| at.to_string())),
        ("after", after.map(|grant| grant.to_string())),
    ];
    let named = fields.into_iter().filter_map(|(name, value)| Some(format!("{name}={}", value?)));
    named.collect::<Vec<_>>().join(" ")
}

fn unknown_after() -> InputError {
    InputError::body("/after", "unknown grant; use `next` of the previous answer")
}

async fn send_many(
    state: Shared,
    request: Arc<Request>,
    filter: Filter,
    held: Held,
) -> Answer<Value> {
    let page = deliveries::list(&state.operators, &filter).await?.ok_or_else(unknown_after)?;
    let item = |entry: &GrantEntry| Item {
        lane: entry.lane,
        work: request.work(entry, state.now()),
        origin: Origin::Request(request.id),
    };
    let (mut redelivered, mut refusals, mut allowed) = (Vec::new(), Vec::new(), Vec::new());
    for entry in &page.grants {
        match request.refusal(entry, &state) {
            Some(why) => refusals.push(json!({ "grant": why.grant, "detail": why.to_string() })),
            None => allowed.push(entry),
        }
    }
    let items: Vec<Item<Redeliver>> = allowed.iter().copied().map(item).collect();
    let applied = if items.is_empty() { vec![] } else { state.submit(items, held).await? };
    for (entry, applied) in allowed.into_iter().zip(applied) {
        let grant = entry.row.reward.grant;
        match applied.answer {
            Ok(RedeliverAnswer::Accepted) => redelivered.push(grant),
            Ok(RedeliverAnswer::Rejected(why)) => {
                refusals.push(json!({ "grant": grant, "detail": why.to_string() }));
            }
            // The rows of one user can't be read or written. The others are redelivered.
            Err(why) => {
                let user = &entry.user;
                tracing::error!(%grant, %user, %why, "a grant can't be delivered again");
                let detail = format!(
                    "an internal error; `plaudit audit history {user}` and the log say more"
                );
                refusals.push(json!({ "grant": grant, "detail": detail }));
            }
        }
    }
    Ok(json!({ "redelivered": redelivered, "refused": refusals, "next": page.next }))
}
