//! Computation beside the asynchronous runtime.

/// Runs CPU-bound code without blocking other tasks of the runtime.
pub fn off_the_runtime<T>(compute: impl FnOnce() -> T) -> T {
    use tokio::runtime::{Handle, RuntimeFlavor};
    match Handle::try_current().map(|handle| handle.runtime_flavor()) {
        Ok(RuntimeFlavor::MultiThread) => tokio::task::block_in_place(compute),
        // A current-thread runtime has no other thread for its tasks.
        _ => compute(),
    }
}
