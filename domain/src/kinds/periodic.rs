//! Tasks that start over every period.

use super::{Shape, TaskKind};

/// `periodic`.
pub(super) struct Periodic;

impl TaskKind for Periodic {
    fn name(&self) -> &'static str {
        "periodic"
    }

    fn shape(&self) -> Shape {
        Shape { starts_over: true, counts_streaks: false, carries_over: true }
    }
}
