//! The content of the baseline's batches: events and rows as the rules make them, prepared before
//! the clock starts.

use std::collections::{BTreeSet, HashMap};
use std::sync::Arc;

use plaudit_actions::cloud_events;
use plaudit_domain::catalogue::{BudgetsUsed, Catalogue};
use plaudit_domain::ids::TaskId;
use plaudit_domain::lane::{Lane, LaneCount};
use plaudit_domain::user_tasks::{ActionInput, Seed, UserTasks, decide_action, evolve};
use plaudit_event_store::Metadata;
use plaudit_event_store::states::{self, TaskRow, UserRow};
use uuid::Uuid;

use super::Shape;
use crate::bench::Outcome;
use crate::bench::kafka::{self, Numbers, user_id};

/// The rows of one transaction.
#[derive(Default)]
pub struct Batch {
    /// The lanes that it locks.
    pub lanes: BTreeSet<i16>,
    /// One event per action, in order.
    pub events: Vec<EventRow>,
    /// The row of each user's task after the batch.
    pub tasks: Vec<(i16, Arc<str>, TaskRow)>,
    /// The rows of users without one.
    pub new_users: Vec<(i16, Arc<str>, UserRow)>,
    /// The offset that each lane moves to.
    pub next_offset: i64,
}

/// One event, and the identity of its action.
pub struct EventRow {
    pub lane: i16,
    pub user: Arc<str>,
    pub sequence: i64,
    pub position: i64,
    pub kind: &'static str,
    pub version: &'static str,
    pub payload: String,
    pub metadata: String,
    pub identity: Uuid,
}

/// A user as the batches so far have left it.
struct User {
    name: Arc<str>,
    state: UserTasks,
    sequence: i64,
}

/// The users of a run and the heads of its lanes, as the batches so far have left them.
pub struct Content<'c> {
    catalogue: &'c Catalogue,
    task: TaskId,
    time: String,
    by_lane: Vec<Vec<u64>>,
    users: HashMap<u64, User>,
    heads: HashMap<i16, i64>,
}

impl<'c> Content<'c> {
    /// Starts with an empty log.
    pub fn new(catalogue: &'c Catalogue, users: u64, lane_count: LaneCount) -> Self {
        let mut by_lane: Vec<Vec<u64>> = (0..lane_count.get()).map(|_| Vec::new()).collect();
        for user in 0..users {
            let lane = Lane::of(&user_id(user), lane_count);
            by_lane[usize::from(lane.0.unsigned_abs())].push(user);
        }
        Self {
            catalogue,
            task: "gifts".parse().expect("a task id"),
            time: jiff::Timestamp::now().to_string(),
            by_lane,
            users: HashMap::new(),
            heads: HashMap::new(),
        }
    }

    /// Prepares batches of the users of these lanes, with as many actions altogether. Users are
    /// drawn uniformly, so a batch may hold several actions of one user.
    pub fn batches(&mut self, shape: Shape, lanes: &[i16], actions: u64) -> Outcome<Vec<Batch>> {
        let mut numbers = Numbers(lanes.first().map_or(0, |lane| u64::from(lane.unsigned_abs())));
        let mut batches = Vec::new();
        let mut left = usize::try_from(actions)?;
        let of_lanes = |lanes: &[i16], by_lane: &[Vec<u64>]| -> Vec<(i16, u64)> {
            let of = |lane: &i16| {
                let lane = *lane;
                by_lane[usize::from(lane.unsigned_abs())].iter().map(move |user| (lane, *user))
            };
            lanes.iter().flat_map(of).collect()
        };
        // The users among whom a batch draws: those of one lane, lane after lane, or those of all.
        let drawn_from: Vec<Vec<(i16, u64)>> = match shape {
            Shape::OneLane => lanes.iter().map(|lane| of_lanes(&[*lane], &self.by_lane)).collect(),
            Shape::AllLanes => vec![of_lanes(lanes, &self.by_lane)],
        };
        let drawn_from: Vec<_> = drawn_from.into_iter().filter(|users| !users.is_empty()).collect();
        for users in drawn_from.iter().cycle() {
            if left == 0 {
                break;
            }
            let count = left.min(shape.actions());
            left -= count;
            let mut batch =
                Batch { next_offset: i64::try_from(batches.len())? + 1, ..Batch::default() };
            let mut touched = BTreeSet::new();
            for _ in 0..count {
                let place = numbers.next() % users.len() as u64;
                let (lane, user) = users[usize::try_from(place)?];
                self.act(lane, user, &mut numbers, &mut batch)?;
                touched.insert((lane, user));
            }
            for (lane, user) in touched {
                let User { name, state, .. } = &self.users[&user];
                let row = states::row(state, &self.task).ok_or("the action moved no task")?;
                batch.tasks.push((lane, Arc::clone(name), row));
            }
            // In the order of the key, as rows of the program are.
            batch.tasks.sort_by(|a, b| (a.0, &a.1).cmp(&(b.0, &b.1)));
            batches.push(batch);
        }
        Ok(batches)
    }

    /// Adds one action of a user to a batch.
    fn act(
        &mut self,
        lane: i16,
        user: u64,
        numbers: &mut Numbers,
        batch: &mut Batch,
    ) -> Outcome<()> {
        let known = self.users.entry(user).or_insert_with(|| User {
            name: user_id(user).into(),
            state: UserTasks::default(),
            sequence: 0,
        });
        let (id, coins) = (numbers.next(), 10 + numbers.next() % 90);
        let body = kafka::action(id, kafka::GIFT, &known.name, &self.time, coins);
        let action = cloud_events::from_structured(body.as_bytes())?;
        let input = ActionInput { action: &action, seed: Seed::default(), credited: None };
        let decided = decide_action(&known.state, input, self.catalogue, &BudgetsUsed::default());
        let [event] = decided.events.as_slice() else {
            return Err(format!("{} events of one action", decided.events.len()).into());
        };
        let is_new = known.sequence == 0;
        evolve(&mut known.state, event);
        known.sequence += 1;
        let position = self.heads.entry(lane).or_insert(0);
        *position += 1;
        let metadata = Metadata {
            action_source: Some("/bench".into()),
            action_id: Some(action.id.as_str().into()),
            action_type: Some(kafka::GIFT.into()),
            topic: Some("bench_uniform".into()),
            partition: Some(7),
            offset: Some(*position),
            ..Metadata::default()
        };
        let (kind, version) = event.schema();
        batch.events.push(EventRow {
            lane,
            user: Arc::clone(&known.name),
            sequence: known.sequence,
            position: *position,
            kind,
            version,
            payload: serde_json::to_string(event)?,
            metadata: serde_json::to_string(&metadata)?,
            identity: action.identity(),
        });
        if is_new {
            batch.new_users.push((lane, Arc::clone(&known.name), UserRow::new(&known.state)));
        }
        batch.lanes.insert(lane);
        Ok(())
    }
}
