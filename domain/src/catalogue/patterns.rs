//! The patterns of a catalogue. Every process compiles them.

use super::{Catalogue, TaskVersion};
use crate::expression::{PatternTotal, TooManyRanges};

impl TaskVersion {
    /// Adds the patterns of its expressions.
    ///
    /// # Errors
    ///
    /// [`TooManyRanges`] if the total is then above the limit.
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
    /// The patterns of every version of every task: open periods may follow any of them.
    pub fn pattern_total(&self) -> PatternTotal {
        let mut total = PatternTotal::default();
        for version in self.tasks.iter().flat_map(|task| &task.versions) {
            // Versions that were published under the rules of an earlier release stay, even above
            // the limit.
            let _ = version.add_patterns(&mut total);
        }
        total
    }
}
