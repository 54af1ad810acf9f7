//! `follower_checkpoints`: the position up to which each follower has read each lane.

use std::collections::HashSet;

use sqlx::PgConnection;

use crate::batch::CheckpointMove;
use crate::error::ExecuteError;

/// Moves checkpoints of followers. Fails with [`ExecuteError::Fenced`] if the stored position or
/// epoch is not the expected one.
pub async fn advance(
    moves: &[CheckpointMove],
    connection: &mut PgConnection,
) -> Result<(), ExecuteError> {
    let unique: HashSet<_> = moves.iter().map(|m| (m.follower, m.lane)).collect();
    debug_assert_eq!(unique.len(), moves.len(), "one step per follower and lane");
    for step in moves {
        let done = sqlx::query(include_str!("checkpoints/advance.sql"))
            .bind(step.to)
            .bind(step.lane.0)
            .bind(step.follower)
            .bind(step.from)
            .bind(step.epoch)
            .execute(&mut *connection)
            .await?;
        if done.rows_affected() != 1 {
            return Err(ExecuteError::Fenced {
                follower: step.follower.to_owned(),
                lane: step.lane,
            });
        }
    }
    Ok(())
}
