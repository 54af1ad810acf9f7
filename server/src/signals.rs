//! Signals that stop this process in order.

use std::sync::mpsc;
use std::time::Duration;

use tokio::signal::unix::{SignalKind, signal};
use tokio::sync::mpsc::{UnboundedReceiver, unbounded_channel};

/// Time limit for the process to end after the first signal, whatever hangs.
pub const SHUTDOWN_MAX: Duration = Duration::from_millis(9_500);

/// Time limit for exit handlers; then the process is aborted.
const EXIT_MAX: Duration = Duration::from_millis(300);

/// Receiver of SIGTERM and SIGINT. Until it is opened, either signal kills the process, so it must
/// be opened before anything that needs an orderly end. Signals that arrive later are remembered.
///
/// A thread of its own listens, which runs even if all threads of the runtime are busy.
#[derive(Debug)]
pub struct ShutdownSignals {
    received: UnboundedReceiver<()>,
}

impl ShutdownSignals {
    /// Starts to listen. With `exit_after`, the process exits with code 1 that long after the first
    /// signal, if it has not ended by itself.
    pub fn listen(exit_after: Option<Duration>) -> std::io::Result<Self> {
        let (sender, received) = unbounded_channel();
        let (begun, begins) = mpsc::channel();
        std::thread::Builder::new().name("signals".to_owned()).spawn(move || {
            let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
            let runtime = match runtime {
                Ok(runtime) => runtime,
                Err(error) => return drop(begun.send(Err(error))),
            };
            runtime.block_on(async {
                let opened = signal(SignalKind::terminate())
                    .and_then(|terminate| Ok((terminate, signal(SignalKind::interrupt())?)));
                let (mut terminate, mut interrupt) = match opened {
                    Ok(signals) => signals,
                    Err(error) => return drop(begun.send(Err(error))),
                };
                let _ = begun.send(Ok(()));
                let mut exit_after = exit_after;
                loop {
                    tokio::select! {
                        _ = terminate.recv() => {}
                        _ = interrupt.recv() => {}
                    }
                    if let Some(after) = exit_after.take() {
                        std::thread::spawn(move || exit_late(after));
                    }
                    if sender.send(()).is_err() {
                        return; // no task waits any more; the process is about to end
                    }
                }
            });
        })?;
        let stopped = || std::io::Error::other("the thread for signals has ended");
        begins.recv().map_err(|_| stopped())??;
        Ok(Self { received })
    }

    /// Waits for a signal.
    pub async fn next(&mut self) {
        if self.received.recv().await.is_none() {
            std::future::pending::<()>().await;
        }
    }

    /// Runs `work` until its end or a signal; `None` after a signal.
    pub async fn unless<T>(&mut self, work: impl Future<Output = T>) -> Option<T> {
        tokio::select! {
            // Biased: a child that Ctrl-C in the same terminal has ended would look like a failure
            // of `work`.
            biased;
            () = self.next() => None,
            done = work => Some(done),
        }
    }
}

fn exit_late(after: Duration) {
    std::thread::sleep(after);
    // Exit handlers may hang too, and so may standard error.
    std::thread::spawn(|| {
        std::thread::sleep(EXIT_MAX);
        std::process::abort();
    });
    crate::output::errln!(
        "plaudit: stopped {:.1} s after the signal with work unfinished; uncommitted work is repeated after the next start",
        after.as_secs_f64()
    );
    std::process::exit(1)
}
