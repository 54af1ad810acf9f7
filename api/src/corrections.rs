//! Corrections by hand: changes of progress and grants of rewards. Each is committed before it is
//! answered.

use axum::body::Body;
use axum::extract::{Extension, State};
use axum::http::HeaderMap;
use plaudit_domain::calendar::PeriodKey;
use plaudit_domain::catalogue::definition::Payout;
use plaudit_domain::ids::{TaskId, UserId};
use plaudit_domain::lane::Position;
use plaudit_domain::user_tasks::{
    Adjustment, Change, Correction, HandCommand, Rejection, Reward, Seed,
};
use plaudit_event_store::hand_answers::{CorrectedProgress, GrantedByHand, RestoredStreak};
use plaudit_event_store::{ByHand, HandAnswer, HandReceipt, Origin, RequestKey};
use uuid::Uuid;

use crate::auth::Caller;
use crate::etag::no_store_at;
use crate::in_flight::Held;
use crate::input::{TaskPath, UserPath, idempotency_key, unknown_task, unless_unknown};
use crate::problem::{Answer, Problem, ProblemBody, causes};
use crate::reason::HandBody;
use crate::state::{ApiState, Shared};
use crate::telemetry::RequestId;
use crate::wire::{correction_shapes, parameters};

/// The longest period key, in characters.
const PERIOD_CHARS_MAX: usize = 64;
/// The longest line name, in characters, as in task files.
const LINE_CHARS_MAX: usize = 64;
/// The longest `kind` or `code`, in characters, as in task files.
const PAYER_CHARS_MAX: usize = 200;

/// The operator who requests a correction, and the key that identifies a repeat.
pub struct Author {
    request: Uuid,
    by: String,
    idempotency_key: Option<String>,
}

impl Author {
    /// Takes the operator from the token, and the key from the headers.
    pub fn read(request: Uuid, caller: &Caller, headers: &HeaderMap) -> Answer<Self> {
        let idempotency_key = idempotency_key(headers)?;
        Ok(Self { request, by: caller.subject.clone(), idempotency_key })
    }

    /// Returns the key that identifies a repeat: the idempotency key, or the request's id without
    /// one.
    pub fn key(&self) -> String {
        self.idempotency_key.clone().unwrap_or_else(|| self.request.to_string())
    }

    /// Returns the origin of the change, which is this request.
    pub fn origin(&self) -> Origin {
        Origin::Request(self.request)
    }

    /// Returns the operator: the `sub` of the token.
    pub fn by(&self) -> &str {
        &self.by
    }
}

/// Applies a correction. Returns its receipt, and a position at or after it.
pub async fn correct(
    state: &ApiState,
    user: &UserId,
    (change, revoked): (Change, Option<Reward>),
    (author, reason): (&Author, String),
    held: Held,
) -> Answer<(HandReceipt, Position)> {
    let about = match &change {
        Change::Revoke { grant, .. } => grant.to_string(),
        other => other.task().map(TaskId::to_string).unwrap_or_default(),
    };
    let operation = format!("{} {about}", change.name()).trim_end().to_owned();
    let key = RequestKey { user: user.clone(), operation, key: author.key() };
    let (by, at) = (author.by.clone(), state.now());
    let seed = Seed(Uuid::new_v4().as_u64_pair().0);
    let correction = Correction { user: user.clone(), change, by, reason, at, seed };
    let command = Box::new(HandCommand::Correct(correction));
    let work = ByHand { key, command, revoked: revoked.map(Box::new) };
    let applied = state.apply(user, work, author.origin(), held).await?;
    match applied.answer? {
        HandAnswer::Changed(receipt) => Ok((receipt, applied.position)),
        HandAnswer::Rejected(rejection) => Err(refused(&rejection)),
    }
}

/// Returns the problem for a stored receipt of a different change than its key names.
pub fn other_change() -> Problem {
    tracing::error!("a stored receipt belongs to a different change than its key names");
    Problem::Internal
}

/// Returns the problem for a change by hand that the rules reject.
pub fn refused(rejection: &Rejection) -> Problem {
    let detail = rejection.to_string();
    let cause = match rejection {
        Rejection::UnknownTask { task } => return unknown_task(task),
        Rejection::UnknownPeriod { .. } => &causes::UNKNOWN_PERIOD,
        Rejection::UnknownGrant { .. } => &causes::UNKNOWN_GRANT,
        Rejection::NoStreak { .. } => &causes::NO_STREAK,
        Rejection::NotRedeliverable { .. } => &causes::NOT_REDELIVERABLE,
        Rejection::NotRevocable { .. } => &causes::NOT_REVOCABLE,
        Rejection::NotCorrectable { .. } => &causes::NOT_CORRECTABLE,
    };
    if cause.status == axum::http::StatusCode::CONFLICT {
        Problem::Conflict { cause, detail }
    } else {
        Problem::NotFound { cause, detail }
    }
}

/// Builds the change from the task, the period and the fields of the body.
type ReadChange = fn(TaskId, Option<PeriodKey>, &mut HandBody) -> Change;

/// `POST /v1/users/{user}/tasks/{task}/adjust`: changes the progress of an open period, up or down.
#[utoipa::path(post, path = "/v1/users/{user}/tasks/{task}/adjust", tag = "users", operation_id = "adjust",
    params(parameters::User, parameters::Task, parameters::Idempotency),
    request_body(content = correction_shapes::Adjustment),
    responses(
        (status = 200, description = "The period after the correction", body = correction_shapes::CorrectedProgress),
        (status = 409, description = "The period is closed, a step of a streak, or already has the requested progress", body = ProblemBody, content_type = "application/problem+json"),
        (status = 413, description = "Too large", body = ProblemBody, content_type = "application/problem+json"),
        (status = 415, description = "Not JSON", body = ProblemBody, content_type = "application/problem+json"),
    ))]
pub async fn adjust(
    state: State<Shared>,
    request: Extension<RequestId>,
    caller: Extension<Caller>,
    user: UserPath,
    task: TaskPath,
    headers: HeaderMap,
    body: Body,
) -> Answer {
    let read_change: ReadChange = |task, period, body| {
        if body.has("by") == body.has("to") {
            body.refuse("by", "exactly one of `by` and `to` is required");
        }
        let expected = "must be an integer: the amount to add, negative to subtract";
        let by = body.integer("by", .., expected);
        let to = body.integer("to", 0.., "must be an integer of at least 0");
        let adjustment = match (by, to) {
            (Some(by), _) => Adjustment::By(by),
            (None, to) => Adjustment::To(to.unwrap_or_default()),
        };
        Change::Adjust { task, period, adjustment }
    };
    progress((state, request, caller), (user, task), headers, body, read_change).await
}

/// `POST /v1/users/{user}/tasks/{task}/complete`: completes an open period, even if the task is
/// locked.
#[utoipa::path(post, path = "/v1/users/{user}/tasks/{task}/complete", tag = "users", operation_id = "complete",
    params(parameters::User, parameters::Task, parameters::Idempotency),
    request_body(content = correction_shapes::PeriodCorrection),
    responses(
        (status = 200, description = "The period after the correction", body = correction_shapes::CorrectedProgress),
        (status = 409, description = "The period is closed, or completed already", body = ProblemBody, content_type = "application/problem+json"),
        (status = 413, description = "Too large", body = ProblemBody, content_type = "application/problem+json"),
        (status = 415, description = "Not JSON", body = ProblemBody, content_type = "application/problem+json"),
    ))]
pub async fn complete(
    state: State<Shared>,
    request: Extension<RequestId>,
    caller: Extension<Caller>,
    user: UserPath,
    task: TaskPath,
    headers: HeaderMap,
    body: Body,
) -> Answer {
    let read_change: ReadChange = |task, period, _| Change::Complete { task, period };
    progress((state, request, caller), (user, task), headers, body, read_change).await
}

/// `POST /v1/users/{user}/tasks/{task}/reset`: restarts an open period, or the streak of a
/// continuous task.
#[utoipa::path(post, path = "/v1/users/{user}/tasks/{task}/reset", tag = "users", operation_id = "reset",
    params(parameters::User, parameters::Task, parameters::Idempotency),
    request_body(content = correction_shapes::PeriodCorrection),
    responses(
        (status = 200, description = "The period after the correction", body = correction_shapes::CorrectedProgress),
        (status = 409, description = "The period is closed, or nothing is counted in it", body = ProblemBody, content_type = "application/problem+json"),
        (status = 413, description = "Too large", body = ProblemBody, content_type = "application/problem+json"),
        (status = 415, description = "Not JSON", body = ProblemBody, content_type = "application/problem+json"),
    ))]
pub async fn reset(
    state: State<Shared>,
    request: Extension<RequestId>,
    caller: Extension<Caller>,
    user: UserPath,
    task: TaskPath,
    headers: HeaderMap,
    body: Body,
) -> Answer {
    let read_change: ReadChange = |task, period, _| Change::Reset { task, period };
    progress((state, request, caller), (user, task), headers, body, read_change).await
}

/// `POST /v1/users/{user}/tasks/{task}/restore`: fills a missed period of a streak, as a make-up
/// does.
#[utoipa::path(post, path = "/v1/users/{user}/tasks/{task}/restore", tag = "users", operation_id = "restore",
    params(parameters::User, parameters::Task, parameters::Idempotency),
    request_body(content = correction_shapes::Restoration),
    responses(
        (status = 200, description = "The streak after the restoration", body = correction_shapes::RestoredStreak),
        (status = 409, description = "The task has no streak, or the period was not missed, has not ended, or is no longer remembered", body = ProblemBody, content_type = "application/problem+json"),
        (status = 413, description = "Too large", body = ProblemBody, content_type = "application/problem+json"),
        (status = 415, description = "Not JSON", body = ProblemBody, content_type = "application/problem+json"),
    ))]
pub async fn restore(
    State(state): State<Shared>,
    Extension(RequestId(request)): Extension<RequestId>,
    Extension(caller): Extension<Caller>,
    UserPath(user): UserPath,
    TaskPath(task): TaskPath,
    headers: HeaderMap,
    body: Body,
) -> Answer {
    let asked = async {
        let author = Author::read(request, &caller, &headers)?;
        let (mut body, held) = HandBody::read(&state, &headers, body).await?;
        let reason = body.required_reason();
        let period = PeriodKey::from(body.required_text("period", PERIOD_CHARS_MAX));
        body.finish()?;
        Ok((author, reason, Change::Restore { task: task.clone(), period }, held))
    };
    let (author, reason, change, held) = match asked.await {
        Ok(asked) => asked,
        Err(wrong) => return Err(unless_unknown(&state, &task, wrong).await),
    };
    let (receipt, at_or_after) =
        correct(&state, &user, (change, None), (&author, reason), held).await?;
    let answer = RestoredStreak::of(user, receipt).ok_or_else(other_change)?;
    Ok(no_store_at(at_or_after, &answer))
}

async fn progress(
    (State(state), Extension(RequestId(request)), Extension(caller)): (
        State<Shared>,
        Extension<RequestId>,
        Extension<Caller>,
    ),
    (UserPath(user), TaskPath(task)): (UserPath, TaskPath),
    headers: HeaderMap,
    body: Body,
    read_change: ReadChange,
) -> Answer {
    let asked = async {
        let author = Author::read(request, &caller, &headers)?;
        let (mut body, held) = HandBody::read(&state, &headers, body).await?;
        let reason = body.required_reason();
        let period = body.text("period", PERIOD_CHARS_MAX).map(PeriodKey::from);
        let change = read_change(task.clone(), period, &mut body);
        body.finish()?;
        Ok((author, reason, change, held))
    };
    let (author, reason, change, held) = match asked.await {
        Ok(asked) => asked,
        Err(wrong) => return Err(unless_unknown(&state, &task, wrong).await),
    };
    let (receipt, at_or_after) =
        correct(&state, &user, (change, None), (&author, reason), held).await?;
    let answer = CorrectedProgress::of(user, receipt).ok_or_else(other_change)?;
    Ok(no_store_at(at_or_after, &answer))
}

/// `POST /v1/users/{user}/grants`: grants a reward that no task promised. It is delivered like any
/// other.
#[utoipa::path(post, path = "/v1/users/{user}/grants", tag = "users", operation_id = "grantByHand",
    params(parameters::User, parameters::Idempotency),
    request_body(content = correction_shapes::HandGrant),
    responses(
        (status = 200, description = "The grant that this request, or the first one with this key or line, made", body = correction_shapes::GrantedByHand),
        (status = 413, description = "Too large", body = ProblemBody, content_type = "application/problem+json"),
        (status = 415, description = "Not JSON", body = ProblemBody, content_type = "application/problem+json"),
    ))]
pub async fn grant(
    State(state): State<Shared>,
    Extension(RequestId(request)): Extension<RequestId>,
    Extension(caller): Extension<Caller>,
    UserPath(user): UserPath,
    headers: HeaderMap,
    body: Body,
) -> Answer {
    let author = Author::read(request, &caller, &headers)?;
    let (mut body, held) = HandBody::read(&state, &headers, body).await?;
    let reason = body.required_reason();
    let kind = body.required_text("kind", PAYER_CHARS_MAX);
    let code = body.required_text("code", PAYER_CHARS_MAX);
    let line = body.text("line", LINE_CHARS_MAX);
    let amount = body.required_integer("amount", 1.., "must be an integer of at least 1");
    body.finish()?;
    let payout = Payout { kind, code, amount };
    let change = Change::Grant { line: line.unwrap_or_else(|| author.key()), payout };
    let (receipt, at_or_after) =
        correct(&state, &user, (change, None), (&author, reason), held).await?;
    let answer = GrantedByHand::of(user, receipt).ok_or_else(other_change)?;
    Ok(no_store_at(at_or_after, &answer))
}
