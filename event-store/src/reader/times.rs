//! Finds positions in the log by time.

use jiff::Timestamp;
use plaudit_domain::lane::Lane;
use sqlx::PgConnection;

use crate::{instant, lanes};

/// A range of a lane's events: after one position, up to and including another.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct LaneSpan {
    /// The lane.
    pub lane: Lane,
    /// The position before the first event.
    pub after: i64,
    /// The position of the last event; `after` if there is none.
    pub up_to: i64,
}

/// Finds the events that were stored in `from..until`, by lane. Lanes without any are left out.
pub async fn spans_of_time(
    from: Timestamp,
    until: Timestamp,
    connection: &mut PgConnection,
) -> sqlx::Result<Vec<LaneSpan>> {
    let heads = lanes::heads(connection).await?;
    let heads: Vec<(Lane, i64)> = heads.iter().map(|head| (head.lane, head.number)).collect();
    let after = before(from, &heads, connection).await?;
    let up_to = before(until, &heads, connection).await?;
    let spans = heads.iter().zip(after).zip(up_to);
    let spans = spans.map(|(((lane, _), after), up_to)| LaneSpan { lane: *lane, after, up_to });
    Ok(spans.filter(|span| span.up_to > span.after).collect())
}

/// Returns the last position of each lane that was stored before `time`, by a binary search: some
/// thirty short queries for all lanes together. Within a lane the stored times decrease only where
/// the database's clock was set back; around such a place the result may be off by what was stored
/// in that time.
async fn before(
    time: Timestamp,
    heads: &[(Lane, i64)],
    connection: &mut PgConnection,
) -> sqlx::Result<Vec<i64>> {
    // The result lies in `low..=high`: `low` was stored before `time`, positions above `high` were
    // not.
    let mut bounds: Vec<(i64, i64)> = heads.iter().map(|(_, head)| (0, *head)).collect();
    loop {
        let open: Vec<usize> =
            (0..heads.len()).filter(|index| bounds[*index].0 < bounds[*index].1).collect();
        if open.is_empty() {
            return Ok(bounds.into_iter().map(|(low, _)| low).collect());
        }
        let middle = |index: &usize| (bounds[*index].0 + bounds[*index].1 + 1) / 2;
        let middles: Vec<i64> = open.iter().map(middle).collect();
        let earlier: Vec<bool> = sqlx::query_scalar(include_str!("is_recorded_before.sql"))
            .bind(open.iter().map(|index| heads[*index].0.0).collect::<Vec<_>>())
            .bind(&middles)
            .bind(instant::to_sql(time))
            .fetch_all(&mut *connection)
            .await?;
        for ((index, middle), is_earlier) in open.iter().zip(middles).zip(earlier) {
            if is_earlier {
                bounds[*index].0 = middle;
            } else {
                bounds[*index].1 = middle - 1;
            }
        }
    }
}
