//! The rewards of a user, line by line.

use axum::extract::State;
use axum::http::HeaderMap;
use jiff::Timestamp;
use plaudit_domain::ids::{TaskId, UserId};
use plaudit_domain::user_tasks::RewardState;
use plaudit_event_store::rewards::{self, RewardPlace, RewardRow};
use serde::Serialize;
use uuid::Uuid;

use crate::etag;
use crate::input::{Query, UserPath};
use crate::position::AtLeast;
use crate::problem::Answer;
use crate::state::Shared;
use crate::wire::{parameters, shapes};

#[derive(Serialize)]
struct RewardsPage {
    user: UserId,
    rewards: Vec<RewardEntry>,
    next: Option<String>,
}

/// A reward line in an answer.
#[derive(Serialize)]
pub struct RewardEntry {
    grant: Uuid,
    task: TaskId,
    period: String,
    milestone: i64,
    line: String,
    kind: String,
    code: String,
    amount: i64,
    state: &'static str,
    granted_at: Timestamp,
    claim_until: Option<Timestamp>,
}

/// `GET /v1/users/{user}/rewards`, oldest first.
#[utoipa::path(get, path = "/v1/users/{user}/rewards", tag = "users", operation_id = "listRewards",
    params(parameters::User, parameters::AtLeast, parameters::Waiting, parameters::Known, parameters::Page,
        ("state" = inline(Option<shapes::RewardState>), Query, description = "Only rewards in this state")),
    responses(
        (status = 200, description = "The rewards", body = shapes::Rewards),
        (status = 304, description = "The content has not changed"),
    ))]
pub async fn rewards(
    State(state): State<Shared>,
    UserPath(user): UserPath,
    mut query: Query,
    headers: HeaderMap,
) -> Answer {
    let lane = state.lane_of(&user);
    let at_least = AtLeast::read(&mut query, &headers, lane);
    let (after, limit) = (query.parsed::<RewardPlace>("after"), query.limit());
    let in_state = query.parsed::<RewardState>("state").map(RewardState::as_str);
    query.finish()?;
    at_least.reached(&state).await?;
    let now = state.now();
    let page = rewards::load(&state.pool, lane, &user, in_state, after, limit, now).await?;
    let rewards = page.rows.into_iter().map(|row| entry(row, now)).collect();
    let next = page.next.map(|place| place.to_string());
    Ok(etag::answer(&headers, page.position, &RewardsPage { user, rewards, next }))
}

/// Shows a reward line as of `now`.
pub fn entry(row: RewardRow, now: Timestamp) -> RewardEntry {
    let (state, claim_until) = (row.state_as_of(now), row.claim_until);
    let reward = row.reward;
    RewardEntry {
        grant: reward.grant,
        task: reward.task,
        period: reward.period.as_str().to_owned(),
        milestone: reward.milestone,
        line: reward.line,
        kind: reward.kind,
        code: reward.code,
        amount: reward.amount,
        state: state.as_str(),
        granted_at: reward.reached_at,
        claim_until,
    }
}
