//! Waits for conditions in tests.

use std::time::{Duration, Instant};

/// Interval between two looks: short, so that a test ends soon after the condition holds.
const LOOK_EVERY: Duration = Duration::from_millis(20);

/// Calls `look` until it returns something or `limit` has passed. `None` means that it never did. A
/// look that has begun is finished, even beyond the limit.
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

/// Waits like [`within`], for a condition without which the test has failed.
///
/// # Panics
///
/// If the condition does not hold within the limit.
pub async fn eventually<T>(limit: Duration, fact: &str, look: impl AsyncFnMut() -> Option<T>) -> T {
    match within(limit, look).await {
        Some(found) => found,
        None => panic!("not within {limit:?}: {fact}"),
    }
}
