//! Waiting for a fact in a test.

use std::time::{Duration, Instant};

/// The rest between two looks: short, so that a test ends when the fact is there.
const LOOK_EVERY: Duration = Duration::from_millis(20);

/// Looks until a fact is there, up to a limit. `None` means that it did not become true; the last look is after the
/// limit, however long one takes.
pub async fn within<T>(limit: Duration, mut look: impl AsyncFnMut() -> Option<T>) -> Option<T> {
    let deadline = Instant::now() + limit;
    loop {
        let found = look().await;
        if found.is_some() || Instant::now() > deadline {
            return found;
        }
        tokio::time::sleep(LOOK_EVERY).await;
    }
}

/// As [`within`], for a fact without which the test has failed.
///
/// # Panics
///
/// If the fact is not there within the limit.
pub async fn eventually<T>(limit: Duration, fact: &str, look: impl AsyncFnMut() -> Option<T>) -> T {
    match within(limit, look).await {
        Some(found) => found,
        None => panic!("not within {limit:?}: {fact}"),
    }
}
