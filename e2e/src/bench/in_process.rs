//! Batches of actions that this process applies itself, without Kafka: for costs that only the
//! executor and the database cause.

use std::sync::Arc;
use std::time::{Duration, Instant};

use plaudit_actions::cloud_events;
use plaudit_domain::lane::{Lane, LaneCount};
use plaudit_event_store::{Batch, Executor, Incoming, Item, Origin};
use uuid::Uuid;

use super::Outcome;
use super::kafka;
use super::place::Database;

/// An executor in this process.
pub struct InProcess {
    executor: Arc<Executor>,
    lane_count: LaneCount,
}

/// One action to apply.
pub struct Act {
    /// The number of the user.
    pub user: u64,
    /// The type.
    pub kind: String,
    /// The time of the action.
    pub time: Arc<str>,
    /// The `coins` in its data.
    pub coins: u64,
}

impl InProcess {
    /// Creates an executor that remembers no user yet.
    pub fn new(database: &Database) -> Self {
        Self { executor: database.executor(), lane_count: database.lane_count }
    }

    /// Applies actions in one batch.
    pub async fn apply(&self, acts: &[Act]) -> Outcome<()> {
        let mut items = Vec::with_capacity(acts.len());
        for act in acts {
            let name = kafka::user_id(act.user);
            let id = Uuid::new_v4().as_u64_pair().0;
            let event = kafka::action(id, &act.kind, &name, &act.time, act.coins);
            let action = cloud_events::from_structured(event.as_bytes())?;
            let lane = Lane::of(&name, self.lane_count);
            let origin = Origin::Request(Uuid::nil());
            items.push(Item { lane, work: Incoming::Action(action), origin });
        }
        self.executor.execute(&Batch { items, checkpoints: vec![] }).await?;
        Ok(())
    }
}

/// The cost of an action in two groups of users, in microseconds.
#[derive(Debug, Clone, Copy)]
pub struct Costs {
    /// The group without a history.
    pub without: f64,
    /// The group with one.
    pub with: f64,
}

impl Costs {
    /// Returns how many times as much an action with a history costs.
    pub fn ratio(&self) -> f64 {
        self.with / self.without
    }
}

/// Measures two groups of users, in batches by turns, so that both meet the same machine. The
/// groups share lanes, and each has an executor of its own: each batch finds the heads moved by the
/// other group, so nobody is remembered, and every row is read.
pub async fn compare(
    database: &Database,
    time: Duration,
    mut batch: impl FnMut(bool) -> Vec<Act>,
) -> Outcome<Costs> {
    let executors = [InProcess::new(database), InProcess::new(database)];
    let (mut spent, mut count) = ([Duration::ZERO; 2], [0_u64; 2]);
    let begun = Instant::now();
    let mut round = 0;
    // The first rounds prepare statements and compile the catalogue.
    while round < ROUNDS_MIN || begun.elapsed() < time {
        for (group, executor) in executors.iter().enumerate() {
            let acts = batch(group == 1);
            let begun = Instant::now();
            executor.apply(&acts).await?;
            if round >= WARM_UP_ROUNDS {
                spent[group] += begun.elapsed();
                count[group] += acts.len() as u64;
            }
        }
        round += 1;
    }
    let cost = |group: usize| super::cpu::micros(spent[group], count[group]);
    Ok(Costs { without: cost(0), with: cost(1) })
}

/// Rounds that are not measured.
const WARM_UP_ROUNDS: u32 = 3;

/// The fewest rounds of a comparison.
const ROUNDS_MIN: u32 = WARM_UP_ROUNDS + 5;
