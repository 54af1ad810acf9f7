//! (h) The cost of an action of users with a history in all 24 tasks, and of users with a year of
//! daily periods, compared with users who have only begun.

use std::sync::Arc;
use std::time::Duration;

use jiff::{Timestamp, ToSpan as _};

use super::Outcome;
use super::in_process::{Act, InProcess, compare};
use super::kafka::Numbers;
use super::place::{CATALOGUE_KINDS, Database, Place, catalogue};

/// Actions per batch.
const BATCH: u64 = 2_000;

/// The most users of each group with a history in all tasks.
const CATALOGUE_USERS_MAX: u64 = 20_000;

/// Users of each group with a year of history.
const YEAR_USERS: u64 = 500;

/// The days of history before today.
const DAYS: i64 = 364;

/// Two tasks per action type, each with a milestone on the first action of a day: in the first
/// their rewards are granted at once, in the second they wait to be claimed.
const YEAR_TASKS: &str = r"
tasks:
  - id: granted
    kind: periodic
    every: day
    objective: { on: bench.granted, measure: { sum: data.coins } }
    claim: { mode: automatic }
    milestones:
      - { at: 1, rewards: [ { line: coins, kind: currency, code: coin, amount: 1 } ] }
      - { at: 1000000000, rewards: [ { line: more, kind: currency, code: coin, amount: 1 } ] }
  - id: granted-streak
    kind: continuous
    every: day
    objective: { on: bench.granted, target: 1 }
    streak: { cycle: 7 }
    claim: { mode: automatic }
    milestones:
      - { at: 7, rewards: [ { line: coins, kind: currency, code: coin, amount: 1 } ] }
  - id: unclaimed
    kind: periodic
    every: day
    objective: { on: bench.unclaimed, measure: { sum: data.coins } }
    milestones:
      - { at: 1, rewards: [ { line: coins, kind: currency, code: coin, amount: 1 } ] }
      - { at: 1000000000, rewards: [ { line: more, kind: currency, code: coin, amount: 1 } ] }
  - id: unclaimed-streak
    kind: continuous
    every: day
    objective: { on: bench.unclaimed, target: 1 }
    streak: { cycle: 7 }
    milestones:
      - { at: 7, rewards: [ { line: coins, kind: currency, code: coin, amount: 1 } ] }
";

/// Measures all histories and prints a line for each.
pub async fn run(place: &Place, users: u64, seconds: u64) -> Outcome<()> {
    let time = Duration::from_secs(seconds);
    let database = place.database("bench_histories", &catalogue()).await?;
    in_all_tasks(&database, users.min(CATALOGUE_USERS_MAX), time).await?;
    database.finish(place).await?;
    let database = place.database("bench_years", YEAR_TASKS).await?;
    for (kind, what) in [
        ("bench.granted", "365 days of history"),
        ("bench.unclaimed", "a year of unclaimed rewards"),
    ] {
        of_a_year(&database, kind, what, time).await?;
    }
    database.finish(place).await
}

/// Users of one group act once with each action type, those of the other with the first only. What
/// is measured are further actions of that type, which move three tasks in both.
async fn in_all_tasks(database: &Database, users: u64, time: Duration) -> Outcome<()> {
    let now: Arc<str> = Timestamp::now().to_string().into();
    let act = |user, kind| Act {
        user,
        kind: format!("bench.k{kind}"),
        time: Arc::clone(&now),
        coins: 10,
    };
    let setting_up = InProcess::new(database);
    for (group, kinds) in [(0, 1), (users, CATALOGUE_KINDS)] {
        let all: Vec<Act> = (0..kinds)
            .flat_map(|kind| (0..users).map(move |user| (group + user, kind)))
            .map(|(user, kind)| act(user, kind))
            .collect();
        for batch in all.chunks(usize::try_from(BATCH)?) {
            setting_up.apply(batch).await?;
        }
    }
    sqlx::query("analyze").execute(&database.pool).await?;
    let mut numbers = Numbers(1);
    let costs = compare(database, time, |with_history| {
        let group = if with_history { users } else { 0 };
        (0..BATCH).map(|_| act(group + numbers.next() % users, 0)).collect()
    })
    .await?;
    println!("(h) users with a history in 3 of 24 tasks       {:>9.1} µs an action", costs.without);
    println!(
        "    in all 24                                   {:>9.1} µs an action, ratio {:.2}",
        costs.with,
        costs.ratio()
    );
    Ok(())
}

/// Users of one group have acted on each day of a year, those of the other today only. What is
/// measured are further actions of today, which make progress and reach nothing.
async fn of_a_year(database: &Database, kind: &str, what: &str, time: Duration) -> Outcome<()> {
    let now = Timestamp::now();
    let setting_up = InProcess::new(database);
    let act = |user, time: &Arc<str>| Act {
        user,
        kind: kind.to_owned(),
        time: Arc::clone(time),
        coins: 1,
    };
    for day in (0..=DAYS).rev() {
        let at: Arc<str> = now.checked_sub((day * 24).hours())?.to_string().into();
        let newcomers = if day == 0 { YEAR_USERS } else { 0 };
        let all: Vec<Act> =
            (YEAR_USERS..2 * YEAR_USERS).chain(0..newcomers).map(|user| act(user, &at)).collect();
        setting_up.apply(&all).await?;
    }
    sqlx::query("analyze").execute(&database.pool).await?;
    let now: Arc<str> = now.to_string().into();
    let costs = compare(database, time, |with_history| {
        let first = if with_history { YEAR_USERS } else { 0 };
        (first..first + YEAR_USERS).map(|user| act(user, &now)).collect()
    })
    .await?;
    println!("    users with one day of history               {:>9.1} µs an action", costs.without);
    println!("    with {what:<38} {:>9.1} µs an action, ratio {:.2}", costs.with, costs.ratio());
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_tasks_of_a_year_are_valid() {
        assert_eq!(plaudit_task_file::parse(YEAR_TASKS).unwrap().len(), 4);
    }
}
