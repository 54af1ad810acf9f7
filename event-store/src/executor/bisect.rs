//! Finding the item that can't be applied: the batch is halved until the culprit is alone.

use plaudit_domain::lane::Position;

use super::{Executor, Part};
use crate::batch::{Applied, Item, Origin, Outcome, ParkedRecord, Work};
use crate::error::ExecuteError;
use crate::lanes::LaneWait;

/// The reason for which an item is parked, or failed, that this program can't apply.
pub(super) const INTERNAL_ERROR: &str = "an internal error while applying it";

impl Executor {
    /// Applies items of which some can't be, and parks those. Adds the answers to `applied`, in order. Divides only
    /// between two records.
    pub(super) async fn bisect(
        &self,
        items: &[Item],
        refused: ExecuteError,
        wait: LaneWait,
        applied: &mut Vec<Applied>,
    ) -> Result<(), ExecuteError> {
        let mut why = refused;
        // Parts still to apply, the first one on top.
        let mut parts = Vec::new();
        divide(items.to_vec(), &why, &mut parts, applied)?;
        while let Some(mut part) = parts.pop() {
            match self.execute_part(Part { items: &part, checkpoints: &[] }, wait).await {
                Ok(done) => {
                    push(part.split_off(done.len().min(part.len())), &mut parts);
                    applied.extend(done);
                }
                Err(error) if error.is_about_an_item() => {
                    why = error;
                    divide(part, &why, &mut parts, applied)?;
                }
                Err(error) => return Err(error),
            }
        }
        tracing::warn!(error = %why, "a batch could not be applied as a whole and was applied in parts");
        Ok(())
    }
}

/// Divides a part that could not be applied into parts to try, the first one on top. What is one record, or one item,
/// is given up.
fn divide(
    mut part: Vec<Item>,
    why: &ExecuteError,
    parts: &mut Vec<Vec<Item>>,
    applied: &mut Vec<Applied>,
) -> Result<(), ExecuteError> {
    if let ExecuteError::Panicked { place: Some(place), .. } = why
        && *place < part.len()
    {
        return isolate(part, *place, why, parts, applied);
    }
    match record_boundary(&part) {
        Some(at) => {
            let rest = part.split_off(at);
            parts.extend([rest, part]);
        }
        None => push(give_up(part, why, applied)?, parts),
    }
    Ok(())
}

/// Takes the item at `place` out of a part whose other items may be well.
fn isolate(
    mut part: Vec<Item>,
    place: usize,
    why: &ExecuteError,
    parts: &mut Vec<Vec<Item>>,
    applied: &mut Vec<Applied>,
) -> Result<(), ExecuteError> {
    match park(part[place].clone(), why)? {
        Unapplied::Parked(item) => {
            part[place] = *item;
            parts.push(part);
        }
        Unapplied::Failed(failed) if place == 0 => {
            applied.push(*failed);
            push(part.split_off(1), parts);
        }
        // Answers are in order: first come those of the items before it.
        Unapplied::Failed(_) => {
            let rest = part.split_off(place);
            parts.extend([rest, part]);
        }
    }
    Ok(())
}

fn push(part: Vec<Item>, parts: &mut Vec<Vec<Item>>) {
    parts.extend(Some(part).filter(|part| !part.is_empty()));
}

/// Turns what one record means into items that park it. Commands have nothing to park: they are answered
/// in `applied`.
fn give_up(
    part: Vec<Item>,
    why: &ExecuteError,
    applied: &mut Vec<Applied>,
) -> Result<Vec<Item>, ExecuteError> {
    let mut kept = Vec::with_capacity(part.len());
    for item in part {
        match park(item, why)? {
            Unapplied::Parked(item) => kept.push(*item),
            Unapplied::Failed(failed) => applied.push(*failed),
        }
    }
    Ok(kept)
}

/// The reason that an operator reads.
fn reason_of(why: &ExecuteError) -> String {
    match why {
        ExecuteError::Refused(error) => format!("the database refused it: {error}"),
        // What went wrong inside is in the log.
        ExecuteError::Panicked { .. } => INTERNAL_ERROR.to_owned(),
        other => other.to_string(),
    }
}

/// The outcome of an item that can't be applied.
enum Unapplied {
    /// It is parked with its reason.
    Parked(Box<Item>),
    /// There is nothing to park: its sender is told, and may send it again.
    Failed(Box<Applied>),
}

/// Turns an item that can't be applied into one that parks it.
fn park(item: Item, why: &ExecuteError) -> Result<Unapplied, ExecuteError> {
    let reason = &*reason_of(why);
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
            tracing::error!(error = %why, "a command can't be applied: {why}");
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
