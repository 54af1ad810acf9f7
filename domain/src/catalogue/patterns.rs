//! The patterns of a catalogue, which are compiled by every process.

use super::{Catalogue, TaskVersion};
use crate::expression::{PatternTotal, TooManyRanges};

impl TaskVersion {
    /// Adds the patterns of its expressions.
    ///
    /// # Errors
    ///
    /// [`TooManyRanges`] if there are too many then.
    pub fn add_patterns(&self, total: &mut PatternTotal) -> Result<(), TooManyRanges> {
        if let Some(Ok(filter)) = &self.filter {
            let _ = total.add_filter(filter);
        }
        if let Some(Ok(filter)) = &self.audience_filter {
            let _ = total.add(filter);
        }
        total.check()
    }
}

impl Catalogue {
    /// The patterns of every version of every task: open periods may go by any of them.
    pub fn pattern_total(&self) -> PatternTotal {
        let mut total = PatternTotal::default();
        for version in self.tasks.iter().flat_map(|task| &task.versions) {
            // What was published under the rules of an earlier release stays.
            let _ = version.add_patterns(&mut total);
        }
        total
    }
}
