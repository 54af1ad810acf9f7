//! The readiness of this process for its work.

use std::fmt;
use std::sync::Arc;

use futures::future::BoxFuture;

/// The outcome of a readiness check.
#[derive(Debug, Clone, Default)]
pub struct ReadinessReport {
    /// The reasons why the process can't work, one sentence each; empty if it is ready.
    pub reasons: Vec<String>,
    /// Problems of single users or lanes, one sentence each. They do not make the process unready.
    pub warnings: Vec<String>,
}

/// Checks whether this process can do all of its work.
#[derive(Clone)]
pub struct Readiness(Arc<dyn Fn() -> BoxFuture<'static, ReadinessReport> + Send + Sync>);

impl Readiness {
    /// Calls `check` for each request. It must answer within a second or two.
    pub fn new<F, R>(check: F) -> Self
    where
        F: Fn() -> R + Send + Sync + 'static,
        R: Future<Output = ReadinessReport> + Send + 'static,
    {
        Self(Arc::new(move || Box::pin(check())))
    }

    /// Returns a check that always reports ready.
    pub fn always() -> Self {
        Self::new(|| std::future::ready(ReadinessReport::default()))
    }

    pub(crate) async fn check(&self) -> ReadinessReport {
        (self.0)().await
    }
}

impl fmt::Debug for Readiness {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Readiness")
    }
}
