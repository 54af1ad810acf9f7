//! Rows in the binary format of `COPY`, which needs no escaping or parsing of text.

use jiff::Timestamp;
use plaudit_domain::lane::Lane;
use plaudit_event_store::rewards::RewardRow;
use plaudit_event_store::states::{self, TaskRow, UserRow, ValueChunk};
use sqlx::PgConnection;
use uuid::Uuid;

use crate::fold::FoldedUser;
use crate::view::{Table, View};

/// Rows for one table.
///
/// # Source
///
/// PostgreSQL, `COPY`, "Binary Format": a signature, two empty header fields, tuples of length-
/// prefixed fields in network order, a trailer of -1.
pub(crate) struct Rows {
    table: Table,
    bytes: Vec<u8>,
    count: usize,
}

const SIGNATURE: &[u8] = b"PGCOPY\n\xff\r\n\0\0\0\0\0\0\0\0\0";

/// Zero of PostgreSQL's timestamps, 2000-01-01, in microseconds since 1970.
const EPOCH_MICROSECONDS: i64 = 946_684_800_000_000;

/// Size of one message, in bytes.
const MESSAGE_BYTES: usize = 1 << 20;

impl Rows {
    fn new(table: Table) -> Self {
        Self { table, bytes: SIGNATURE.to_vec(), count: 0 }
    }

    /// Loads the rows into the table `into`.
    async fn send(mut self, into: &str, connection: &mut PgConnection) -> sqlx::Result<()> {
        if self.count == 0 {
            return Ok(());
        }
        self.bytes.extend((-1_i16).to_be_bytes());
        let columns = self.table.columns;
        let sql = format!("copy {into} (lane, user_id, {columns}) from stdin (format binary)");
        let mut copy = connection.copy_in_raw(&sql).await?;
        for message in self.bytes.chunks(MESSAGE_BYTES) {
            copy.send(message).await?;
        }
        copy.finish().await?;
        Ok(())
    }

    fn row(&mut self, fields: i16, lane: Lane, user: &str) {
        self.count += 1;
        self.bytes.extend(fields.to_be_bytes());
        self.fixed(Some(lane.0.to_be_bytes()));
        self.text(Some(user));
    }

    fn fixed<const N: usize>(&mut self, value: Option<[u8; N]>) {
        self.field(value.as_ref().map(<[u8; N]>::as_slice));
    }

    fn text(&mut self, value: Option<&str>) {
        self.field(value.map(str::as_bytes));
    }

    fn instant(&mut self, value: Option<Timestamp>) {
        self.fixed(value.map(|at| (at.as_microsecond() - EPOCH_MICROSECONDS).to_be_bytes()));
    }

    fn field(&mut self, value: Option<&[u8]>) {
        let length = value.map_or(Ok(-1), |bytes| i32::try_from(bytes.len()));
        self.bytes.extend(length.expect("no field is that long").to_be_bytes());
        self.bytes.extend(value.unwrap_or_default());
    }

    fn task(&mut self, lane: Lane, user: &str, row: &TaskRow) {
        let period = row.period.as_ref();
        let closed = row.closed.as_ref();
        self.row(16, lane, user);
        self.text(Some(row.task.as_str()));
        self.instant(row.completed_at);
        self.instant(row.watermark);
        self.text(closed.map(|closed| closed.key.as_str()));
        self.instant(closed.map(|closed| closed.ends_at));
        self.fixed(Some(row.unclaimed_count.to_be_bytes()));
        self.fixed(period.map(|p| p.version.to_be_bytes()));
        self.text(period.map(|p| p.key.as_str()));
        self.instant(period.and_then(|p| p.starts_at));
        self.instant(period.and_then(|p| p.ends_at));
        self.instant(period.and_then(|p| p.closes_at));
        self.fixed(period.map(|p| p.progress.to_be_bytes()));
        self.fixed(period.map(|p| [u8::from(p.completed)]));
        self.text(row.details.as_deref());
    }

    fn reward(&mut self, lane: Lane, user: &str, row: &RewardRow) {
        let reward = &row.reward;
        self.row(22, lane, user);
        self.text(Some(reward.task.as_str()));
        self.text(Some(reward.period.as_str()));
        self.fixed(Some(reward.milestone.to_be_bytes()));
        self.text(Some(&reward.line));
        self.fixed(Some(Uuid::into_bytes(reward.grant)));
        self.text(Some(&reward.kind));
        self.text(Some(&reward.code));
        self.fixed(Some(reward.amount.to_be_bytes()));
        self.text(Some(row.state.as_str()));
        self.instant(Some(reward.reached_at));
        self.fixed(Some(row.place.position.to_be_bytes()));
        self.fixed(Some(row.place.ordinal.to_be_bytes()));
        self.fixed(Some(row.version().to_be_bytes()));
        self.instant(row.starts_at);
        self.instant(row.ends_at);
        self.instant(row.claimed.map(|claimed| claimed.at));
        self.fixed(row.claimed.map(|claimed| claimed.position.to_be_bytes()));
        self.instant(row.claim_until);
        self.instant(row.lapse.map(|lapse| lapse.at));
        self.text(row.lapse.map(|lapse| lapse.becomes.as_str()));
    }

    fn chunk(&mut self, lane: Lane, user: &str, row: &ValueChunk) {
        self.row(6, lane, user);
        self.text(Some(row.task.as_str()));
        self.text(Some(row.period.as_str()));
        self.fixed(Some(row.chunk.to_be_bytes()));
        self.field(Some(&row.hashes));
    }

    fn user(&mut self, lane: Lane, user: &str, row: &UserRow) {
        self.row(6, lane, user);
        self.text(Some(&row.zones));
        self.text(row.attributes.as_deref());
        self.instant(row.updated_at);
        self.fixed(Some([u8::from(row.counted)]));
    }
}

/// Builds the rows of users, table by table.
pub(crate) fn rows_of<'u>(
    view: View,
    users: impl IntoIterator<Item = (Lane, &'u FoldedUser)>,
) -> Vec<Rows> {
    let mut tables: Vec<_> = view.tables().iter().copied().map(Rows::new).collect();
    for (lane, folded) in users {
        let user = folded.user.as_str();
        match (view, tables.as_mut_slice()) {
            (View::Tasks, [users, tasks, values]) => {
                users.user(lane, user, &UserRow::new(&folded.state));
                states::rows(&folded.state).for_each(|row| tasks.task(lane, user, &row));
                states::chunks(&folded.state).for_each(|row| values.chunk(lane, user, &row));
            }
            (View::Rewards, [rewards]) => {
                folded.ledger.granted.iter().for_each(|row| rewards.reward(lane, user, row));
            }
            _ => unreachable!("a view has its own tables"),
        }
    }
    tables
}

/// Loads rows into the new tables.
pub(crate) async fn send(tables: Vec<Rows>, connection: &mut PgConnection) -> sqlx::Result<()> {
    for rows in tables {
        let into = format!("{}_new", rows.table.name);
        rows.send(&into, connection).await?;
    }
    Ok(())
}
