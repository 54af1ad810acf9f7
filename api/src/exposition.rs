//! The metrics of this process.

use std::fmt;
use std::sync::Arc;

use metrics_exporter_prometheus::PrometheusHandle;

/// The metrics of this process in the text format of Prometheus.
#[derive(Clone)]
pub struct Exposition {
    recorder: PrometheusHandle,
    live: Option<LiveMetrics>,
}

/// Renders metrics that disappear together with the thing they measure. A recorder would keep their
/// series for ever.
type LiveMetrics = Arc<dyn Fn() -> String + Send + Sync>;

impl Exposition {
    /// Combines the metrics of the recorder with those of `live`, which writes its own `# HELP` and
    /// `# TYPE` lines.
    pub fn new(recorder: PrometheusHandle, live: Option<LiveMetrics>) -> Self {
        Self { recorder, live }
    }

    pub(crate) fn render(&self) -> String {
        let mut text = self.recorder.render();
        if let Some(live) = &self.live {
            text.push_str(&live());
        }
        text
    }
}

impl fmt::Debug for Exposition {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Exposition").finish_non_exhaustive()
    }
}
