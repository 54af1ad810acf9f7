//! Rests between sweeps.

use plaudit_domain::lane::Position;

use super::*;

fn sweeper() -> Sweeper {
    let pool = pool::connect("postgres://nobody@127.0.0.1:9/none", 1).unwrap();
    let count = 4.try_into().unwrap();
    let executor = crate::Executor::new(pool.clone(), count, Arc::default(), vec![]);
    let queue = CommandQueue::start(Arc::new(executor), 1);
    Sweeper { pool, queue, skipped: SkippedUsers::default(), waiting: WaitingPages::default() }
}

fn found(users: [(&str, bool, usize); 2]) -> FoundUsers {
    let found = |(user, has_due_rewards, streaks): (&str, bool, usize)| {
        let task = |n| TaskId::try_from(format!("t{n}")).unwrap();
        let found = Found { has_due_rewards, streaks: (0..streaks).map(task).collect() };
        ((Lane(0), user.parse().unwrap()), found)
    };
    users.map(found).into()
}

type Swept = Result<Settled, NotApplied>;

fn applied(answers: [Swept; 2]) -> [Applied<Swept>; 2] {
    answers.map(|answer| Applied { answer, position: Position { lane: Lane(0), number: 1 } })
}

#[tokio::test]
async fn a_sweep_without_effect_is_followed_by_a_rest() {
    let nothing = || Ok(Settled { events: 0 });
    let failed = || Err(NotApplied("unreadable".to_owned()));
    let now = Instant::now();

    let mut sweeper = sweeper();
    let waiting = || found([("ann", false, 0), ("bob", false, 0)]);
    assert!(!sweeper.note(waiting(), &applied([nothing(), nothing()]), now));
    let paid = applied([nothing(), Ok(Settled { events: 1 })]);
    assert!(sweeper.note(waiting(), &paid, now));
    let looked_at = found([("ann", false, 2), ("bob", false, 0)]);
    assert!(sweeper.note(looked_at, &applied([nothing(), nothing()]), now));

    // The first time, others may stand behind them; then they are left out.
    let due = || found([("ann", true, 0), ("bob", false, 0)]);
    assert!(sweeper.note(due(), &applied([failed(), nothing()]), now));
    assert_eq!(sweeper.skipped.names(now), ["ann"]);
}
