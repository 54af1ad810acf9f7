//! Work that may compute for long runs off the runtime's threads, and only so much of it at a time.

use std::sync::Arc;

use plaudit_event_store::off_the_runtime;
use tokio::sync::Semaphore;

/// See the module. Cheap to clone.
#[derive(Debug, Clone)]
pub struct Computing(Arc<Semaphore>);

/// One piece of work for each core.
impl Default for Computing {
    fn default() -> Self {
        let cores = std::thread::available_parallelism().map_or(2, std::num::NonZero::get);
        Self(Arc::new(Semaphore::new(cores)))
    }
}

impl Computing {
    /// Computes when it is its turn. Other requests are served meanwhile.
    pub async fn run<T>(&self, compute: impl FnOnce() -> T) -> T {
        let _turn = self.0.acquire().await;
        off_the_runtime(compute)
    }
}
