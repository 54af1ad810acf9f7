//! Pages of the log of several lanes, read by one statement.

use plaudit_domain::lane::Lane;
use sqlx::{PgConnection, Row};

use super::{Fact, Kinds, LaneSpan};
use crate::aggregate::AGGREGATE_TYPE;
use crate::upcasters;

/// A page of one lane's log, in order.
#[derive(Debug, Clone)]
pub struct LanePage {
    /// The part of the log that the page covers.
    pub span: LaneSpan,
    /// Each event with its user, or the reason why it can't be read.
    pub facts: Vec<(String, Result<Fact, String>)>,
}

/// Reads a page of each of these spans, whose ends must be committed: at most `limit` events of
/// each. The pages are in the order of the spans, which name each lane once.
pub async fn lane_pages(
    spans: &[LaneSpan],
    kinds: Kinds,
    limit: i64,
    connection: &mut PgConnection,
) -> sqlx::Result<Vec<LanePage>> {
    let rows = sqlx::query(&kinds.restrict(include_str!("pages.sql")))
        .bind(spans.iter().map(|span| span.lane.0).collect::<Vec<_>>())
        .bind(spans.iter().map(|span| span.after).collect::<Vec<_>>())
        .bind(spans.iter().map(|span| span.up_to).collect::<Vec<_>>())
        .bind(AGGREGATE_TYPE)
        .bind(limit)
        .fetch_all(connection)
        .await?;
    let page = |span: &LaneSpan| LanePage { span: *span, facts: Vec::new() };
    let mut pages: Vec<LanePage> = spans.iter().map(page).collect();
    let mut current = 0;
    for row in &rows {
        let lane = Lane(row.try_get(0)?);
        while pages[current].span.lane != lane {
            current += 1;
        }
        let (sequence, position) = (row.try_get(2)?, row.try_get(3)?);
        let read = upcasters::read(row.try_get(4)?, row.try_get(5)?, row.try_get(6)?);
        let fact = read
            .map(|event| Fact { sequence, position, event })
            .map_err(|error| format!("event {sequence}: {error}"));
        let page = &mut pages[current];
        page.facts.push((row.try_get(1)?, fact));
        if i64::try_from(page.facts.len()).is_ok_and(|count| count >= limit) {
            page.span.up_to = position;
        }
    }
    Ok(pages)
}
