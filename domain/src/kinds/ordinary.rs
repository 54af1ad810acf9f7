//! Tasks that are done once in a user's life.

use super::{Shape, TaskKind};

/// `ordinary`.
pub(super) struct Ordinary;

impl TaskKind for Ordinary {
    fn name(&self) -> &'static str {
        "ordinary"
    }

    fn shape(&self) -> Shape {
        Shape { starts_over: false, counts_streaks: false, carries_over: false }
    }
}
