//! Claims: the user takes what was earned. They commit before they are answered, and never depend
//! on a read model.

use axum::body::Body;
use axum::extract::{Extension, State};
use axum::http::HeaderMap;
use axum::response::Response;
use jiff::Timestamp;
use plaudit_domain::calendar::PeriodKey;
use plaudit_domain::ids::{TaskId, UserId};
use plaudit_domain::screen::{TaskScreenState, state_of_task};
use plaudit_domain::user_tasks::Rejection;
use plaudit_event_store::{Applied, Item, Origin, Outcome, Receipt, Work};
use serde::Serialize;
use serde_json::Value;

use crate::etag::no_store_at;
use crate::input::{
    TaskPath, UserPath, media_type, pointer_to, read_body, refuse_encoded, unless_unknown,
};
use crate::observe::RequestId;
use crate::openapi::{parameters, shapes};
use crate::problem::{Answer, InputError, Problem, ProblemBody};
use crate::state::{ApiState, Shared};
use crate::users;

/// A claim names two short values.
const BODY_BYTES_MAX: usize = 64 * 1024;

/// `POST /v1/users/{user}/tasks/{task}/claim`: one milestone, by default the oldest claimable one.
#[utoipa::path(post, path = "/v1/users/{user}/tasks/{task}/claim", tag = "users", operation_id = "claim",
    params(parameters::User, parameters::Task, parameters::Idempotency),
    request_body = Option<shapes::Claim>,
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
    let at = now();
    let (idempotency_key, wish) = match Wish::with_key(&headers, body).await {
        Ok(wish) => wish,
        Err(wrong) => return Err(unless_unknown(&state, &task, wrong).await),
    };
    let work = Work::Claim {
        user: user.clone(),
        task: task.clone(),
        period: wish.period,
        milestone: wish.milestone,
        at,
        idempotency_key,
    };
    let applied = apply(&state, &user, work, Origin::Request(request)).await?;
    match applied.outcome {
        Outcome::Claimed(receipt) => Ok(no_store_at(applied.position, &receipt)),
        Outcome::Rejected(rejection) => Err(refused(&state, &user, &task, &rejection).await?),
        other => Err(unexpected(&other)),
    }
}

#[derive(Serialize)]
struct ClaimedAll {
    user: UserId,
    position: String,
    outcomes: Vec<ClaimOutcome>,
}

#[derive(Serialize)]
struct ClaimOutcome {
    outcome: &'static str,
    #[serde(flatten)]
    receipt: Receipt,
}

/// `POST /v1/users/{user}/claims`: everything that is claimable.
#[utoipa::path(post, path = "/v1/users/{user}/claims", tag = "users", operation_id = "claimAll",
    params(parameters::User, parameters::Idempotency),
    responses(
        (status = 200, description = "What was taken", body = shapes::ClaimedAll),
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
    let at = now();
    let (idempotency_key, wish) = Wish::with_key(&headers, body).await?;
    if wish.period.is_some() || wish.milestone.is_some() {
        return Err(InputError::body(
            "",
            "this claims everything; /v1/users/{user}/tasks/{task}/claim takes one",
        )
        .into());
    }
    let work = Work::ClaimAll { user: user.clone(), at, idempotency_key };
    let applied = apply(&state, &user, work, Origin::Request(request)).await?;
    let Outcome::ClaimedAll(receipts) = applied.outcome else {
        return Err(unexpected(&applied.outcome));
    };
    let claimed = |receipt| ClaimOutcome { outcome: "claimed", receipt };
    let outcomes = receipts.into_iter().map(claimed).collect();
    let position = applied.position.to_string();
    Ok(no_store_at(applied.position, &ClaimedAll { user, position, outcomes }))
}

async fn apply(state: &ApiState, user: &UserId, work: Work, origin: Origin) -> Answer<Applied> {
    let item = Item { lane: state.lane_of(user), work, origin };
    let applied = state.submit(vec![item]).await?;
    applied.into_iter().next().ok_or_else(|| {
        tracing::error!("a batch answered fewer items than it was given");
        Problem::Internal
    })
}

fn unexpected(outcome: &Outcome) -> Problem {
    tracing::error!(?outcome, "a claim was answered as something else");
    Problem::Internal
}

/// What is not there is 404; what is there and can't be claimed is 409, with the task's state.
async fn refused(
    state: &ApiState,
    user: &UserId,
    task: &TaskId,
    rejection: &Rejection,
) -> Answer<Problem> {
    let detail = rejection.to_string();
    let kind = match rejection {
        Rejection::UnknownTask { .. } => "unknown-task",
        Rejection::UnknownMilestone { .. } => "unknown-milestone",
        Rejection::UnknownPeriod { .. } => "unknown-period",
        Rejection::NothingClaimable { .. } => {
            let state = task_state(state, user, task).await?;
            return Ok(Problem::NothingClaimable { detail, state });
        }
    };
    Ok(Problem::NotFound { kind, detail })
}

async fn task_state(
    state: &ApiState,
    user: &UserId,
    task: &TaskId,
) -> Answer<Option<TaskScreenState>> {
    let (view, catalogue) = users::view(state, state.lane_of(user), user).await?;
    Ok(state_of_task(user, &view.state, &catalogue, Timestamp::now(), task))
}

/// `Idempotency-Key`: 1 to 255 visible ASCII characters.
fn idempotency_key(headers: &HeaderMap) -> Answer<Option<String>> {
    let mut values = headers.get_all("idempotency-key").iter();
    let Some(value) = values.next() else { return Ok(None) };
    let key = value
        .to_str()
        .ok()
        .filter(|key| (1..=255).contains(&key.len()) && key.bytes().all(|b| b.is_ascii_graphic()));
    match (key, values.next()) {
        (Some(key), None) => Ok(Some(key.to_owned())),
        _ => Err(InputError::parameter(
            "Idempotency-Key",
            "one key of 1 to 255 visible ASCII characters is wanted",
        )
        .into()),
    }
}

/// What a claim's body asks for.
#[derive(Debug, Default, PartialEq, Eq)]
struct Wish {
    period: Option<PeriodKey>,
    milestone: Option<i64>,
}

impl Wish {
    /// What is asked for, and the key under which it may be asked again.
    async fn with_key(headers: &HeaderMap, body: Body) -> Answer<(Option<String>, Self)> {
        Ok((idempotency_key(headers)?, Self::read(headers, body).await?))
    }

    async fn read(headers: &HeaderMap, body: Body) -> Answer<Self> {
        let body = read_body(body, BODY_BYTES_MAX).await?;
        if body.iter().all(u8::is_ascii_whitespace) {
            return Ok(Self::default());
        }
        refuse_encoded(headers)?;
        if media_type(headers).is_some_and(|kind| kind != "application/json") {
            return Err(Problem::UnsupportedMediaType("application/json, or no body"));
        }
        let json = serde_json::from_slice(&body)
            .map_err(|e| InputError::body("", format!("no JSON: {e}")))?;
        Self::from_json(json)
    }

    fn from_json(json: Value) -> Answer<Self> {
        let Value::Object(fields) = json else {
            return Err(
                InputError::body("", "an object with `period` and `milestone` is wanted").into()
            );
        };
        let (mut wish, mut errors) = (Self::default(), Vec::new());
        for (name, value) in fields {
            match (name.as_str(), value) {
                ("period" | "milestone", Value::Null) => {}
                ("period", Value::String(key)) => wish.period = Some(key.into()),
                ("period", _) => errors
                    .push(InputError::body("/period", "a period key such as 2026-03-29 is wanted")),
                ("milestone", value) => match integer(&value) {
                    Some(at) => wish.milestone = Some(at),
                    None => errors.push(InputError::body(
                        "/milestone",
                        "the `at` of a milestone, an integer, is wanted",
                    )),
                },
                (other, _) => {
                    errors.push(InputError::body(
                        pointer_to(other),
                        "a claim has `period` and `milestone` only",
                    ));
                }
            }
        }
        if errors.is_empty() { Ok(wish) } else { Err(Problem::BadInput(errors)) }
    }
}

/// A number with a zero fraction is an integer, as it is in actions.
fn integer(value: &Value) -> Option<i64> {
    // 2^53: up to there, a number with a fraction is what was written.
    const EXACT_MAX: f64 = 9_007_199_254_740_992.0;
    value.as_i64().or_else(|| {
        let float = value.as_f64().filter(|f| f.fract() == 0.0 && f.abs() <= EXACT_MAX)?;
        #[expect(clippy::cast_possible_truncation, reason = "the value has no fraction and fits")]
        Some(float as i64)
    })
}

/// The moment of a claim, to the microsecond like every other time in the log.
fn now() -> Timestamp {
    let now = Timestamp::now();
    Timestamp::from_microsecond(now.as_microsecond()).unwrap_or(now)
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn a_wish_names_a_period_and_a_milestone_or_neither() {
        let read = |json| Wish::from_json(json).unwrap();
        assert_eq!(read(json!({})), Wish::default());
        assert_eq!(read(json!({"period": null, "milestone": null})), Wish::default());
        let named = Wish { period: Some("2026-03".to_owned().into()), milestone: Some(7) };
        assert_eq!(read(json!({"period": "2026-03", "milestone": 7})), named);
        assert_eq!(read(json!({"period": "2026-03", "milestone": 7.0})), named);
    }

    #[test]
    fn every_fault_of_a_wish_is_told_with_its_place() {
        let json = json!({"milestone": 1.5, "period": 3, "a/b": 1});
        let Err(Problem::BadInput(errors)) = Wish::from_json(json) else { panic!("refused") };
        let mut pointers: Vec<_> =
            errors.iter().filter_map(|error| error.pointer.as_deref()).collect();
        pointers.sort_unstable();
        assert_eq!(pointers, ["/a~1b", "/milestone", "/period"]);
        assert!(Wish::from_json(json!([])).is_err());
    }
}
