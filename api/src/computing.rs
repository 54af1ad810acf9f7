//! Runs long computations off the runtime's threads, and only a few at a time.

use std::sync::Arc;

use plaudit_event_store::off_the_runtime;
use tokio::sync::Semaphore;

/// The limit on computations; see the module. Cheap to clone.
#[derive(Debug, Clone)]
pub struct Computing(Arc<Semaphore>);

/// Allows one computation per core.
impl Default for Computing {
    fn default() -> Self {
        let cores = std::thread::available_parallelism().map_or(2, std::num::NonZero::get);
        Self(Arc::new(Semaphore::new(cores)))
    }
}

impl Computing {
    /// Computes once a permit is free. Other requests are served meanwhile.
    pub async fn run<T>(&self, compute: impl FnOnce() -> T) -> T {
        let _turn = self.0.acquire().await;
        off_the_runtime(compute)
    }
}
