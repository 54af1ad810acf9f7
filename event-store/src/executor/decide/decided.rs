//! The result of deciding a batch.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::sync::Arc;

use plaudit_domain::catalogue::BudgetKey;
use plaudit_domain::ids::TaskId;
use plaudit_domain::lane::{Lane, Position};
use plaudit_domain::user_tasks::{Event, Resolution};
use uuid::Uuid;

use crate::backfills::OpenBackfills;
use crate::batch::{
    ActionAnswer, Answer, Applied, Changes, ClaimKey, HandReceipt, NewEvent, Receipt, RequestKey,
};
use crate::budgets::Take;
use crate::lanes::LaneHead;
use crate::parked::NewlyParked;
use crate::seen_actions::NewlySeen;
use crate::source_offsets::SourceKey;
use crate::streak_looks::StreakLook;

/// A decided batch.
pub struct DecidedBatch<'b> {
    pub changes: Changes,
    pub newly_seen: Vec<NewlySeen>,
    /// Identities of past actions that were decided again, for another task.
    pub seen_again: BTreeSet<(Lane, Uuid)>,
    /// The past and live actions that tasks with open backfills have decided.
    pub backfill_actions: BTreeSet<(Lane, TaskId, Uuid)>,
    pub dedup_window: i32,
    pub offsets_moved: HashMap<(Lane, SourceKey), i64>,
    pub parked: Vec<NewlyParked<'b>>,
    pub parked_resolved: Vec<(Lane, &'b Resolution)>,
    pub receipts_given: Vec<(Lane, ClaimKey, Vec<Receipt>)>,
    pub hand_receipts_given: Vec<(Lane, RequestKey, HandReceipt)>,
    pub budget_takes: BTreeMap<BudgetKey, Take>,
    /// The next times at which the sweeper looks at the touched streaks.
    pub streak_looks: Vec<StreakLook>,
    pub heads: BTreeMap<Lane, LaneHead>,
    pub(super) answers: Vec<(Lane, Answer)>,
    pub(super) unevaluated: Vec<TaskId>,
    pub(super) backfills: Arc<OpenBackfills>,
}

impl DecidedBatch<'_> {
    /// Notes that the boundaries of open backfills are committed in these lanes.
    pub fn note_bounded(&self) {
        self.backfills.note_bounded(self.heads.keys().copied());
    }

    /// The answers, one per item.
    pub fn applied(&self) -> Vec<Applied> {
        let applied = |(lane, answer): &(Lane, Answer)| {
            let number = self.heads.get(lane).map_or(0, |head| head.next_position - 1);
            Applied { answer: answer.clone(), position: Position { lane: *lane, number } }
        };
        self.answers.iter().map(applied).collect()
    }

    /// The users whose stored states now include what stock postgres-es appended.
    pub fn caught_up(&self) -> Vec<(Lane, &str)> {
        let external = |lane: &Lane| self.heads.get(lane).is_some_and(|head| head.external_appends);
        let users = self.changes.users.iter().filter(|user| external(&user.lane));
        users.map(|user| (user.lane, user.user.as_str())).collect()
    }

    /// Updates the metrics after the commit.
    pub fn count(&self) {
        metrics::counter!("plaudit_events_total").increment(self.changes.events.len() as u64);
        metrics::counter!("plaudit_items_total").increment(self.answers.len() as u64);
        metrics::counter!("plaudit_parked_total").increment(self.parked.len() as u64);
        for task in &self.unevaluated {
            metrics::counter!("plaudit_where_failed_total", "task" => task.to_string())
                .increment(1);
        }
        self.changes.events.iter().filter_map(acknowledged).for_each(|result| {
            metrics::counter!("plaudit_reward_acknowledgements_total", "result" => result)
                .increment(1);
        });
        let is_duplicate =
            |(_, answer): &&(Lane, Answer)| *answer == Answer::Incoming(ActionAnswer::Duplicate);
        let duplicates = self.answers.iter().filter(is_duplicate).count();
        metrics::counter!("plaudit_duplicates_total").increment(duplicates as u64);
    }
}

/// The kind of acknowledgement that an event records, or `None`.
fn acknowledged(new: &NewEvent) -> Option<&'static str> {
    let result = match new.event {
        Event::RewardDelivered { .. } => "delivered",
        Event::RewardFailed { .. } => "failed",
        Event::AcknowledgementIgnored { .. } => "ignored",
        _ => return None,
    };
    new.metadata.contains("\"action_id\":").then_some(result)
}
