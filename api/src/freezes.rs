//! Freezes granted by hand. A grant is committed before it is answered.

use axum::body::Body;
use axum::extract::{Extension, State};
use axum::http::HeaderMap;
use axum::response::Response;
use jiff::Timestamp;
use plaudit_domain::ids::{TaskId, UserId};
use plaudit_domain::user_tasks::HandCommand;
use plaudit_event_store::{ByHand, HandAnswer, HandChange, RequestKey};
use serde::Serialize;

use crate::auth::Caller;
use crate::corrections::{Author, other_change, refused};
use crate::etag::no_store_at;
use crate::input::{TaskPath, UserPath, unless_unknown};
use crate::problem::{Answer, ProblemBody};
use crate::reason::HandBody;
use crate::state::Shared;
use crate::telemetry::RequestId;
use crate::wire::{parameters, shapes};

#[derive(Serialize)]
struct FreezesGranted {
    user: UserId,
    task: TaskId,
    position: String,
    granted_at: Timestamp,
    granted: i64,
    dropped: i64,
    freezes: i64,
}

/// `POST /v1/users/{user}/tasks/{task}/freezes`: gives a user freezes. They protect periods that
/// end later.
#[utoipa::path(post, path = "/v1/users/{user}/tasks/{task}/freezes", tag = "users", operation_id = "grantFreezes",
    params(parameters::User, parameters::Task, parameters::Idempotency),
    request_body(content = shapes::FreezeGrant),
    responses(
        (status = 200, description = "The number of freezes that were added, and dropped above `max`", body = shapes::GrantedFreezes),
        (status = 409, description = "The task is not continuous", body = ProblemBody, content_type = "application/problem+json"),
        (status = 413, description = "Too large", body = ProblemBody, content_type = "application/problem+json"),
        (status = 415, description = "Not JSON", body = ProblemBody, content_type = "application/problem+json"),
    ))]
pub async fn grant(
    State(state): State<Shared>,
    Extension(RequestId(request)): Extension<RequestId>,
    Extension(caller): Extension<Caller>,
    UserPath(user): UserPath,
    TaskPath(task): TaskPath,
    headers: HeaderMap,
    body: Body,
) -> Answer<Response> {
    let asked = async {
        let author = Author::read(request, &caller, &headers)?;
        let (mut body, held) = HandBody::read(&state, &headers, body).await?;
        let expected = "must be an integer of at least 1: the number of freezes to grant";
        let count = body.required_integer("count", 1.., expected);
        let reason = body.reason();
        body.finish()?;
        Ok((author, count, reason, held))
    };
    let (author, count, reason, held) = match asked.await {
        Ok(asked) => asked,
        Err(wrong) => return Err(unless_unknown(&state, &task, wrong).await),
    };
    let (by, at) = (Some(author.by().to_owned()), state.now());
    let (of, on) = (user.clone(), task.clone());
    let command = HandCommand::GrantFreezes { user: of, task: on, count, reason, by, at };
    let operation = format!("freezes {task}");
    let key = RequestKey { user: user.clone(), operation, key: author.key() };
    let work = ByHand { key, command: Box::new(command), revoked: None };
    let applied = state.apply(&user, work, author.origin(), held).await?;
    let receipt = match applied.answer? {
        HandAnswer::Changed(receipt) => receipt,
        HandAnswer::Rejected(rejection) => return Err(refused(&rejection)),
    };
    let HandChange::FreezesGranted { granted, dropped, freezes } = receipt.change else {
        return Err(other_change());
    };
    let (position, granted_at) = (receipt.position, receipt.at);
    let answer = FreezesGranted { user, task, position, granted_at, granted, dropped, freezes };
    Ok(no_store_at(applied.position, &answer))
}
