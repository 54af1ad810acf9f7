//! The soak in its short form, of about two minutes.

use std::time::Duration;

use plaudit_e2e::soak::{self, Options};
use tokio_util::sync::CancellationToken;

/// Gives the same traffic and order of faults in every run, so that a failed run can be repeated.
/// Only the dates differ.
const SEED: u64 = 20_260_329;

/// Rules 5 and 14, whatever is killed; and rules 1, 2, 3, 7, 8, 12, 16, 17, 19, 20 and 21 as the
/// oracle knows them.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_books_balance_whatever_is_killed() {
    let plaudit = soak::beside(&std::env::current_exe().unwrap()).unwrap();
    // A debug build takes five times as long for a record and a screen, and some machines have only
    // two cores. The numbers keep the machine busy and still end within 150 s.
    let many = if cfg!(debug_assertions) { 400 } else { 2000 };
    let options = Options {
        time: Duration::from_secs(60),
        rate: many,
        users: many,
        zones_max: 8,
        seed: SEED,
        plaudit,
        keep_logs: None,
    };
    println!("soak with seed {SEED}");
    let verdict = soak::run(&options, &CancellationToken::new()).await;
    let verdict = verdict.unwrap_or_else(|error| panic!("soak with seed {SEED}: {error}"));
    println!("{verdict}");
    assert!(verdict.is_good(), "{verdict}");
    assert_eq!(verdict.missing(), [""; 0], "a soak that never meets a thing proves nothing of it");
}
