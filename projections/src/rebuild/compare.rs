//! Compares the new version with the live one, row by row, before the swap.

use futures::TryStreamExt as _;
use plaudit_domain::lane::Lane;
use plaudit_event_store::reader;
use sqlx::{Connection as _, Executor as _};

use super::progress::checkpoint_and_head;
use super::run::{Run, StopReason};
use super::skipped;
use crate::difference::{Difference, Differences};
use crate::view::Table;

/// Number of events of the log that are read at once.
const PAGE: i64 = 2_000;

/// Finds the rows that differ between the live version and the new one.
pub(crate) async fn compare(run: &Run) -> Result<Differences, StopReason> {
    let lanes = run.lanes().await?;
    let mut all = Differences::default();
    for found in run.each(lanes, compare_lane).await? {
        all.extend(found);
    }
    Ok(all)
}

/// Compares one lane in one snapshot, without users who have new events since they were folded and
/// users who can't be read.
async fn compare_lane(run: Run, lane: Lane) -> Result<Differences, StopReason> {
    let mut connection = run.pool.acquire().await?;
    run.proceed(&mut connection).await?;
    let mut tx = connection.begin().await?;
    // Both tables have statistics: lookups row by row, as in the rest of a rebuild, would be slow
    // here.
    tx.execute(
        "set transaction isolation level repeatable read, read only;
         set local enable_seqscan to default; set local enable_hashjoin to default;
         set local enable_mergejoin to default; set local plan_cache_mode = force_custom_plan",
    )
    .await?;
    let (mut position, head) = checkpoint_and_head(run.view, lane, &mut tx).await?;
    let skipped = skipped::users_of(&run, &[lane.0], &mut tx).await?;
    let mut moved: Vec<String> = skipped.into_iter().map(|(_, user)| user).collect();
    while position < head {
        let (users, last) = reader::users_after(lane, position, PAGE, &mut tx).await?;
        moved.extend(users);
        position = last;
    }
    let mut found = Differences::default();
    for table in run.view.tables() {
        let sql = statement(table);
        // Rows are streamed: after a change of their format all of them differ.
        let mut rows = sqlx::query_as(&sql).bind(lane.0).bind(&moved).fetch(&mut *tx);
        while let Some((user, live, log)) = rows.try_next().await? {
            found.add(Difference { table: table.name, lane, user, live, log });
        }
    }
    tx.rollback().await?;
    Ok(found)
}

/// Selects the rows of a lane that differ between the versions, as text: JSON is compared by its
/// bytes.
fn statement(table: &Table) -> String {
    let (name, key) = (table.name, table.key.join(", "));
    format!(
        "select user_id, live.line, new.line
         from (select {key}, t::text as line from {name} t where lane = $1) live
         full join (select {key}, t::text as line from {name}_new t where lane = $1) new using ({key})
         where live.line is distinct from new.line and user_id <> all($2)"
    )
}
