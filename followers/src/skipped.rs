//! Events that a follower could not read: kept, so that nothing is forgotten when a checkpoint
//! moves past them.

use plaudit_domain::lane::{Lane, Position};
use plaudit_event_store::lanes;
use plaudit_event_store::reader::Unreadable;
use sqlx::PgConnection;

/// An event that was skipped.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Skipped {
    /// Its position in the log.
    pub position: Position,
    /// The user.
    pub user: String,
}

/// Maximum number of skipped events that are read again when a lane is taken.
const READ_MAX: i64 = 1_000;

impl Skipped {
    /// Stores events before the checkpoint moves past them. Storing one again changes nothing. The
    /// user states may lack what these events say, so the next batch folds the users from the log,
    /// and parks their actions as long as it can't.
    pub async fn note(
        follower: &str,
        events: &[Unreadable],
        connection: &mut PgConnection,
    ) -> sqlx::Result<()> {
        let lanes: Vec<i16> = events.iter().map(|e| e.position.lane.0).collect();
        let positions: Vec<i64> = events.iter().map(|e| e.position.number).collect();
        let users: Vec<&str> = events.iter().map(|e| e.user.as_str()).collect();
        let sequences: Vec<i64> = events.iter().map(|e| e.sequence).collect();
        let reasons: Vec<&str> = events.iter().map(|e| e.reason.as_str()).collect();
        sqlx::query(include_str!("skipped/insert.sql"))
            .bind(follower)
            .bind(&lanes)
            .bind(&positions)
            .bind(&users)
            .bind(&sequences)
            .bind(&reasons)
            .execute(&mut *connection)
            .await?;
        lanes::note_external_appends(&lanes, &users, connection).await
    }

    /// Returns the first thousand events that a follower skipped in a lane, in order of the log.
    pub async fn of_lane(
        follower: &str,
        lane: Lane,
        connection: &mut PgConnection,
    ) -> sqlx::Result<Vec<Self>> {
        let rows: Vec<(i64, String)> = sqlx::query_as(include_str!("skipped/of_lane.sql"))
            .bind(lane.0)
            .bind(follower)
            .bind(READ_MAX)
            .fetch_all(connection)
            .await?;
        let skipped = |(number, user)| Self { position: Position { lane, number }, user };
        Ok(rows.into_iter().map(skipped).collect())
    }

    /// Deletes events that could be read after all and were handled.
    pub async fn forget(
        follower: &str,
        handled: &[Position],
        connection: &mut PgConnection,
    ) -> sqlx::Result<()> {
        let lanes: Vec<i16> = handled.iter().map(|p| p.lane.0).collect();
        let numbers: Vec<i64> = handled.iter().map(|p| p.number).collect();
        sqlx::query(include_str!("skipped/delete.sql"))
            .bind(follower)
            .bind(&lanes)
            .bind(&numbers)
            .execute(connection)
            .await?;
        Ok(())
    }
}
