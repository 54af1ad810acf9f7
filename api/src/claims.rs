//! Claims by which users take rewards. A claim is committed before it is answered, and never
//! depends on a read model.

use axum::body::Body;
use axum::extract::{Extension, State};
use axum::http::HeaderMap;
use axum::response::Response;
use plaudit_domain::calendar::PeriodKey;
use plaudit_domain::expression::EXACT_DOUBLE_MAX;
use plaudit_domain::ids::{TaskId, UserId};
use plaudit_domain::screen::{TaskScreenState, state_of_task};
use plaudit_domain::user_tasks::ClaimRejection;
use plaudit_event_store::{Applied, Item, Origin, Outcome, Receipt, Work};
use serde::Serialize;
use serde_json::Value;

use crate::etag::no_store_at;
use crate::in_flight::Held;
use crate::input::{
    TaskPath, UserPath, idempotency_key, media_type, pointer_to, read_body, refuse_encoded,
    unless_unknown,
};
use crate::openapi::{parameters, shapes};
use crate::problem::{Answer, InputError, Problem, ProblemBody, causes};
use crate::state::{ApiState, Shared};
use crate::telemetry::RequestId;
use crate::users;

/// The largest body, in bytes: a claim names two short values.
const BODY_BYTES_MAX: usize = 64 * 1024;

/// `POST /v1/users/{user}/tasks/{task}/claim`: claims one milestone, by default the oldest
/// claimable one.
#[utoipa::path(post, path = "/v1/users/{user}/tasks/{task}/claim", tag = "users", operation_id = "claim",
    params(parameters::User, parameters::Task, parameters::Idempotency),
    request_body(content = shapes::Claim, description = "Absent: the oldest milestone that is claimable"),
    responses(
        (status = 200, description = "The receipt", body = shapes::Receipt),
        (status = 409, description = "Nothing to claim; `state` is the task's", body = ProblemBody, content_type = "application/problem+json"),
        (status = 413, description = "Too large", body = ProblemBody, content_type = "application/problem+json"),
        (status = 415, description = "Not JSON", body = ProblemBody, content_type = "application/problem+json"),
    ))]
pub async fn claim(
    State(state): State<Shared>,
    Extension(RequestId(request)): Extension<RequestId>,
    UserPath(user): UserPath,
    TaskPath(task): TaskPath,
    headers: HeaderMap,
    body: Body,
) -> Answer {
    let at = state.now();
    let asked = ClaimRequest::read(&state, &headers, body).await;
    let (asked, held) = match asked {
        Ok(asked) => asked,
        Err(wrong) => return Err(unless_unknown(&state, &task, wrong).await),
    };
    let work = Work::Claim {
        user: user.clone(),
        task: task.clone(),
        period: asked.period,
        milestone: asked.milestone,
        at,
        idempotency_key: asked.idempotency_key,
    };
    let applied = apply(&state, &user, work, Origin::Request(request), held).await?;
    match applied.outcome {
        Outcome::Claimed(receipt) => Ok(no_store_at(applied.position, &receipt)),
        Outcome::ClaimRejected(rejection) => Err(refused(&state, &user, &task, &rejection).await?),
        other => Err(unexpected(&other)),
    }
}

#[derive(Serialize)]
struct ClaimedAll {
    user: UserId,
    position: String,
    outcomes: Vec<ClaimOutcome>,
    /// True if more milestones are claimable: one request claims at most 500.
    more: bool,
}

#[derive(Serialize)]
struct ClaimOutcome {
    outcome: &'static str,
    #[serde(flatten)]
    receipt: Receipt,
}

/// `POST /v1/users/{user}/claims`: claims everything that is claimable.
#[utoipa::path(post, path = "/v1/users/{user}/claims", tag = "users", operation_id = "claimAll",
    params(parameters::User, parameters::Idempotency),
    responses(
        (status = 200, description = "The receipts", body = shapes::ClaimedAll),
        (status = 413, description = "Too large", body = ProblemBody, content_type = "application/problem+json"),
        (status = 415, description = "Not JSON", body = ProblemBody, content_type = "application/problem+json"),
    ))]
pub async fn claim_all(
    State(state): State<Shared>,
    Extension(RequestId(request)): Extension<RequestId>,
    UserPath(user): UserPath,
    headers: HeaderMap,
    body: Body,
) -> Answer<Response> {
    let at = state.now();
    let (asked, held) = ClaimRequest::read(&state, &headers, body).await?;
    if asked.period.is_some() || asked.milestone.is_some() {
        return Err(InputError::body(
            "",
            "this claims everything; to claim one milestone use /v1/users/{user}/tasks/{task}/claim",
        )
        .into());
    }
    let work = Work::ClaimAll { user: user.clone(), at, idempotency_key: asked.idempotency_key };
    let applied = apply(&state, &user, work, Origin::Request(request), held).await?;
    let Outcome::ClaimedAll { receipts, more } = applied.outcome else {
        return Err(unexpected(&applied.outcome));
    };
    let claimed = |receipt| ClaimOutcome { outcome: "claimed", receipt };
    let outcomes = receipts.into_iter().map(claimed).collect();
    let position = applied.position.to_string();
    Ok(no_store_at(applied.position, &ClaimedAll { user, position, outcomes, more }))
}

pub async fn apply(
    state: &ApiState,
    user: &UserId,
    work: Work,
    origin: Origin,
    held: Held,
) -> Answer<Applied> {
    let item = Item { lane: state.lane_of(user), work, origin };
    let applied = state.submit(vec![item], held).await?;
    applied.into_iter().next().ok_or_else(|| {
        tracing::error!("a batch has fewer outcomes than items");
        Problem::Internal
    })
}

/// Returns the problem for work that failed, or has the outcome of another kind of work.
pub fn unexpected(outcome: &Outcome) -> Problem {
    match outcome {
        Outcome::Failed(reason) => tracing::error!(reason, "a request was not applied: {reason}"),
        _ => tracing::error!(?outcome, "a piece of work has the outcome of another kind"),
    }
    Problem::Internal
}

/// Returns the problem for a rejected claim: 404 if the task, milestone or period does not exist,
/// otherwise 409 with the task's state.
async fn refused(
    state: &ApiState,
    user: &UserId,
    task: &TaskId,
    rejection: &ClaimRejection,
) -> Answer<Problem> {
    let detail = rejection.to_string();
    let cause = match rejection {
        ClaimRejection::UnknownTask { .. } => &causes::UNKNOWN_TASK,
        ClaimRejection::UnknownMilestone { .. } => &causes::UNKNOWN_MILESTONE,
        ClaimRejection::UnknownPeriod { .. } => &causes::UNKNOWN_PERIOD,
        ClaimRejection::NothingClaimable { .. } => {
            let state = task_state(state, user, task).await?;
            return Ok(Problem::NothingClaimable { detail, state });
        }
    };
    Ok(Problem::NotFound { cause, detail })
}

async fn task_state(
    state: &ApiState,
    user: &UserId,
    task: &TaskId,
) -> Answer<Option<TaskScreenState>> {
    let (view, catalogue) = users::view(state, state.lane_of(user), user).await?;
    let compute = || state_of_task(user, &view.state, &catalogue, state.now(), task);
    Ok(state.computing.run(compute).await)
}

/// The content of a claim.
#[derive(Debug, Default, PartialEq, Eq)]
struct ClaimRequest {
    /// Absent: the oldest claimable one.
    period: Option<PeriodKey>,
    /// Absent: the oldest claimable one.
    milestone: Option<i64>,
    /// The same claim may be sent again under this key.
    idempotency_key: Option<String>,
}

impl ClaimRequest {
    async fn read(state: &ApiState, headers: &HeaderMap, body: Body) -> Answer<(Self, Held)> {
        let idempotency_key = idempotency_key(headers)?;
        let (body, held) = read_body(body, BODY_BYTES_MAX, &state.in_flight).await?;
        Ok((Self { idempotency_key, ..Self::from_body(headers, &body)? }, held))
    }

    fn from_body(headers: &HeaderMap, body: &[u8]) -> Answer<Self> {
        if body.iter().all(u8::is_ascii_whitespace) {
            return Ok(Self::default());
        }
        refuse_encoded(headers)?;
        if media_type(headers).is_some_and(|kind| kind != "application/json") {
            return Err(Problem::UnsupportedMediaType("application/json, or no body"));
        }
        let json = serde_json::from_slice(body)
            .map_err(|e| InputError::body("", format!("not valid JSON: {e}")))?;
        Self::from_json(json)
    }

    fn from_json(json: Value) -> Answer<Self> {
        let Value::Object(fields) = json else {
            return Err(
                InputError::body("", "must be an object with `period` and `milestone`").into()
            );
        };
        let (mut asked, mut errors) = (Self::default(), Vec::new());
        for (name, value) in fields {
            match (name.as_str(), value) {
                ("period" | "milestone", Value::Null) => {}
                ("period", Value::String(key)) => asked.period = Some(key.into()),
                ("period", _) => errors
                    .push(InputError::body("/period", "must be a period key, such as 2026-03-29")),
                ("milestone", value) => match integer(&value) {
                    Some(at) => asked.milestone = Some(at),
                    None => errors.push(InputError::body(
                        "/milestone",
                        "must be the `at` of a milestone, an integer",
                    )),
                },
                (other, _) => {
                    errors.push(InputError::body(
                        pointer_to(other),
                        "unknown field; a claim has only `period` and `milestone`",
                    ));
                }
            }
        }
        if errors.is_empty() { Ok(asked) } else { Err(Problem::BadInput(errors)) }
    }
}

/// Reads an integer; as in actions, a zero fraction is allowed where it is exact.
pub fn integer(value: &Value) -> Option<i64> {
    value.as_i64().or_else(|| {
        let float = value.as_f64().filter(|f| f.fract() == 0.0 && f.abs() < EXACT_DOUBLE_MAX)?;
        #[expect(clippy::cast_possible_truncation, reason = "the value has no fraction and fits")]
        Some(float as i64)
    })
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn a_claim_names_a_period_and_a_milestone_or_neither() {
        let read = |json| ClaimRequest::from_json(json).unwrap();
        assert_eq!(read(json!({})), ClaimRequest::default());
        assert_eq!(read(json!({"period": null, "milestone": null})), ClaimRequest::default());
        let named = ClaimRequest {
            period: Some("2026-03".to_owned().into()),
            milestone: Some(7),
            ..ClaimRequest::default()
        };
        assert_eq!(read(json!({"period": "2026-03", "milestone": 7})), named);
        assert_eq!(read(json!({"period": "2026-03", "milestone": 7.0})), named);
    }

    /// 9007199254740993.0 is read as the double ...992, so neither can be told from the other.
    #[test]
    fn an_integer_with_a_fraction_is_exact_or_refused() {
        let read = |text: &str| integer(&serde_json::from_str(text).unwrap());
        assert_eq!(read("9007199254740991.0"), Some(9_007_199_254_740_991));
        assert_eq!(read("-9007199254740991.0"), Some(-9_007_199_254_740_991));
        assert_eq!(read("9007199254740993"), Some(9_007_199_254_740_993));
        for inexact in ["9007199254740992.0", "9007199254740993.0", "-9007199254740993.0", "1e300"]
        {
            assert_eq!(read(inexact), None, "{inexact}");
        }
    }

    #[test]
    fn every_error_in_a_claim_is_reported_with_its_place() {
        let json = json!({"milestone": 1.5, "period": 3, "a/b": 1});
        let Err(Problem::BadInput(errors)) = ClaimRequest::from_json(json) else {
            panic!("refused")
        };
        let mut pointers: Vec<_> =
            errors.iter().filter_map(|error| error.pointer.as_deref()).collect();
        pointers.sort_unstable();
        assert_eq!(pointers, ["/a~1b", "/milestone", "/period"]);
        assert!(ClaimRequest::from_json(json!([])).is_err());
    }
}
