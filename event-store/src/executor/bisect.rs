//! Finding the item that can't be applied: the batch is halved until the culprit is alone.

use plaudit_domain::lane::Position;

use super::{Executor, Part};
use crate::batch::{Applied, Item, Origin, Outcome, ParkedRecord, Work};
use crate::error::ExecuteError;
use crate::lanes::LaneWait;

impl Executor {
    /// Applies items of which some can't be, always between two records, and parks those. Adds the answers to `applied`, in order.
    pub(super) async fn bisect(
        &self,
        items: &[Item],
        refused: sqlx::Error,
        wait: LaneWait,
        applied: &mut Vec<Applied>,
    ) -> Result<(), ExecuteError> {
        let mut why = refused;
        // Parts still to apply, the first one on top. The whole was refused already.
        let mut parts: Vec<Vec<Item>> = match record_boundary(items) {
            Some(at) => vec![items[at..].to_vec(), items[..at].to_vec()],
            None => vec![items.to_vec()],
        };
        while let Some(mut part) = parts.pop() {
            match self.execute_part(Part { items: &part, checkpoints: &[] }, wait).await {
                Ok(done) if done.len() < part.len() => {
                    parts.push(part.split_off(done.len()));
                    applied.extend(done);
                }
                Ok(done) => applied.extend(done),
                Err(ExecuteError::Refused(error)) => {
                    why = error;
                    match record_boundary(&part) {
                        Some(at) => {
                            let rest = part.split_off(at);
                            parts.extend([rest, part]);
                        }
                        None => {
                            let kept = give_up(part, &why, applied)?;
                            parts.extend(Some(kept).filter(|kept| !kept.is_empty()));
                        }
                    }
                }
                Err(error) => return Err(error),
            }
        }
        tracing::warn!(error = %why, "a batch was refused as a whole and applied in parts");
        Ok(())
    }
}

/// Turns what one record means into items that park it. Commands have nothing to park: they are answered
/// in `applied`.
fn give_up(
    part: Vec<Item>,
    why: &sqlx::Error,
    applied: &mut Vec<Applied>,
) -> Result<Vec<Item>, ExecuteError> {
    let reason = format!("the database refused it: {why}");
    let mut kept = Vec::with_capacity(part.len());
    for item in part {
        match park(item, &reason)? {
            Unapplied::Parked(item) => kept.push(*item),
            Unapplied::Failed(failed) => applied.push(*failed),
        }
    }
    Ok(kept)
}

/// The outcome of an item that can't be applied.
enum Unapplied {
    /// It is parked with its reason.
    Parked(Box<Item>),
    /// There is nothing to park: its sender is told, and may send it again.
    Failed(Box<Applied>),
}

/// Turns an item that can't be applied into one that parks it.
fn park(item: Item, reason: &str) -> Result<Unapplied, ExecuteError> {
    let record = match &item.work {
        Work::Action(action) => ParkedRecord::of_action(action, reason, true),
        // Even parking it was refused: its headers are what the database can't take.
        Work::Park(record) if record.headers != serde_json::json!({}) => ParkedRecord {
            reason: reason.to_owned(),
            headers: serde_json::json!({}),
            ..record.clone()
        },
        Work::Park(_) => return Err(ExecuteError::Unreadable(reason.to_owned())),
        Work::Claim { .. }
        | Work::ClaimAll { .. }
        | Work::CountPast { .. }
        | Work::SettleBackfills
        | Work::ReleaseBackfill { .. }
        | Work::Settle { .. }
        | Work::ByHand { .. }
        | Work::StartDeliveries { .. }
        | Work::SettleDeliveries { .. }
        | Work::Redeliver { .. }
        | Work::ResolveParked(_) => {
            tracing::error!(reason, "a command was refused by the database");
            let position = Position { lane: item.lane, number: 0 };
            let outcome = Outcome::Failed(reason.to_owned());
            return Ok(Unapplied::Failed(Box::new(Applied { outcome, position })));
        }
    };
    Ok(Unapplied::Parked(Box::new(Item { work: Work::Park(record), ..item })))
}

/// Where to halve items: near the middle, and never inside what one record means, since a lane's
/// offset moves past a record as a whole. `None` if they are one record, or one item.
pub(super) fn record_boundary(items: &[Item]) -> Option<usize> {
    let middle = items.len() / 2;
    let nearest = |at: &usize| at.abs_diff(middle);
    (1..items.len()).filter(|at| !is_same_record(&items[at - 1], &items[*at])).min_by_key(nearest)
}

/// Whether two items follow from one Kafka record.
pub(crate) fn is_same_record(one: &Item, other: &Item) -> bool {
    match (&one.origin, &other.origin) {
        (Origin::Record(one), Origin::Record(other)) => one == other,
        _ => false,
    }
}
