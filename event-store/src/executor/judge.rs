//! Deciding a batch in memory. No I/O happens between the first decision and the last.

use std::borrow::Cow;
use std::collections::{BTreeMap, BTreeSet, HashMap, HashSet};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;

use plaudit_domain::catalogue::Catalogue;
use plaudit_domain::ids::{TaskId, UserId};
use plaudit_domain::lane::{Lane, Position};
use plaudit_domain::user_tasks::{
    Command, Decision, Event, Rejection, UnmovedReason, UserTasks, decide, evolve,
};
use sqlx::PgConnection;
use uuid::Uuid;

use crate::batch::{
    Applied, ChangedUser, Changes, Item, NewEvent, Origin, Outcome, ParkedRecord, Receipt, Work,
};
use crate::error::ExecuteError;
use crate::lanes::{LaneHead, Locked};
use crate::load::{LaneOffsets, LoadedState, SourceKey};
use crate::reader;

/// What a batch needs from the database before it can decide.
#[derive(Default)]
pub struct Wanted {
    pub users: Vec<(Lane, UserId)>,
    pub identities: Vec<(Lane, Uuid)>,
    pub sources: HashSet<(Lane, SourceKey)>,
    pub keys: Vec<(Lane, UserId, String)>,
}

impl Wanted {
    pub fn of(items: &[Item]) -> Self {
        let mut wanted = Self::default();
        let mut users = BTreeSet::new();
        for item in items {
            if let Origin::Record(at) = &item.origin {
                wanted.sources.insert((item.lane, at.into()));
            }
            match &item.work {
                Work::Action(action) => {
                    users.insert((item.lane, action.user.clone()));
                    wanted.identities.push((item.lane, action.identity()));
                }
                Work::Claim { user, idempotency_key, .. } => {
                    users.insert((item.lane, user.clone()));
                    let key =
                        idempotency_key.iter().map(|key| (item.lane, user.clone(), key.clone()));
                    wanted.keys.extend(key);
                }
                Work::ClaimAll { user, .. } | Work::StartDeliveries { user, .. } => {
                    users.insert((item.lane, user.clone()));
                }
                Work::Park(_) => {}
            }
        }
        wanted.users = users.into_iter().collect();
        wanted
    }
}

/// What the database said.
pub struct Loaded {
    pub states: HashMap<UserId, LoadedState>,
    pub seen: HashSet<Uuid>,
    pub offsets: LaneOffsets,
    pub receipts: HashMap<(UserId, String), Receipt>,
}

/// A batch, decided.
pub struct Judged<'b> {
    pub changes: Changes,
    pub newly_seen: Vec<(Lane, Uuid)>,
    pub generation: i32,
    pub offsets_moved: HashMap<(Lane, SourceKey), i64>,
    pub parked: Vec<(Lane, &'b Origin, Cow<'b, ParkedRecord>)>,
    pub receipts_given: Vec<(Lane, String, Receipt)>,
    pub heads: BTreeMap<Lane, LaneHead>,
    outcomes: Vec<(Lane, Outcome)>,
    /// Claims that found nothing, by their place among the outcomes: an earlier claim may have
    /// taken it.
    repeated: Vec<(usize, UserId, TaskId, String, i64)>,
    unevaluated: Vec<TaskId>,
}

impl Judged<'_> {
    /// The answers, item by item.
    pub fn applied(&self) -> Vec<Applied> {
        let answer = |(lane, outcome): &(Lane, Outcome)| {
            let number = self.heads.get(lane).map_or(0, |head| head.next_position - 1);
            Applied { outcome: outcome.clone(), position: Position { lane: *lane, number } }
        };
        self.outcomes.iter().map(answer).collect()
    }

    /// Counts what was committed.
    pub fn count(&self) {
        metrics::counter!("plaudit_events_total").increment(self.changes.events.len() as u64);
        metrics::counter!("plaudit_items_total").increment(self.outcomes.len() as u64);
        metrics::counter!("plaudit_parked_total").increment(self.parked.len() as u64);
        for task in &self.unevaluated {
            metrics::counter!("plaudit_where_failed_total", "task" => task.to_string())
                .increment(1);
        }
        let duplicates = self.outcomes.iter().filter(|(_, o)| *o == Outcome::Duplicate).count();
        metrics::counter!("plaudit_duplicates_total").increment(duplicates as u64);
    }

    /// Answers claims that repeat an earlier one: of this batch, or by the log, which is never behind.
    pub async fn find_earlier_receipts(
        &mut self,
        connection: &mut PgConnection,
    ) -> Result<(), ExecuteError> {
        for (index, user, task, period, milestone) in std::mem::take(&mut self.repeated) {
            let lane = self.outcomes[index].0;
            let found = match self.claim_of_this_batch(&user, &task, &period, milestone) {
                Some(receipt) => Some(receipt),
                None => {
                    reader::earlier_claim(lane, &user, &task, &period, milestone, connection)
                        .await?
                }
            };
            if let Some(receipt) = found {
                self.outcomes[index].1 = Outcome::Claimed(receipt);
            }
        }
        Ok(())
    }

    /// The receipt of a claim that this batch itself honours, and has not written yet.
    fn claim_of_this_batch(
        &self,
        user: &UserId,
        task: &TaskId,
        period: &str,
        milestone: i64,
    ) -> Option<Receipt> {
        let is_it = |event: &Event| match event {
            Event::RewardsClaimed { task: t, period: p, milestone: m, .. } => {
                t == task && p.key.as_str() == period && *m == milestone
            }
            _ => false,
        };
        let new = self.changes.events.iter().find(|new| new.user == *user && is_it(&new.event))?;
        Receipt::new(user, &new.event, Position { lane: new.lane, number: new.position })
    }
}

/// A user's tasks while a batch is decided.
struct Working {
    lane: Lane,
    loaded: LoadedState,
    touched: BTreeSet<TaskId>,
    user_touched: bool,
    changed: bool,
}

/// Decides items in order.
pub fn judge<'b>(
    items: &'b [Item],
    locked: Locked,
    loaded: Loaded,
    catalogue: &Catalogue,
) -> Judged<'b> {
    let mut judging = Judging {
        catalogue,
        users: HashMap::with_capacity(loaded.states.len()),
        states: loaded.states,
        seen: loaded.seen,
        applied_before: loaded.offsets,
        receipts: loaded.receipts,
        judged: Judged {
            changes: Changes::default(),
            newly_seen: Vec::new(),
            generation: locked.generation,
            offsets_moved: HashMap::new(),
            parked: Vec::new(),
            receipts_given: Vec::new(),
            heads: locked.heads,
            outcomes: Vec::with_capacity(items.len()),
            repeated: Vec::new(),
            unevaluated: Vec::new(),
        },
    };
    for item in items {
        let outcome = judging.item(item);
        judging.judged.outcomes.push((item.lane, outcome));
    }
    judging.finish()
}

struct Judging<'c, 'b> {
    catalogue: &'c Catalogue,
    states: HashMap<UserId, LoadedState>,
    users: HashMap<UserId, Working>,
    seen: HashSet<Uuid>,
    applied_before: LaneOffsets,
    receipts: HashMap<(UserId, String), Receipt>,
    judged: Judged<'b>,
}

impl<'b> Judging<'_, 'b> {
    fn item(&mut self, item: &'b Item) -> Outcome {
        if let Origin::Record(at) = &item.origin {
            let key = (item.lane, SourceKey::from(at));
            if self.applied_before.get(&key).is_some_and(|next| at.offset < *next) {
                return Outcome::AlreadyApplied;
            }
            let next = self.judged.offsets_moved.entry(key).or_insert(0);
            *next = (*next).max(at.offset + 1);
        }
        match &item.work {
            Work::Park(record) => {
                self.judged.parked.push((item.lane, &item.origin, Cow::Borrowed(record)));
                Outcome::Parked { id: record.id, reason: record.reason.clone() }
            }
            Work::Action(action) => {
                let identity = action.identity();
                if !self.seen.insert(identity) {
                    return Outcome::Duplicate;
                }
                self.judged.newly_seen.push((item.lane, identity));
                self.action(item, action)
            }
            Work::Claim { user, task, period, milestone, at, idempotency_key } => {
                if let Some(key) = idempotency_key
                    && let Some(receipt) = self.receipts.get(&(user.clone(), key.clone()))
                {
                    return Outcome::Claimed(receipt.clone());
                }
                let (task, period) = (task.clone(), period.clone());
                let named =
                    period.clone().zip(*milestone).map(|(p, m)| (task.clone(), p.to_string(), m));
                let command = Command::ClaimRewards {
                    user: user.clone(),
                    task,
                    period,
                    milestone: *milestone,
                    claimed_at: *at,
                };
                match self.claim(item, user, &command) {
                    Ok(receipt) => {
                        if let Some(key) = idempotency_key {
                            self.receipts.insert((user.clone(), key.clone()), receipt.clone());
                            self.judged.receipts_given.push((
                                item.lane,
                                key.clone(),
                                receipt.clone(),
                            ));
                        }
                        Outcome::Claimed(receipt)
                    }
                    Err(rejection) => {
                        if let (
                            Rejection::NothingClaimable { .. },
                            Some((task, period, milestone)),
                        ) = (&rejection, named)
                        {
                            let index = self.judged.outcomes.len();
                            self.judged.repeated.push((
                                index,
                                user.clone(),
                                task,
                                period,
                                milestone,
                            ));
                        }
                        Outcome::Rejected(rejection)
                    }
                }
            }
            Work::ClaimAll { user, at } => Outcome::ClaimedAll(self.claim_all(item, user, *at)),
            Work::StartDeliveries { user, rewards } => {
                let command = Command::StartDeliveries { rewards: rewards.clone() };
                match self.decide(item, user, &command) {
                    Ok(decision) => {
                        self.record(item, user, decision.events, &metadata(item, None));
                        Outcome::Accepted
                    }
                    Err(rejection) => Outcome::Rejected(rejection),
                }
            }
        }
    }

    fn action(&mut self, item: &'b Item, action: &plaudit_domain::action::Action) -> Outcome {
        let user_fact = action.kind == plaudit_domain::action::USER_UPDATED;
        if !user_fact && !self.catalogue.listens_to(&action.kind) {
            return Outcome::Accepted;
        }
        let command = Command::RecordAction(action.clone());
        // A fault in the rules must not stop a partition: the action is set aside, others go on.
        let Ok(decided) =
            catch_unwind(AssertUnwindSafe(|| self.decide(item, &action.user, &command)))
        else {
            self.judged.newly_seen.pop();
            let record =
                ParkedRecord::of_action(action, "an internal error while applying it", true);
            let (id, reason) = (record.id, record.reason.clone());
            self.judged.parked.push((item.lane, &item.origin, Cow::Owned(record)));
            return Outcome::Parked { id, reason };
        };
        match decided {
            Ok(Decision { events, unmoved }) => {
                let failed = |u: &plaudit_domain::user_tasks::Unmoved| {
                    matches!(u.reason, UnmovedReason::FilterFailed(_)).then(|| u.task.clone())
                };
                self.judged.unevaluated.extend(unmoved.iter().filter_map(failed));
                if !events.is_empty() {
                    self.record(item, &action.user, events, &metadata(item, Some(action)));
                }
                Outcome::Accepted
            }
            Err(rejection) => Outcome::Rejected(rejection),
        }
    }

    fn claim(
        &mut self,
        item: &Item,
        user: &UserId,
        command: &Command,
    ) -> Result<Receipt, Rejection> {
        let events = self.decide(item, user, command)?.events;
        let claimed = events.first().cloned();
        let place = self.record(item, user, events, &metadata(item, None));
        let receipt = claimed.as_ref().and_then(|event| Receipt::new(user, event, place));
        Ok(receipt.expect("a claim that is not rejected gives what it took"))
    }

    fn claim_all(&mut self, item: &Item, user: &UserId, at: jiff::Timestamp) -> Vec<Receipt> {
        let mut receipts = Vec::new();
        let state = &self.working(item, user).loaded.state;
        let due: Vec<_> = state
            .tasks
            .iter()
            .flat_map(|(task, t)| {
                t.unsettled.iter().map(|u| (task.clone(), u.period.key.clone(), u.at))
            })
            .collect();
        for (task, period, milestone) in due {
            let command = Command::ClaimRewards {
                user: user.clone(),
                task,
                period: Some(period),
                milestone: Some(milestone),
                claimed_at: at,
            };
            receipts.extend(self.claim(item, user, &command));
        }
        receipts
    }

    fn working(&mut self, item: &Item, user: &UserId) -> &mut Working {
        let states = &mut self.states;
        self.users.entry(user.clone()).or_insert_with(|| Working {
            lane: item.lane,
            loaded: states.remove(user).unwrap_or_default(),
            touched: BTreeSet::new(),
            user_touched: false,
            changed: false,
        })
    }

    fn decide(
        &mut self,
        item: &Item,
        user: &UserId,
        command: &Command,
    ) -> Result<Decision, Rejection> {
        let catalogue = self.catalogue;
        let state: &UserTasks = &self.working(item, user).loaded.state;
        decide(state, command, catalogue)
    }

    /// Gives events their places and folds them. Returns the place of the last.
    fn record(
        &mut self,
        item: &Item,
        user: &UserId,
        events: Vec<Event>,
        metadata: &Arc<str>,
    ) -> Position {
        let mut number = 0;
        for event in events {
            let head = self.judged.heads.get_mut(&item.lane).expect("its lane is locked");
            number = head.next_position;
            head.next_position += 1;
            let working = self.working(item, user);
            evolve(&mut working.loaded.state, &event);
            working.loaded.sequence += 1;
            working.changed = true;
            match event.task() {
                Some(task) if !working.touched.contains(task) => {
                    working.touched.insert(task.clone());
                }
                Some(_) => {}
                None => working.user_touched = true,
            }
            let sequence = working.loaded.sequence;
            let new = NewEvent {
                lane: item.lane,
                user: user.clone(),
                sequence,
                position: number,
                event,
                metadata: Arc::clone(metadata),
            };
            self.judged.changes.events.push(new);
        }
        Position { lane: item.lane, number }
    }

    fn finish(mut self) -> Judged<'b> {
        let changed = self.users.into_iter().filter(|(_, working)| working.changed);
        let mut users: Vec<_> = changed
            .map(|(user, working)| ChangedUser {
                lane: working.lane,
                user,
                state: working.loaded.state,
                sequence: working.loaded.sequence,
                touched: working.touched,
                user_touched: working.user_touched,
                refolded: working.loaded.refolded,
            })
            .collect();
        // In the order of the key: neighbouring rows lie on the same pages.
        users.sort_by(|a, b| (a.lane, &a.user).cmp(&(b.lane, &b.user)));
        self.judged.changes.users = users;
        self.judged
    }
}

/// What is about the events of one item: where it came from, and what caused it. A flat object of
/// strings, because stock cqrs-es reads nothing else.
fn metadata(item: &Item, action: Option<&plaudit_domain::action::Action>) -> Arc<str> {
    let mut fields: Vec<(&str, String)> = Vec::with_capacity(8);
    if let Some(action) = action {
        fields.push(("action_source", action.source.clone()));
        fields.push(("action_id", action.id.clone()));
        fields.push(("action_type", action.kind.clone()));
    }
    match &item.origin {
        Origin::Record(at) => {
            fields.push(("topic", at.topic.to_string()));
            fields.push(("partition", at.partition.to_string()));
            fields.push(("offset", at.offset.to_string()));
            if at.incarnation > 0 {
                fields.push(("incarnation", at.incarnation.to_string()));
            }
        }
        Origin::Request(id) => fields.push(("request_id", id.to_string())),
        Origin::Follower => fields.push(("follower", "delivery".to_owned())),
    }
    let mut json = String::with_capacity(192);
    json.push('{');
    for (index, (name, value)) in fields.iter().enumerate() {
        if index > 0 {
            json.push(',');
        }
        json.push('"');
        json.push_str(name);
        json.push_str("\":");
        json.push_str(&serde_json::Value::String(value.clone()).to_string());
    }
    json.push('}');
    json.into()
}
