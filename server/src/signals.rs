//! What can end this process from outside in an orderly way.

use tokio::signal::unix::{Signal, SignalKind, signal};

/// SIGTERM and SIGINT. Either ends the process at once until this is opened, and is remembered
/// afterwards: open it before anything is started that wants an orderly end.
#[derive(Debug)]
pub struct Stops {
    terminate: Signal,
    interrupt: Signal,
}

impl Stops {
    /// Begins to listen.
    pub fn open() -> std::io::Result<Self> {
        let terminate = signal(SignalKind::terminate())?;
        Ok(Self { terminate, interrupt: signal(SignalKind::interrupt())? })
    }

    /// Waits until this process is asked to end.
    pub async fn next(&mut self) {
        tokio::select! {
            _ = self.terminate.recv() => {}
            _ = self.interrupt.recv() => {}
        }
    }

    /// Does `work` unless this process is asked to end first; `None` if it was.
    pub async fn unless<T>(&mut self, work: impl Future<Output = T>) -> Option<T> {
        tokio::select! {
            // A child of the same terminal that Ctrl-C has ended would seem to have failed.
            biased;
            () = self.next() => None,
            done = work => Some(done),
        }
    }
}
