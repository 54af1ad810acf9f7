//! Finds users with new events, for readers that wait for news.

use plaudit_domain::ids::UserId;
use plaudit_domain::lane::Lane;
use sqlx::PgConnection;

use crate::aggregate::AGGREGATE_TYPE;

/// Returns the sequence of a user's last event up to a position; 0 if there is none.
pub async fn sequence_at(
    lane: Lane,
    user: &UserId,
    position: i64,
    connection: &mut PgConnection,
) -> sqlx::Result<i64> {
    let found: Option<i64> = sqlx::query_scalar(include_str!("has_news.sql"))
        .bind(lane.0)
        .bind(AGGREGATE_TYPE)
        .bind(user.as_str())
        .bind(position)
        .fetch_optional(connection)
        .await?;
    Ok(found.unwrap_or(0))
}

/// Returns the users with events in these spans of lanes `(lane, after, up_to)`, each with the
/// position of the last one.
pub async fn users_between(
    spans: &[(Lane, i64, i64)],
    connection: &mut PgConnection,
) -> sqlx::Result<Vec<(Lane, String, i64)>> {
    let rows: Vec<(i16, String, i64)> = sqlx::query_as(include_str!("changed_users.sql"))
        .bind(spans.iter().map(|(lane, ..)| lane.0).collect::<Vec<_>>())
        .bind(spans.iter().map(|(_, after, _)| *after).collect::<Vec<_>>())
        .bind(spans.iter().map(|(.., up_to)| *up_to).collect::<Vec<_>>())
        .fetch_all(connection)
        .await?;
    Ok(rows.into_iter().map(|(lane, user, position)| (Lane(lane), user, position)).collect())
}
