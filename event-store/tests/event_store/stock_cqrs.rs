//! Compares our executor with stock cqrs-es and postgres-es on the same commands, and checks that
//! ours picks up events appended by stock code.

use std::collections::BTreeSet;

use crate::support::{Store, TASKS, action};
use cqrs_es::persist::PersistedEventStore;
use cqrs_es::{AggregateError, CqrsFramework};
use jiff::Timestamp;
use plaudit_domain::action::Action;
use plaudit_domain::calendar::PeriodKey;
use plaudit_domain::ids::{TaskId, UserId};
use plaudit_domain::lane::Lane;
use plaudit_domain::user_tasks::{
    ClaimRejection, Command, CommandRejection, Redelivery, Reward, Seed,
};
use plaudit_event_store::aggregate::{AggregateCommand, UserTasksAggregate};
use plaudit_event_store::{
    ActionAnswer, Answer, Claim, ClaimAnswer, Incoming, Item, Origin, Redeliver, RedeliverAnswer,
    StartDeliveries, Work,
};
use postgres_es::PostgresEventRepository;
use proptest::prelude::*;
use proptest::strategy::ValueTree;
use proptest::test_runner::{Config, RngAlgorithm, TestRng, TestRunner};
use serde_json::{Value, json};
use sqlx::types::Json;
use uuid::Uuid;

type Stock = CqrsFramework<
    UserTasksAggregate,
    PersistedEventStore<PostgresEventRepository, UserTasksAggregate>,
>;

async fn stock(store: &Store) -> Stock {
    let repository = PostgresEventRepository::new(store.pool.clone())
        .with_tables("cqrs_events", "cqrs_snapshots");
    let catalogue = store.executor.catalogue().newest(&store.pool).await.unwrap();
    CqrsFramework::new(PersistedEventStore::new_event_store(repository), vec![], catalogue)
}

/// A random request of one user.
#[derive(Debug, Clone)]
struct Wish {
    user: String,
    what: What,
}

#[derive(Debug, Clone)]
enum What {
    Act(Action),
    /// Often something that does not exist.
    Claim {
        task: &'static str,
        period: Option<&'static str>,
        milestone: Option<i64>,
        at: Timestamp,
    },
    /// Deliver some of the rewards due by then; the number selects them.
    Deliver(usize),
    /// A payer acknowledges one of the grants, or an unknown one.
    Acknowledge(usize),
    /// An operator requests a redelivery of one of the grants.
    Redeliver(usize),
}

const USERS: u32 = 25;
const TASK_IDS: [&str; 4] = ["first-team", "daily-gifts", "sign-in", "nothing"];
const PERIODS: [&str; 5] = ["once", "2026-03-26", "2026-03-28", "2020-01-01", "2026-02-30"];
const MILESTONES: [i64; 5] = [1, 3, 100, 1000, 7];

/// Random requests of a few users over a few days, in no order.
fn wishes(seed: u8, count: usize) -> Vec<Wish> {
    let one = (0..USERS, 0..10usize, 0..6u32, 0..24u32, 0..400i64, 0..10_000usize);
    let rng = TestRng::from_seed(RngAlgorithm::ChaCha, &[seed; 32]);
    let mut runner = TestRunner::new_with_rng(Config::default(), rng);
    let drawn = prop::collection::vec(one, count).new_tree(&mut runner).unwrap().current();
    let make = |(n, (user, kind, day, hour, coins, dice)): (usize, _)| {
        let (day, hour): (u32, u32) = (day, hour);
        let user = format!("user {user}");
        let time = format!("2026-03-{:02}T{hour:02}:30:00Z", 25 + day);
        let zone = ["Europe/Paris", "Asia/Tokyo", "UTC"][dice % 3];
        let attributes = json!({"zone": zone, "attributes": {"level": coins}});
        let act =
            |kind: &str, data: &Value| What::Act(action(&user, &format!("{n}"), kind, &time, data));
        let what = match kind {
            0 => act("team.formed", &json!({})),
            // One in eight has an amount that can't be counted.
            1 | 2 if dice % 8 == 0 => act("gift.sent", &json!({"coins": 10.5})),
            1 | 2 => act("gift.sent", &json!({"coins": coins})),
            3 | 4 => act("user.signed_in", &json!({})),
            5 => act("plaudit.user.updated", &attributes),
            6..=8 => What::Claim {
                task: TASK_IDS[dice % TASK_IDS.len()],
                period: (dice % 3 == 0).then(|| PERIODS[dice / 3 % PERIODS.len()]),
                milestone: (dice % 2 == 0).then(|| MILESTONES[dice / 7 % MILESTONES.len()]),
                at: time.parse().unwrap(),
            },
            _ => match dice % 4 {
                0 | 1 => What::Deliver(dice / 4),
                2 => What::Acknowledge(dice / 4),
                _ => What::Redeliver(dice / 4),
            },
        };
        Wish { user, what }
    };
    drawn.into_iter().enumerate().map(make).collect()
}

/// Converts a request into the commands for both sides. Takes the deliverable rewards from the log
/// of `store`.
async fn commanded(wish: &Wish, store: &Store) -> (Item, AggregateCommand) {
    let user: UserId = wish.user.parse().unwrap();
    let (work, command): (Work, _) = match wish.what.clone() {
        What::Act(action) => (
            Incoming::Action(action.clone()).into(),
            AggregateCommand::Action { action, seed: Seed::default() },
        ),
        What::Claim { task, period, milestone, at } => {
            let task: TaskId = task.parse().unwrap();
            let period: Option<PeriodKey> = period.map(|key| key.to_owned().into());
            let work = Claim {
                user: user.clone(),
                task: task.clone(),
                period: period.clone(),
                milestone,
                at,
                idempotency_key: None,
            };
            let claim = Command::ClaimRewards { user, task, period, milestone, claimed_at: at };
            (work.into(), AggregateCommand::Command(claim))
        }
        What::Deliver(dice) => {
            let due: Vec<Json<Vec<Reward>>> = sqlx::query_scalar(
                "select payload -> 'rewards' from events
                 where aggregate_id = $1 and (event_type = 'rewards_claimed'
                       or event_type = 'milestone_reached' and payload ->> 'mode' = 'automatic')
                 order by sequence",
            )
            .bind(&wish.user)
            .fetch_all(&store.pool)
            .await
            .unwrap();
            let rewards = due.get(dice % due.len().max(1)).map_or(vec![], |Json(r)| r.clone());
            let work = StartDeliveries { user, rewards: rewards.clone() };
            (work.into(), AggregateCommand::Command(Command::StartDeliveries { rewards }))
        }
        What::Acknowledge(dice) => {
            let grant = one_of_the_grants(&wish.user, dice, store).await;
            let kind = ["plaudit.reward.delivered", "plaudit.reward.failed"][dice % 2];
            let data = json!({"grant": grant, "reason": "closed"});
            let id = Uuid::new_v4().to_string();
            let action = action(&wish.user, &id, kind, "2026-04-01T10:00:00Z", &data);
            (
                Incoming::Action(action.clone()).into(),
                AggregateCommand::Action { action, seed: Seed::default() },
            )
        }
        What::Redeliver(dice) => {
            let grant = one_of_the_grants(&wish.user, dice, store).await;
            let (by, reason) = ("olga".to_owned(), "closed".to_owned());
            let (at, even_if_delivered) = (Timestamp::UNIX_EPOCH, dice % 2 == 0);
            let keeps_payer = !even_if_delivered;
            let again = Command::Redeliver(Redelivery {
                grant,
                by: by.clone(),
                reason: reason.clone(),
                at,
                even_if_delivered,
                keeps_payer,
            });
            let work = Redeliver { user, grant, by, reason, at, even_if_delivered, keeps_payer };
            (work.into(), AggregateCommand::Command(again))
        }
    };
    let lane = Lane::of(&wish.user, store.lane_count);
    (Item { lane, work, origin: Origin::Request(Uuid::new_v4()) }, command)
}

/// Returns a grant of the user, or an unknown id.
async fn one_of_the_grants(user: &str, dice: usize, store: &Store) -> Uuid {
    let grants: Vec<Uuid> = sqlx::query_scalar(
        "select grant_id from reward_state where user_id = $1 order by grant_id",
    )
    .bind(user)
    .fetch_all(&store.pool)
    .await
    .unwrap();
    grants.get(dice % (grants.len() + 1)).copied().unwrap_or_default()
}

/// True if both sides gave the same answer. For a milestone claimed before, ours returns the
/// receipt.
fn is_same_answer(ours: &Answer, theirs: &Result<(), AggregateError<CommandRejection>>) -> bool {
    match (ours, theirs) {
        (
            Answer::Incoming(ActionAnswer::Accepted)
            | Answer::Claim(Ok(ClaimAnswer::Claimed(_)))
            | Answer::Redeliver(Ok(RedeliverAnswer::Accepted)),
            Ok(()),
        )
        | (
            Answer::Claim(Ok(ClaimAnswer::Claimed(_))),
            Err(AggregateError::UserError(CommandRejection::Claim(
                ClaimRejection::NothingClaimable { .. },
            ))),
        ) => true,
        (Answer::StartDeliveries(Ok(started)), Ok(())) => started.revoked.is_empty(),
        (
            Answer::Claim(Ok(ClaimAnswer::Rejected(ours))),
            Err(AggregateError::UserError(theirs)),
        ) => CommandRejection::from(ours.clone()) == *theirs,
        (
            Answer::Redeliver(Ok(RedeliverAnswer::Rejected(ours))),
            Err(AggregateError::UserError(theirs)),
        ) => CommandRejection::from(ours.clone()) == *theirs,
        _ => false,
    }
}

async fn log_of(store: &Store) -> Vec<(String, i64, String, String, Value)> {
    sqlx::query_as("select aggregate_id, sequence, event_type, event_version, payload from events order by aggregate_id, sequence")
        .fetch_all(&store.pool)
        .await
        .unwrap()
}

#[tokio::test]
async fn the_executor_and_stock_cqrs_write_the_same_events() {
    let mut kinds = BTreeSet::new();
    let (mut rejected, mut commands) = (0, 0);
    for seed in [1, 2, 3] {
        let (ours, theirs) = (Store::with_tasks(TASKS).await, Store::with_tasks(TASKS).await);
        let stock = stock(&theirs).await;
        for chunk in wishes(seed, 1_400).chunks(67) {
            let mut sent = Vec::new();
            for wish in chunk {
                sent.push(commanded(wish, &ours).await);
            }
            let items = sent.iter().map(|(item, _)| item.clone()).collect();
            let applied = ours.execute(items).await;
            for ((wish, (_, command)), ours) in chunk.iter().zip(sent).zip(applied) {
                let theirs = stock.execute(&wish.user, command).await;
                assert!(
                    is_same_answer(&ours.answer, &theirs),
                    "seed {seed}, {wish:?}: ours {ours:?}, theirs {theirs:?}"
                );
                commands += 1;
                rejected += u32::from(theirs.is_err());
            }
        }
        let (a, b) = (log_of(&ours).await, log_of(&theirs).await);
        assert_eq!(a.len(), b.len(), "seed {seed}");
        for (a, b) in a.iter().zip(&b) {
            assert_eq!(a, b, "seed {seed}");
            kinds.insert(a.2.clone());
        }
    }
    assert_eq!(kinds.len(), 14, "every event is among them: {kinds:?}");
    assert!(commands > 4_000 && rejected > 500, "{rejected} of {commands} were rejected");
}

#[tokio::test]
async fn what_stock_code_appends_counts() {
    let store = Store::with_tasks(TASKS).await;
    let stock = stock(&store).await;
    let signed_in = |id: &str, day: u32| {
        let time = format!("2026-03-{day}T10:00:00Z");
        action("ann", id, "user.signed_in", &time, &json!({}))
    };
    store.act(signed_in("1", 27)).await;
    stock
        .execute(
            "ann",
            AggregateCommand::Action { action: signed_in("2", 28), seed: Seed::default() },
        )
        .await
        .unwrap();
    store.act(signed_in("3", 29)).await;
    let lengths: Vec<String> = sqlx::query_scalar(
        "select payload ->> 'current' from events where event_type = 'streak_advanced' order by sequence",
    )
    .fetch_all(&store.pool)
    .await
    .unwrap();
    assert_eq!(lengths, ["1", "2", "3"], "each saw the other's step");
    let stray = "select count(*) from events e join lanes l using (lane) where e.position >= l.next_position";
    assert_eq!(store.count(stray).await, 0);
}

/// The lane function in SQL, which stock code uses for its appends, gives the same lane as ours.
#[tokio::test]
async fn the_lane_of_a_key_is_the_same_in_sql() {
    let store = Store::with_tasks(TASKS).await;
    let mut keys: Vec<String> = (0..300).map(|n| format!("user-{n}")).collect();
    keys.extend(
        ["", "a", "ab", "abc", "abcd", "über", "日本語のユーザー", "🦀"].map(str::to_owned),
    );
    let lanes: Vec<i16> = sqlx::query_scalar(
        "select plaudit_lane(k) from unnest($1::text[]) with ordinality u (k, n) order by n",
    )
    .bind(&keys)
    .fetch_all(&store.pool)
    .await
    .unwrap();
    for (key, lane) in keys.iter().zip(lanes) {
        assert_eq!(plaudit_domain::lane::Lane::of(key, store.lane_count).0, lane, "{key}");
    }
}
