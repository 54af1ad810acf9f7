//! A user's task screen at a past moment, folded from the log.

use std::sync::Arc;

use jiff::Timestamp;
use plaudit_domain::ids::UserId;
use plaudit_domain::lane::{Lane, Position};
use plaudit_domain::screen::{ScreenRequest, TaskScreen, screen};
use plaudit_event_store::catalogue_store::CatalogueStore;
use plaudit_event_store::reader::{self, Until};
use plaudit_event_store::{lanes, off_the_runtime};
use serde::Serialize;
use sqlx::{PgConnection, PgPool};

use crate::error::AuditError;

/// A user's task screen at a moment.
#[derive(Debug, Serialize)]
pub struct StateAt {
    /// The user.
    pub user: UserId,
    /// The moment.
    pub at: Timestamp,
    /// The sequence of the last event that the screen includes; 0 before the first.
    pub sequence: i64,
    /// The position of that event in the log. For the present state: the head of the lane.
    #[serde(serialize_with = "as_text")]
    pub position: Position,
    /// The screen.
    pub tasks: Vec<TaskScreen>,
}

fn as_text<S: serde::Serializer>(position: &Position, to: S) -> Result<S::Ok, S::Error> {
    to.collect_str(position)
}

impl StateAt {
    /// Folds the user's events up to `moment`; all of them if it is `None` or in the future.
    ///
    /// # Errors
    ///
    /// [`AuditError::Unreadable`] if one of these events can't be read.
    pub async fn read(
        user: UserId,
        lane: Lane,
        moment: Option<Moment>,
        locale: Option<&str>,
        catalogue: &CatalogueStore,
        pool: &PgPool,
    ) -> Result<Self, AuditError> {
        // Taken after any wait for a position, so that the state includes the events that the
        // caller waited for.
        let now = Timestamp::now();
        // The database's clock may be ahead of this one, so the present state takes all events
        // there are.
        let moment = moment.filter(|moment| !matches!(moment, Moment::Time(at) if *at >= now));
        let until = moment.map(|moment| match moment {
            Moment::Time(at) => Until::Time(at),
            Moment::Sequence(last) => Until::Sequence(last),
        });
        // One snapshot, so that the head belongs to the events that are folded.
        let mut tx = pool.begin_with("begin isolation level repeatable read, read only").await?;
        let (state, sequence) = reader::fold_user(lane, &user, until, &mut tx).await?;
        let last = LastEvent::read(lane, &user, sequence, &mut tx).await?;
        let at = match moment {
            None => now,
            Some(Moment::Time(at)) => at,
            Some(Moment::Sequence(_)) => last.recorded_at.unwrap_or(now),
        };
        let position = match moment {
            None => head(lane, &mut tx).await?,
            Some(_) => last.position,
        };
        tx.rollback().await?;
        let newest = catalogue.newest(pool).await?;
        let catalogue = if moment.is_some() { Arc::new(newest.as_of(at)) } else { newest };
        let request = ScreenRequest { locale, ..ScreenRequest::default() };
        let tasks = off_the_runtime(|| screen(&user, &state, &catalogue, at, &request));
        Ok(Self { user, at, sequence, position, tasks })
    }
}

/// The moment an auditor asks about.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Moment {
    /// As of this time; events that were stored later are left out.
    Time(Timestamp),
    /// Just after the event with this sequence.
    Sequence(i64),
}

/// The reason why a text is not a [`Moment`].
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum InvalidMoment {
    /// A sequence with too many digits.
    #[error("no history is that long")]
    Sequence,
    /// Neither an instant nor a sequence.
    #[error("must be an RFC 3339 instant, such as 2026-03-29T01:30:00Z, or a sequence number")]
    Neither,
}

impl std::str::FromStr for Moment {
    type Err = InvalidMoment;

    fn from_str(text: &str) -> Result<Self, InvalidMoment> {
        if !text.is_empty() && text.bytes().all(|b| b.is_ascii_digit()) {
            return text.parse().map(Self::Sequence).map_err(|_| InvalidMoment::Sequence);
        }
        let at = plaudit_domain::action::instant(text).map(Self::Time);
        at.map_err(|_| InvalidMoment::Neither)
    }
}

/// The event at which a fold ended.
struct LastEvent {
    position: Position,
    /// If the fold ended before the first event: the time at which that one was stored; `None` if
    /// the user has no events.
    recorded_at: Option<Timestamp>,
}

impl LastEvent {
    async fn read(
        lane: Lane,
        user: &UserId,
        sequence: i64,
        connection: &mut PgConnection,
    ) -> Result<Self, AuditError> {
        let page = reader::user_page(lane, user, (sequence - 1).max(0), 1, connection).await?;
        let found = page.into_iter().next().map(|entry| match entry {
            Ok(event) => (event.sequence, event.position, event.recorded_at),
            Err(row) => (row.sequence, row.position, row.raw.recorded_at),
        });
        let position = found.filter(|(at, ..)| *at == sequence).map(|(_, position, _)| position);
        Ok(Self {
            // The user had no events yet: the beginning of the lane.
            position: position.unwrap_or(Position { lane, number: 0 }),
            recorded_at: found.map(|(_, _, recorded_at)| recorded_at),
        })
    }
}

async fn head(lane: Lane, connection: &mut PgConnection) -> Result<Position, AuditError> {
    let heads = lanes::heads(connection).await?;
    let head = heads.into_iter().find(|head| head.lane == lane);
    Ok(head.unwrap_or(Position { lane, number: 0 }))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_moment_is_a_time_or_a_sequence() {
        assert_eq!("12".parse(), Ok(Moment::Sequence(12)));
        let at = "2026-03-29T01:30:00Z";
        assert_eq!(at.parse(), Ok(Moment::Time(at.parse().unwrap())));
        for bad in ["", "-1", "1.5", "yesterday", "99999999999999999999", "2026-03-29"] {
            assert!(bad.parse::<Moment>().is_err(), "{bad}");
        }
    }
}
