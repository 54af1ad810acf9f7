//! The weight of an item: an estimate of the rows to load and the events to write.

use plaudit_domain::action::Action;
use plaudit_domain::catalogue::Catalogue;
use plaudit_domain::user_tasks::{Change, HandCommand};

use crate::batch::{CountPast, Incoming, ReleaseBackfill, Work};
use crate::executor::{CLAIM_ALL_MAX, tasks_moved_with};
use crate::rewards::waiting::WAITING_MAX;

/// The number of tasks, milestones or grants that an item may touch, whichever is largest; at least
/// 1.
pub(super) fn weight_of(work: &Work, catalogue: &Catalogue) -> usize {
    let of_action = |action: &Action| catalogue.states_needed(&action.kind).len().max(1);
    let weight = match work {
        Work::Incoming(Incoming::Action(action)) | Work::CountPast(CountPast { action, .. }) => {
            of_action(action)
        }
        Work::ResolveParked(resolved) => resolved.actions.iter().map(of_action).sum(),
        Work::ClaimAll(_) => CLAIM_ALL_MAX,
        // The milestones of all settled users have a bound of their own: `lapses::share_of`.
        Work::Settle(settle) => settle.streaks.len(),
        Work::StartDeliveries(started) => started.rewards.len(),
        Work::SettleDeliveries(outcomes) => outcomes.settled.len(),
        Work::ReleaseBackfill(ReleaseBackfill { task, .. }) => {
            tasks_moved_with(task, catalogue).len()
        }
        Work::ByHand(change) => of_command(&change.command, catalogue),
        Work::Claim(_)
        | Work::Redeliver(_)
        | Work::Incoming(Incoming::Park(_))
        | Work::SettleBackfills(_) => 1,
    };
    weight.max(1)
}

fn of_command(command: &HandCommand, catalogue: &Catalogue) -> usize {
    let HandCommand::Correct(correction) = command else { return 1 };
    match &correction.change {
        Change::Revoke { .. } => usize::try_from(WAITING_MAX).unwrap_or(usize::MAX),
        change => change.task().map_or(1, |task| catalogue.states_of_correction(task).len()),
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use jiff::Timestamp;
    use plaudit_domain::catalogue::definition::TaskDefinition;
    use plaudit_domain::catalogue::{CatalogueTask, Status, TaskVersion};
    use plaudit_domain::lane::Lane;
    use tokio::time::Instant;
    use uuid::Uuid;

    use super::super::lane_work::{Entry, LaneWork, Taken, Ticket};
    use super::super::{ITEMS_MAX, WEIGHT_MAX, submission};
    use super::*;
    use crate::batch::{ClaimAll, Item, Origin};

    /// Each claim may take up to 500 milestones, which are all loaded.
    #[test]
    fn a_transaction_takes_few_claims_of_everything() {
        let catalogue = Catalogue::default();
        let (slots, _submission) = submission::begin::<Work>(1_500, ());
        let mut lane = LaneWork::default();
        for slot in slots {
            let user = "ann".parse().expect("a user id");
            let claim = ClaimAll { user, at: Timestamp::UNIX_EPOCH, idempotency_key: None };
            let work = Work::from(claim);
            let weight = weight_of(&work, &catalogue);
            let item = Item { lane: Lane(0), work, origin: Origin::Request(Uuid::nil()) };
            lane.push(Entry {
                item,
                ticket: Ticket { slot, weight, submitted_at: Instant::now() },
            });
        }
        let mut taken = Taken::default();
        lane.take(&mut taken, ITEMS_MAX, WEIGHT_MAX);
        assert_eq!(taken.into_parts().0.len(), 20);
    }

    #[test]
    fn a_task_of_several_action_types_weighs_once() {
        let yaml = "tasks:
  - { id: visits, kind: ordinary, objective: { on: [ a, b, c ], target: 3 } }
  - { id: others, kind: ordinary, objective: { on: c, target: 3 } }";
        let at = Timestamp::UNIX_EPOCH;
        let task = |definition: TaskDefinition| CatalogueTask {
            id: definition.id.clone(),
            status: Status::Active,
            status_since: at,
            versions: vec![Arc::new(TaskVersion::new(definition, 1, at).expect("a task"))],
            amnesties: vec![],
        };
        let definitions = plaudit_task_file::parse(yaml).expect("a task file");
        let catalogue = Catalogue::new(1, definitions.into_iter().map(task).collect());
        let release = ReleaseBackfill {
            user: "ann".parse().expect("a user id"),
            task: "visits".parse().expect("a task id"),
            by: "ops".to_owned(),
            reason: None,
            at,
        };
        assert_eq!(weight_of(&release.into(), &catalogue.expect("a catalogue")), 2);
    }
}
