//! Finds the item that can't be applied, by halving the batch until that item is alone.

use plaudit_domain::lane::Position;

use super::{Executor, Part};
use crate::batch::{Applied, Incoming, Item, NotApplied, Origin, ParkedRecord};
use crate::error::ExecuteError;
use crate::lanes::LaneWait;

/// The reason shown for an item whose processing panicked.
pub(super) const INTERNAL_ERROR: &str = "an internal error while applying it";

impl Executor {
    /// Applies items of which some fail, and parks those. Appends the answers to `applied`, in
    /// order. Never splits the items of one record.
    pub(super) async fn bisect(
        &self,
        items: &[Item],
        refused: ExecuteError,
        wait: LaneWait,
        applied: &mut Vec<Applied>,
    ) -> Result<(), ExecuteError> {
        let mut why = refused;
        // The parts still to apply, the next one last.
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

/// Divides a failed part into smaller parts, the next one last. A single item, or the items of a
/// single record, are given up instead.
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

/// Takes the item at `place` out of a part whose other items may be fine.
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
        // Answers are in order, so the items before it come first.
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

/// Replaces the items of one record by items that park them. Commands can't be parked: their
/// failure is added to `applied`.
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

/// The reason as shown to operators.
fn reason_of(why: &ExecuteError) -> String {
    match why {
        ExecuteError::Refused(error) => format!("the database refused it: {error}"),
        // The log has the details.
        ExecuteError::Panicked { .. } => INTERNAL_ERROR.to_owned(),
        other => other.to_string(),
    }
}

/// The handling of an item that can't be applied.
enum Unapplied {
    /// An item that parks it with its reason.
    Parked(Box<Item>),
    /// It can't be parked. The sender gets the failure and may retry.
    Failed(Box<Applied>),
}

/// Replaces an item that can't be applied by one that parks it.
fn park(item: Item, why: &ExecuteError) -> Result<Unapplied, ExecuteError> {
    let reason = reason_of(why);
    let incoming = match item.work.not_applied(NotApplied(reason.clone())) {
        Err(incoming) => incoming,
        Ok(answer) => {
            tracing::error!(error = %why, "a command can't be applied: {why}");
            let position = Position { lane: item.lane, number: 0 };
            return Ok(Unapplied::Failed(Box::new(Applied { answer, position })));
        }
    };
    let record = match incoming {
        Incoming::Action(action) => ParkedRecord::of_action(action, &reason, true),
        // Parking itself was refused: the database can't store the headers.
        Incoming::Park(record) if record.headers != serde_json::json!({}) => {
            ParkedRecord { reason, headers: serde_json::json!({}), ..record.clone() }
        }
        Incoming::Park(_) => return Err(ExecuteError::Unreadable(reason)),
    };
    Ok(Unapplied::Parked(Box::new(Item { work: Incoming::Park(record).into(), ..item })))
}

/// Returns the index at which to split items: near the middle, and never inside one record, since a
/// lane's offset moves past a record as a whole. `None` for a single item or record.
pub(super) fn record_boundary(items: &[Item]) -> Option<usize> {
    let middle = items.len() / 2;
    let nearest = |at: &usize| at.abs_diff(middle);
    (1..items.len()).filter(|at| !is_same_record(&items[at - 1], &items[*at])).min_by_key(nearest)
}

/// True if two items come from the same Kafka record.
pub(crate) fn is_same_record(one: &Item, other: &Item) -> bool {
    match (&one.origin, &other.origin) {
        (Origin::Record(one), Origin::Record(other)) => one == other,
        _ => false,
    }
}
