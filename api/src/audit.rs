//! The questions of an auditor: the events of a user, their causes, and the task screen at a moment.

pub(crate) mod history;

use std::sync::Arc;

use axum::extract::State;
use axum::http::HeaderMap;
use jiff::Timestamp;
use plaudit_domain::ids::UserId;
use plaudit_domain::lane::{Lane, Position};
use plaudit_domain::screen::{ScreenRequest, TaskScreen, screen};
use plaudit_event_store::catalogue_store::CatalogueStore;
use plaudit_event_store::reader::{self, Until};
use serde::Serialize;
use sqlx::{PgConnection, PgPool};

use crate::etag::no_store_at;
use crate::input::{Query, UserPath, locale, plus_restored};
use crate::openapi::{operator_shapes, parameters};
use crate::position::AtLeast;
use crate::problem::{Answer, Problem};
use crate::state::Shared;

/// `GET /v1/audit/users/{user}/history`: events in order.
#[utoipa::path(get, path = "/v1/audit/users/{user}/history", tag = "audit", operation_id = "showHistory",
    params(parameters::User, parameters::AtLeast, parameters::Waiting, parameters::Page,
        ("from" = Option<String>, Query, description = "Stored at this instant or later", format = DateTime),
        ("until" = Option<String>, Query, description = "Stored before this instant", format = DateTime)),
    responses(
        (status = 200, description = "Events in order", body = operator_shapes::History),
    ))]
pub async fn history(
    State(state): State<Shared>,
    UserPath(user): UserPath,
    mut query: Query,
    headers: HeaderMap,
) -> Answer {
    let lane = state.lane_of(&user);
    let at_least = AtLeast::read(&mut query, &headers, lane);
    let asked = history::Asked {
        after: query.parsed::<i64>("after").unwrap_or(0),
        limit: usize::try_from(query.limit()).unwrap_or(usize::MAX),
        from: query.instant("from"),
        until: query.instant("until"),
    };
    query.finish()?;
    at_least.reached(&state).await?;
    let head = state.executor.head(lane).await?;
    let mut connection = state.pool.acquire().await?;
    let found = history::read(lane, &user, &asked, &mut connection).await?;
    Ok(no_store_at(head, &found))
}

/// A user's task screen as it was.
#[derive(Debug, Serialize)]
pub struct StateThen {
    /// The user.
    pub user: UserId,
    /// The moment that is shown.
    pub at: Timestamp,
    /// The last of the user's events that it shows; 0 before the first.
    pub sequence: i64,
    /// The position of that event.
    pub position: String,
    /// The screen.
    pub tasks: Vec<TaskScreen>,
}

/// `GET /v1/audit/users/{user}/state`: the task screen as it was, folded from the log.
#[utoipa::path(get, path = "/v1/audit/users/{user}/state", tag = "audit", operation_id = "showState",
    params(parameters::User, parameters::AtLeast, parameters::Waiting, parameters::Locale,
        ("at" = Option<String>, Query, description = "An instant (RFC 3339) or a sequence number; absent: now")),
    responses(
        (status = 200, description = "The task screen as it was", body = operator_shapes::StateThen),
    ))]
pub async fn state(
    State(state): State<Shared>,
    UserPath(user): UserPath,
    mut query: Query,
    headers: HeaderMap,
) -> Answer {
    let lane = state.lane_of(&user);
    let at_least = AtLeast::read(&mut query, &headers, lane);
    let locale = locale(&mut query, &headers);
    let asked = query.text("at").and_then(|text| query.checked("at", Moment::read(&text)));
    query.finish()?;
    at_least.reached(&state).await?;
    let catalogue = state.executor.catalogue();
    let then = state_then(user, lane, asked, locale.as_deref(), catalogue, &state.pool).await?;
    Ok(no_store_at(then.0, &then.1))
}

/// A user's task screen as it was, folded from the log, and the position of what it shows. Without a
/// moment, and for one that is yet to come: as it is now.
pub async fn state_then(
    user: UserId,
    lane: Lane,
    asked: Option<Moment>,
    locale: Option<&str>,
    catalogue: &CatalogueStore,
    pool: &PgPool,
) -> Answer<(Position, StateThen)> {
    // Read after the wait for a position: what was waited for belongs to now.
    let now = Timestamp::now();
    // The clock of the database may be ahead of this one, so a time from now on means the newest state.
    let asked = asked.filter(|moment| !matches!(moment, Moment::Time(at) if *at >= now));
    let until = asked.map(|moment| match moment {
        Moment::Time(at) => Until::Time(at),
        Moment::Sequence(last) => Until::Sequence(last),
    });
    // One snapshot, so that the head is that of what is folded.
    let mut tx = pool.begin_with("begin isolation level repeatable read, read only").await?;
    let (folded, sequence) = reader::fold_user(lane, &user, until, &mut tx).await?;
    let last = last_event(lane, &user, sequence, &mut tx).await?;
    let at = match asked {
        None => now,
        Some(Moment::Time(at)) => at,
        Some(Moment::Sequence(_)) => last.recorded_at.unwrap_or(now),
    };
    let position = match asked {
        None => head(lane, &mut tx).await?,
        Some(_) => last.position,
    };
    tx.rollback().await?;
    let newest = catalogue.newest(pool).await?;
    let catalogue = if asked.is_some() { Arc::new(newest.as_of(at)) } else { newest };
    let request = ScreenRequest { locale, ..ScreenRequest::default() };
    let tasks = screen(&user, &folded, &catalogue, at, &request);
    let shown = StateThen { user, at, sequence, position: position.to_string(), tasks };
    Ok((position, shown))
}

/// The moment that an auditor asks for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Moment {
    /// At this time; what was stored later was not there yet.
    Time(Timestamp),
    /// After this event.
    Sequence(i64),
}

impl Moment {
    /// Reads an instant or a sequence number; else says what is wanted.
    pub fn read(text: &str) -> Result<Self, &'static str> {
        if !text.is_empty() && text.bytes().all(|b| b.is_ascii_digit()) {
            let sequence = text.parse().map(Self::Sequence);
            return sequence.map_err(|_| "no history is that long");
        }
        let at = plaudit_domain::action::instant(&plus_restored(text)).map(Self::Time);
        at.map_err(
            |_| "an RFC 3339 instant such as 2026-03-29T01:30:00Z, or a sequence number, is wanted",
        )
    }
}

/// The last event of a fold.
struct LastEvent {
    position: Position,
    /// Before the first event: when the first one was stored; `None` if there is none.
    recorded_at: Option<Timestamp>,
}

async fn last_event(
    lane: Lane,
    user: &UserId,
    sequence: i64,
    connection: &mut PgConnection,
) -> Answer<LastEvent> {
    let page = reader::user_page(lane, user, (sequence - 1).max(0), 1, connection).await?;
    let found = page.first();
    let position = found.filter(|found| found.sequence == sequence).map(|found| found.position);
    Ok(LastEvent {
        // Nothing of the user was there at the beginning of the lane.
        position: position.unwrap_or(Position { lane, number: 0 }),
        recorded_at: found.map(|found| found.recorded_at),
    })
}

async fn head(lane: Lane, connection: &mut PgConnection) -> Answer<Position> {
    let heads = reader::heads(connection).await?;
    heads.into_iter().find(|head| head.lane == lane).ok_or_else(|| {
        tracing::error!(%lane, "a lane has no row");
        Problem::Internal
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_moment_is_a_time_or_a_sequence() {
        assert_eq!(Moment::read("12"), Ok(Moment::Sequence(12)));
        let at = "2026-03-29T01:30:00Z";
        assert_eq!(Moment::read(at), Ok(Moment::Time(at.parse().unwrap())));
        for bad in ["", "-1", "1.5", "yesterday", "99999999999999999999", "2026-03-29"] {
            assert!(Moment::read(bad).is_err(), "{bad}");
        }
    }
}
