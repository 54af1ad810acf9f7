//! The soak in its two-minute form.

use std::time::Duration;

use plaudit_e2e::soak::{self, Options};
use tokio_util::sync::CancellationToken;

/// The same traffic and the same order of faults in every run, so that a red one can be repeated.
/// Only the dates are those of the day.
const SEED: u64 = 20_260_329;

/// Rules 5 and 14, under everything that can be killed; and 1, 2, 3, 7, 8, 12, 16, 17, 19, 20 and 21
/// as the oracle knows them.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_books_balance_whatever_is_killed() {
    let plaudit = soak::beside(&std::env::current_exe().unwrap()).unwrap();
    // Built for debugging it takes five times as long for a record and for a screen, and two cores
    // are all that some machines have. It shall be kept busy, and yet end within 150 s.
    let many = if cfg!(debug_assertions) { 800 } else { 2000 };
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
